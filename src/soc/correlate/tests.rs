//! Tests of correlation: each kind of condition against made-up alerts, and against what remembers everything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::soc::AlertRules;
use crate::soc::fixture::{SECOND, draft};

const TRACKED: CorrelateOptions = CorrelateOptions { tracked: 50 };

fn builtin() -> Correlator {
    Correlator::new(IncidentRules::builtin().unwrap_or_else(|problems| panic!("{problems:#?}")), TRACKED)
}

fn only(text: &str) -> Correlator {
    Correlator::new(IncidentRules::only(&[("f.yaml", text)]).unwrap(), TRACKED)
}

fn rule(condition: &str) -> String {
    format!("kind: incident\nid: SITE-INC-0001\ntitle: Ours\nby: user\nseverity: low\n{condition}\n")
}

/// An alert with an id made of user, rule and number.
fn alert(rule: &str, user: &str, nth: usize, severity: Severity, family: Option<Family>) -> Alert {
    let mut alert = draft(rule, user, severity, family, 1);
    alert.id = format!("alt_{rule}_{user}_{nth}").into();
    alert
}

fn attack(user: &str, nth: usize) -> Alert {
    alert("SOC-INJ-0001", user, nth, Severity::Medium, Some(Family::PromptInjection))
}

fn again(mut alert: Alert, count: u64) -> Alert {
    alert.count = count;
    alert
}

fn opened(raised: &[Raise]) -> Vec<(&str, &str)> {
    let cases = raised.iter().filter_map(|raise| match raise {
        Raise::Opens(case) => Some(case),
        Raise::Joins { .. } => None,
    });
    cases.map(|case| (&*case.rule, case.about.as_str())).collect()
}

fn names(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|name| &**name).collect()
}

fn joins(raised: &[Raise]) -> usize {
    raised.iter().filter(|raise| matches!(raise, Raise::Joins { .. })).count()
}

#[test]
fn events_counted_in_one_alert_count_each() {
    let mut own = builtin();
    assert_eq!(own.take(&attack("ann", 1), 0), []);
    assert_eq!(own.take(&again(attack("ann", 1), 2), SECOND), []);
    let raised = own.take(&again(attack("ann", 1), 3), 2 * SECOND);
    assert_eq!(opened(&raised), [("SOC-INC-0001", "user:acme/ann")]);
    let Raise::Opens(case) = &raised[0] else { panic!("{raised:?}") };
    assert_eq!((case.severity, case.false_positive, case.at), (Severity::High, 10, 2 * SECOND));
    assert_eq!(
        (names(&case.alerts), &*case.families),
        (vec!["alt_SOC-INJ-0001_ann_1"], &[Family::PromptInjection][..])
    );
    // It goes on: one alert joins once, another one too.
    assert_eq!(own.take(&again(attack("ann", 1), 4), 3 * SECOND), []);
    let joined = own.take(&attack("ann", 2), 4 * SECOND);
    let expected = Raise::Joins {
        rule: "SOC-INC-0001".into(),
        about: "user:acme/ann".into(),
        alert: "alt_SOC-INJ-0001_ann_2".into(),
    };
    assert_eq!(joined, [expected]);
    assert_eq!(own.take(&again(attack("ann", 2), 2), 5 * SECOND), []);
    // Worse than before is news.
    let worse = Alert { severity: Severity::Critical, ..again(attack("ann", 2), 3) };
    assert_eq!(joins(&own.take(&worse, 6 * SECOND)), 1);
}

#[test]
fn retries_slow_attempts_and_doubtful_ones_are_no_repetition() {
    let mut own = builtin();
    let retried = Alert { retries: 9, ..again(attack("ann", 1), 10) };
    assert_eq!(own.take(&attack("ann", 1), 0), []);
    assert_eq!(own.take(&retried, SECOND), []);
    for nth in 0..20 {
        assert_eq!(own.take(&attack("bob", nth), nth as i64 * 301 * SECOND), [], "{nth}");
    }
    let mut doubtful = attack("cid", 1);
    doubtful.verdict.false_positive = 90;
    for nth in 1..20 {
        assert_eq!(own.take(&again(doubtful.clone(), nth), 9000 * SECOND), []);
    }
}

