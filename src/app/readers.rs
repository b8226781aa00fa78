//! Who reads events.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::backing::Backing;
use crate::config::settings::Settings;
use crate::control::surge::{Raise, Surges};
use crate::control::{self, Reader, RecordWriter};
use crate::telemetry;

/// Those that do not depend on the security operations centre.
pub(super) fn readers(
    settings: &Settings,
    telemetry: &telemetry::Guard,
    backing: Option<&Backing>,
    ending: &Arc<AtomicBool>,
    raise: Raise,
) -> Vec<Box<dyn Reader>> {
    let mut readers: Vec<Box<dyn Reader>> =
        vec![Box::new(control::Observer::new(telemetry.metrics(), telemetry.traces()))];
    readers.push(Box::new(Surges::new(settings.alarms.spend(), settings.alarms.loops(), raise)));
    if let Some(path) = &settings.record.path {
        let writer = RecordWriter::new(path, settings.record.max_size.get(), settings.record.keep, telemetry.metrics());
        readers.push(Box::new(writer));
    }
    if let Some(Backing { writer, trail, vault, overflow, .. }) = backing {
        let runtime = tokio::runtime::Handle::current();
        let (trail, vault, ending) = (trail.clone(), Arc::clone(vault), Arc::clone(ending));
        readers.push(Box::new(control::Keeper::new(writer.clone(), *overflow, trail, vault, runtime, ending)));
    }
    readers
}
