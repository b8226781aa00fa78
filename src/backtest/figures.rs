//! The sums of a backtest, request by request in the order of the store: the same whether it ran through or was resumed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compare::{Change, Compared, Outcome};
use super::texts::Unread;
use crate::store::StoredRequest;
use crate::types::{Decision, Evidence, Privacy};

/// Callers, and routes, that are counted by name. Further ones are counted together.
pub const MOST_GROUPS: usize = 10_000;

/// The name of those further ones.
pub const OTHERS: &str = "(others)";

/// What is known of a request beside what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What is kept of its words, or would be by its policy now: `full`, `masked`, `hash_only`, `none`.
    pub privacy: Privacy,
    /// Something was masked.
    pub masked: bool,
    /// Some of it was cut off.
    pub cut: bool,
    /// Its roles were read off its lines.
    pub guessed: bool,
    /// Its policy is gone.
    pub policy_gone: bool,
}

/// Counts of compared requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Compared.
    pub compared: u64,
    /// Blocked, and were not.
    pub newly_blocked: u64,
    /// Not blocked, and were.
    pub newly_passed: u64,
    /// Decided otherwise, without a block.
    pub changed: u64,
}

impl Group {
    fn add(&mut self, change: Change) {
        self.compared = self.compared.saturating_add(1);
        let which = match change {
            Change::None => return,
            Change::NewlyBlocked => &mut self.newly_blocked,
            Change::NewlyPassed => &mut self.newly_passed,
            Change::Otherwise => &mut self.changed,
        };
        *which = which.saturating_add(1);
    }

    /// How many are decided otherwise.
    pub const fn changes(&self) -> u64 {
        self.newly_blocked.saturating_add(self.newly_passed).saturating_add(self.changed)
    }
}

/// What one rule did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFigures {
    /// Requests it fired on before.
    pub fired_before: u64,
    /// And after.
    pub fired_after: u64,
    /// Requests newly blocked of which it is a reason: it fires on one side only, or asks for something else.
    pub newly_blocked: u64,
    /// Newly passed.
    pub newly_passed: u64,
    /// Decided otherwise, without a block.
    pub changed: u64,
}

/// What was and was not compared of the requests of one privacy mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyFigures {
    /// What was compared.
    #[serde(flatten)]
    pub group: Group,
    /// Not compared: no text is stored.
    pub not_stored: u64,
}

/// One request as an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// Who asked.
    pub caller: String,
    /// Where.
    pub route: String,
    /// The decision before.
    pub before: Decision,
    /// And after.
    pub after: Decision,
    /// The rules that make the difference.
    pub rules: Vec<Arc<str>>,
    /// Where the first of them fires.
    pub place: Option<Evidence>,
    /// What is kept of its words.
    pub privacy: Privacy,
}

/// Examples: of all, those whose ids hash lowest, so that they are spread and always the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(BTreeMap<String, Sample>);

impl Samples {
    fn add(&mut self, most: usize, sample: impl FnOnce() -> Sample, id: &str) {
        let hash = blake3::hash(id.as_bytes()).to_hex().to_string();
        let full = self.0.len() >= most;
        if most == 0 || full && self.0.last_key_value().is_some_and(|(last, _)| *last < hash) {
            return;
        }
        self.0.insert(hash, sample());
        if self.0.len() > most {
            self.0.pop_last();
        }
    }

    /// Oldest first.
    pub fn in_time(&self) -> Vec<&Sample> {
        let mut all: Vec<&Sample> = self.0.values().collect();
        all.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        all
    }
}

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests read.
    pub read: u64,
    /// Of all that were compared.
    pub all: Group,
    /// Refused before their words were read.
    pub never_inspected: u64,
    /// Without a prompt.
    pub no_prompt: u64,
    /// Encrypted with a key that is not among ours.
    pub sealed: u64,
    /// Changed, or not what their layout says.
    pub damaged: u64,
    /// Inspection failed.
    pub failed: u64,
    /// Compared, of masked words.
    pub masked: u64,
    /// Compared, of words that were cut off.
    pub cut: u64,
    /// Compared, with roles read off the lines.
    pub guessed: u64,
    /// Compared, under another policy than then.
    pub policy_gone: u64,
    /// From which decision to which.
    pub decisions: BTreeMap<Decision, BTreeMap<Decision, u64>>,
    /// By what is kept of words.
    pub by_privacy: BTreeMap<Privacy, PrivacyFigures>,
    /// By rule.
    pub by_rule: BTreeMap<Arc<str>, RuleFigures>,
    /// By caller.
    pub by_caller: BTreeMap<String, Group>,
    /// By route.
    pub by_route: BTreeMap<String, Group>,
    /// Examples of requests newly blocked.
    pub newly_blocked: Samples,
    /// Newly passed.
    pub newly_passed: Samples,
    /// Decided otherwise.
    pub changed: Samples,
}

