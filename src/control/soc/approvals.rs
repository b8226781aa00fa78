//! What people say about plans, and about tool calls that wait: allowed by `soc::approval`, signed with the account's own key,
//! written down before it counts.
//!
//! An account's Ed25519 key is made when it first rules on something, and kept in the store under seal. With a content key from
//! outside (`store.content_key_env`), whoever reads the database alone cannot sign for anybody; without one the seal's key is the
//! store's own secret, and protects against nothing but a careless export of that table.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::feed::Feed;
use crate::control::audit::{Entry, Kind, Trail};
use crate::soc::approval::{Outcome, Ruler, counts, may_rule, outcome, signed_text};
use crate::soc::remedy::remedies;
use crate::store::soc::{ApproverKey, HeldTool};
use crate::store::{StoreError, now};
use crate::types::soc::{Approval, LogEntry, LogKind, Plan, PlanBody, Ruling, ToolRuling};
use crate::types::{AccessRole, Secret, hex, unhex};

/// What a signature of an approval is about, so that it is none of anything else.
const SIGNED: &str = "portcullis-approval-v1\n";

/// What the seal of a key is bound to.
const SEALED: &[u8] = b"portcullis approver key v1";

/// Somebody who does something.
#[derive(Debug, Clone)]
pub struct Who {
    /// The id of the account.
    pub account: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it may do.
    pub roles: Vec<AccessRole>,
    /// Whether a person signed in: not an API token.
    pub is_person: bool,
}

/// Why something that was asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// There is none.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// It is not allowed, or not any more.
    #[error("{0}")]
    Refused(String),
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store, or the audit trail, does not take it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for RuleError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(why) => Self::Refused(why),
            StoreError::Missing(what) => Self::Missing(what),
            other => Self::Store(other),
        }
    }
}

/// Writes an entry into the trail: what cannot be written down is not done.
pub(super) async fn record(trail: &Trail, entry: Entry) -> Result<(), RuleError> {
    let written = trail.append(entry).await;
    written.map(drop).map_err(|error| RuleError::Store(StoreError::Unavailable(error.to_string())))
}

/// A line of a timeline.
pub(super) fn line(kind: LogKind, actor: &Arc<str>, text: String, about: &Arc<str>) -> LogEntry {
    LogEntry { time: now(), kind, actor: Arc::clone(actor), text, about: Some(Arc::clone(about)) }
}

/// Rules on plans and tool calls. Clones are the same.
#[derive(Clone)]
pub struct Approvals {
    feed: Feed,
    trail: Trail,
    /// What the seal's key comes from; the store's own secret where there is none.
    outside: Option<Secret>,
    /// How long an approval counts, in microseconds.
    lifetime: i64,
}

impl Approvals {
    /// `outside` seals the keys of accounts; `lifetime` in microseconds is how long an approval counts.
    pub fn new(feed: Feed, trail: Trail, outside: Option<Secret>, lifetime: i64) -> Self {
        Self { feed, trail, outside, lifetime }
    }

    /// A person rules on a plan, having seen it with this hash. What is approved by all who are needed is carried out.
    ///
    /// # Errors
    /// `Refused` says which rule of approvals forbids it.
    pub async fn rule(
        &self,
        plan: &str,
        hash: &str,
        who: &Who,
        ruling: Ruling,
        reason: String,
    ) -> Result<Plan, RuleError> {
        let database = self.feed.database();
        let plan = database.plan(plan).await?.ok_or(RuleError::Missing("plan"))?;
        let before = database.approvals_of(&plan.id).await?;
        let ruler = Ruler { account: &who.account, roles: &who.roles, is_person: who.is_person, is_analyst: false };
        let at = now();
        let entry = Entry::new(Kind::Approval, &*who.account, format!("plan/{}", plan.id))
            .detail("action", format!("plan.{}", ruling.name()))
            .detail("hash", hash);
        let expires = match may_rule(&plan, &before, &ruler, hash, at, self.lifetime) {
            Ok(expires) => expires,
            Err(refusal) => {
                let entry = entry.outcome(crate::control::audit::Outcome::Denied).detail("why", refusal.to_string());
                record(&self.trail, entry).await?;
                return Err(RuleError::Refused(refusal.to_string()));
            }
        };
        let mut approval = Approval {
            id: format!("apr_{}", uuid::Uuid::now_v7().simple()).into(),
            plan: Arc::clone(&plan.id),
            hash: hash.to_owned(),
            account: Arc::clone(&who.account),
            name: Arc::clone(&who.name),
            ruling,
            reason,
            at,
            expires,
            key: String::new(),
            signature: String::new(),
            used: None,
        };
        self.sign(&mut approval).await?;
        record(&self.trail, entry.detail("approval", &*approval.id).detail("signature", &*approval.signature)).await?;
        let text = format!("{} by {}: {}", ruling.name(), who.name, approval.reason);
        let log = [line(LogKind::Plan, &who.name, text, &plan.id)];
        let (plan, entries) = database.approve(&approval, now(), &log).await?;
        self.feed.publish(entries).await;
        if ruling == Ruling::Deny {
            return Ok(plan);
        }
        self.carry_if_approved(plan).await
    }

