//! Reports over the admin API: who may make which, what is on record, and what comes back.

use portcullis::control::report::{DeskOptions, ReportDesk};
use portcullis::store::Backend;
use serde_json::json;

use crate::admin::{HUB, Home as Api, settings};
use crate::filled::{DAY, DAYS, fill, handle};
use crate::home::Home;
use crate::rows::MONDAY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_made_by_those_who_may_read_what_they_are_made_of() {
    let home = Home::new(Backend::Sqlite);
    let database = fill(&home).await;
    let accounts = database.write().await.unwrap().execute("DELETE FROM accounts", Vec::new()).await.unwrap();
    assert_eq!(accounts, 2);
    let options = DeskOptions::of(&portcullis::config::settings::Reports::default());
    let desk = ReportDesk::new(database.clone(), handle(), options).unwrap();
    let api = Api::built(settings(), home.url.expose(), (None, None), HUB, |doors| doors.reports = Some(desk)).await;
    let root = api.admin().await;
    for name in ["auditor", "analyst", "viewer"] {
        api.account(&root, name, &[name]).await;
    }
    let (auditor, analyst, viewer) =
        (api.signed_in("auditor").await, api.signed_in("analyst").await, api.signed_in("viewer").await);
    let wish = |kind: &str, framework: Option<&str>| json!({ "kind": kind, "framework": framework, "since": MONDAY, "until": MONDAY + DAYS * DAY });
    let post = async |who, body| api.ask(who, "POST", "/api/v1/reports", Some(body)).await;

    let made = post(&auditor, wish("compliance", Some("iso27001"))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["title"], "Compliance evidence: ISO/IEC 27001 Annex A");
    let note = api.notes("report.make").remove(0);
    assert_eq!((note.kind, note.object.as_str()), ("export", "report/compliance"), "{note:?}");

    assert_eq!(post(&analyst, wish("security", None)).await.status, 201);
    for (who, kind) in [(&analyst, "spend"), (&viewer, "security")] {
        let refused = post(who, wish(kind, None)).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "missing_role"), "{kind}");
    }
    let list = async |who| api.ask(who, "GET", "/api/v1/reports", None).await.json()["items"].as_array().unwrap().len();
    assert_eq!((list(&auditor).await, list(&analyst).await), (2, 1), "an analyst sees no compliance report");
    let path = format!("/api/v1/reports/{id}");
    assert_eq!(api.ask(&analyst, "GET", &path, None).await.status, 403);
    for (format, kind, start) in [
        ("json", "application/json", "{"),
        ("csv", "text/csv; charset=utf-8", "report,"),
        ("md", "text/markdown; charset=utf-8", "# Compliance"),
        ("html", "text/html; charset=utf-8", "<!doctype html>"),
        ("pdf", "application/pdf", "%PDF-"),
    ] {
        let answer = api.ask(&auditor, "GET", &format!("{path}?format={format}"), None).await;
        assert_eq!((answer.status, &answer.headers["content-type"]), (200, &kind.parse().unwrap()), "{format}");
        let file = answer.headers["content-disposition"].to_str().unwrap();
        assert!(file.starts_with("attachment; ") && file.ends_with(&format!(".{format}\"")), "{file}");
        assert!(answer.body.starts_with(start.as_bytes()), "{format}");
    }
    let table = api.ask(&auditor, "GET", &format!("{path}?format=csv&table=controls"), None).await;
    assert!(table.body.starts_with(b"Control,Title,Asks,Status"), "{table:?}");
    assert_eq!(api.ask(&auditor, "GET", &format!("{path}?format=csv&table=none"), None).await.status, 409);
    let known = api.ask(&auditor, "GET", "/api/v1/reports/frameworks", None).await.json();
    assert_eq!(known["items"].as_array().unwrap().len(), 6, "{known}");
    for (body, code) in [
        (wish("compliance", Some("nist")), "unknown_framework"),
        (wish("compliance", None), "framework"),
        (json!({ "kind": "security", "since": MONDAY, "until": MONDAY }), "period"),
    ] {
        let refused = post(&auditor, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, code));
    }
    assert_eq!(api.ask(&auditor, "DELETE", &path, None).await.status, 403, "an auditor changes nothing");
    assert_eq!(api.ask(&root, "DELETE", &path, None).await.status, 204);
    assert_eq!(api.notes("report.remove").len(), 1);
    assert_eq!(api.ask(&auditor, "GET", &path, None).await.status, 404);
}
