//! `policy`: which policies there are, and which one a request gets and why.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::output::Out;
use super::{Error, load};
use crate::config::{Asking, Policy, Source};
use crate::types::Caller;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Every policy, in the order they are tried; the last is for whom no other one matches
    List,
    /// Which policy a request gets, why, and everything it says
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The gateway key, by its name
    #[arg(long = "as", value_name = "KEY")]
    key: Option<String>,
    /// The model asked for
    #[arg(long)]
    model: Option<String>,
    /// The path, without the leading /v1
    #[arg(long, default_value = "/chat/completions")]
    route: String,
    /// The user
    #[arg(long)]
    user: Option<String>,
    /// The team
    #[arg(long)]
    team: Option<String>,
    /// The tenant
    #[arg(long)]
    tenant: Option<String>,
    /// The agent
    #[arg(long)]
    agent: Option<String>,
    /// A group; may be given several times
    #[arg(long = "group")]
    groups: Vec<String>,
}

pub(super) fn run(source: &Source, command: &PolicyCommand, out: &mut Out) -> Result<ExitCode, Error> {
    let loaded = load(source)?;
    match command {
        PolicyCommand::List => {
            for policy in loaded.policies.iter() {
                out.line(title(policy))?;
            }
        }
        PolicyCommand::Explain(args) => {
            let caller = args.caller();
            let asking = Asking { caller: &caller, route: &args.route, model: args.model.as_deref() };
            let explained = loaded.policies.explain(&asking);
            for tried in &explained.tried {
                let why = tried.differs.map_or_else(|| "holds".to_owned(), |what| format!("does not match: {what}"));
                out.line(format_args!("{}: {why}", title(tried.policy)))?;
            }
            if let Some(policy) = explained.holds() {
                let said = toml::to_string(&*policy.written).map_err(|error| Error::Failed(error.to_string()))?;
                out.line(format_args!("\n# What it says; everything else is as in [inspect] and [limits].\n{said}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn title(policy: &Policy) -> String {
    if policy.bases.is_empty() {
        return policy.name.to_string();
    }
    format!("{} (extends {})", policy.name, policy.bases.join(", "))
}

impl ExplainArgs {
    fn caller(&self) -> Caller {
        let name = |name: &Option<String>| name.as_deref().map(Arc::from);
        Caller {
            tenant: name(&self.tenant),
            team: name(&self.team),
            user: name(&self.user).or_else(|| name(&self.key)),
            key: name(&self.key),
            agent: name(&self.agent),
            groups: self.groups.iter().map(|group| Arc::from(group.as_str())).collect(),
            ..Caller::default()
        }
    }
}
