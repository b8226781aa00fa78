//! What callers and conversations are remembered by between requests: bounded maps that forget the idle. They stand
//! outside the Snapshot, so that a reload forgets nothing. `detect::history` says what is remembered and what follows.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::admit::network;
use super::tags::Tags;
use crate::config::Snapshot;
use crate::config::settings;
use crate::detect::history::{Asked, Caller as Past, Conversation, Moment, Print, Room, judge_answer, judge_request};
use crate::detect::{RuleSet, Thresholds};
use crate::types::{Caller, CallerKind, Decision, Dialect, Evidence, Finding, Role, SpanIndex, Verdict};
use crate::wire::{Prompt, Span};

/// Turns kept of a person who sends one at a time.
const SINGLE_TURNS: usize = 4;

/// Everything that is remembered. Shared by all workers.
pub struct History {
    /// `None`: switched off.
    callers: Option<Cache<u64, Arc<Mutex<Past>>>>,
    conversations: Option<Cache<u64, Arc<Conversation>>>,
    /// Keyed at random, so that nobody can make one caller pass for another.
    keys: RandomState,
    /// Of texts that may be long, under a key as random.
    tags: Option<Tags>,
    began: Instant,
}

/// What a request is remembered by, from its inspection to its end.
pub(super) struct Track {
    rules: Arc<RuleSet>,
    began: Instant,
    /// Whose it is: the caller, or the end user it names.
    asks: u64,
    caller: Option<Arc<Mutex<Past>>>,
    /// Whether the caller is a person whose requests each have a single turn: together they are a conversation.
    single: Option<Room>,
    talk: Option<Talk>,
}

/// The conversation of a request.
struct Talk {
    conversations: Cache<u64, Arc<Conversation>>,
    keys: RandomState,
    /// Whose it is.
    owner: u64,
    /// What it is known by; `None` until its first answer has an id.
    key: Option<u64>,
    /// Whether it goes on under the id of its next answer.
    is_chain: bool,
    /// Whether the provider keeps it, so that its turns are not sent again.
    is_kept: bool,
    room: Room,
    now: Conversation,
}

/// The part of a prompt that earlier requests did not have.
struct New<'p, 'b> {
    prompt: &'p Prompt<'b>,
    /// Its first span.
    from: usize,
    /// What the user says last in it.
    said: Option<usize>,
}

impl History {
    /// Nothing remembered yet.
    pub fn new(settings: &settings::History) -> Self {
        let idle = settings.timeout.get();
        // Whoever came last is remembered, however many others came: a policy that prefers the frequent would never
        // let a new caller in.
        let callers = (settings.callers > 0).then(|| {
            let cache = Cache::builder().max_capacity(settings.callers as u64).time_to_idle(idle);
            cache.eviction_policy(EvictionPolicy::lru()).build()
        });
        let conversations = (settings.conversations > 0).then(|| {
            let cache = Cache::builder().max_capacity(settings.conversations as u64).time_to_idle(idle);
            cache.eviction_policy(EvictionPolicy::lru()).build()
        });
        let keys = RandomState::new();
        let mut key = [0; 32];
        let parts = key.chunks_exact_mut(8).zip(0_u8..);
        parts.for_each(|(part, number)| part.copy_from_slice(&keys.hash_one(("tags", number)).to_le_bytes()));
        Self { callers, conversations, keys, tags: Tags::new(&key), began: Instant::now() }
    }

