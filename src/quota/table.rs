//! Buckets by id: sharded, and bounded in number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bucket::{Bucket, BucketId, Scope};
use super::cell::Cell;
use super::clock::Now;

const SHARDS: usize = 64;

/// A full shard is searched for idle buckets at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// All buckets in memory. Callers beyond the bound share one bucket per rule, so that inventing names gains nothing,
/// memory stays bounded, and callers that are known keep their own.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<Mutex<Shard>>,
    most: usize,
}

/// A part of the table.
#[derive(Debug, Default)]
pub(super) struct Shard {
    cells: HashMap<BucketId, Arc<Cell>, BuildHasherDefault<Ready>>,
    swept: Option<u64>,
}

impl Table {
    /// A table of at most about `max_entries` buckets.
    pub(super) fn new(max_entries: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most: max_entries.div_ceil(SHARDS).max(1) }
    }

    /// The cell of a bucket, made if there is room, or else the one that newcomers share.
    pub(super) fn cell(&self, bucket: &Bucket, now: Now) -> Arc<Cell> {
        let id = bucket.id();
        if let Some(cell) = self.find_or_add(id, bucket, now, false) {
            return cell;
        }
        let others = BucketId { scope: Scope::OTHERS, ..id };
        // Forced, so it is there; a cell of its own is what is left to say to the compiler.
        self.find_or_add(others, bucket, now, true).unwrap_or_else(|| Arc::new(Cell::new(others, &bucket.rule, now)))
    }

    /// The cell of a bucket, if there is one.
    pub(super) fn find(&self, id: BucketId) -> Option<Arc<Cell>> {
        let shard = self.shard(id)?.lock().unwrap_or_else(PoisonError::into_inner);
        shard.cells.get(&id).cloned()
    }

    /// The parts it is made of: whoever visits every cell locks one part at a time.
    pub(super) fn shards(&self) -> &[Mutex<Shard>] {
        &self.shards
    }

    /// Forgets buckets that are as good as new.
    pub(super) fn forget_idle(&self, now: Now) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.sweep(now);
            shard.cells.shrink_to_fit();
        }
    }

    /// Buckets remembered.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).cells.len()).sum()
    }

    fn find_or_add(&self, id: BucketId, bucket: &Bucket, now: Now, force: bool) -> Option<Arc<Cell>> {
        let mut shard = self.shard(id)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = shard.cells.get(&id) {
            return Some(Arc::clone(cell));
        }
        if shard.cells.len() >= self.most && !force && !shard.make_room(now, self.most) {
            return None;
        }
        let cell = Arc::new(Cell::new(id, &bucket.rule, now));
        shard.cells.insert(id, Arc::clone(&cell));
        Some(cell)
    }

    fn shard(&self, id: BucketId) -> Option<&Mutex<Shard>> {
        self.shards.get((id.hash64() >> 58) as usize % SHARDS)
    }
}

impl Shard {
    fn make_room(&mut self, now: Now, most: usize) -> bool {
        let due = self.swept.is_none_or(|swept| now.mono.saturating_sub(swept) >= SWEEP_EVERY.as_nanos() as u64);
        if due {
            self.sweep(now);
        }
        self.cells.len() < most
    }

    /// A cell that only the map knows of and that is idle can go: nobody can reach it while the shard is locked.
    fn sweep(&mut self, now: Now) {
        self.swept = Some(now.mono);
        self.cells.retain(|_, cell| {
            if Arc::strong_count(cell) > 1 {
                return true;
            }
            let mut state = cell.lock();
            state.roll(now, None);
            !state.is_idle()
        });
    }
}

/// The cells of a part, as they are now.
pub(super) fn cells(shard: &Mutex<Shard>) -> Vec<Arc<Cell>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner).cells.values().cloned().collect()
}

/// Takes the hash a bucket's id carries already.
#[derive(Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word.rotate_left(29);
    }

    fn write_u128(&mut self, word: u128) {
        self.0 ^= word as u64;
    }
}
