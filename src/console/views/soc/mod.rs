//! What happens and what is done about it: alerts, incidents, approvals, remedies, playbooks, requests, sessions.

mod alert;
mod alert_work;
mod alerts;
mod approvals;
mod groups;
mod incident;
mod incident_work;
mod incidents;
mod markdown;
mod plan;
mod playbooks;
mod reading;
mod remedies;
mod request;
mod requests;
mod reveal;
mod sessions;
mod steps;
mod talk;
mod texts;
mod words;
mod work;

use std::future::Future;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use crate::console::parts::export::Format;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::console::{Answer, Console, view};

/// The pages.
pub(super) fn pages() -> Vec<(&'static str, MethodRouter<Console>)> {
    vec![
        ("/console/alerts", listed(alerts::list, alerts::file)),
        ("/console/alerts/{id}", view(alert::one)),
        ("/console/incidents", listed(incidents::list, incidents::file)),
        ("/console/incidents/{id}", listed(incident::one, incident::file)),
        ("/console/approvals", view(approvals::inbox)),
        ("/console/plans/{id}", view(plan::one)),
        ("/console/remedies", listed(remedies::list, remedies::file)),
        ("/console/playbooks", view(playbooks::list)),
        ("/console/playbooks/{name}", view(playbooks::one)),
        ("/console/requests", listed(requests::list, requests::file)),
        ("/console/requests/{id}", view(request::one)),
        ("/console/texts", view(reveal::asked).post(reveal::shown)),
        ("/console/sessions", listed(sessions::list, sessions::file)),
        ("/console/sessions/{session}", view(talk::one)),
    ]
}

/// A page that is also there as a file, where its address says so.
fn listed<P, PFut, F, FFut>(page: P, file: F) -> MethodRouter<Console>
where
    P: Fn(Visit) -> PFut + Clone + Send + Sync + 'static,
    PFut: Future<Output = Answer> + Send,
    F: Fn(Visit, Format) -> FFut + Clone + Send + Sync + 'static,
    FFut: Future<Output = Result<Response, Trouble>> + Send,
{
    get(move |State(console): State<Console>, request: Request| async move {
        let visit = match Visit::begin(&console, request).await {
            Ok(visit) => visit,
            Err(answer) => return answer,
        };
        let made = match Format::asked(&visit) {
            Some(format) => file(visit.clone(), format).await,
            None => page(visit.clone()).await.map(|page| visit.render(page)),
        };
        made.unwrap_or_else(|trouble| visit.tell(&trouble))
    })
}