    /// Callers and conversations remembered.
    pub fn len(&self) -> (u64, u64) {
        let callers = self.callers.as_ref().map_or(0, Cache::entry_count);
        (callers, self.conversations.as_ref().map_or(0, Cache::entry_count))
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// What is remembered of the caller of `prompt` and of its conversation.
    pub(super) fn track(&self, snapshot: &Snapshot, caller: &Caller, prompt: &Prompt<'_>) -> Track {
        let settings = &snapshot.settings.inspect.history;
        let owner = self.owner(caller);
        let user = prompt.user.as_deref().filter(|_| settings.end_users);
        let asks = user.map_or(owner, |user| self.keys.hash_one((owner, user)));
        let past = self.callers.as_ref().map(|callers| {
            let known = callers.get(&asks);
            known.unwrap_or_else(|| callers.get_with(asks, Arc::default))
        });
        let bytes = usize::try_from(settings.turn_bytes.get()).unwrap_or(usize::MAX);
        let room = Room { turns: settings.turns, bytes };
        let talk = self.conversations.as_ref().filter(|_| prompt.dialect == Dialect::Responses);
        let talk = talk.map(|conversations| {
            let named = prompt.conversation.as_deref();
            let key = named.or(prompt.previous.as_deref()).map(|id| self.keys.hash_one((owner, id)));
            let now =
                key.and_then(|key| conversations.get(&key)).map_or_else(Conversation::default, |now| (*now).clone());
            let (conversations, keys) = (conversations.clone(), self.keys.clone());
            Talk { conversations, keys, owner, key, is_chain: named.is_none(), is_kept: true, room, now }
        });
        let is_person = user.is_some() || caller.kind == CallerKind::TrustedHeader;
        let speaks = matches!(prompt.dialect, Dialect::Chat | Dialect::Messages | Dialect::Completions);
        let alone = is_person && speaks && !prompt.spans.iter().any(|span| span.role == Role::Assistant);
        let single = (alone && settings.turns > 0).then_some(Room { turns: room.turns.min(SINGLE_TURNS), ..room });
        Track { rules: Arc::clone(&snapshot.rules), began: self.began, asks, caller: past, single, talk }
    }

    /// Whose requests are one caller's.
    fn owner(&self, caller: &Caller) -> u64 {
        let mut hasher = self.keys.build_hasher();
        match (caller.user.as_deref().or(caller.key.as_deref()), caller.address) {
            (Some(name), _) => (caller.kind, caller.tenant.as_deref(), name).hash(&mut hasher),
            (None, Some(address)) => network(address).hash(&mut hasher),
            (None, None) => {}
        }
        hasher.finish()
    }

    /// The conversation of a prompt that has all of its turns: known by the first of them. Only worth a look where
    /// something was found.
    fn by_first_turn(&self, owner: u64, prompt: &Prompt<'_>) -> Option<Talk> {
        let conversations = self.conversations.as_ref()?;
        let first = prompt.spans.iter().find(|span| span.role == Role::User)?;
        let tag = self.tags.as_ref().and_then(|tags| tags.of(0, &first.text));
        let key = match tag {
            Some(tag) => self.keys.hash_one((owner, "first", tag)),
            None => self.keys.hash_one((owner, "first", &*first.text)),
        };
        let now = conversations.get(&key).map_or_else(Conversation::default, |now| (*now).clone());
        let (conversations, keys) = (conversations.clone(), self.keys.clone());
        let room = Room { turns: 0, bytes: 0 };
        Some(Talk { conversations, keys, owner, key: Some(key), is_chain: false, is_kept: false, room, now })
    }

    /// The verdict on a prompt in which `findings` were found, in the light of what is remembered; and remembers it.
    /// `enforced` says whether a block is carried out.
    pub(super) fn judge(
        &self,
        track: &mut Track,
        prompt: &Prompt<'_>,
        findings: Vec<Finding>,
        thresholds: &Thresholds,
        is_retry: bool,
        enforced: bool,
    ) -> Verdict {
        if track.talk.is_none() && track.single.is_none() && !findings.is_empty() {
            track.talk = self.by_first_turn(track.asks, prompt);
        }
        let mut new = New::of(prompt);
        if track.talk.as_ref().is_some_and(|talk| talk.is_kept) {
            // What the provider keeps is not sent again.
            new.from = 0;
        }
        let span = |span: SpanIndex| {
            let role = prompt.spans.get(span.0 as usize).map_or(Role::Parameter, |span| span.role);
            (role, span.0 as usize >= new.from)
        };
        let now = track.moment();
        let asked = Asked { now, print: new.print(), spoken: new.spoken(), is_retry, span: &span };
        let mut past = track.caller.as_ref().map(|past| past.lock().unwrap_or_else(PoisonError::into_inner));
        let mut own = past.as_mut().filter(|_| track.single.is_some()).map(|past| mem::take(&mut past.talk));
        let talk = own.as_mut().or(track.talk.as_mut().map(|talk| &mut talk.now));
        let verdict = judge_request(&track.rules, past.as_deref_mut(), talk, &asked, findings, thresholds);
        let blocked = enforced && verdict.decision == Decision::Block;
        if let (Some(past), Some(mut own), Some(room)) = (&mut past, own, track.single) {
            new.user_turns().filter(|_| !blocked).for_each(|text| own.say(text, room));
            past.talk = own;
        }
        drop(past);
        if let Some(talk) = &mut track.talk {
            if talk.is_kept && !blocked {
                new.user_turns().for_each(|text| talk.now.say(text, talk.room));
            }
            // What a chain comes to is known by the id of its answer; where none will come, by the one it goes on from.
            if !talk.is_chain || blocked {
                talk.remember(talk.key);
            }
        }
        verdict
    }
}

impl Track {
    /// What the user said earlier, where the prompt does not say it again. Single turns of a person need not have to do
    /// with each other: they are only read together where something was found, in them or in this one.
    pub(super) fn turns(&self, findings: &[Finding]) -> Vec<Arc<str>> {
        if let (Some(_), Some(past)) = (self.single, &self.caller) {
            let past = past.lock().unwrap_or_else(PoisonError::into_inner);
            let doubtful = !findings.is_empty() || past.talk.is_doubtful(self.moment());
            return past.talk.turns().filter(|_| doubtful).cloned().collect();
        }
        self.talk.iter().flat_map(|talk| talk.now.turns()).cloned().collect()
    }

