//! The files of the security operations centre: rules for alerts and incidents, responses and playbooks, those in the binary and
//! then those of the configured directories.

use std::fs;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use super::soc_settings::Soc;
use crate::soc::playbook::{Playbooks, Source};
use crate::soc::responses::Responses;
use crate::soc::{AlertRules, IncidentRules};

/// Files of one directory, and the bytes of one: more is a mistake.
const MAX_FILES: usize = 1024;
const MAX_BYTES: u64 = 1 << 20;

#[derive(RustEmbed)]
#[folder = "rules/playbooks/"]
#[include = "*.md"]
struct BuiltinPlaybooks;

/// The responses built into the binary.
const RESPONSES: (&str, &str) = ("rules/soc/responses.yaml", include_str!("../../rules/soc/responses.yaml"));

/// All of them, read and checked.
#[derive(Debug, Clone)]
pub struct SocFiles {
    /// What is an alert.
    pub alerts: AlertRules,
    /// What belongs together.
    pub incidents: IncidentRules,
    /// What is done about it.
    pub responses: Responses,
    /// How.
    pub playbooks: Playbooks,
}

impl SocFiles {
    /// Reads the built-in ones and the directories of `settings`.
    ///
    /// # Errors
    /// Every problem, with file and line.
    pub fn read(settings: &Soc) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let rules = sources(&settings.rules, "yaml", &mut problems);
        let own: Vec<(&str, &str)> = rules.iter().map(|source| (source.name.as_str(), source.text.as_str())).collect();
        let mut responses = vec![Source { name: RESPONSES.0.to_owned(), text: RESPONSES.1.to_owned() }];
        responses.extend(rules.iter().cloned());
        let mut playbooks = builtin_playbooks();
        playbooks.extend(sources(&settings.playbooks, "md", &mut problems));
        let mut told = |found: Vec<crate::soc::Problem>| problems.extend(found.iter().map(ToString::to_string));
        let alerts = AlertRules::read(&own).map_err(&mut told).ok();
        let incidents = IncidentRules::read(&own).map_err(&mut told).ok();
        let responses = Responses::new(&responses).map_err(&mut told).ok();
        let playbooks = Playbooks::new(&playbooks).map_err(&mut told).ok();
        match (alerts, incidents, responses, playbooks) {
            (Some(alerts), Some(incidents), Some(responses), Some(playbooks)) if problems.is_empty() => {
                Ok(Self { alerts, incidents, responses, playbooks })
            }
            _ => Err(problems),
        }
    }
}

fn builtin_playbooks() -> Vec<Source> {
    let text = |name: &str| BuiltinPlaybooks::get(name).map(|file| String::from_utf8_lossy(&file.data).into_owned());
    BuiltinPlaybooks::iter()
        .filter_map(|name| Some(Source { name: format!("rules/playbooks/{name}"), text: text(&name)? }))
        .collect()
}

/// The files of these directories that end in this way, in the order of their names.
fn sources(directories: &[PathBuf], ending: &str, problems: &mut Vec<String>) -> Vec<Source> {
    let mut found = Vec::new();
    for directory in directories {
        match files(directory, ending) {
            Ok(files) => found.extend(files),
            Err(problem) => problems.push(format!("{}: {problem}", directory.display())),
        }
    }
    found
}

fn files(directory: &Path, ending: &str) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|own| own == ending) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.len() > MAX_FILES {
        return Err(format!("has {} files, at most {MAX_FILES}", paths.len()));
    }
    paths.iter().map(|path| file(path)).collect()
}

fn file(path: &Path) -> Result<Source, String> {
    let name = path.display().to_string();
    let told = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let bytes = fs::metadata(path).map_err(|error| told(&error))?.len();
    if bytes > MAX_BYTES {
        return Err(told(&format!("has {bytes} bytes, at most {MAX_BYTES}")));
    }
    let text = fs::read_to_string(path).map_err(|error| told(&error))?;
    Ok(Source { name, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_read_without_a_problem() {
        let files = SocFiles::read(&Soc::default()).unwrap();
        assert!(files.alerts.rules().len() >= 10);
        assert!(files.playbooks.iter().count() >= 14);
        assert!(files.playbooks.sections().count() > 50);
    }

    #[test]
    fn a_sites_files_are_read_and_their_problems_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Soc { playbooks: vec![folder.path().to_owned()], ..Soc::default() };
        fs::write(folder.path().join("mine.md"), "no front matter").unwrap();
        let problems = SocFiles::read(&settings).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains("mine.md")), "{problems:?}");
        let settings = Soc { rules: vec![folder.path().join("gone")], ..Soc::default() };
        assert_eq!(SocFiles::read(&settings).unwrap_err().len(), 1);
    }
}
