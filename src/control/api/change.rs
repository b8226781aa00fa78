//! Every change is written to the audit trail first: what cannot be recorded is not done.

use std::future::Future;

use serde_json::Value;
use tracing::{error, warn};

use super::App;
use super::door::{Actor, AuditNote};
use super::error::ApiError;

/// A change about to be made.
#[derive(Debug, Clone)]
pub struct Change {
    note: AuditNote,
}

impl Change {
    /// `action` on `object` by `actor`.
    pub fn new(kind: &'static str, action: &'static str, actor: Actor, object: String) -> Self {
        Self { note: AuditNote { kind, action, actor, object, outcome: "done", before: None, after: None } }
    }

    /// How it was.
    pub fn before(mut self, before: Value) -> Self {
        self.note.before = Some(before);
        self
    }

    /// How it will be.
    pub fn after(mut self, after: Value) -> Self {
        self.note.after = Some(after);
        self
    }

    /// Records that it was tried and not allowed.
    pub async fn refused(self, app: &App) -> Result<(), ApiError> {
        append(app, AuditNote { outcome: "refused", ..self.note }).await
    }

    /// Records it. For what happens within the API itself, right after.
    pub async fn record(self, app: &App) -> Result<(), ApiError> {
        append(app, self.note).await
    }

    /// Records it, then makes it. If making it fails a second entry takes the first one back.
    pub async fn make<T, E: Into<ApiError>>(
        self,
        app: &App,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, ApiError> {
        let failed = AuditNote { outcome: "failed", ..self.note.clone() };
        append(app, self.note).await?;
        match work.await {
            Ok(done) => Ok(done),
            Err(problem) => {
                if append(app, failed).await.is_err() {
                    warn!("the audit trail has a change as done that failed");
                }
                Err(problem.into())
            }
        }
    }
}

async fn append(app: &App, note: AuditNote) -> Result<(), ApiError> {
    let action = note.action;
    app.doors.sink.append(note).await.map_err(|problem| {
        error!(%problem, action, "audit trail does not take an entry");
        ApiError::unavailable("audit_unavailable", "This cannot be recorded in the audit trail, so it is not done.")
    })
}
