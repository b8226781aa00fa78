//! `backtest`: what rules would have done to the requests that are stored.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::output::{Out, complain};
use super::{Error, load, wait};
use crate::app::store_of;
use crate::backtest::{self, Against, Asked, Checkpoint, Ended, Figures, Heading, Job, Judge, Progress, Runner, Terms};
use crate::config::units::Time;
use crate::config::{Learned, Loaded, Problem, Source, read_rules};
use crate::detect::{RuleSet, Source as RuleSource};
use crate::store::{self, Database, Options, Vault};
use crate::types::{Direction, Secret};

/// The least a statement may take here: nobody waits for it but who runs this.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often progress is shown: on a terminal, and elsewhere.
const LIVE: Duration = Duration::from_millis(500);
const PLAIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// Rules to try: a file, or a directory of them; one with a known id replaces it, as in rules.directories
    #[arg(long, value_name = "PATH", required_unless_present = "against")]
    rules: Option<PathBuf>,
    /// From when on: `7d` ago, a day (2026-11-21) or a time (2026-11-21T10:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Until when, in the same ways [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What it is compared with: what the rules in force say of the same texts, or what was recorded then
    #[arg(long, value_enum)]
    against: Option<AgainstName>,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Examples of each kind: requests newly blocked, newly passed and decided otherwise
    #[arg(long, value_name = "N", default_value_t = 10)]
    samples: usize,
    /// Show no words of the examples, whatever is stored
    #[arg(long)]
    no_excerpts: bool,
    /// Read at most so many requests
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Go on from the checkpoint of a run that was ended
    #[arg(long)]
    resume: bool,
    /// Where checkpoints are [default: beside the SQLite file, else ./portcullis-backtest.json]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// How often one is written
    #[arg(long, value_name = "TIME", default_value = "5s")]
    checkpoint_every: Time,
    /// Threads that inspect [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Texts, and results, that are remembered so that the same ones are not inspected again; 0: none
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    remember: u64,
    /// Exit with 1 when more than this share of the compared requests is newly blocked: `0.001` or `0.1%`
    #[arg(long, value_name = "SHARE", value_parser = share)]
    fail_if_newly_blocked: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AgainstName {
    Configured,
    Recorded,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A share, 0 to 1, or in percent.
fn share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share = number.trim().parse::<f64>().map_err(|_| "write it like 0.001 or 0.1%".to_owned())? / of;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is 0 to 1, or 0% to 100%".to_owned()) }
}

/// Exit code of arguments that make no sense, and of a run that came to no end.
const USAGE: u8 = 2;
const NOT_RUN: u8 = 3;

pub(super) fn run(source: &Source, args: &BacktestArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let now = store::now();
    let times = moment(&args.since, now).and_then(|from| {
        let until = args.until.as_deref().map_or(Ok(now), |until| moment(until, now))?;
        if from < until { Ok((from, until)) } else { Err("--since is not before --until".to_owned()) }
    });
    let (from, until) = match times {
        Ok(times) => times,
        Err(why) => {
            complain(&why);
            return Ok(ExitCode::from(USAGE));
        }
    };
    match try_run(source, args, (from, until), out) {
        // Whoever reads has seen enough: that is for `main` to tell.
        Err(Error::Io { source, what }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Err(Error::Io { what, source })
        }
        Err(error) => {
            complain(&error.to_string());
            Ok(ExitCode::from(NOT_RUN))
        }
        Ok(code) => Ok(code),
    }
}

/// Unix time in microseconds: so long ago, on a day at midnight (UTC), or at a time.
pub(super) fn moment(text: &str, now: i64) -> Result<i64, String> {
    if let Ok(ago) = text.parse::<Time>() {
        return Ok(now.saturating_sub(i64::try_from(ago.get().as_micros()).unwrap_or(i64::MAX)));
    }
    let day = |day: jiff::civil::Date| day.to_zoned(jiff::tz::TimeZone::UTC).map(|at| at.timestamp());
    let time = text.parse::<jiff::Timestamp>().or_else(|_| text.parse().and_then(day));
    time.map(jiff::Timestamp::as_microsecond)
        .map_err(|_| format!("`{text}` is no time: write it like 7d, 2026-11-21 or 2026-11-21T10:00:00Z"))
}

