//! The live feed over a WebSocket: whoever comes back says what it saw last, and goes on from there.
//!
//! Each message is one entry of the feed. What may be read is looked at for every message by the roles that whoever watches
//! has, and these are asked again every few seconds: who lost them, or whose session ended, is sent away. Watching is no use
//! of a session: it does not keep one alive.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use utoipa::IntoParams;

use super::super::App;
use super::super::edge::Peer;
use super::super::error::ApiError;
use super::super::extract::Asked;
use super::super::guard::{self, Credential, Principal};
use super::super::roles::Permission;
use super::super::words::Number;
use crate::control::soc::hub::{News, Subscription};
use crate::types::soc::{FeedEntry, FeedKind};

/// Entries read from the store at once.
const PAGE: u32 = 500;
/// Bytes of a message to us: nothing is asked over the socket.
const MOST_HEARD: usize = 4 << 10;
/// Messages to us between two heartbeats.
const MOST_WORDS: u32 = 64;
/// How long whoever watches may take to close its side.
const CLOSING: Duration = Duration::from_secs(1);

/// Why a socket is closed, as its close code says. Those from 4000 on are ours.
const ENDING: u16 = 1001;
const TOO_MANY_WORDS: u16 = 1008;
const FAILED: u16 = 1011;
const TOO_SLOW: u16 = 1013;
const SESSION_ENDED: u16 = 4401;
const ROLE_LOST: u16 = 4403;
const UNANSWERED: u16 = 4408;
const NOT_KEPT: u16 = 4410;

/// How sockets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveOptions {
    /// Sockets open at once.
    pub sockets: usize,
    /// Those of one account.
    pub per_account: usize,
    /// A ping goes out each time this passes, and roles are looked at.
    pub heartbeat: Duration,
    /// After so many pings without an answer the socket is closed.
    pub unanswered: u32,
    /// Roles are asked again before a message when they were asked longer ago than this.
    pub recheck: Duration,
    /// Whoever takes longer for one message is too slow.
    pub send: Duration,
}

impl Default for LiveOptions {
    /// 256 sockets, 32 of one account; 15 seconds, 2 pings; roles every 2 seconds; 10 seconds for a message.
    fn default() -> Self {
        Self {
            sockets: 256,
            per_account: 32,
            heartbeat: Duration::from_secs(15),
            unanswered: 2,
            recheck: Duration::from_secs(2),
            send: Duration::from_secs(10),
        }
    }
}

/// The places for sockets. Clones are the same.
#[derive(Debug, Clone)]
pub struct Live {
    options: LiveOptions,
    places: Arc<Semaphore>,
    /// How many each account has.
    held: Arc<Mutex<BTreeMap<Arc<str>, usize>>>,
}

/// A place for one socket, free again when this is dropped.
struct Place {
    account: Arc<str>,
    live: Live,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// Places for as many as the options say.
    pub fn new(options: LiveOptions) -> Self {
        let places = Arc::new(Semaphore::new(options.sockets.min(Semaphore::MAX_PERMITS)));
        Self { options, places, held: Arc::default() }
    }

    /// A place for a socket of this account, if there is one.
    fn place(&self, account: &Arc<str>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(Arc::clone(account)).or_default();
        if *count >= self.options.per_account {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { account: Arc::clone(account), live: self.clone(), _permit: permit })
    }

    /// How many sockets are open.
    pub fn open(&self) -> usize {
        self.options.sockets.min(Semaphore::MAX_PERMITS).saturating_sub(self.places.available_permits())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.live.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.account);
            }
        }
    }
}

/// What is watched.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LiveQuery {
    /// The number of the last entry that is known: what came after it comes first. Absent: from now on.
    #[serde(default)]
    #[param(value_type = u64, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    since: Option<Number>,
    /// Only these kinds, with commas between: `alert`, `incident`, `plan`, `remedy`, `tool_hold`, `monitoring`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^[a-z_]+(,[a-z_]+)*$")]
    kinds: Kinds,
}

/// Kinds of entries.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Kinds(BTreeSet<FeedKind>);

impl Default for Kinds {
    fn default() -> Self {
        Self(FeedKind::ALL.into_iter().collect())
    }
}

impl TryFrom<String> for Kinds {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let kind = |word: &str| FeedKind::ALL.into_iter().find(|kind| kind.name() == word).ok_or("no such kind");
        text.split(',').map(kind).collect::<Result<_, _>>().map(Self)
    }
}

