//! `RecordWriter`: each Record as one JSON line in a rotating file of mode 0600.

use std::path::Path;
use std::time::{Duration, Instant};

use tracing::error;

use super::events::Reader;
use super::rotate::Rotating;
use crate::telemetry::Metrics;
use crate::types::{Event, Record};

/// Lines that may wait for the end of a batch.
const MAX_BUFFER: usize = 1 << 20;
/// How often a failing file is worth a log line.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Writes records. What cannot be written is counted and lost: the gateway goes on.
pub struct RecordWriter {
    file: Rotating,
    buffer: Vec<u8>,
    /// Records in `buffer`.
    waiting: u64,
    metrics: Metrics,
    complained: Option<Instant>,
}

impl RecordWriter {
    /// Writes to `path`, made with its directory when the first record comes. At `max_size` bytes the file is set aside
    /// as `path.1`; `keep` of these are kept.
    pub fn new(path: &Path, max_size: u64, keep: usize, metrics: Metrics) -> Self {
        Self {
            file: Rotating::new(path, max_size, keep),
            buffer: Vec::with_capacity(64 << 10),
            waiting: 0,
            metrics,
            complained: None,
        }
    }

    fn line(&mut self, record: &Record) {
        let before = self.buffer.len();
        if let Err(problem) = serde_json::to_writer(&mut self.buffer, record) {
            self.buffer.truncate(before);
            self.failed(1, &problem.to_string());
            return;
        }
        self.buffer.push(b'\n');
        self.waiting += 1;
    }

    fn failed(&mut self, records: u64, problem: &str) {
        self.metrics.record_write_failed(records);
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            error!(records, problem, "records cannot be written and are lost; further failures are only counted");
        }
    }
}

impl Reader for RecordWriter {
    fn read(&mut self, event: &Event) {
        match event {
            Event::Request(record) => self.line(record),
            Event::Reload(_) => {}
        }
        if self.buffer.len() >= MAX_BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.waiting);
        if let Err(problem) = self.file.append(&self.buffer) {
            self.failed(records, &problem.to_string());
        }
        self.buffer.clear();
    }
}
