//! Records as events of the Open Cybersecurity Schema Framework (OCSF 1.9), with the profile `record_integrity`.
//!
//! The attestation of an exported event is over that event, as the profile demands: a fingerprint over its canonical
//! JSON without fingerprint and signatures, and the fingerprint of the event before it. Our own record and its hash stand
//! in `unmapped.portcullis`, so that the export can be held against the trail.

use serde_json::{Map, Value, json};

use super::canonical;
use super::chain::{Body, details, sha256};
use crate::store::audit::AuditRow;
use crate::types::hex;

/// OCSF's number for SHA-256.
const SHA_256: u32 = 3;

/// Makes events of records, one after the other.
#[derive(Debug, Default)]
pub struct Exporter {
    store: String,
    /// Id and fingerprint of the event before.
    before: Option<(String, String)>,
}

/// What an event is, in OCSF's numbers.
struct Class {
    uid: u32,
    name: &'static str,
    category: u32,
    category_name: &'static str,
    activity: u32,
    activity_name: &'static str,
}

/// Class and activity of a kind of record.
fn class(kind: &str) -> Class {
    const IAM: (u32, &str) = (3, "Identity & Access Management");
    const APPLICATION: (u32, &str) = (6, "Application Activity");
    let of = |uid, name, (category, category_name): (u32, &'static str), activity, activity_name| Class {
        uid,
        name,
        category,
        category_name,
        activity,
        activity_name,
    };
    match kind {
        "block" => of(2004, "Detection Finding", (2, "Findings"), 1, "Create"),
        "action" | "order" => of(7001, "Remediation Activity", (7, "Remediation"), 99, "Other"),
        "login" => of(3002, "Authentication", IAM, 1, "Logon"),
        "account" => of(3001, "Account Change", IAM, 99, "Other"),
        "start" => of(6002, "Application Lifecycle", APPLICATION, 3, "Start"),
        "stop" => of(6002, "Application Lifecycle", APPLICATION, 4, "Stop"),
        "config_change" | "key_operation" | "signing_key" => of(6003, "API Activity", APPLICATION, 3, "Update"),
        "content_reveal" | "export" => of(6003, "API Activity", APPLICATION, 2, "Read"),
        "erasure" | "retention" => of(6003, "API Activity", APPLICATION, 4, "Delete"),
        _ => of(6003, "API Activity", APPLICATION, 99, "Other"),
    }
}

impl Exporter {
    /// For the records of a store.
    pub fn new(store: &str) -> Self {
        Self { store: store.to_owned(), before: None }
    }

    /// One event as a line of canonical JSON, without a line break. A record that cannot be read becomes an event that
    /// says so.
    pub fn event(&mut self, row: &AuditRow) -> String {
        let mut event = event(row);
        let mut attestation = Map::new();
        attestation.insert("chain_uid".to_owned(), self.store.clone().into());
        attestation.insert("authority_uid".to_owned(), format!("portcullis:{}", self.store).into());
        if let Some((uid, value)) = &self.before {
            attestation.insert("prev_event".to_owned(), json!({"uid": uid, "fingerprint": fingerprint(value)}));
        }
        event.insert("attestation_list".to_owned(), json!([attestation]));
        let mut text = String::new();
        canonical::object(&mut text, &event);
        let value = hex(&sha256(text.as_bytes()));
        attestation.insert("fingerprint".to_owned(), fingerprint(&value));
        event.insert("attestation_list".to_owned(), json!([attestation]));
        self.before = Some((row.id.clone(), value));
        text.clear();
        canonical::object(&mut text, &event);
        text
    }
}

fn fingerprint(value: &str) -> Value {
    json!({"algorithm": "SHA-256", "algorithm_id": SHA_256, "value": value})
}

fn event(row: &AuditRow) -> Map<String, Value> {
    let Class { uid, name, category, category_name, activity, activity_name } = class(&row.kind);
    let body = Body::read(&row.body);
    let outcome = body.as_ref().map_or("unknown", |body| &*body.outcome);
    let (status_id, status) = match outcome {
        "success" => (1, "Success"),
        "failure" | "denied" => (2, "Failure"),
        _ => (0, "Unknown"),
    };
    let (severity_id, severity) = match row.kind.as_str() {
        "block" => (3, "Medium"),
        "integrity" => (5, "Critical"),
        _ => (1, "Informational"),
    };
    let personal: Map<String, Value> =
        row.personal.as_ref().and_then(|part| serde_json::from_str(&part.body).ok()).unwrap_or_default();
    let user = match personal.get("user") {
        Some(name) => json!({"uid": row.actor, "name": name}),
        None => json!({"uid": row.actor}),
    };
    let object = body.as_ref().map(|body| body.object.to_string()).unwrap_or_default();
    let mut event = Map::new();
    let fields = [
        ("class_uid", json!(uid)),
        ("class_name", json!(name)),
        ("category_uid", json!(category)),
        ("category_name", json!(category_name)),
        ("activity_id", json!(activity)),
        ("activity_name", json!(activity_name)),
        ("type_uid", json!(uid * 100 + activity)),
        ("time", json!(row.time.div_euclid(1000))),
        ("severity_id", json!(severity_id)),
        ("severity", json!(severity)),
        ("status_id", json!(status_id)),
        ("status", json!(status)),
        ("status_detail", json!(outcome)),
        ("message", json!(format!("{} {object}: {outcome}", row.kind))),
        ("actor", json!({"user": user})),
        ("metadata", metadata(row)),
        (
            "unmapped",
            json!({"portcullis": {
                "seq": row.seq, "kind": row.kind, "object": object, "hash": hex(&row.hash),
                "details": details(&row.body), "record": row.body,
            }}),
        ),
    ];
    for (name, value) in fields {
        event.insert(name.to_owned(), value);
    }
    if let Some(request) = &row.request
        && let Some(Value::Object(metadata)) = event.get_mut("metadata")
    {
        metadata.insert("correlation_uid".to_owned(), request.clone().into());
    }
    if let Some(address) = personal.get("address") {
        event.insert("src_endpoint".to_owned(), json!({"ip": address}));
    }
    match uid {
        2004 => event.insert("finding_info".to_owned(), json!({"uid": row.id, "title": format!("blocked: {object}")})),
        3001 | 3002 => event.insert("user".to_owned(), user),
        6003 => event.insert("api".to_owned(), json!({"operation": row.kind})),
        7001 => event.insert("command_uid".to_owned(), json!(row.id)),
        _ => event.insert("app".to_owned(), json!({"name": "portcullis"})),
    };
    event
}

fn metadata(row: &AuditRow) -> Value {
    json!({
        "version": "1.9.0",
        "uid": row.id,
        "sequence": row.seq,
        "profiles": ["record_integrity"],
        "product": {"name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION")},
        "log_name": "audit",
    })
}
