//! Verification, record by record: a state machine that is shown a chain and its checkpoints and names the first fault.

use std::fmt;

use serde_json::Value;

use super::chain::{Body, GENESIS, Hash, details};
use super::checkpoint::{Signed, introduced};
use super::keys::{KeyRing, PublicKey};
use super::merkle::Tree;
use super::prepare::{Found, Prepared, prepare};
use crate::types::unhex;

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A record is not what it was.
    Changed,
    /// Records are missing.
    Removed,
    /// A record stands in the place of another.
    Swapped,
    /// A record is there again.
    Doubled,
    /// The end is missing.
    Truncated,
    /// The chain is consistent, and not the one that was signed.
    Rewritten,
    /// Two histories were signed.
    Forked,
    /// A checkpoint's signature is wrong.
    BadSignature,
    /// A checkpoint was signed with a key that is not believed.
    UnknownKey,
    /// A checkpoint, or all of them, are missing.
    MissingCheckpoint,
}

impl Fault {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Swapped => "swapped",
            Self::Doubled => "doubled",
            Self::Truncated => "truncated",
            Self::Rewritten => "rewritten",
            Self::Forked => "forked",
            Self::BadSignature => "bad_signature",
            Self::UnknownKey => "unknown_key",
            Self::MissingCheckpoint => "missing_checkpoint",
        }
    }
}

/// The first fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The number of the first bad record, or of the first that a bad checkpoint covers.
    pub seq: i64,
    /// What is wrong.
    pub fault: Fault,
    /// The same for people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}: {}", self.seq, self.fault.name(), self.what)
    }
}

pub(super) fn finding(seq: i64, fault: Fault, what: impl Into<String>) -> Finding {
    Finding { seq, fault, what: what.into() }
}

/// What was verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records whose hashes are right.
    pub records: u64,
    /// The first and the last of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// Checkpoints whose signatures are right.
    pub checkpoints: u64,
    /// Records after the last checkpoint: chained, not signed yet.
    pub unsigned: i64,
    /// Records that only a checkpoint within the store covers, none outside.
    pub unwitnessed: i64,
    /// Records whose personal part is not there: it was erased, or is not in this file.
    pub erased: u64,
    /// Records before `first` that were removed under a retention rule, as the chain says.
    pub retired: i64,
}

/// Where a checkpoint was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the store, or in the file that also holds the records.
    Inside,
    /// In files outside the store.
    Outside,
}

/// A checkpoint that was seen: the record it ends at, and its hash.
type Seen = Option<(i64, Hash)>;

/// Verifies a chain from its first record on. Memory does not grow with the chain.
#[derive(Debug)]
pub struct Verifier {
    keys: KeyRing,
    store: Option<String>,
    /// The number of the next record.
    next: i64,
    /// The hash of the record before it.
    before: Hash,
    /// The hashes since the last checkpoint, and the number of the first of them.
    tree: Tree,
    tree_from: i64,
    seen: Seen,
    inside: Seen,
    outside: Seen,
    summary: Summary,
}

impl Verifier {
    /// Begins with record `first`, which follows one with the hash `before` (`GENESIS` for the first of all).
    pub fn new(keys: KeyRing, first: i64, before: Hash, store: Option<String>) -> Self {
        Self {
            keys,
            store,
            next: first,
            before,
            tree: Tree::default(),
            tree_from: first,
            seen: None,
            inside: None,
            outside: None,
            summary: Summary { first, last: first.saturating_sub(1), ..Summary::default() },
        }
    }

    /// The number of the next record.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The hash of the record before it.
    pub fn head(&self) -> &Hash {
        &self.before
    }

