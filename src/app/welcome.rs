//! The first words: how to point a client here, and the bound addresses for a supervisor.

use std::io::{self, Write};

use crate::config::Loaded;
use crate::config::settings::{Protocol, Settings};
use crate::proxy::listen::{self, Bound};
use crate::types::Secret;

/// Where a supervisor or a test wants the addresses that were bound written, as JSON.
const ADDRESSES_FILE: &str = "PORTCULLIS_ADDRESSES_FILE";

/// Tells a person at a terminal how to go on. Logs go to standard error; this is the program's own output.
pub(super) fn welcome(loaded: &Loaded, bound: &Bound) {
    let mut text = format!("Portcullis {} is listening.\n", env!("CARGO_PKG_VERSION"));
    let listeners = loaded.settings.listeners.iter().filter(|listener| listener.protocol != Protocol::Unix);
    for (listener, address) in listeners.zip(bound.addresses()) {
        let scheme = if listener.protocol == Protocol::Https { "https" } else { "http" };
        text.push_str(&format!(
            "  OPENAI_BASE_URL={scheme}://{address}/v1    ANTHROPIC_BASE_URL={scheme}://{address}\n"
        ));
    }
    let rehearsals: Vec<&str> = loaded.rehearsals().collect();
    if !rehearsals.is_empty() {
        text.push_str(&format!(
            "No provider key is configured for {}: the built-in offline rehearsal model answers.\n\
             Set OPENAI_API_KEY or ANTHROPIC_API_KEY to reach a provider.\n",
            rehearsals.join(", ")
        ));
    }
    let uses_dev = loaded.tls.pair.is_none()
        && loaded.settings.listeners.iter().any(|listener| listener.protocol == Protocol::Https);
    if uses_dev && let Ok(dev) = listen::dev_certificate(&loaded.settings.tls) {
        text.push_str(&dev.how_to_trust());
        text.push('\n');
    }
    // Nobody may be there to read it.
    let _unread = io::stdout().lock().write_all(text.as_bytes());
}

/// There is no administrator yet: whoever sees this may become the first.
pub(super) fn setup(token: &Secret, ops: Option<&tokio::net::TcpListener>) {
    let Some(address) = ops.and_then(|ops| ops.local_addr().ok()) else { return };
    let text = format!(
        "There is no administrator yet. Make the first one with this token, which works once, at\n  \
         http://{address}/console/setup\n  \
         {}\n",
        token.expose()
    );
    let _unread = io::stdout().lock().write_all(text.as_bytes());
}

pub(super) fn write_addresses(
    bound: &Bound,
    settings: &Settings,
    ops: Option<&tokio::net::TcpListener>,
) -> io::Result<()> {
    let Some(path) = std::env::var_os(ADDRESSES_FILE) else { return Ok(()) };
    let tcp = settings.listeners.iter().filter(|listener| listener.protocol != Protocol::Unix);
    let listeners: Vec<_> = tcp
        .zip(bound.addresses())
        .map(|(listener, address)| serde_json::json!({ "protocol": listener.protocol, "address": address }))
        .collect();
    let ops = ops.and_then(|ops| ops.local_addr().ok());
    let text = serde_json::json!({ "listeners": listeners, "ops": ops }).to_string();
    let whole = std::path::Path::new(&path).with_extension("part");
    std::fs::write(&whole, text)?;
    std::fs::rename(&whole, &path)
}
