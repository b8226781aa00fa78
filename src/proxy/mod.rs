//! The data path, in the order a request meets it. `Proxy::handle` is the whole road: read it first.

pub mod admit;
mod answer;
mod approve;
mod bell;
mod body;
mod cache;
mod caller;
mod charge;
mod clock;
mod content;
mod deadline;
mod decode;
mod events;
mod forward;
mod headers;
mod history;
mod hold;
pub mod identify;
mod inspect;
mod inspector;
mod keys;
pub mod listen;
mod live;
mod panics;
mod policy;
mod prompts;
mod receive;
mod record;
mod refuse;
mod relay;
mod route;
mod second;
pub mod session;
mod tags;
pub mod upstream;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use self::admit::Admitted;
pub use self::admit::Gate;
use self::answer::Relayed;
use self::approve::Approver;
pub use self::approve::Holds;
pub use self::body::Body;
pub use self::cache::VerdictCache;
pub use self::caller::Callers;
use self::charge::Asked;
pub use self::charge::Counting;
use self::content::Keeping;
use self::deadline::unless_cut;
pub use self::history::History;
use self::inspect::Cleared;
use self::listen::Peer;
use self::live::Cancel;
pub use self::live::Live;
pub use self::prompts::PromptCache;
use self::record::Flight;
pub use self::record::Recorder;
use self::refuse::Refusal;
use self::route::Plan;
use self::upstream::{Pool, TlsConfigs};
use crate::config::settings::{Mode, RouteAction, Settings};
use crate::config::{Handle, Snapshot};
use crate::types::{ApiFamily, Caller};
use crate::wire::{self, Prompt};

/// The data path of one worker.
pub struct Proxy {
    config: Arc<Handle>,
    shared: Arc<Shared>,
    pool: Pool,
}

/// What all workers share.
pub struct Shared {
    /// The door up.
    pub recorder: Recorder,
    /// What callers have used.
    pub gate: Gate,
    /// Spans known to be clean.
    pub cache: VerdictCache,
    /// Prompts that answers are compared with.
    pub prompts: PromptCache,
    /// Callers and conversations.
    pub history: History,
    /// What is known of callers.
    pub callers: Callers,
    /// Requests under way.
    pub live: Arc<Live>,
    /// Tool calls that wait for people.
    pub holds: Holds,
    /// Limits and budgets.
    pub counting: Arc<Counting>,
    /// TLS towards upstreams.
    pub tls: Arc<TlsConfigs>,
}

impl Proxy {
    /// A worker's data path: decides by what `config` holds, pools its own connections.
    pub fn new(config: Arc<Handle>, shared: Arc<Shared>) -> Self {
        let pool = Pool::new(Arc::clone(&shared.tls));
        Self { config, shared, pool }
    }

    /// The whole road of a request. Law 5: one Snapshot from start to end. Law 6: `flight` leaves exactly one Record.
    pub async fn handle(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        let snapshot = self.config.load_full();
        let (head, body) = request.into_parts();
        let on_full = snapshot.settings.server.on_event_queue_full;
        let (mut flight, room) = self.shared.recorder.begin(on_full, snapshot.generation);
        flight.describe(&head);
        let family = route::family(&head);
        let road = match room {
            Ok(()) => panics::caught(pin!(self.road(&snapshot, peer, head, body, family, &mut flight))).await,
            Err(refusal) => Ok(Err(refusal)),
        };
        match road {
            Ok(Ok(relayed)) => relayed.into_response(flight),
            Ok(Err(refusal)) => refuse(refusal, flight, family),
            Err(panics::Panicked) => {
                flight.metrics().panicked();
                refuse(Refusal::internal(), flight, family)
            }
        }
    }

