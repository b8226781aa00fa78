//! Tool calls that wait for a person: how many may at once, what goes up about them, and the ruling that comes down.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::inspector::Inspector;
use super::record::{Flight, Recorder};
use super::route::Plan;
use crate::config::settings::{Mode, Settings};
use crate::config::{Handle, Rulings, Snapshot, digest};
use crate::types::soc::ToolHold;
use crate::types::{Caller, Event, RequestId, hex};
use crate::wire;

/// A longer name is no tool's: a model chose it. Nobody is asked about it.
const LONGEST_NAME: usize = 256;

/// How many calls wait, all workers together.
#[derive(Debug, Clone, Default)]
pub struct Holds(Arc<AtomicUsize>);

/// Asks people about the tool calls of one answer.
pub(super) struct Approver {
    config: Arc<Handle>,
    holds: Holds,
    recorder: Recorder,
    settings: Arc<Settings>,
    request: RequestId,
    caller: Caller,
}

/// A call that people are asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    tool: String,
    /// SHA-256 of the arguments, in hexadecimal digits.
    arguments: String,
    bytes: u64,
}

/// Why a call may not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unapproved {
    /// Somebody said no, or nobody said anything in time, or it cannot be said what is asked about.
    Refused,
    /// Too many wait already.
    Full,
}

/// Whether all calls may leave, once that is known.
pub(super) type Waiting = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Places of calls that wait, given up when it is dropped.
struct Places {
    holds: Holds,
    count: usize,
}

impl Unapproved {
    /// A low-cardinality label.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Refused => "tool_not_approved",
            Self::Full => "tool_waiting_full",
        }
    }
}

impl Holds {
    /// How many calls wait now.
    pub fn len(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&self, count: usize, most: usize) -> Option<Places> {
        let more = |waiting: usize| waiting.checked_add(count).filter(|sum| *sum <= most);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Places { holds: self.clone(), count })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.holds.0.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl Asked {
    /// A call as it would leave; `None` where nobody can be asked about it.
    pub(super) fn new(tool: &str, arguments: &str) -> Option<Self> {
        (tool.len() <= LONGEST_NAME).then(|| Self {
            tool: tool.to_owned(),
            arguments: hex(&digest(arguments.as_bytes())),
            bytes: arguments.len() as u64,
        })
    }

    /// The tool's name.
    pub(super) fn tool(&self) -> &str {
        &self.tool
    }
}

impl Approver {
    /// For the answer to a request of `caller`; `None` where its policy has nobody asked, or verdicts have no consequence.
    pub(super) fn new(
        config: &Arc<Handle>,
        holds: &Holds,
        snapshot: &Snapshot,
        plan: &Plan,
        caller: &Caller,
        flight: &Flight,
    ) -> Option<Self> {
        let asks = plan.mode == Mode::Enforce && plan.policy.approve_tools.is_some();
        asks.then(|| Self {
            config: Arc::clone(config),
            holds: holds.clone(),
            recorder: flight.recorder().clone(),
            settings: Arc::clone(&snapshot.settings),
            request: flight.id(),
            caller: caller.clone(),
        })
    }

    /// How often a stream that waits says that it is alive.
    pub(super) fn keep_alive(&self) -> Duration {
        self.settings.approvals.keep_alive.get()
    }

    /// Sends these calls up. They wait until all are granted, or one is not, or nobody rules in time.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn hold(&self, asked: &[Asked]) -> Result<Waiting, Unapproved> {
        let places = self.holds.take(asked.len(), self.settings.approvals.tool_waiting).ok_or(Unapproved::Full)?;
        let wait = self.settings.approvals.tool_wait.get();
        let until = Instant::now() + wait;
        let holds: Vec<ToolHold> = asked.iter().map(|asked| self.told(asked, wait)).collect();
        for hold in &holds {
            self.recorder.tell(Event::ToolHeld(Box::new(hold.clone())));
        }
        let config = Arc::clone(&self.config);
        Ok(Box::pin(async move {
            let _places = places;
            ruled(&config, &holds, until).await
        }))
    }

    /// Waits for people to rule on what a whole answer calls, where its policy has them asked. `leaving` is the answer as it
    /// would leave, read again so that what is ruled on is what leaves.
    ///
    /// # Errors
    /// It may not leave.
    pub(super) async fn whole(
        &self,
        inspector: &mut Inspector,
        answer: &wire::Answer<'_>,
        leaving: &[u8],
        limits: &wire::Limits,
    ) -> Result<(), Unapproved> {
        let ruled = match asked_of(inspector, answer, leaving, limits) {
            None => Err(Unapproved::Refused),
            Some(asked) if asked.is_empty() => Ok(()),
            Some(asked) => match self.hold(&asked) {
                Ok(waiting) => waiting.await.then_some(()).ok_or(Unapproved::Refused),
                Err(why) => Err(why),
            },
        };
        if ruled.is_err() {
            inspector.unapproved("");
        }
        ruled
    }

