//! `check`: configuration, rules and the rules' own cases; every problem at once.

use std::process::ExitCode;
use std::time::Instant;

use super::output::Out;
use super::{Error, listed};
use crate::config::settings::UpstreamKind;
use crate::config::{Loaded, Source};
use crate::detect::{RuleSet, Stats};

pub(super) fn run(source: &Source, out: &mut Out) -> Result<ExitCode, Error> {
    let started = Instant::now();
    let (loaded, prepared) = source.check().map_err(Error::Problems)?;
    let took = started.elapsed();
    settings(&loaded, out)?;
    for model in prepared.snapshot().models.iter() {
        out.line(format_args!("model     {} ({})", model.name(), model.identity()))?;
    }
    rules(&loaded, &prepared.snapshot().rules, out)?;
    soc(&loaded, out)?;
    out.line(format_args!("checked   in {} ms, the rules' own cases included", took.as_millis()))?;
    if loaded.warnings.is_empty() {
        out.line("no problems")?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::Failed(listed(&loaded.warnings)))
}

fn settings(loaded: &Loaded, out: &mut Out) -> Result<(), Error> {
    out.line(format_args!("settings  {}", loaded.source.name()))?;
    out.line(format_args!(
        "          {} listeners, {} routes, {} gateway keys, inspection: {}",
        loaded.settings.listeners.len(),
        loaded.settings.routes.len(),
        loaded.keys.len(),
        format!("{:?}", loaded.settings.inspect.mode).to_lowercase(),
    ))?;
    for upstream in loaded.upstreams.iter() {
        let place = match (&upstream.base, upstream.kind) {
            (Some(base), _) => format!("{}://{}{}", base.scheme, base.authority, base.prefix),
            (None, UpstreamKind::Rehearsal | UpstreamKind::Openai | UpstreamKind::Anthropic) => {
                "the built-in offline model".to_owned()
            }
        };
        out.line(format_args!("upstream  {} → {place}", upstream.name))?;
    }
    Ok(())
}

fn soc(loaded: &Loaded, out: &mut Out) -> Result<(), Error> {
    let files = &loaded.soc;
    out.line(format_args!(
        "soc       {} rules for alerts, {} playbooks with {} sections",
        files.alerts.rules().len(),
        files.playbooks.iter().count(),
        files.playbooks.sections().count(),
    ))?;
    Ok(())
}

fn rules(loaded: &Loaded, rules: &RuleSet, out: &mut Out) -> Result<(), Error> {
    let Stats { input_rules, output_rules, patterns, automata, bytes, longest_hold } = rules.stats();
    out.line(format_args!(
        "rules     {} in {} files: {input_rules} for prompts, {output_rules} for answers",
        rules.rules().len(),
        loaded.rule_files(),
    ))?;
    out.line(format_args!(
        "          {patterns} patterns, {automata} automata, {} KiB compiled, holds back {longest_hold} bytes at most",
        bytes.div_ceil(1024),
    ))?;
    out.line(format_args!("          {}", rules.hash()))
}
