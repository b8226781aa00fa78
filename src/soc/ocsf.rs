//! Alerts and incidents as events of the Open Cybersecurity Schema Framework (OCSF 1.9): Detection Finding (2004) and
//! Incident Finding (2005).

use serde_json::{Map, Value, json};

use crate::types::soc::{Alert, AlertState, Closed, Incident, IncidentState, Proof};
use crate::types::{Caller, Decision, Severity};

/// The version of the schema.
const VERSION: &str = "1.9.0";

/// An alert as a Detection Finding. Times are in milliseconds.
pub fn finding(alert: &Alert) -> Value {
    let (activity, activity_name) = match alert.state {
        AlertState::Closed => (3, "Close"),
        _ if alert.count > 1 || alert.state != AlertState::Open => (2, "Update"),
        AlertState::Open | AlertState::Acknowledged | AlertState::InProgress => (1, "Create"),
    };
    let mut event = head(2004, "Detection Finding", activity, activity_name, alert.severity);
    let (status_id, status) = match alert.state {
        AlertState::Open => (1, "New"),
        AlertState::Acknowledged | AlertState::InProgress => (2, "In Progress"),
        AlertState::Closed if is_harmless(alert.closed.as_ref()) => (3, "Suppressed"),
        AlertState::Closed => (4, "Resolved"),
    };
    let verdict = &alert.verdict;
    let sure = 100 - i32::from(verdict.false_positive.min(100));
    let mut profiles = vec!["security_control"];
    put(&mut event, "time", millis(alert.first));
    put(&mut event, "start_time", millis(alert.first));
    put(&mut event, "end_time", millis(alert.last));
    put(&mut event, "count", alert.count);
    put(&mut event, "message", alert.message.as_str());
    put(&mut event, "status_id", status_id);
    put(&mut event, "status", status);
    put(&mut event, "is_alert", alert.state != AlertState::Closed);
    put(&mut event, "confidence_score", sure);
    let (id, name) = confidence(sure);
    put(&mut event, "confidence_id", id);
    put(&mut event, "confidence", name);
    risk(&mut event, verdict.risk);
    let (action, disposition) = done(verdict.enforced);
    for (key, (id, name)) in [("action", action), ("disposition", disposition)] {
        put(&mut event, &format!("{key}_id"), id);
        put(&mut event, key, name);
    }
    if let Some(policy) = &alert.policy {
        put(&mut event, "policy", json!({"name": policy}));
    }
    if let Some(model) = &alert.model {
        profiles.push("ai_operation");
        put(&mut event, "ai_model", json!({"name": model, "ai_provider": "Unknown"}));
    }
    let attacks = attacks(alert.threats.iter().map(|threat| (&*threat.id, &*threat.title)));
    if !attacks.is_empty() {
        put(&mut event, "attacks", attacks.clone());
    }
    let mut info = json!({
        "uid": alert.id,
        "title": alert.title,
        "desc": alert.message,
        "first_seen_time": millis(alert.first),
        "last_seen_time": millis(alert.last),
        "created_time": millis(alert.first),
        "related_events_count": alert.count,
        "analytic": {"uid": alert.rule, "name": alert.title, "type_id": 1, "type": "Rule"},
        "product": {"name": "Portcullis", "vendor_name": "Portcullis"},
    });
    if let Some(info) = info.as_object_mut() {
        if let Some(family) = alert.family {
            put(info, "types", json!([family.name()]));
        }
        if !attacks.is_empty() {
            put(info, "attacks", attacks);
        }
        if &*alert.source != "gateway" {
            put(info, "data_sources", json!([alert.source]));
        }
    }
    put(&mut event, "finding_info", info);
    put(&mut event, "evidences", evidences(alert));
    if let Some(request) = alert.requests.last() {
        put(&mut event, "metadata", metadata(&alert.id, &profiles, Some(request)));
    } else {
        put(&mut event, "metadata", metadata(&alert.id, &profiles, None));
    }
    let others: Vec<_> = alert.threats.iter().filter(|threat| !is_mitre(&threat.id)).collect();
    put(
        &mut event,
        "unmapped",
        json!({"portcullis": {
            "retries": alert.retries, "fold": alert.fold, "state": alert.state.name(), "source": alert.source,
            "recommended": verdict.recommended.name(), "false_positive": verdict.false_positive,
            "reasons": verdict.reasons, "threats": others, "incident": alert.incident,
        }}),
    );
    Value::Object(event)
}

