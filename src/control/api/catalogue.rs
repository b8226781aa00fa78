//! Every rule as its file says it: read once for each Snapshot, for whoever looks rules up.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;

use super::error::ApiError;
use crate::config::Snapshot;
use crate::detect::{self, Anatomy, Rule, Source, Stats};
use crate::types::RuleId;

/// Every rule of one Snapshot, those too that the site switched off.
pub(super) struct Catalogue {
    /// Which state of the rules it is of.
    key: (u64, u64),
    anatomies: Vec<Anatomy>,
    sources: Vec<Source>,
    costs: std::sync::Mutex<BTreeMap<RuleId, Stats>>,
}

/// The catalogue of the Snapshot that was asked for last.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Option<Arc<Catalogue>>>);

/// A rule as its file says it, and as it is in force; `None`: it is switched off.
pub(super) type Pair<'a> = (&'a Anatomy, Option<&'a Rule>);

impl Shelf {
    /// The catalogue of this Snapshot. One is read at a time.
    pub(super) async fn of(&self, snapshot: &Arc<Snapshot>) -> Result<Arc<Catalogue>, ApiError> {
        let key = (snapshot.generation.0, snapshot.learned.version);
        let mut shelf = self.0.lock().await;
        if let Some(known) = shelf.as_ref().filter(|known| known.key == key) {
            return Ok(Arc::clone(known));
        }
        let snapshot = Arc::clone(snapshot);
        let read = tokio::task::spawn_blocking(move || Catalogue::read(key, &snapshot)).await;
        let made = Arc::new(read.map_err(|error| ApiError::internal(&error))??);
        *shelf = Some(Arc::clone(&made));
        Ok(made)
    }

    /// What a rule costs by itself. One is compiled at a time.
    pub(super) async fn cost(&self, catalogue: Arc<Catalogue>, id: RuleId, snapshot: Arc<Snapshot>) -> Option<Stats> {
        let _turn = self.0.lock().await;
        let compiled = tokio::task::spawn_blocking(move || catalogue.cost(id, &snapshot));
        compiled.await.ok().flatten()
    }
}

impl Catalogue {
    fn read(key: (u64, u64), snapshot: &Snapshot) -> Result<Self, ApiError> {
        let learned = snapshot.learned.files.iter().map(|file| &file.source);
        // What could not be used is not in force.
        let used = learned.filter(|source| snapshot.rules.rules().iter().any(|rule| *rule.file == *source.name));
        let sources: Vec<Source> = used.chain(snapshot.rule_sources().sources()).cloned().collect();
        let anatomies = detect::anatomies(&sources).map_err(|problems| {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            ApiError::internal(&told.join("; "))
        })?;
        Ok(Self { key, anatomies, sources, costs: std::sync::Mutex::default() })
    }

    /// Every rule, by id.
    pub(super) fn rules<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = Pair<'a>> {
        let in_force: BTreeMap<&RuleId, &Rule> = snapshot.rules.rules().iter().map(|rule| (&rule.id, rule)).collect();
        self.anatomies.iter().map(move |one| (one, in_force.get(&one.rule.id).copied()))
    }

    fn cost(&self, id: RuleId, snapshot: &Snapshot) -> Option<Stats> {
        let known = self.costs.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        if known.is_some() {
            return known;
        }
        let cost = detect::cost(&self.sources, &id.0, &snapshot.rule_budget()).ok()?;
        self.costs.lock().unwrap_or_else(PoisonError::into_inner).insert(id, cost);
        Some(cost)
    }
}