impl Figures {
    /// Adds what came of a request; `samples` is the most of each kind.
    pub fn add(&mut self, stored: &StoredRequest, about: &About, outcome: &Outcome, samples: usize) {
        self.read = self.read.saturating_add(1);
        let counted = match outcome {
            Outcome::Compared(compared) => return self.compared(stored, about, compared, samples),
            Outcome::NotStored | Outcome::Unread(Unread::Hash) => {
                &mut self.by_privacy.entry(about.privacy).or_default().not_stored
            }
            Outcome::NeverInspected => &mut self.never_inspected,
            Outcome::NoPrompt => &mut self.no_prompt,
            Outcome::Unread(Unread::Sealed) => &mut self.sealed,
            Outcome::Unread(Unread::Damaged) => &mut self.damaged,
            Outcome::Failed => &mut self.failed,
        };
        *counted = counted.saturating_add(1);
    }

    fn compared(&mut self, stored: &StoredRequest, about: &About, compared: &Compared, samples: usize) {
        let change = compared.change();
        self.all.add(change);
        let add = |count: &mut u64, one: bool| *count = count.saturating_add(u64::from(one));
        add(&mut self.masked, about.masked);
        add(&mut self.cut, about.cut);
        add(&mut self.guessed, about.guessed);
        add(&mut self.policy_gone, about.policy_gone);
        let to = self.decisions.entry(compared.before).or_default();
        add(to.entry(compared.after).or_default(), true);
        self.by_privacy.entry(about.privacy).or_default().group.add(change);
        let caller = caller_of(stored);
        group(&mut self.by_caller, &caller).add(change);
        group(&mut self.by_route, &stored.path).add(change);
        for rule in &compared.fired_before {
            add(&mut self.by_rule.entry(Arc::clone(rule)).or_default().fired_before, true);
        }
        for rule in &compared.fired_after {
            add(&mut self.by_rule.entry(Arc::clone(rule)).or_default().fired_after, true);
        }
        for why in &compared.why {
            let figures = self.by_rule.entry(Arc::clone(&why.rule)).or_default();
            match change {
                Change::None => {}
                Change::NewlyBlocked => add(&mut figures.newly_blocked, true),
                Change::NewlyPassed => add(&mut figures.newly_passed, true),
                Change::Otherwise => add(&mut figures.changed, true),
            }
        }
        let kept = match change {
            Change::None => return,
            Change::NewlyBlocked => &mut self.newly_blocked,
            Change::NewlyPassed => &mut self.newly_passed,
            Change::Otherwise => &mut self.changed,
        };
        let sample = || Sample {
            id: stored.id.clone(),
            time: stored.time,
            caller,
            route: stored.path.clone(),
            before: compared.before,
            after: compared.after,
            rules: compared.why.iter().map(|why| Arc::clone(&why.rule)).collect(),
            place: compared.why.first().and_then(|why| why.place),
            privacy: about.privacy,
        };
        kept.add(samples, sample, &stored.id);
    }

    /// Of those compared, the share that is newly blocked, 0 to 1.
    pub fn share_newly_blocked(&self) -> f64 {
        if self.all.compared == 0 { 0.0 } else { self.all.newly_blocked as f64 / self.all.compared as f64 }
    }

    /// Not compared because no text is stored.
    pub fn not_stored(&self) -> u64 {
        self.by_privacy.values().map(|figures| figures.not_stored).sum()
    }
}

