//! Tests of what other systems send: one alert of each shape as its makers write it, and what nobody should send.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::types::Family;

/// 2026-11-21T10:00:00Z.
const NOW: i64 = 1_795_255_200_000_000;

fn mapped(body: &Value) -> Draft {
    map("siem", body, NOW).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn ids(draft: &Draft) -> Vec<&str> {
    draft.threats.iter().map(|threat| &*threat.id).collect()
}

#[test]
fn our_own_shape() {
    let body = json!({
        "title": "Login from two countries", "severity": "high", "id": "a-1", "rule": "impossible-travel",
        "message": "Berlin and Lima within ten minutes", "family": "behaviour", "time": "2026-11-21T09:59:00Z",
        "tenant": "acme", "user": "ann", "key": "k1", "session": "s1", "agent": "bot", "address": "203.0.113.7",
        "model": "gpt-x", "risk": 0.7, "false_positive": 20, "threats": ["t1078", "LLM01:2026"],
    });
    let draft = mapped(&body);
    assert_eq!((&*draft.rule, &*draft.title), ("impossible-travel", "Login from two countries"));
    assert_eq!((draft.severity, draft.family), (Severity::High, Some(Family::Behaviour)));
    assert_eq!((draft.first, draft.last, draft.count), (NOW - 60_000_000, NOW - 60_000_000, 1));
    assert_eq!(draft.caller.user_of_tenant().as_deref(), Some("acme\0ann"));
    assert_eq!(draft.caller.address, Some([203, 0, 113, 7].into()));
    assert_eq!((draft.verdict.risk, draft.verdict.false_positive), (0.7, 20));
    assert_eq!(draft.verdict.enforced, None);
    assert_eq!((ids(&draft), &*draft.requests), (vec!["T1078", "LLM01:2026"], &[Arc::<str>::from("a-1")][..]));
    assert_eq!((&*draft.source, draft.raw.as_ref()), ("siem", Some(&body)));
    assert_eq!(draft.fold, "siem:impossible-travel|user:acme/ann|s1|gpt-x");
}

#[test]
fn the_least_of_our_own_shape_and_what_is_no_shape() {
    let draft = mapped(&json!({"title": "T", "severity": "low"}));
    assert_eq!((&*draft.rule, draft.first, draft.verdict.false_positive), ("T", NOW, 50));
    assert_eq!(draft.verdict.reasons.len(), 1);
    for wrong in [
        json!(null),
        json!([]),
        json!("alert"),
        json!({}),
        json!({"title": "T"}),
        json!({"class_uid": 2003, "title": "T", "severity": "low"}),
        json!({"event": {"kind": "event"}, "message": "m"}),
    ] {
        assert_eq!(map("siem", &wrong, NOW), Err(MapError::Unknown), "{wrong}");
    }
}

#[test]
fn what_is_wrong_with_our_own_shape_is_said() {
    for (key, value, part) in [
        ("severity", json!("awful"), "awful"),
        ("colour", json!("red"), "colour"),
        ("risk", json!(1.5), "risk"),
        ("false_positive", json!(101), "false_positive"),
        ("threats", json!(["sorcery"]), "threats"),
        ("threats", json!(vec!["T1078"; 33]), "threats"),
        ("time", json!("yesterday"), "time"),
        ("address", json!("here"), "IP"),
        ("family", json!("sorcery"), "sorcery"),
        ("title", json!(" \n "), "no title"),
    ] {
        let mut body = json!({"title": "T", "severity": "low"});
        body[key] = value;
        let told = map("siem", &body, NOW).unwrap_err().to_string();
        assert!(told.starts_with("not a valid portcullis: ") && told.contains(part), "{key}: {told}");
    }
    let long = format!("x{}", "y\n".repeat(5000));
    let told = map("siem", &json!({"title": "T", "severity": long}), NOW).unwrap_err().to_string();
    assert!(told.len() < 500 && !told.contains('\n'), "{told}");
}

#[test]
fn an_ocsf_detection_finding() {
    let draft = mapped(&json!({
        "class_uid": 2004, "category_uid": 2, "activity_id": 1, "type_uid": 200401, "severity_id": 5,
        "time": 1_795_255_190_000_i64, "confidence_score": 80, "risk_score": 91,
        "finding_info": {
            "uid": "f-1", "title": "Data to an unknown bucket", "desc": "12 MB", "analytic": {"uid": "r-7", "name": "R"},
            "attacks": [{"tactic": {"uid": "TA0010", "name": "Exfiltration"},
                         "technique": {"uid": "T1567", "name": "Exfiltration Over Web Service"},
                         "sub_technique": {"uid": "T1567.002", "name": "To Cloud Storage"}}],
        },
        "evidences": [{"actor": {"user": {"name": "ann"}, "session": {"uid": "s"}}, "src_endpoint": {"ip": "::ffff:10.1.2.3"}}],
        "ai_model": {"name": "gpt-x", "ai_provider": "p"}, "metadata": {"version": "1.9.0", "product": {"name": "X"}},
    }));
    assert_eq!((&*draft.rule, draft.severity), ("r-7", Severity::Critical));
    assert_eq!(draft.family, Some(Family::DataExfiltration));
    assert_eq!(ids(&draft), ["T1567.002", "T1567", "TA0010"]);
    assert_eq!(&*draft.threats[1].title, "Exfiltration Over Web Service");
    assert_eq!((draft.first, draft.verdict.false_positive), (NOW - 10_000_000, 20));
    assert!((draft.verdict.risk - 0.91).abs() < 1e-6);
    assert_eq!((draft.caller.user.as_deref(), draft.caller.session.as_deref()), (Some("ann"), Some("s")));
    assert_eq!(draft.caller.address, Some([10, 1, 2, 3].into()));
    assert_eq!((draft.model.as_deref(), &*draft.message), (Some("gpt-x"), "12 MB"));
}

#[test]
fn what_we_export_as_ocsf_comes_back_as_it_was() {
    use crate::soc::fixture::{blocked, event};
    let rules = crate::soc::AlertRules::builtin().unwrap();
    let mut own = blocked(Family::PromptInjection, Severity::High);
    own.caller.address = Some([10, 0, 0, 9].into());
    own.time = NOW - 5_000;
    let mut sent = crate::soc::draft(&event(own), &rules, &|_| None).unwrap();
    sent.id = "alt_1".into();
    let back = mapped(&crate::soc::ocsf::finding(&sent));
    assert_eq!((&back.rule, &back.title, back.severity), (&sent.rule, &sent.title, sent.severity));
    assert_eq!((back.family, back.first), (sent.family, sent.first));
    assert_eq!((&back.caller.user, &back.caller.tenant), (&sent.caller.user, &sent.caller.tenant));
    assert_eq!((back.caller.address, &back.model), (sent.caller.address, &sent.model));
    assert_eq!(back.verdict.false_positive, sent.verdict.false_positive);
}

#[test]
fn an_ecs_alert_nested_and_flat() {
    let nested = json!({
        "@timestamp": "2026-11-21T09:58:00.500Z", "event": {"kind": "alert", "severity": 73, "id": "e-1", "risk_score": 73},
        "rule": {"uuid": "u-1", "name": "Brute force", "description": "many"}, "message": "42 failures",
        "threat": {"framework": "MITRE ATT&CK", "technique": {"id": ["T1110"], "name": ["Brute Force"],
                   "subtechnique": {"id": ["T1110.004"], "name": ["Credential Stuffing"]}}},
        "user": {"name": "ann", "domain": "acme"}, "source": {"ip": "198.51.100.2"},
        "gen_ai": {"request": {"model": "gpt-x"}},
    });
    let flat = json!({
        "@timestamp": "2026-11-21T09:58:00.500Z", "event.kind": "signal", "kibana.alert.severity": "high",
        "kibana.alert.uuid": "e-1", "kibana.alert.rule.uuid": "u-1", "kibana.alert.rule.name": "Brute force",
        "kibana.alert.reason": "42 failures", "kibana.alert.risk_score": 73,
        "kibana.alert.rule.threat": [{"technique": [{"id": "T1110", "name": "Brute Force",
                                                     "subtechnique": [{"id": "T1110.004", "name": "Credential Stuffing"}]}]}],
        "user.name": "ann", "user.domain": "acme", "source.ip": ["198.51.100.2", "198.51.100.3"],
        "gen_ai.request.model": "gpt-x",
    });
    for body in [nested, flat] {
        let draft = mapped(&body);
        assert_eq!((&*draft.rule, &*draft.title, &*draft.message), ("u-1", "Brute force", "42 failures"), "{body}");
        assert_eq!(draft.severity, Severity::High);
        assert!((draft.verdict.risk - 0.73).abs() < 1e-6);
        assert_eq!(draft.first, NOW - 119_500_000);
        assert!(ids(&draft).contains(&"T1110"), "{:?}", draft.threats);
        assert!(ids(&draft).contains(&"T1110.004"), "{:?}", draft.threats);
        assert_eq!((draft.caller.user.as_deref(), draft.caller.tenant.as_deref()), (Some("ann"), Some("acme")));
        assert_eq!((draft.caller.address, draft.model.as_deref()), (Some([198, 51, 100, 2].into()), Some("gpt-x")));
    }
}

#[test]
fn crowdstrike_alerts_detections_and_events_of_the_stream() {
    let alert = json!({
        "composite_id": "cid:ind:1", "display_name": "Suspicious script", "description": "A script ran", "severity": 70,
        "severity_name": "High", "confidence": 90, "tactic": "Execution", "tactic_id": "TA0002",
        "technique": "PowerShell", "technique_id": "T1059.001", "user_name": "ann", "pattern_id": 10417,
        "timestamp": "2026-11-21T09:59:59.000Z", "device": {"external_ip": "203.0.113.9", "local_ip": "10.0.0.3"},
    });
    let detection = json!({
        "detection_id": "ldt:1", "max_severity": 70, "max_severity_displayname": "High", "max_confidence": 90,
        "created_timestamp": "2026-11-21T09:59:59Z", "device": {"external_ip": "203.0.113.9"},
        "behaviors": [{"behavior_id": "10417", "display_name": "Suspicious script", "description": "A script ran",
                       "tactic_id": "TA0002", "technique_id": "T1059.001", "user_name": "ann"}],
    });
    for body in [alert, detection] {
        let draft = mapped(&body);
        assert_eq!((&*draft.title, &*draft.rule, &*draft.message), ("Suspicious script", "10417", "A script ran"));
        assert_eq!((draft.severity, draft.family), (Severity::High, Some(Family::SystemManipulation)));
        assert_eq!((draft.verdict.false_positive, draft.first), (10, NOW - 1_000_000));
        assert_eq!(ids(&draft), ["T1059.001", "TA0002"]);
        assert_eq!(draft.caller.user.as_deref(), Some("ann"));
        assert_eq!(draft.caller.address, Some([203, 0, 113, 9].into()));
    }
    let streamed = mapped(&json!({
        "metadata": {"eventType": "EppDetectionSummaryEvent", "eventCreationTime": 1_795_255_199_000_i64, "offset": 4},
        "event": {"CompositeId": "c", "Name": "Found", "Severity": 4, "UserName": "ann", "LocalIP": "10.0.0.3"},
    }));
    assert_eq!((&*streamed.title, streamed.severity, streamed.first), ("Found", Severity::High, NOW - 1_000_000));
    assert_eq!(streamed.caller.address, Some([10, 0, 0, 3].into()));
}

#[test]
fn microsoft_graph_alerts_sentinel_rows_and_incidents() {
    let graph = json!({
        "id": "da1", "providerAlertId": "p1", "title": "Impossible travel", "severity": "medium",
        "description": "Two countries", "serviceSource": "microsoftDefenderForIdentity", "category": "InitialAccess",
        "detectorId": "d1", "lastActivityDateTime": "2026-11-21T09:59:50Z", "mitreTechniques": ["T1078", "T1078.004"],
        "evidence": [
            {"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": {"userPrincipalName": "ann@acme.example"}},
            {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "203.0.113.4"},
        ],
    });
    let row = json!({
        "SystemAlertId": "s1", "AlertName": "Impossible travel", "AlertSeverity": "Medium", "AlertType": "d1",
        "Description": "Two countries", "EndTime": "2026-11-21T09:59:50Z", "ConfidenceScore": 0.6,
        "Techniques": "[\"T1078\",\"T1078.004\"]",
        "Entities": "[{\"Type\":\"account\",\"Name\":\"ann@acme.example\"},{\"Type\":\"ip\",\"Address\":\"203.0.113.4\"}]",
    });
    for (body, sure) in [(graph, 50), (row, 40)] {
        let draft = mapped(&body);
        assert_eq!((&*draft.title, &*draft.rule, draft.severity), ("Impossible travel", "d1", Severity::Medium));
        assert_eq!((draft.first, ids(&draft)), (NOW - 10_000_000, vec!["T1078", "T1078.004"]));
        assert_eq!(draft.caller.user.as_deref(), Some("ann@acme.example"));
        assert_eq!(draft.caller.address, Some([203, 0, 113, 4].into()));
        assert_eq!(draft.verdict.false_positive, sure);
    }
    let incident = mapped(&json!({"object": {"name": "i", "properties": {
        "title": "Multi-stage incident", "severity": "High", "createdTimeUtc": "2026-11-21T09:59:50Z",
        "additionalData": {"techniques": ["T1567"]},
        "relatedEntities": [{"kind": "Account", "properties": {"accountName": "ann"}}],
    }}}));
    assert_eq!((&*incident.title, incident.severity), ("Multi-stage incident", Severity::High));
    assert_eq!((incident.family, incident.caller.user.as_deref()), (Some(Family::DataExfiltration), Some("ann")));
}

#[test]
fn severities_of_every_scale() {
    use fields::{severity, severity_of_five, severity_of_hundred};
    let of = |figures: [f64; 5]| figures.map(severity_of_hundred);
    let all = [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    assert_eq!(of([0.0, 21.0, 47.0, 73.0, 99.0]), all);
    assert_eq!(of([19.9, 20.0, 40.0, 60.0, 80.0]), all);
    assert_eq!([1.0, 2.0, 3.0, 4.0, 6.0].map(|figure| severity_of_five(figure).unwrap()), all);
    assert_eq!(["Info", "LOW", " moderate ", "High", "Fatal"].map(|word| severity(word).unwrap()), all);
    assert_eq!((severity("awful"), severity_of_five(0.0)), (None, None));
    // Without any: medium.
    assert_eq!(mapped(&json!({"class_uid": 2004, "message": "m", "severity_id": 99})).severity, Severity::Medium);
}

#[test]
fn ids_of_threats_are_told_from_words() {
    use fields::id_of;
    for id in
        ["T1059", "T1059.001", "TA0010", "AML.T0051", "AML.T0051.000", "AML.TA0002", "LLM01", "LLM01:2026", "ASI01"]
    {
        assert_eq!(id_of(&id.to_lowercase()).as_deref(), Some(id));
    }
    for wrong in ["", "T", "T10", "T1059.1", "T1059.0001", "TOMATO", "AML.", "LLM1", "LLM01:26", "ASI001", "T１０５９"]
    {
        assert_eq!(id_of(wrong), None, "{wrong}");
    }
}

#[test]
fn families_follow_from_techniques() {
    let of = |id: &str| mapped(&json!({"title": "T", "severity": "low", "threats": [id]})).family;
    assert_eq!(of("AML.T0051.000"), Some(Family::PromptInjection));
    assert_eq!(of("AML.T0051"), Some(Family::PromptInjection));
    assert_eq!(of("AML.T0051.001"), Some(Family::IndirectInjection));
    assert_eq!(of("T1567.002"), Some(Family::DataExfiltration));
    assert_eq!(of("T1190"), Some(Family::MaliciousInput));
    assert_eq!(of("T1485"), None);
}

#[test]
fn times_are_read_in_any_unit_and_not_believed_beyond_reason() {
    let of = |time: Value| mapped(&json!({"title": "T", "severity": "low", "time": time})).first;
    assert_eq!(of(json!(NOW / 1_000_000 - 5)), NOW - 5_000_000);
    assert_eq!(of(json!((NOW / 1000 - 5000).to_string())), NOW - 5_000_000);
    assert_eq!(of(json!(NOW - 5_000_000)), NOW - 5_000_000);
    assert_eq!(of(json!("2026-11-21T11:59:55+02:00")), NOW - 5_000_000);
    for beyond in [json!("2031-01-01T00:00:00Z"), json!("1999-01-01T00:00:00Z"), json!(1)] {
        assert_eq!(of(beyond), NOW);
    }
}

#[test]
fn what_is_sent_is_cleaned_and_bounded() {
    let long = "x\0\u{202e}\u{1b}[31m\n".repeat(20_000);
    let mut body = json!({"title": long, "severity": "low", "message": long, "user": long, "rule": long, "id": long});
    let draft = mapped(&body);
    assert!(draft.title.chars().count() <= MAX_TITLE && draft.message.chars().count() <= MAX_MESSAGE);
    assert!(draft.fold.len() < 1000 && draft.rule.chars().count() <= MAX_ID);
    for text in [&draft.title, &draft.message, &draft.fold, &draft.rule.to_string()] {
        assert!(!text.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{text:?}");
    }
    let raw = draft.raw.unwrap();
    assert_eq!(raw["truncated"], true);
    assert!(raw.to_string().len() <= MAX_RAW, "{}", raw.to_string().len());
    assert!(!raw.to_string().contains("\\u0000"));
    body = json!({"title": "T\0", "severity": "low"});
    assert_eq!(mapped(&body).raw, Some(json!({"title": "T", "severity": "low"})));
    assert_eq!(&*map("gateway", &body, NOW).unwrap().source, "outside:gateway");
    assert_eq!(&*map("\n", &body, NOW).unwrap().source, "outside");
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}|T1059|high|2026-01-01T00:00:00Z|10.0.0.1|alert".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "class_uid|event|kind|rule|name|title|severity|finding_info|attacks|technique|uid|id|threat|evidence|Entities",
        "composite_id|providerAlertId|behaviors|metadata|properties|object|event\\.kind|user|source\\.ip|time|[a-z.]{0,9}",
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_that_is_sent_breaks_a_bound(mut body in anything(), shape in 0..6_usize) {
        if let Some(map) = body.as_object_mut() {
            let (key, value) = [
                ("class_uid", json!(2004)), ("event.kind", json!("alert")), ("composite_id", json!("c")),
                ("providerAlertId", json!("p")), ("severity", json!("low")), ("SystemAlertId", json!("s")),
            ][shape].clone();
            map.insert(key.to_owned(), value);
            map.entry("title").or_insert_with(|| json!("T"));
        }
        if let Ok(draft) = map("siem", &body, NOW) {
            prop_assert!(!draft.title.is_empty() && draft.title.chars().count() <= MAX_TITLE);
            prop_assert!(draft.threats.len() <= MAX_THREATS && draft.message.chars().count() <= MAX_MESSAGE);
            prop_assert!(draft.first <= NOW && draft.first >= NOW - OLDEST);
            prop_assert!((0.0..=1.0).contains(&draft.verdict.risk) && draft.verdict.false_positive <= 100);
            prop_assert!(draft.raw.unwrap().to_string().len() <= MAX_RAW);
        }
    }
}
