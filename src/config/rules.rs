//! Where rules come from: those in the binary, then the configured directories.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rust_embed::RustEmbed;

use super::check::Check;
use super::problem::{KeyPath, Problem};
use super::read::{Fingerprint, Reader, RuleFiles};
use super::settings::{self, RuleOverride};
use crate::detect::classify::Classifier;
use crate::detect::{self, Budget, Override, RuleSet, Source};

/// The rules built into the binary.
#[derive(RustEmbed)]
#[folder = "rules/"]
#[include = "**/*.yaml"]
#[include = "model/classifier.bin"]
#[exclude = "compliance/*"]
#[exclude = "redteam/*"]
#[exclude = "soc/*"]
struct Builtin;

/// Where the built-in classifier is.
const CLASSIFIER: &str = "model/classifier.bin";

/// Everything a rule set is compiled from, read but not yet compiled.
#[derive(Clone)]
pub struct RuleSources {
    sources: Vec<Source>,
    /// How many of them are in the binary; they come first.
    builtin: usize,
    classifier: Option<Arc<Classifier>>,
    settings: settings::Rules,
    /// Where each override is written, as a problem without words.
    places: BTreeMap<String, Problem>,
    /// A digest over the above.
    pub(super) fingerprint: Fingerprint,
}

/// Reads the built-in rules and every configured directory.
pub(super) fn read(check: &mut Check<'_>, rules: &settings::Rules) -> RuleSources {
    let mut sources = if rules.builtin { builtin(check) } else { Vec::new() };
    let builtin = sources.len();
    for (index, directory) in rules.directories.iter().enumerate() {
        let at = KeyPath::of(&["rules", "directories"]).index(index);
        let RuleFiles { files, bad } = check.reader.rule_files(directory);
        for (path, message) in bad {
            check.problem(&at, format!("{}: {message}", path.display()));
        }
        sources.extend(files.into_iter().map(|(path, text)| Source { name: path.display().to_string(), text }));
    }
    let classifier = classifier(check, &rules.classifier);
    let fingerprint = fingerprint(&sources, classifier.as_deref(), rules);
    let place = |id: &String| (id.clone(), check.located(&KeyPath::of(&["rules", "overrides", id])));
    let places = rules.overrides.keys().map(place).collect();
    RuleSources { sources, builtin, classifier, settings: rules.clone(), places, fingerprint }
}

/// Reads a rule file, or every rule file below a directory, under the limits that hold for the configured ones.
///
/// # Errors
/// Every file that cannot be read, with the reason.
pub fn read_rules(path: &Path) -> Result<Vec<Source>, Vec<Problem>> {
    let mut reader = Reader::default();
    let RuleFiles { files, bad } = if path.is_dir() { reader.rule_files(path) } else { reader.rule_file(path) };
    if !bad.is_empty() {
        return Err(bad.into_iter().map(|(path, why)| Problem::of_file(path.display().to_string(), why)).collect());
    }
    Ok(files.into_iter().map(|(path, text)| Source { name: path.display().to_string(), text }).collect())
}

/// The files of a directory that end in this way, with their names, under the limits that hold for the configured ones.
///
/// # Errors
/// Every file that cannot be read, with the reason.
pub fn texts_in(directory: &Path, ending: &str) -> Result<Vec<(String, String)>, Vec<String>> {
    let mut reader = Reader::default();
    let of = |path: &Path, why: String| format!("{}: {why}", path.display());
    let paths = reader.files_in(directory, ending).map_err(|why| vec![of(directory, why)])?;
    let (mut files, mut bad) = (Vec::new(), Vec::new());
    for path in paths {
        match reader.text(&path) {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(why) => bad.push(of(&path, why)),
        }
    }
    if bad.is_empty() { Ok(files) } else { Err(bad) }
}

fn builtin(check: &mut Check<'_>) -> Vec<Source> {
    let mut names: Vec<_> = Builtin::iter().filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    let mut sources = Vec::new();
    for name in names {
        let text = Builtin::get(&name).and_then(|file| String::from_utf8(file.data.into_owned()).ok());
        let name = format!("rules/{name}");
        match text {
            Some(text) => {
                check.reader.note(&name, &text);
                sources.push(Source { name, text });
            }
            None => check.problem(&KeyPath::of(&["rules", "builtin"]), format!("the built-in {name} is not readable")),
        }
    }
    sources
}