    /// The answer has an id that the next request may name.
    pub(super) fn answered_as(&mut self, id: &str) {
        let Some(talk) = self.talk.as_mut().filter(|talk| talk.is_chain) else { return };
        talk.is_chain = false;
        talk.remember(Some(talk.keys.hash_one((talk.owner, id))));
    }

    /// Whether the id of the answer is still wanted.
    pub(super) fn wants_id(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.is_chain)
    }

    /// Something was found in the answer.
    pub(super) fn answered(&self, verdict: &mut Verdict, denied: bool) {
        if let Some(past) = &self.caller {
            let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
            judge_answer(&self.rules, &mut past, self.moment(), verdict, denied);
        }
    }

    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Talk {
    fn remember(&self, key: Option<u64>) {
        if let Some(key) = key.filter(|_| !self.now.is_empty()) {
            self.conversations.insert(key, Arc::new(self.now.clone()));
        }
    }
}

impl<'p, 'b> New<'p, 'b> {
    /// What follows the last answer that something follows. All of it, where there is no answer.
    fn of(prompt: &'p Prompt<'b>) -> Self {
        let mut said = None;
        let mut asks = false;
        let boundary = prompt.spans.iter().enumerate().rev().try_for_each(|(at, span)| match span.role {
            Role::Assistant if asks => ControlFlow::Break(at + 1),
            Role::User => {
                // After a tool's answer the user has said nothing new.
                said = said.or((!asks).then_some(at));
                asks = true;
                ControlFlow::Continue(())
            }
            Role::Tool => {
                asks = true;
                ControlFlow::Continue(())
            }
            Role::System | Role::Developer | Role::Assistant | Role::Definition | Role::Parameter => {
                ControlFlow::Continue(())
            }
        });
        Self { prompt, from: boundary.break_value().unwrap_or(0), said }
    }

    fn last(&self) -> Option<&Span<'b>> {
        self.prompt.spans.get(self.said?)
    }

    fn print(&self) -> Option<Print> {
        let mut turns = self.user_turns();
        let (first, second) = (turns.next()?, turns.next());
        let Some(second) = second else { return Print::of(first) };
        Print::of(&[first, second].into_iter().chain(turns).collect::<Vec<_>>().join("\n"))
    }

