//! Verification of a whole trail: segment files, then the store, beside the checkpoint files outside it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use super::AuditError;
use super::batch::read_checkpoint;
use super::chain::GENESIS;
use super::checkpoint::Signed;
use super::keys::KeyRing;
use super::prepare::{Columns, Found, prepare_all};
use super::segment;
use super::transcript::{Elsewhere, Reader};
use super::verify::{Fault, Finding, Place, Summary, Verifier, finding};
use super::witness::Lines;
use crate::store::audit::{AuditHead, AuditView};
use crate::store::{Database, StoreError};
use crate::types::unhex;

/// Records fetched at once.
const PAGE: u32 = 2000;

/// What to verify a trail with.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// The keys that are believed.
    pub keys: KeyRing,
    /// The directory (or the file) with the checkpoints that were kept outside the store.
    pub checkpoints: Option<PathBuf>,
    /// The directory with the segment files.
    pub segments: Option<PathBuf>,
}

/// What stopped a verification.
enum Stop {
    Found(Finding),
    Failed(AuditError),
}

impl From<Finding> for Stop {
    fn from(found: Finding) -> Self {
        Self::Found(found)
    }
}

impl From<AuditError> for Stop {
    fn from(error: AuditError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            // A cell that does not hold what it should was changed by somebody.
            StoreError::Value(what) => Self::Found(finding(0, Fault::Changed, what)),
            other => Self::Failed(other.into()),
        }
    }
}