#[test]
fn each_caller_is_an_incident_of_its_own_and_a_closed_one_may_come_again() {
    let mut own = builtin();
    for user in ["ann", "bob"] {
        let raised: Vec<_> = (0..3).flat_map(|nth| own.take(&attack(user, nth), 0)).collect();
        assert_eq!(opened(&raised), [("SOC-INC-0001", &*format!("user:acme/{user}"))]);
    }
    own.closed("SOC-INC-0001", "user:acme/ann");
    let raised: Vec<_> = (3..6).flat_map(|nth| own.take(&attack("ann", nth), 0)).collect();
    assert_eq!(opened(&raised).len(), 1, "{raised:?}");
    assert_eq!(joins(&own.take(&attack("bob", 9), 0)), 1);
}

#[test]
fn many_callers_with_the_same_attack_are_a_campaign() {
    let mut own = builtin();
    let mut raised = Vec::new();
    for nth in 0..25 {
        // Each twice: it is callers that count.
        raised.extend(own.take(&attack(&format!("u{nth}"), 0), nth * SECOND));
        raised.extend(own.take(&again(attack(&format!("u{nth}"), 0), 2), nth * SECOND));
    }
    assert_eq!(opened(&raised), [("SOC-INC-0006", "campaign:SOC-INJ-0001/prompt_injection")]);
    assert_eq!(joins(&raised), 5);
    let Some(Raise::Opens(case)) = raised.first() else { panic!("{raised:?}") };
    assert_eq!(case.alerts.len(), 20);
    // Not within five minutes: none.
    let mut own = builtin();
    let slow: Vec<_> = (0..60).flat_map(|nth| own.take(&attack(&format!("u{nth}"), 0), nth * 16 * SECOND)).collect();
    assert_eq!(slow, []);
}

#[test]
fn refused_credentials_from_one_address_are_stuffing() {
    let mut own = builtin();
    let mut raised = Vec::new();
    for nth in 1..=20 {
        let mut refused = again(alert("SOC-CRED-0001", "x", 0, Severity::Low, None), nth);
        refused.caller = Caller { address: Some([203, 0, 113, 7].into()), ..Caller::default() };
        raised.extend(own.take(&refused, nth as i64 * SECOND));
    }
    assert_eq!(opened(&raised), [("SOC-INC-0007", "address:203.0.113.7")]);
    let Raise::Opens(case) = &raised[0] else { panic!() };
    assert_eq!(names(&case.threats), ["AML.T0012", "T1110"]);
}

#[test]
fn attacks_under_many_keys_from_one_address_are_told() {
    let mut own = builtin();
    let mut raised = Vec::new();
    for nth in 0..10 {
        let mut attack = alert("SOC-FLAG-0003", "x", nth, Severity::Low, Some(Family::Encoding));
        attack.caller =
            Caller { address: Some([10, 0, 0, 1].into()), key: Some(format!("k{nth}").into()), ..Caller::default() };
        raised.extend(own.take(&attack, 0));
    }
    assert_eq!(opened(&raised), [("SOC-INC-0008", "address:10.0.0.1")]);
}

#[test]
fn a_sequence_has_an_order_and_an_end() {
    let of = |family, nth| alert("R", "ann", nth, Severity::Low, Some(family));
    let (ask, take) = (of(Family::PromptExtraction, 1), of(Family::DataExfiltration, 2));
    let mut own = builtin();
    let raised: Vec<_> = [own.take(&ask, 0), own.take(&take, 10 * SECOND)].concat();
    assert_eq!(opened(&raised), [("SOC-INC-0003", "user:acme/ann")]);
    let Raise::Opens(case) = &raised[0] else { panic!() };
    assert_eq!(names(&case.alerts), ["alt_R_ann_1", "alt_R_ann_2"]);
    let mut reversed = builtin();
    assert_eq!([reversed.take(&take, 0), reversed.take(&ask, SECOND)].concat(), []);
    let mut late = builtin();
    assert_eq!([late.take(&ask, 0), late.take(&take, 3601 * SECOND)].concat(), []);
    // The step that was repeated last is the one that counts.
    let mut repeated = builtin();
    let raised = [
        repeated.take(&ask, 0),
        repeated.take(&of(Family::PromptExtraction, 3), 3000 * SECOND),
        repeated.take(&take, 3601 * SECOND),
    ];
    assert_eq!(opened(&raised.concat()), [("SOC-INC-0003", "user:acme/ann")]);
}

