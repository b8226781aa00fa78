//! An event becomes the draft of an alert.

use std::fmt::Write;
use std::sync::Arc;

use super::rules::{AlertRule, AlertRules, findings, foremost, percent, riskiest};
use super::words;
use crate::types::soc::{Alert, AlertState, Proof, Threat, Verdicted};
use crate::types::{
    Alarm, Caller, Decision, Direction, Doubt, Event, Finding, Outcome, Record, ReloadOutcome, Severity,
};

/// An alert without an id: the caller gives it one.
pub type Draft = Alert;

/// Evidence kept of an alert.
pub const MAX_PROOFS: usize = 16;
/// Requests kept of an alert.
pub const MAX_REQUESTS: usize = 16;
/// Catalogued threats kept of an alert.
pub const MAX_THREATS: usize = 32;
/// Characters of a model's name and of a path that are kept.
pub(super) const MAX_NAME: usize = 200;
/// Characters of a message that are kept.
pub(super) const MAX_MESSAGE: usize = 1000;

/// The alert that an event is, if it is one. `titles` knows what the catalogues call a threat.
pub fn draft(event: &Event, rules: &AlertRules, titles: &dyn Fn(&str) -> Option<Arc<str>>) -> Option<Draft> {
    let rule = rules.first(event)?;
    let draft = match event {
        Event::Request(record) => of_request(record, rule),
        Event::Alarm(alarm) => of_alarm(alarm, rule),
        Event::Reload(outcome) => of_reload(outcome, rule),
        Event::Content(_) | Event::ToolHeld(_) => return None,
    };
    Some(titled(draft, rule, titles))
}

/// A draft of which only rule, time and caller are known.
pub(super) fn blank(rule: &str, title: &str, severity: Severity, time: i64, caller: Caller) -> Draft {
    Alert {
        id: "".into(),
        rule: rule.into(),
        title: title.to_owned(),
        severity,
        family: None,
        first: time,
        last: time,
        count: 1,
        retries: 0,
        caller,
        requests: Vec::new(),
        model: None,
        path: None,
        policy: None,
        verdict: Verdicted::default(),
        proofs: Vec::new(),
        threats: Vec::new(),
        message: String::new(),
        source: "gateway".into(),
        fold: String::new(),
        raw: None,
        state: AlertState::Open,
        assignee: None,
        closed: None,
        incident: None,
        merged_into: None,
    }
}

/// What alerts that are counted as one have in common: rule, caller, session and model.
pub(super) fn fold_key(draft: &Draft) -> String {
    let who = words::who(&draft.caller).unwrap_or_default();
    let session = draft.caller.session.as_deref().map(words::part).unwrap_or_default();
    let model = draft.model.as_deref().map(words::part).unwrap_or_default();
    let source = if &*draft.source == "gateway" { String::new() } else { format!("{}:", words::part(&draft.source)) };
    format!("{source}{}|{who}|{session}|{model}", words::part(&draft.rule))
}

fn titled(mut draft: Draft, rule: &AlertRule, titles: &dyn Fn(&str) -> Option<Arc<str>>) -> Draft {
    for id in &rule.threats {
        if draft.threats.len() < MAX_THREATS && !draft.threats.iter().any(|known| known.id == *id) {
            draft.threats.push(Threat { id: Arc::clone(id), title: "".into() });
        }
    }
    for threat in &mut draft.threats {
        threat.title = titles(&threat.id).unwrap_or_default();
    }
    draft.fold = fold_key(&draft);
    draft
}

fn of_request(record: &Record, rule: &AlertRule) -> Draft {
    let when = &rule.when;
    let wanted = |direction: Direction, finding: &Finding| {
        when.wants(direction, finding) && (when.foremost.is_empty() || when.foremost.contains(&finding.family))
    };
    // What the rule looks for says what the alert is about; where it looks for nothing, the worst of all.
    let worst = foremost(record, wanted).or_else(|| foremost(record, |_, _| true)).map(|(_, finding)| finding);
    let unfound = if record.decision == Decision::Block { Severity::Medium } else { Severity::Low };
    let severity = rule.severity.unwrap_or_else(|| worst.map_or(unfound, |finding| finding.severity));
    let mut draft = blank(&rule.id, &rule.title, severity, record.time, record.caller.clone());
    draft.family = rule.family.or_else(|| worst.map(|finding| finding.family));
    draft.retries = u64::from(record.retry > 0);
    draft.requests = vec![record.id.0.as_str().into()];
    draft.model = record.model.as_deref().map(|model| words::clean(model, MAX_NAME).into());
    draft.path = (!record.path.is_empty()).then(|| words::clean(&record.path, MAX_NAME).into());
    draft.policy = record.policy.clone();
    draft.verdict = judged(record);
    draft.proofs = proofs(record);
    draft.threats = threats(record, worst);
    draft.message = words::clean(&message(record, worst), MAX_MESSAGE);
    draft
}

