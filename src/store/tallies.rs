//! What reports count: each question is one statement that adds up in the database and answers in few rows.

use std::time::Duration;

use super::{Backend, Database, Row, Session, StoreError};
use crate::types::soc::Incident;
use crate::values;

/// How long one question may take: nobody's request waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is counted: when, and of whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TallyScope {
    /// From when: Unix time in microseconds.
    pub since: i64,
    /// Before when: Unix time in microseconds.
    pub until: i64,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// The most rows of an answer.
    pub limit: u32,
}

/// One row of an answer. What a question does not speak of is 0 or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Its day: Unix time in microseconds of the midnight (UTC).
    pub day: i64,
    /// What was counted.
    pub name: String,
    /// What else tells it apart.
    pub other: String,
    /// How many.
    pub count: u64,
    /// Of these, or beside these, as the question says.
    pub more: u64,
    /// And beside these.
    pub rest: u64,
}

macro_rules! of_requests {
    ($columns:literal, $tail:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM requests WHERE time >= $1 AND time < $2 AND ($3 = '' OR tenant = $3) ",
            $tail,
            " LIMIT $4"
        )
    };
}

macro_rules! of_findings {
    ($columns:literal, $tail:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM findings f WHERE f.time >= $1 AND f.time < $2 AND ($3 = '' OR EXISTS (SELECT 1 FROM requests r \
             WHERE r.id = f.request AND r.tenant = $3)) ",
            $tail,
            " LIMIT $4"
        )
    };
}

macro_rules! of_spend {
    ($columns:literal, $tail:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", CAST(SUM(cost) AS BIGINT), CAST(SUM(requests) AS BIGINT), CAST(SUM(input_tokens + output_tokens) AS BIGINT) \
             FROM spend_hourly WHERE bucket >= $1 - $1 % 3600000000 AND bucket < $2 AND ($3 = '' OR tenant = $3) ",
            $tail,
            " LIMIT $4"
        )
    };
}

macro_rules! of_soc {
    ($columns:literal, $from:literal, $time:literal, $tail:literal) => {
        concat!(
            "SELECT CAST(0 AS BIGINT), ",
            $columns,
            " FROM ",
            $from,
            " WHERE ",
            $time,
            " >= $1 AND ",
            $time,
            " < $2 AND ($3 = '' OR t.tenant = $3) ",
            $tail,
            " LIMIT $4"
        )
    };
}

/// Makes the enum and its statements; two statements are SQLite's and PostgreSQL's.
macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident => $sqlite:expr $(, $postgres:expr)?;)+) => {
        /// A question.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Tally {
            $($(#[$doc])* $name,)+
        }

        impl Tally {
            /// Every question.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            const fn sql(self, backend: Backend) -> &'static str {
                match (self, backend) {
                    $($((Self::$name, Backend::Postgres) => $postgres,)? (Self::$name, _) => $sqlite,)+
                }
            }
        }
    };
}

