//! What a sink is to be sent next: the entries of its sources after where it is, in the order in which they happened.

use std::collections::VecDeque;

use super::item::{Item, Kind, Source};
use crate::config::export_settings::{ExportKind, ExportSink};
use crate::store::export::Cursors;
use crate::store::{Database, StoreError};

/// Entries read of each source at once, at least.
const PAGE: u32 = 256;

/// One entry of a source. Without an item it is not for this sink.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) source: Source,
    pub(super) seq: i64,
    pub(super) time: i64,
    pub(super) item: Option<Item>,
    /// Entries up to it that should be there and are not kept any more.
    pub(super) lost: u64,
}

/// Entries that follow each other.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Whether there may be more behind it.
    pub(super) more: bool,
}

/// Whether a sink wants anything of a source.
pub(super) fn wants(settings: &ExportSink, source: Source) -> bool {
    settings.kinds.iter().any(|kind| match kind {
        ExportKind::Alert | ExportKind::Incident | ExportKind::Remedy => source == Source::Feed,
        ExportKind::Audit => source == Source::Audit,
        ExportKind::Record => source == Source::Records,
    })
}

/// Whether a sink wants an item.
pub(super) fn wanted(settings: &ExportSink, item: &Item) -> bool {
    let Some(kind) = item.kind.asked() else { return true };
    let bad = item.kind == Kind::Audit || item.severity >= settings.min_severity;
    settings.kinds.contains(&kind) && bad && (settings.changes || item.change != super::item::Change::Changed)
}

/// Where a source is in the cursors.
pub(super) const fn place(cursors: &mut Cursors, source: Source) -> Option<&mut i64> {
    match source {
        Source::Feed => Some(&mut cursors.feed),
        Source::Audit => Some(&mut cursors.audit),
        Source::Records => Some(&mut cursors.records),
        Source::Test => None,
    }
}

/// Reads the next page of a sink: at most as many items and bytes as it sends together.
pub(super) async fn read(
    database: &Database,
    store: &str,
    settings: &ExportSink,
    cursors: Cursors,
    heads: Cursors,
) -> Result<Page, StoreError> {
    let limit = settings.batch.max(PAGE);
    let mut feed = Read::of(Source::Feed, cursors.feed, heads.feed);
    if wants(settings, Source::Feed) && feed.behind() {
        for entry in database.feed_after(cursors.feed, limit).await? {
            feed.push(entry.seq, entry.time, Item::of_feed(store, &entry));
        }
        feed.end();
    }
    let mut audit = Read::of(Source::Audit, cursors.audit, heads.audit);
    if wants(settings, Source::Audit) && audit.behind() {
        for row in database.audit_page(cursors.audit, limit).await? {
            audit.push(row.seq, row.time, Some(Item::of_audit(store, &row)));
        }
        audit.end();
    }
    let mut records = Read::of(Source::Records, cursors.records, heads.records);
    if wants(settings, Source::Records) && records.behind() {
        for noted in database.export_records(cursors.records, limit).await? {
            records.push(noted.seq, noted.time, Item::of_record(store, &noted));
            if noted.record.is_none() {
                records.lose_last();
            }
        }
        records.end();
    }
    let full = usize::try_from(limit).unwrap_or(usize::MAX);
    let sources = [feed.entries, audit.entries, records.entries];
    let mut page = Page { more: sources.iter().any(|read| read.len() >= full), ..Page::default() };
    merge(settings, sources, &mut page);
    Ok(page)
}

/// What was read of a source after number `last`.
struct Read {
    source: Source,
    last: i64,
    head: i64,
    entries: VecDeque<Entry>,
}

impl Read {
    const fn of(source: Source, last: i64, head: i64) -> Self {
        Self { source, last, head, entries: VecDeque::new() }
    }

    const fn behind(&self) -> bool {
        self.head > self.last
    }

    /// Sources are numbered without holes: what is missing was removed.
    fn push(&mut self, seq: i64, time: i64, item: Option<Item>) {
        let lost = u64::try_from(seq.saturating_sub(self.last).saturating_sub(1)).unwrap_or(0);
        self.last = seq;
        self.entries.push_back(Entry { source: self.source, seq, time, item, lost });
    }

    /// What the last entry is about is not kept any more.
    fn lose_last(&mut self) {
        if let Some(entry) = self.entries.back_mut() {
            entry.lost = entry.lost.saturating_add(1);
        }
    }

    /// Where nothing is left of what there was, that is passed over.
    fn end(&mut self) {
        if self.entries.is_empty() && self.behind() {
            let lost = u64::try_from(self.head.saturating_sub(self.last)).unwrap_or(0);
            let (seq, time) = (self.head, i64::MAX);
            self.entries.push_back(Entry { source: self.source, seq, time, item: None, lost });
        }
    }
}

/// By time, but never against the order within a source.
fn merge(settings: &ExportSink, mut sources: [VecDeque<Entry>; 3], page: &mut Page) {
    let most = usize::try_from(settings.batch).unwrap_or(1);
    let (mut items, mut bytes) = (0_usize, 0_u64);
    loop {
        let next =
            sources.iter_mut().filter(|read| !read.is_empty()).min_by_key(|read| read.front().map(|entry| entry.time));
        let Some(next) = next else { return };
        let Some(mut entry) = next.pop_front() else { return };
        entry.item = entry.item.filter(|item| wanted(settings, item));
        if let Some(item) = &entry.item {
            let size = u64::try_from(item.ocsf.to_string().len().saturating_add(512)).unwrap_or(u64::MAX);
            let over = bytes.saturating_add(size) > settings.batch_bytes.get();
            if items >= most || (over && items > 0) {
                page.more = true;
                return;
            }
            (items, bytes) = (items.saturating_add(1), bytes.saturating_add(size));
        }
        page.entries.push(entry);
    }
}