fn of_alarm(alarm: &Alarm, rule: &AlertRule) -> Draft {
    let severity = rule.severity.unwrap_or(Severity::Medium);
    let mut draft = blank(&rule.id, &rule.title, severity, alarm.time, alarm.caller.clone());
    draft.family = rule.family;
    draft.requests = alarm.request.iter().map(|request| request.0.as_str().into()).collect();
    draft.message = words::clean(&alarm.message, MAX_MESSAGE);
    draft
}

fn of_reload(outcome: &ReloadOutcome, rule: &AlertRule) -> Draft {
    let severity = rule.severity.unwrap_or(Severity::Medium);
    let mut draft = blank(&rule.id, &rule.title, severity, 0, Caller::default());
    draft.family = rule.family;
    let (problems, generation) = (outcome.problems.len(), outcome.generation.0);
    // The problems themselves may name what files hold: they are in the log and in the audit trail.
    draft.message = words::clean(
        &format!("{problems} problems; generation {generation} stays in force (asked for by {})", outcome.trigger),
        MAX_MESSAGE,
    );
    draft
}

/// What the gateway judged: the verdict with the highest risk.
fn judged(record: &Record) -> Verdicted {
    let Some(verdict) = riskiest(record, None) else {
        let enforced = (record.decision > Decision::Allow).then_some(record.decision);
        return Verdicted { enforced, ..Verdicted::default() };
    };
    Verdicted {
        risk: if verdict.risk.is_finite() { verdict.risk.clamp(0.0, 1.0) } else { 0.0 },
        false_positive: percent(verdict.false_positive),
        reasons: reasons(&verdict.findings),
        recommended: verdict.recommended,
        factors: verdict.factors,
        enforced: Some(record.decision),
    }
}

/// Why it may be a false alarm, in words.
fn reasons(found: &[Finding]) -> Vec<String> {
    let mut reasons = Vec::new();
    for doubt in [Doubt::Quoted, Doubt::Discussed, Doubt::Technical, Doubt::Forbidden] {
        let doubted = found.iter().filter(|finding| finding.doubts.contains(&doubt)).count();
        match (doubted, found.len()) {
            (0, _) => {}
            (doubted, all) if doubted == all => reasons.push(doubt.words().to_owned()),
            (doubted, all) => reasons.push(format!("{} ({doubted} of {all} findings)", doubt.words())),
        }
    }
    if found.is_empty() {
        reasons.push("nothing was found in the words themselves".to_owned());
    } else if found.iter().all(|finding| finding.severity <= Severity::Low) {
        reasons.push("nothing that was found is more than of low severity".to_owned());
    } else if found.len() == 1 {
        reasons.push("a single rule found it".to_owned());
    }
    reasons
}

/// The evidence of both directions, most severe first.
fn proofs(record: &Record) -> Vec<Proof> {
    let mut all: Vec<_> = findings(record).collect();
    // A stable sort: findings of one severity stay in the order of the verdicts.
    all.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
    let proof = |(direction, finding): (Direction, &Finding)| Proof {
        rule: Arc::clone(&finding.rule.0),
        title: Arc::clone(&finding.title),
        severity: finding.severity,
        direction,
        span: finding.evidence.span.0,
        start: finding.evidence.start,
        end: finding.evidence.end,
    };
    all.into_iter().take(MAX_PROOFS).map(proof).collect()
}

/// The threats of the worst finding first.
fn threats(record: &Record, worst: Option<&Finding>) -> Vec<Threat> {
    let mut threats: Vec<Threat> = Vec::new();
    let all = findings(record).map(|(_, finding)| finding);
    for id in worst.into_iter().chain(all).flat_map(|finding| finding.threats.iter()) {
        if threats.len() < MAX_THREATS && !threats.iter().any(|known| known.id == *id) {
            threats.push(Threat { id: Arc::clone(id), title: "".into() });
        }
    }
    threats
}

