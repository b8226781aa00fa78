//! Values that go into statements and rows that come out, the same for both backends.

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Row as _};

use super::StoreError;

/// A value to bind. An absent one keeps its type, because PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(Option<i64>),
    /// A number.
    Real(Option<f64>),
    /// A text. Zero bytes in it, which PostgreSQL cannot hold, become U+FFFD.
    Text(Option<String>),
    /// A text that others hold too.
    Shared(Option<Arc<str>>),
    /// A text of the program.
    Static(&'static str),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
}

/// Values to bind, each by its `From`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $make
            }
        })*
    };
}

from!(
    i64 => |v| Self::Int(Some(v)),
    Option<i64> => |v| Self::Int(v),
    i32 => |v| Self::Int(Some(v.into())),
    u16 => |v| Self::Int(Some(v.into())),
    u32 => |v| Self::Int(Some(v.into())),
    // More than 2^63 of anything is a mistake of whoever counted: the highest number, not an error.
    u64 => |v| Self::Int(Some(i64::try_from(v).unwrap_or(i64::MAX))),
    Option<u64> => |v| Self::Int(v.map(|v| i64::try_from(v).unwrap_or(i64::MAX))),
    usize => |v| Self::Int(Some(i64::try_from(v).unwrap_or(i64::MAX))),
    bool => |v| Self::Int(Some(v.into())),
    f32 => |v| Self::Real(Some(v.into())),
    f64 => |v| Self::Real(Some(v)),
    Option<f64> => |v| Self::Real(v),
    String => |v| Self::Text(Some(v)),
    Option<String> => |v| Self::Text(v),
    &'static str => |v| Self::Static(v),
    Option<&'static str> => |v| v.map_or(Self::Text(None), Self::Static),
    Arc<str> => |v| Self::Shared(Some(v)),
    &Arc<str> => |v| Self::Shared(Some(Arc::clone(v))),
    Option<Arc<str>> => |v| Self::Shared(v),
    &Option<Arc<str>> => |v| Self::Shared(v.clone()),
    Cow<'static, str> => |v| match v {
        Cow::Borrowed(v) => Self::Static(v),
        Cow::Owned(v) => Self::Text(Some(v)),
    },
    &Cow<'static, str> => |v| match v {
        Cow::Borrowed(v) => Self::Static(v),
        Cow::Owned(v) => Self::Text(Some(v.clone())),
    },
    &Option<Cow<'static, str>> => |v| v.as_ref().map_or(Self::Text(None), Self::from),
    Option<f32> => |v| Self::Real(v.map(f64::from)),
    Vec<u8> => |v| Self::Bytes(Some(v)),
    Option<Vec<u8>> => |v| Self::Bytes(v),
);

/// PostgreSQL cannot hold zero bytes in texts, so neither backend does.
fn without_zeros(text: &str) -> Option<String> {
    memchr::memchr(0, text.as_bytes()).map(|_| text.replace('\0', "\u{fffd}"))
}

macro_rules! bind {
    ($values:ident, $arguments:ident) => {
        for value in $values {
            match value {
                Value::Int(value) => $arguments.add(value),
                Value::Real(value) => $arguments.add(value),
                Value::Text(None) | Value::Shared(None) => $arguments.add(None::<String>),
                Value::Text(Some(text)) => $arguments.add(without_zeros(&text).unwrap_or(text)),
                Value::Shared(Some(text)) => match without_zeros(&text) {
                    Some(clean) => $arguments.add(clean),
                    None => $arguments.add(text),
                },
                Value::Static(text) => $arguments.add(text),
                Value::Bytes(value) => $arguments.add(value),
            }
            .map_err(|why| StoreError::Refused(why.to_string()))?;
        }
    };
}

pub(super) fn for_sqlite(values: Vec<Value>) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    bind!(values, arguments);
    Ok(arguments)
}

pub(super) fn for_postgres(values: Vec<Value>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    bind!(values, arguments);
    Ok(arguments)
}

/// A row of an answer; columns are counted from 0 in the order of the `SELECT`.
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

macro_rules! getters {
    ($($name:ident, $maybe:ident, $type:ty, $what:literal);* $(;)?) => {
        $(
            #[doc = concat!("The ", $what, " in a column that always has one.")]
            pub fn $name(&self, column: usize) -> Result<$type, StoreError> {
                self.$maybe(column)?.ok_or_else(|| StoreError::Value(format!("column {column} is empty")))
            }

            #[doc = concat!("The ", $what, " in a column, if it has one.")]
            pub fn $maybe(&self, column: usize) -> Result<Option<$type>, StoreError> {
                Ok(match self {
                    Self::Sqlite(row) => row.try_get_unchecked(column)?,
                    Self::Postgres(row) => row.try_get(column)?,
                })
            }
        )*
    };
}

impl Row {
    getters!(
        int, maybe_int, i64, "whole number";
        real, maybe_real, f64, "number";
        text, maybe_text, String, "text";
        bytes, maybe_bytes, Vec<u8>, "bytes";
    );

    /// A whole number that cannot be below zero.
    pub fn count(&self, column: usize) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.int(column)?).unwrap_or(0))
    }

    /// A text that others will hold.
    pub fn shared(&self, column: usize) -> Result<Arc<str>, StoreError> {
        self.text(column).map(Arc::from)
    }

    /// A text that others will hold, if there is one.
    pub fn maybe_shared(&self, column: usize) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.maybe_text(column)?.map(Arc::from))
    }

    /// Whether a 0 or 1 is not 0.
    pub fn yes(&self, column: usize) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }
}
