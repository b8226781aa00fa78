//! Many rows by few statements: one text for 64 rows, one for 8, one for a single row, each prepared once.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use sqlx::AssertSqlSafe;

use super::{Session, StoreError, Value};

/// Rows by one statement, most first. Few sizes, so that few statements are prepared.
const SIZES: [usize; 3] = [64, 8, 1];

/// `head VALUES (...), (...) tail`.
pub(super) struct Insert {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; SIZES.len()],
}

impl Insert {
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [OnceLock::new(), OnceLock::new(), OnceLock::new()] }
    }

    /// Writes every row; says how many were written.
    pub(super) async fn run(&self, session: &mut Session, rows: Vec<Vec<Value>>) -> Result<u64, StoreError> {
        let mut rows = rows.into_iter();
        let mut written = 0_u64;
        for (size, text) in SIZES.into_iter().zip(&self.texts) {
            while rows.len() >= size {
                let values: Vec<Value> = rows.by_ref().take(size).flatten().collect();
                let text = Arc::clone(text.get_or_init(|| self.text(size)));
                written = written.saturating_add(session.execute_made(AssertSqlSafe(text), values).await?);
            }
        }
        Ok(written)
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let mut text = format!("{} VALUES ", self.head);
        let mut number = 0_usize;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..self.columns {
                number = number.saturating_add(1);
                // Writing to a String cannot fail.
                write!(text, "{}${number}", if column == 0 { "" } else { ", " }).unwrap_or_default();
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text.into()
    }
}
