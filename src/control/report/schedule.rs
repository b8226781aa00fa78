//! Reports that are made by themselves: each time one is due, one replica makes it; after a downtime only the last.

use std::collections::HashSet;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ReportDesk, ReportError};
use crate::config::report_settings::{Every, Schedule};
use crate::control::audit::{Entry, Kind as AuditKind, Outcome, Trail};
use crate::report::{Ask, Format, Kind, Rendered};
use crate::store::{self, Database, ReportRun};

/// How often a due report is tried before it is given up.
const TRIES: u32 = 3;
/// How long after the longest time that making one may take another replica tries.
const GRACE: Duration = Duration::from_secs(60);

/// Makes what is due.
pub struct Scheduler {
    desk: ReportDesk,
    database: Database,
    trail: Trail,
    schedules: Vec<Schedule>,
    every: Duration,
    worker: String,
    begun: HashSet<String>,
}

impl Scheduler {
    /// Looks at these every so often.
    pub fn new(desk: ReportDesk, database: Database, trail: Trail, schedules: Vec<Schedule>, every: Duration) -> Self {
        let worker = format!("rpw_{}", Uuid::now_v7().simple());
        Self { desk, database, trail, schedules, every, worker, begun: HashSet::new() }
    }

    /// Until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let work = self.look(store::now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = work => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }

    /// Makes what is due at `now`, and forgets what is too old.
    pub async fn look(&mut self, now: i64) {
        for schedule in self.schedules.clone() {
            if let Err(error) = self.one(&schedule, now).await {
                tracing::warn!(schedule = %schedule.name(), %error, "a scheduled report was not made");
            }
        }
        if let Err(error) = self.desk.forget(now).await {
            tracing::debug!(%error, "old reports could not be removed");
        }
    }

    async fn one(&mut self, schedule: &Schedule, now: i64) -> Result<(), ReportError> {
        let Some((due, ask)) = due(schedule, now) else { return Ok(()) };
        let name = schedule.name();
        if !self.begun.contains(&name) {
            self.database.begin_schedule(&name, due).await?;
            self.begun.insert(name.clone());
        }
        let lease = i64::try_from(self.desk.timeout().saturating_mul(2).saturating_add(GRACE).as_micros());
        let lease_until = now.saturating_add(lease.unwrap_or(i64::MAX));
        let run = ReportRun { schedule: name.clone(), due, worker: self.worker.clone(), lease_until, tries: TRIES };
        if !self.database.take_run(&run, now).await? {
            return Ok(());
        }
        let entry = || Entry::new(AuditKind::Export, "gateway", format!("report/{name}")).detail("what", "report.make");
        let failed = |error: &dyn std::fmt::Display| ReportError::Failed(format!("audit trail: {error}"));
        self.trail.append(entry().detail("due", due)).await.map_err(|error| failed(&error))?;
        if let Err(error) = self.make(schedule, &ask).await {
            let outcome = entry().outcome(Outcome::Failure);
            if let Err(error) = self.trail.append(outcome).await {
                tracing::warn!(%error, "the audit trail has a report as made that failed");
            }
            return Err(error);
        }
        Ok(self.database.end_run(&run).await?)
    }

    async fn make(&self, schedule: &Schedule, ask: &Ask) -> Result<(), ReportError> {
        let (_, report) = self.desk.make(ask).await?;
        let Some(folder) = &schedule.output else { return Ok(()) };
        let report = Arc::new(report);
        for format in &schedule.formats {
            let Some(format) = Format::from_name(format.name()) else { continue };
            let written = self.desk.write(&report, format).await?;
            let folder = folder.clone();
            let saved = tokio::task::spawn_blocking(move || save(&folder, &written)).await;
            saved.map_err(|error| ReportError::Failed(error.to_string()))??;
        }
        Ok(())
    }
}