    /// Makes the remedies of a plan that has all the approvals it needs; gives the plan as it is then.
    ///
    /// # Errors
    /// Of the store, or of the audit trail.
    pub async fn carry_if_approved(&self, plan: Plan) -> Result<Plan, RuleError> {
        let database = self.feed.database();
        // What needs nobody is not looked for.
        let approvals = if plan.needed == 0 { Vec::new() } else { database.approvals_of(&plan.id).await? };
        let at = now();
        let mut genuine = Vec::new();
        for approval in approvals {
            // Signed by the key that the account has, not by any key.
            let known = database.approver_key(&approval.account).await?;
            if known.is_some_and(|known| known.public == approval.key) && is_genuine(&approval) {
                genuine.push(approval);
            } else {
                tracing::error!(approval = %approval.id, "an approval is not signed by its account's key: it does not count");
            }
        }
        if outcome(&plan, &genuine, at) != Outcome::Go {
            return Ok(plan);
        }
        let body: PlanBody = serde_json::from_str(&plan.body)
            .map_err(|error| RuleError::Invalid(format!("the plan cannot be read: {error}")))?;
        let people: Vec<&str> = genuine
            .iter()
            .filter(|approval| counts(&plan, approval, at).is_ok())
            .map(|approval| &*approval.name)
            .collect();
        let by = if people.is_empty() { "nobody is needed".to_owned() } else { people.join(", ") };
        let entry = Entry::new(Kind::Action, "gateway", format!("plan/{}", plan.id))
            .detail("action", "plan.carry")
            .detail("hash", plan.hash.as_str())
            .detail("approved_by", by.as_str());
        record(&self.trail, entry).await?;
        let log = [line(LogKind::Plan, &Arc::from("gateway"), format!("approved ({by}): it is carried out"), &plan.id)];
        match database.use_approvals(&plan.id, at, &remedies(&plan, &body, at), &log).await {
            Ok((plan, entries)) => {
                self.feed.publish(entries).await;
                Ok(plan)
            }
            // Somebody else was first.
            Err(StoreError::Conflict(_)) => database.plan(&plan.id).await?.ok_or(RuleError::Missing("plan")),
            Err(error) => Err(error.into()),
        }
    }

    /// A person rules on a tool call that waits.
    ///
    /// # Errors
    /// `Refused` when it waits no more, or who asks may not rule.
    pub async fn rule_on_tool(
        &self,
        id: &str,
        who: &Who,
        granted: bool,
        reason: String,
    ) -> Result<HeldTool, RuleError> {
        if !who.is_person {
            return Err(RuleError::Refused("only a person who is signed in may rule on a tool call".to_owned()));
        }
        if !who.roles.iter().any(|role| matches!(role, AccessRole::Responder | AccessRole::Admin)) {
            return Err(RuleError::Refused("the roles responder and admin may rule on a tool call".to_owned()));
        }
        let database = self.feed.database();
        let held = database.tool_hold(id).await?.ok_or(RuleError::Missing("tool call"))?;
        let ruling = ToolRuling {
            id: Arc::clone(&held.hold.id),
            tool: Arc::clone(&held.hold.tool),
            arguments: held.hold.arguments.clone(),
            granted,
            by: Arc::clone(&who.account),
            at: now(),
        };
        let entry = Entry::new(Kind::Approval, &*who.account, format!("tool_hold/{}", ruling.id))
            .detail("action", if granted { "tool.grant" } else { "tool.deny" })
            .detail("tool", &*ruling.tool)
            .detail("arguments", ruling.arguments.as_str())
            .detail("reason", reason)
            .request(held.hold.request.0.clone());
        record(&self.trail, entry).await?;
        let (held, entries) = database.rule_on_tool(&ruling, now()).await?;
        self.feed.publish(entries).await;
        Ok(held)
    }