#[test]
fn one_alert_is_one_step_of_a_sequence() {
    let text = rule("sequence: { within: 1m, steps: [{ severity: low }, { severity: low }, { severity: low }] }");
    let mut own = only(&text);
    assert_eq!(own.take(&attack("ann", 1), 0), []);
    assert_eq!(own.take(&attack("ann", 2), 1), []);
    assert_eq!(opened(&own.take(&attack("ann", 3), 2)).len(), 1);
}

#[test]
fn spending_and_attacks_come_together_in_any_order() {
    let surge = alert("SOC-COST-0001", "ann", 1, Severity::Medium, None);
    for order in [[surge.clone(), attack("ann", 1)], [attack("ann", 1), surge.clone()]] {
        let mut own = builtin();
        let raised: Vec<_> = order.iter().zip([0, 3600]).flat_map(|(one, at)| own.take(one, at * SECOND)).collect();
        assert_eq!(opened(&raised), [("SOC-INC-0009", "user:acme/ann")]);
        let mut late = builtin();
        let raised: Vec<_> = order.iter().zip([0, 3601]).flat_map(|(one, at)| late.take(one, at * SECOND)).collect();
        assert_eq!(raised, []);
    }
}

#[test]
fn a_critical_one_is_an_incident_at_once_even_of_nobody() {
    let mut own = builtin();
    let mut leak = alert("SOC-EXF-0001", "ann", 1, Severity::Critical, Some(Family::DataExfiltration));
    assert_eq!(opened(&own.take(&leak, 0)), [("SOC-INC-0005", "user:acme/ann")]);
    leak.verdict.false_positive = 31;
    assert_eq!(builtin().take(&leak, 0), []);
    let mut outside = alert("their rule", "x", 1, Severity::Critical, None);
    (outside.source, outside.caller, outside.id) = ("falcon".into(), Caller::default(), "alt_1".into());
    assert_eq!(opened(&own.take(&outside, 0)), [("SOC-INC-0012", "alert:alt_1")]);
    // Worse later, by what was counted in.
    let mut own = builtin();
    let mut rising = alert("SOC-EXF-0002", "ann", 1, Severity::High, Some(Family::DataExfiltration));
    assert_eq!(own.take(&rising, 0), []);
    (rising.severity, rising.count, rising.retries) = (Severity::Critical, 2, 1);
    assert_eq!(opened(&own.take(&rising, 1)), [("SOC-INC-0005", "user:acme/ann")]);
}

#[test]
fn the_rest_of_the_shipped_rules_is_reached() {
    let mut reached = BTreeSet::new();
    let mut of = |alert: &Alert, times: u64| {
        let mut own = builtin();
        for nth in 1..=times {
            let raised = own.take(&again(alert.clone(), nth), nth as i64);
            reached.extend(opened(&raised).into_iter().map(|(rule, _)| rule.to_owned()));
        }
    };
    of(&alert("SOC-FLAG-0003", "ann", 1, Severity::Low, Some(Family::Encoding)), 12);
    of(&alert("SOC-COST-0003", "ann", 1, Severity::Medium, None), 1);
    of(&alert("SOC-LEAK-0002", "ann", 1, Severity::Medium, Some(Family::Secrets)), 3);
    let mut own = builtin();
    own.take(&alert("R", "ann", 1, Severity::Low, Some(Family::Jailbreak)), 0);
    let raised = own.take(&alert("R", "ann", 2, Severity::Low, Some(Family::SystemManipulation)), 1);
    reached.extend(opened(&raised).into_iter().map(|(rule, _)| rule.to_owned()));
    let elsewhere = [1, 3, 5, 6, 7, 8, 9, 12].map(|nth| format!("SOC-INC-{nth:04}"));
    let shipped: BTreeSet<_> =
        IncidentRules::builtin().unwrap().rules().iter().map(|rule| rule.id.to_string()).collect();
    assert_eq!(reached.iter().chain(&elsewhere).cloned().collect::<BTreeSet<_>>(), shipped);
}

