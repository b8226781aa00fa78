//! Playbooks, to read and to search: what the analyst follows.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::super::extract::{Asked, Named};
use super::super::words::{Limit, Page, Word};

/// What the ids of the sections of playbooks begin with.
const SHELF: &str = "playbook/";

/// Which playbooks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlaybookQuery {
    /// Words to look for, by themselves and by likeness: the playbooks that fit best then, best first.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    q: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before; not with `q`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    after: Option<Word>,
}

/// One playbook in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlaybookView {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// How many sections it has.
    pub sections: usize,
    /// The section that fits best what was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The beginning of that section's text, from where it has a word that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// How well it fits: the sum of reciprocal ranks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
}

/// Characters of a snippet.
const SNIPPET: usize = 240;
/// Characters of it before the word that was looked for.
const BEFORE: usize = 60;

/// A piece of `text` around the first word of `words` in it; its beginning where it has none of them.
fn snippet(text: &str, words: &str) -> String {
    let lower = text.to_lowercase();
    let found = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 2)
        .filter_map(|word| lower.find(&word.to_lowercase()))
        .min();
    // Letters that are longer in lower case shift the place a little: it is no more than where to begin.
    let letters = found.and_then(|at| lower.get(..at)).map_or(0, |before| before.chars().count());
    // From the beginning of a word.
    let skipped = text.chars().take(letters.saturating_sub(BEFORE)).collect::<Vec<_>>();
    let skipped = skipped.iter().rposition(|letter| letter.is_whitespace()).unwrap_or(0);
    let mut rest = text.chars().skip(skipped);
    let piece: String = rest.by_ref().take(SNIPPET).collect();
    let (before, after) = (if skipped > 0 { "… " } else { "" }, if rest.next().is_some() { " …" } else { "" });
    format!("{before}{}{after}", piece.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// One section of a playbook.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SectionView {
    /// Its id, such as `playbook/injection#3`.
    pub id: String,
    /// In a few words.
    pub title: String,
    /// The text, Markdown.
    pub text: String,
}

/// One playbook.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlaybookDetail {
    /// Its name.
    pub id: String,
    /// Its sections, in order.
    pub sections: Vec<SectionView>,
}

/// The playbook and the number of the section in it that an id names.
fn parts(id: &str) -> Option<(&str, u32)> {
    let rest = id.strip_prefix(SHELF)?;
    let (name, number) = rest.split_once('#').unwrap_or((rest, "0"));
    Some((name, number.parse().unwrap_or(u32::MAX)))
}

/// Every playbook by its name, with its title and its sections.
fn shelf(app: &App) -> Result<BTreeMap<String, PlaybookView>, ApiError> {
    let mut all: BTreeMap<String, (u32, PlaybookView)> = BTreeMap::new();
    for passage in app.station()?.library.under(SHELF) {
        let Some((name, number)) = parts(&passage.id) else { continue };
        let fresh = || PlaybookView {
            id: name.to_owned(),
            title: String::new(),
            sections: 0,
            section: None,
            snippet: None,
            score: None,
        };
        let (first, view) = all.entry(name.to_owned()).or_insert_with(|| (u32::MAX, fresh()));
        view.sections = view.sections.saturating_add(1);
        if number <= *first {
            *first = number;
            view.title.clone_from(&passage.title);
        }
    }
    Ok(all.into_iter().map(|(name, (_, view))| (name, view)).collect())
}

/// Playbooks by name, or those that fit the words that are looked for.
#[utoipa::path(get, path = "/api/v1/playbooks", tag = "soc", params(PlaybookQuery),
    responses((status = 200, description = "A page of playbooks.", body = Page<PlaybookView>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<PlaybookQuery>,
) -> Result<Json<Page<PlaybookView>>, ApiError> {
    let limit = asked.limit.get(&app);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut shelf = shelf(&app)?;
    let Some(words) = asked.q else {
        let after = asked.after.map(String::from).unwrap_or_default();
        let items = shelf.into_values().filter(|view| view.id > after).take(most).collect();
        return Ok(Json(Page::new(items, limit, |view: &PlaybookView| view.id.clone())));
    };
    let library = &app.station()?.library;
    let hits = library.search(words.text(), usize::MAX).await;
    let texts: BTreeMap<_, _> =
        library.under(SHELF).into_iter().map(|passage| (passage.id.to_string(), passage)).collect();
    // The first hit of each playbook is its best; past incidents are found too, and are no playbooks.
    let items = hits.into_iter().filter_map(|hit| {
        let view = shelf.remove(parts(&hit.id)?.0)?;
        let id = hit.id.to_string();
        let snippet = texts.get(&id).map(|passage| snippet(&passage.text, words.text()));
        Some(PlaybookView { section: Some(id), snippet, score: Some(hit.score), ..view })
    });
    Ok(Json(Page { items: items.take(most).collect(), next: None }))
}

/// One playbook.
#[utoipa::path(get, path = "/api/v1/playbooks/{name}", tag = "soc",
    params(("name" = String, Path, max_length = 128)),
    responses((status = 200, description = "The playbook.", body = PlaybookDetail)))]
pub async fn get(State(app): State<App>, Named(name): Named<String>) -> Result<Json<PlaybookDetail>, ApiError> {
    let mut found: Vec<_> = app.station()?.library.under(SHELF).into_iter().collect();
    found.retain(|passage| parts(&passage.id).is_some_and(|(own, _)| own == name));
    if found.is_empty() {
        return Err(ApiError::not_found("playbook"));
    }
    found.sort_by_key(|passage| parts(&passage.id).map(|(_, number)| number));
    let section = |passage: &crate::control::soc::library::Passage| SectionView {
        id: passage.id.to_string(),
        title: passage.title.clone(),
        text: passage.text.clone(),
    };
    Ok(Json(PlaybookDetail { id: name, sections: found.iter().map(|passage| section(passage)).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_begins_near_the_word_and_is_cut_at_letters() {
        let text = format!("{}Lift the limit: it ends at once. {}", "ä ".repeat(100), "ö".repeat(300));
        let cut = snippet(&text, "how to LIFT a limit");
        assert!(cut.starts_with("… ä") && cut.contains("Lift the limit") && cut.ends_with(" …"), "{cut}");
        assert_eq!(snippet("short\n\ntext", "nothing"), "short text");
        assert_eq!(snippet("", "x"), "");
    }
}