/// An incident as an Incident Finding. Times are in milliseconds.
pub fn incident_finding(incident: &Incident) -> Value {
    let (activity, activity_name) = match incident.state {
        IncidentState::Closed => (3, "Close"),
        _ if incident.updated > incident.opened || incident.state != IncidentState::Open => (2, "Update"),
        IncidentState::Open | IncidentState::Acknowledged | IncidentState::InProgress => (1, "Create"),
    };
    let mut event = head(2005, "Incident Finding", activity, activity_name, incident.severity);
    let (status_id, status) = match incident.state {
        IncidentState::Open => (1, "New"),
        IncidentState::Acknowledged | IncidentState::InProgress => (2, "In Progress"),
        IncidentState::Closed => (5, "Closed"),
    };
    let (verdict_id, verdict) = match &incident.closed {
        Some(closed) if &*closed.reason == "false_positive" => (1, "False Positive"),
        Some(closed) if &*closed.reason == "resolved" => (2, "True Positive"),
        Some(closed) if &*closed.reason == "duplicate" => (10, "Duplicate"),
        Some(closed) if &*closed.reason == "accepted" => (5, "Benign"),
        Some(_) => (0, "Unknown"),
        None => (4, "Suspicious"),
    };
    let (priority_id, priority) = match incident.severity {
        Severity::Informational | Severity::Low => (1, "Low"),
        Severity::Medium => (2, "Medium"),
        Severity::High => (3, "High"),
        Severity::Critical => (4, "Critical"),
    };
    let sure = 100 - i32::from(incident.false_positive.min(100));
    put(&mut event, "time", millis(incident.opened));
    put(&mut event, "start_time", millis(incident.opened));
    put(&mut event, "end_time", millis(incident.updated));
    put(&mut event, "desc", incident.title.as_str());
    put(&mut event, "message", format!("{}: {} alerts", incident.title, incident.alerts));
    put(&mut event, "status_id", status_id);
    put(&mut event, "status", status);
    put(&mut event, "verdict_id", verdict_id);
    put(&mut event, "verdict", verdict);
    put(&mut event, "priority_id", priority_id);
    put(&mut event, "priority", priority);
    let (id, name) = confidence(sure);
    put(&mut event, "confidence_id", id);
    put(&mut event, "confidence", name);
    put(&mut event, "confidence_score", sure);
    let breach = incident.families.iter().any(|family| matches!(family.name(), "data_exfiltration" | "leakage"));
    put(&mut event, "is_suspected_breach", breach && incident.severity >= Severity::High);
    // The schema wants a person or a group; an incident nobody has taken is everybody's.
    match &incident.assignee {
        Some(name) => put(&mut event, "assignee", json!({"name": name})),
        None => put(&mut event, "assignee_group", json!({"name": "security operations"})),
    }
    if let Some(closed) = &incident.closed {
        put(&mut event, "comment", closed.note.as_str());
    }
    let attacks = attacks(incident.threats.iter().map(|id| (&**id, "")));
    if !attacks.is_empty() {
        put(&mut event, "attacks", attacks.clone());
    }
    let families: Vec<_> = incident.families.iter().map(|family| family.name()).collect();
    put(
        &mut event,
        "finding_info_list",
        json!([{
            "uid": incident.id, "title": incident.title, "types": families, "related_events_count": incident.alerts,
            "first_seen_time": millis(incident.opened), "last_seen_time": millis(incident.updated), "attacks": attacks,
            "analytic": {"uid": incident.rule, "name": incident.title, "type_id": 1, "type": "Rule"},
        }]),
    );
    put(&mut event, "metadata", metadata(&incident.id, &["incident"], None));
    let others: Vec<_> = incident.threats.iter().filter(|id| !is_mitre(id)).collect();
    put(
        &mut event,
        "unmapped",
        json!({"portcullis": {
            "about": incident.about, "risk": incident.risk, "state": incident.state.name(), "threats": others,
            "actor": actor(&incident.caller), "address": incident.caller.address,
        }}),
    );
    Value::Object(event)
}

