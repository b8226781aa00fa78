//! `demo`: the whole gateway in one command, with a made-up day behind it and made-up traffic going on. Everything that is made
//! up is of the tenant `demo`.

mod day;
mod dice;
mod live;
mod people;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output::Out;
use super::{Error, load, wait};
use crate::app::{self, Guest, Insides, store_of};
use crate::config::{Environment, Source};
use crate::control::api::password::Passwords;
use crate::store::accounts::{Account, AccountKind, Accounts};
use crate::store::{self, Database, StoreError};
use crate::types::Secret;

/// Who signs in: name and roles.
const ACCOUNTS: [(&str, &str); 2] = [("admin", "admin auditor"), ("responder", "responder")];
/// How long what was made up may take to be in the store.
const STORED: Duration = Duration::from_secs(120);

/// Starts a gateway with the built-in rules and the offline model, a day of made-up traffic and some that goes on.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The folder it lives in; otherwise one that is removed at the end
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// What the made-up day is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests of the made-up day
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    requests: u32,
    /// Write the day into the store and end
    #[arg(long, requires = "dir")]
    once: bool,
    /// The port of the console on 127.0.0.1; 0: one that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    console_port: u16,
    /// The port of the gateway on 127.0.0.1; 0: one that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
}

pub(super) fn run(args: &DemoArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("portcullis-demo-{}", uuid::Uuid::new_v4().simple())),
    };
    make(&folder)?;
    let ran = stay(&folder, args, out);
    if args.dir.is_none()
        && let Err(error) = fs::remove_dir_all(&folder)
    {
        super::output::complain(&format!("{} could not be removed: {error}", folder.display()));
    }
    ran.map(|()| ExitCode::SUCCESS)
}

fn stay(folder: &Path, args: &DemoArgs, out: &mut Out) -> Result<(), Error> {
    let config = folder.join("gateway.toml");
    write(&config, &settings(folder, args))?;
    // Nothing of the surroundings: no key of a provider, no setting.
    let source = Source::new(Some(&config), Environment::new([]));
    let loaded = load(&source)?;
    let passwords = accounts(&loaded)?;
    out.line(format_args!("The demo lives in {}", folder.display()))?;
    for (name, password) in &passwords {
        out.line(format_args!("  sign in as {name} with the password {}", password.expose()))?;
    }
    let (seed, requests, once) = (args.seed, args.requests, args.once);
    let guest: Guest = Box::new(move |insides| Box::pin(Box::pin(visit(insides, seed, requests, once))));
    app::serve_with(loaded, Some(guest))?;
    Ok(())
}

async fn visit(insides: Insides, seed: u64, requests: u32, once: bool) -> Result<(), String> {
    let snapshot = insides.snapshot();
    let drawn = tokio::task::spawn_blocking(move || day::Day::draw(&snapshot, seed, requests, store::now()));
    let day = drawn.await.map_err(|error| error.to_string())?;
    let (written, attacks) = day.write(&insides, STORED).await?;
    say(&format!("A made-up day is in the store: {written} requests, {attacks} of them with findings (tenant demo)."));
    if once {
        return Ok(());
    }
    let console = insides.console.map_or_else(|| "-".to_owned(), |address| format!("http://{address}/console"));
    say(&format!("Console:  {console}"));
    if let Some(address) = insides.address() {
        say(&format!("Gateway:  OPENAI_BASE_URL={address}/v1"));
    }
    say("Made-up traffic goes on, with an attack now and then. Stop with Ctrl-C.");
    live::go_on(&insides, seed).await
}

/// Tells whoever started it; nobody may be there to read it.
fn say(words: &str) {
    let _unread = writeln!(std::io::stdout().lock(), "{words}");
}

fn make(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io { what: folder.display().to_string(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::Io { what: path.display().to_string(), source };
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

fn settings(folder: &Path, args: &DemoArgs) -> String {
    let quoted = |path: PathBuf| toml::Value::String(path.display().to_string()).to_string();
    let at = |name: &str| quoted(folder.join(name));
    let database = toml::Value::String(format!("sqlite://{}", folder.join("demo.db").display())).to_string();
    format!(
        "# Written by `portcullis demo`.\n\
         listeners = [{{ protocol = \"http\", address = \"127.0.0.1:{}\" }}]\n\
         [ops]\naddress = \"127.0.0.1:{}\"\n\
         [store]\nurl = {database}\nspool = {}\n\
         [record]\npath = {}\n\
         [audit]\ndirectory = {}\n\
         [admin]\ninsecure_loopback_cookie = true\n\
         [reload]\nwatch = false\n\
         [telemetry]\nlog = \"warn\"\n\
         [upstreams.rehearsal]\nkind = \"rehearsal\"\n",
        args.port,
        args.console_port,
        at("spool"),
        at("records.jsonl"),
        at("audit"),
    )
}

/// Makes the accounts, with fresh passwords where they are there already.
fn accounts(loaded: &crate::config::Loaded) -> Result<Vec<(&'static str, Secret)>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    let (url, options) = store_of(&loaded.settings).map_err(|error| failed(&error))?;
    let url = url.ok_or_else(|| Error::Failed("there is no store".to_owned()))?;
    let admin = loaded.settings.admin.clone();
    wait(async move {
        let database = Database::open(&url, &options).await.map_err(|error| failed(&error))?;
        let accounts = Accounts::new(database.clone());
        let passwords = Passwords::new(&admin.passwords).map_err(|error| failed(&error))?;
        let mut made = Vec::new();
        for (name, roles) in ACCOUNTS {
            let random: String = uuid::Uuid::new_v4().simple().to_string();
            let password = Secret::new(random.chars().take(20).collect::<String>());
            let hash = passwords.hash(password.clone()).await.map_err(|error| failed(&error))?;
            match accounts.by_name(name).await.map_err(|error| failed(&error))? {
                Some((known, _)) => {
                    accounts.set_password(&known.id, &hash, None).await.map_err(|error| failed(&error))?
                }
                None => {
                    let account = Account {
                        id: format!("acc_{}", uuid::Uuid::now_v7().simple()),
                        name: name.to_owned(),
                        kind: AccountKind::Local,
                        subject: None,
                        roles: roles.to_owned(),
                        disabled: false,
                        created: store::now(),
                        created_by: "demo".to_owned(),
                        last_login: None,
                    };
                    first_or_further(&accounts, &account, &hash, admin.max_accounts)
                        .await
                        .map_err(|error| failed(&error))?;
                }
            }
            made.push((name, password));
        }
        database.close().await;
        Ok(made)
    })
}

/// Makes the first account as the setup does, so that the setup is over; further ones beside it.
async fn first_or_further(accounts: &Accounts, account: &Account, hash: &str, most: u32) -> Result<(), StoreError> {
    let token = uuid::Uuid::new_v4().simple().to_string();
    let soon = account.created.saturating_add(60_000_000);
    let is_first = accounts.offer_setup(&token, account.created, soon).await?;
    if !(is_first && accounts.set_up(&token, account, hash).await?) {
        accounts.add(account, Some(hash), most).await?;
    }
    Ok(())
}
