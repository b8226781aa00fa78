//! Other people's models: settings checked, files looked at, keys fetched; what is loaded from them, and at a reload kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;

use super::check::Check;
use super::env::Environment;
use super::problem::{KeyPath, Problem};
use super::settings::{Model, OnFailure, Settings};
use super::{tls, upstreams};
use crate::models::{EngineSpec, HAS_ONNX, HttpSpec, Kind, Models, OnnxSpec, Policy, Spec};
use crate::types::Action;

/// Everything models are built from.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelSources {
    specs: Vec<Spec>,
    /// Where each is written, as a problem without words.
    places: BTreeMap<Arc<str>, Problem>,
}

impl ModelSources {
    /// Loads the models; those `before` has already are taken from it.
    ///
    /// # Errors
    /// Every model that cannot be loaded, where it is written.
    pub(super) fn build(&self, before: Option<&Arc<Models>>) -> Result<Arc<Models>, Vec<Problem>> {
        Models::build(&self.specs, before, &tls::towards).map_err(|problems| {
            let located = |(name, message): (Arc<str>, String)| match self.places.get(&name) {
                Some(place) => Problem { message, ..place.clone() },
                None => Problem::of_file(String::new(), message),
            };
            problems.into_iter().map(located).collect()
        })
    }
}

/// Checks every model that is not switched off.
pub(super) fn check(check: &mut Check<'_>, settings: &Settings, environment: &Environment) -> ModelSources {
    let mut sources = ModelSources::default();
    let mut taken = BTreeSet::new();
    for (name, raw) in &settings.models {
        let at = KeyPath::of(&["models", name]);
        let own = taken.insert(name.to_ascii_uppercase());
        check.require(own, &at, "another model has this name but for the case: their findings would have one id");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let good = !name.is_empty() && name.len() <= 32 && name.bytes().all(plain);
        check.require(
            good,
            &at,
            "a model's name has 1 to 32 letters, digits, `-` and `_`: it becomes part of a rule's id",
        );
        if !raw.enabled {
            continue;
        }
        bounds(check, &at, raw);
        let kind = match (&raw.directory, &raw.url) {
            (Some(directory), None) => onnx(check, &at, raw, directory),
            (None, Some(url)) => service(check, &at, raw, url, environment),
            (Some(_), Some(_)) => {
                check.problem(&at.key("url"), "give a directory or a url, not both");
                None
            }
            (None, None) => {
                check.problem(&at, "give a directory (an ONNX classifier) or a url (a service)");
                None
            }
        };
        let Some(kind) = kind else { continue };
        let name: Arc<str> = name.as_str().into();
        sources.places.insert(Arc::clone(&name), check.located(&at));
        sources.specs.push(Spec { name, policy: policy(raw), engine: engine(raw, kind) });
    }
    sources
}

fn policy(raw: &Model) -> Policy {
    Policy {
        roles: raw.roles.clone(),
        when: raw.when,
        undecided_from: raw.undecided_from,
        flag_at: raw.flag_at as f32,
        block_at: raw.block_at as f32,
        family: raw.family,
        threats: raw.threats.iter().map(|threat| Arc::from(threat.as_str())).collect(),
        most: raw.action,
        fails_open: raw.on_failure == OnFailure::Open,
    }
}

fn engine(raw: &Model, kind: Kind) -> EngineSpec {
    EngineSpec {
        timeout: raw.timeout.get(),
        queue: raw.queue,
        remember: raw.remember,
        max_bytes: raw.max_bytes.len(),
        max_windows: raw.max_windows,
        kind,
    }
}

