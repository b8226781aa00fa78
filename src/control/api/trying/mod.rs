//! Trying the gateway from within: what the console's playground and attack lab ask, and the doors that the application fills.

pub mod chat;
pub mod lab;
pub mod verdict;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::App;
use super::door::Reply;
use super::error::ApiError;

/// The doors; both send what any other client would send, to the gateway's own data listener.
#[derive(Clone)]
pub struct Trying {
    /// The playground.
    pub chat: Arc<dyn Chat>,
    /// The attack lab.
    pub lab: Arc<dyn Lab>,
}

/// What somebody says to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatOrder {
    /// The name of the account: requests are this user's.
    pub account: String,
    /// The model.
    pub model: String,
    /// Role (`system`, `user`, `assistant`) and text of each message.
    pub messages: Vec<(String, String)>,
    /// The policy it is treated by, in place of the one that matches.
    pub policy: Option<String>,
    /// Whether what would be enforced is only reported.
    pub monitor: bool,
}

/// A piece of what comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatPiece {
    /// The head of the answer.
    Begun {
        /// The id of the request, as its record has it.
        request: String,
        /// Whether the built-in model answers.
        rehearsal: bool,
    },
    /// Words of the model.
    Text(String),
    /// The gateway, or the provider, refused or cut it.
    Refused {
        /// The HTTP status; 200 where a stream was cut.
        status: u16,
        /// The error's code.
        code: String,
        /// What a client is told.
        message: String,
    },
    /// Why the model ended, where it said so.
    Finished(String),
    /// The connection did not hold.
    Broken(String),
}

/// A model that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatModel {
    /// Its name.
    pub name: String,
    /// Whose API it is asked by: `openai` or `anthropic`.
    pub api: String,
    /// Whether no provider's key is configured for it: the built-in model answers in its place.
    pub rehearsal: bool,
}

/// The playground.
pub trait Chat: Send + Sync {
    /// Says something; dropping the receiver cancels the request, and what is under way upstream.
    fn ask(&self, order: ChatOrder) -> Reply<'_, mpsc::Receiver<ChatPiece>>;
    /// The models that the configuration names.
    fn models(&self) -> Vec<ChatModel>;
}

/// What is to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabOrder {
    /// The run's id.
    pub id: String,
    /// The name of the account that asks for it.
    pub by: String,
    /// Families of cases; none, and no cases: all.
    pub families: Vec<String>,
    /// Cases by their ids.
    pub cases: Vec<String>,
    /// What texts are drawn from.
    pub seed: u64,
    /// The model that requests name.
    pub model: String,
}

/// A case of the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabCase {
    /// Its id.
    pub id: String,
    /// What it is.
    pub title: String,
    /// What it is counted with.
    pub family: String,
    /// How bad it is if it gets through.
    pub severity: String,
    /// What has to come of it: `refused`, `answered`, `withheld`.
    pub expect: String,
    /// In how many ways it is sent: as it is, and disguised.
    pub ways: u32,
}

/// The attack lab.
pub trait Lab: Send + Sync {
    /// Every case.
    fn cases(&self) -> Vec<LabCase>;
    /// Begins a run; it goes on by itself.
    fn begin(&self, order: LabOrder) -> Reply<'_, ()>;
    /// Ends a run; `false` where it does not go on here.
    fn cancel(&self, run: &str) -> bool;
}

impl App {
    fn trying(&self) -> Result<&Trying, ApiError> {
        let none =
            || ApiError::conflict("no_own_listener", "This gateway has no data listener that it can reach itself.");
        self.doors.trying.as_ref().ok_or_else(none)
    }
}
