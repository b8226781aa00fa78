//! What the answers and bodies of the SOC's routes share.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::App;
use super::super::error::ApiError;
use super::super::guard::Principal;
use super::super::shown::shown;
use super::super::words::{AccountName, Few, Page, Remark, Sentence, Word};
use crate::store::soc::LogLine;
use crate::types::soc::{Closed, LogEntry, LogKind};

/// Things merged by one request.
pub(super) const MOST_MERGED: usize = 100;

shown!(
    /// An alert: `id`, `rule`, `title`, `severity`, `family`, `first`, `last`, `count`, `caller`, `verdict`, `proofs`,
    /// `threats`, `message`, `source`, `state` and more; as an OCSF Detection Finding where that was asked for.
    AlertShown
);
shown!(
    /// An incident: `id`, `rule`, `about`, `title`, `severity`, `families`, `threats`, `caller`, `opened`, `updated`,
    /// `alerts` (how many), `state` and more; as an OCSF Incident Finding where that was asked for.
    IncidentShown
);
shown!(
    /// A plan: `id`, `incident`, `body` (summary, steps with blast radius, claims), `hash`, `proposer`, `made`, `expires`,
    /// `needed`, `state`, `reasons`.
    PlanShown
);
shown!(
    /// What somebody said about a plan: `account`, `name`, `ruling`, `reason`, `at`, `hash`, `key`, `signature`, `used`.
    ApprovalShown
);
shown!(
    /// A tool call that waits or waited: `id`, `request`, `caller`, `tool`, `arguments` (a hash), `since`, `expires`, `ruling`.
    ToolHoldShown
);
shown!(
    /// A remedy: `id`, `plan`, `incident`, `action`, `target`, `lasts`, `state`, `failures`, `applied`, `expires` and more.
    RemedyShown
);
shown!(
    /// The analyst's work on an incident: `phase`, `found` (what each step found), `plan`, `failures`, `problem`.
    AnalysisShown
);

/// How alerts and incidents are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As they are stored.
    #[default]
    Own,
    /// As findings of OCSF.
    Ocsf,
}

/// One line of a timeline.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LogShown {
    /// Its number in the timeline, from 1.
    pub seq: i64,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// What kind of line: `raised`, `alert`, `comment`, `changed`, `merged`, `analysis`, `plan`, `remedy`.
    #[schema(value_type = String)]
    pub kind: LogKind,
    /// Who: the name of an account, `gateway` or `analyst`.
    pub actor: String,
    /// In words.
    pub text: String,
    /// The id of what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl From<LogLine> for LogShown {
    fn from(LogLine { seq, entry }: LogLine) -> Self {
        Self {
            seq,
            time: entry.time,
            kind: entry.kind,
            actor: entry.actor.to_string(),
            text: entry.text,
            about: entry.about.map(|about| about.to_string()),
        }
    }
}

/// How something is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// It was real, and it is over.
    Resolved,
    /// It was a false alarm.
    FalsePositive,
    /// It is told elsewhere.
    Duplicate,
    /// It is known and stays as it is.
    Accepted,
}

impl CloseReason {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
            Self::Duplicate => "duplicate",
            Self::Accepted => "accepted",
        }
    }
}

/// What somebody writes under an alert or an incident.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewComment {
    /// The text.
    pub(super) text: Remark,
}

/// What is merged into the thing that the path names.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// Their ids, at most 100.
    #[schema(value_type = Vec<Word>, min_items = 1, max_items = 100)]
    ids: Few<Word, MOST_MERGED>,
    /// Why.
    #[serde(default)]
    #[schema(value_type = Sentence)]
    pub(super) note: Option<Sentence>,
}

impl Merged {
    /// The ids, at least one.
    pub(super) fn ids(self) -> Result<Vec<Arc<str>>, ApiError> {
        let ids: Vec<Arc<str>> = self.ids.into_iter().map(|id| String::from(id).into()).collect();
        if ids.is_empty() {
            return Err(ApiError::invalid("nothing_named", "Name at least one by its id."));
        }
        Ok(ids)
    }
}

/// A field that was sent, `null` too.
pub(super) fn sent<'de, T: Deserialize<'de>, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// A text of a note that may not be there.
pub(super) fn text(note: Option<&Sentence>) -> String {
    note.map(|note| note.text().to_owned()).unwrap_or_default()
}

/// A query's word, as filters have it.
pub(in crate::control::api) fn word(word: Option<Word>) -> Option<String> {
    word.map(String::from)
}

/// A page of things whose ids go on with `before`.
pub(in crate::control::api) fn page<T, S>(
    found: &[T],
    limit: u32,
    id: impl Fn(&T) -> &str,
    show: impl Fn(&T) -> Result<S, ApiError>,
) -> Result<Page<S>, ApiError> {
    let full = u32::try_from(found.len()).unwrap_or(u32::MAX) >= limit;
    let next = found.last().filter(|_| full).map(|last| id(last).to_owned());
    Ok(Page { items: found.iter().map(show).collect::<Result<_, _>>()?, next })
}

/// How something is closed, where it is: with a reason then, and else without.
pub(super) fn closed(
    closing: bool,
    reason: Option<CloseReason>,
    note: Option<&Sentence>,
    who: &Principal,
    now: i64,
) -> Result<Option<Closed>, ApiError> {
    match (closing, reason) {
        (true, None) => Err(ApiError::invalid("reason_needed", "It is closed with a `reason`.")),
        (false, Some(_)) => Err(ApiError::invalid("reason_unused", "A `reason` goes with closing it.")),
        (false, None) => Ok(None),
        (true, Some(reason)) => {
            Ok(Some(Closed { reason: reason.name().into(), note: text(note), by: Arc::clone(&who.name), at: now }))
        }
    }
}

/// The name of an account that something can be given to.
pub(super) async fn assignee(app: &App, name: &AccountName) -> Result<Arc<str>, ApiError> {
    let found = app.accounts.by_name(&name.text().to_lowercase()).await?;
    let account = found.map(|(account, _)| account).filter(|account| !account.disabled);
    let account = account.ok_or_else(|| ApiError::invalid("unknown_assignee", "There is no such account."))?;
    Ok(account.name.into())
}

/// A line of a timeline by whoever calls.
pub(super) fn line(who: &Principal, now: i64, kind: LogKind, text: String) -> LogEntry {
    LogEntry { time: now, kind, actor: Arc::clone(&who.name), text, about: None }
}

/// What became of a change in words: what was said of it, and the note.
pub(super) fn told(changes: &[String], note: Option<&Sentence>) -> String {
    let note = note.map(Sentence::text).filter(|note| !note.is_empty());
    let changes = changes.join(", ");
    note.map_or_else(|| changes.clone(), |note| format!("{changes}: {note}"))
}
