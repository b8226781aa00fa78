//! `config`: the settings, their schema, and fresh gateway keys.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use rustls::crypto::aws_lc_rs;

use super::output::Out;
use super::{Error, load};
use crate::config::settings::Settings;
use crate::config::{Source, digest};
use crate::models::contract::Exchange;
use crate::types::hex;

/// Random bytes in a gateway key: as many as its digest has.
const KEY_BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the settings as TOML: as written, or all that are in force
    Print(PrintArgs),
    /// Print a JSON schema: of gateway.toml, or of what a detector over HTTP is sent and answers
    Schema {
        /// Of what
        #[arg(value_enum, default_value_t = SchemaName::Settings)]
        of: SchemaName,
    },
    /// Make a gateway key: prints the key, and the table to put into gateway.toml
    Keygen {
        /// Whose key it is
        name: String,
    },
}

/// What has a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SchemaName {
    Settings,
    Detector,
}

#[derive(Debug, Args)]
pub(super) struct PrintArgs {
    /// Every setting in force, defaults and environment included
    #[arg(long)]
    effective: bool,
    /// Leave out secrets. They are always left out; the option is for scripts that want to say so
    #[arg(long)]
    redact: bool,
}

pub(super) fn run(source: &Source, command: &ConfigCommand, out: &mut Out) -> Result<ExitCode, Error> {
    match command {
        ConfigCommand::Print(PrintArgs { effective, redact: _ }) => {
            let text = load(source)?.to_toml(*effective).map_err(|error| Error::Failed(error.to_string()))?;
            out.text(&text)?;
        }
        ConfigCommand::Schema { of } => {
            let schema = match of {
                SchemaName::Settings => schemars::schema_for!(Settings),
                SchemaName::Detector => schemars::schema_for!(Exchange),
            };
            let text = serde_json::to_string_pretty(&schema).map_err(|error| Error::Failed(error.to_string()))?;
            out.line(text)?;
        }
        ConfigCommand::Keygen { name } => keygen(name, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn keygen(name: &str, out: &mut Out) -> Result<(), Error> {
    let mut random = [0; KEY_BYTES];
    let provider = aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut random).map_err(|_| Error::Failed("there is no randomness".to_owned()))?;
    let key = format!("pc-{}", hex(&random));
    out.line(format_args!("# The key, for the client. It is shown once and kept nowhere.\n# {key}\n"))?;
    let name = toml::Value::String(name.to_owned());
    let digest = hex(&digest(key.as_bytes()));
    out.line(format_args!("[[identity.keys]]\nname = {name}\nsha256 = \"{digest}\""))
}
