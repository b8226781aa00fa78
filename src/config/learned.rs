//! Learned rules in the Snapshot: ordinary rule files that come from the store instead of a directory.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::problem::Problem;
use super::read::Fingerprint;
use super::rules::RuleSources;
use crate::detect::{RuleSet, Source};
use crate::types::RuleId;
use crate::types::learn::{Proposal, Stage};

/// Learned rules that are on trial or in force, as rule files; a state of the store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Counts the changes in the store.
    pub version: u64,
    /// The files.
    pub files: Vec<LearnedFile>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedFile {
    /// The file, with its stage written in.
    pub source: Source,
    /// How far it is trusted.
    pub stage: Stage,
}

impl Learned {
    /// Those of these proposals that are staged, in their order. Of two that have a rule of the same id the older one stays.
    pub fn of(version: u64, proposals: &[Proposal]) -> Self {
        let mut known: BTreeSet<&RuleId> = BTreeSet::new();
        let mut files = Vec::new();
        for proposal in proposals {
            let Some(stage) = proposal.stage() else { continue };
            if proposal.ids.iter().any(|id| known.contains(id)) {
                continue;
            }
            known.extend(&proposal.ids);
            let name = format!("learned/{}.yaml", proposal.stem);
            files.push(LearnedFile { source: Source { name, text: staged(&proposal.rules, stage) }, stage });
        }
        Self { version, files }
    }
}

/// A rule file with its rules in this stage. It says none itself.
pub fn staged(rules: &str, stage: Stage) -> String {
    let mut out = String::with_capacity(rules.len().saturating_add(64));
    for line in rules.lines() {
        out.push_str(line);
        out.push('\n');
        if line.starts_with("id: ") && stage != Stage::Live {
            // Writing to a String cannot fail.
            writeln!(out, "stage: {}", stage.name()).unwrap_or_default();
            if let Stage::Canary { share } = stage {
                writeln!(out, "share: {share:?}").unwrap_or_default();
            }
        }
    }
    out
}

/// Rules with those that were learned.
pub(super) struct Compiled {
    pub(super) rules: Arc<RuleSet>,
    /// A digest over what they were made of.
    pub(super) fingerprint: Fingerprint,
    /// Why some that were learned are left out.
    pub(super) problems: Vec<Problem>,
}

/// Compiles the rules with those that were learned. What cannot be used together with the others is left out and told: a site's
/// own files come first, then what decides, then what is on trial.
pub(super) fn compile(
    sources: &RuleSources,
    before: Option<(&Fingerprint, &Arc<RuleSet>)>,
    learned: &Learned,
) -> Result<Compiled, Vec<Problem>> {
    let mut kept: Vec<&LearnedFile> = learned.files.iter().collect();
    let mut told = Vec::new();
    loop {
        let files: Vec<Source> = kept.iter().map(|file| file.source.clone()).collect();
        match sources.compile(before, &files) {
            Ok(rules) => {
                let wrong = astray(&rules, &kept);
                if wrong.is_empty() {
                    let fingerprint = sources.fingerprint_with(&files);
                    return Ok(Compiled { rules, fingerprint, problems: told });
                }
                kept.retain(|file| !wrong.contains(&file.source.name));
                let said =
                    |name: String| Problem::of_file(name, "a rule in it is not in the stage that it has to be in");
                told.extend(wrong.into_iter().map(said));
            }
            Err(problems) if kept.is_empty() => return Err(problems),
            Err(problems) => {
                let count = kept.len();
                kept.retain(|file| !problems.iter().any(|problem| problem.origin == file.source.name));
                if kept.len() == count {
                    // No file of them is to blame alone: what is trusted least goes.
                    let least = kept.iter().map(|file| trust(file.stage)).min().unwrap_or_default();
                    kept.retain(|file| trust(file.stage) > least);
                }
                told.extend(problems);
            }
        }
    }
}

const fn trust(stage: Stage) -> u8 {
    match stage {
        Stage::Shadow => 0,
        Stage::Canary { .. } => 1,
        Stage::Live => 2,
    }
}

/// The files of which a rule is not in the stage of the file.
fn astray(rules: &RuleSet, files: &[&LearnedFile]) -> Vec<String> {
    let wrong = |file: &&&LearnedFile| {
        rules.rules().iter().any(|rule| *rule.file == *file.source.name && rule.stage != file.stage)
    };
    files.iter().filter(wrong).map(|file| file.source.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_written_into_each_rule() {
        let rules = "id: LRN-7F3A9C-1\ntitle: A\n---\nid: LRN-7F3A9C-2\ntitle: id\n";
        assert_eq!(staged(rules, Stage::Live), rules);
        assert_eq!(staged(rules, Stage::Shadow).matches("\nstage: shadow\n").count(), 2);
        assert!(staged(rules, Stage::Canary { share: 0.1 }).contains("stage: canary\nshare: 0.1\ntitle: A\n"));
    }
}
