//! Values that requests carry, each with its bounds, and the pages of answers.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use super::App;
use crate::types::{AccessRole, Secret};

/// The most entries on a page, whatever the settings say.
const MOST: u32 = 500;

/// A new id: three letters and a time-ordered UUID (version 7).
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// A text with bounds, checked when it is read.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $least:literal, $most:literal, $pattern:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn text(&self) -> &str {
                &self.0
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let object = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .min_length(Some($least))
                    .max_length(Some($most))
                    .pattern(Some($pattern));
                object.build().into()
            }
        }

        impl ToSchema for $name {}

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, &'static str> {
                let allowed: fn(char) -> bool = $allowed;
                let length = text.chars().count();
                if ($least..=$most).contains(&length) && text.chars().all(allowed) {
                    Ok(Self(text))
                } else {
                    Err(concat!("it has to match ", $pattern))
                }
            }
        }
    };
}

bounded!(
    /// What an account signs in with; letters count in lower case.
    AccountName, 1, 64, "^[A-Za-z0-9._@-]{1,64}$",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-')
);
bounded!(
    /// A name for people: no control characters.
    Label, 1, 128, r"^[^\x00-\x1f\x7f]{1,128}$", |c| !c.is_ascii_control()
);
bounded!(
    /// A few sentences: no control characters.
    Sentence, 0, 1000, r"^[^\x00-\x1f\x7f]{0,1000}$", |c| !c.is_ascii_control()
);
bounded!(
    /// A sentence that has to be there: no control characters.
    Reason, 1, 1000, r"^[^\x00-\x1f\x7f]{1,1000}$", |c| !c.is_ascii_control()
);
bounded!(
    /// Some lines that somebody writes: no control characters but tabs and ends of lines.
    Remark, 1, 4000, r"^[^\x00-\x08\x0b-\x1f\x7f]{1,4000}$", |c| !c.is_ascii_control() || matches!(c, '\n' | '\t')
);
bounded!(
    /// The name of a tenant, team, user, agent, session or model as callers have it: no control characters.
    Word, 1, 256, r"^[^\x00-\x1f\x7f]{1,256}$", |c| !c.is_ascii_control()
);

impl Word {
    /// In place of a name from elsewhere that has control characters or is too long.
    pub fn unreadable() -> Self {
        Self("?".to_owned())
    }
}

bounded!(
    /// The text of a configuration.
    LongText, 0, 60_000, r"^[^\x00]*$", |c| c != '\0'
);

/// A password or a token as it is typed: no zero bytes. Not printed, not written back.
macro_rules! typed {
    ($(#[$doc:meta])* $name:ident, $least:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Secret);

        impl From<$name> for Secret {
            fn from(typed: $name) -> Self {
                typed.0
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let object = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
                    .min_length(Some($least))
                    .max_length(Some($most))
                    .pattern(Some(r"^[^\x00]*$"));
                object.build().into()
            }
        }

        impl ToSchema for $name {}

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, &'static str> {
                if ($least..=$most).contains(&text.chars().count()) && !text.contains('\0') {
                    Ok(Self(Secret::new(text)))
                } else {
                    Err("it is too short or too long")
                }
            }
        }
    };
}

typed!(
    /// A password to be set: 12 to 256 characters.
    FreshPassword, 12, 256
);
typed!(
    /// A password or one-time token to be checked.
    Presented, 1, 256
);

/// At most so many.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<T>")]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Few<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> Default for Few<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MOST: usize> TryFrom<Vec<T>> for Few<T, MOST> {
    type Error = &'static str;

    fn try_from(all: Vec<T>) -> Result<Self, &'static str> {
        if all.len() <= MOST { Ok(Self(all)) } else { Err("there are too many") }
    }
}

impl<T, const MOST: usize> IntoIterator for Few<T, MOST> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A whole number. JSON has one kind of number: `60.0` is 60.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(pub u32);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let whole = number.as_u64().or_else(|| {
            // Far below where floats stop being exact; the cast of a checked value.
            let float =
                number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=4_294_967_295.0).contains(float))?;
            format!("{float:.0}").parse().ok()
        });
        let whole = whole.and_then(|whole| u32::try_from(whole).ok());
        whole.map(Self).ok_or_else(|| D::Error::custom("it is no whole number within bounds"))
    }
}