    /// Shows it the next record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn record(&mut self, found: &Found<'_>) -> Result<(), Finding> {
        self.prepared(found, prepare(found, self.before))
    }

    /// Shows it the next record, what it takes to verify it having been computed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn prepared(&mut self, found: &Found<'_>, prepared: Prepared<'_>) -> Result<(), Finding> {
        let expected = self.next;
        let Prepared { before, body: read, computed, leaf, committed } = prepared;
        match found.seq.or(read.as_ref().map(|body| body.seq)) {
            Some(seq) if seq > expected => {
                return Err(match seq.saturating_sub(expected) {
                    1 => finding(expected, Fault::Removed, "the record is missing"),
                    many => finding(expected, Fault::Removed, format!("{many} records are missing from here on")),
                });
            }
            Some(seq) if seq < expected => return Err(finding(seq, Fault::Doubled, "the record is there again")),
            _ => {}
        }
        let Some(body) = read else {
            return Err(finding(expected, Fault::Changed, "the record cannot be read"));
        };
        if before != self.before || Some(computed) != found.hash || body.seq != expected {
            return Err(misplaced(expected, &body));
        }
        self.beside(found, &body, committed)?;
        if body.kind == "signing_key" {
            self.introduction(found.body);
        } else if body.kind == "retention" {
            self.retention(found.body);
        }
        self.tree.push_leaf(leaf);
        self.before = computed;
        self.next = expected.saturating_add(1);
        self.summary.records = self.summary.records.saturating_add(1);
        self.summary.last = expected;
        Ok(())
    }

    /// Compares what stands beside the body with it.
    fn beside(&mut self, found: &Found<'_>, body: &Body<'_>, committed: bool) -> Result<(), Finding> {
        let changed = |what: &str| finding(body.seq, Fault::Changed, format!("{what} is not what the record says"));
        if let Some(columns) = &found.columns {
            let wrong = [
                ("the id beside it", !same(columns.id, &body.id)),
                ("the time beside it", columns.time != body.time),
                ("the kind beside it", !same(columns.kind, &body.kind)),
                ("the actor beside it", !same(columns.actor, &body.actor)),
                (
                    "the request beside it",
                    match (columns.request, &body.request) {
                        (Some(column), Some(said)) => !same(column, said),
                        (None, None) => false,
                        _ => true,
                    },
                ),
            ];
            if let Some((what, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
                return Err(changed(what));
            }
        }
        match (&body.commitment, found.personal) {
            (Some(_), Some(_)) if committed => {}
            (_, Some(_)) => return Err(changed("its personal part")),
            (Some(_), None) => self.summary.erased = self.summary.erased.saturating_add(1),
            (None, None) => {}
        }
        Ok(())
    }

    /// A key that a believed key introduces is believed from here on.
    fn introduction(&mut self, body: &str) {
        let details = details(body);
        let text = |name: &str| details.get(name).and_then(Value::as_str).unwrap_or_default();
        let (Some(new), Some(store)) = (PublicKey::from_hex(text("public_key")), &self.store) else { return };
        let Some(old) = self.keys.find(text("introduced_by")) else { return };
        let good = unhex::<64>(text("signature")).is_some_and(|signature| introduced(old, &new, store, &signature));
        if good {
            self.keys.trust(new);
        }
    }

    /// The chain itself says which of its records were removed in good order.
    fn retention(&mut self, body: &str) {
        if let Some(last) = details(body).get("removed_to").and_then(Value::as_i64) {
            self.summary.retired = self.summary.retired.max(last);
        }
    }

    /// Shows it a checkpoint, after the records it covers or before the first record of all.
    ///
    /// # Errors
    /// What is wrong with it, or with the records it covers.
    pub fn checkpoint(&mut self, signed: &Signed, place: Place) -> Result<(), Finding> {
        let checkpoint = &signed.checkpoint;
        let (seq, from) = (checkpoint.seq, checkpoint.from);
        match signed.verifies(&self.keys) {
            None => {
                let what = format!("the checkpoint at record {seq} is signed with the unknown key {}", checkpoint.key);
                return Err(finding(from, Fault::UnknownKey, what));
            }
            Some(false) => {
                let what = format!("the signature of the checkpoint at record {seq} is wrong");
                return Err(finding(from, Fault::BadSignature, what));
            }
            Some(true) => {}
        }
        if self.store.get_or_insert_with(|| checkpoint.store.clone()) != &checkpoint.store {
            return Err(finding(from, Fault::Rewritten, "the checkpoints are of another store"));
        }
        let last = self.next.saturating_sub(1);
        if seq > last {
            let what = format!("a checkpoint covers records up to {seq}, and the last one there is {last}");
            return Err(finding(self.next, Fault::Truncated, what));
        }
        self.follows(signed, place)?;
        if let Some((at, known)) = self.seen
            && seq <= at
        {
            if seq == at && signed.hash() == known {
                return Ok(());
            }
            return Err(finding(from, Fault::Forked, format!("there are two checkpoints up to record {seq}")));
        }
        if seq == last {
            self.covers(signed)?;
        }
        self.seen = Some((seq, signed.hash()));
        self.summary.checkpoints = self.summary.checkpoints.saturating_add(1);
        Ok(())
    }

    /// Each place has every checkpoint, one after the other, and both have the same.
    fn follows(&mut self, signed: &Signed, place: Place) -> Result<(), Finding> {
        let checkpoint = &signed.checkpoint;
        let (mine, where_) = match place {
            Place::Inside => (&mut self.inside, "the store"),
            Place::Outside => (&mut self.outside, "the checkpoint files"),
        };
        let known = mine.replace((checkpoint.seq, signed.hash()));
        let (expected, gapless) = match known {
            Some((at, hash)) => (at, checkpoint.previous == hash),
            // A chain that is read from its first record on has its first checkpoint too.
            None => (0, self.summary.first > 1 || checkpoint.previous == GENESIS),
        };
        if !gapless {
            let what = format!(
                "the checkpoint up to record {} in {where_} does not follow the one up to record {expected}",
                checkpoint.seq
            );
            let fault =
                if checkpoint.from > expected.saturating_add(1) { Fault::MissingCheckpoint } else { Fault::Forked };
            return Err(finding(expected.saturating_add(1), fault, what));
        }
        let after_seen = self.seen.is_none_or(|(at, hash)| checkpoint.seq <= at || checkpoint.previous == hash);
        if after_seen {
            Ok(())
        } else {
            let what = format!("two histories were signed before record {}", checkpoint.seq);
            Err(finding(checkpoint.from, Fault::Forked, what))
        }
    }

    /// The records up to here are the ones that were signed.
    fn covers(&mut self, signed: &Signed) -> Result<(), Finding> {
        let checkpoint = &signed.checkpoint;
        let whole = self.tree_from == checkpoint.from && self.tree.count() > 0;
        if checkpoint.head != self.before || (whole && checkpoint.root != self.tree.root()) {
            let what = format!(
                "records {} to {} are a consistent chain, but not the one that was signed",
                checkpoint.from, checkpoint.seq
            );
            return Err(finding(checkpoint.from, Fault::Rewritten, what));
        }
        self.tree = Tree::default();
        self.tree_from = self.next;
        Ok(())
    }

    /// What was verified, when all was shown.
    pub fn finish(mut self) -> Summary {
        let last = self.summary.last;
        let signed = self.seen.map_or(self.summary.first.saturating_sub(1), |(at, _)| at);
        self.summary.unsigned = last.saturating_sub(signed).max(0);
        let outside = self.outside.map_or(self.summary.first.saturating_sub(1), |(at, _)| at);
        self.summary.unwitnessed = signed.saturating_sub(outside).max(0);
        self.summary
    }
}

/// Why a record does not belong where it stands.
fn misplaced(expected: i64, body: &Body<'_>) -> Finding {
    if body.seq > expected {
        finding(expected, Fault::Swapped, format!("record {} stands in its place", body.seq))
    } else if body.seq < expected {
        finding(expected, Fault::Doubled, format!("record {} stands here again", body.seq))
    } else {
        finding(expected, Fault::Changed, "its hash is wrong: the record, its hash or the hash before it was changed")
    }
}

/// Columns hold no zero bytes: the store writes U+FFFD instead.
fn same(column: &str, said: &str) -> bool {
    column == said || (said.contains('\0') && column == said.replace('\0', "\u{fffd}"))
}