/// What types cannot say.
fn bounds(check: &mut Check<'_>, at: &KeyPath, raw: &Model) {
    let probabilities = 0.0 < raw.flag_at && raw.flag_at <= raw.block_at && raw.block_at <= 1.0;
    check.require(
        probabilities,
        &at.key("flag_at"),
        "flag_at and block_at are probabilities: 0 < flag_at <= block_at <= 1",
    );
    check.require(
        raw.action != Action::Redact,
        &at.key("action"),
        "a model cannot redact: say `score`, `flag` or `block`",
    );
    check.require(
        !raw.roles.is_empty(),
        &at.key("roles"),
        "without roles it is never asked: `enabled = false` says so",
    );
    check.require(!raw.timeout.is_zero(), &at.key("timeout"), "must be longer than 0: every wait has an end");
    for (key, value, most) in [
        ("queue", raw.queue, 65_536),
        ("max_windows", raw.max_windows, 1024),
        ("batch", raw.batch, 256),
        ("threads", raw.threads, 256),
        ("max_concurrent", raw.max_concurrent, 4096),
        ("max_tokens", raw.max_tokens, 65_536),
    ] {
        check.require((1..=most).contains(&value), &at.key(key), &format!("must be between 1 and {most}"));
    }
    let shared = raw.stride.saturating_mul(2) <= raw.max_tokens;
    check.require(shared, &at.key("stride"), "must be at most half of max_tokens, or windows hardly move on");
    check.require(!raw.attack.is_empty(), &at.key("attack"), "name at least one label that means an attack");
    check.require(raw.breaker_failures > 0, &at.key("breaker_failures"), "must be more than 0");
    for (key, size) in [("max_bytes", raw.max_bytes), ("max_passage", raw.max_passage), ("max_answer", raw.max_answer)]
    {
        let fits = (1 << 10..=1 << 30).contains(&size.get());
        check.require(fits, &at.key(key), "must be between 1KiB and 1GiB");
    }
}

fn onnx(check: &mut Check<'_>, at: &KeyPath, raw: &Model, directory: &Path) -> Option<Kind> {
    let at = at.key("directory");
    if !HAS_ONNX {
        let message = "this build cannot run ONNX models: build with `cargo build --release --features onnx`";
        check.problem(&at, message);
        return None;
    }
    let mut files = Vec::new();
    // Large models keep their weights beside the network.
    for (name, needed) in [
        ("model.onnx", true),
        ("tokenizer.json", true),
        ("config.json", false),
        ("model.onnx_data", false),
        ("model.onnx.data", false),
    ] {
        let path = directory.join(name);
        match check.reader.stamp(&path) {
            Ok(stamp) => files.push((path, Some(stamp))),
            Err(message) if needed => check.problem(&at, format!("{}: {message}", path.display())),
            Err(_) => files.push((path, None)),
        }
    }
    Some(Kind::Onnx(OnnxSpec {
        directory: directory.to_owned(),
        files,
        attack: raw.attack.clone(),
        scores: raw.scores,
        max_tokens: raw.max_tokens,
        stride: raw.stride,
        batch: raw.batch,
        threads: raw.threads,
    }))
}

fn service(check: &mut Check<'_>, at: &KeyPath, raw: &Model, url: &str, environment: &Environment) -> Option<Kind> {
    let url = address(url).map_err(|message| check.problem(&at.key("url"), message)).ok();
    let given = upstreams::KeyGiven {
        value: raw.api_key.as_ref(),
        variable: raw.api_key_env.as_deref(),
        file: raw.api_key_file.as_deref(),
        other: None,
    };
    let api_key = upstreams::api_key(check, at, &given, environment);
    let ca_pem = raw.ca.as_ref().and_then(|path: &PathBuf| tls::authorities(check, &at.key("ca"), path));
    Some(Kind::Http(HttpSpec {
        url: url?,
        api_key,
        ca_pem,
        max_concurrent: raw.max_concurrent,
        max_passage: raw.max_passage.len(),
        max_answer: raw.max_answer.len(),
        breaker_failures: raw.breaker_failures,
        breaker_pause: raw.breaker_pause.get(),
        send_caller: raw.send_caller,
    }))
}

fn address(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is not an address: write it like https://detector.example/v1/judge")?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("may have no user or password: use api_key_env or api_key_file");
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) || text.contains('#') {
        return Err("must begin with http:// or https://, and may have no fragment");
    }
    Ok(uri)
}
