//! Commands that ask the admin API of a running gateway: with an API token, or signed in as a person.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::Error;
use super::remote::reachable;
use crate::config::Source;
use crate::types::Secret;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(30);

/// The longest answer.
const MAX_ANSWER: usize = 32 << 20;

/// The variable that holds an API token.
const TOKEN: &str = "PORTCULLIS_TOKEN";

/// The variable that holds a password.
const PASSWORD: &str = "PORTCULLIS_PASSWORD";

#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    /// The ops listener [default: ops.address of the configuration]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    ops: Option<SocketAddr>,
    /// A file with an API token [default: $PORTCULLIS_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Sign in as this account instead: what people decide, no token may. The password comes from --password-file,
    /// $PORTCULLIS_PASSWORD, or a line of standard input
    #[arg(long, global = true, value_name = "NAME")]
    account: Option<String>,
    /// A file with the password of --account
    #[arg(long, global = true, value_name = "FILE", requires = "account")]
    password_file: Option<PathBuf>,
    /// Speak plain HTTP to another machine, with the token or password readable on the way
    #[arg(long, global = true)]
    insecure: bool,
}

/// How requests say who asks.
enum Pass {
    Token(Secret),
    Session { cookie: Secret, csrf: Secret },
}

/// The admin API of a running gateway.
pub(super) struct Admin {
    address: SocketAddr,
    pass: Option<Pass>,
}

/// What it answered.
struct Answer {
    status: u16,
    cookie: Option<String>,
    body: Bytes,
}

fn failed(why: impl Into<String>) -> Error {
    Error::Failed(why.into())
}

fn secret_file(path: &Path) -> Result<Secret, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Io { what: path.display().to_string(), source })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

impl Admin {
    /// Finds the gateway and says who asks.
    pub(super) async fn open(source: &Source, args: &AdminArgs) -> Result<Self, Error> {
        let address = match args.ops {
            Some(address) => Some(address),
            None => {
                let found = source.ops_address();
                found.map_err(|problem| failed(format!("{problem}; name the gateway with --ops")))?
            }
        };
        let none = || failed("ops.address is empty in the configuration: nothing is served there");
        let address = reachable(address.ok_or_else(none)?);
        if !address.ip().is_loopback() && !args.insecure {
            return Err(failed(format!(
                "{address} is another machine, and this would be plain HTTP: go through a tunnel, or say --insecure"
            )));
        }
        let mut admin = Self { address, pass: None };
        admin.pass = Some(match &args.account {
            Some(name) => admin.sign_in(name, &password(args)?).await?,
            None => Pass::Token(token(args)?),
        });
        Ok(admin)
    }

    async fn sign_in(&self, name: &str, password: &Secret) -> Result<Pass, Error> {
        let asked = json!({ "name": name, "password": password.expose() });
        let answer = self.ask(Method::POST, "/api/v1/login", Some(&asked)).await?;
        let told = read(&answer)?;
        let cookie = answer.cookie.as_deref().and_then(|cookie| cookie.split(';').next());
        let csrf = told.get("csrf").and_then(Value::as_str);
        match (cookie, csrf) {
            (Some(cookie), Some(csrf)) => Ok(Pass::Session { cookie: Secret::new(cookie), csrf: Secret::new(csrf) }),
            _ => Err(failed("the gateway began no session")),
        }
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// What the gateway says is wrong, in its words.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        read(&self.ask(method, path, body).await?)
    }

    /// Ends the session that was begun, if any.
    pub(super) async fn close(self) {
        if matches!(self.pass, Some(Pass::Session { .. })) {
            // It ends by itself too.
            self.ask(Method::POST, "/api/v1/logout", None).await.map(drop).unwrap_or_default();
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        let no_answer = |reason: String| failed(format!("no answer from the gateway at {}: {reason}", self.address));
        match tokio::time::timeout(WITHIN, self.exchange(method, path, body)).await {
            Ok(done) => done.map_err(|error| no_answer(error.to_string())),
            Err(_) => Err(no_answer(format!("none within {} s", WITHIN.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        request = match &self.pass {
            Some(Pass::Token(token)) => request.header(AUTHORIZATION, format!("Bearer {}", token.expose())),
            Some(Pass::Session { cookie, csrf }) => {
                request.header(COOKIE, cookie.expose()).header("x-portcullis-csrf", csrf.expose())
            }
            None => request,
        };
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status().as_u16();
        let cookie = response.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        connection.abort();
        Ok(Answer { status, cookie, body })
    }
}

fn token(args: &AdminArgs) -> Result<Secret, Error> {
    if let Some(path) = &args.token_file {
        return secret_file(path);
    }
    let missing = || failed(format!("who asks? Set {TOKEN} or --token-file, or sign in with --account"));
    std::env::var(TOKEN).map(Secret::new).map_err(|_| missing())
}

fn password(args: &AdminArgs) -> Result<Secret, Error> {
    if let Some(path) = &args.password_file {
        return secret_file(path);
    }
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(Secret::new(password));
    }
    if std::io::stdin().is_terminal() {
        return Err(failed(format!("the password would show on this terminal: use --password-file or {PASSWORD}")));
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|source| Error::Io { what: "standard input".to_owned(), source })?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

fn read(answer: &Answer) -> Result<Value, Error> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if (200..300).contains(&answer.status) {
        return Ok(body);
    }
    let told = body.pointer("/error/message").or_else(|| body.get("message")).and_then(Value::as_str);
    Err(failed(format!("the gateway answered {}: {}", answer.status, told.unwrap_or("nothing readable"))))
}
