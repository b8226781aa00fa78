//! `Flight`: exactly one `Record` per request, on every way out, written on drop.

use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hyper::Method;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use tokio::sync::mpsc::OwnedPermit;

use super::caller::Owner;
use super::charge::{Charged, More};
use super::content::Keeping;
use super::history::Track;
use super::listen::{self, Peer, Refuse};
use super::refuse::Refusal;
use super::route::Plan;
use crate::config::settings::QueueFull;
use crate::quota::Headroom;
use crate::telemetry::{Events, InFlight, Metrics};
use crate::types::{
    Decision, Direction, Event, Generation, Kept, Layout, Outcome, Record, RequestId, Uninspected, Verdict,
};

/// The door up: where records go.
#[derive(Clone)]
pub struct Recorder {
    events: Events,
    metrics: Metrics,
}

impl Recorder {
    /// Records leave by `events`; what does not fit is counted in `metrics`.
    pub fn new(events: Events, metrics: Metrics) -> Self {
        Self { events, metrics }
    }

    /// The live metrics.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends something up beside records.
    pub(super) fn tell(&self, event: Event) {
        self.events.send(event);
    }

    /// Starts the record of a request.
    ///
    /// # Errors
    /// When the queue is full and `on_full` says to refuse, or when not even a block could be recorded, the flight comes
    /// back with the refusal: it can still be answered, and is counted as unrecorded.
    pub(super) fn begin(&self, on_full: QueueFull, generation: Generation) -> (Flight, Result<(), Refusal>) {
        let (permit, room) = match on_full {
            QueueFull::Serve if self.events.has_reserve() => (None, Ok(())),
            QueueFull::Serve => (None, Err(Refusal::unrecordable())),
            QueueFull::Refuse => match self.events.reserve() {
                Some(permit) => (Some(permit), Ok(())),
                None => (None, Err(Refusal::unrecordable())),
            },
        };
        (Flight::new(self.clone(), permit, generation), room)
    }
}

impl Recorder {
    /// Records a request that the listener refused before it was one.
    pub fn refused_by_listener(&self, generation: Generation, peer: &Peer, refuse: &Refuse) {
        let mut flight = Flight::new(self.clone(), None, generation);
        flight.note(|record| {
            record.caller.address = peer.address.map(|address| address.ip().to_canonical());
            record.path = unknown_path();
            record.method = method_label(&Method::OPTIONS);
            record.outcome = Outcome::Refused;
            record.reason = Some(refuse.code);
            record.status = refuse.status;
        });
    }
}

/// One request under way. Its record leaves when it is dropped, whatever happened.
pub(super) struct Flight {
    record: Option<Box<Record>>,
    permit: Option<OwnedPermit<Event>>,
    recorder: Recorder,
    started: Instant,
    track: Option<Box<Track>>,
    owner: Option<Box<Owner>>,
    charged: Option<Box<Charged>>,
    keeping: Option<Box<Keeping>>,
    kept: Vec<(Direction, String, Option<Layout>)>,
    /// Tokens answered so far, roughly.
    answered: u64,
    _in_flight: InFlight,
}