fn put(event: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    event.insert(key.to_owned(), value.into());
}

fn head(class: u32, class_name: &str, activity: u32, activity_name: &str, severity: Severity) -> Map<String, Value> {
    let (severity_id, severity_name) = match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let mut event = Map::new();
    put(&mut event, "class_uid", class);
    put(&mut event, "class_name", class_name);
    put(&mut event, "category_uid", 2);
    put(&mut event, "category_name", "Findings");
    put(&mut event, "activity_id", activity);
    put(&mut event, "activity_name", activity_name);
    put(&mut event, "type_uid", class * 100 + activity);
    put(&mut event, "type_name", format!("{class_name}: {activity_name}"));
    put(&mut event, "severity_id", severity_id);
    put(&mut event, "severity", severity_name);
    event
}

fn metadata(uid: &str, profiles: &[&str], correlation: Option<&str>) -> Value {
    let mut metadata = json!({
        "version": VERSION,
        "uid": uid,
        "profiles": profiles,
        "product": {"name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION")},
        "log_name": "soc",
    });
    if let (Some(metadata), Some(correlation)) = (metadata.as_object_mut(), correlation) {
        put(metadata, "correlation_uid", correlation);
    }
    metadata
}

/// Microseconds as milliseconds.
fn millis(micros: i64) -> i64 {
    micros.div_euclid(1000)
}

fn is_harmless(closed: Option<&Closed>) -> bool {
    closed.is_some_and(|closed| matches!(&*closed.reason, "false_positive" | "accepted" | "duplicate"))
}

const fn confidence(sure: i32) -> (i32, &'static str) {
    match sure {
        ..40 => (1, "Low"),
        40..75 => (2, "Medium"),
        75.. => (3, "High"),
    }
}

fn risk(event: &mut Map<String, Value>, risk: f32) {
    let score = if risk.is_finite() { (risk.clamp(0.0, 1.0) * 100.0).round() as i32 } else { 0 };
    let (id, name) = match score {
        ..20 => (0, "Info"),
        20..40 => (1, "Low"),
        40..60 => (2, "Medium"),
        60..80 => (3, "High"),
        80.. => (4, "Critical"),
    };
    put(event, "risk_score", score);
    put(event, "risk_level_id", id);
    put(event, "risk_level", name);
}

/// Action and disposition of the profile `security_control`.
const fn done(enforced: Option<Decision>) -> ((i32, &'static str), (i32, &'static str)) {
    match enforced {
        None => ((0, "Unknown"), (0, "Unknown")),
        Some(Decision::Allow) => ((1, "Allowed"), (1, "Allowed")),
        Some(Decision::Flag) => ((1, "Allowed"), (19, "Alert")),
        Some(Decision::Redact) => ((1, "Allowed"), (11, "Corrected")),
        Some(Decision::Block) => ((2, "Denied"), (2, "Blocked")),
    }
}

/// Whether an id is one of MITRE's: ATT&CK or ATLAS.
fn is_mitre(id: &str) -> bool {
    let bare = id.strip_prefix("AML.").unwrap_or(id);
    bare.strip_prefix('T').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == 'A'))
}

/// Techniques, sub-techniques and tactics of MITRE's catalogues.
fn attacks<'a>(threats: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Value> {
    let object =
        |uid: &str, name: &str| if name.is_empty() { json!({"uid": uid}) } else { json!({"uid": uid, "name": name}) };
    let attack = |(id, name): (&'a str, &'a str)| {
        let atlas = id.starts_with("AML.");
        let bare = id.strip_prefix("AML.").unwrap_or(id);
        if bare.starts_with("TA") {
            return json!({"tactic": object(id, name)});
        }
        let mut attack = match bare.split_once('.') {
            None => json!({"technique": object(id, name)}),
            Some((main, _)) => {
                let main = if atlas { format!("AML.{main}") } else { main.to_owned() };
                json!({"technique": object(&main, ""), "sub_technique": object(id, name)})
            }
        };
        if let Some(attack) = attack.as_object_mut() {
            put(attack, "version", if atlas { "ATLAS 5.6.1" } else { "ATT&CK 19" });
        }
        attack
    };
    threats.filter(|(id, _)| is_mitre(id)).map(attack).collect()
}

