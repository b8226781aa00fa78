//! One transaction on the chain: a batch of entries and the checkpoints that became due.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::rand;

use super::chain::{Hash, Head, Link, link, sha256};
use super::checkpoint::{Checkpoint, Signed, introduce};
use super::entry::{Entry, Kind};
use super::keys::SigningKey;
use super::merkle;
use super::trail::Receipt;
use super::{AuditError, Options};
use crate::store::audit::{AuditChain, AuditCheckpoint, AuditHead, AuditPersonal, AuditRow};
use crate::store::{Database, now};
use crate::types::hex;

/// Checkpoints fetched at once.
const PAGE: u32 = 1000;

/// What a transaction did.
pub(super) struct Batch {
    /// One for each entry, in order.
    pub(super) receipts: Vec<Receipt>,
    pub(super) head: Head,
    /// Entries that were not known before.
    pub(super) written: u64,
    pub(super) checkpoints: Made,
}

/// The checkpoints a transaction made.
#[derive(Default)]
pub(super) struct Made {
    pub(super) signed: Vec<Signed>,
    /// The hash of the store's last checkpoint, whoever made it.
    pub(super) latest: Hash,
}

/// Adds to the chain.
pub(super) struct Keeper {
    pub(super) database: Database,
    pub(super) options: Arc<Options>,
    pub(super) key: Arc<SigningKey>,
}

impl Keeper {
    /// Adds entries and the checkpoints that are due, all or nothing. `doubtful` when some may be in the chain already.
    pub(super) async fn commit(&self, entries: &[Entry], doubtful: bool) -> Result<Batch, AuditError> {
        let (mut chain, mut at) = AuditChain::begin(&self.database).await?;
        let mut known = HashSet::new();
        if doubtful {
            let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
            known = chain.existing(&ids).await?;
        }
        let mut head = Head { seq: at.seq, hash: at.hash };
        let mut receipts = Vec::with_capacity(entries.len());
        let mut rows = Vec::with_capacity(entries.len());
        let mut hashes = Vec::with_capacity(entries.len());
        for entry in entries {
            if doubtful && !known.insert(entry.id.clone()) {
                receipts.push(Receipt::Known);
                continue;
            }
            let link = link(&head, entry, &self.options.replica, &salt(entry)?);
            head = Head { seq: link.seq, hash: link.hash };
            receipts.push(Receipt::Committed { seq: link.seq, hash: link.hash });
            hashes.push(link.hash);
            rows.push(row(entry, link));
        }
        let written = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        chain.insert(rows).await?;
        at.seq = head.seq;
        at.hash = head.hash;
        let signed = self.sign_due(&mut chain, &mut at, &hashes, false).await?;
        let checkpoints = Made { signed, latest: at.checkpoint_hash };
        if written == 0 && checkpoints.signed.is_empty() {
            chain.roll_back().await;
        } else {
            chain.set_head(&at).await?;
            chain.commit().await?;
        }
        Ok(Batch { receipts, head, written, checkpoints })
    }

    /// Signs what is not signed yet.
    pub(super) async fn checkpoint(&self) -> Result<Made, AuditError> {
        let there = self.database.audit_head().await?;
        if there.seq <= there.checkpoint {
            return Ok(Made { signed: Vec::new(), latest: there.checkpoint_hash });
        }
        let (mut chain, mut at) = AuditChain::begin(&self.database).await?;
        let signed = self.sign_due(&mut chain, &mut at, &[], true).await?;
        if signed.is_empty() {
            chain.roll_back().await;
        } else {
            chain.set_head(&at).await?;
            chain.commit().await?;
        }
        Ok(Made { signed, latest: at.checkpoint_hash })
    }

    /// Signs a checkpoint after each `checkpoint_records` records, and one at the end when it is time (or `all`).
    /// `newest` are the hashes of the last records, which need not be fetched again.
    async fn sign_due(
        &self,
        chain: &mut AuditChain,
        at: &mut AuditHead,
        newest: &[Hash],
        all: bool,
    ) -> Result<Vec<Signed>, AuditError> {
        let step = i64::from(self.options.checkpoint_records.max(1));
        let every = i64::try_from(self.options.checkpoint_every.as_micros()).unwrap_or(i64::MAX);
        let now = now();
        // A clock that was set back must not keep checkpoints away.
        let elapsed = now.saturating_sub(at.checkpoint_time);
        let last = elapsed >= every || elapsed < 0 || all;
        let mut signed = Vec::new();
        while at.seq.saturating_sub(at.checkpoint) >= step || (last && at.seq > at.checkpoint) {
            let end = at.seq.min(at.checkpoint.saturating_add(step));
            let hashes = hashes(chain, at, newest, end).await?;
            // Records that somebody removed in the meantime must not stop the trail: verification names them.
            let head = if end == at.seq { at.hash } else { hashes.last().copied().unwrap_or(at.hash) };
            let checkpoint = Checkpoint {
                from: at.checkpoint.saturating_add(1),
                seq: end,
                head,
                root: merkle::root(&hashes),
                previous: at.checkpoint_hash,
                time: now,
                store: at.store.clone(),
                replica: self.options.replica.clone(),
                key: String::new(),
            };
            let one = checkpoint.sign(&self.key);
            let stored = AuditCheckpoint { seq: end, body: one.body.clone(), signature: hex(&one.signature) };
            chain.insert_checkpoint(stored).await?;
            at.checkpoint = end;
            at.checkpoint_hash = one.hash();
            at.checkpoint_time = now;
            signed.push(one);
        }
        Ok(signed)
    }

