//! Runs of the attack lab: what was tried, and what became of it.

use super::{Database, Row, StoreError};
use crate::values;

/// One run. `body` is JSON of whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabRow {
    /// `lab_` and a sortable id.
    pub id: String,
    /// When it began: Unix time in microseconds.
    pub started: i64,
    /// When it was last known to go on.
    pub touched: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// `running`, `done`, `cancelled`, `failed`.
    pub state: String,
    /// The hash of the rules that it was run against.
    pub rule_set: String,
    /// Who began it: an account's name.
    pub by: String,
    /// What was asked for and what came of it, as JSON.
    pub body: String,
}

/// A run as a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabReport {
    /// For programs.
    Json,
    /// For pipelines.
    Junit,
    /// For people.
    Html,
}

const LIST: &str =
    "SELECT id, started, touched, ended, state, rule_set, by_, body FROM lab_runs ORDER BY id DESC LIMIT $1";
const ONE: &str = "SELECT id, started, touched, ended, state, rule_set, by_, body FROM lab_runs WHERE id = $1";

fn run_of(row: &Row) -> Result<LabRow, StoreError> {
    Ok(LabRow {
        id: row.text(0)?,
        started: row.int(1)?,
        touched: row.int(2)?,
        ended: row.maybe_int(3)?,
        state: row.text(4)?,
        rule_set: row.text(5)?,
        by: row.text(6)?,
        body: row.text(7)?,
    })
}

/// Runs of the attack lab.
impl Database {
    /// Writes a new run; of the older ones `keep` stay.
    pub async fn insert_lab_run(&self, run: &LabRow, keep: u32) -> Result<(), StoreError> {
        let mut session = self.begin().await?;
        let sql = "INSERT INTO lab_runs (id, started, touched, ended, state, rule_set, by_, body) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let texts = values![
            run.id.clone(),
            run.started,
            run.touched,
            run.ended,
            run.state.clone(),
            run.rule_set.clone(),
            run.by.clone(),
            run.body.clone(),
        ];
        session.execute(sql, texts).await?;
        let old = "DELETE FROM lab_runs WHERE id NOT IN (SELECT id FROM lab_runs ORDER BY id DESC LIMIT $1)";
        session.execute(old, values![keep.max(1)]).await?;
        session.execute("DELETE FROM lab_results WHERE run NOT IN (SELECT id FROM lab_runs)", Vec::new()).await?;
        session.commit().await
    }

    /// Adds results to a run, each with its place, and says that it goes on.
    pub async fn add_lab_results(&self, run: &str, results: &[(u32, String)], now: i64) -> Result<(), StoreError> {
        let mut session = self.begin().await?;
        for (at, body) in results {
            let sql = "INSERT INTO lab_results (run, at_, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            session.execute(sql, values![run.to_owned(), *at, body.clone()]).await?;
        }
        session.execute("UPDATE lab_runs SET touched = $2 WHERE id = $1", values![run.to_owned(), now]).await?;
        session.commit().await
    }

    /// Writes what a run came to.
    pub async fn change_lab_run(&self, run: &LabRow) -> Result<(), StoreError> {
        let sql = "UPDATE lab_runs SET touched = $2, ended = $3, state = $4, body = $5 WHERE id = $1";
        let values = values![run.id.clone(), run.touched, run.ended, run.state.clone(), run.body.clone()];
        self.write().await?.execute(sql, values).await.map(drop)
    }

    /// Keeps the reports of a run: JSON, JUnit, HTML.
    pub async fn keep_lab_reports(&self, run: &str, reports: [String; 3]) -> Result<(), StoreError> {
        let [json, junit, html] = reports;
        let sql = "UPDATE lab_runs SET report = $2, junit = $3, html = $4 WHERE id = $1";
        self.write().await?.execute(sql, values![run.to_owned(), json, junit, html]).await.map(drop)
    }

    /// The newest runs.
    pub async fn lab_runs(&self, limit: u32) -> Result<Vec<LabRow>, StoreError> {
        let rows = self.read().await?.rows(LIST, values![limit]).await?;
        rows.iter().map(run_of).collect()
    }

    /// One run.
    pub async fn lab_run(&self, id: &str) -> Result<Option<LabRow>, StoreError> {
        self.read().await?.row(ONE, values![id.to_owned()]).await?.as_ref().map(run_of).transpose()
    }

    /// What became of a run's trials, in the order of its plan.
    pub async fn lab_results(&self, run: &str, limit: u32) -> Result<Vec<(u32, String)>, StoreError> {
        let sql = "SELECT at_, body FROM lab_results WHERE run = $1 ORDER BY at_ LIMIT $2";
        let rows = self.read().await?.rows(sql, values![run.to_owned(), limit]).await?;
        rows.iter().map(|row| Ok((u32::try_from(row.int(0)?).unwrap_or(0), row.text(1)?))).collect()
    }

    /// A run's report; `None` where there is none (yet).
    pub async fn lab_report(&self, run: &str, form: LabReport) -> Result<Option<String>, StoreError> {
        let sql = match form {
            LabReport::Json => "SELECT report FROM lab_runs WHERE id = $1",
            LabReport::Junit => "SELECT junit FROM lab_runs WHERE id = $1",
            LabReport::Html => "SELECT html FROM lab_runs WHERE id = $1",
        };
        self.read().await?.row(sql, values![run.to_owned()]).await?.map_or(Ok(None), |row| row.maybe_text(0))
    }
}
