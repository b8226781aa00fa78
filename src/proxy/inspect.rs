//! Prompt -> `Cleared`, or a refusal. Law 4: nothing else makes a `Cleared`, and `forward` takes nothing else.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Shared;
use super::content::{self, Cut};
use super::panics;
use super::record::{Flight, micros_since};
use super::refuse::Refusal;
use super::route::Plan;
use super::second::{self, Unanswered};
use crate::config::Snapshot;
use crate::config::settings::{Mode, OnFailure, OnUninspected, SecurityMode};
use crate::detect;
use crate::detect::leak::Known;
use crate::quota::anomaly::simhash;
use crate::telemetry::Part;
use crate::types::{Accounted, Action, Caller, Decision, Dialect, Finding, Role, SpanIndex, Verdict};
use crate::wire::{self, Prompt};

/// A request body that may leave: inspected, or exempt by policy. Only this module makes one.
pub(super) struct Cleared {
    body: Bytes,
    known: Option<Arc<Known>>,
}

impl Cleared {
    /// What is forwarded.
    pub(super) fn into_body(self) -> Bytes {
        self.body
    }

    /// The prompt it holds, for the answer to be compared with.
    pub(super) fn known(&self) -> Option<Arc<Known>> {
        self.known.clone()
    }

    /// A request without a body: there is nothing to inspect but its path, and that is canonical.
    pub(super) fn bodiless() -> Self {
        Self { body: Bytes::new(), known: None }
    }

    /// A request that a policy exempts: a route with `action = "pass"`.
    pub(super) fn exempt(flight: &mut Flight, body: Bytes) -> Self {
        flight.note(|record| record.request_bytes.exempt += body.len() as u64);
        Self { body, known: None }
    }
}

/// Bytes at the beginning and at the end of what a user says that its print is made of.
const PRINTED: usize = 2 << 10;

/// Reads a request body: the one reading there is of it.
///
/// # Errors
/// A body that cannot be read in one way.
pub(super) fn read<'b>(
    snapshot: &Snapshot,
    plan: &Plan,
    flight: &mut Flight,
    body: &'b [u8],
) -> Result<Prompt<'b>, Refusal> {
    let prompt = wire::read_prompt(plan.dialect, body, &super::json_limits(&snapshot.settings))
        .map_err(|bad| Refusal::bad_body(&bad))?;
    let stream = prompt.stream;
    let said = prompt.spans.iter().rev().find(|span| span.role == Role::User);
    let print = said.map(|span| simhash(&ends(&span.text, PRINTED)));
    flight.note(|record| {
        record.print = print;
        record.model = prompt.model.as_deref().map(|model| clip(model, 128));
        record.stream = stream;
    });
    Ok(prompt)
}

/// Inspects and judges what was read.
///
/// # Errors
/// A prompt that is blocked, or content that cannot be inspected where the policy is to refuse that.
pub(super) async fn prompt(
    snapshot: &Snapshot,
    plan: &Plan,
    caller: &Caller,
    shared: &Shared,
    flight: &mut Flight,
    body: &Bytes,
    prompt: &Prompt<'_>,
) -> Result<Cleared, Refusal> {
    let started = Instant::now();
    let rebuilt = if plan.mode == Mode::Off {
        content::keep_prompt(snapshot, flight, prompt, &[]);
        flight.note(|record| record.request_bytes.exempt += body.len() as u64);
        harden(snapshot, plan, prompt)
    } else {
        account(snapshot, plan, flight, prompt, body.len())?;
        let verdict = panics::caught(pin!(verdict(snapshot, plan, caller, shared, flight, prompt))).await;
        flight.note(|record| record.micros.scan += micros_since(started));
        let findings =
            verdict.as_ref().ok().and_then(|verdict| verdict.as_ref().ok()).map(|verdict| &*verdict.findings);
        // What is blocked is kept too: it is evidence.
        content::keep_prompt(snapshot, flight, prompt, findings.unwrap_or_default());
        match verdict {
            Ok(Ok(verdict)) => enforce(snapshot, plan, flight, prompt, verdict)?,
            Ok(Err(Unanswered)) => return Err(Refusal::inspection_failed()),
            Err(panics::Panicked) => failed(snapshot, plan, flight, prompt, body.len())?,
        }
    };
    let known = known(snapshot, plan, shared, prompt);
    let body = rebuilt.map_or_else(|| body.clone(), Bytes::from);
    Ok(Cleared { body, known })
}

