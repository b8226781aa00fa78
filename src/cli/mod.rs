//! The command line: each command is one call.

mod admin;
mod audit;
mod backtest;
mod check;
mod config;
mod demo;
mod erase;
mod eval;
mod learn;
mod names;
mod output;
mod policy;
mod redteam;
mod remote;
mod report;
mod rules;
mod scan;
mod train;

use std::future::Future;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::output::Out;
use crate::app;
use crate::config::{Environment, Loaded, Problem, Source};

/// A security gateway for LLM APIs: every prompt inspected before it leaves, every completion while it streams back.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// The configuration file [default: $PORTCULLIS_CONFIG, else ./gateway.toml, else built-in defaults]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Run it with made-up traffic and the offline model, to look at everything
    Demo(demo::DemoArgs),
    /// Check configuration, rules and the rules' own cases; report every problem at once
    Check,
    /// Inspect a text or a request body and explain the verdict
    Scan(scan::ScanArgs),
    /// Judge texts whose truth is known, and say how well that went
    Eval(eval::EvalArgs),
    /// Say what rules would have done to the requests that are stored
    Backtest(backtest::BacktestArgs),
    /// Try, list and explain rules, and take over those of other tools
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Train the classifier on texts, and say how it does on sources it has not seen
    Train(train::TrainArgs),
    /// List policies, and explain which one a request gets
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Attack a running gateway with scenarios, and say whether enough of them were stopped
    Redteam(redteam::RedteamArgs),
    /// Verify, export and prove the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Erase everything that is remembered of one person
    Erase(erase::EraseArgs),
    /// Write a report about security, threats, compliance, spend or learning, of what is in the store
    Report(report::ReportArgs),
    /// Report what was missed, and decide about the rules that were learned from it, on a running gateway
    Learn(learn::LearnArgs),
    /// Tell a running gateway to reload, and say how that went
    Reload(remote::RemoteArgs),
    /// Ask a running gateway whether it is ready: exit code 0 if so
    Healthcheck(remote::RemoteArgs),
    /// Show the configuration, its schema, or make a gateway key
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Something is wrong with configuration or rules.
    #[error("{}", listed(.0))]
    Problems(Vec<Problem>),
    /// The gateway did not start or did not end well.
    #[error(transparent)]
    App(#[from] app::Error),
    /// Reading or writing.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    // What a panic says may quote what was being read: only where it happened is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        output::complain(&format!("thread {} panicked at {place}", thread.name().unwrap_or("without a name")));
    }));
    let cli = Cli::parse();
    let environment = Environment::new(std::env::vars_os().filter_map(|(name, value)| {
        // A variable that is not UTF-8 cannot be one of ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    }));
    let source = Source::new(cli.common.config.as_deref(), environment);
    let mut out = Out::stdout();
    let done = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&source),
        Command::Demo(args) => demo::run(&args, &mut out),
        Command::Check => check::run(&source, &mut out),
        Command::Scan(args) => scan::run(&source, &args, &mut out),
        Command::Eval(args) => eval::run(&source, &args, &mut out),
        Command::Backtest(args) => backtest::run(&source, &args, &mut out),
        Command::Rules(command) => rules::run(&source, &command, &mut out),
        Command::Train(args) => train::run(&args, &mut out),
        Command::Policy(command) => policy::run(&source, &command, &mut out),
        Command::Redteam(args) => redteam::run(&args, &mut out),
        Command::Audit(command) => audit::run(&source, &command, &mut out),
        Command::Erase(args) => erase::run(&source, &args, &mut out),
        Command::Report(args) => report::run(&source, &args, &mut out),
        Command::Learn(args) => learn::run(&source, &args, &mut out),
        Command::Reload(args) => remote::reload(&source, &args, &mut out),
        Command::Healthcheck(args) => remote::healthcheck(&source, &args, &mut out),
        Command::Config(command) => config::run(&source, &command, &mut out),
    };
    match done {
        Ok(code) => code,
        // Whoever was reading has seen enough.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Options of the allocator: it does not commit whole arenas at once, and gives back what is unused for so many
/// milliseconds.
const ALLOCATOR_OPTIONS: [(&str, &str); 2] = [("MIMALLOC_ARENA_EAGER_COMMIT", "0"), ("MIMALLOC_PURGE_DELAY", "10")];

/// Starts over with the allocator's options set, which it reads before `main`: what compiling the rules used for a
/// moment then goes back to the system, and an idle gateway takes less memory. The process stays the same one (its id,
/// its terminal). Where that fails, it simply goes on. An option that is set already stays as it is.
fn start_lean() {
    let missing = || ALLOCATOR_OPTIONS.into_iter().filter(|(option, _)| std::env::var_os(option).is_none());
    if missing().next().is_none() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let failed = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(missing()).exec();
    output::complain(&format!("could not start over with the allocator's options set: {failed}"));
}

fn serve(source: &Source) -> Result<ExitCode, Error> {
    start_lean();
    app::serve(load(source)?)?;
    Ok(ExitCode::SUCCESS)
}

fn load(source: &Source) -> Result<Loaded, Error> {
    source.load().map_err(Error::Problems)
}

/// Does what a command waits for, on threads of its own.
fn wait<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Error::Io { what: "cannot start threads".to_owned(), source })?;
    runtime.block_on(Box::pin(work))
}

/// Every problem on a line of its own, then how many there are.
fn listed(problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    format!("{}\n{count}", Problem::list(problems))
}
