//! The shape of `[reports]`: what is kept of reports, and those that are made by themselves.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Time;

/// Reports. Not reloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Reports that are kept; the oldest are removed.
    pub keep: u32,
    /// How long one is kept; 0: as long as there are not too many.
    pub max_age: Time,
    /// Reports that are made or written in a format at once.
    pub at_once: usize,
    /// Further ones that may wait for that; more are refused.
    pub waiting: usize,
    /// How long making one may take.
    pub timeout: Time,
    /// Rows of a table that is not cut shorter for another reason.
    pub rows: u32,
    /// How often it is looked whether one is due.
    pub every: Time,
    /// Reports that are made by themselves, by one replica each.
    pub schedules: Vec<Schedule>,
}

/// A report that is made by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Which: `security`, `threats`, `compliance`, `spend` or `learning`.
    pub kind: ReportKind,
    /// The framework of a compliance report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<String>,
    /// Only of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How often: about the last whole day, the last seven, or the last calendar month.
    pub every: Every,
    /// When (UTC): `06:00`; of a week `mon 06:00`; of a month `1 06:00`, 1 to 28.
    pub at: String,
    /// How it is written into `output`.
    #[serde(default)]
    pub formats: Vec<ReportFormat>,
    /// A folder for its files. Nothing is ever removed there. Absent: it is kept in the store only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
}

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// Traffic, decisions, alerts, incidents.
    Security,
    /// Threats by family and catalogue.
    Threats,
    /// What the gateway contributes to a framework.
    Compliance,
    /// What was spent.
    Spend,
    /// What was learned.
    Learning,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportFormat {
    /// Pages.
    Pdf,
    /// One page for a browser.
    Html,
    /// Markdown.
    Md,
    /// The document itself.
    Json,
    /// Its tables.
    Csv,
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Each day.
    Day,
    /// Each week.
    Week,
    /// Each calendar month.
    Month,
}

/// When a schedule is due, all UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Of a week, 0 (Monday) to 6; of a month, 1 to 28; of a day 0.
    pub day: i8,
    /// 0 to 23.
    pub hour: i8,
    /// 0 to 59.
    pub minute: i8,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            keep: 200,
            max_age: Time::from_secs(366 * 86_400),
            at_once: 2,
            waiting: 8,
            timeout: Time::from_secs(300),
            rows: 200,
            every: Time::from_secs(30),
            schedules: Vec::new(),
        }
    }
}

impl ReportKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Threats => "threats",
            Self::Compliance => "compliance",
            Self::Spend => "spend",
            Self::Learning => "learning",
        }
    }
}

impl ReportFormat {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Md => "md",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

impl Every {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Schedule {
    /// When it is due; `None` where `at` cannot be read.
    pub fn at(&self) -> Option<At> {
        let (day, clock) = match self.every {
            Every::Day => (0, self.at.trim()),
            Every::Week => {
                let (day, clock) = self.at.trim().split_once(' ')?;
                let word = day.get(..3)?.to_ascii_lowercase();
                (i8::try_from(WEEK.iter().position(|own| *own == word)?).ok()?, clock)
            }
            Every::Month => {
                let (day, clock) = self.at.trim().split_once(' ')?;
                (day.parse().ok().filter(|day| (1..=28).contains(day))?, clock)
            }
        };
        let (hour, minute) = clock.trim().split_once(':')?;
        let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
        ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(At { day, hour, minute })
    }

    /// What tells it apart from the others, on every replica and after every restart.
    pub fn name(&self) -> String {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let (kind, every) = (self.kind.name(), self.every.name());
        format!("{kind}/{}/{}/{every}/{}", word(&self.framework), word(&self.tenant), self.at.trim())
    }
}

impl Reports {
    /// What is wrong with it, by key.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut need = |holds: bool, key: String, told: &str| {
            if !holds {
                found.push((key, told.to_owned()));
            }
        };
        need((1..=10_000).contains(&self.keep), "keep".to_owned(), "must be 1 to 10000");
        need((1..=64).contains(&self.at_once), "at_once".to_owned(), "must be 1 to 64");
        need(!self.timeout.is_zero(), "timeout".to_owned(), "must be longer than 0");
        need(!self.every.is_zero(), "every".to_owned(), "must be longer than 0");
        need((50..=5_000).contains(&self.rows), "rows".to_owned(), "must be 50 to 5000");
        let mut names = std::collections::BTreeSet::new();
        for (number, one) in self.schedules.iter().enumerate() {
            let key = |key: &str| format!("schedules.{number}.{key}");
            let told = "write it like `06:00`; of a week like `mon 06:00`; of a month like `1 06:00` (day 1 to 28)";
            need(one.at().is_some(), key("at"), told);
            let compliance = one.kind == ReportKind::Compliance;
            let told = "a compliance report needs a framework, and no other has one";
            need(one.framework.is_some() == compliance, key("framework"), told);
            need(one.output.is_some() || one.formats.is_empty(), key("formats"), "there is no output for files");
            need(one.output.is_none() || !one.formats.is_empty(), key("formats"), "name at least one for the output");
            need(names.insert(one.name()), key("at"), "the same report is due at the same time twice");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(every: Every, at: &str) -> Schedule {
        Schedule {
            kind: ReportKind::Security,
            framework: None,
            tenant: None,
            every,
            at: at.to_owned(),
            formats: Vec::new(),
            output: None,
        }
    }

    #[test]
    fn times_are_read_and_wrong_ones_are_not() {
        let at = |every, text: &str| schedule(every, text).at().map(|at| (at.day, at.hour, at.minute));
        assert_eq!(at(Every::Day, "06:30"), Some((0, 6, 30)));
        assert_eq!(at(Every::Week, "Monday 6:00"), Some((0, 6, 0)));
        assert_eq!(at(Every::Week, "sun 23:59"), Some((6, 23, 59)));
        assert_eq!(at(Every::Month, "28 00:00"), Some((28, 0, 0)));
        for (every, text) in [
            (Every::Day, "24:00"),
            (Every::Day, "6"),
            (Every::Week, "06:00"),
            (Every::Week, "xyz 06:00"),
            (Every::Week, "é 06:00"),
            (Every::Month, "29 06:00"),
            (Every::Month, "mon 06:00"),
        ] {
            assert_eq!(at(every, text), None, "{text}");
        }
    }

    #[test]
    fn the_defaults_have_no_problem_and_each_mistake_is_named() {
        assert_eq!(Reports::default().problems(), []);
        let wrong =
            Schedule { kind: ReportKind::Compliance, formats: vec![ReportFormat::Pdf], ..schedule(Every::Day, "x") };
        let good = schedule(Every::Day, "06:00");
        let bad = Reports { keep: 0, schedules: vec![wrong, good.clone(), good], ..Reports::default() };
        let keys: Vec<String> = bad.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["keep", "schedules.0.at", "schedules.0.framework", "schedules.0.formats", "schedules.2.at"]);
    }
}