    /// One line per stage; each may refuse.
    async fn road(
        &self,
        snapshot: &Arc<Snapshot>,
        peer: &Peer,
        head: Parts,
        body: Incoming,
        family: ApiFamily,
        flight: &mut Flight,
    ) -> Result<Relayed, Refusal> {
        let address = caller::address(snapshot, peer, &head.headers);
        flight.note(|record| record.caller.address = address);
        let entered = self.shared.gate.enter(&snapshot.settings.limits, address)?;
        listen::check_size(&head, &snapshot.settings.http).map_err(Refusal::bad_head)?;
        listen::check_semantics(&head).map_err(Refusal::bad_head)?;
        let mut plan = route::plan(snapshot, &head, family)?;
        flight.planned(&plan);
        let callers = &self.shared.callers;
        let now = flight.time();
        let mut known = caller::who(&self.config, snapshot, callers, peer, address, &head.headers, now).await?;
        flight.note(|record| record.caller = known.caller.clone());
        policy::obey(snapshot, &known.caller, flight)?;
        let mut admitted = self.shared.gate.admit(&snapshot.settings.limits, &known.caller, entered)?;
        let body = self.receive(snapshot, &plan, &head, body, flight, &mut admitted).await?;
        let prompt = self.read(snapshot, &plan, flight, &body)?;
        caller::complete(snapshot, callers, &mut known, &head, &plan.path, prompt.as_ref(), flight)?;
        let caller = known.caller;
        plan.own_key = caller::is_ours(&caller);
        let lent = known.key.as_ref().and_then(|key| key.lent.as_ref());
        policy::adopt(snapshot, &mut plan, &caller, lent, prompt.as_ref(), flight)?;
        plan.approver = Approver::new(&self.config, &self.shared.holds, snapshot, &plan, &caller, flight);
        let reads = plan.inspects_answers(&snapshot.settings);
        plan.asks_usage = reads && plan.upstream.ask_usage && prompt.as_ref().is_some_and(Prompt::hides_usage);
        flight.keeps(Keeping::under(&plan.policy, snapshot, callers));
        let cut = Cancel::of(&peer.cut);
        let (place, quarantine) = policy::enter(&self.config, &self.shared.live, &caller, &cut, flight)?;
        admitted.take_place(place);
        let limits = policy::limits(snapshot, &caller, flight);
        let counting = &self.shared.counting;
        let asked = Asked { prompt: prompt.as_ref(), body: body.len() };
        let charged = charge::reserve(counting, snapshot, &plan, &caller, &limits, asked, flight).await?;
        flight.charge(charged);
        inspect::query(snapshot, &plan, flight, head.uri.query())?;
        let cleared = self.inspect(snapshot, &plan, &caller, flight, &body, prompt.as_ref()).await?;
        if quarantine.is_some() {
            return Err(Refusal::quarantined());
        }
        drop(prompt);
        drop(body);
        if cut.token().is_cancelled() {
            return Err(policy::ended(&cut, flight));
        }
        let done = {
            let onward = pin!(self.onward(snapshot, plan, &cut, head, cleared, admitted, flight));
            unless_cut(cut.token(), onward).await
        };
        done.unwrap_or_else(|| Err(policy::ended(&cut, flight)))
    }

    /// To the upstream and back, as far as the answer's head or, if it is no stream, its end.
    #[expect(clippy::too_many_arguments, reason = "what the stages before have found out, for the stages after")]
    async fn onward(
        &self,
        snapshot: &Arc<Snapshot>,
        plan: Plan,
        cut: &Cancel,
        head: Parts,
        cleared: Cleared,
        mut admitted: Admitted,
        flight: &mut Flight,
    ) -> Result<Relayed, Refusal> {
        let known = cleared.known();
        let answer = forward::send(&self.pool, &plan, head, cleared, flight).await?;
        admitted.release_body();
        answer::relay(snapshot, plan, cut, answer, known, admitted, flight).await
    }

    async fn receive(
        &self,
        snapshot: &Snapshot,
        plan: &Plan,
        head: &Parts,
        body: Incoming,
        flight: &mut Flight,
        admitted: &mut Admitted,
    ) -> Result<Bytes, Refusal> {
        let started = flight.started();
        let body = receive::body(&snapshot.settings, &head.headers, body, started, admitted).await?;
        if plan.action == RouteAction::Inspect && !body.is_empty() {
            receive::check_json(&head.headers)?;
        }
        flight.note(|record| record.micros.receive = record::micros_since(started));
        Ok(body)
    }

    /// The one reading of a body; there is none of a body that is exempt, or that there is not.
    fn read<'b>(
        &self,
        snapshot: &Snapshot,
        plan: &Plan,
        flight: &mut Flight,
        body: &'b Bytes,
    ) -> Result<Option<Prompt<'b>>, Refusal> {
        if plan.action == RouteAction::Pass || (body.is_empty() && plan.takes_no_body()) {
            return Ok(None);
        }
        inspect::read(snapshot, plan, flight, body).map(Some)
    }

    async fn inspect(
        &self,
        snapshot: &Snapshot,
        plan: &Plan,
        caller: &Caller,
        flight: &mut Flight,
        body: &Bytes,
        prompt: Option<&Prompt<'_>>,
    ) -> Result<Cleared, Refusal> {
        match prompt {
            Some(prompt) => inspect::prompt(snapshot, plan, caller, &self.shared, flight, body, prompt).await,
            None if plan.action == RouteAction::Pass => Ok(Cleared::exempt(flight, body.clone())),
            None => Ok(Cleared::bodiless()),
        }
    }
}

impl listen::Handler for Proxy {
    type Body = Body;

    async fn handle(self: Arc<Self>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
        Self::handle(&self, &peer, request).await
    }
}

/// A refusal as the answer, and the end of the flight.
fn refuse(refusal: Refusal, mut flight: Flight, family: ApiFamily) -> Response<Body> {
    flight.refused(&refusal);
    let id = flight.id();
    let mut response = refusal.into_response(family, &id);
    refuse::identify(&mut response, family, &id);
    response
}

/// The limits of the JSON reader.
fn json_limits(settings: &Settings) -> wire::Limits {
    wire::Limits { max_depth: settings.body.max_depth, max_nodes: settings.body.max_nodes }
}

impl Plan {
    /// Whether a request may come without a body: reading what is there, and removing it.
    fn takes_no_body(&self) -> bool {
        self.bodiless
    }

    /// Whether what comes back is inspected.
    fn inspects_answers(&self, settings: &Settings) -> bool {
        self.mode != Mode::Off && settings.inspect.answers
    }
}

/// Methods that carry no body.
fn bodiless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS)
}
