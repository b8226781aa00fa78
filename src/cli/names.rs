//! What the command line calls directions, roles and dialects.

use clap::ValueEnum;
use serde::Deserialize;

use crate::types::{Dialect, Direction, Role};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DirectionName {
    Input,
    Output,
}

#[derive(Debug, Clone, Copy, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoleName {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Definition,
    Parameter,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum DialectName {
    Chat,
    Responses,
    Completions,
    Embeddings,
    Messages,
    Generic,
}

impl From<DirectionName> for Direction {
    fn from(name: DirectionName) -> Self {
        match name {
            DirectionName::Input => Self::Input,
            DirectionName::Output => Self::Output,
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::System => Self::System,
            RoleName::Developer => Self::Developer,
            RoleName::User => Self::User,
            RoleName::Assistant => Self::Assistant,
            RoleName::Tool => Self::Tool,
            RoleName::Definition => Self::Definition,
            RoleName::Parameter => Self::Parameter,
        }
    }
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::Chat => Self::Chat,
            DialectName::Responses => Self::Responses,
            DialectName::Completions => Self::Completions,
            DialectName::Embeddings => Self::Embeddings,
            DialectName::Messages => Self::Messages,
            DialectName::Generic => Self::Generic,
        }
    }
}

impl DirectionName {
    /// Which way texts of a category travel.
    pub(super) fn usual(category: &str) -> Self {
        if category.starts_with("completion") { Self::Output } else { Self::Input }
    }
}
