//! What is known before anything happens: playbooks, responses, guardrails, the library, and the models that may be asked.

use std::pin::Pin;
use std::sync::Arc;

use super::library::Library;
use super::model::ChatModel;
use super::notify::Channels;
use crate::config::soc_files::SocFilesNow;
use crate::soc::guard::Guardrails;
use crate::types::Decision;

/// Says what plans may do.
pub type Guards = Arc<dyn Fn() -> Guardrails + Send + Sync>;

/// Says what our own rules make of a text.
pub type Inspect = Arc<dyn Fn(Text<'_>) -> Decision + Send + Sync>;

/// A text and whose it is.
#[derive(Debug, Clone, Copy)]
pub enum Text<'a> {
    /// What a model is asked.
    Question(&'a str),
    /// What it answers.
    Answer(&'a str),
}

/// All of it. Shared.
pub struct Knowledge {
    /// What is done about which incident, and how.
    pub files: SocFilesNow,
    /// Playbooks and past incidents, searched.
    pub library: Arc<Library>,
    /// Who can be notified.
    pub channels: Arc<Channels>,
    /// The model that is asked what it makes of an incident.
    pub model: Option<ChatModel>,
    /// The model that looks over plans before people see them.
    pub reviewer: Option<ChatModel>,
    /// What plans may do, as the configuration says now.
    pub guard: Guards,
    /// Our own rules, for what a model is asked and what it answers.
    pub inspect: Inspect,
    /// The model that reads claims with their evidence, where there is one now.
    pub scorer: ScorerNow,
    /// How plans are made.
    pub limits: PlanLimits,
}

/// Says which model reads claims with their evidence.
pub type ScorerNow = Arc<dyn Fn() -> Option<Scorer> + Send + Sync>;

/// What it says of each pair, 0 to 1, in their order, or why it says nothing.
pub type Scores = Pin<Box<dyn Future<Output = Result<Vec<f32>, String>> + Send>>;

/// Reads pairs of claim and evidence.
pub type Score = Box<dyn FnOnce(Vec<(String, String)>) -> Scores + Send>;

/// A model that reads a claim with its evidence. It answers within a time of its own.
pub struct Scorer {
    /// Reads pairs of claim and evidence.
    pub score: Score,
    /// From so much on a claim is supported.
    pub least: f32,
}

/// How plans are made.
#[derive(Debug, Clone, Copy)]
pub struct PlanLimits {
    /// How long a plan can be approved, in microseconds.
    pub lifetime: i64,
    /// The most steps.
    pub most_steps: usize,
    /// The share of a claim's words, 0 to 1, that its evidence must have.
    pub overlap: f32,
    /// Blast figures look back so many hours.
    pub hours: u32,
    /// Sections and past incidents that are retrieved.
    pub retrieved: usize,
}

impl Knowledge {
    /// The names of the channels.
    pub fn channel_names(&self) -> Vec<Arc<str>> {
        self.channels.names().cloned().collect()
    }
}