#[test]
fn shipped_rules_ask_for_alert_rules_that_there_are() {
    let (alerts, own) = (AlertRules::builtin().unwrap(), IncidentRules::builtin().unwrap());
    assert_eq!(own.missing(&alerts), []);
    let text = rule("at_once: { rules: [SOC-NOT-0001] }");
    let missing = IncidentRules::only(&[("f", &text)]).unwrap().missing(&alerts);
    assert_eq!(missing, [(Arc::<str>::from("SITE-INC-0001"), Arc::<str>::from("SOC-NOT-0001"))]);
}

#[test]
fn an_incident_takes_over_what_its_alerts_say() {
    let mut own = builtin();
    let worse = Alert { severity: Severity::Critical, ..attack("ann", 3) };
    let raised: Vec<_> = [attack("ann", 1), attack("ann", 2), worse].iter().flat_map(|one| own.take(one, 7)).collect();
    let Some(Raise::Opens(case)) = raised.into_iter().next() else { panic!() };
    let mut incident = case.incident("inc_1".into());
    assert_eq!((incident.severity, incident.alerts, incident.opened), (Severity::Critical, 3, 7));
    let mut late = attack("ann", 4);
    (late.family, late.verdict.risk, late.verdict.false_positive) = (Some(Family::Encoding), 0.9, 5);
    absorb(&mut incident, &late, true, 9);
    absorb(&mut incident, &late, false, 8);
    assert_eq!((incident.alerts, incident.updated, incident.risk, incident.false_positive), (4, 9, 0.9, 5));
    assert_eq!(incident.families, [Family::PromptInjection, Family::Encoding]);
}

#[test]
fn after_a_restart_recent_alerts_and_open_incidents_are_what_they_were() {
    let mut own = builtin();
    let old = Alert { first: 0, last: SECOND, ..again(attack("ann", 1), 2) };
    assert_eq!(own.replay(std::slice::from_ref(&old)), []);
    assert_eq!(own.take(&again(old, 2), 2 * SECOND), [], "nothing was added");
    assert_eq!(opened(&own.take(&attack("ann", 2), 2 * SECOND)), [("SOC-INC-0001", "user:acme/ann")]);
    // An incident that was not written any more is told, one that is open is joined, a closed alert counts for nothing.
    let three: Vec<_> = (0..3).map(|nth| attack("bob", nth)).collect();
    assert_eq!(opened(&builtin().replay(&three)), [("SOC-INC-0001", "user:acme/bob")]);
    let mut known = builtin();
    known.opened("SOC-INC-0001", "user:acme/bob");
    assert_eq!((opened(&known.replay(&three)).len(), joins(&known.take(&attack("bob", 7), 9))), (0, 1));
    let closed: Vec<_> = three.iter().map(|one| Alert { state: AlertState::Closed, ..one.clone() }).collect();
    assert_eq!(builtin().replay(&closed), []);
    // What came over a long time did not come at its end.
    let slow = Alert { first: 0, last: 86_400 * SECOND, ..again(attack("cid", 1), 10) };
    assert_eq!(builtin().replay(&[slow]), []);
    let fast = Alert { first: 86_300 * SECOND, last: 86_400 * SECOND, ..again(attack("cid", 1), 10) };
    assert_eq!(opened(&builtin().replay(&[fast])).len(), 1);
}

