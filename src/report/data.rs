//! What is known when a report is made: counts that the database added up, and what stands in the settings.

use std::collections::BTreeMap;

use super::facts::Facts;

/// One count. What does not apply is 0 or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its day: Unix time in microseconds of the midnight (UTC).
    pub day: i64,
    /// What was counted.
    pub name: String,
    /// What else tells it apart.
    pub other: String,
    /// How many.
    pub count: u64,
    /// Of these, or beside these.
    pub more: u64,
    /// And beside these.
    pub rest: u64,
}

/// Everything that one report is made of.
#[derive(Debug, Clone)]
pub enum Data {
    /// Of a security report.
    Security(Box<Security>),
    /// Of a threat report.
    Threats(Box<Threats>),
    /// Of a compliance report: the framework's name and what is known.
    Compliance(String, Box<Facts>),
    /// Of a spend report.
    Spend(Box<Spend>),
    /// Of a learning report.
    Learning(Box<Learning>),
}

/// Of a security report.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Requests by day and decision.
    pub decisions: Vec<Row>,
    /// Requests by outcome and reason.
    pub outcomes: Vec<Row>,
    /// Requests by model; of these, blocked.
    pub models: Vec<Row>,
    /// Requests not allowed as they came, by caller; of these, blocked; all of theirs.
    pub callers: Vec<Row>,
    /// Different users, keys and conversations.
    pub who: Row,
    /// Findings by family; in so many requests.
    pub families: Vec<Row>,
    /// Findings by rule; in so many requests.
    pub rules: Vec<Row>,
    /// The titles of rules.
    pub titles: BTreeMap<String, String>,
    /// Alerts and incidents.
    pub soc: Soc,
}

/// Alerts, incidents and remedies.
#[derive(Debug, Clone, Default)]
pub struct Soc {
    /// Alerts by severity (0 to 4) and state.
    pub alerts: Vec<Row>,
    /// Closed alerts by the reason.
    pub alerts_closed: Vec<Row>,
    /// Incidents by severity (0 to 4) and state.
    pub incidents: Vec<Row>,
    /// Closed incidents by the reason.
    pub incidents_closed: Vec<Row>,
    /// Incidents that a person did something about; the mean time until then in microseconds.
    pub acknowledged: Row,
    /// Incidents that were closed; the mean time until then in microseconds.
    pub resolved: Row,
    /// Remedies by action and state.
    pub remedies: Vec<Row>,
}

/// Of a threat report.
#[derive(Debug, Clone, Default)]
pub struct Threats {
    /// Findings by family; in so many requests.
    pub families: Vec<Row>,
    /// Findings by day and family.
    pub days: Vec<Row>,
    /// Findings by severity.
    pub severities: Vec<Row>,
    /// Findings by action and direction.
    pub actions: Vec<Row>,
    /// Findings by rule; in so many requests.
    pub rules: Vec<Row>,
    /// Findings by ids of catalogued threats, with commas between.
    pub threats: Vec<Row>,
    /// The titles of rules.
    pub titles: BTreeMap<String, String>,
    /// The titles of catalogued threats.
    pub catalogue: BTreeMap<String, String>,
    /// The worst incidents.
    pub incidents: Vec<Notable>,
}

/// An incident worth telling of.
#[derive(Debug, Clone, Default)]
pub struct Notable {
    /// Its id.
    pub id: String,
    /// In a few words.
    pub title: String,
    /// How bad.
    pub severity: String,
    /// The user, key or address of its newest alert.
    pub caller: String,
    /// When it was raised: Unix time in microseconds.
    pub opened: i64,
    /// How many alerts.
    pub alerts: u64,
    /// Where it stands, and how it was closed.
    pub state: String,
    /// The families of threats seen.
    pub families: Vec<String>,
}

/// Of a spend report.
#[derive(Debug, Clone, Default)]
pub struct Spend {
    /// Cost, requests and tokens by team (and tenant).
    pub teams: Vec<Row>,
    /// By model.
    pub models: Vec<Row>,
    /// By user (and tenant).
    pub users: Vec<Row>,
    /// By day and model.
    pub days: Vec<Row>,
    /// By day in the month that the report was made in, up to then.
    pub month: Vec<Row>,
    /// Budgets and where they stand.
    pub budgets: Vec<Budget>,
}

/// A budget and where one that it holds for stands.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// What it is called.
    pub name: String,
    /// Whom it is for: a kind.
    pub scope: String,
    /// Of whom this is; empty: of everybody together.
    pub of: String,
    /// `day`, `week`, `month`.
    pub period: String,
    /// What may be used: nano-USD or tokens.
    pub limit: u64,
    /// What is used in the present period.
    pub used: u64,
    /// Whether it counts tokens rather than money.
    pub tokens: bool,
}

/// Of a learning report.
#[derive(Debug, Clone, Default)]
pub struct Learning {
    /// Reports by kind and state.
    pub reported: Vec<Row>,
    /// Reports by day and kind.
    pub days: Vec<Row>,
    /// Proposals that were made or changed within the time.
    pub proposals: Vec<Proposal>,
    /// Whether there were more proposals than are looked at.
    pub more: bool,
    /// Whether learning is switched on.
    pub enabled: bool,
}

/// Rules that were learned, and how they fared.
#[derive(Debug, Clone, Default)]
pub struct Proposal {
    /// The stem of its rules' ids.
    pub stem: String,
    /// What its rules find.
    pub title: String,
    /// Where it stands.
    pub state: String,
    /// When it was made: Unix time in microseconds.
    pub made: i64,
    /// When it came to where it stands.
    pub since: i64,
    /// How many rules.
    pub rules: u64,
    /// Variations that were caught before it, of how many; `None`: it was not tried.
    pub before: Option<(u64, u64)>,
    /// And with it.
    pub after: Option<(u64, u64)>,
    /// Harmless texts that it hit, of how many.
    pub benign: Option<(u64, u64)>,
    /// Requests in which its rules found something, as far as that is counted.
    pub hits: u64,
    /// Who approved it, or took it back.
    pub last: Option<Step>,
}

/// What somebody did with a proposal.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// What.
    pub what: String,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When: Unix time in microseconds.
    pub at: i64,
}