/// What it takes to see entries of a kind.
const fn needed(kind: FeedKind) -> Permission {
    match kind {
        FeedKind::Alert
        | FeedKind::Incident
        | FeedKind::Plan
        | FeedKind::Remedy
        | FeedKind::ToolHold
        | FeedKind::Report
        | FeedKind::Proposal => Permission::ReadEvents,
        FeedKind::Monitoring => Permission::Read,
    }
}

/// Why a socket ends.
enum End {
    /// It is gone already.
    Gone,
    /// Because of this, which is told.
    Told(u16, String),
}

fn told(code: u16, why: impl Into<String>) -> End {
    End::Told(code, why.into())
}

/// Watches the feed: a WebSocket whose messages are `{"seq", "time", "kind", "id", "body"}`.
#[utoipa::path(get, path = "/api/v1/live", tag = "soc", params(LiveQuery),
    responses((status = 101, description = "A WebSocket. It closes with 4401 when the session has ended, 4403 when the role \
        was lost, 4408 when pings are not answered, 4410 when `since` is not kept any more (read the lists, then watch \
        anew), 1013 when the reader is too slow (come back with `since`)."),
        (status = 426, description = "It is no WebSocket handshake.", body = super::super::error::ErrorBody)))]
pub async fn live(
    State(app): State<App>,
    who: Principal,
    peer: Peer,
    headers: HeaderMap,
    Asked(asked): Asked<LiveQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let soc = app.soc()?;
    if matches!(who.credential, Credential::Session { .. }) {
        // Browsers send cookies along with handshakes of any page, and ask nobody.
        guard::own_page(&headers, &peer)?;
    }
    let needs = || ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "This is a WebSocket.");
    let upgrade = upgrade.map_err(|_| needs())?;
    let many = || ApiError::unavailable("too_many_sockets", "As many watch as may.");
    let place = soc.live.place(&who.account).ok_or_else(many)?;
    let since = asked.since.map(|since| i64::try_from(u64::from(since)).unwrap_or(i64::MAX));
    // First this, then the store: what is in both is told once.
    let mut subscription = soc.station.feed.hub().subscribe(since).map_err(|_| many())?;
    let head = app.database.feed_head().await?;
    if subscription.last().is_none() {
        subscription.caught_up(head);
    }
    let options = soc.live.options;
    let kept = [AUTHORIZATION, COOKIE].into_iter().flat_map(|name| {
        let values: Vec<_> = headers.get_all(&name).iter().cloned().collect();
        values.into_iter().map(move |value| (name.clone(), value))
    });
    let credentials = kept.fold(HeaderMap::new(), |mut kept, (name, value)| {
        kept.append(name, value);
        kept
    });
    let line = Line {
        known: since.or(subscription.last()).unwrap_or(head),
        app: app.clone(),
        subscription,
        options,
        kinds: asked.kinds.0,
        holder: Holder { credentials, peer, who, checked: Instant::now() },
        unanswered: 0,
        words: 0,
        _place: place,
    };
    let upgrade = upgrade.max_message_size(MOST_HEARD).max_frame_size(MOST_HEARD);
    Ok(upgrade.on_upgrade(move |socket| line.run(socket, since, head)))
}

/// Who watches, as it was asked last.
struct Holder {
    credentials: HeaderMap,
    peer: Peer,
    who: Principal,
    checked: Instant,
}

/// One socket being served.
struct Line {
    app: App,
    subscription: Subscription,
    options: LiveOptions,
    kinds: BTreeSet<FeedKind>,
    holder: Holder,
    /// The last entry that was told or passed over.
    known: i64,
    unanswered: u32,
    words: u32,
    _place: Place,
}

impl Line {
    async fn run(mut self, mut socket: WebSocket, since: Option<i64>, head: i64) {
        let Err(End::Told(code, reason)) = self.serve(&mut socket, since, head).await else { return };
        let last = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if matches!(timeout(CLOSING, socket.send(last)).await, Ok(Ok(()))) {
            // Closed at once, what was sent last could be lost on its way.
            let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
            timeout(CLOSING, rest).await.unwrap_or_default();
        }
    }