fn actor(caller: &Caller) -> Value {
    let mut user = Map::new();
    if let Some(name) = &caller.user {
        put(&mut user, "name", &**name);
    }
    if let Some(key) = &caller.key {
        put(&mut user, "credential_uid", &**key);
    }
    if let Some(tenant) = &caller.tenant {
        put(&mut user, "org", json!({"name": tenant}));
    }
    if !caller.groups.is_empty() {
        put(&mut user, "groups", caller.groups.iter().map(|name| json!({"name": name})).collect::<Vec<_>>());
    }
    let mut actor = Map::new();
    put(&mut actor, "user", user);
    if let Some(session) = &caller.session {
        put(&mut actor, "session", json!({"uid": session}));
    }
    if let Some(agent) = &caller.agent {
        put(&mut actor, "app_name", &**agent);
    }
    Value::Object(actor)
}

/// One artifact for who it was and what they asked, one for each proof.
fn evidences(alert: &Alert) -> Vec<Value> {
    let mut whole = json!({"name": "caller", "actor": actor(&alert.caller)});
    if let Some(whole) = whole.as_object_mut() {
        if let Some(address) = alert.caller.address {
            put(whole, "src_endpoint", json!({"ip": address}));
        }
        if let Some(path) = &alert.path {
            put(whole, "api", json!({"operation": path}));
        }
        put(whole, "data", json!({"requests": alert.requests}));
    }
    let of = |proof: &Proof| {
        json!({"name": proof.title, "uid": proof.rule, "data": {
            "severity": proof.severity, "direction": proof.direction.name(), "span": proof.span,
            "start": proof.start, "end": proof.end,
        }})
    };
    std::iter::once(whole).chain(alert.proofs.iter().map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soc::fixture::{blocked, event};
    use crate::soc::{AlertRules, draft};
    use crate::types::Family;

    fn alert() -> Alert {
        let mut own = blocked(Family::PromptInjection, Severity::High);
        own.caller.address = Some([10, 0, 0, 9].into());
        own.caller.session = Some("s1".into());
        let titles = |id: &str| Some(format!("title of {id}").into());
        let mut alert = draft(&event(own), &AlertRules::builtin().unwrap(), &titles).unwrap();
        alert.id = "alt_1".into();
        alert
    }

    #[test]
    fn a_detection_finding_has_what_the_schema_requires() {
        let event = finding(&alert());
        for (key, value) in [
            ("class_uid", json!(2004)),
            ("category_uid", json!(2)),
            ("activity_id", json!(1)),
            ("type_uid", json!(200_401)),
            ("severity_id", json!(4)),
            ("time", json!(100_000)),
            ("status_id", json!(1)),
            ("is_alert", json!(true)),
            ("confidence_score", json!(90)),
            ("confidence_id", json!(3)),
            ("risk_score", json!(90)),
            ("risk_level_id", json!(4)),
            ("action_id", json!(2)),
            ("disposition_id", json!(2)),
            ("policy", json!({"name": "production"})),
            ("ai_model", json!({"name": "gpt-x", "ai_provider": "Unknown"})),
        ] {
            assert_eq!(event[key], value, "{key}");
        }
        assert_eq!(event["metadata"]["version"], "1.9.0");
        assert_eq!(event["metadata"]["profiles"], json!(["security_control", "ai_operation"]));
        assert_eq!(event["metadata"]["correlation_uid"], "req_1");
        assert_eq!(event["finding_info"]["uid"], "alt_1");
        assert_eq!(event["finding_info"]["types"], json!(["prompt_injection"]));
        let attack = json!([{
            "technique": {"uid": "AML.T0051"},
            "sub_technique": {"uid": "AML.T0051.000", "name": "title of AML.T0051.000"},
            "version": "ATLAS 5.6.1",
        }]);
        assert_eq!(event["attacks"], attack);
        assert_eq!(event["finding_info"]["attacks"], attack);
        assert_eq!(event["evidences"][0]["src_endpoint"]["ip"], "10.0.0.9");
        assert_eq!(event["evidences"][0]["actor"]["user"], json!({"name": "ann", "org": {"name": "acme"}}));
        assert_eq!(event["evidences"][1]["uid"], "PC-prompt_injection");
        assert_eq!(event["unmapped"]["portcullis"]["threats"][0]["id"], "LLM01:2026");
    }

    #[test]
    fn the_life_of_an_alert_is_its_activity_and_its_status() {
        let told = |alert: &Alert| {
            let event = finding(alert);
            (event["activity_id"].as_i64(), event["status_id"].as_i64(), event["is_alert"].as_bool())
        };
        let mut own = alert();
        own.count = 2;
        assert_eq!(told(&own), (Some(2), Some(1), Some(true)));
        own.state = AlertState::InProgress;
        assert_eq!(told(&own), (Some(2), Some(2), Some(true)));
        own.state = AlertState::Closed;
        assert_eq!(told(&own), (Some(3), Some(4), Some(false)));
        own.closed = Some(Closed { reason: "false_positive".into(), note: String::new(), by: "ann".into(), at: 1 });
        assert_eq!(told(&own), (Some(3), Some(3), Some(false)));
    }

    #[test]
    fn what_was_done_is_said_as_the_profile_says_it() {
        let told = |enforced| done(enforced);
        assert_eq!(told(Some(Decision::Flag)), ((1, "Allowed"), (19, "Alert")));
        assert_eq!(told(Some(Decision::Redact)).1, (11, "Corrected"));
        assert_eq!(told(None).0, (0, "Unknown"));
    }

    #[test]
    fn an_incident_finding_has_what_the_schema_requires() {
        let mut incident = Incident {
            id: "inc_1".into(),
            rule: "SOC-INC-0005".into(),
            about: "user:acme/ann".into(),
            title: "Critical attempt".into(),
            severity: Severity::Critical,
            families: vec![Family::DataExfiltration],
            threats: vec!["T1567".into(), "TA0010".into(), "LLM02:2026".into()],
            caller: Caller { user: Some("ann".into()), ..Caller::default() },
            false_positive: 30,
            risk: 0.9,
            opened: 5_000,
            updated: 5_000,
            alerts: 1,
            state: IncidentState::Open,
            assignee: None,
            closed: None,
            merged_into: None,
        };
        let event = incident_finding(&incident);
        for (key, value) in [
            ("class_uid", json!(2005)),
            ("type_uid", json!(200_501)),
            ("time", json!(5)),
            ("status_id", json!(1)),
            ("severity_id", json!(5)),
            ("priority_id", json!(4)),
            ("verdict_id", json!(4)),
            ("confidence_score", json!(70)),
            ("is_suspected_breach", json!(true)),
            ("assignee_group", json!({"name": "security operations"})),
        ] {
            assert_eq!(event[key], value, "{key}");
        }
        assert_eq!(event["finding_info_list"][0]["uid"], "inc_1");
        assert_eq!(event["attacks"].as_array().map(Vec::len), Some(2));
        assert_eq!(event["attacks"][1], json!({"tactic": {"uid": "TA0010"}}));
        assert_eq!(event["unmapped"]["portcullis"]["threats"], json!(["LLM02:2026"]));
        incident.state = IncidentState::Closed;
        incident.assignee = Some("bob".into());
        incident.closed = Some(Closed { reason: "resolved".into(), note: "done".into(), by: "bob".into(), at: 9_000 });
        let event = incident_finding(&incident);
        assert_eq!(
            (&event["activity_id"], &event["status_id"], &event["verdict_id"]),
            (&json!(3), &json!(5), &json!(2))
        );
        assert_eq!((&event["assignee"]["name"], &event["comment"]), (&json!("bob"), &json!("done")));
        assert!(event.get("assignee_group").is_none());
    }
}