questions! {
    /// Requests by day and decision.
    Decisions => of_requests!("time - time % 86400000000, decision, '', CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), \
        CAST(0 AS BIGINT)", "GROUP BY 1, 2 ORDER BY 1, 2");
    /// Requests by outcome and reason.
    Outcomes => of_requests!("CAST(0 AS BIGINT), outcome, COALESCE(reason, ''), CAST(COUNT(*) AS BIGINT), \
        CAST(0 AS BIGINT), CAST(0 AS BIGINT)", "GROUP BY outcome, reason ORDER BY 4 DESC, 2, 3");
    /// Requests by model; of these, blocked.
    Models => of_requests!("CAST(0 AS BIGINT), COALESCE(model, ''), '', CAST(COUNT(*) AS BIGINT), \
        CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT), CAST(0 AS BIGINT)",
        "GROUP BY model ORDER BY 4 DESC, 2");
    /// Requests that were not allowed as they came, by caller and what names them; of these, blocked; and all of theirs.
    Callers => of_requests!("CAST(0 AS BIGINT), COALESCE(user_, key_, address, ''), CASE WHEN user_ IS NOT NULL THEN 'user' \
        WHEN key_ IS NOT NULL THEN 'key' ELSE 'address' END, \
        CAST(SUM(CASE WHEN decision <> 'allow' THEN 1 ELSE 0 END) AS BIGINT), \
        CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT), CAST(COUNT(*) AS BIGINT)",
        "GROUP BY 2, 3 HAVING SUM(CASE WHEN decision <> 'allow' THEN 1 ELSE 0 END) > 0 ORDER BY 5 DESC, 4 DESC, 2");
    /// Different users, keys and conversations.
    Who => of_requests!("CAST(0 AS BIGINT), '', '', CAST(COUNT(DISTINCT user_) AS BIGINT), \
        CAST(COUNT(DISTINCT key_) AS BIGINT), CAST(COUNT(DISTINCT session) AS BIGINT)", "");
    /// Findings by family; in so many requests.
    Families => of_findings!("CAST(0 AS BIGINT), f.family, '', CAST(COUNT(*) AS BIGINT), \
        CAST(COUNT(DISTINCT f.request) AS BIGINT), CAST(0 AS BIGINT)", "GROUP BY f.family ORDER BY 5 DESC, 2");
    /// Findings by day and family.
    FamilyDays => of_findings!("f.time - f.time % 86400000000, f.family, '', CAST(COUNT(*) AS BIGINT), \
        CAST(0 AS BIGINT), CAST(0 AS BIGINT)", "GROUP BY 1, 2 ORDER BY 1, 2");
    /// Findings by severity.
    Severities => of_findings!("CAST(0 AS BIGINT), f.severity, '', CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), \
        CAST(0 AS BIGINT)", "GROUP BY f.severity ORDER BY 4 DESC");
    /// Findings by action and direction.
    Actions => of_findings!("CAST(0 AS BIGINT), f.action, f.direction, CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), \
        CAST(0 AS BIGINT)", "GROUP BY f.action, f.direction ORDER BY 4 DESC, 2, 3");
    /// Findings by rule and family; in so many requests.
    Rules => of_findings!("CAST(0 AS BIGINT), f.rule, f.family, CAST(COUNT(*) AS BIGINT), \
        CAST(COUNT(DISTINCT f.request) AS BIGINT), CAST(0 AS BIGINT)", "GROUP BY f.rule, f.family ORDER BY 5 DESC, 2");
    /// Findings by the ids of catalogued threats, with commas between.
    Threats => of_findings!("CAST(0 AS BIGINT), f.threats, '', CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), \
        CAST(0 AS BIGINT)", "GROUP BY f.threats ORDER BY 4 DESC, 2");
    /// Spend by team: cost, requests, tokens.
    SpendTeams => of_spend!("CAST(0 AS BIGINT), team, tenant", "GROUP BY team, tenant ORDER BY 4 DESC, 2, 3");
    /// Spend by model.
    SpendModels => of_spend!("CAST(0 AS BIGINT), model, ''", "GROUP BY model ORDER BY 4 DESC, 2");
    /// Spend by user.
    SpendUsers => of_spend!("CAST(0 AS BIGINT), user_, tenant", "GROUP BY user_, tenant ORDER BY 4 DESC, 2, 3");
    /// Spend by day and model.
    SpendDays => of_spend!("bucket - bucket % 86400000000, model, ''", "GROUP BY 1, 2 ORDER BY 1, 2");
    /// Alerts by severity (0 to 4) and state.
    Alerts => of_soc!("CAST(t.severity AS TEXT), t.state, CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT)",
        "alerts t", "t.first_seen", "GROUP BY t.severity, t.state ORDER BY t.severity DESC, t.state");
    /// Closed alerts by the reason.
    AlertsClosed => of_soc!("COALESCE(json_extract(t.body, '$.closed.reason'), ''), '', CAST(COUNT(*) AS BIGINT), \
        CAST(0 AS BIGINT), CAST(0 AS BIGINT)", "alerts t", "t.first_seen",
        "AND t.state = 'closed' GROUP BY 2 ORDER BY 4 DESC, 2"),
        of_soc!("COALESCE(t.body::json #>> '{closed,reason}', ''), '', CAST(COUNT(*) AS BIGINT), \
        CAST(0 AS BIGINT), CAST(0 AS BIGINT)", "alerts t", "t.first_seen",
        "AND t.state = 'closed' GROUP BY 2 ORDER BY 4 DESC, 2");
    /// Incidents by severity (0 to 4) and state; of these, with somebody who looks into them.
    Incidents => of_soc!("CAST(t.severity AS TEXT), t.state, CAST(COUNT(*) AS BIGINT), CAST(COUNT(t.assignee) AS BIGINT), \
        CAST(0 AS BIGINT)", "incidents t", "t.opened",
        "AND t.merged_into IS NULL GROUP BY t.severity, t.state ORDER BY t.severity DESC, t.state");
    /// Closed incidents by the reason.
    IncidentsClosed => of_soc!("COALESCE(json_extract(t.body, '$.closed.reason'), ''), '', CAST(COUNT(*) AS BIGINT), \
        CAST(0 AS BIGINT), CAST(0 AS BIGINT)", "incidents t", "t.opened",
        "AND t.state = 'closed' AND t.merged_into IS NULL GROUP BY 2 ORDER BY 4 DESC, 2"),
        of_soc!("COALESCE(t.body::json #>> '{closed,reason}', ''), '', CAST(COUNT(*) AS BIGINT), \
        CAST(0 AS BIGINT), CAST(0 AS BIGINT)", "incidents t", "t.opened",
        "AND t.state = 'closed' AND t.merged_into IS NULL GROUP BY 2 ORDER BY 4 DESC, 2");
    /// Incidents that a person did something about; the mean time until then in microseconds.
    Acknowledged => "SELECT CAST(0 AS BIGINT), '', '', CAST(COUNT(*) AS BIGINT), \
        CAST(COALESCE(AVG(a.first_ - a.opened), 0) AS BIGINT), CAST(0 AS BIGINT) FROM (SELECT t.opened AS opened, \
        MIN(l.time) AS first_ FROM incidents t JOIN soc_log l ON l.about = t.id WHERE t.opened >= $1 AND t.opened < $2 \
        AND ($3 = '' OR t.tenant = $3) AND t.merged_into IS NULL AND json_extract(l.body, '$.kind') IN ('changed', 'comment') \
        AND json_extract(l.body, '$.actor') NOT IN ('gateway', 'analyst') GROUP BY t.id, t.opened) a LIMIT $4",
        "SELECT CAST(0 AS BIGINT), '', '', CAST(COUNT(*) AS BIGINT), \
        CAST(COALESCE(AVG(a.first_ - a.opened), 0) AS BIGINT), CAST(0 AS BIGINT) FROM (SELECT t.opened AS opened, \
        MIN(l.time) AS first_ FROM incidents t JOIN soc_log l ON l.about = t.id WHERE t.opened >= $1 AND t.opened < $2 \
        AND ($3 = '' OR t.tenant = $3) AND t.merged_into IS NULL AND l.body::json ->> 'kind' IN ('changed', 'comment') \
        AND l.body::json ->> 'actor' NOT IN ('gateway', 'analyst') GROUP BY t.id, t.opened) a LIMIT $4";
    /// Incidents that were closed; the mean time until then in microseconds.
    Resolved => of_soc!("'', '', CAST(COUNT(*) AS BIGINT), \
        CAST(COALESCE(AVG(json_extract(t.body, '$.closed.at') - t.opened), 0) AS BIGINT), CAST(0 AS BIGINT)",
        "incidents t", "t.opened", "AND t.state = 'closed' AND t.merged_into IS NULL"),
        of_soc!("'', '', CAST(COUNT(*) AS BIGINT), \
        CAST(COALESCE(AVG((t.body::json #>> '{closed,at}')::bigint - t.opened), 0) AS BIGINT), CAST(0 AS BIGINT)",
        "incidents t", "t.opened", "AND t.state = 'closed' AND t.merged_into IS NULL");
    /// Remedies by action and state.
    Remedies => "SELECT CAST(0 AS BIGINT), COALESCE(json_extract(t.body, '$.action.kind'), ''), t.state, \
        CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM remedies t WHERE t.due >= $1 AND t.due < $2 \
        AND ($3 = '' OR EXISTS (SELECT 1 FROM incidents i WHERE i.id = t.incident AND i.tenant = $3)) \
        GROUP BY 2, 3 ORDER BY 4 DESC, 2, 3 LIMIT $4",
        "SELECT CAST(0 AS BIGINT), COALESCE(t.body::json #>> '{action,kind}', ''), t.state, \
        CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM remedies t WHERE t.due >= $1 AND t.due < $2 \
        AND ($3 = '' OR EXISTS (SELECT 1 FROM incidents i WHERE i.id = t.incident AND i.tenant = $3)) \
        GROUP BY 2, 3 ORDER BY 4 DESC, 2, 3 LIMIT $4";
    /// Reports of what was judged wrongly, by kind and state. They have no tenant.
    Reported => "SELECT CAST(0 AS BIGINT), kind, state, CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT) \
        FROM learn_reports WHERE made >= $1 AND made < $2 AND $3 = $3 GROUP BY kind, state ORDER BY kind, state LIMIT $4";
    /// Reports by day and kind.
    ReportedDays => "SELECT made - made % 86400000000, kind, '', CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), \
        CAST(0 AS BIGINT) FROM learn_reports WHERE made >= $1 AND made < $2 AND $3 = $3 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $4";
    /// Records of the audit trail by kind.
    Audited => "SELECT CAST(0 AS BIGINT), kind, '', CAST(COUNT(*) AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT) \
        FROM audit WHERE time >= $1 AND time < $2 AND $3 = $3 GROUP BY kind ORDER BY kind LIMIT $4";
    /// Contents that are kept, by how; and when the oldest is of.
    Contents => "SELECT CAST(0 AS BIGINT), mode, '', CAST(COUNT(*) AS BIGINT), CAST(COALESCE(MIN(time), 0) AS BIGINT), \
        CAST(0 AS BIGINT) FROM contents WHERE ($1 = $1 OR $2 = $2) AND $3 = $3 GROUP BY mode ORDER BY mode LIMIT $4";
    /// Gateway keys that are in force at the end, with and without an end of their own; and those with an owner.
    Keys => "SELECT CAST(0 AS BIGINT), CASE WHEN expires IS NULL THEN 'endless' ELSE 'ending' END, '', \
        CAST(COUNT(*) AS BIGINT), CAST(SUM(CASE WHEN user_ IS NULL AND team IS NULL THEN 0 ELSE 1 END) AS BIGINT), \
        CAST(0 AS BIGINT) FROM keys WHERE (revoked IS NULL OR revoked > $2) AND (expires IS NULL OR expires > $2) \
        AND created < $2 AND created >= $1 - $1 AND ($3 = '' OR tenant = $3) GROUP BY 2 ORDER BY 2 LIMIT $4";
}