/// Reads a JSON object, and nothing that only could be read as one: serde takes arrays for structs.
pub(super) fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let map = serde_json::Map::<String, Value>::deserialize(deserializer)?;
    serde_json::from_value(Value::Object(map)).map_err(D::Error::custom)
}

/// The number of an audit entry: what every reader of JSON can hold.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "u64")]
pub struct Number(u64);

impl TryFrom<u64> for Number {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, &'static str> {
        if number < 1 << 53 { Ok(Self(number)) } else { Err("it is too large") }
    }
}

impl From<Number> for u64 {
    fn from(number: Number) -> Self {
        number.0
    }
}

/// What an account or an API token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads what carries no content: status, policies, limits.
    Viewer,
    /// Reads and works on events.
    Analyst,
    /// That, and gives and lifts standing orders.
    Responder,
    /// That, and manages keys, accounts, configuration.
    Admin,
    /// Reads everything, audit trail and ledger included, and changes nothing.
    Auditor,
}

impl From<Role> for AccessRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Analyst => Self::Analyst,
            Role::Responder => Self::Responder,
            Role::Admin => Self::Admin,
            Role::Auditor => Self::Auditor,
        }
    }
}

impl From<AccessRole> for Role {
    fn from(role: AccessRole) -> Self {
        match role {
            AccessRole::Viewer => Self::Viewer,
            AccessRole::Analyst => Self::Analyst,
            AccessRole::Responder => Self::Responder,
            AccessRole::Admin => Self::Admin,
            AccessRole::Auditor => Self::Auditor,
        }
    }
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    pub limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    pub after: Option<Word>,
}

/// How many entries a page has.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "u32")]
#[schema(value_type = u32, minimum = 1, maximum = 500)]
pub struct Limit(u32);

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, &'static str> {
        if (1..=MOST).contains(&limit) { Ok(Self(limit)) } else { Err("a page has 1 to 500 entries") }
    }
}

impl Limit {
    /// Within what the settings allow.
    pub fn get(self, app: &App) -> u32 {
        self.0.min(app.settings.max_page).max(1)
    }
}

impl PageQuery {
    /// The id to go on after, and how many.
    pub fn bounds(&self, app: &App) -> (String, u32) {
        (self.after.clone().map(String::from).unwrap_or_default(), self.limit.get(app))
    }
}

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to go on `after`; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` entries, told by their ids; a full one may have a next.
    pub fn new(items: Vec<T>, limit: u32, id: impl Fn(&T) -> String) -> Self {
        let full = u32::try_from(items.len()).unwrap_or(u32::MAX) >= limit;
        Self { next: items.last().filter(|_| full).map(id), items }
    }
}

/// A life in seconds: from a minute to 366 days.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "Whole")]
#[schema(value_type = u32, minimum = 60, maximum = 31_622_400)]
pub struct Seconds(u32);

impl TryFrom<Whole> for Seconds {
    type Error = &'static str;

    fn try_from(Whole(seconds): Whole) -> Result<Self, &'static str> {
        if (60..=31_622_400).contains(&seconds) { Ok(Self(seconds)) } else { Err("60 seconds to 366 days") }
    }
}

impl Seconds {
    /// So long after `now`, both in microseconds.
    pub fn after(self, now: i64) -> i64 {
        now.saturating_add(i64::from(self.0).saturating_mul(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_out_of_bounds_are_refused_when_read() {
        let name = |text: &str| serde_json::from_value::<AccountName>(text.into()).is_ok();
        assert!(name("Ann.Lee@example-1.org"));
        for text in ["", "a b", "ann\0", "ann'--", "ännchen", &"a".repeat(65)] {
            assert!(!name(text), "{text:?}");
        }
        assert!(serde_json::from_value::<Label>("Zoë's key".into()).is_ok());
        assert!(serde_json::from_value::<Label>("two\nlines".into()).is_err());
        assert!(serde_json::from_value::<Seconds>(59.into()).is_err());
    }
}