/// What the answer is compared with: what the operator told the model.
fn known(snapshot: &Snapshot, plan: &Plan, shared: &Shared, prompt: &Prompt<'_>) -> Option<Arc<Known>> {
    if !plan.inspects_answers(&snapshot.settings) || !snapshot.rules.knows_prompts() {
        return None;
    }
    let told = prompt.spans.iter().filter(|span| matches!(span.role, Role::System | Role::Developer));
    shared.prompts.of(told.map(|span| &*span.text))
}

/// A query travels on with the request, so it is inspected like a parameter of it. It cannot be redacted in place:
/// where something in it would be, the request is refused.
///
/// # Errors
/// Something is found in it that must not leave.
pub(super) fn query(snapshot: &Snapshot, plan: &Plan, flight: &mut Flight, query: Option<&str>) -> Result<(), Refusal> {
    let Some(query) = query.filter(|query| !query.is_empty() && plan.mode != Mode::Off) else { return Ok(()) };
    let text = percent_decoded(query);
    let mut findings = Vec::new();
    snapshot.rules.scan(SpanIndex(0), Role::Parameter, &text, &mut findings);
    snapshot.rules.on_trial(&mut findings, || NOBODYS_LOT);
    let at = plan.thresholds(snapshot);
    if let Some(treatments) = &plan.policy.treatments {
        treatments.apply(&mut findings, 0, at.block_at);
    }
    let verdict = detect::judge(findings, &at, snapshot.rules.hash());
    if plan.mode != Mode::Enforce || verdict.decision < Decision::Redact {
        return Ok(());
    }
    let refusal = Refusal::prompt_blocked(&verdict, snapshot.settings.inspect.show_rules);
    flight.input(verdict, Decision::Block);
    Err(refusal)
}