fn try_run(source: &Source, args: &BacktestArgs, (from, until): (i64, i64), out: &mut Out) -> Result<ExitCode, Error> {
    let loaded = load(source)?;
    let against = match args.against {
        Some(AgainstName::Recorded) => Against::Recorded,
        Some(AgainstName::Configured) | None => Against::Configured,
    };
    if args.rules.is_none() && against == Against::Configured {
        complain("--rules is missing: the rules in force would be compared with themselves");
        return Ok(ExitCode::from(USAGE));
    }
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    let (url, options) = store_of(&loaded.settings).map_err(|error| failed(&error))?;
    let url = url.ok_or_else(|| Error::Failed("there is no store: store.url is empty".to_owned()))?;
    let vault = Vault::new(&options).map_err(|error| failed(&error))?;
    let learned = learned(&url, &options)?;
    let (before, after) = rule_sets(&loaded, args.rules.as_deref(), &learned)?;
    let terms = Terms::of(&loaded);
    let asked = asked(&loaded, args, against, &terms, (&before, &after), &url);
    let file = args.checkpoint.clone().unwrap_or_else(|| beside(&url));
    let start = if args.resume {
        Checkpoint::load(&file, &asked).map_err(|error| failed(&error))?
    } else if file.exists() {
        return Err(Error::Failed(format!(
            "{} is there already: go on with --resume, or remove it or name another with --checkpoint",
            file.display()
        )));
    } else {
        Checkpoint::new(asked, from, until)
    };
    let heading = heading(&loaded, against, (start.from, start.until), &before, &after);
    let judge = |rules: &Arc<RuleSet>| Judge::new(Arc::clone(rules), args.remember);
    let old = (against == Against::Configured).then(|| judge(&before));
    let runner = Arc::new(Runner::new(old, judge(&after), terms, vault, args.remember));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let job = Job {
        start,
        file: Some(file.clone()),
        every: args.checkpoint_every.get(),
        threads: args.threads.unwrap_or(cores).max(1),
        max_content: loaded.settings.store.max_content.get(),
    };
    let options = Options { timeout: options.timeout.max(PATIENCE), ..options };
    let (ended, figures, excerpts) = wait(async {
        let database = Database::open(&url, &options).await.map_err(|error| failed(&error))?;
        let stop = stopped_by_signals()?;
        let mut shown = Shown::new();
        let ran = runner.run(&database, job, &stop, |progress| shown.show(progress)).await;
        shown.end();
        let (ended, at) = ran.map_err(|error| {
            Error::Failed(format!("{error}\nwhat was done is in {}: go on with --resume", file.display()))
        })?;
        let excerpts = if args.no_excerpts || ended == Ended::Stopped {
            backtest::Excerpts::new()
        } else {
            backtest::excerpts(&database, runner.vault(), &at.figures).await.map_err(|error| failed(&error))?
        };
        database.close().await;
        Ok((ended, at.figures, excerpts))
    })?;
    if ended == Ended::Stopped {
        complain(&format!("stopped after {} requests: go on with --resume ({})", figures.read, file.display()));
        return Ok(ExitCode::from(NOT_RUN));
    }
    match args.format {
        Format::Text => out.text(&backtest::text(&heading, &figures, &excerpts))?,
        Format::Json => out.line(backtest::json(&heading, &figures, &excerpts))?,
    }
    if let Err(error) = fs::remove_file(&file) {
        complain(&format!("{} is not needed any more and cannot be removed: {error}", file.display()));
    }
    Ok(code(args, &figures))
}

fn code(args: &BacktestArgs, figures: &Figures) -> ExitCode {
    match args.fail_if_newly_blocked {
        Some(most) if figures.share_newly_blocked() > most => {
            complain(&format!(
                "{:.4} % of the compared requests are newly blocked, and at most {:.4} % may be",
                figures.share_newly_blocked() * 100.0,
                most * 100.0
            ));
            ExitCode::FAILURE
        }
        Some(_) | None => ExitCode::SUCCESS,
    }
}

/// Learned rules as they are in the store: they are in force beside those of the files.
fn learned(url: &Secret, options: &Options) -> Result<Vec<RuleSource>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    wait(async {
        let database = Database::open(url, options).await.map_err(|error| failed(&error))?;
        let staged = database.staged_proposals().await.map_err(|error| failed(&error))?;
        database.close().await;
        Ok(Learned::of(0, &staged).files.into_iter().map(|file| file.source).collect())
    })
}

/// The rules in force, and the same with those at `path` added.
fn rule_sets(
    loaded: &Loaded,
    path: Option<&Path>,
    learned: &[RuleSource],
) -> Result<(Arc<RuleSet>, Arc<RuleSet>), Error> {
    let rules = loaded.rules();
    let told =
        |problems: Vec<crate::detect::Problem>| Error::Problems(problems.into_iter().map(Problem::from).collect());
    let compile = |sources: &[_]| {
        let compiled =
            RuleSet::compile(sources, rules.classifier(), &rules.overrides(), &rules.budget()).map_err(told)?;
        let mut problems = compiled.dangling();
        problems.extend(compiled.self_test());
        if problems.is_empty() { Ok(Arc::new(compiled)) } else { Err(told(problems)) }
    };
    let in_force = [learned, rules.sources()].concat();
    let before = compile(&in_force)?;
    let Some(path) = path else { return Ok((Arc::clone(&before), before)) };
    let tried = read_rules(path).map_err(Error::Problems)?;
    if tried.is_empty() {
        return Err(Error::Failed(format!("there is no rule file (*.yaml) at {}", path.display())));
    }
    let after = compile(&[in_force, tried].concat())?;
    Ok((before, after))
}