    async fn sign(&self, approval: &mut Approval) -> Result<(), RuleError> {
        let pair = self.pair(&approval.account).await?;
        approval.key = hex(pair.public_key().as_ref());
        let text = [SIGNED, &signed_text(approval)].concat();
        approval.signature = hex(pair.sign(text.as_bytes()).as_ref());
        Ok(())
    }

    /// The key of an account, made if it has none.
    async fn pair(&self, account: &str) -> Result<Ed25519KeyPair, StoreError> {
        let database = self.feed.database();
        let kept = match database.approver_key(account).await? {
            Some(kept) => kept,
            None => {
                let mut seed = [0; 32];
                rand::fill(&mut seed).map_err(|_| StoreError::Setting("there is no randomness".to_owned()))?;
                let pair = pair_of(&seed)?;
                let public = hex(pair.public_key().as_ref());
                let fresh = ApproverKey { sealed: seal(&self.key().await?, account, &seed)?, public };
                // Another replica may have been first: then that key is the account's.
                database.put_approver_key(account, &fresh, now()).await?
            }
        };
        let pair = pair_of(&open(&self.key().await?, account, &kept.sealed)?)?;
        if hex(pair.public_key().as_ref()) != kept.public {
            return Err(StoreError::Value("an approver's key is not the one it says it is".to_owned()));
        }
        Ok(pair)
    }

    /// What keys are sealed with.
    async fn key(&self) -> Result<LessSafeKey, StoreError> {
        const CONTEXT: &str = "portcullis 2026-11 approver keys";
        let key = match &self.outside {
            Some(secret) => blake3::derive_key(CONTEXT, secret.expose().trim().as_bytes()),
            None => blake3::derive_key(CONTEXT, &self.feed.database().secret("approvers").await?),
        };
        let key = UnboundKey::new(&AES_256_GCM, &key);
        key.map(LessSafeKey::new)
            .map_err(|_| StoreError::Setting("the seal of approvers' keys cannot be made".to_owned()))
    }
}

/// Whether an approval carries the signature of the key it names.
pub fn is_genuine(approval: &Approval) -> bool {
    let (Some(key), Some(signature)) = (unhex::<32>(&approval.key), unhex::<64>(&approval.signature)) else {
        return false;
    };
    let text = [SIGNED, &signed_text(approval)].concat();
    UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok()
}

fn seal(key: &LessSafeKey, account: &str, seed: &[u8; 32]) -> Result<String, StoreError> {
    let failed = |_| StoreError::Setting("a key could not be sealed".to_owned());
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(failed)?;
    let mut sealed = seed.to_vec();
    let about = [SEALED, b"\n", account.as_bytes()].concat();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut sealed).map_err(failed)?;
    Ok(hex(&[nonce.as_slice(), &sealed].concat()))
}

fn open(key: &LessSafeKey, account: &str, sealed: &str) -> Result<[u8; 32], StoreError> {
    let changed = || StoreError::Value("an approver's sealed key was changed, or is another account's".to_owned());
    // Nonce, key and tag.
    let bytes = unhex::<60>(sealed).ok_or_else(changed)?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or_else(changed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| changed())?;
    let mut sealed = sealed.to_vec();
    let about = [SEALED, b"\n", account.as_bytes()].concat();
    let seed = key.open_in_place(nonce, Aad::from(about), &mut sealed).map_err(|_| changed())?;
    <[u8; 32]>::try_from(&*seed).map_err(|_| changed())
}

fn pair_of(seed: &[u8; 32]) -> Result<Ed25519KeyPair, StoreError> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| StoreError::Value("an approver's key is none".to_owned()))
}
