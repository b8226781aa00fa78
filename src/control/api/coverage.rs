//! What the rules cover of the catalogues of threats, and what was found of each.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;
use super::extract::Asked;
use super::guard::Principal;
use super::rule_hits::period;
use crate::store::HitCounts;

/// The tactics of MITRE ATLAS, in the order of the matrix.
const TACTICS: [&str; 16] = [
    "Reconnaissance",
    "Resource Development",
    "Initial Access",
    "AI Model Access",
    "Execution",
    "Persistence",
    "Privilege Escalation",
    "Defense Evasion",
    "Credential Access",
    "Discovery",
    "Lateral Movement",
    "Collection",
    "AI Attack Staging",
    "Command and Control",
    "Exfiltration",
    "Impact",
];

/// The tactics of techniques, by position in the above. A part of a technique has those of the technique.
const TECHNIQUES: &[(&str, &[usize])] = &[
    ("AML.T0006", &[0]),
    ("AML.T0011", &[4]),
    ("AML.T0012", &[2, 6]),
    ("AML.T0029", &[15]),
    ("AML.T0034", &[15]),
    ("AML.T0037", &[11]),
    ("AML.T0043", &[12]),
    ("AML.T0049", &[2]),
    ("AML.T0050", &[4]),
    ("AML.T0051", &[4]),
    ("AML.T0052", &[2, 10]),
    ("AML.T0053", &[4, 6, 10]),
    ("AML.T0054", &[6, 7]),
    ("AML.T0055", &[8]),
    ("AML.T0056", &[14]),
    ("AML.T0057", &[14]),
    ("AML.T0061", &[5]),
    ("AML.T0067", &[7]),
    ("AML.T0068", &[7]),
    ("AML.T0069", &[9]),
    ("AML.T0072", &[13]),
    ("AML.T0075", &[9]),
    ("AML.T0077", &[14]),
    ("AML.T0080", &[5]),
    ("AML.T0081", &[5, 7]),
    ("AML.T0083", &[8]),
    ("AML.T0084", &[9]),
    ("AML.T0086", &[14]),
    ("AML.T0092", &[7]),
    ("AML.T0093", &[2, 5]),
    ("AML.T0101", &[15]),
    ("AML.T0102", &[12]),
    ("AML.T0105", &[6]),
    ("AML.T0110", &[5]),
];

/// Over which time hits are counted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CoverageQuery {
    /// The beginning: Unix time in microseconds; a day before the end unless said otherwise.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// The end; now unless said otherwise. At most 366 days later.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
}

/// A threat, and what the rules make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Covered {
    /// Its id.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Its tactics, where the catalogue has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tactics: Vec<String>,
    /// Rules in force that are about it, or about a part of it.
    pub rules: u64,
    /// Times that these found something: requests, counted for each of them.
    pub hits: u64,
}

/// A catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogueShown {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its tactics in order; none where it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tactics: Vec<String>,
    /// Its threats, by id.
    pub threats: Vec<Covered>,
}

/// What the rules cover.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// Since when hits are counted: Unix time in microseconds.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// There was more than is looked at: nothing older than this is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// The catalogues, newer versions first.
    pub catalogues: Vec<CatalogueShown>,
}

/// What the rules in force cover of the catalogues of threats, and what was found of each.
#[utoipa::path(get, path = "/api/v1/coverage", tag = "detection", params(CoverageQuery),
    responses((status = 200, description = "The catalogues.", body = Coverage)))]
pub async fn coverage(
    State(app): State<App>,
    who: Principal,
    Asked(asked): Asked<CoverageQuery>,
) -> Result<Json<Coverage>, ApiError> {
    let query = period(&app, asked.from, asked.to, 1)?;
    let found = if who.reads_events() { app.database.rule_hits(&query).await? } else { HitCounts::default() };
    let hits: BTreeMap<&str, u64> = found.counts.iter().map(|one| (one.rule.as_str(), one.requests)).collect();
    let snapshot = app.doors.gateway.snapshot();
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for rule in snapshot.rules.rules() {
        let found = hits.get(&*rule.id.0).copied().unwrap_or(0);
        // A rule about a part of a technique is about the technique too, once.
        let about: BTreeSet<&str> = rule.threats.iter().flat_map(|id| [&**id, whole(id)]).collect();
        for threat in about {
            let sum = sums.entry(threat).or_default();
            *sum = (sum.0.saturating_add(1), sum.1.saturating_add(found));
        }
    }
    let mut catalogues: BTreeMap<(&str, &str), Vec<Covered>> = BTreeMap::new();
    for (id, threat) in snapshot.rules.threats() {
        let (rules, hits) = sums.get(&**id).copied().unwrap_or_default();
        let tactics = tactics(id).iter().filter_map(|at| TACTICS.get(*at)).map(|name| (*name).to_owned()).collect();
        let one = Covered { id: id.to_string(), title: threat.title.to_string(), tactics, rules, hits };
        catalogues.entry((&threat.catalogue, &threat.version)).or_default().push(one);
    }
    let mut catalogues: Vec<CatalogueShown> =
        catalogues.into_iter().map(|(named, threats)| shown(named, threats)).collect();
    catalogues.sort_by(|a, b| {
        rank(&a.name).cmp(&rank(&b.name)).then_with(|| (&a.name, &b.version).cmp(&(&b.name, &a.version)))
    });
    let to = query.from.saturating_add(query.step);
    Ok(Json(Coverage { from: query.from, to, since: found.since, catalogues }))
}

fn shown((name, version): (&str, &str), threats: Vec<Covered>) -> CatalogueShown {
    let has_tactics = threats.iter().any(|threat| !threat.tactics.is_empty());
    let tactics = if has_tactics { TACTICS.iter().map(|name| (*name).to_owned()).collect() } else { Vec::new() };
    CatalogueShown { name: name.to_owned(), version: version.to_owned(), tactics, threats }
}

/// Catalogues about language models come first.
fn rank(name: &str) -> u8 {
    match name {
        name if name.contains("LLM") => 0,
        name if name.contains("Agentic") => 1,
        name if name.contains("ATLAS") => 2,
        _ => 3,
    }
}

fn tactics(id: &str) -> &'static [usize] {
    TECHNIQUES.iter().find(|(known, _)| *known == whole(id)).map_or(&[], |(_, tactics)| tactics)
}

/// The technique that an id is a part of: `AML.T0051` of `AML.T0051.001`, `T1059` of `T1059.001`. Others are whole.
pub(super) fn whole(id: &str) -> &str {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    id.rsplit_once('.').filter(|(_, part)| is_part(part)).map_or(id, |(whole, _)| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_technique_has_the_tactics_of_the_technique_and_others_have_none() {
        assert_eq!(tactics("AML.T0051.001"), tactics("AML.T0051"));
        assert_eq!(tactics("AML.T0053"), [4, 6, 10]);
        assert_eq!((whole("T1059.001"), whole("AML.T0053"), whole("LLM01:2026")), ("T1059", "AML.T0053", "LLM01:2026"));
        assert!(tactics("LLM01:2026").is_empty() && tactics("T1059.001").is_empty());
        assert!(TECHNIQUES.iter().all(|(_, all)| all.iter().all(|at| *at < TACTICS.len())));
    }
}