    /// Where what is found about the caller is reported.
    fn spoken(&self) -> Evidence {
        let end = self.last().map_or(0, |span| u32::try_from(span.text.len()).unwrap_or(u32::MAX));
        Evidence { span: SpanIndex(self.said.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)), start: 0, end }
    }

    fn user_turns(&self) -> impl Iterator<Item = &str> {
        let spans = self.prompt.spans.get(self.from..).unwrap_or_default().iter();
        spans.filter(|span| span.role == Role::User).map(|span| &*span.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Limits, read_prompt};

    /// Of a list of roles, each with a text: where the new part begins, and the text that is new of the user.
    fn new(turns: &str) -> (usize, Option<String>) {
        let messages = turns.split(' ').enumerate().map(|(at, role)| match role {
            "tool" => format!(r#"{{"role":"tool","tool_call_id":"c","content":"text {at}"}}"#),
            role => format!(r#"{{"role":"{role}","content":"text {at}"}}"#),
        });
        let body = format!(r#"{{"model":"m","messages":[{}]}}"#, messages.collect::<Vec<_>>().join(","));
        let prompt = read_prompt(Dialect::Chat, body.as_bytes(), &Limits::default()).unwrap();
        let spans: Vec<&Span<'_>> = prompt.spans.iter().filter(|span| span.text.starts_with("text")).collect();
        let new = New::of(&prompt);
        let old =
            spans.iter().filter(|span| prompt.spans.iter().position(|one| one.place == span.place) < Some(new.from));
        (old.count(), new.last().map(|span| span.text.to_string()))
    }

    #[test]
    fn new_is_what_follows_the_last_answer_that_something_follows() {
        let text = |at: usize| Some(format!("text {at}"));
        assert_eq!(new("system user"), (0, text(1)));
        assert_eq!(new("system user assistant user"), (3, text(3)));
        assert_eq!(new("user assistant user user"), (2, text(3)));
        // A program that works on the answers of tools: its user has said nothing new.
        assert_eq!(new("user assistant tool assistant tool"), (4, None));
        // An answer begun for the model hides nothing.
        assert_eq!(new("user assistant"), (0, text(0)));
        assert_eq!(new("user assistant user assistant"), (2, text(2)));
        assert_eq!(new("system").1, None);
    }

    #[test]
    fn a_print_is_of_everything_the_user_newly_says() {
        let print = |texts: &[&str]| {
            let messages: Vec<_> =
                texts.iter().map(|text| serde_json::json!({"role": "user", "content": text})).collect();
            let body = serde_json::json!({"model": "m", "messages": messages}).to_string();
            New::of(&read_prompt(Dialect::Chat, body.as_bytes(), &Limits::default()).unwrap()).print()
        };
        let last = "Please answer the question above in full.";
        assert!(print(&[last]).is_some());
        assert_ne!(print(&["How do I bake bread at home?", last]), print(&["How do I open a lock?", last]));
        assert_eq!(print(&["How do I open a lock?", last]), print(&["How do I open a lock?", last]));
        assert!(print(&["How do I open a lock?", "ok?"]).is_some());
    }

    #[test]
    fn callers_are_told_apart_by_user_then_by_network() {
        let history = History::new(&settings::History::default());
        let caller = |user: Option<&str>, address: &str| Caller {
            address: Some(address.parse().unwrap()),
            user: user.map(Arc::from),
            kind: if user.is_some() { CallerKind::Key } else { CallerKind::Anonymous },
            ..Caller::default()
        };
        let of = |user, address| history.owner(&caller(user, address));
        assert_eq!(of(Some("a"), "192.0.2.1"), of(Some("a"), "192.0.2.2"));
        assert_ne!(of(Some("a"), "192.0.2.1"), of(Some("b"), "192.0.2.1"));
        assert_ne!(of(None, "192.0.2.1"), of(None, "192.0.2.2"));
        assert_eq!(of(None, "2001:db8::1"), of(None, "2001:db8::2"));
        let certified = Caller { kind: CallerKind::Certificate, ..caller(Some("a"), "192.0.2.1") };
        assert_ne!(of(Some("a"), "192.0.2.1"), history.owner(&certified), "a name in another register");
        assert!(history.is_empty());
    }
}