fn tallied(row: &Row) -> Result<Tallied, StoreError> {
    Ok(Tallied {
        day: row.int(0)?,
        name: row.text(1)?,
        other: row.text(2)?,
        count: row.count(3)?,
        more: row.count(4)?,
        rest: row.count(5)?,
    })
}

/// What reports ask.
impl Database {
    /// The answers to these questions, in their order. PostgreSQL gives them all of one moment.
    pub async fn tallies(&self, scope: &TallyScope, asked: &[Tally]) -> Result<Vec<Vec<Tallied>>, StoreError> {
        let mut session = self.patient().await?;
        let mut all = Vec::with_capacity(asked.len());
        for question in asked {
            let tenant = scope.tenant.clone().unwrap_or_default();
            let values = values![scope.since, scope.until, tenant, scope.limit];
            let rows = session.rows(question.sql(session.backend()), values).await?;
            all.push(rows.iter().map(tallied).collect::<Result<_, _>>()?);
        }
        if matches!(session.backend(), Backend::Postgres) {
            session.roll_back().await;
        }
        Ok(all)
    }

    /// The worst incidents that were raised within a time, the newest of each severity first.
    pub async fn notable_incidents(&self, scope: &TallyScope) -> Result<Vec<Incident>, StoreError> {
        let sql = "SELECT body FROM incidents WHERE opened >= $1 AND opened < $2 AND ($3 = '' OR tenant = $3) \
                   AND merged_into IS NULL ORDER BY severity DESC, opened DESC LIMIT $4";
        let tenant = scope.tenant.clone().unwrap_or_default();
        let rows = self.read().await?.rows(sql, values![scope.since, scope.until, tenant, scope.limit]).await?;
        rows.iter()
            .map(|row| serde_json::from_str(&row.text(0)?).map_err(|why| StoreError::Value(why.to_string())))
            .collect()
    }

    /// A connection for questions that take a while; of PostgreSQL a transaction that sees one moment.
    async fn patient(&self) -> Result<Session, StoreError> {
        let mut session = self.read().await?.within(PATIENCE);
        if matches!(session.backend(), Backend::Postgres) {
            session.begin().await?;
            let sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = '60s'";
            session.script(sql).await?;
        }
        Ok(session)
    }
}
