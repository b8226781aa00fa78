//! The files of the security operations centre: rules for alerts and incidents, responses and playbooks, those in the binary and
//! then those of the configured directories.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::RustEmbed;

use super::check::Check;
use super::problem::{KeyPath, Problem};
use super::read::Reader;
use super::soc_settings::Soc;
use crate::models::{CrossEncoder, CrossSpec, HAS_ONNX};
use crate::soc::playbook::{Playbooks, Source};
use crate::soc::responses::Responses;
use crate::soc::{AlertRules, IncidentRules};

#[derive(RustEmbed)]
#[folder = "rules/playbooks/"]
#[include = "*.md"]
struct BuiltinPlaybooks;

/// The responses built into the binary.
const RESPONSES: (&str, &str) = ("rules/soc/responses.yaml", include_str!("../../rules/soc/responses.yaml"));

/// All of them, read and checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SocFiles {
    /// What is an alert.
    pub alerts: AlertRules,
    /// What belongs together.
    pub incidents: IncidentRules,
    /// What is done about it.
    pub responses: Responses,
    /// How.
    pub playbooks: Playbooks,
    /// The files of the model that reads claims with their evidence.
    pub cross_encoder: Option<CrossSpec>,
}

/// Says what the files are now.
pub type SocFilesNow = Arc<dyn Fn() -> Arc<SocFiles> + Send + Sync>;

/// Reads the built-in ones and the configured directories; nothing where the SOC is switched off.
pub(super) fn read(check: &mut Check<'_>, settings: &Soc) -> SocFiles {
    if !settings.enabled {
        return SocFiles::default();
    }
    let mut problems = Vec::new();
    let files = SocFiles::read_by(check.reader, settings, &mut problems);
    for problem in problems {
        check.problem(&KeyPath::of(&["soc"]), problem);
    }
    SocFiles { cross_encoder: cross_encoder(check, settings), ..files }
}

/// What is there of the cross-encoder that is configured.
fn cross_encoder(check: &mut Check<'_>, settings: &Soc) -> Option<CrossSpec> {
    let directory = settings.analyst.cross_encoder.as_ref()?;
    let at = KeyPath::of(&["soc", "analyst", "cross_encoder"]);
    if !HAS_ONNX {
        let message = "this build cannot run ONNX models: build with `cargo build --release --features onnx`";
        check.problem(&at, message);
        return None;
    }
    let mut files = Vec::new();
    let names = ["model.onnx", "tokenizer.json", "config.json", "model.onnx_data", "model.onnx.data"];
    for (number, name) in names.into_iter().enumerate() {
        let path = directory.join(name);
        match check.reader.stamp(&path) {
            Ok(stamp) => files.push((path, Some(stamp))),
            // It cannot do without the first two.
            Err(message) if number < 2 => check.problem(&at, format!("{}: {message}", path.display())),
            Err(_) => files.push((path, None)),
        }
    }
    let (max_tokens, threads) = (settings.analyst.cross_tokens, settings.analyst.cross_threads);
    Some(CrossSpec { directory: directory.clone(), files, max_tokens, threads })
}

impl SocFiles {
    /// Loads the cross-encoder they name; `before` where it is the same.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub(super) fn load_cross_encoder(
        &self,
        before: Option<&Arc<CrossEncoder>>,
    ) -> Result<Option<Arc<CrossEncoder>>, Vec<Problem>> {
        let Some(spec) = &self.cross_encoder else { return Ok(None) };
        let told = |why| vec![Problem::of_file(String::new(), format!("soc.analyst.cross_encoder: {why}"))];
        CrossEncoder::build(spec, before).map(Some).map_err(told)
    }

    /// Reads the built-in ones and the directories of `settings`.
    ///
    /// # Errors
    /// Every problem, with file and line.
    pub fn read(settings: &Soc) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let files = Self::read_by(&mut Reader::default(), settings, &mut problems);
        if problems.is_empty() { Ok(files) } else { Err(problems) }
    }

    fn read_by(reader: &mut Reader, settings: &Soc, problems: &mut Vec<String>) -> Self {
        let rules = sources(reader, &settings.rules, "yaml", problems);
        let own: Vec<(&str, &str)> = rules.iter().map(|source| (source.name.as_str(), source.text.as_str())).collect();
        let mut responses = vec![Source { name: RESPONSES.0.to_owned(), text: RESPONSES.1.to_owned() }];
        responses.extend(rules.iter().cloned());
        let mut playbooks = builtin_playbooks();
        playbooks.extend(sources(reader, &settings.playbooks, "md", problems));
        let mut told = |found: Vec<crate::soc::Problem>| problems.extend(found.iter().map(ToString::to_string));
        Self {
            alerts: AlertRules::read(&own).map_err(&mut told).unwrap_or_default(),
            incidents: IncidentRules::read(&own).map_err(&mut told).unwrap_or_default(),
            responses: Responses::new(&responses).map_err(&mut told).unwrap_or_default(),
            playbooks: Playbooks::new(&playbooks).map_err(&mut told).unwrap_or_default(),
            cross_encoder: None,
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
fn sources(reader: &mut Reader, directories: &[PathBuf], ending: &str, problems: &mut Vec<String>) -> Vec<Source> {
    let mut found = Vec::new();
    for directory in directories {
        match reader.files_in(directory, ending) {
            Ok(paths) => found.extend(paths.iter().filter_map(|path| source(reader, path, problems))),
            Err(problem) => problems.push(format!("{}: {problem}", directory.display())),
        }
    }
    found
}

fn source(reader: &mut Reader, path: &Path, problems: &mut Vec<String>) -> Option<Source> {
    let name = path.display().to_string();
    match reader.text(path) {
        Ok(text) => Some(Source { name, text }),
        Err(problem) => {
            problems.push(format!("{name}: {problem}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
