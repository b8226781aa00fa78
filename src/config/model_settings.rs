//! `[models.NAME]`: the settings of other people's models, part of `settings`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::{ApiKey, OnFailure};
use super::units::{Size, Time};
use crate::models::{Scores, When};
use crate::types::{Action, Family, Role};

/// A second opinion on prompts: a text classifier in a directory (ONNX), or a service at a `url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// `false` switches it off.
    pub enabled: bool,
    /// A directory with `model.onnx` and `tokenizer.json`. Needs a build with the feature `onnx`.
    pub directory: Option<PathBuf>,
    /// Where a service that speaks the detector contract takes questions.
    pub url: Option<String>,
    /// Roles of the texts it is asked about.
    #[schemars(with = "Vec<String>")]
    pub roles: Vec<Role>,
    /// `undecided`: asked where rules and classifier found something and not enough to block; `always`: wherever they do not
    /// block.
    pub when: When,
    /// Points of rules and classifier from which on a text is undecided; 0: any finding.
    pub undecided_from: u32,
    /// The probability that is worth `inspect.flag_at` points; below it there is no finding.
    pub flag_at: f64,
    /// The probability that is worth `inspect.block_at` points; between the two it is linear.
    pub block_at: f64,
    /// The family of its findings.
    #[schemars(with = "String")]
    pub family: Family,
    /// The threat ids they carry.
    pub threats: Vec<String>,
    /// The most they lead to by themselves: `score`, `flag` or `block`.
    #[schemars(with = "String")]
    pub action: Action,
    /// Without an answer: `closed` refuses the request, `open` serves it and counts.
    pub on_failure: OnFailure,
    /// From the question to the answer, waiting included.
    pub timeout: Time,
    /// Questions that may wait; a further one counts as a failure.
    pub queue: usize,
    /// Outcomes remembered, so that a history is not judged again; 0 switches it off.
    pub remember: usize,
    /// Bytes of the texts of one request that it is asked about at once; more counts as a failure.
    pub max_bytes: Size,
    /// Windows (ONNX) or passages (service) of one long text that are read: around what was found, beginning, end.
    pub max_windows: usize,
    /// ONNX: the labels that mean an attack, by name (`config.json`) or position; their probabilities are added up.
    pub attack: Vec<String>,
    /// ONNX: what the outputs are: `softmax` and `sigmoid` are applied to logits, `probability` needs nothing.
    pub scores: Scores,
    /// ONNX: tokens of a window, special ones included.
    pub max_tokens: usize,
    /// ONNX: tokens that neighbouring windows share.
    pub stride: usize,
    /// ONNX: windows run together.
    pub batch: usize,
    /// ONNX: threads of its own.
    pub threads: usize,
    /// Service: its key, sent as bearer token.
    #[schemars(with = "Option<String>")]
    pub api_key: Option<ApiKey>,
    /// Service: an environment variable that holds it.
    pub api_key_env: Option<String>,
    /// Service: a file that holds it; read again at each reload.
    pub api_key_file: Option<PathBuf>,
    /// Service: PEM file with further CAs, beside the platform's.
    pub ca: Option<PathBuf>,
    /// Service: requests under way at once.
    pub max_concurrent: usize,
    /// Service: bytes of one text; longer ones are sent in passages.
    pub max_passage: Size,
    /// Service: bytes of an answer.
    pub max_answer: Size,
    /// Service: failures in a row after which it is left alone. A text that it refuses (a status such as 413 or 422) is
    /// none of them.
    pub breaker_failures: u32,
    /// Service: for how long; then it is tried with one question.
    pub breaker_pause: Time,
    /// Service: tell it the user (gateway key or trusted header).
    pub send_caller: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: None,
            url: None,
            roles: vec![Role::User, Role::Tool],
            when: When::Undecided,
            undecided_from: 1,
            flag_at: 0.5,
            block_at: 0.9,
            family: Family::PromptInjection,
            threats: ["LLM01:2025", "LLM01:2026", "ASI01", "AML.T0051"].map(str::to_owned).to_vec(),
            action: Action::Block,
            on_failure: OnFailure::Closed,
            timeout: Time::from_secs(2),
            queue: 64,
            remember: 16_384,
            max_bytes: Size::bytes(1 << 20),
            max_windows: 8,
            attack: vec!["1".to_owned()],
            scores: Scores::Softmax,
            max_tokens: 512,
            stride: 64,
            batch: 4,
            threads: 1,
            api_key: None,
            api_key_env: None,
            api_key_file: None,
            ca: None,
            max_concurrent: 16,
            max_passage: Size::bytes(16 << 10),
            max_answer: Size::bytes(64 << 10),
            breaker_failures: 5,
            breaker_pause: Time::from_secs(10),
            send_caller: false,
        }
    }
}