#[test]
fn problems_are_told_with_file_and_line() {
    let told = |text: &str| match IncidentRules::only(&[("f.yaml", text)]) {
        Ok(_) => String::new(),
        Err(problems) => problems[0].to_string(),
    };
    assert_eq!(told(&rule("at_once: { severity: high }")), "");
    for (condition, part) in [
        ("", "exactly one"),
        ("at_once: { severity: high }\ncount: { at_least: 2, within: 1m, of: { severity: low } }", "exactly one"),
        ("at_once: {}", "every alert"),
        ("count: { at_least: 1, within: 1m, of: { severity: low } }", "f.yaml:6: SITE-INC-0001.at_least"),
        ("count: { at_least: 5000, within: 1m, of: { severity: low } }", "at_least"),
        ("count: { at_least: 5, within: 1w, of: { severity: low } }", "no time"),
        ("distinct: { what: user, at_least: 5, within: 1m, of: { severity: low } }", "the same for all"),
        ("sequence: { within: 1m, steps: [{ severity: low }] }", "steps"),
        ("together: { within: 1m, steps: [{ severity: low }, {}] }", "every alert"),
        ("at_once: { severity: high, severity_at_most: low }", "no alert fits"),
        ("at_once: { false_positive: 101 }", "0 to 100"),
        ("at_once: { families: [sorcery] }", "sorcery"),
        ("at_once: { colour: red }", "colour"),
    ] {
        let told = told(&rule(condition));
        assert!(told.contains(part) && told.starts_with("f.yaml:"), "{condition}: {told}");
    }
    let off = rule("at_once: { severity: high }").replace("SITE-INC-0001", "SOC-INC-0005") + "enabled: false\n";
    let rules = IncidentRules::read(&[("site", &off)]).unwrap();
    assert!(rules.find("SOC-INC-0005").is_none() && rules.find("SOC-INC-0001").is_some());
}

#[test]
fn a_flood_of_callers_keeps_memory_bounded() {
    let mut own = builtin();
    for nth in 0..10_000 {
        let mut one = attack(&format!("u{nth}"), nth);
        one.caller.address = Some(std::net::Ipv4Addr::from(nth as u32).into());
        own.take(&one, nth as i64);
        let (watches, alerts) = own.tracked();
        assert!(watches <= TRACKED.tracked && alerts <= TRACKED.tracked);
    }
}

/// What a rule decides if everything is remembered: when the first incident about each user opens.
fn by_memory(events: &[(usize, i64)], fires: impl Fn(&[(usize, i64)]) -> bool) -> BTreeMap<usize, i64> {
    let mut first = BTreeMap::new();
    for (nth, (user, at)) in events.iter().enumerate() {
        let own: Vec<_> = events[..=nth].iter().filter(|(other, _)| other == user).copied().collect();
        if !first.contains_key(user) && fires(&own) {
            first.insert(*user, *at);
        }
    }
    first
}

fn times(steps: Vec<(usize, i64)>) -> Vec<(usize, i64)> {
    let mut now = 0;
    steps
        .into_iter()
        .map(|(user, pause)| {
            now += pause * SECOND;
            (user, now)
        })
        .collect()
}

