//! `reload` and `healthcheck`: one request to the ops listener of a running gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Error;
use super::output::{Out, complain};
use crate::config::Source;
use crate::types::ReloadOutcome;

/// A probe has to be quicker than the supervisor that asks.
const PROBE: Duration = Duration::from_secs(5);
/// Compiling every rule and running its cases, on a busy small machine.
const RELOAD: Duration = Duration::from_secs(120);
/// The longest answer; problems have a line each.
const MAX_ANSWER: usize = 4 << 20;

#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    /// The ops listener [default: ops.address of the configuration]
    #[arg(long, value_name = "ADDRESS:PORT")]
    ops: Option<SocketAddr>,
}

/// What the ops listener said.
struct Answer {
    status: u16,
    good: bool,
    body: Bytes,
}

pub(super) fn reload(source: &Source, args: &RemoteArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let Answer { status, body, .. } = call(source, args, Method::POST, "/reload", RELOAD)?;
    let Ok(outcome) = serde_json::from_slice::<ReloadOutcome>(&body) else {
        return Err(Error::Failed(format!("the gateway answered {status}: {}", String::from_utf8_lossy(&body).trim())));
    };
    for warning in &outcome.warnings {
        complain(&format!("warning: {warning}"));
    }
    if outcome.problems.is_empty() {
        out.line(format_args!("reloaded: generation {} serves", outcome.generation.0))?;
        return Ok(ExitCode::SUCCESS);
    }
    let problems = outcome.problems.join("\n");
    Err(Error::Failed(format!("{problems}\nrejected: generation {} still serves", outcome.generation.0)))
}

pub(super) fn healthcheck(source: &Source, args: &RemoteArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let Answer { good, body, .. } = call(source, args, Method::GET, "/readyz?verbose", PROBE)?;
    out.line(String::from_utf8_lossy(&body).trim())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn call(source: &Source, args: &RemoteArgs, method: Method, path: &str, within: Duration) -> Result<Answer, Error> {
    let configured = || source.ops_address().map_err(|problem| Error::Failed(format!("{problem}; name it with --ops")));
    let address = match args.ops {
        Some(address) => Some(address),
        None => configured()?,
    };
    let Some(address) = address.map(reachable) else {
        return Err(Error::Failed("ops.address is empty in the configuration: nothing is served there".to_owned()));
    };
    let io = |source| Error::Io { what: format!("cannot reach the gateway at {address}"), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
    let failed = |reason: String| Error::Failed(format!("no answer from the gateway at {address}: {reason}"));
    runtime.block_on(async {
        let exchange = async {
            let stream = TcpStream::connect(address).await.map_err(io)?;
            exchange(stream, address, method, path).await.map_err(|error| failed(error.to_string()))
        };
        match tokio::time::timeout(within, exchange).await {
            Ok(done) => done,
            Err(_) => Err(failed(format!("none within {} s", within.as_secs()))),
        }
    })
}

async fn exchange(
    stream: TcpStream,
    address: SocketAddr,
    method: Method,
    path: &str,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status: status.as_u16(), good: status.is_success(), body })
}

/// A listener on every address is reached on the loopback one.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
