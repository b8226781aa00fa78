//! What is written down: one thing that happened.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::canonical;
use crate::store::now;
use crate::types::{Record, Verdict, hex};

/// The most bytes of details or personal part of one entry, as canonical JSON.
pub const MAX_PART: usize = 16 << 10;
/// The most bytes of an actor, object or request id.
const MAX_NAME: usize = 512;
/// The most rules named in the entry of a block.
const MAX_RULES: usize = 16;

/// Makes the enum, its names, and the way back.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// A low-cardinality label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The one with that label.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// What kind of thing happened.
    Kind {
        /// A request or an answer was blocked.
        Block = "block",
        /// The gateway or an operator did something about a threat.
        Action = "action",
        /// Somebody approved or rejected a proposal.
        Approval = "approval",
        /// The configuration, a policy or a rule changed.
        ConfigChange = "config_change",
        /// Somebody logged in or out, or failed to.
        Login = "login",
        /// An account was made, changed or removed.
        Account = "account",
        /// A gateway key or API token was made, rotated, changed or revoked, or somebody had the trail change its key.
        KeyOperation = "key_operation",
        /// Somebody looked at stored content.
        ContentReveal = "content_reveal",
        /// A standing order was given or lifted.
        Order = "order",
        /// A person's data were erased.
        Erasure = "erasure",
        /// Old data were archived or removed.
        Retention = "retention",
        /// Audit records were exported or proven, or a report was made or removed.
        Export = "export",
        /// A key that signs checkpoints was introduced.
        SigningKey = "signing_key",
        /// The trail itself was found damaged, or went on after an outage.
        Integrity = "integrity",
        /// A replica started.
        Start = "start",
        /// A replica stopped.
        Stop = "stop",
    }
}

named! {
    /// How it went.
    Outcome {
        /// It was done.
        Success = "success",
        /// It was tried and failed.
        Failure = "failure",
        /// It was not allowed.
        Denied = "denied",
    }
}

/// One thing that happened. Texts that are too long are cut, details that are too big replaced by their size and hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `aud_` and a time-ordered UUID: the same entry is written once, however often it is tried.
    pub id: String,
    /// When it happened: Unix time in microseconds.
    pub time: i64,
    /// What kind of thing happened.
    pub kind: Kind,
    /// Who did it: the id of an account or key, or a part of the gateway. Not a person's name: that belongs into
    /// `personal`.
    pub actor: String,
    /// To what.
    pub object: String,
    /// How it went.
    pub outcome: Outcome,
    /// The request it is about.
    #[serde(default)]
    pub request: Option<String>,
    /// What else there is to know; of a change what was before and after.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// What names a person. It stands beside the chain and can be taken away; `user` is what erasure looks for.
    #[serde(default)]
    pub personal: Map<String, Value>,
}

impl Entry {
    /// Something that happened now and went well.
    pub fn new(kind: Kind, actor: impl Into<String>, object: impl Into<String>) -> Self {
        Self {
            id: format!("aud_{}", Uuid::now_v7().simple()),
            time: now(),
            kind,
            actor: short(actor.into()),
            object: short(object.into()),
            outcome: Outcome::Success,
            request: None,
            details: Map::new(),
            personal: Map::new(),
        }
    }

    /// It happened then: Unix time in microseconds.
    #[must_use]
    pub fn at(mut self, time: i64) -> Self {
        self.time = time;
        self
    }

