//! A second opinion: other people's models on the spans that rules and classifier leave undecided, or on all of them.

use std::sync::Arc;
use std::time::Instant;

use super::record::Flight;
use crate::config::Snapshot;
use crate::detect::Thresholds;
use crate::models::{Models, Scale, Who, in_question};
use crate::telemetry::{ModelCall, Part};
use crate::types::{Caller, Finding};
use crate::wire::Prompt;

/// A model that must answer did not: the request cannot be judged.
#[derive(Debug)]
pub(super) struct Unanswered;

/// Adds what the models find to `findings`, those of a prompt that is not blocked yet. All models are asked at once.
///
/// # Errors
/// A model gave no answer, and without one nothing may pass.
pub(super) async fn opinions(
    snapshot: &Snapshot,
    caller: &Caller,
    flight: &Flight,
    prompt: &Prompt<'_>,
    thresholds: &Thresholds,
    findings: &mut Vec<Finding>,
) -> Result<(), Unanswered> {
    let id = flight.id();
    let tenant = caller.user_of_tenant();
    let who = Who { request: &id.0, tenant: tenant.as_deref() };
    let scale = Scale { flag_at: thresholds.flag_at, block_at: thresholds.block_at };
    let started = Instant::now();
    let models: &Models = &snapshot.models;
    let mut asked = Vec::new();
    for model in models.iter() {
        let spans = prompt.spans.iter().map(|span| (span.role, &*span.text));
        let (spans, texts): (Vec<_>, Vec<_>) = in_question(model.policy(), spans, findings).into_iter().unzip();
        if !texts.is_empty() {
            asked.push((Arc::clone(model), spans, model.ask(who, &texts)));
        }
    }
    let mut unanswered = false;
    for (model, spans, question) in asked {
        let is_call = question.is_call();
        let answer = model.answer(question).await;
        if is_call {
            let call = answer.as_ref().err().map_or(ModelCall::Ok, |failure| failure.call);
            flight.metrics().model(model.name(), call, started.elapsed().as_secs_f64());
        }
        match answer {
            Ok(opinions) => {
                let found =
                    spans.iter().zip(&opinions).filter_map(|(span, opinion)| model.finding(*span, opinion, scale));
                findings.extend(found);
            }
            Err(_) if model.policy().fails_open => flight.metrics().failed_open(Part::Models),
            Err(_) => unanswered = true,
        }
    }
    if unanswered { Err(Unanswered) } else { Ok(()) }
}