/// The classifier that `named` asks for; `None` if that is none, or if it cannot be used.
fn classifier(check: &mut Check<'_>, named: &str) -> Option<Arc<Classifier>> {
    // The one in the binary never changes: it is prepared once and shared by every rule set.
    static BUILTIN: LazyLock<Result<Arc<Classifier>, String>> = LazyLock::new(|| {
        let file = Builtin::get(CLASSIFIER).ok_or("it is not there")?;
        Classifier::new(&file.data).map(Arc::new)
    });
    let read = match named {
        "off" => return None,
        "builtin" => BUILTIN.clone(),
        path => check.reader.model(Path::new(path)).and_then(|file| Classifier::new(&file).map(Arc::new)),
    };
    match read {
        Ok(classifier) => Some(classifier),
        Err(message) => {
            check.problem(&KeyPath::of(&["rules", "classifier"]), format!("{named}: {message}"));
            None
        }
    }
}

impl RuleSources {
    /// Compiles the rules, unless `before` was made from the same, and runs their own cases. `learned` are further files,
    /// which those of the configuration replace where ids are the same.
    pub(super) fn compile(
        &self,
        before: Option<(&Fingerprint, &Arc<RuleSet>)>,
        learned: &[Source],
    ) -> Result<Arc<RuleSet>, Vec<Problem>> {
        if let Some((fingerprint, compiled)) = before
            && *fingerprint == self.fingerprint_with(learned)
        {
            return Ok(Arc::clone(compiled));
        }
        let told = |problems: Vec<detect::Problem>| problems.into_iter().map(|problem| self.located(problem)).collect();
        let sources: Vec<Source> = learned.iter().chain(&self.sources).cloned().collect();
        let compiled =
            RuleSet::compile(&sources, self.classifier(), &self.overrides(), &self.budget()).map_err(told)?;
        let mut failed = compiled.dangling();
        failed.extend(compiled.self_test());
        if failed.is_empty() { Ok(Arc::new(compiled)) } else { Err(told(failed)) }
    }

    /// A digest over these and further files.
    pub(super) fn fingerprint_with(&self, learned: &[Source]) -> Fingerprint {
        if learned.is_empty() {
            return self.fingerprint;
        }
        let mut all = blake3::Hasher::new();
        all.update(&self.fingerprint);
        for text in learned.iter().flat_map(|source| [&source.name, &source.text]) {
            all.update(&(text.len() as u64).to_le_bytes());
            all.update(text.as_bytes());
        }
        *all.finalize().as_bytes()
    }

    /// What is said of an override is told where the override stands.
    fn located(&self, problem: detect::Problem) -> Problem {
        match self.places.get(&problem.path) {
            Some(place) if problem.line.is_none() => Problem { message: problem.message, ..place.clone() },
            _ => problem.into(),
        }
    }

    /// The rule files, in the order in which they replace each other.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether the file of that name, as rules say where they come from, is in the binary.
    pub fn is_builtin(&self, file: &str) -> bool {
        // Of two files of one name the later one counts.
        self.sources.iter().rposition(|source| source.name == file).is_some_and(|at| at < self.builtin)
    }

    /// The site's changes, by rule or family.
    pub fn overrides(&self) -> BTreeMap<String, Override> {
        self.settings.overrides.iter().map(|(id, change)| (id.clone(), convert(change))).collect()
    }

    /// What the rules may cost.
    pub fn budget(&self) -> Budget {
        Budget {
            max_rule: self.settings.max_rule.get(),
            max_total: self.settings.max_total.get(),
            max_hold: self.settings.max_hold.get(),
        }
    }

    /// The classifier, if there is one.
    pub fn classifier(&self) -> Option<Arc<Classifier>> {
        self.classifier.clone()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.sources.len()
    }
}

impl fmt::Debug for RuleSources {
    /// How much there is; the texts are long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSources").field("files", &self.sources.len()).finish_non_exhaustive()
    }
}

fn convert(change: &RuleOverride) -> Override {
    Override { enabled: change.enabled, action: change.action, score: change.score, severity: change.severity }
}

fn fingerprint(sources: &[Source], classifier: Option<&Classifier>, rules: &settings::Rules) -> Fingerprint {
    let mut all = blake3::Hasher::new();
    let mut add = |text: &str| {
        all.update(&(text.len() as u64).to_le_bytes());
        all.update(text.as_bytes());
    };
    for source in sources {
        add(&source.name);
        add(&source.text);
    }
    add(classifier.map_or("", Classifier::digest));
    add(&format!("{:?} {} {} {}", rules.overrides, rules.max_rule, rules.max_total, rules.max_hold));
    *all.finalize().as_bytes()
}
