//! Law 10: spans that were inspected under this rule set are not read again, if little was found in them. What a text is
//! known by depends on rule set, caller and role, and on a secret, so that nobody can make one text pass for another;
//! dropped whole when the rules change.
//!
//! It is the text's tag (`tags`) under a key that is the keyed BLAKE3 of secret, rule set and caller.

use std::cell::OnceCell;
use std::sync::Arc;

use blake3::Hasher;
use moka::sync::Cache;

use super::tags::{Tag, Tags};
use crate::telemetry::Metrics;
use crate::types::{Caller, Finding, Role, RuleSetHash};

/// Shorter texts are inspected about as fast as they are looked up and remembered.
const WORTH_CACHING: usize = 32;

/// Findings of a span that are kept: a text full of them is rare, and read again.
const MOST_FINDINGS: usize = 4;

type Secret = [u8; blake3::KEY_LEN];

/// Remembers what was found in spans. Shared by all workers.
pub struct VerdictCache {
    /// `None`: switched off.
    found: Option<Cache<Tag, Arc<[Finding]>>>,
    secret: Secret,
}

/// The cache as one request sees it: one rule set, one caller.
pub(super) struct Scope<'c> {
    cache: &'c VerdictCache,
    rules: &'c RuleSetHash,
    caller: &'c Caller,
    /// Made for the first text that is long enough.
    tags: OnceCell<Option<Tags>>,
}

impl VerdictCache {
    /// Room for `spans` spans; 0 switches it off. `secret` keys the hash and must be random.
    pub fn new(spans: usize, secret: Secret) -> Self {
        let found = (spans > 0).then(|| Cache::builder().max_capacity(spans as u64).build());
        Self { found, secret }
    }

    /// Spans remembered.
    pub fn len(&self) -> u64 {
        self.found.as_ref().map_or(0, Cache::entry_count)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything: the rules changed.
    pub fn clear(&self) {
        if let Some(found) = &self.found {
            found.invalidate_all();
        }
    }

    pub(super) fn scope<'c>(&'c self, rules: &'c RuleSetHash, caller: &'c Caller) -> Scope<'c> {
        Scope { cache: self, rules, caller, tags: OnceCell::new() }
    }
}

impl Scope<'_> {
    /// The key of a text, unless it is too short to be worth one.
    pub(super) fn key(&self, role: Role, text: &str) -> Option<Tag> {
        if text.len() < WORTH_CACHING || self.cache.found.is_none() {
            return None;
        }
        self.tags()?.of(role as u8, text)
    }

    /// The tags of texts under this rule set for this caller.
    fn tags(&self) -> Option<&Tags> {
        let made = self.tags.get_or_init(|| {
            let mut hasher = Hasher::new_keyed(&self.cache.secret);
            hasher.update(self.rules.0.as_bytes()).update(&[0]);
            for name in [&self.caller.tenant, &self.caller.user] {
                hasher.update(name.as_deref().unwrap_or_default().as_bytes()).update(&[0]);
            }
            let key: Secret = hasher.finalize().into();
            Tags::new(&key)
        });
        made.as_ref()
    }

    /// What was found in the text of `key`; `None` if that is not known.
    pub(super) fn known(&self, key: &Tag, metrics: &Metrics) -> Option<Arc<[Finding]>> {
        let known = self.cache.found.as_ref().and_then(|kept| kept.get(key));
        metrics.verdict_cache(known.is_some());
        known
    }

    /// Keeps what was found in the text of `key`, if it is little.
    pub(super) fn remember(&self, key: Tag, found: &[Finding]) {
        if let Some(kept) = self.cache.found.as_ref().filter(|_| found.len() <= MOST_FINDINGS) {
            kept.insert(key, found.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{Action, CallerKind, Evidence, Family, RuleId, Severity, SpanIndex};

    fn caller(user: &str) -> Caller {
        Caller { user: Some(Arc::from(user)), kind: CallerKind::Key, ..Caller::default() }
    }

    #[test]
    fn a_key_depends_on_rules_caller_role_and_text() {
        let cache = VerdictCache::new(10, [7; 32]);
        let text = "a".repeat(WORTH_CACHING);
        let rules = |name: &str| RuleSetHash(Arc::from(name));
        let of = |rule: &str, user: &str, role, text: &str| cache.scope(&rules(rule), &caller(user)).key(role, text);
        let base = of("r", "u", Role::User, &text).unwrap();
        assert_eq!(of("r", "u", Role::User, &text), Some(base));
        assert_ne!(of("s", "u", Role::User, &text), Some(base));
        assert_ne!(of("r", "v", Role::User, &text), Some(base));
        assert_ne!(of("r", "u", Role::Tool, &text), Some(base));
        assert_ne!(of("r", "u", Role::User, &"b".repeat(WORTH_CACHING)), Some(base));
        assert_eq!(of("r", "u", Role::User, "short"), None);
    }

    #[test]
    fn little_that_was_found_is_remembered_and_much_is_not() {
        let (cache, metrics, rules) =
            (VerdictCache::new(10, [7; 32]), Metrics::new("test").unwrap(), RuleSetHash("r".into()));
        let caller = caller("u");
        let scope = cache.scope(&rules, &caller);
        let key = |letter: &str| scope.key(Role::User, &letter.repeat(WORTH_CACHING)).unwrap();
        let finding = Finding {
            rule: RuleId("PC-AAA-0001".into()),
            title: "t".into(),
            family: Family::Privacy,
            severity: Severity::Low,
            score: 1.0,
            action: Action::Redact,
            threats: Vec::new().into(),
            evidence: Evidence { span: SpanIndex(3), start: 4, end: 9 },
            doubts: Vec::new(),
        };
        scope.remember(key("a"), std::slice::from_ref(&finding));
        scope.remember(key("b"), &vec![finding.clone(); MOST_FINDINGS + 1]);
        assert_eq!(scope.known(&key("a"), &metrics).as_deref(), Some(&[finding][..]));
        assert_eq!(scope.known(&key("b"), &metrics), None);
    }
}
