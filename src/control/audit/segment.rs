//! Old records move from the store to segment files, which carry the chain on; retention removes whole segments.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_compression::tokio::write::ZstdEncoder;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::batch::read_checkpoint;
use super::chain::{GENESIS, Hash};
use super::entry::{Entry, Kind};
use super::keys::sync_directory;
use super::trail::Trail;
use super::transcript::{End, Header, Reader, record_line};
use super::walk::{self, Against};
use super::{AuditError, KeyRing};
use crate::store::audit::AuditChain;
use crate::store::{Database, StoreError};

/// Records fetched at once.
const PAGE: u32 = 1000;
/// Where segments are, in a trail's directory.
pub const DIRECTORY: &str = "segments";

/// A segment that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first record.
    pub first: i64,
    /// The number of its last.
    pub last: i64,
    /// The file.
    pub path: PathBuf,
}

/// Writes the records `first..=last` of a store and the checkpoints between them; with their personal parts or without.
///
/// # Errors
/// When records are missing, of the database, of writing.
pub async fn write(
    database: &Database,
    out: &mut (impl AsyncWrite + Unpin),
    (first, last): (i64, i64),
    personal: bool,
) -> Result<u64, AuditError> {
    let failed = |error: io::Error| AuditError::file(Path::new("export"), error);
    let head = database.audit_head().await?;
    let mut hash = before(database, first).await?;
    let header = Header { store: head.store.clone(), first, before: hash };
    out.write_all(header.to_line().as_bytes()).await.map_err(failed)?;
    let mut next = first;
    let mut count = 0_u64;
    while next <= last {
        let rows = database.audit_page(next.saturating_sub(1), PAGE).await?;
        let end = rows.last().map_or(last, |row| row.seq.min(last));
        let mut checkpoints = checkpoints(database, next.saturating_sub(1), end).await?.into_iter().peekable();
        let mut text = String::new();
        for row in rows.iter().take_while(|row| row.seq <= last) {
            if row.seq != next {
                return Err(AuditError::Damaged(format!("record {next} is missing from the store")));
            }
            text.push_str(&record_line(row, personal));
            while let Some((_, line)) = checkpoints.next_if(|(seq, _)| *seq <= next) {
                text.push_str(&line);
                text.push('\n');
            }
            hash = Hash::try_from(row.hash.as_slice())
                .map_err(|_| AuditError::Damaged(format!("record {next} has no hash")))?;
            next = next.saturating_add(1);
            count = count.saturating_add(1);
        }
        if text.is_empty() {
            return Err(AuditError::Damaged(format!("record {next} is missing from the store")));
        }
        out.write_all(text.as_bytes()).await.map_err(failed)?;
    }
    let end = End { last: next.saturating_sub(1), hash };
    out.write_all(end.to_line().as_bytes()).await.map_err(failed)?;
    Ok(count)
}

/// The hash of the record before `first`.
async fn before(database: &Database, first: i64) -> Result<Hash, AuditError> {
    let head = database.audit_head().await?;
    let before = first.saturating_sub(1);
    if before == 0 {
        return Ok(GENESIS);
    }
    if before == head.archived {
        return Ok(head.archived_hash);
    }
    let rows = database.audit_page(before.saturating_sub(1), 1).await?;
    let row = rows.first().filter(|row| row.seq == before);
    row.and_then(|row| Hash::try_from(row.hash.as_slice()).ok())
        .ok_or_else(|| AuditError::Missing(format!("record {before} is not in the store")))
}

/// The lines of the checkpoints that end after `after` and not after `last`.
async fn checkpoints(database: &Database, after: i64, last: i64) -> Result<Vec<(i64, String)>, AuditError> {
    let mut found = Vec::new();
    let mut after = after;
    while after < last {
        let page = database.audit_checkpoints(after, PAGE).await?;
        let Some(end) = page.last().map(|stored| stored.seq) else { break };
        for stored in page.iter().filter(|stored| stored.seq <= last) {
            found.push((stored.seq, read_checkpoint(stored)?.to_line()));
        }
        after = end;
    }
    Ok(found)
}

/// The segment files of a directory with the numbers of their first records, oldest first.
///
/// # Errors
/// When the directory cannot be read; where there is none, there are no segments.
pub fn list(directory: &Path) -> Result<Vec<(i64, PathBuf)>, AuditError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AuditError::file(directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| AuditError::file(directory, error))?.path();
        if let Some((first, _)) = range(&path) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

fn name(first: i64, last: i64) -> String {
    format!("{first:020}-{last:020}.jsonl.zst")
}

