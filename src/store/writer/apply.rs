//! A batch becomes rows: all of it in one transaction, and once however often it is tried.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::item::{EventRow, Item, RequestRow};
use crate::store::insert::Insert;
use crate::store::{Database, Session, StoreError, contents, export, issued, ledger, now};
use crate::values;

/// Items that are written together.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    /// Which writer: one per start of a process.
    pub(super) writer: Arc<str>,
    /// Counts up from 1; a writer's batches are written in order.
    pub(super) number: i64,
    pub(super) items: Vec<Item>,
}

/// The future of a `Sink`.
pub type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Writes items of one kind into tables of its own, within the writer's transaction: what another part of the gateway
/// gives as `Item::Of`. It may be called again with the same items after a failure, when nothing of them was kept.
pub trait Sink: Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static str;

    /// Writes the bodies, oldest first.
    fn write<'a>(&'a self, tx: &'a mut Session, bodies: Vec<&'a str>) -> Writing<'a>;
}

static REQUESTS: Insert = Insert::new(
    "INSERT INTO requests (id, time, tenant, team, user_, key_, session, agent, address, method, path, dialect, model, \
     upstream, outcome, reason, status, decision, risk, input_tokens, cached_tokens, output_tokens, reasoning_tokens, \
     estimated, cost, policy, order_, stream, micros, generation, record)",
    31,
    "ON CONFLICT (id) DO NOTHING",
);

static FINDINGS: Insert = Insert::new(
    "INSERT INTO findings (request, number, time, direction, rule, family, severity, score, action, span, start_, end_, \
     threats)",
    13,
    "ON CONFLICT (request, number) DO NOTHING",
);

static EVENTS: Insert =
    Insert::new("INSERT INTO events (id, time, kind, request, user_, body)", 6, "ON CONFLICT (id) DO NOTHING");

/// Writes a batch; one that was written before is left as it is.
pub(super) async fn apply(database: &Database, sinks: &[Arc<dyn Sink>], batch: &Batch) -> Result<(), StoreError> {
    let mut tx = database.begin().await?;
    if is_new(&mut tx, batch).await? {
        write(&mut tx, sinks, &batch.items.iter().collect::<Vec<_>>()).await?;
        tx.commit().await
    } else {
        tx.roll_back().await;
        Ok(())
    }
}

/// Writes a batch item by item, and gives back what the database refuses for good.
pub(super) async fn salvage<'a>(
    database: &Database,
    sinks: &[Arc<dyn Sink>],
    batch: &'a Batch,
) -> Result<Vec<(&'a Item, StoreError)>, StoreError> {
    let mut tx = database.begin().await?;
    let mut refused = Vec::new();
    if is_new(&mut tx, batch).await? {
        for item in &batch.items {
            tx.mark().await?;
            match write(&mut tx, sinks, &[item]).await {
                Ok(()) => tx.keep_since_mark().await?,
                Err(error) if error.is_permanent() => {
                    tx.roll_back_to_mark().await?;
                    refused.push((item, error));
                }
                Err(error) => return Err(error),
            }
        }
    }
    tx.commit().await?;
    Ok(refused)
}

/// Remembers the batch's number in its own transaction: a batch whose commit was never heard of may be tried again.
async fn is_new(tx: &mut Session, batch: &Batch) -> Result<bool, StoreError> {
    let sql = "INSERT INTO writers (id, last_batch, time) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE \
               SET last_batch = EXCLUDED.last_batch, time = EXCLUDED.time WHERE writers.last_batch < EXCLUDED.last_batch";
    Ok(tx.execute(sql, values![&batch.writer, batch.number, now()]).await? > 0)
}

async fn write(tx: &mut Session, sinks: &[Arc<dyn Sink>], items: &[&Item]) -> Result<(), StoreError> {
    let (mut requests, mut content, mut objects, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut others: Vec<(&str, Vec<&str>)> = Vec::new();
    for item in items {
        match item {
            Item::Request(row) => requests.push(&**row),
            Item::Content(one) => content.push(&**one),
            Item::Issued(one) => objects.push(one),
            Item::Event(row) => events.push(row),
            Item::Of { kind, body } => match others.iter_mut().find(|(known, _)| known == kind) {
                Some((_, bodies)) => bodies.push(body),
                None => others.push((kind, vec![body])),
            },
        }
    }
    REQUESTS.run(tx, requests.iter().map(|row| request_values(row)).collect()).await?;
    let findings = requests.iter().flat_map(|row| finding_values(row)).collect();
    FINDINGS.run(tx, findings).await?;
    contents::insert(tx, &content).await?;
    issued::insert(tx, &objects).await?;
    EVENTS.run(tx, events.into_iter().map(event_values).collect()).await?;
    for (kind, bodies) in others {
        let sink = sinks.iter().find(|sink| sink.kind() == kind);
        let sink = sink.ok_or_else(|| StoreError::Refused(format!("nobody writes items of kind `{kind}`")))?;
        sink.write(tx, bodies).await?;
    }
    // Last, because their rows are the ones that replicas share and wait for.
    ledger::add(tx, &requests).await?;
    export::note(tx, &requests).await
}

fn request_values(row: &RequestRow) -> Vec<crate::store::Value> {
    let tokens = row.tokens;
    values![
        row.id.clone(),
        row.time,
        &row.tenant,
        &row.team,
        &row.user,
        &row.key,
        &row.session,
        &row.agent,
        row.address.clone(),
        &row.method,
        &row.path,
        &row.dialect,
        row.model.clone(),
        &row.upstream,
        &row.outcome,
        &row.reason,
        row.status,
        &row.decision,
        row.risk,
        tokens.map(|tokens| tokens.input),
        tokens.map(|tokens| tokens.cached),
        tokens.map(|tokens| tokens.output),
        tokens.map(|tokens| tokens.reasoning),
        row.estimated,
        row.cost,
        &row.policy,
        &row.order,
        row.stream,
        row.micros,
        row.generation,
        &row.record,
    ]
}

fn finding_values(row: &RequestRow) -> impl Iterator<Item = Vec<crate::store::Value>> {
    row.findings.iter().enumerate().map(|(number, finding)| {
        values![
            row.id.clone(),
            number,
            row.time,
            &finding.direction,
            &finding.rule,
            &finding.family,
            &finding.severity,
            finding.score,
            &finding.action,
            finding.span,
            finding.start,
            finding.end,
            finding.threats.clone(),
        ]
    })
}

fn event_values(row: &EventRow) -> Vec<crate::store::Value> {
    values![row.id.clone(), row.time, &row.kind, row.request.clone(), row.user.clone(), row.body.clone()]
}
