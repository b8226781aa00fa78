//! Many audit records in one text: what verification reads.

use crate::store::{Backend, Database, StoreError};
use crate::values;

impl Database {
    /// `audit_page` as one text, many times faster: a row of an answer costs more than what is in it.
    pub async fn audit_bulk(&self, after: i64, limit: u32) -> Result<AuditBulk, StoreError> {
        let mut session = self.read().await?;
        let sql = match session.backend() {
            Backend::Sqlite => BULK_SQLITE,
            Backend::Postgres => BULK_POSTGRES,
        };
        let row = session.row(sql, values![after, limit]).await?;
        Ok(AuditBulk(row.map_or(Ok(None), |row| row.maybe_text(0))?.unwrap_or_default()))
    }
}

/// Each column with its length before it; `-` where there is nothing. Numbers and hexadecimal digits are told alike.
macro_rules! bulk {
    ($aggregate:literal, $hex:literal, $end:literal) => {
        concat!(
            "SELECT ", $aggregate, " FROM (SELECT a.seq AS seq, ",
            bulk!(@text "CAST(a.seq AS TEXT)"), " || ", bulk!(@text "a.id"), " || ",
            bulk!(@text "CAST(a.time AS TEXT)"), " || ", bulk!(@text "a.kind"), " || ", bulk!(@text "a.actor"), " || ",
            bulk!(@text "a.request"), " || ", bulk!(@text "a.body"), " || ",
            bulk!(@hex $hex, "a.hash", $end), " || ", bulk!(@hex $hex, "p.salt", $end), " || ", bulk!(@text "p.body"),
            " AS line FROM audit a LEFT JOIN audit_personal p ON p.seq = a.seq WHERE a.seq > $1 ORDER BY a.seq LIMIT $2) x"
        )
    };
    (@text $column:literal) => {
        concat!("coalesce(CAST(octet_length(", $column, ") AS TEXT) || ':' || ", $column, ", '-')")
    };
    (@hex $hex:literal, $column:literal, $end:literal) => {
        concat!("coalesce(CAST(2 * octet_length(", $column, ") AS TEXT) || ':' || ", $hex, $column, $end, ", '-')")
    };
}

const BULK_SQLITE: &str = bulk!("group_concat(x.line, '' ORDER BY x.seq)", "lower(hex(", "))");
const BULK_POSTGRES: &str = bulk!("string_agg(x.line, '' ORDER BY x.seq)", "encode(", ", 'hex')");

/// Many records in one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditBulk(String);

/// A record in such a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditView<'a> {
    /// Its number in the chain.
    pub seq: i64,
    /// The entry's id.
    pub id: &'a str,
    /// Unix time in microseconds.
    pub time: i64,
    /// What kind of thing happened.
    pub kind: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// The request it is about.
    pub request: Option<&'a str>,
    /// Its canonical JSON.
    pub body: &'a str,
    /// Its hash, in hexadecimal digits.
    pub hash: &'a str,
    /// Salt in hexadecimal digits and canonical JSON of its personal part.
    pub personal: Option<(&'a str, &'a str)>,
}

impl AuditBulk {
    /// The records, in order.
    pub fn rows(&self) -> Result<Vec<AuditView<'_>>, StoreError> {
        let mut rows = Vec::new();
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            let row = view(&mut rest);
            rows.push(row.ok_or_else(|| StoreError::Value("an audit record cannot be read".to_owned()))?);
        }
        Ok(rows)
    }
}

fn view<'a>(rest: &mut &'a str) -> Option<AuditView<'a>> {
    Some(AuditView {
        seq: column(rest)??.parse().ok()?,
        id: column(rest)??,
        time: column(rest)??.parse().ok()?,
        kind: column(rest)??,
        actor: column(rest)??,
        request: column(rest)?,
        body: column(rest)??,
        hash: column(rest)??,
        personal: column(rest)?.zip(column(rest)?),
    })
}

/// The next column; `None` when the text is not made like that.
fn column<'a>(rest: &mut &'a str) -> Option<Option<&'a str>> {
    if let Some(after) = rest.strip_prefix('-') {
        *rest = after;
        return Some(None);
    }
    let (length, after) = rest.split_once(':')?;
    let (text, after) = after.split_at_checked(length.parse().ok()?)?;
    *rest = after;
    Some(Some(text))
}