fn group<'g>(groups: &'g mut BTreeMap<String, Group>, name: &str) -> &'g mut Group {
    let name = if groups.len() < MOST_GROUPS || groups.contains_key(name) { name } else { OTHERS };
    groups.entry(name.to_owned()).or_default()
}

/// Whose request it is: the user, else the key, else the address; with its tenant, where it has one.
fn caller_of(stored: &StoredRequest) -> String {
    let named = [("user", &stored.user), ("key", &stored.key), ("address", &stored.address)];
    let named = named.into_iter().find_map(|(what, name)| Some(format!("{what} {}", name.as_deref()?)));
    let name = named.unwrap_or_else(|| "unknown".to_owned());
    stored.tenant.as_deref().map_or_else(|| name.clone(), |tenant| format!("tenant {tenant}, {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::Why;

    fn stored(number: u32, user: &str) -> StoredRequest {
        let (id, user) = (format!("req_{number}"), Some(user.to_owned()));
        StoredRequest {
            id,
            time: i64::from(number),
            user,
            path: "/chat/completions".into(),
            ..StoredRequest::default()
        }
    }

    const ABOUT: About =
        About { privacy: Privacy::Full, masked: false, cut: false, guessed: false, policy_gone: false };

    fn compared(before: Decision, after: Decision) -> Outcome {
        Outcome::Compared(Arc::new(Compared {
            before,
            after,
            fired_before: Vec::new(),
            fired_after: vec!["A".into()],
            why: vec![Why { rule: "A".into(), place: None }],
        }))
    }

    #[test]
    fn every_request_is_counted_once_and_where_it_belongs() {
        let mut figures = Figures::default();
        let outcomes = [
            compared(Decision::Allow, Decision::Block),
            compared(Decision::Block, Decision::Flag),
            compared(Decision::Allow, Decision::Flag),
            compared(Decision::Block, Decision::Block),
            Outcome::NotStored,
            Outcome::Unread(Unread::Hash),
            Outcome::NeverInspected,
            Outcome::NoPrompt,
            Outcome::Unread(Unread::Sealed),
            Outcome::Unread(Unread::Damaged),
            Outcome::Failed,
        ];
        for (number, outcome) in (0..).zip(&outcomes) {
            figures.add(&stored(number, "ann"), &ABOUT, outcome, 10);
        }
        let group = Group { compared: 4, newly_blocked: 1, newly_passed: 1, changed: 1 };
        assert_eq!((figures.read, figures.all, figures.not_stored()), (11, group, 2));
        assert_eq!(figures.by_caller.get("user ann"), Some(&group));
        assert_eq!(figures.by_route.get("/chat/completions"), Some(&group));
        let rule = RuleFigures { fired_before: 0, fired_after: 4, newly_blocked: 1, newly_passed: 1, changed: 1 };
        assert_eq!(figures.by_rule.get("A"), Some(&rule));
        let others = figures.never_inspected + figures.no_prompt + figures.sealed + figures.damaged + figures.failed;
        assert_eq!(figures.all.compared + figures.not_stored() + others, figures.read);
        assert_eq!(figures.decisions.values().flat_map(|to| to.values()).sum::<u64>(), 4);
        assert_eq!(figures.newly_blocked.in_time().iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["req_0"]);
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
    }

    #[test]
    fn samples_are_few_and_the_same_in_any_order() {
        let add = |numbers: &mut dyn Iterator<Item = u32>| {
            let mut figures = Figures::default();
            let outcome = compared(Decision::Allow, Decision::Block);
            numbers.for_each(|number| figures.add(&stored(number, "ann"), &ABOUT, &outcome, 5));
            figures.newly_blocked
        };
        let (there, back) = (add(&mut (0..200)), add(&mut (0..200).rev()));
        assert_eq!((there.in_time().len(), &there), (5, &back));
    }

    #[test]
    fn callers_without_end_are_counted_together_at_last() {
        let mut figures = Figures::default();
        let outcome = compared(Decision::Allow, Decision::Allow);
        for number in 0..12_000 {
            figures.add(&stored(number, &number.to_string()), &ABOUT, &outcome, 0);
        }
        assert_eq!(figures.by_caller.len(), MOST_GROUPS + 1);
        assert_eq!(figures.by_caller.get(OTHERS).map(|group| group.compared), Some(2_000));
    }
}
