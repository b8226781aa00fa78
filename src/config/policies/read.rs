//! Policies as written -> checked: files read, extensions followed, patterns and families looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::RustEmbed;

use super::settings::{FamilySettings, PolicyFile, PolicyMatch, PolicySettings};
use super::{Match, Policies, Policy};
use crate::config::check::Check;
use crate::config::glob::Globs;
use crate::config::problem::{KeyPath, Problem};
use crate::config::settings::Settings;
use crate::detect::{Treatment, Treatments};
use crate::quota::Plan;
use crate::types::Family;

/// The presets built into the binary: files one can read, extend and replace by a policy of the same name.
#[derive(RustEmbed)]
#[folder = "rules/policies/"]
#[include = "*.toml"]
struct Presets;

/// Policies in all files together.
const MAX_POLICIES: usize = 4096;

/// How long a chain of extensions may be.
const MAX_CHAIN: usize = 16;

/// A policy as written, and where.
struct Written {
    settings: PolicySettings,
    place: Place,
}

/// Where a policy is written.
#[derive(Clone)]
enum Place {
    /// In `gateway.toml`, at this position.
    Main(usize),
    /// In another file.
    File(String),
}

/// Reads and checks every policy.
pub(in crate::config) fn check(check: &mut Check<'_>, settings: &Settings) -> Policies {
    let mut written: Vec<Written> = (0..)
        .zip(&settings.policies)
        .map(|(index, policy)| Written { settings: policy.clone(), place: Place::Main(index) })
        .collect();
    for (index, path) in settings.policy.files.iter().enumerate() {
        files(check, index, path, &mut written);
    }
    if written.len() > MAX_POLICIES {
        check.problem(&KeyPath::of(&["policies"]), format!("there may be {MAX_POLICIES} policies at most"));
        return Policies::default();
    }
    let named = named(check, &written);
    let mut compiled: BTreeMap<&str, Arc<Policy>> = BTreeMap::new();
    let mut tried = Vec::new();
    for one in &written {
        if let Some(policy) = policy(check, one, &named) {
            if policy.approve_tools.is_some() && !settings.inspect.answers {
                one.place.problem(check, "approve_tools", "no call is seen to wait: inspect.answers is off");
            }
            let policy = Arc::new(policy);
            compiled.insert(&one.settings.name, Arc::clone(&policy));
            if one.settings.matches.is_some() {
                tried.push(policy);
            }
        }
    }
    let default = default(check, &settings.policy.default, &named, &compiled);
    Policies { tried, default }
}

/// Every policy that can be extended by its name: those written by the operator first, then presets.
fn named(check: &mut Check<'_>, written: &[Written]) -> BTreeMap<String, Written> {
    let mut named: BTreeMap<String, Written> = BTreeMap::new();
    for one in written {
        let name = &one.settings.name;
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            one.place.problem(check, "name", "a policy's name has 1 to 64 letters, digits, `-`, `_` or `.`");
        } else if named.contains_key(name) {
            one.place.problem(check, "name", &format!("there are two policies named `{name}`"));
        }
        let one = Written { settings: one.settings.clone(), place: one.place.clone() };
        named.entry(name.clone()).or_insert(one);
    }
    for file in Presets::iter() {
        let text = Presets::get(&file).map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default();
        let origin = format!("built-in {file}");
        match toml::from_str::<PolicyFile>(&text) {
            Ok(preset) => {
                for settings in preset.policies {
                    let place = Place::File(origin.clone());
                    named.entry(settings.name.clone()).or_insert(Written { settings, place });
                }
            }
            Err(error) => check.problems.push(Problem::of_file(origin, error.message())),
        }
    }
    named
}

fn files(check: &mut Check<'_>, index: usize, path: &Path, written: &mut Vec<Written>) {
    let at = KeyPath::of(&["policy", "files"]).index(index);
    let found = if path.is_dir() { check.reader.files_in(path, "toml") } else { Ok(vec![path.to_owned()]) };
    let found: Vec<PathBuf> = match found {
        Ok(found) => found,
        Err(message) => return check.problem(&at, format!("{}: {message}", path.display())),
    };
    for file in found {
        let name = file.display().to_string();
        match check.reader.text(&file) {
            Err(message) => check.problem(&at, format!("{name}: {message}")),
            Ok(text) => match toml::from_str::<PolicyFile>(&text) {
                Err(error) => check.problems.push(Problem {
                    line: error.span().map(|span| line_of(&text, span.start)),
                    ..Problem::of_file(name, error.message())
                }),
                Ok(more) => written.extend(
                    more.policies.into_iter().map(|settings| Written { settings, place: Place::File(name.clone()) }),
                ),
            },
        }
    }
}

fn line_of(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or_default();
    u32::try_from(before.matches('\n').count().saturating_add(1)).unwrap_or(u32::MAX)
}