    /// Gives the chain an id where it has none.
    pub(super) async fn adopt(&self) -> Result<AuditHead, AuditError> {
        let head = self.database.audit_head().await?;
        if !head.store.is_empty() {
            return Ok(head);
        }
        let (mut chain, mut head) = AuditChain::begin(&self.database).await?;
        if head.store.is_empty() {
            head.store = uuid::Uuid::new_v4().simple().to_string();
            head.checkpoint_time = now();
            chain.set_head(&head).await?;
            chain.commit().await?;
        } else {
            chain.roll_back().await;
        }
        Ok(head)
    }

    /// The checkpoints after the one that ends at `after`.
    pub(super) async fn checkpoints_after(&self, after: i64) -> Result<Vec<Signed>, AuditError> {
        let mut all = Vec::new();
        let mut after = after;
        loop {
            let page = self.database.audit_checkpoints(after, PAGE).await?;
            let full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
            for stored in page {
                after = stored.seq;
                all.push(read_checkpoint(&stored)?);
            }
            if !full {
                return Ok(all);
            }
        }
    }

    /// The checkpoint that ends at `seq`.
    pub(super) async fn checkpoint_at(&self, seq: i64) -> Result<Option<Signed>, AuditError> {
        let page = self.database.audit_checkpoints(seq.saturating_sub(1), 1).await?;
        // One that cannot be read is not the one that was written.
        Ok(page.first().filter(|stored| stored.seq == seq).and_then(|stored| read_checkpoint(stored).ok()))
    }

    /// The entry that makes this replica's key known, unless it has `signed` before or is known, or a change of keys that a crash interrupted.
    pub(super) async fn introduction(&self, store: &str, signed: bool) -> Result<Option<Entry>, AuditError> {
        if let Some(next) = SigningKey::waiting(&self.options.directory)? {
            return Ok(Some(self.rotation(&next, store)));
        }
        let id = key_entry_id(&self.key, store);
        if signed || self.database.audit_has(&id).await? {
            return Ok(None);
        }
        let public = self.key.public();
        let mut entry = Entry::new(Kind::SigningKey, "audit", public.id()).detail("public_key", public.to_hex());
        entry.id = id;
        Ok(Some(entry))
    }

    /// The entry in which the old key introduces the new one.
    pub(super) fn rotation(&self, next: &SigningKey, store: &str) -> Entry {
        let public = next.public();
        let mut entry = Entry::new(Kind::SigningKey, "audit", public.id())
            .detail("public_key", public.to_hex())
            .detail("introduced_by", self.key.public().id())
            .detail("signature", hex(&introduce(&self.key, public, store)));
        entry.id = key_entry_id(next, store);
        entry
    }

    /// Ends a change of keys that a crash interrupted after its entry was written.
    pub(super) fn complete_rotation(&mut self) -> Result<(), AuditError> {
        if let Some(next) = SigningKey::waiting(&self.options.directory)? {
            next.succeed(&self.options.directory)?;
            self.key = Arc::new(next);
        }
        Ok(())
    }
}

/// The same key has the same entry: a change of keys that is tried again writes it once.
fn key_entry_id(key: &SigningKey, store: &str) -> String {
    let mut id = hex(&sha256(format!("{store}{}", key.public().to_hex()).as_bytes()));
    id.truncate(32);
    format!("aud_{id}")
}

/// The hashes from the last checkpoint to `end`: of older records from the store, of those just added from `newest`.
async fn hashes(chain: &mut AuditChain, at: &AuditHead, newest: &[Hash], end: i64) -> Result<Vec<Hash>, AuditError> {
    let before = at.seq.saturating_sub(i64::try_from(newest.len()).unwrap_or(i64::MAX));
    let mut all = Vec::new();
    if at.checkpoint < before {
        all = chain.hashes(at.checkpoint, end.min(before)).await?;
    }
    let skipped = usize::try_from(at.checkpoint.saturating_sub(before)).unwrap_or(0);
    let wanted = usize::try_from(end.saturating_sub(before.max(at.checkpoint))).unwrap_or(0);
    all.extend(newest.iter().skip(skipped).take(wanted));
    let expected = usize::try_from(end.saturating_sub(at.checkpoint)).unwrap_or(usize::MAX);
    if all.len() != expected {
        tracing::error!(after = at.checkpoint, end, "audit records are missing from the store");
    }
    Ok(all)
}

pub(super) fn read_checkpoint(stored: &AuditCheckpoint) -> Result<Signed, AuditError> {
    Signed::from_parts(&stored.body, &stored.signature)
        .ok_or_else(|| AuditError::Damaged(format!("the checkpoint at record {} cannot be read", stored.seq)))
}

/// Random bytes for the commitment; only an entry with a personal part has one.
fn salt(entry: &Entry) -> Result<Hash, AuditError> {
    let mut salt = [0; 32];
    if !entry.personal.is_empty() {
        rand::fill(&mut salt).map_err(|_| AuditError::Damaged("there are no random numbers".to_owned()))?;
    }
    Ok(salt)
}

fn row(entry: &Entry, link: Link) -> AuditRow {
    AuditRow {
        seq: link.seq,
        id: entry.id.clone(),
        time: entry.time,
        kind: entry.kind.name().to_owned(),
        actor: entry.actor.clone(),
        request: entry.request.clone(),
        body: link.body,
        hash: link.hash.to_vec(),
        personal: link.personal.map(|personal| AuditPersonal {
            salt: personal.salt.to_vec(),
            body: personal.body,
            subject: personal.subject,
        }),
    }
}