/// The numbers in a segment's name.
pub(super) fn range(path: &Path) -> Option<(i64, i64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl.zst")?;
    let (first, last) = name.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl Trail {
    /// Moves the oldest records, those before the moment `older_than` (Unix time in microseconds), to segment files of
    /// `segment_records` each; a segment ends at a checkpoint. What is written is read and verified before anything is
    /// removed. Personal parts stay in the store, where they can be erased.
    ///
    /// Replicas that share a store may each do this; every segment is removed from the store once, by whoever holds it.
    ///
    /// # Errors
    /// Of the database, of writing, or because the records do not verify.
    pub async fn archive(&self, older_than: i64) -> Result<Vec<Segment>, AuditError> {
        let directory = self.options().directory.join(DIRECTORY);
        fs::create_dir_all(&directory).map_err(|error| AuditError::file(&directory, error))?;
        let mut made = Vec::new();
        while let Some((first, last)) = self.due(older_than).await? {
            let path = directory.join(name(first, last));
            self.write_segment(&path, first, last).await?;
            let hash = self.verify_segment(&path, last).await?;
            if !self.remove(first, last, hash).await? {
                // Another replica was faster, and has the same segment.
                fs::remove_file(&path).map_err(|error| AuditError::file(&path, error))?;
                continue;
            }
            let entry = Entry::new(Kind::Retention, "audit", "segment")
                .detail("archived_from", first)
                .detail("archived_to", last);
            self.append(entry).await?;
            made.push(Segment { first, last, path });
        }
        Ok(made)
    }

    /// The next segment: from the first record in the store to a checkpoint about `segment_records` later.
    async fn due(&self, older_than: i64) -> Result<Option<(i64, i64)>, AuditError> {
        let database = self.database();
        let head = database.audit_head().await?;
        let first = head.archived.saturating_add(1);
        let wanted = head.archived.saturating_add(i64::from(self.options().segment_records.max(1)));
        let Some(checkpoint) = database.audit_checkpoints(wanted.saturating_sub(1), 1).await?.into_iter().next() else {
            return Ok(None);
        };
        let rows = database.audit_page(checkpoint.seq.saturating_sub(1), 1).await?;
        let old = rows.first().is_some_and(|row| row.seq == checkpoint.seq && row.time < older_than);
        Ok(old.then_some((first, checkpoint.seq)))
    }

    async fn write_segment(&self, path: &Path, first: i64, last: i64) -> Result<(), AuditError> {
        let failed = |error: io::Error| AuditError::file(path, error);
        let aside = path.with_extension("tmp");
        let file = tokio::fs::File::create(&aside).await.map_err(failed)?;
        let mut out = ZstdEncoder::new(file);
        write(self.database(), &mut out, (first, last), false).await?;
        out.shutdown().await.map_err(failed)?;
        out.into_inner().sync_all().await.map_err(failed)?;
        fs::rename(&aside, path).and_then(|()| sync_directory(path)).map_err(failed)
    }

    /// Reads a segment back; gives the hash of its last record.
    async fn verify_segment(&self, path: &Path, last: i64) -> Result<Hash, AuditError> {
        let against = Against { keys: self.keys()?, ..Against::default() };
        if let Err(found) = walk::file(path, &against).await? {
            return Err(AuditError::Damaged(format!("the segment does not verify, nothing was removed: {found}")));
        }
        before(self.database(), last.saturating_add(1)).await
    }

    /// The keys that signed this trail, as far as they are known here.
    fn keys(&self) -> Result<KeyRing, AuditError> {
        KeyRing::of_directory(&self.options().directory)
    }

    /// Removes from the store what a segment holds, unless somebody else did.
    async fn remove(&self, first: i64, last: i64, hash: Hash) -> Result<bool, StoreError> {
        let (mut chain, mut head) = AuditChain::begin(self.database()).await?;
        if head.archived.saturating_add(1) != first {
            chain.roll_back().await;
            return Ok(false);
        }
        chain.remove_until(last).await?;
        head.archived = last;
        head.archived_hash = hash;
        chain.set_head(&head).await?;
        chain.commit().await?;
        Ok(true)
    }

    /// Removes the segments whose records are all older than `older_than` (Unix time in microseconds), oldest first, and
    /// what the store still says of the persons in them. Before a file goes, the chain says that it will.
    ///
    /// # Errors
    /// Of the database or of the files.
    pub async fn retire(&self, older_than: i64) -> Result<Vec<PathBuf>, AuditError> {
        let mut gone = Vec::new();
        for (first, path) in list(&self.options().directory.join(DIRECTORY))? {
            let modified = last_time(&path).await?;
            if modified >= older_than {
                break;
            }
            let last = range(&path).map_or(first, |(_, last)| last);
            let entry = Entry::new(Kind::Retention, "audit", "segment")
                .detail("removed_from", first)
                .detail("removed_to", last);
            self.append(entry).await?;
            while self.database().audit_forget_until(last, PAGE).await? > 0 {}
            fs::remove_file(&path).map_err(|error| AuditError::file(&path, error))?;
            gone.push(path);
        }
        Ok(gone)
    }
}

/// The youngest time in a segment.
async fn last_time(path: &Path) -> Result<i64, AuditError> {
    let mut reader = Reader::open(path).await?;
    let mut time = i64::MIN;
    while let Some(line) = reader.line().await {
        if let Some(record) = super::transcript::body(line) {
            time = time.max(super::chain::Body::read(record).map_or(i64::MAX, |body| body.time));
        }
    }
    Ok(time)
}
