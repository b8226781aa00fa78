//! `learn`: report what was missed, look at what came of it, and decide about it, on a running gateway.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::admin::{Admin, AdminArgs};
use super::output::Out;
use super::{Error, wait};
use crate::config::Source;
use crate::types;

#[derive(Debug, Args)]
pub(super) struct LearnArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(subcommand)]
    command: LearnCommand,
}

#[derive(Debug, Subcommand)]
enum LearnCommand {
    /// Say that a text was an attack and nobody stopped it, or that it was harmless and was stopped
    Report(ReportArgs),
    /// List what was reported
    Reports(ListArgs),
    /// List proposals
    List(ListArgs),
    /// Show a proposal: its rules, how it did at the gates, what it hit since
    Show {
        /// The proposal's id
        id: String,
    },
    /// Show the variations a proposal was made from and tried on
    Variations {
        /// The proposal's id
        id: String,
    },
    /// Let a proposal out of the shadow; a person does who did not report it
    Approve(DecideArgs),
    /// Let a canary decide for all callers
    Promote(DecideArgs),
    /// Say that a proposal in the shadow is never to decide
    Reject(DecideArgs),
    /// Take rules out of force that decide
    Rollback(DecideArgs),
    /// Say that a refused proposal's text is an attack although it reads harmless; a person does who did not report it
    Insist(DecideArgs),
    /// Confirm a false alarm that somebody else reported
    Confirm(DecideArgs),
    /// Dismiss a report of a false alarm
    Dismiss(DecideArgs),
    /// Write learned rules as one rule file
    Export {
        /// Those in this state: shadow, canary or live
        #[arg(long, default_value = "live")]
        state: String,
    },
    /// Take over learned rules of another gateway; they pass the same gates
    Import {
        /// The rule file; `-` is standard input
        file: PathBuf,
    },
    /// Add a harmless text that nothing learned may hit
    Harmless {
        /// The text's file; `-` is standard input
        file: PathBuf,
    },
    /// How many proposals stand where
    Status,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    Missed,
    FalseAlarm,
}

#[derive(Debug, Args)]
struct ReportArgs {
    /// What is wrong
    #[arg(long, value_enum, default_value = "missed")]
    kind: KindArg,
    /// What kind of attack it is: a family of rules, such as jailbreak
    #[arg(long)]
    family: Option<String>,
    /// Whose text it was in the prompt: user, tool, assistant, parameter
    #[arg(long)]
    role: Option<String>,
    /// The id of the request it was in
    #[arg(long)]
    request: Option<String>,
    /// What there is to say about it
    #[arg(long)]
    note: Option<String>,
    /// The text's file; `-` is standard input
    file: PathBuf,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those in this state
    #[arg(long)]
    state: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

#[derive(Debug, Args)]
struct DecideArgs {
    /// The id of the proposal or report
    id: String,
    /// The hash of the rules as `show` gives it; needed to let them decide
    #[arg(long)]
    hash: Option<String>,
    /// Why
    #[arg(long)]
    reason: String,
}

pub(super) fn run(source: &Source, args: &LearnArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let answer = wait(async {
        let admin = Admin::open(source, &args.admin).await?;
        let done = ask(&admin, &args.command).await;
        admin.close().await;
        done
    })?;
    show(&args.command, &answer, out)?;
    Ok(ExitCode::SUCCESS)
}

fn text(file: &PathBuf) -> Result<String, Error> {
    let failed = |source| Error::Io { what: file.display().to_string(), source };
    if file.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin()).map_err(failed);
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// An id or word as a part of a path: whatever else it holds is no id.
fn part(word: &str) -> Result<&str, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !word.is_empty() && word.bytes().all(fits) { Ok(word) } else { Err(Error::Failed(format!("{word} is no id"))) }
}