fn outcome(done: Result<Summary, Stop>) -> Result<Result<Summary, Finding>, AuditError> {
    match done {
        Ok(summary) => Ok(Ok(summary)),
        Err(Stop::Found(found)) => Ok(Err(found)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Verifies the trail of a store, segments first. The inner result says whether it is intact.
///
/// # Errors
/// When something cannot be read that has nothing to do with the chain.
pub async fn store(database: &Database, against: &Against) -> Result<Result<Summary, Finding>, AuditError> {
    watched(database, against, &AtomicI64::new(0)).await
}

/// The same, saying how far it is: `reached` is the last record verified so far.
///
/// # Errors
/// As of `store`.
pub async fn watched(
    database: &Database,
    against: &Against,
    reached: &AtomicI64,
) -> Result<Result<Summary, Finding>, AuditError> {
    outcome(walk_store(database, against, reached).await)
}

/// Verifies the records from `first` to `last` as the store has them: their chain and the checkpoints within. What stands
/// before is taken as it is, and what stands outside the store is not looked at.
///
/// # Errors
/// As of `store`.
pub async fn range(
    database: &Database,
    keys: KeyRing,
    (first, last): (i64, i64),
    reached: &AtomicI64,
) -> Result<Result<Summary, Finding>, AuditError> {
    outcome(walk_range(database, keys, (first, last), reached).await)
}

async fn walk_range(
    database: &Database,
    keys: KeyRing,
    (first, last): (i64, i64),
    reached: &AtomicI64,
) -> Result<Summary, Stop> {
    let head = database.audit_head().await?;
    let (first, last) = (first.max(head.archived.saturating_add(1)), last.min(head.seq));
    let before = if first == 1 {
        GENESIS
    } else if first == head.archived.saturating_add(1) {
        head.archived_hash
    } else {
        let page = database.audit_page(first.saturating_sub(2), 1).await?;
        let row = page.first().filter(|row| row.seq == first.saturating_sub(1));
        let gone = || finding(first.saturating_sub(1), Fault::Removed, "the record is missing");
        row.and_then(|row| row.hash.as_slice().try_into().ok()).ok_or_else(gone)?
    };
    let mut verifier = Verifier::new(keys, first, before, Some(head.store.clone()));
    walk_rows(database, (last, head.checkpoint), &mut verifier, &mut Outside::open(None)?, reached).await?;
    let missing = last.saturating_sub(verifier.next().saturating_sub(1));
    if missing > 0 {
        return Err(finding(verifier.next(), Fault::Removed, format!("{missing} records are missing")).into());
    }
    Ok(verifier.finish())
}

/// Verifies an export or a segment. Checkpoints outside it that go beyond its end are not held against it: it may be
/// older than they are.
///
/// # Errors
/// As of `store`.
pub async fn file(path: &Path, against: &Against) -> Result<Result<Summary, Finding>, AuditError> {
    outcome(walk_file(path, against).await)
}

async fn walk_file(path: &Path, against: &Against) -> Result<Summary, Stop> {
    let mut outside = Outside::open(against.checkpoints.as_deref())?;
    let mut reader = Reader::open(path).await?;
    let header = reader.header.clone();
    let mut verifier = Verifier::new(against.keys.clone(), header.first, header.before, Some(header.store));
    reader.verify(&mut verifier, &Elsewhere::new(), |verifier, next| outside.show(verifier, next)).await?;
    let next = verifier.next();
    outside.show(&mut verifier, next)?;
    Ok(verifier.finish())
}

async fn walk_store(database: &Database, against: &Against, reached: &AtomicI64) -> Result<Summary, Stop> {
    // In this order: what is in a file was in the store before.
    let mut outside = Outside::open(against.checkpoints.as_deref())?;
    let head = database.audit_head().await?;
    if outside.is_empty() && against.checkpoints.is_some() && head.checkpoint > 0 {
        return Err(finding(1, Fault::MissingCheckpoint, "there are no checkpoints outside the store").into());
    }
    let files = match &against.segments {
        Some(directory) => segment::list(directory)?,
        None => Vec::new(),
    };
    let mut verifier = match files.first() {
        Some((_, path)) => {
            let header = Reader::open(path).await?.header;
            Verifier::new(against.keys.clone(), header.first, header.before, Some(head.store.clone()))
        }
        None => {
            let before = if head.archived == 0 { GENESIS } else { head.archived_hash };
            let first = head.archived.saturating_add(1);
            Verifier::new(against.keys.clone(), first, before, Some(head.store.clone()))
        }
    };
    let first = verifier.next();
    for (_, path) in &files {
        walk_segment(database, path, &mut verifier, &mut outside).await?;
        reached.store(verifier.next().saturating_sub(1), Ordering::Relaxed);
    }
    walk_rows(database, (i64::MAX, head.checkpoint), &mut verifier, &mut outside, reached).await?;
    let next = verifier.next();
    outside.show(&mut verifier, next)?;
    // What is left goes beyond the last record.
    outside.show(&mut verifier, i64::MAX)?;
    check_end(database, &head, &verifier).await?;
    let summary = verifier.finish();
    if first > 1 && summary.retired < first.saturating_sub(1) {
        let what = format!("records 1 to {} are neither here nor in the segments given", first.saturating_sub(1));
        return Err(finding(1, Fault::Removed, what).into());
    }
    Ok(summary)
}

async fn walk_segment(
    database: &Database,
    path: &Path,
    verifier: &mut Verifier,
    outside: &mut Outside,
) -> Result<(), Stop> {
    let mut reader = Reader::open(path).await?;
    let (first, next) = (reader.header.first, verifier.next());
    if first > next {
        return Err(finding(next, Fault::Removed, format!("the segment with it is missing, before {first}")).into());
    }
    if first < next {
        return Err(finding(first, Fault::Doubled, "two segments hold it").into());
    }
    // As many as a segment has records, no more.
    let mut elsewhere = Elsewhere::new();
    let (mut from, last) = (first, segment::range(path).map_or(first, |(_, last)| last));
    loop {
        let page = database.audit_personal(from, last, PAGE).await?;
        let Some((end, _)) = page.last() else { break };
        from = end.saturating_add(1);
        elsewhere.extend(page);
    }
    reader.verify(verifier, &elsewhere, |verifier, next| outside.show(verifier, next)).await?;
    Ok(())
}

/// Shows the verifier the rows up to number `until`, and the checkpoints in the store that end there or before.
async fn walk_rows(
    database: &Database,
    (until, checkpoint): (i64, i64),
    verifier: &mut Verifier,
    outside: &mut Outside,
    reached: &AtomicI64,
) -> Result<(), Stop> {
    let fetch = |after: i64| {
        let database = database.clone();
        tokio::spawn(async move { database.audit_bulk(after, PAGE).await })
    };
    let after = verifier.next().saturating_sub(1);
    let mut inside = Inside { database, after, last: checkpoint.min(until), page: VecDeque::new() };
    let mut page = fetch(inside.after).await.map_err(|_| AuditError::Closed)??;
    loop {
        let mut rows = page.rows()?;
        rows.retain(|row| row.seq <= until);
        let last = rows.last().map(|row| row.seq);
        // The next page is on its way while this one is verified.
        let following = last.filter(|last| *last < until).map(fetch);
        inside.fill(last.unwrap_or(i64::MAX)).await?;
        let found: Vec<Found<'_>> = rows.iter().map(found).collect();
        let prepared = prepare_all(&found, *verifier.head());
        for (found, prepared) in found.iter().zip(prepared) {
            let next = verifier.next();
            inside.show(verifier, next)?;
            outside.show(verifier, next)?;
            verifier.prepared(found, prepared)?;
        }
        reached.store(verifier.next().saturating_sub(1), Ordering::Relaxed);
        let Some(following) = following else { break };
        page = following.await.map_err(|_| AuditError::Closed)??;
    }
    // The rest covers the last records, or more than there are.
    inside.show(verifier, i64::MAX)?;
    Ok(())
}

fn found<'a>(row: &AuditView<'a>) -> Found<'a> {
    Found {
        seq: Some(row.seq),
        body: row.body,
        hash: unhex(row.hash),
        personal: row.personal.map(|(salt, body)| (unhex(salt), body)),
        columns: Some(Columns { id: row.id, time: row.time, kind: row.kind, actor: row.actor, request: row.request }),
    }
}

/// The store also keeps where its chain ends.
async fn check_end(database: &Database, before: &AuditHead, verifier: &Verifier) -> Result<(), Stop> {
    let last = verifier.next().saturating_sub(1);
    if last < before.seq {
        let what = format!("the store's chain ended with record {}, and the last one there is {last}", before.seq);
        return Err(finding(verifier.next(), Fault::Truncated, what).into());
    }
    let after = database.audit_head().await?;
    let moved = after.seq < last || (after.seq == last && after.hash != *verifier.head());
    if moved {
        return Err(
            finding(last, Fault::Changed, format!("the store says its chain ends with record {}", after.seq)).into()
        );
    }
    Ok(())
}

/// The checkpoints outside the store, one ahead.
struct Outside {
    lines: Option<Lines>,
    next: Option<Result<Signed, Finding>>,
}

impl Outside {
    fn open(path: Option<&Path>) -> Result<Self, AuditError> {
        let lines = path.map(|path| Lines::open(path).map_err(|error| AuditError::file(path, error))).transpose()?;
        let mut outside = Self { lines, next: None };
        outside.advance();
        Ok(outside)
    }

    fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    fn advance(&mut self) {
        let line = self.lines.as_mut().and_then(Iterator::next);
        self.next = line.map(|line| {
            let signed = line.ok().as_deref().and_then(Signed::from_line);
            signed.ok_or_else(|| finding(0, Fault::BadSignature, "a line of the checkpoint files is no checkpoint"))
        });
    }

    /// Shows the verifier the checkpoints that end before record `next`.
    fn show(&mut self, verifier: &mut Verifier, next: i64) -> Result<(), Finding> {
        loop {
            match &self.next {
                Some(Ok(signed)) if signed.checkpoint.seq < next => verifier.checkpoint(signed, Place::Outside)?,
                Some(Err(found)) => return Err(Finding { seq: verifier.next(), ..found.clone() }),
                Some(Ok(_)) | None => return Ok(()),
            }
            self.advance();
        }
    }
}

/// The checkpoints of the store, a page ahead.
struct Inside<'a> {
    database: &'a Database,
    after: i64,
    /// The last one when the walk began: later ones may cover records that came after the last page.
    last: i64,
    page: VecDeque<Signed>,
}

impl Inside<'_> {
    /// Fetches those that end at `until` or before.
    async fn fill(&mut self, until: i64) -> Result<(), Stop> {
        while self.after < until.min(self.last) {
            let fetched = self.database.audit_checkpoints(self.after, PAGE).await?;
            let Some(end) = fetched.last().map(|stored| stored.seq) else { return Ok(()) };
            for stored in &fetched {
                if stored.seq > self.last {
                    continue;
                }
                let signed = read_checkpoint(stored).ok().filter(|signed| signed.checkpoint.seq == stored.seq);
                let unreadable =
                    || finding(stored.seq, Fault::BadSignature, "the checkpoint that ends here was changed");
                self.page.push_back(signed.ok_or_else(unreadable)?);
            }
            self.after = end;
        }
        Ok(())
    }

    /// Shows the verifier those that end before record `next`.
    fn show(&mut self, verifier: &mut Verifier, next: i64) -> Result<(), Finding> {
        while let Some(signed) = self.page.pop_front_if(|signed| signed.checkpoint.seq < next) {
            verifier.checkpoint(&signed, Place::Inside)?;
        }
        Ok(())
    }
}
