//! Events of the Open Cybersecurity Schema Framework (OCSF 1.9) for what has none elsewhere: requests, remedies and tests.

use serde_json::{Value, json};

use crate::types::soc::{Remedy, RemedyState};

/// A request that was not simply let through, as a Detection Finding with what was done about it.
pub(super) fn record(record: &Value, rule: &str) -> Value {
    let at = |pointer: &str| record.pointer(pointer).cloned().unwrap_or_default();
    let decision = record.get("decision").and_then(Value::as_str).unwrap_or("unknown");
    let (action_id, action, disposition_id, disposition) = match decision {
        "block" => (2, "Denied", 2, "Blocked"),
        "redact" => (1, "Allowed", 11, "Corrected"),
        "flag" => (1, "Allowed", 19, "Alert"),
        "allow" => (2, "Denied", 2, "Blocked"),
        _ => (0, "Unknown", 0, "Unknown"),
    };
    let findings: Vec<Value> = ["/input/findings", "/output/findings"]
        .into_iter()
        .filter_map(|at| record.pointer(at)?.as_array())
        .flatten()
        .map(|found| json!({"name": found.get("rule"), "data": found}))
        .collect();
    let (severity_id, severity) = if decision == "block" { (3, "Medium") } else { (2, "Low") };
    let time = millis(&at("/time"));
    let mut event = json!({
        "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
        "activity_id": 1, "activity_name": "Create", "type_uid": 200_401, "type_name": "Detection Finding: Create",
        "severity_id": severity_id, "severity": severity, "time": time, "is_alert": false,
        "status_id": 1, "status": "New",
        "message": format!("request: {decision}"),
        "action_id": action_id, "action": action, "disposition_id": disposition_id, "disposition": disposition,
        "finding_info": {
            "uid": at("/id"), "title": format!("Request: {decision}"), "created_time": time,
            "analytic": {"uid": rule, "name": rule, "type_id": 1, "type": "Rule"},
        },
        "evidences": [{
            "name": "caller",
            "actor": {"user": {"name": at("/caller/user"), "credential_uid": at("/caller/key")},
                      "session": {"uid": at("/caller/session")}, "app_name": at("/caller/agent")},
            "src_endpoint": {"ip": at("/caller/address")},
            "api": {"operation": at("/path")},
            "data": {"request": at("/id")},
        }],
        "metadata": metadata(&["security_control"]),
        "unmapped": {"portcullis": {
            "decision": decision, "outcome": at("/outcome"), "reason": at("/reason"), "status": at("/status"),
            "model": at("/model"), "upstream": at("/upstream"), "dialect": at("/dialect"), "policy": at("/policy"),
            "order": at("/order"), "tenant": at("/caller/tenant"), "team": at("/caller/team"),
            "risk": at("/input/risk"), "findings": findings,
        }},
    });
    if let Some(metadata) = event.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.insert("correlation_uid".to_owned(), at("/id"));
    }
    prune(&mut event);
    event
}

/// A remedy as a Remediation Activity.
pub(super) fn remedy(remedy: &Remedy, time: i64) -> Value {
    let (status_id, status) = match remedy.state {
        RemedyState::Applied | RemedyState::Done => (1, "Success"),
        RemedyState::Failed => (2, "Failure"),
        RemedyState::Pending | RemedyState::Undone | RemedyState::Expired => (99, "Other"),
    };
    let mut event = json!({
        "class_uid": 7001, "class_name": "Remediation Activity", "category_uid": 7, "category_name": "Remediation",
        "activity_id": 99, "activity_name": remedy.action.name(), "type_uid": 700_199,
        "type_name": "Remediation Activity: Other",
        "severity_id": 3, "severity": "Medium", "time": time.div_euclid(1000),
        "status_id": status_id, "status": status, "status_detail": remedy.state.name(),
        "message": remedy.reason, "command_uid": remedy.id, "metadata": metadata(&[]),
        "unmapped": {"portcullis": {
            "remedy": remedy.id, "plan": remedy.plan, "incident": remedy.incident, "action": remedy.action,
            "target": remedy.target, "state": remedy.state, "failures": remedy.failures, "problem": remedy.problem,
            "applied": remedy.applied, "expires": remedy.expires, "order": remedy.order,
        }},
    });
    prune(&mut event);
    event
}

/// That somebody tries a sink.
pub(super) fn test(message: &str, number: &str, time: i64) -> Value {
    json!({
        "class_uid": 6003, "class_name": "API Activity", "category_uid": 6, "category_name": "Application Activity",
        "activity_id": 99, "activity_name": "Test", "type_uid": 600_399, "type_name": "API Activity: Other",
        "severity_id": 1, "severity": "Informational", "time": time.div_euclid(1000), "message": message,
        "actor": {"app_name": "portcullis"}, "api": {"operation": "export.test"},
        "src_endpoint": {"name": "portcullis"},
        "metadata": metadata(&[]),
        "unmapped": {"portcullis": {"test": true, "number": number}},
    })
}

fn metadata(profiles: &[&str]) -> Value {
    json!({
        "version": "1.9.0",
        "profiles": profiles,
        "product": {"name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION")},
        "log_name": "export",
    })
}

fn millis(micros: &Value) -> i64 {
    micros.as_i64().unwrap_or(0).div_euclid(1000)
}

/// Without what is not known.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, field| !field.is_null() && field.as_object().is_none_or(|inner| !inner.is_empty()));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