/// Writes a file so that nobody ever sees half of it; a file of the same name is replaced.
fn save(folder: &Path, written: &Rendered) -> Result<(), ReportError> {
    let failed = |error: std::io::Error| ReportError::File(format!("{}: {error}", folder.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let beside = folder.join(format!(".{}.{}", written.file, Uuid::new_v4().simple()));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let done = made
        .and_then(|mut file| file.write_all(&written.bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, folder.join(&written.file)));
    done.map_err(|error| {
        drop(std::fs::remove_file(&beside));
        failed(error)
    })
}

/// When it was last due at `now`, and what is asked for then; `None` where the schedule cannot be read.
pub fn due(schedule: &Schedule, now: i64) -> Option<(i64, Ask)> {
    let at = schedule.at()?;
    let today = Timestamp::from_microsecond(now).ok()?.to_zoned(TimeZone::UTC).datetime();
    let clock = |day: jiff::civil::Date| day.at(at.hour, at.minute, 0, 0);
    let micros = |at: DateTime| Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond());
    let before = |at: DateTime, span: Span| at.checked_sub(span).ok();
    let (due, since, until) = match schedule.every {
        Every::Day => {
            let last = clock(today.date());
            let due = if last > today { before(last, Span::new().days(1))? } else { last };
            let until = due.date().at(0, 0, 0, 0);
            (due, before(until, Span::new().days(1))?, until)
        }
        Every::Week => {
            let ahead = i64::from(today.date().weekday().to_monday_zero_offset()).saturating_sub(at.day.into());
            let last = before(clock(today.date()), Span::new().days(ahead))?;
            let due = if last > today { before(last, Span::new().days(7))? } else { last };
            let until = due.date().at(0, 0, 0, 0);
            (due, before(until, Span::new().days(7))?, until)
        }
        Every::Month => {
            let day = jiff::civil::Date::new(today.year(), today.month(), at.day).ok()?;
            let last = clock(day);
            let due = if last > today { before(last, Span::new().months(1))? } else { last };
            let until = due.date().first_of_month().at(0, 0, 0, 0);
            (due, before(until, Span::new().months(1))?, until)
        }
    };
    let ask = Ask {
        kind: Kind::from_name(schedule.kind.name())?,
        framework: schedule.framework.clone(),
        since: micros(since)?,
        until: micros(until)?,
        tenant: schedule.tenant.clone(),
        made: now,
        by: "schedule".to_owned(),
    };
    Some((micros(due)?, ask))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::report_settings::ReportKind;
    use crate::report::say::{day, time};

    fn told(every: Every, at: &str, now: &str) -> String {
        let schedule = Schedule {
            kind: ReportKind::Security,
            framework: None,
            tenant: None,
            every,
            at: at.to_owned(),
            formats: Vec::new(),
            output: None,
        };
        let now: Timestamp = now.parse().unwrap();
        let (due, ask) = due(&schedule, now.as_microsecond()).unwrap();
        format!("{}: {} to {}", time(due), day(ask.since), day(ask.until - 1))
    }

    #[test]
    fn what_is_due_is_about_whole_days_weeks_and_months_before() {
        let day = |now| told(Every::Day, "06:00", now);
        assert_eq!(day("2026-03-02T06:00:00Z"), "2026-03-02 06:00: 2026-03-01 to 2026-03-01");
        assert_eq!(day("2026-03-02T05:59:59Z"), "2026-03-01 06:00: 2026-02-28 to 2026-02-28");
        // 2026-03-02 is a Monday.
        let week = |now| told(Every::Week, "tue 06:00", now);
        assert_eq!(week("2026-03-02T12:00:00Z"), "2026-02-24 06:00: 2026-02-17 to 2026-02-23");
        assert_eq!(week("2026-03-03T06:00:00Z"), "2026-03-03 06:00: 2026-02-24 to 2026-03-02");
        assert_eq!(week("2026-03-08T23:00:00Z"), "2026-03-03 06:00: 2026-02-24 to 2026-03-02");
        let month = |now| told(Every::Month, "28 06:00", now);
        assert_eq!(month("2026-03-02T12:00:00Z"), "2026-02-28 06:00: 2026-01-01 to 2026-01-31");
        assert_eq!(month("2026-01-02T12:00:00Z"), "2025-12-28 06:00: 2025-11-01 to 2025-11-30");
        assert_eq!(month("2026-03-28T06:00:00Z"), "2026-03-28 06:00: 2026-02-01 to 2026-02-28");
    }
}
