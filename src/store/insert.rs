//! Many rows by few statements: one text for 64 rows, one for 8, one for a single row, each prepared once.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use sqlx::AssertSqlSafe;

use super::{Backend, Session, StoreError, Value};

/// Rows by one statement, most first. Few sizes, so that few statements are prepared.
const SIZES: [usize; 3] = [64, 8, 1];

type Texts = [OnceLock<Arc<str>>; SIZES.len()];

/// `head VALUES (...), (...) tail`.
pub(super) struct Insert {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    sqlite: Texts,
    postgres: Texts,
}

impl Insert {
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        const NONE: Texts = [const { OnceLock::new() }; SIZES.len()];
        Self { head, columns, tail, sqlite: NONE, postgres: NONE }
    }

    /// Writes every row; says how many were written.
    pub(super) async fn run(&self, session: &mut Session, rows: Vec<Vec<Value>>) -> Result<u64, StoreError> {
        let mut rows = rows.into_iter();
        let mut written = 0_u64;
        let backend = session.backend();
        let texts = match backend {
            Backend::Sqlite => &self.sqlite,
            Backend::Postgres => &self.postgres,
        };
        for (size, text) in SIZES.into_iter().zip(texts) {
            while rows.len() >= size {
                let values: Vec<Value> = rows.by_ref().take(size).flatten().collect();
                let text = Arc::clone(text.get_or_init(|| self.text(backend, size)));
                written = written.saturating_add(session.execute_made(AssertSqlSafe(text), values).await?);
            }
        }
        Ok(written)
    }

    fn text(&self, backend: Backend, rows: usize) -> Arc<str> {
        let mut text = format!("{} VALUES ", self.head);
        let mut number = 0_usize;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..self.columns {
                text.push_str(if column == 0 { "" } else { ", " });
                match backend {
                    // Without names: the library looks each of them up in a list, which for 2,000 takes most of the time.
                    Backend::Sqlite => text.push('?'),
                    Backend::Postgres => {
                        number = number.saturating_add(1);
                        // Writing to a String cannot fail.
                        write!(text, "${number}").unwrap_or_default();
                    }
                }
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text.into()
    }
}