/// `%XX` and `+` undone; what is not UTF-8 afterwards is read as far as it is.
fn percent_decoded(query: &str) -> String {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).filter(|_| *first == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Law 8: inspection itself failed, and the configuration says what that means.
fn failed(
    snapshot: &Snapshot,
    plan: &Plan,
    flight: &mut Flight,
    prompt: &Prompt<'_>,
    size: usize,
) -> Result<Option<Vec<u8>>, Refusal> {
    flight.metrics().panicked();
    match plan.on_failure(snapshot) {
        OnFailure::Closed => Err(Refusal::inspection_failed()),
        OnFailure::Open => {
            flight.metrics().failed_open(Part::InputInspection);
            flight.note(|record| {
                record.request_bytes = Accounted { exempt: size as u64, ..Accounted::default() };
            });
            Ok(harden(snapshot, plan, prompt))
        }
    }
}

/// Law 2, towards the model.
fn account(
    snapshot: &Snapshot,
    plan: &Plan,
    flight: &mut Flight,
    prompt: &Prompt<'_>,
    size: usize,
) -> Result<(), Refusal> {
    for (place, reason) in &prompt.opaque {
        flight.uninspected(*reason, u64::from(place.len()));
    }
    let uninspected = prompt.opaque.iter().map(|(place, _)| u64::from(place.len())).sum::<u64>();
    flight.note(|record| {
        record.request_bytes =
            Accounted { inspected: (size as u64).saturating_sub(uninspected), exempt: 0, uninspected };
    });
    let block = plan.on_uninspected(snapshot) == OnUninspected::Block && plan.mode == Mode::Enforce;
    if block && uninspected > 0 { Err(Refusal::uninspected()) } else { Ok(()) }
}

/// Every span against every rule for its role; spans cleared before under this rule set are not read again. Then models
/// are asked, where there are any and the rules do not block already.
///
/// # Errors
/// A model that must answer did not.
async fn verdict(
    snapshot: &Snapshot,
    plan: &Plan,
    caller: &Caller,
    shared: &Shared,
    flight: &mut Flight,
    prompt: &Prompt<'_>,
) -> Result<Verdict, Unanswered> {
    let rules = &snapshot.rules;
    let yield_every = usize::try_from(snapshot.settings.inspect.yield_every.get()).unwrap_or(usize::MAX);
    let scope = shared.cache.scope(rules.hash(), caller);
    let mut findings = Vec::new();
    let mut since_yield = 0;
    for (index, span) in (0..).map(SpanIndex).zip(&prompt.spans) {
        let cached = scope.key(span.role, &span.text);
        if let Some(known) = cached.as_ref().and_then(|key| scope.known(key, flight.metrics())) {
            // The same text may stand elsewhere now.
            findings.extend(known.iter().cloned().map(|mut finding| {
                finding.evidence.span = index;
                finding
            }));
            continue;
        }
        let before = findings.len();
        rules.scan(index, span.role, &span.text, &mut findings);
        if let Some(key) = cached {
            scope.remember(key, findings.get(before..).unwrap_or_default());
        }
        since_yield += span.text.len();
        if since_yield >= yield_every {
            since_yield = 0;
            tokio::task::yield_now().await;
        }
    }
    let trial = rules.on_trial(&mut findings, || lot(caller));
    if !trial.is_empty() {
        flight.note(|record| record.trial = trial);
    }
    let mut track = shared.history.track(snapshot, caller, prompt);
    // Only the last turn is ever pointed at, and that is one of the prompt's own.
    let earlier = track.turns(&findings);
    let earlier = earlier.iter().map(|text| (SpanIndex(0), Role::User, &**text));
    let turns: Vec<(SpanIndex, Role, &str)> = earlier.chain(prompt.texts()).collect();
    rules.scan_conversation(&turns, &mut findings);
    drop(turns);
    let at = plan.thresholds(snapshot);
    if let Some(treatments) = &plan.policy.treatments {
        treatments.apply(&mut findings, 0, at.block_at);
    }
    let treated = findings.len();
    let enforced = plan.mode == Mode::Enforce;
    let undecided = || detect::judge(findings.clone(), &at, rules.hash()).decision < Decision::Block;
    if !snapshot.models.is_empty() && undecided() {
        let asked = Box::pin(second::opinions(snapshot, caller, flight, prompt, &at, &mut findings)).await;
        if asked.is_err() {
            // To monitor is to block nothing, whatever fails.
            if enforced {
                return Err(Unanswered);
            }
            flight.metrics().failed_open(Part::Models);
        }
    }
    if let Some(treatments) = &plan.policy.treatments {
        treatments.apply(&mut findings, treated, at.block_at);
    }
    let verdict = shared.history.judge(&mut track, prompt, findings, &at, flight.is_retry(), enforced);
    flight.follow(track);
    Ok(verdict)
}

/// Carries the verdict out: blocks, or says what the body becomes (`None`: it stays as it is).
fn enforce(
    snapshot: &Snapshot,
    plan: &Plan,
    flight: &mut Flight,
    prompt: &Prompt<'_>,
    verdict: Verdict,
) -> Result<Option<Vec<u8>>, Refusal> {
    if plan.mode != Mode::Enforce {
        let decision = if verdict.findings.is_empty() { Decision::Allow } else { Decision::Flag };
        let enforced = verdict.decision.min(decision);
        flight.input(verdict, enforced);
        return Ok(harden(snapshot, plan, prompt));
    }
    let decision = verdict.decision;
    let outcome = match decision {
        Decision::Block => {
            // Law 2 counts what is relayed, and nothing of this is.
            flight.note(|record| {
                record.request_bytes = Accounted::default();
                record.uninspected.clear();
            });
            Err(Refusal::prompt_blocked(&verdict, snapshot.settings.inspect.show_rules))
        }
        Decision::Redact => {
            let edits = redactions(snapshot, prompt, &verdict.findings);
            Ok(Some(rebuild(plan, prompt, &edits, hardening(snapshot, plan))))
        }
        Decision::Allow | Decision::Flag => Ok(harden(snapshot, plan, prompt)),
    };
    flight.input(verdict, decision);
    outcome
}

fn hardening<'s>(snapshot: &'s Snapshot, plan: &Plan) -> Option<&'s str> {
    match plan.security {
        SecurityMode::Default => None,
        SecurityMode::Aware | SecurityMode::Strict => Some(&snapshot.settings.inspect.hardening_message),
    }
}

