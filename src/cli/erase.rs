//! `erase`: everything that is remembered of one person, gone; what has to stay names nobody any more.

use std::process::ExitCode;

use clap::Args;

use super::output::Out;
use super::{Error, load, wait};
use crate::app::{store_of, trail_of};
use crate::config::Source;
use crate::control::audit::{AuditError, Trail};
use crate::store::{self, Database};

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The user, as requests name them
    #[arg(long)]
    user: String,
}

pub(super) fn run(source: &Source, args: &EraseArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let loaded = load(source)?;
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    let (url, options) = store_of(&loaded.settings).map_err(|error| failed(&error))?;
    let url = url.ok_or_else(|| Error::Failed("there is no store: store.url is empty".to_owned()))?;
    wait(async {
        let database = Database::open(&url, &options).await.map_err(|error| failed(&error))?;
        let trail = Trail::open(database.clone(), trail_of(&loaded.settings)).await.map_err(|error| match error {
            AuditError::InUse(_) => Error::Failed(
                "the gateway is running: ask it to erase (POST /api/v1/erasures), so that its audit trail says so"
                    .to_owned(),
            ),
            other => failed(&other),
        })?;
        let erased = database.erase(&args.user, store::now()).await.map_err(|error| failed(&error))?;
        let records = trail.erase(&args.user, "command line").await.map_err(|error| failed(&error))?;
        trail.close().await;
        out.line(format_args!(
            "erased: {} texts, {} ids of providers, {} reported texts",
            erased.contents, erased.issued, erased.reports
        ))?;
        out.line(format_args!(
            "anonymised: {} requests, {} events, {} rows of the ledger, {} keys, {records} audit records (the chain stays valid)",
            erased.requests, erased.events, erased.ledger, erased.keys
        ))?;
        Ok(ExitCode::SUCCESS)
    })
}
