//! Learned rules taken over from elsewhere: checked, so that nothing in a file may act before it is let, or on others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desk::{LearnDesk, fresh, hash, refused};
use super::rewrite;
use crate::config::{Handle, staged};
use crate::control::soc::approvals::{RuleError, Who};
use crate::detect::{self, Directions, RuleSet, Source};
use crate::store::{StoreError, now};
use crate::types::learn::{LEARNED, Proposal, Stage};
use crate::types::{Role, RuleId};

impl LearnDesk {
    /// Takes over a rule file that was learned elsewhere: it goes through the same gates.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong with it.
    pub async fn import(&self, rules: String, who: &Who) -> Result<Proposal, RuleError> {
        if rules.len() > self.options.max_text {
            return Err(RuleError::Invalid(format!("the file may have {} bytes at most", self.options.max_text)));
        }
        let (config, text) = (Arc::clone(&self.config), rules.clone());
        let read = tokio::task::spawn_blocking(move || compile(&config, &text)).await;
        let read = read.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let set = read.map_err(RuleError::Invalid)?;
        plain(&set, &rules).map_err(RuleError::Invalid)?;
        let ids: Vec<RuleId> = set.rules().iter().map(|rule| rule.id.clone()).collect();
        let title = set.rules().first().map_or_else(|| Arc::from(""), |rule| Arc::clone(&rule.title));
        let known = self.config.load_full();
        let taken = self.feed.database().learned_ids().await?;
        let is_taken = |rule: &&RuleId| {
            let stem = rule.0.rsplit_once('-').map_or("", |(stem, _)| stem);
            known.rules.rules().iter().any(|known| known.id == **rule)
                || taken.iter().any(|(of, ids)| ids.contains(*rule) || **of == *stem)
        };
        if let Some(rule) = ids.iter().find(is_taken) {
            return refused(format!("there is a rule {} already, or there will be", rule.0));
        }
        let at = now();
        let mut proposal = fresh(None, title, vec![Arc::clone(&who.account)], at);
        proposal.rules = rewrite::with_origin(&rules, &[("imported_by", &who.account), ("proposal", &proposal.id)]);
        (proposal.hash, proposal.ids) = (hash(&proposal.rules), ids);
        match self.feed.database().propose(&proposal, self.options.bounds.waiting).await {
            Ok(entries) => {
                self.feed.publish(entries).await;
                Ok(proposal)
            }
            Err(StoreError::Full(why)) => refused(why),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a file that is taken over is like those that are learned here: nothing in it may act before it is let, or on others.
///
/// # Errors
/// What is in it that is not allowed.
fn plain(set: &RuleSet, text: &str) -> Result<(), String> {
    let said = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let documents =
        text.split("\n---").filter(|part| part.lines().any(|line| said(&line) && line.trim() != "---")).count();
    if set.rules().is_empty() {
        return Err("there is no rule in it".to_owned());
    }
    if set.rules().len() != documents {
        return Err("it may hold nothing but rules, each a document of its own".to_owned());
    }
    for rule in set.rules() {
        let id = &rule.id.0;
        let lines =
            text.lines().filter(|line| line.strip_prefix("id: ").is_some_and(|own| own.trim() == &**id)).count();
        if !id.starts_with(LEARNED) {
            return Err(format!("{id}: ids of learned rules begin with {LEARNED}"));
        }
        if lines != 1 || rule.stage != Stage::Live {
            return Err(format!("{id}: each rule begins with a line `id: {id}` and says no stage"));
        }
        if rule.directions != Directions::Input || !rule.roles.contains(Role::User) {
            return Err(format!("{id}: it has to look at prompts, and at what users say"));
        }
    }
    let shadow = staged(text, Stage::Shadow);
    let source = Source { name: "learned rules".to_owned(), text: shadow };
    let read = detect::anatomies(&[source])
        .map_err(|told| told.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    for anatomy in &read {
        let detector = anatomy.written.iter().find(|(key, _)| key == "detector").and_then(|(_, words)| words.first());
        if detector.is_some_and(|detector| detector != "learned")
            || anatomy.written.iter().any(|(key, _)| key == "type")
        {
            return Err("it may look by patterns or with the detector `learned` alone".to_owned());
        }
    }
    Ok(())
}

/// The rules of one file, alone.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn compile(config: &Handle, rules: &str) -> Result<RuleSet, String> {
    let budget = config.load_full().rule_budget();
    let source = Source { name: "learned rules".to_owned(), text: rules.to_owned() };
    let told = |problems: Vec<detect::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let set = RuleSet::compile(&[source], None, &BTreeMap::new(), &budget).map_err(told)?;
    let failed = set.self_test();
    if failed.is_empty() { Ok(set) } else { Err(told(failed)) }
}