fn harden(snapshot: &Snapshot, plan: &Plan, prompt: &Prompt<'_>) -> Option<Vec<u8>> {
    let generative = matches!(plan.dialect, Dialect::Chat | Dialect::Responses | Dialect::Messages);
    let message = hardening(snapshot, plan).filter(|_| generative);
    (message.is_some() || plan.asks_usage).then(|| rebuild(plan, prompt, &[], message))
}

/// The body with what the gateway changes in it.
fn rebuild(plan: &Plan, prompt: &Prompt<'_>, edits: &[(SpanIndex, String)], system: Option<&str>) -> Vec<u8> {
    if plan.asks_usage { prompt.rebuild_asking(edits, system) } else { prompt.rebuild(edits, system) }
}

/// The new text of every span that something is redacted in.
fn redactions(snapshot: &Snapshot, prompt: &Prompt<'_>, findings: &[Finding]) -> Vec<(SpanIndex, String)> {
    let mut cuts: Vec<(SpanIndex, Cut<'_>)> = findings
        .iter()
        .filter(|finding| finding.action == Action::Redact)
        .map(|finding| {
            let Finding { evidence, rule, .. } = finding;
            (evidence.span, (evidence.start as usize, evidence.end as usize, snapshot.rules.mark(rule)))
        })
        .collect();
    cuts.sort_by_key(|(span, _)| *span);
    let mut edits: Vec<(SpanIndex, String)> = Vec::new();
    for same in cuts.chunk_by(|a, b| a.0 == b.0) {
        let Some((index, _)) = same.first() else { continue };
        let Some(span) = prompt.spans.get(index.0 as usize) else { continue };
        let mut own: Vec<Cut<'_>> = same.iter().map(|(_, cut)| *cut).collect();
        edits.push((*index, content::with_marks(&span.text, &mut own)));
    }
    edits
}

/// The lot of a query: rules on trial never decide about one.
const NOBODYS_LOT: f32 = 1.0;

/// The lot of a caller, 0 to below 1: the same for all its requests and on every replica, so that a conversation is treated alike.
fn lot(caller: &Caller) -> f32 {
    let digest = blake3::hash(caller.known_as().as_bytes());
    let bits = digest.as_bytes().first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    // 24 bits: what a float holds exactly.
    (bits >> 8) as f32 / (1_u32 << 24) as f32
}

/// At most `max` bytes of the beginning of `text` and as many of its end, whole characters.
fn ends(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= 2 * max {
        return Cow::Borrowed(text);
    }
    let (beginning, rest) = text.split_at(text.floor_char_boundary(max));
    let end = rest.get(rest.ceil_char_boundary(rest.len().saturating_sub(max))..).unwrap_or_default();
    Cow::Owned([beginning, end].join(" "))
}

/// At most `max` bytes of `text`, whole characters.
fn clip(text: &str, max: usize) -> String {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn of_a_long_text_the_ends_are_read_in_whole_characters() {
        assert_eq!(ends("abcd", 2), "abcd");
        assert_eq!(ends("abcde", 2), "ab de");
        assert_eq!(ends("aéccéb", 2), "a b");
        assert_eq!(ends("éé", 2), "éé");
        assert_eq!(ends("éüö", 2), "é ö");
    }
}