proptest! {
    #[test]
    fn counting_forgets_nothing_that_matters(
        steps in prop::collection::vec((0..4_usize, 0..30_i64), 1..200),
        at_least in 2..12_usize,
    ) {
        let events = times(steps);
        let mut own = only(&rule(&format!("count: {{ at_least: {at_least}, within: 1m, of: {{ severity: low }} }}")));
        let expected = by_memory(&events, |own| {
            let now = own.last().unwrap().1;
            own.iter().filter(|(_, at)| now - at <= 60 * SECOND).count() >= at_least
        });
        let mut found = BTreeMap::new();
        for (nth, (user, at)) in events.iter().enumerate() {
            if !opened(&own.take(&attack(&format!("u{user}"), nth), *at)).is_empty() {
                prop_assert!(found.insert(*user, *at).is_none(), "opened twice");
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn different_values_are_counted_as_if_all_were_remembered(
        steps in prop::collection::vec((0..12_usize, 0..30_i64), 1..200),
        at_least in 2..8_usize,
    ) {
        let events = times(steps);
        let text = rule(&format!("distinct: {{ what: session, at_least: {at_least}, within: 1m, of: {{ severity: low }} }}"));
        let mut own = only(&text);
        let expected = (0..events.len()).map(|nth| &events[..=nth]).find_map(|own| {
            let now = own.last().unwrap().1;
            let near: BTreeSet<_> = own.iter().filter(|(_, at)| now - at <= 60 * SECOND).map(|(who, _)| who).collect();
            (near.len() >= at_least).then_some(now)
        });
        let found = events.iter().enumerate().find_map(|(nth, (session, at))| {
            let mut one = attack("ann", nth);
            one.caller.session = Some(format!("s{session}").into());
            (!opened(&own.take(&one, *at)).is_empty()).then_some(*at)
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_sequence_is_found_wherever_there_is_one(steps in prop::collection::vec((0..4_usize, 0..40_i64), 1..80)) {
        let families = [Family::Jailbreak, Family::Encoding, Family::Leakage, Family::Privacy];
        let events = times(steps);
        let text = "sequence: { within: 1m, steps: [{ families: [jailbreak] }, { families: [encoding] }, { families: [leakage] }] }";
        let mut own = only(&rule(text));
        let is_end = |nth: usize| {
            let (family, end) = events[nth];
            let chain = |first: usize| {
                let (_, began) = events[first];
                end - began <= 60 * SECOND && (first + 1..nth).any(|mid| events[mid].0 == 1)
            };
            family == 2 && (0..nth).any(|first| events[first].0 == 0 && chain(first))
        };
        let expected = (0..events.len()).find(|nth| is_end(*nth));
        let found = events.iter().enumerate().position(|(nth, (family, at))| {
            !opened(&own.take(&alert("R", "ann", nth, Severity::Low, Some(families[*family])), *at)).is_empty()
        });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn whatever_comes_memory_is_bounded_and_an_open_incident_is_not_opened_again(
        tracked in 1..30_usize,
        steps in prop::collection::vec((0..40_usize, 0..5_usize, 0..30_i64, 1..5_u64), 1..300),
    ) {
        let mut own = Correlator::new(IncidentRules::builtin().unwrap(), CorrelateOptions { tracked });
        let mut sure = Correlator::new(IncidentRules::builtin().unwrap(), CorrelateOptions { tracked: 100_000 });
        let (mut now, mut open) = (0, BTreeSet::new());
        let families = [Family::Jailbreak, Family::DataExfiltration, Family::PromptExtraction, Family::Encoding, Family::Secrets];
        for (user, family, pause, count) in steps {
            now += pause * SECOND;
            let one = again(alert("R", &format!("u{user}"), family, Severity::High, Some(families[family])), count);
            own.take(&one, now);
            let (watches, alerts) = own.tracked();
            prop_assert!(watches <= tracked && alerts <= tracked);
            for (rule, about) in opened(&sure.take(&one, now)) {
                prop_assert!(open.insert((rule.to_owned(), about.to_owned())), "opened twice: {rule} {about}");
            }
        }
    }
}

#[test]
fn other_rules_go_on_with_what_was_seen_for_those_that_stay() {
    let counted = |id: &str, most: u32| {
        let text = format!("count: {{ at_least: {most}, within: 1m, of: {{ severity: low }} }}");
        rule(&text).replace("SITE-INC-0001", id)
    };
    let rules = |texts: &[String]| IncidentRules::only(&[("f.yaml", &texts.join("---\n"))]).unwrap();
    let mut own = Correlator::new(rules(&[counted("SITE-INC-0001", 3), counted("SITE-INC-0002", 3)]), TRACKED);
    for nth in 1..=2 {
        assert_eq!(own.take(&attack("ann", nth), 0), []);
    }
    // The first one asks for more now, the second stays and moves, a third is new.
    own.adopt(rules(&[counted("SITE-INC-0003", 2), counted("SITE-INC-0002", 3), counted("SITE-INC-0001", 4)]));
    assert_eq!(opened(&own.take(&attack("ann", 3), SECOND)), [("SITE-INC-0002", "user:acme/ann")]);
    // What is open stays open, also under a rule that changed; what is gone raises nothing.
    own.adopt(rules(&[counted("SITE-INC-0002", 2)]));
    let raised = own.take(&attack("ann", 4), 2 * SECOND);
    assert_eq!((opened(&raised), joins(&raised)), (vec![], 1));
    assert_eq!(own.tracked().0, 1);
}