fn asked(
    loaded: &Loaded,
    args: &BacktestArgs,
    against: Against,
    terms: &Terms,
    (before, after): (&RuleSet, &RuleSet),
    url: &Secret,
) -> Asked {
    let classifier = loaded.rules().classifier().map_or_else(String::new, |own| own.digest().to_owned());
    let of = |rules: &RuleSet| format!("{} {classifier}", rules.hash());
    Asked {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules_before: of(before),
        rules_after: of(after),
        terms: terms.digest(),
        store: blake3::hash(url.expose().as_bytes()).to_hex().to_string(),
        since: args.since.clone(),
        until: args.until.clone(),
        against,
        samples: args.samples,
        limit: args.limit,
    }
}

fn heading(loaded: &Loaded, against: Against, (from, until): (i64, i64), before: &RuleSet, after: &RuleSet) -> Heading {
    let (mut added, mut replaced, mut answers_only) = (Vec::new(), Vec::new(), Vec::new());
    for rule in after.rules() {
        let id = || rule.id.to_string();
        match before.rules().iter().find(|known| known.id == rule.id) {
            Some(known) if known.file == rule.file => continue,
            Some(_) => replaced.push(id()),
            None => added.push(id()),
        }
        if !rule.directions.include(Direction::Input) {
            answers_only.push(id());
        }
    }
    let (before, after) = (before.hash().to_string(), after.hash().to_string());
    let models = !loaded.settings.models.is_empty();
    Heading { from, until, against, before, after, added, replaced, answers_only, models }
}

/// Where checkpoints are if nobody says: where the data are, and else here.
fn beside(url: &Secret) -> PathBuf {
    let text = url.expose();
    match text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
        Some(path) => PathBuf::from(format!("{path}.backtest.json")),
        None => PathBuf::from("portcullis-backtest.json"),
    }
}

/// Set at the first SIGINT or SIGTERM.
fn stopped_by_signals() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals =
            signal(kind).map_err(|source| Error::Io { what: "cannot wait for signals".to_owned(), source })?;
        let told = Arc::clone(&stop);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                told.store(true, Ordering::Relaxed);
            }
        });
    }
    Ok(stop)
}

/// Progress on standard error: one line that changes on a terminal, a line now and then elsewhere.
struct Shown {
    terminal: bool,
    last: Option<Instant>,
    open: bool,
}

impl Shown {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), last: None, open: false }
    }

    fn show(&mut self, progress: Progress) {
        let pause = if self.terminal { LIVE } else { PLAIN };
        if !progress.done && self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let line = line(progress);
        if self.terminal {
            let mut stderr = io::stderr().lock();
            // Who cannot be shown progress does without.
            drop(write!(stderr, "\r\u{1b}[K{line}").and_then(|()| stderr.flush()));
            self.open = true;
        } else {
            complain(&line);
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            complain("");
        }
    }
}

fn line(progress: Progress) -> String {
    let Progress { read, total, rate, .. } = progress;
    let share = total.filter(|total| *total > 0).map(|total| {
        let left = total.saturating_sub(read) as f64 / rate.max(0.001);
        let left = Duration::from_secs_f64(left.min(1e9)).as_secs();
        let share = (100.0 * read as f64 / total as f64).min(100.0);
        format!(" of {total} ({share:.1} %), {}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60)
    });
    format!("{read}{}, {rate:.0} a second", share.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_three_ways() {
        let now = 1_772_409_600_000_000;
        assert_eq!(moment("7d", now), Ok(now - 7 * 86_400_000_000));
        assert_eq!(moment("2026-03-02", now), Ok(now));
        assert_eq!(moment("2026-03-02T00:00:01Z", now), Ok(now + 1_000_000));
        for bad in ["", "soon", "7", "2026-13-02"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_written_in_two_ways() {
        assert_eq!(share("0.001"), Ok(0.001));
        assert_eq!(share("25%"), Ok(0.25));
        for bad in ["", "x", "1.5", "-1%", "101%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn progress_says_how_much_is_left() {
        let at = Progress { read: 250, total: Some(1000), rate: 10.0, done: false };
        assert_eq!(line(at), "250 of 1000 (25.0 %), 0:01:15 left, 10 a second");
        assert_eq!(line(Progress { total: None, ..at }), "250, 10 a second");
    }

    #[test]
    fn checkpoints_are_where_the_data_are() {
        let path = |url: &str| beside(&Secret::new(url)).display().to_string();
        assert_eq!(path("sqlite://data/store.db"), "data/store.db.backtest.json");
        assert_eq!(path("postgres://u:p@h/d"), "portcullis-backtest.json");
    }
}
