//! The shapes of others. Sources of the fields: the OCSF schema (1.9), the Elastic Common Schema (9), CrowdStrike's alerts
//! API and event stream, Microsoft Graph's alert resource, Sentinel's `SecurityAlert` table and incidents.

use std::sync::Arc;

use serde_json::Value;

use super::Shape;
use super::fields::{
    Found, address, at, list, note, number, severity, severity_of_five, severity_of_hundred, text, time_at,
};
use crate::types::Severity;

/// Told apart by fields that only one of them has.
pub(super) fn shape(body: &Value) -> Option<Shape> {
    let map = body.as_object()?;
    let has = |path: &str| at(body, path).is_some();
    let word = |path: &str| at(body, path).and_then(Value::as_str);
    if has("class_uid") {
        let finding = number(body, &["class_uid"]).is_some_and(|class| (class - 2004.0).abs() < 0.5);
        return finding.then_some(Shape::Ocsf);
    }
    if matches!(word("event.kind"), Some("alert" | "signal")) {
        return Some(Shape::Ecs);
    }
    let streamed = word("metadata.eventType").is_some_and(|kind| kind.ends_with("DetectionSummaryEvent"));
    if streamed || has("composite_id") || has("detection_id") {
        return Some(Shape::CrowdStrike);
    }
    if has("providerAlertId")
        || has("SystemAlertId")
        || (has("AlertName") && has("AlertSeverity"))
        || (has("properties.title") && has("properties.severity"))
        || (has("object.properties.title") && has("object.properties.severity"))
        || (has("serviceSource") && has("title"))
    {
        return Some(Shape::Microsoft);
    }
    (map.contains_key("title") && map.contains_key("severity")).then_some(Shape::Own)
}

/// OCSF Detection Finding.
pub(super) fn ocsf(body: &Value) -> Found {
    let mut threats = Vec::new();
    for attack in list(body, "finding_info.attacks").into_iter().chain(list(body, "attacks")) {
        for part in ["sub_technique", "technique", "tactic"] {
            let name = text(attack, &[&format!("{part}.name")]);
            note(&mut threats, text(attack, &[&format!("{part}.uid")]).as_deref(), name.as_deref());
        }
    }
    let confidence = number(body, &["confidence_score"]).map(|score| (100.0 - score.clamp(0.0, 100.0)) as u8);
    Found {
        title: text(body, &["finding_info.title", "finding_info.analytic.name", "message"]).unwrap_or_default(),
        // 6 is fatal, 99 another: both as bad as it gets, or said in words.
        severity: text(body, &["severity"])
            .and_then(|word| severity(&word))
            .or_else(|| number(body, &["severity_id"]).filter(|id| *id < 7.0).and_then(severity_of_five)),
        id: text(body, &["finding_info.uid", "metadata.uid"]),
        rule: text(body, &["finding_info.analytic.uid", "finding_info.analytic.name"]),
        message: text(body, &["finding_info.desc", "message"]),
        time: time_at(body, &["finding_info.last_seen_time", "time"]),
        tenant: text(body, &["actor.user.org.name", "evidences.actor.user.org.name"]),
        user: text(
            body,
            &["actor.user.name", "evidences.actor.user.name", "evidences.user.name", "user.name", "actor.user.uid"],
        ),
        session: text(body, &["actor.session.uid", "evidences.actor.session.uid"]),
        agent: text(body, &["ai_agent.name", "actor.app_name"]),
        address: address(body, &["src_endpoint.ip", "evidences.src_endpoint.ip", "device.ip"]),
        model: text(body, &["ai_model.name", "ai_agent.ai_model.name"]),
        risk: hundredth(number(body, &["risk_score"])),
        false_positive: confidence,
        threats,
        ..Found::default()
    }
}