/// What happened, with figures. Titles of rules are ours; nothing of the prompt is told.
fn message(record: &Record, worst: Option<&Finding>) -> String {
    let mut text = match record.outcome {
        Outcome::PromptBlocked => "The prompt was blocked".to_owned(),
        Outcome::AnswerBlocked => "The answer was blocked".to_owned(),
        Outcome::Refused => "The request was refused".to_owned(),
        Outcome::Cut => "The answer was cut off".to_owned(),
        Outcome::Served | Outcome::UpstreamFailed | Outcome::Abandoned | Outcome::Internal => {
            match record.decision {
                Decision::Allow | Decision::Flag => "It was let through",
                Decision::Redact => "What matched was replaced",
                Decision::Block => "It was blocked",
            }
        }
        .to_owned(),
    };
    // Writing to a string cannot fail.
    let _written = match record.reason.filter(|reason| *reason != "content_filter") {
        Some(reason) => write!(text, " ({reason})"),
        None => Ok(()),
    };
    if let Some(verdict) = riskiest(record, None) {
        let (risk, doubt) = (percent(verdict.risk), percent(verdict.false_positive));
        let _written = write!(text, "; risk {risk} %, a false alarm with {doubt} %");
        if verdict.decision > record.decision {
            let (judged, done) = (verdict.decision.name(), record.decision.name());
            let _written = write!(text, "; judged {judged}, enforced {done}");
        }
    }
    for (direction, whose) in [(Direction::Input, "prompt"), (Direction::Output, "answer")] {
        let found = findings(record).filter(|(own, _)| *own == direction).count();
        if found > 0 {
            let plural = if found == 1 { "" } else { "s" };
            let _written = write!(text, "; {found} finding{plural} in the {whose}");
        }
    }
    if let Some(finding) = worst {
        let _written = write!(text, "; worst: {} ({})", finding.title, finding.rule);
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soc::fixture::{alarm, answered, blocked, event, finding, flagged, record, refused, reload, verdict};
    use crate::types::{AlarmKind, Family, Recommendation};

    fn made(event: &Event) -> Draft {
        let titles = |id: &str| (id == "LLM01:2026").then(|| Arc::from("Prompt Injection"));
        draft(event, &AlertRules::builtin().unwrap(), &titles).unwrap()
    }

    #[test]
    fn a_block_becomes_an_alert_with_its_evidence_and_figures() {
        let mut own = blocked(Family::PromptInjection, Severity::High);
        own.retry = 1;
        let draft = made(&event(own.clone()));
        assert_eq!((&*draft.rule, &*draft.id, draft.count, draft.retries), ("SOC-INJ-0001", "", 1, 1));
        assert_eq!((draft.severity, draft.family), (Severity::High, Some(Family::PromptInjection)));
        assert_eq!((draft.first, draft.last), (own.time, own.time));
        assert_eq!((draft.caller, &*draft.requests), (own.caller, &[Arc::<str>::from("req_1")][..]));
        assert_eq!(draft.model.as_deref(), Some("gpt-x"));
        assert_eq!(draft.policy.as_deref(), Some("production"));
        assert_eq!((draft.verdict.risk, draft.verdict.false_positive), (0.9, 10));
        assert_eq!((draft.verdict.recommended, draft.verdict.enforced), (Recommendation::Block, Some(Decision::Block)));
        assert_eq!(draft.verdict.reasons, ["a single rule found it"]);
        assert_eq!(draft.proofs.len(), 1);
        assert_eq!((draft.proofs[0].span, draft.proofs[0].start, draft.proofs[0].end), (1, 2, 9));
        let threats: Vec<_> = draft.threats.iter().map(|threat| (&*threat.id, &*threat.title)).collect();
        assert_eq!(threats, [("LLM01:2026", "Prompt Injection"), ("AML.T0051.000", "")]);
        assert_eq!(
            draft.message,
            "The prompt was blocked; risk 90 %, a false alarm with 10 %; 1 finding in the prompt; worst: found \
             prompt_injection (PC-prompt_injection)."
        );
        assert_eq!(draft.fold, "SOC-INJ-0001|user:acme/ann||gpt-x");
    }

    #[test]
    fn the_family_is_that_of_what_the_rule_is_about() {
        let mut leak = answered(Family::Secrets, Severity::High, Decision::Redact, Decision::Redact);
        leak.input = Some(verdict(Decision::Flag, 0.5, vec![finding(Family::Jailbreak, Severity::Critical)]));
        let draft = made(&event(leak));
        assert_eq!((&*draft.rule, draft.family), ("SOC-LEAK-0002", Some(Family::Secrets)));
        // The evidence is of both directions, the worst first.
        let proofs: Vec<_> = draft.proofs.iter().map(|proof| (proof.direction, proof.severity)).collect();
        assert_eq!(proofs, [(Direction::Input, Severity::Critical), (Direction::Output, Severity::High)]);
    }

    #[test]
    fn doubts_are_told_in_words_and_evidence_is_bounded() {
        let mut many = blocked(Family::Jailbreak, Severity::Low);
        let found = &mut many.input.as_mut().unwrap().findings;
        found[0].doubts = vec![Doubt::Quoted, Doubt::Technical];
        for nth in 0..40 {
            let mut more = finding(Family::Jailbreak, Severity::Low);
            more.doubts = vec![Doubt::Quoted];
            more.threats = vec![Arc::from(format!("T{nth:04}"))].into();
            found.push(more);
        }
        found.push(finding(Family::Jailbreak, Severity::High));
        let draft = made(&event(many));
        assert_eq!((draft.proofs.len(), draft.threats.len()), (MAX_PROOFS, MAX_THREATS));
        assert_eq!((draft.proofs[0].severity, draft.severity), (Severity::High, Severity::High));
        let reasons = ["it is quoted (41 of 42 findings)", "it stands in code or technical talk (1 of 42 findings)"];
        assert_eq!(draft.verdict.reasons, reasons);
    }

    #[test]
    fn what_was_not_carried_out_is_said() {
        let draft = made(&event(flagged(Family::Jailbreak, Severity::High, Decision::Block, 0.8)));
        assert!(draft.message.starts_with("It was let through; risk 80 %"), "{}", draft.message);
        assert!(draft.message.contains("judged block, enforced flag"), "{}", draft.message);
        assert_eq!(draft.verdict.enforced, Some(Decision::Flag));
        let refused = made(&event(refused("invalid_api_key")));
        assert_eq!((&*refused.message, refused.verdict.enforced), ("The request was refused (invalid_api_key).", None));
        assert_eq!(refused.threats.iter().map(|threat| &*threat.id).collect::<Vec<_>>(), ["ASI03", "T1110"]);
    }

    #[test]
    fn words_of_the_caller_are_cleaned_and_bounded() {
        let mut own = blocked(Family::Jailbreak, Severity::High);
        own.model = Some(format!("evil\n\u{202e}{}", "x".repeat(5000)));
        let verdict = own.input.as_mut().unwrap();
        (verdict.risk, verdict.false_positive) = (f32::NAN, f32::NAN);
        let draft = made(&event(own));
        let model = draft.model.unwrap();
        assert!(model.starts_with("evil x") && model.chars().count() == MAX_NAME, "{model}");
        assert!((draft.verdict.risk, draft.verdict.false_positive) == (0.0, 0) && draft.fold.len() < 400);
    }

    #[test]
    fn alarms_and_reloads_tell_their_figures_and_no_contents_of_files() {
        let surge = made(&alarm(AlarmKind::SpendSurge));
        assert_eq!((&*surge.rule, &*surge.message), ("SOC-COST-0001", "spent $5 where $1 is usual"));
        assert_eq!((surge.family, &*surge.requests), (None, &[Arc::<str>::from("req_9")][..]));
        let reload = made(&reload(2));
        assert_eq!(reload.message, "2 problems; generation 4 stays in force (asked for by watch)");
        assert_eq!(reload.fold, "SOC-CONF-0001|||");
    }

    #[test]
    fn callers_sessions_models_and_rules_keep_alerts_apart() {
        let of = |change: &dyn Fn(&mut Record)| {
            let mut own = blocked(Family::Jailbreak, Severity::High);
            change(&mut own);
            made(&event(own)).fold
        };
        let same = of(&|_| {});
        assert_eq!(of(&|own| own.id.0 = "req_2".into()), same);
        for other in [
            of(&|own| own.caller.user = Some("bob".into())),
            of(&|own| own.caller.tenant = None),
            of(&|own| own.caller.session = Some("s".into())),
            of(&|own| own.model = None),
            of(&|own| own.input.as_mut().unwrap().findings[0].family = Family::Encoding),
        ] {
            assert_ne!(other, same);
        }
    }

    #[test]
    fn what_is_no_alert_makes_no_draft() {
        let rules = AlertRules::builtin().unwrap();
        assert_eq!(draft(&event(record("ann")), &rules, &|_| None), None);
    }
}