async fn ask(admin: &Admin, command: &LearnCommand) -> Result<Value, Error> {
    let get = |path: String| async move { admin.call(Method::GET, &path, None).await };
    let list = |noun: &str, args: &ListArgs| -> Result<String, Error> {
        let state = args.state.as_deref().map(part).transpose()?;
        let state = state.map(|state| format!("&state={state}")).unwrap_or_default();
        Ok(format!("/api/v1/learn/{noun}?limit={}{state}", args.limit))
    };
    let decide = |noun: &str, verb: &str, args: &DecideArgs| -> Result<(String, Value), Error> {
        let path = format!("/api/v1/learn/{noun}/{}/{verb}", part(&args.id)?);
        let mut body = json!({ "reason": args.reason });
        if let (Some(hash), Some(fields)) = (&args.hash, body.as_object_mut()) {
            fields.insert("hash".to_owned(), json!(hash));
        }
        Ok((path, body))
    };
    let (path, body) = match command {
        LearnCommand::Report(args) => {
            let kind = match args.kind {
                KindArg::Missed => "missed",
                KindArg::FalseAlarm => "false_alarm",
            };
            let mut body = json!({ "kind": kind, "text": text(&args.file)? });
            let more =
                [("family", &args.family), ("role", &args.role), ("request", &args.request), ("note", &args.note)];
            for (name, value) in more {
                if let (Some(value), Some(fields)) = (value, body.as_object_mut()) {
                    fields.insert(name.to_owned(), json!(value));
                }
            }
            ("/api/v1/learn/reports".to_owned(), body)
        }
        LearnCommand::Import { file } => ("/api/v1/learn/import".to_owned(), json!({ "rules": text(file)? })),
        LearnCommand::Harmless { file } => ("/api/v1/learn/harmless".to_owned(), json!({ "text": text(file)? })),
        LearnCommand::Approve(args) => decide("proposals", "approve", args)?,
        LearnCommand::Promote(args) => decide("proposals", "promote", args)?,
        LearnCommand::Reject(args) => decide("proposals", "reject", args)?,
        LearnCommand::Rollback(args) => decide("proposals", "rollback", args)?,
        LearnCommand::Insist(args) => decide("proposals", "insist", args)?,
        LearnCommand::Confirm(args) => decide("reports", "confirm", args)?,
        LearnCommand::Dismiss(args) => decide("reports", "dismiss", args)?,
        LearnCommand::Reports(args) => return get(list("reports", args)?).await,
        LearnCommand::List(args) => return get(list("proposals", args)?).await,
        LearnCommand::Show { id } => {
            let path = format!("/api/v1/learn/proposals/{}", part(id)?);
            let rules = get(format!("{path}/rules")).await?;
            let mut shown = get(path).await?;
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("file".to_owned(), rules);
            }
            return Ok(shown);
        }
        LearnCommand::Variations { id } => {
            return get(format!("/api/v1/learn/proposals/{}/variations", part(id)?)).await;
        }
        LearnCommand::Export { state } => return get(format!("/api/v1/learn/export?state={}", part(state)?)).await,
        LearnCommand::Status => return get("/api/v1/learn".to_owned()).await,
    };
    admin.call(Method::POST, &path, Some(&body)).await
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// Texts of attackers are shown on a terminal.
fn visible(text: &str) -> String {
    types::visible(text, usize::MAX)
}

fn show(command: &LearnCommand, answer: &Value, out: &mut Out) -> Result<(), Error> {
    let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match command {
        LearnCommand::Reports(_) => {
            for one in items {
                let (id, kind, state) = (word(one, "id"), word(one, "kind"), word(one, "state"));
                out.line(format_args!("{id}  {kind:11}  {state:9}  {}", word(one, "proposal")))?;
            }
        }
        LearnCommand::List(_) => {
            for one in items {
                let (id, state) = (word(one, "id"), word(one, "state"));
                out.line(format_args!("{id}  {:16}  {state:11}  {}", word(one, "stem"), visible(word(one, "title"))))?;
            }
        }
        LearnCommand::Variations { .. } => {
            for one in items {
                let held = one.get("held_back").and_then(Value::as_bool).unwrap_or(false);
                let held = if held { "tried on  " } else { "built from" };
                out.line(format_args!("{:14}  {held}  {}", word(one, "kind"), visible(word(one, "text"))))?;
            }
        }
        LearnCommand::Show { .. } => {
            let proposal = answer.get("proposal").unwrap_or(&Value::Null);
            for name in ["id", "title", "state", "hash"] {
                out.line(format_args!("{name}: {}", visible(word(proposal, name))))?;
            }
            for reason in proposal.get("reasons").and_then(Value::as_array).into_iter().flatten() {
                out.line(format_args!("not passed: {}", visible(reason.as_str().unwrap_or_default())))?;
            }
            if let Some(figures) = proposal.pointer("/figures/0/figures") {
                for name in ["built", "held_back_before", "held_back_after", "benign", "traffic"] {
                    let count = |part: &str| figures.pointer(&format!("/{name}/{part}")).and_then(Value::as_u64);
                    let (hit, all) = (count("hit").unwrap_or(0), count("all").unwrap_or(0));
                    out.line(format_args!("{name}: {hit} of {all}"))?;
                }
            }
            out.line(format_args!("requests since: {}", answer.get("seen").unwrap_or(&json!(0))))?;
            for (rule, hits) in answer.get("hits").and_then(Value::as_object).into_iter().flatten() {
                let count = |name: &str| hits.get(name).and_then(Value::as_u64).unwrap_or(0);
                out.line(format_args!("{rule}: hit {} of them, {} alone", count("hits"), count("alone")))?;
            }
            out.line("")?;
            for line in answer.pointer("/file/rules").and_then(Value::as_str).unwrap_or_default().lines() {
                out.line(visible(line))?;
            }
        }
        LearnCommand::Export { .. } => {
            out.text(answer.get("rules").and_then(Value::as_str).unwrap_or_default())?;
        }
        LearnCommand::Status => {
            for (state, count) in answer.get("proposals").and_then(Value::as_object).into_iter().flatten() {
                out.line(format_args!("{state}: {count}"))?;
            }
        }
        LearnCommand::Report(_) => {
            let (id, proposal) = (word(answer, "id"), word(answer, "proposal"));
            out.line(format_args!("{id}: {}  proposal {proposal}", word(answer, "state")))?;
        }
        _ => out.line(format_args!("{}: {}", word(answer, "id"), word(answer, "state")))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_not_put_into_a_path() {
        assert!(part("prp_0198-A").is_ok());
        for word in ["", "../keys", "a?b", "a b", "a%2f"] {
            assert!(part(word).is_err(), "{word}");
        }
    }
}