    async fn serve(&mut self, socket: &mut WebSocket, since: Option<i64>, head: i64) -> Result<Infallible, End> {
        if let Some(since) = since {
            if since > head {
                return Err(told(NOT_KEPT, "since is ahead of the feed: read the lists, then watch anew"));
            }
            self.catch_up(socket, since).await?;
        }
        let mut beat = interval_at(Instant::now() + self.options.heartbeat, self.options.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = self.subscription.next() => match news {
                    News::Entry(entry) => self.tell(socket, &entry).await?,
                    News::Behind { after } => self.catch_up(socket, after).await?,
                    News::Closed => return Err(told(ENDING, format!("resume with since={}", self.known))),
                },
                heard = socket.recv() => self.heard(heard)?,
                _ = beat.tick() => self.beat(socket).await?,
            }
        }
    }

    /// Tells what the store has after an entry, page by page, until there is no more.
    async fn catch_up(&mut self, socket: &mut WebSocket, mut after: i64) -> Result<(), End> {
        loop {
            let page = self.app.database.feed_after(after, PAGE).await;
            let page = page.map_err(|_| told(FAILED, format!("resume with since={}", self.known)))?;
            // The feed has no holes: what lies between is not kept any more.
            if page.first().is_some_and(|first| first.seq > after.saturating_add(1)) {
                return Err(told(NOT_KEPT, "what came after since is not kept: read the lists, then watch anew"));
            }
            for entry in &page {
                self.tell(socket, entry).await?;
                after = entry.seq;
            }
            self.subscription.caught_up(after);
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    /// Tells one entry, if it is wanted and may be seen.
    async fn tell(&mut self, socket: &mut WebSocket, entry: &FeedEntry) -> Result<(), End> {
        if self.kinds.contains(&entry.kind) {
            if self.holder.checked.elapsed() >= self.options.recheck {
                self.ask_again().await?;
            }
            self.may_see(entry.kind)?;
            let text = serde_json::to_string(entry).map_err(|_| told(FAILED, "an entry has no JSON"))?;
            self.send(socket, Message::Text(text.into())).await?;
        }
        self.known = entry.seq;
        Ok(())
    }

    async fn send(&self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        match timeout(self.options.send, socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(told(TOO_SLOW, format!("too slow: resume with since={}", self.known))),
        }
    }

    fn heard(&mut self, heard: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match heard {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Err(End::Gone),
            // Answered by the protocol below us.
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Pong(_))) => self.unanswered = 0,
            Some(Ok(Message::Text(_) | Message::Binary(_))) => {}
        }
        self.words = self.words.saturating_add(1);
        if self.words > MOST_WORDS {
            return Err(told(TOO_MANY_WORDS, "nothing is asked over this socket"));
        }
        Ok(())
    }

    async fn beat(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        if self.unanswered >= self.options.unanswered {
            return Err(told(UNANSWERED, format!("no answer to pings: resume with since={}", self.known)));
        }
        self.ask_again().await?;
        self.words = 0;
        self.unanswered = self.unanswered.saturating_add(1);
        self.send(socket, Message::Ping(Bytes::new())).await
    }

    /// Asks who watches, again. Where that cannot be known nothing is told.
    async fn ask_again(&mut self) -> Result<(), End> {
        let holder = &mut self.holder;
        match guard::again(&self.app, &holder.credentials, &holder.peer).await {
            Ok(who) => {
                (holder.who, holder.checked) = (who, Instant::now());
                // Whoever could not come in now does not stay either.
                self.may_see(FeedKind::Alert)
            }
            Err(error) if error.status() == StatusCode::UNAUTHORIZED => Err(told(SESSION_ENDED, error.code())),
            Err(error) => Err(told(FAILED, error.code())),
        }
    }

    fn may_see(&self, kind: FeedKind) -> Result<(), End> {
        if self.holder.who.roles.any_of(&needed(kind).roles(&[])) {
            return Ok(());
        }
        Err(told(ROLE_LOST, "missing_role"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_words_with_commas_between() {
        let read = |text: &str| Kinds::try_from(text.to_owned()).map(|kinds| kinds.0.len());
        assert_eq!(read("alert"), Ok(1));
        assert_eq!(read("alert,tool_hold,alert"), Ok(2));
        for text in ["", "alert,", "alerts", "Alert", "alert plan"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(Kinds::default().0.len(), FeedKind::ALL.len());
    }
}