    /// It went like that.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The request it is about.
    #[must_use]
    pub fn request(mut self, id: impl Into<String>) -> Self {
        self.request = Some(short(id.into()));
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// What a change changed.
    #[must_use]
    pub fn change(self, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        self.detail("before", before).detail("after", after)
    }

    /// Adds something that names a person.
    #[must_use]
    pub fn personal(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.personal.insert(name.to_owned(), value.into());
        self
    }

    /// Replaces what is too big by its size and hash, so that no entry fills the store.
    pub(super) fn bounded(mut self) -> Self {
        self.actor = short(self.actor);
        self.object = short(self.object);
        self.request = self.request.map(short);
        self.details = small(self.details);
        let user = self.personal.get("user").cloned();
        self.personal = small(self.personal);
        if let Some(Value::String(user)) = user {
            // What erasure looks for stays, whatever else goes.
            self.personal.insert("user".to_owned(), Value::String(short(user)));
        }
        self
    }
}

fn small(part: Map<String, Value>) -> Map<String, Value> {
    let mut text = String::new();
    canonical::object(&mut text, &part);
    if text.len() <= MAX_PART {
        return part;
    }
    let mut instead = Map::new();
    instead.insert("left_out_bytes".to_owned(), text.len().into());
    instead.insert("left_out_sha256".to_owned(), hex(&super::chain::sha256(text.as_bytes())).into());
    instead
}

/// At most `MAX_NAME` bytes, cut between characters.
fn short(mut text: String) -> String {
    if text.len() > MAX_NAME {
        let end = (0..=MAX_NAME).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// The entry of a request that was blocked. Who sent it stands in the part that can be erased; key, tenant and team do
/// not name a person and stay.
pub fn entry_for_block(record: &Record) -> Entry {
    let caller = &record.caller;
    let actor = caller.key.as_deref().unwrap_or("anonymous");
    let mut entry = Entry::new(Kind::Block, actor, &*record.path)
        .at(record.time)
        .outcome(Outcome::Denied)
        .request(record.id.0.clone())
        .detail("outcome", record.outcome.name())
        .detail("status", record.status)
        .detail("generation", record.generation.0);
    let texts = [
        ("reason", record.reason),
        ("model", record.model.as_deref()),
        ("policy", record.policy.as_deref()),
        ("order", record.order.as_deref()),
        ("tenant", caller.tenant.as_deref()),
        ("team", caller.team.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            entry = entry.detail(name, text);
        }
    }
    for (name, verdict) in [("input", &record.input), ("output", &record.output)] {
        if let Some(verdict) = verdict {
            entry = entry.detail(name, summary(verdict));
        }
    }
    if let Some(user) = &caller.user {
        entry = entry.personal("user", &**user);
    }
    if let Some(address) = caller.address {
        entry = entry.personal("address", address.to_string());
    }
    if let Some(session) = &caller.session {
        entry = entry.personal("session", &**session);
    }
    entry
}

/// What a verdict was and by which rules. The risk is in thousandths: canonical JSON has no fractions.
fn summary(verdict: &Verdict) -> Value {
    let rules: Vec<Value> =
        verdict.findings.iter().take(MAX_RULES).map(|finding| Value::from(&*finding.rule.0)).collect();
    #[expect(clippy::cast_possible_truncation, reason = "a risk is between 0 and 1")]
    let risk = (verdict.risk.clamp(0.0, 1.0) * 1000.0).round() as i64;
    let mut map = Map::new();
    map.insert("decision".to_owned(), verdict.decision.name().into());
    map.insert("risk".to_owned(), risk.into());
    map.insert("rule_set".to_owned(), (&*verdict.rule_set.0).into());
    map.insert("rules".to_owned(), rules.into());
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{Caller, Generation, RequestId};

    #[test]
    fn names_lead_back_to_their_kinds() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!(Outcome::from_name("denied"), Some(Outcome::Denied));
        assert_eq!(Kind::from_name("nothing"), None);
    }

    #[test]
    fn a_block_names_the_person_only_in_the_part_that_can_be_erased() {
        let mut record = Record::new(5, RequestId("req_1".to_owned()), Generation(3));
        record.caller = Caller {
            address: Some("192.0.2.7".parse().unwrap()),
            user: Some(Arc::from("alice")),
            key: Some(Arc::from("key_1")),
            team: Some(Arc::from("blue")),
            ..Caller::default()
        };
        record.reason = Some("content_filter");
        let entry = entry_for_block(&record);
        assert_eq!((entry.actor.as_str(), entry.time, entry.request.as_deref()), ("key_1", 5, Some("req_1")));
        let chained = canonical::to_string(&Value::Object(entry.details.clone()));
        assert!(!chained.contains("alice") && !chained.contains("192.0.2.7"), "{chained}");
        assert!(chained.contains("blue") && chained.contains("content_filter"));
        assert_eq!(entry.personal.get("user"), Some(&Value::from("alice")));
    }

    #[test]
    fn too_much_is_replaced_by_its_hash() {
        let entry = Entry::new(Kind::Login, "é".repeat(400), "x")
            .detail("text", "y".repeat(MAX_PART))
            .personal("user", "bob")
            .personal("note", "z".repeat(MAX_PART))
            .bounded();
        assert_eq!(entry.actor.len(), MAX_NAME);
        assert!(entry.details.contains_key("left_out_sha256"));
        assert!(entry.personal.contains_key("left_out_bytes"));
        assert_eq!(entry.personal.get("user"), Some(&Value::from("bob")));
    }
}
