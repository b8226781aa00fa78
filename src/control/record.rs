//! `RecordWriter`: each Record as one JSON line in a rotating file of mode 0600.

use std::path::Path;
use std::time::{Duration, Instant};

use tracing::error;

use super::events::{Reader, Told};
use super::rotate::Rotating;
use crate::telemetry::Metrics;
use crate::types::Event;

/// Lines that may wait for the end of a batch.
const MAX_BUFFER: usize = 64 << 10;
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
            buffer: Vec::with_capacity(MAX_BUFFER + (4 << 10)),
            waiting: 0,
            metrics,
            complained: None,
        }
    }

    fn line(&mut self, record: &str) {
        if record.is_empty() {
            return self.failed(1, "a record has no JSON form");
        }
        self.buffer.extend_from_slice(record.as_bytes());
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
    fn read(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::Request(_) => self.line(told.record()),
            Event::Reload(_) | Event::Alarm(_) | Event::Content(_) | Event::ToolHeld(_) => {}
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::RecordWriter;
    use crate::control::events::{Reader as _, Told};
    use crate::telemetry::Metrics;
    use crate::types::{Dialect, Event, Generation, Outcome, Record, RequestId};

    fn event(id: &str) -> Event {
        let mut record = Record::new(1_700_000_000_000_001, RequestId(id.into()), Generation(4));
        record.method = Arc::from("POST");
        record.path = Arc::from("/chat/completions");
        record.dialect = Some(Dialect::Chat);
        record.outcome = Outcome::Served;
        record.status = 200;
        Event::Request(Box::new(record))
    }

    #[test]
    fn each_record_is_one_line_of_json() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        let mut writer = RecordWriter::new(&path, 1 << 20, 1, Metrics::new("portcullis").unwrap());
        writer.read(&Told::new(&event("req_1")));
        writer.read(&Told::new(&event("req_2")));
        assert!(!path.exists(), "nothing is written before the batch ends");
        writer.flush();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["id"], "req_2");
        assert_eq!(lines[0]["time"], 1_700_000_000_000_001_i64);
        assert_eq!(lines[0]["dialect"], "chat");
        assert_eq!(lines[0]["outcome"], "served");
        assert_eq!(lines[0]["generation"], 4);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_rest_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let in_the_way = directory.path().join("data");
        fs::write(&in_the_way, "").unwrap();
        let metrics = Metrics::new("portcullis").unwrap();
        let mut writer = RecordWriter::new(&in_the_way.join("records.jsonl"), 1 << 20, 1, metrics.clone());
        writer.read(&Told::new(&event("req_1")));
        writer.read(&Told::new(&event("req_2")));
        writer.flush();
        assert!(metrics.render().unwrap().contains("portcullis_record_write_errors_total 2\n"));
        fs::remove_file(&in_the_way).unwrap();
        writer.read(&Told::new(&event("req_3")));
        writer.flush();
        let text = fs::read_to_string(in_the_way.join("records.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("req_3"));
    }
}