/// The policy of callers that none matches.
fn default(
    check: &mut Check<'_>,
    name: &str,
    named: &BTreeMap<String, Written>,
    compiled: &BTreeMap<&str, Arc<Policy>>,
) -> Arc<Policy> {
    if name.is_empty() {
        return Policies::default().default;
    }
    if let Some(policy) = compiled.get(name) {
        return Arc::clone(policy);
    }
    match named.get(name).map(|written| policy(check, written, named)) {
        Some(policy) => Arc::new(policy.unwrap_or_default()),
        None => {
            let known: Vec<&str> = named.keys().map(String::as_str).collect();
            let message = format!("there is no policy `{name}`: known are {}", known.join(", "));
            check.problem(&KeyPath::of(&["policy", "default"]), message);
            Policies::default().default
        }
    }
}

/// Follows what a policy extends and checks what it says itself.
fn policy(check: &mut Check<'_>, written: &Written, named: &BTreeMap<String, Written>) -> Option<Policy> {
    let mut bases: Vec<Arc<str>> = Vec::new();
    let mut merged = written.settings.clone();
    let mut next = written.settings.extends.clone();
    while let Some(name) = next {
        let Some(base) = named.get(&name) else {
            written.place.problem(check, "extends", &format!("there is no policy `{name}`"));
            return None;
        };
        if *name == *written.settings.name || bases.iter().any(|known| **known == *name) || bases.len() >= MAX_CHAIN {
            written.place.problem(check, "extends", "it extends itself, by way of others");
            return None;
        }
        merged = merged.over(&base.settings);
        bases.push(Arc::from(name));
        next = base.settings.extends.clone();
    }
    let treatments = treatments(check, written, &merged.families);
    let thresholds = [("flag_at", merged.flag_at), ("block_at", merged.block_at)];
    for (key, _) in thresholds.into_iter().filter(|(_, points)| *points == Some(0)) {
        written.place.problem(check, key, "must be at least 1");
    }
    if let (Some(flag), Some(block)) = (merged.flag_at, merged.block_at)
        && flag > block
    {
        written.place.problem(check, "flag_at", "must not be above block_at");
    }
    Some(Policy {
        name: Arc::from(merged.name.as_str()),
        bases,
        matches: merged.matches.as_ref().map(matches).unwrap_or_default(),
        mode: merged.mode,
        security: merged.security,
        flag_at: merged.flag_at,
        block_at: merged.block_at,
        treatments: (!treatments.is_plain()).then(|| Arc::new(treatments)),
        models: merged.models.as_ref().map(Globs::new),
        tools: merged.tools.as_ref().map(Globs::new),
        approve_tools: merged.approve_tools.as_ref().filter(|tools| !tools.is_empty()).map(Globs::new),
        mcp_hosts: merged.mcp_hosts.as_ref().map(Globs::new),
        on_uninspected: merged.on_uninspected,
        on_failure: merged.on_failure,
        privacy: merged.privacy.unwrap_or_default(),
        charges: charges(check, written, &merged),
        written: Arc::new(PolicySettings { extends: None, ..merged }),
    })
}

/// Limits and budgets of a policy; they are counted under its name.
fn charges(check: &mut Check<'_>, written: &Written, merged: &PolicySettings) -> Plan {
    let limits = merged.limits.unwrap_or_default();
    Plan::new(&merged.name, &limits, &merged.budgets).unwrap_or_else(|problems| {
        for problem in problems {
            written.place.problem(check, "limits", &problem.to_string());
        }
        Plan::default()
    })
}

fn matches(written: &PolicyMatch) -> Match {
    Match {
        tenant: Globs::new(&written.tenant),
        team: Globs::new(&written.team),
        user: Globs::new(&written.user),
        group: Globs::new(&written.group),
        key: Globs::new(&written.key),
        agent: Globs::new(&written.agent),
        route: Globs::new(&written.route),
        model: Globs::new(&written.model),
    }
}

fn treatments(check: &mut Check<'_>, written: &Written, families: &BTreeMap<String, FamilySettings>) -> Treatments {
    let mut all = Treatments::default();
    for (name, FamilySettings { enabled, action, block_at }) in families {
        let Some(family) = Family::ALL.into_iter().find(|family| family.name() == name) else {
            let known: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
            let message = format!("there is no family `{name}`: known are {}", known.join(", "));
            written.place.problem(check, "families", &message);
            continue;
        };
        if *block_at == Some(0) {
            written.place.problem(check, "families", &format!("`{name}`: block_at must be at least 1"));
        }
        all.set(family, Treatment { off: *enabled == Some(false), action: *action, block_at: *block_at });
    }
    all
}

impl Place {
    fn problem(&self, check: &mut Check<'_>, key: &str, message: &str) {
        match self {
            Self::Main(index) => check.problem(&KeyPath::of(&["policies"]).index(*index).key(key), message),
            Self::File(name) => {
                check.problems.push(Problem { path: key.to_owned(), ..Problem::of_file(name, message) });
            }
        }
    }
}
