//! What the binary carries: every rule and the classifier, on the default budget.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::config::read_rules;
use portcullis::detect::classify::Classifier;
use portcullis::detect::{Budget, RuleSet};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

pub(crate) fn classifier() -> Arc<Classifier> {
    Arc::new(Classifier::new(&fs::read(folder().join("model/classifier.bin")).unwrap()).unwrap())
}

pub(crate) fn rules() -> Arc<RuleSet> {
    let budget = Budget { max_rule: 4 << 20, max_total: 64 << 20, max_hold: 4 << 10 };
    let sources = read_rules(&folder()).unwrap();
    Arc::new(RuleSet::compile(&sources, Some(classifier()), &BTreeMap::new(), &budget).unwrap())
}
