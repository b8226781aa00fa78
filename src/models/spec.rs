//! What a model is made from, as the configuration checked it. Equal specifications mean the same model: a reload keeps it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{Action, Family, Role, Secret};

/// When a model is asked about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Where rules and classifier found something, and not enough to block.
    Undecided,
    /// Wherever they do not block.
    Always,
}

/// What the outputs of a classifier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scores {
    /// Logits of labels that exclude each other.
    Softmax,
    /// Logits of labels that do not.
    Sigmoid,
    /// Probabilities already.
    Probability,
}

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name in the configuration: letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// What is asked and what follows from it.
    pub policy: Policy,
    /// What answers.
    pub engine: EngineSpec,
}

/// What a model is asked about, and what its answers are worth. Changing it loads nothing again.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Texts of these roles.
    pub roles: Vec<Role>,
    /// When it is asked.
    pub when: When,
    /// Points of rules and classifier from which on a text is undecided.
    pub undecided_from: u32,
    /// The probability (0 to 1) that is worth the flagging threshold.
    pub flag_at: f32,
    /// The probability that is worth the blocking threshold.
    pub block_at: f32,
    /// The family its findings are of.
    pub family: Family,
    /// The threat ids they carry.
    pub threats: Arc<[Arc<str>]>,
    /// The most they may lead to by themselves: `score`, `flag` or `block`.
    pub most: Action,
    /// Without an answer the text counts as clean; otherwise the request is refused.
    pub fails_open: bool,
}

/// What answers, and how long that may take.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSpec {
    /// From the question to the answer, waiting included.
    pub timeout: Duration,
    /// Questions that may wait.
    pub queue: usize,
    /// Outcomes remembered.
    pub remember: usize,
    /// Bytes of one question's texts, all together.
    pub max_bytes: usize,
    /// Pieces of one text that are read.
    pub max_windows: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a model is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A text classifier in a directory, run in this process.
    Onnx(OnnxSpec),
    /// A service that speaks the contract of [`super::contract`].
    Http(HttpSpec),
}

/// A directory with `model.onnx`, `tokenizer.json` and, for the names of labels, `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxSpec {
    /// Where it is.
    pub directory: PathBuf,
    /// The files in it as they were when it was looked at: other files are another model.
    pub files: Vec<(PathBuf, Option<Stamp>)>,
    /// The labels that mean an attack: names, or positions from 0. Their probabilities are added up.
    pub attack: Vec<String>,
    /// What the outputs are.
    pub scores: Scores,
    /// Tokens of one window, special ones included.
    pub max_tokens: usize,
    /// Tokens that neighbouring windows share.
    pub stride: usize,
    /// Windows that are run together.
    pub batch: usize,
    /// Threads of its own.
    pub threads: usize,
}

/// What tells one version of a large file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its size.
    pub bytes: u64,
    /// When it was written, where the file system knows.
    pub modified: Option<SystemTime>,
    /// Which file it is: replacing one changes this.
    pub inode: u64,
}

/// A detector behind HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSpec {
    /// Where requests are posted.
    pub url: Uri,
    /// What it wants as bearer token.
    pub api_key: Option<Secret>,
    /// PEM text of further CAs.
    pub ca_pem: Option<Arc<str>>,
    /// Requests under way at once.
    pub max_concurrent: usize,
    /// Bytes of one passage; longer texts are cut.
    pub max_passage: usize,
    /// Bytes of an answer.
    pub max_answer: usize,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long it stays open.
    pub breaker_pause: Duration,
    /// Tell it who asks.
    pub send_caller: bool,
}
