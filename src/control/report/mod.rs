//! Reports at work: what they are made of is gathered from the store and the settings in force, finished ones are kept, and those
//! that are due are made by one replica.

pub mod desk;
mod facts;
mod gather;
mod money;
pub mod schedule;

use rust_embed::RustEmbed;

pub use desk::{DeskOptions, ReportDesk};
pub use schedule::Scheduler;

use crate::config::Snapshot;
use crate::report::data::Data;
use crate::report::{Ask, Frameworks, Kind, RenderError, Report};
use crate::store::{Database, StoreError};

#[derive(RustEmbed)]
#[folder = "rules/compliance/"]
#[include = "*.yaml"]
struct Builtin;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such framework: its name, and those there are.
    #[error("there is no framework `{0}`; there are: {1}")]
    NoFramework(String, String),
    /// A compliance report is about one, and no other report is.
    #[error("a compliance report needs a framework, and no other report has one")]
    Framework,
    /// Its end is not after its beginning, or it is too long.
    #[error("the period has to be one of at most {0} days that ends after it begins")]
    Period(i64),
    /// As many are made as may be.
    #[error("as many reports are being made as may be at once")]
    Busy,
    /// It took too long.
    #[error("making the report took too long")]
    Late,
    /// There is none with that id.
    #[error("there is no such report")]
    Missing,
    /// It cannot be written like that.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A file.
    #[error("{0}")]
    File(String),
    /// Something that should not happen.
    #[error("{0}")]
    Failed(String),
}

/// The longest period of a report, in days.
pub const MOST_DAYS: i64 = 732;

/// The frameworks that are built in.
///
/// # Errors
/// Every problem of their files; a test sees to it that there is none.
pub fn frameworks() -> Result<Frameworks, ReportError> {
    let read = |name: std::borrow::Cow<'static, str>| {
        let file = Builtin::get(&name)?;
        let stem = name.strip_suffix(".yaml").unwrap_or(&name).to_owned();
        Some((stem, String::from_utf8_lossy(&file.data).into_owned()))
    };
    let files: Vec<(String, String)> = Builtin::iter().filter_map(read).collect();
    Frameworks::read(&files).map_err(|problems| ReportError::Failed(problems.join("; ")))
}

/// Makes a report of what is in the store and in force now. `rows` bounds the tables of names.
///
/// # Errors
/// An impossible request; the store.
pub async fn make(
    database: &Database,
    snapshot: &Snapshot,
    frameworks: &Frameworks,
    rows: u32,
    ask: &Ask,
) -> Result<Report, ReportError> {
    let longest = MOST_DAYS.saturating_mul(86_400_000_000);
    if ask.until <= ask.since || ask.until.saturating_sub(ask.since) > longest {
        return Err(ReportError::Period(MOST_DAYS));
    }
    let data = match (ask.kind, &ask.framework) {
        (Kind::Compliance, Some(name)) if frameworks.get(name).is_some() => {
            Data::Compliance(name.clone(), Box::new(facts::facts(database, snapshot, ask).await?))
        }
        (Kind::Compliance, Some(name)) => {
            return Err(ReportError::NoFramework(crate::types::visible(name, 80), frameworks.names()));
        }
        (Kind::Compliance, None) | (_, Some(_)) => return Err(ReportError::Framework),
        (Kind::Security, None) => Data::Security(Box::new(gather::security(database, snapshot, rows, ask).await?)),
        (Kind::Threats, None) => Data::Threats(Box::new(gather::threats(database, snapshot, rows, ask).await?)),
        (Kind::Spend, None) => Data::Spend(Box::new(money::spend(database, snapshot, rows, ask).await?)),
        (Kind::Learning, None) => Data::Learning(Box::new(gather::learning(database, snapshot, rows, ask).await?)),
    };
    crate::report::write(ask, env!("CARGO_PKG_VERSION"), frameworks, &data).ok_or(ReportError::Framework)
}