    fn told(&self, asked: &Asked, wait: Duration) -> ToolHold {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        ToolHold {
            id: format!("tch_{}", Uuid::now_v7().simple()).into(),
            request: self.request.clone(),
            caller: self.caller.clone(),
            tool: asked.tool.as_str().into(),
            arguments: asked.arguments.clone(),
            bytes: asked.bytes,
            since,
            expires: since.saturating_add(wait),
        }
    }
}

/// What people are asked about a whole answer; `None` where that cannot be told.
fn asked_of(
    inspector: &Inspector,
    answer: &wire::Answer<'_>,
    leaving: &[u8],
    limits: &wire::Limits,
) -> Option<Vec<Asked>> {
    let calls = wire::whole_calls(answer.dialect, leaving, limits).ok()?;
    let asked = calls.iter().filter(|call| inspector.awaits(&call.name));
    let asked: Vec<Asked> = asked.map(|call| Asked::new(&call.name, &call.arguments)).collect::<Option<_>>()?;
    // A call that stands where its dialect has none cannot be told, and does not leave.
    let named = answer.pieces.iter().filter(|piece| piece.names_tool() && inspector.awaits(&piece.text)).count();
    (asked.len() >= named).then_some(asked)
}

/// Whether all of these were granted before `until`.
async fn ruled(config: &Handle, holds: &[ToolHold], until: Instant) -> bool {
    let mut changes = config.rulings();
    let mut late = pin!(tokio::time::sleep_until(until.into()));
    loop {
        // Marked before it is looked at: a change in between wakes again.
        changes.mark_unchanged();
        let said = said(&config.load().rulings, holds);
        if let Some(said) = said {
            return said;
        }
        tokio::select! {
            biased;
            changed = changes.changed() => if changed.is_err() { return false },
            () = &mut late => return false,
        }
    }
}

/// A no to one of these, a yes to all, or neither yet.
fn said(rulings: &Rulings, holds: &[ToolHold]) -> Option<bool> {
    let mut all = true;
    for hold in holds {
        match rulings.on(hold) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => all = false,
        }
    }
    all.then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::soc::ToolRuling;

    fn hold(id: &str) -> ToolHold {
        ToolHold {
            id: id.into(),
            request: RequestId("req_1".into()),
            caller: Caller::default(),
            tool: "drop".into(),
            arguments: "aa".into(),
            bytes: 2,
            since: 0,
            expires: 10,
        }
    }

    fn ruling(id: &str, granted: bool) -> ToolRuling {
        ToolRuling { id: id.into(), tool: "drop".into(), arguments: "aa".into(), granted, by: "acc_1".into(), at: 1 }
    }

    #[test]
    fn one_no_is_a_no_and_a_yes_to_some_is_nothing_yet() {
        let holds = [hold("a"), hold("b")];
        let said = |rulings: Vec<ToolRuling>| said(&Rulings::new(rulings), &holds);
        assert_eq!(said(vec![]), None);
        assert_eq!(said(vec![ruling("a", true)]), None);
        assert_eq!(said(vec![ruling("a", true), ruling("b", true)]), Some(true));
        assert_eq!(said(vec![ruling("b", false)]), Some(false));
        assert_eq!(said(vec![ruling("a", true), ruling("b", false)]), Some(false));
    }

    #[test]
    fn no_more_wait_than_may_and_places_come_back() {
        let holds = Holds::default();
        let two = holds.take(2, 3).unwrap();
        assert!(holds.take(2, 3).is_none(), "all or none");
        let one = holds.take(1, 3).unwrap();
        assert_eq!(holds.len(), 3);
        drop((two, one));
        assert!(holds.is_empty());
        assert!(holds.take(1, 0).is_none());
    }

    #[test]
    fn what_is_asked_about_is_the_hash_of_all_arguments() {
        let asked = Asked::new("pay", "{}").unwrap();
        assert_eq!(asked.arguments, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!((asked.tool(), asked.bytes), ("pay", 2));
        assert_eq!(Asked::new(&"x".repeat(LONGEST_NAME + 1), "{}"), None);
    }
}