impl Flight {
    fn new(recorder: Recorder, permit: Option<OwnedPermit<Event>>, generation: Generation) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let record = Record::new(i64::try_from(time).unwrap_or(i64::MAX), RequestId(listen::request_id()), generation);
        let in_flight = recorder.metrics.in_flight();
        let started = Instant::now();
        Self {
            record: Some(Box::new(record)),
            permit,
            recorder,
            started,
            track: None,
            owner: None,
            charged: None,
            keeping: None,
            kept: Vec::new(),
            answered: 0,
            _in_flight: in_flight,
        }
    }

    /// What the head tells before anything is decided.
    pub(super) fn describe(&mut self, head: &Parts) {
        let method = method_label(&head.method);
        let retry = text(head, &RETRY_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0);
        let traceparent = text(head, &TRACEPARENT).filter(|value| value.len() == 55).map(str::to_owned);
        self.note(|record| {
            record.method = method;
            record.path = unknown_path();
            record.retry = retry;
            record.traceparent = traceparent;
        });
    }

    /// What it is and where it goes.
    pub(super) fn planned(&mut self, plan: &Plan) {
        self.note(|record| {
            record.path = Arc::clone(&plan.path);
            record.dialect = Some(plan.dialect);
            record.upstream = Some(Arc::clone(&plan.upstream.name));
        });
    }

    /// Changes the record. Does nothing once it has left.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.as_mut() {
            change(record);
        }
    }

    /// When it began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// When its head was read: Unix time in microseconds.
    pub(super) fn time(&self) -> i64 {
        self.record.as_ref().map_or(0, |record| record.time)
    }

    /// The request's id.
    pub(super) fn id(&self) -> RequestId {
        self.record.as_ref().map_or_else(|| RequestId(String::new()), |record| record.id.clone())
    }

    /// The model that was asked for, or nothing.
    pub(super) fn model(&self) -> String {
        self.record.as_ref().and_then(|record| record.model.clone()).unwrap_or_default()
    }

    /// The live metrics.
    pub(super) fn metrics(&self) -> &Metrics {
        self.recorder.metrics()
    }

    /// The door it leaves by.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// A refusal ends it.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let (outcome, status, code) = (refusal.outcome(), refusal.status(), refusal.code());
        self.note(|record| {
            record.outcome = outcome;
            record.status = status;
            record.reason = Some(code);
            if matches!(outcome, Outcome::PromptBlocked | Outcome::AnswerBlocked) {
                record.decision = Decision::Block;
            }
        });
    }

    /// The answer was relayed to its end.
    pub(super) fn served(&mut self) {
        self.end(Outcome::Served, None);
    }

    /// It ended otherwise; the first end counts.
    pub(super) fn end(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        self.note(|record| {
            if record.outcome == Outcome::Abandoned {
                record.outcome = outcome;
                record.reason = reason;
            }
        });
    }

    /// The verdict on the prompt; the worst enforced decision is kept.
    pub(super) fn input(&mut self, verdict: Verdict, enforced: Decision) {
        self.note(|record| {
            record.decision = record.decision.max(enforced);
            record.input = Some(verdict);
        });
    }

    /// What it is remembered by: its answer adds to that.
    pub(super) fn follow(&mut self, track: Track) {
        self.track = Some(Box::new(track));
    }

    /// Ids that its answer issues are this caller's.
    pub(super) fn owned_by(&mut self, owner: Owner) {
        self.owner = Some(Box::new(owner));
    }

    /// How its words are kept, where they are.
    pub(super) fn keeps(&mut self, keeping: Option<Keeping>) {
        self.keeping = keeping.map(Box::new);
    }

    /// How its words are kept, where they are.
    pub(super) fn keeping(&self) -> Option<&Keeping> {
        self.keeping.as_deref()
    }

    /// Keeps these, with its record; of a prompt, where each text of it lies in them.
    pub(super) fn keep(&mut self, direction: Direction, text: String, layout: Option<Layout>) {
        self.kept.push((direction, text, layout));
    }

    /// It may use so much.
    pub(super) fn charge(&mut self, charged: Charged) {
        self.charged = Some(Box::new(charged));
    }

    /// What it may use.
    pub(super) fn charged(&mut self) -> Option<&mut Charged> {
        self.charged.as_deref_mut()
    }

    /// So many tokens were answered so far, roughly.
    ///
    /// # Errors
    /// More than it holds: the answer may only go on if it gets more.
    pub(super) fn answered(&mut self, tokens: u64) -> Result<(), More> {
        self.answered = tokens;
        self.charged.as_mut().filter(|charged| charged.is_counted()).map_or(Ok(()), |charged| charged.answered(tokens))
    }

    /// What was left of requests and tokens when it was let in.
    pub(super) fn headroom(&self) -> [Option<Headroom>; 2] {
        self.charged.as_ref().map_or([None, None], |charged| charged.headroom())
    }

    /// Whether a client library says that it sends it again by itself.
    pub(super) fn is_retry(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.retry > 0)
    }

    /// Whether the answer's id is wanted: the conversation goes on under it.
    pub(super) fn wants_id(&self) -> bool {
        let tracked = self.track.as_ref().is_some_and(|track| track.wants_id());
        tracked || self.owner.is_some()
    }

    /// The answer's id.
    pub(super) fn answered_as(&mut self, id: &str) {
        if let Some(track) = &mut self.track {
            track.answered_as(id);
        }
        // Once: a stream says it with every event.
        if let Some(owner) = self.owner.take() {
            let issued = owner.issued(id);
            self.note(|record| record.issued = issued);
        }
    }

    /// The verdict on the answer; the worst enforced decision is kept.
    pub(super) fn output(&mut self, mut verdict: Verdict, enforced: Decision) {
        let before = verdict.decision;
        if let Some(track) = &self.track {
            track.answered(&mut verdict, enforced == Decision::Block);
        }
        // What the answer completes is reported; there is nothing left to carry out.
        let enforced = if verdict.decision > before { enforced.max(Decision::Flag) } else { enforced };
        self.note(|record| {
            record.decision = record.decision.max(enforced);
            record.output = Some(verdict);
        });
    }

    /// Bytes relayed uninspected, by reason.
    pub(super) fn uninspected(&mut self, reason: Uninspected, bytes: u64) {
        self.note(|record| match record.uninspected.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => *sum += bytes,
            None => record.uninspected.push((reason, bytes)),
        });
    }
}

impl Flight {
    /// What is kept of its words, said to be this record's.
    fn contents(&mut self, record: &Record) -> Vec<Kept> {
        let Some(mode) = self.keeping.as_ref().map(|keeping| keeping.privacy()) else { return Vec::new() };
        let kept = self.kept.drain(..).map(|(direction, text, layout)| Kept {
            request: record.id.clone(),
            time: record.time,
            direction,
            user: record.caller.user.clone(),
            mode,
            text,
            layout,
        });
        kept.collect()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.micros.total = micros_since(self.started);
        let alarms = self.charged.take().map(|charged| charged.settle(&mut record, self.answered)).unwrap_or_default();
        let contents = self.contents(&record);
        let event = Event::Request(record);
        match self.permit.take() {
            Some(permit) => drop(permit.send(event)),
            None => self.recorder.events.send(event),
        }
        for alarm in alarms {
            self.recorder.events.send(Event::Alarm(Box::new(alarm)));
        }
        for kept in contents {
            self.recorder.events.send(Event::Content(Box::new(kept)));
        }
    }
}

static RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

fn text<'h>(head: &'h Parts, name: &HeaderName) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

/// Methods by their own name; whatever else a client made up is one label.
fn method_label(method: &Method) -> Arc<str> {
    static LABELS: LazyLock<[Arc<str>; 5]> =
        LazyLock::new(|| ["POST", "GET", "HEAD", "DELETE", "other"].map(Arc::from));
    let [post, get, head, delete, other] = &*LABELS;
    Arc::clone(match *method {
        Method::POST => post,
        Method::GET => get,
        Method::HEAD => head,
        Method::DELETE => delete,
        _ => other,
    })
}

/// The path of requests that were refused before it was understood: what they sent is theirs, and unbounded.
fn unknown_path() -> Arc<str> {
    static UNKNOWN: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("unknown"));
    Arc::clone(&UNKNOWN)
}

/// Whole microseconds since `start`.
pub(super) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
