//! Builds reports: the desk that the admin API uses, and what makes those that are due.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Error;
use super::backing::Backing;
use crate::config::Handle;
use crate::control::report::{DeskOptions, ReportDesk, Scheduler};

/// The desk, where there is a store.
///
/// # Errors
/// What is built in cannot be read.
pub(super) fn desk(handle: &Arc<Handle>, backing: Option<&Backing>) -> Result<Option<ReportDesk>, Error> {
    let Some(backing) = backing else { return Ok(None) };
    let options = DeskOptions::of(&handle.load().settings.reports);
    let desk = ReportDesk::new(backing.database.clone(), Arc::clone(handle), options);
    desk.map(Some).map_err(|error| Error::Admin(error.to_string()))
}

/// Makes what is due, until `stop`.
pub(super) fn schedule(desk: &ReportDesk, handle: &Arc<Handle>, backing: &Backing, stop: &CancellationToken) {
    let settings = &handle.load().settings.reports;
    let (schedules, every) = (settings.schedules.clone(), settings.every.get());
    let (database, trail) = (backing.database.clone(), backing.trail.clone());
    let scheduler = Scheduler::new(desk.clone(), database, trail, schedules, every);
    tokio::spawn(scheduler.run(stop.clone()));
}
