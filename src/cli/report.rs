//! `report`: what is in the store as a report, in one of the formats.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::{Out, complain};
use super::{Error, load, wait};
use crate::app::store_of;
use crate::config::{self, Handle, Source};
use crate::control::report;
use crate::report::{Ask, Format, Kind, render};
use crate::store::{self, Database, Options};
use crate::types::visible;

/// The least a statement may take here: nobody waits for it but who runs this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exit code of arguments that make no sense.
const USAGE: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Which report
    #[arg(value_enum)]
    kind: KindName,
    /// The framework of a compliance report: gdpr, ccpa, hipaa, soc2, iso27001, pci_dss
    #[arg(long, value_name = "NAME", required_if_eq("kind", "compliance"))]
    framework: Option<String>,
    /// From when on: `7d` ago, a day (2026-11-21) or a time (2026-11-21T10:00:00Z)
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Until when, in the same ways [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How it is written [default: as the output's name ends, else md]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Only this table, by its name; of csv only
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Rows of a table of names, those counted most first [default: reports.rows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=5_000))]
    rows: Option<u32>,
    /// Where to [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    /// Traffic, decisions, top threats, alerts, incidents, remedies
    Security,
    /// Threats by family and catalogue, their trend, notable incidents
    Threats,
    /// What the gateway contributes to the controls of a framework
    Compliance,
    /// What was spent, by whom, against which budgets, and where that leads
    Spend,
    /// What was missed, learned and taken back
    Learning,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    Pdf,
    Html,
    Md,
    Json,
    Csv,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Pdf => Self::Pdf,
            FormatName::Html => Self::Html,
            FormatName::Md => Self::Md,
            FormatName::Json => Self::Json,
            FormatName::Csv => Self::Csv,
        }
    }
}

fn ask(args: &ReportArgs) -> Result<Ask, String> {
    let now = store::now();
    let since = super::backtest::moment(&args.since, now)?;
    let until = args.until.as_deref().map_or(Ok(now), |until| super::backtest::moment(until, now))?;
    if since >= until {
        return Err("--since is not before --until".to_owned());
    }
    let kind = match args.kind {
        KindName::Security => Kind::Security,
        KindName::Threats => Kind::Threats,
        KindName::Compliance => Kind::Compliance,
        KindName::Spend => Kind::Spend,
        KindName::Learning => Kind::Learning,
    };
    if args.framework.is_some() != (kind == Kind::Compliance) {
        return Err("only a compliance report has a --framework".to_owned());
    }
    let (framework, tenant) = (args.framework.clone(), args.tenant.clone());
    Ok(Ask { kind, framework, since, until, tenant, made: now, by: "command line".to_owned() })
}

fn format(args: &ReportArgs) -> Format {
    let ending = || args.output.as_ref()?.extension()?.to_str().and_then(Format::from_name);
    args.format.map(Format::from).or_else(ending).unwrap_or(Format::Md)
}

pub(super) fn run(source: &Source, args: &ReportArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let usage = |why: &str| {
        complain(why);
        Ok(ExitCode::from(USAGE))
    };
    let format = format(args);
    let ask = match ask(args) {
        Ok(ask) => ask,
        Err(why) => return usage(&why),
    };
    if format == Format::Pdf && args.output.is_none() && std::io::stdout().is_terminal() {
        return usage("a PDF is not for a terminal: name a file with --output");
    }
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    let frameworks = report::frameworks().map_err(|error| failed(&error))?;
    if let Some(name) = ask.framework.as_ref().filter(|name| frameworks.get(name).is_none()) {
        return usage(&format!("there is no framework `{}`; there are: {}", visible(name, 80), frameworks.names()));
    }
    let loaded = load(source)?;
    let (url, options) = store_of(&loaded.settings).map_err(|error| failed(&error))?;
    let url = url.ok_or_else(|| Error::Failed("there is no store: store.url is empty".to_owned()))?;
    let rows = args.rows.unwrap_or(loaded.settings.reports.rows);
    let handle = Handle::new(config::prepare(&loaded, None).map_err(Error::Problems)?);
    let options = Options { timeout: options.timeout.max(PATIENCE), ..options };
    let made = wait(async {
        let database = Database::open(&url, &options).await.map_err(|error| failed(&error))?;
        let snapshot = handle.load_full();
        let made = report::make(&database, &snapshot, &frameworks, rows, &ask).await;
        database.close().await;
        made.map_err(|error| failed(&error))
    })?;
    let written = render(&made, format, args.table.as_deref()).map_err(|error| failed(&error))?;
    match &args.output {
        Some(path) => {
            save(path, &written.bytes)?;
            out.line(format_args!("{}: {}", made.title, path.display()))?;
        }
        None => {
            let mut stdout = std::io::stdout().lock();
            let done = stdout.write_all(&written.bytes).and_then(|()| stdout.flush());
            done.map_err(|source| Error::Io { what: "cannot write to standard output".to_owned(), source })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|source| Error::Io { what: path.display().to_string(), source })
}