/// Elastic Common Schema.
pub(super) fn ecs(body: &Value) -> Found {
    let mut threats = Vec::new();
    for threat in list(body, "threat").into_iter().chain(list(body, "kibana.alert.rule.threat")) {
        techniques(threat, &mut threats);
    }
    for inner in ["technique.subtechnique", "technique", "tactic"] {
        for id in list(body, &format!("threat.{inner}.id")) {
            note(&mut threats, id.as_str(), None);
        }
    }
    let words = ["kibana.alert.severity", "signal.rule.severity", "event.severity_name", "log.level"];
    Found {
        title: text(body, &["kibana.alert.rule.name", "rule.name", "signal.rule.name", "message", "event.action"])
            .unwrap_or_default(),
        severity: text(body, &words)
            .and_then(|word| severity(&word))
            .or_else(|| number(body, &["event.severity", "event.risk_score"]).map(severity_of_hundred)),
        id: text(body, &["kibana.alert.uuid", "event.id", "signal.group.id"]),
        rule: text(body, &["kibana.alert.rule.uuid", "rule.uuid", "rule.id", "signal.rule.id", "rule.name"]),
        message: text(body, &["kibana.alert.reason", "event.reason", "message", "rule.description"]),
        time: time_at(body, &["@timestamp", "event.created"]),
        tenant: text(body, &["organization.name", "organization.id", "user.domain"]),
        user: text(body, &["user.name", "user.email", "user.id", "source.user.name"]),
        session: text(body, &["session.id", "gen_ai.conversation.id"]),
        agent: text(body, &["gen_ai.agent.name"]),
        address: address(body, &["source.ip", "client.ip", "host.ip"]),
        model: text(body, &["gen_ai.request.model"]),
        risk: hundredth(number(body, &["kibana.alert.risk_score", "event.risk_score", "signal.rule.risk_score"])),
        threats,
        ..Found::default()
    }
}

/// What an ECS `threat` names, sub-techniques first. Ids and names stand side by side, alone or in lists.
fn techniques(threat: &Value, threats: &mut Vec<(Arc<str>, String)>) {
    for inner in ["technique", "subtechnique", "tactic"] {
        for one in list(threat, inner) {
            techniques(one, threats);
            let (ids, names) = (list(one, "id"), list(one, "name"));
            for (nth, id) in ids.iter().enumerate() {
                note(threats, id.as_str(), names.get(nth).and_then(|name| name.as_str()));
            }
        }
    }
}

/// CrowdStrike Falcon: an alert of the API (`composite_id`), a detection (`detection_id` with `behaviors`) or an event of
/// the stream (`metadata` and `event`).
pub(super) fn crowdstrike(body: &Value) -> Found {
    let streamed = body.get("metadata").is_some() && body.get("event").is_some();
    let own = body.get("event").filter(|_| streamed).unwrap_or(body);
    let mut threats = Vec::new();
    for one in std::iter::once(own).chain(list(own, "behaviors")).chain(list(own, "mitre_attack")) {
        let name = text(one, &["technique", "Technique"]);
        note(&mut threats, text(one, &["technique_id", "TechniqueId"]).as_deref(), name.as_deref());
        let name = text(one, &["tactic", "Tactic"]);
        note(&mut threats, text(one, &["tactic_id", "TacticId"]).as_deref(), name.as_deref());
    }
    let word = text(own, &["severity_name", "max_severity_displayname", "SeverityName", "behaviors.severity_name"]);
    let figure = number(own, &["severity", "max_severity", "Severity", "behaviors.severity"]);
    // The stream counts to 5, the API to 100.
    let scaled = |figure: f64| if figure <= 5.0 { severity_of_five(figure) } else { Some(severity_of_hundred(figure)) };
    let confidence = number(own, &["confidence", "max_confidence"]).map(|sure| (100.0 - sure.clamp(0.0, 100.0)) as u8);
    Found {
        title: text(
            own,
            &["display_name", "name", "Name", "DetectName", "behaviors.display_name", "scenario", "behaviors.scenario"],
        )
        .unwrap_or_else(|| "CrowdStrike detection".to_owned()),
        severity: word.and_then(|word| severity(&word)).or_else(|| figure.and_then(scaled)),
        id: text(own, &["composite_id", "CompositeId", "detection_id", "DetectId"]),
        rule: text(own, &["pattern_id", "PatternId", "name", "DetectName", "behaviors.behavior_id"]),
        message: text(own, &["description", "Description", "DetectDescription", "behaviors.description"]),
        time: time_at(own, &["timestamp", "created_timestamp", "last_behavior"])
            .or_else(|| time_at(body, &["metadata.eventCreationTime"])),
        user: text(own, &["user_name", "UserName", "user_principal", "source_account_name", "behaviors.user_name"]),
        address: address(
            own,
            &[
                "source_endpoint_address_ip4",
                "source_ip",
                "device.external_ip",
                "external_ip",
                "SourceEndpointIpAddress",
                "LocalIP",
                "LocalIPv4",
                "device.local_ip",
                "local_ip",
            ],
        ),
        false_positive: confidence,
        threats,
        ..Found::default()
    }
}

/// Microsoft: Graph and Defender (camel case), Sentinel's table (capitals) and incidents (`properties`).
pub(super) fn microsoft(body: &Value) -> Found {
    let own = body.get("object").unwrap_or(body);
    let own = own.get("properties").unwrap_or(own);
    let mut threats = Vec::new();
    for path in ["mitreTechniques", "techniques", "Techniques", "additionalData.techniques"] {
        for one in list(own, path) {
            // A list, or the list as text: `["T1078"]`, `T1078 (Valid Accounts)`.
            let said = one.as_str().unwrap_or_default();
            for id in said.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').take(64) {
                note(&mut threats, Some(id), None);
            }
        }
    }
    let (mut user, mut source) = (None, None);
    // Evidence of Graph; entities of Sentinel, which its table has as text.
    let parsed = own.get("Entities").and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let entities = parsed.as_ref().or_else(|| own.get("Entities")).and_then(Value::as_array);
    let related = body.pointer("/object/properties/relatedEntities").and_then(Value::as_array);
    let all = list(own, "evidence").into_iter().chain(entities.into_iter().chain(related).flatten().take(64));
    for one in all {
        let inner = one.get("properties").unwrap_or(one);
        let names = ["userAccount.userPrincipalName", "userAccount.accountName", "accountName", "AadUserId", "Name"];
        let kind = text(one, &["@odata.type", "Type", "kind"]).unwrap_or_default().to_ascii_lowercase();
        if kind.contains("user") || kind.contains("account") || kind.contains("mailbox") {
            user = user.or_else(|| text(inner, &names));
        }
        source = source.or_else(|| address(inner, &["ipAddress", "Address", "address", "lastIpAddress"]));
    }
    let sure = number(own, &["ConfidenceScore"]).map(|score| (100.0 - score.clamp(0.0, 1.0) * 100.0) as u8);
    let word = text(own, &["severity", "AlertSeverity", "Severity"]);
    Found {
        title: text(own, &["title", "AlertName", "DisplayName", "alertDisplayName"]).unwrap_or_default(),
        severity: word.as_deref().and_then(|word| match severity(word) {
            // Microsoft's unknown says nothing.
            Some(Severity::Informational) if word.eq_ignore_ascii_case("unknown") => None,
            known => known,
        }),
        id: text(own, &["id", "providerAlertId", "SystemAlertId", "VendorOriginalId"])
            .or_else(|| text(body, &["id", "name"])),
        rule: text(own, &["alertPolicyId", "detectorId", "AlertType", "AlertName", "title"]),
        message: text(own, &["description", "Description"]),
        time: time_at(
            own,
            &[
                "lastActivityDateTime",
                "lastActivityTimeUtc",
                "EndTime",
                "TimeGenerated",
                "createdDateTime",
                "createdTimeUtc",
            ],
        ),
        user: user.or_else(|| text(own, &["CompromisedEntity"]).filter(|name| name.contains('@'))),
        address: source,
        false_positive: sure,
        threats,
        ..Found::default()
    }
}

/// 0 to 100 as 0 to 1.
fn hundredth(number: Option<f64>) -> Option<f32> {
    number.map(|number| (number.clamp(0.0, 100.0) / 100.0) as f32)
}
