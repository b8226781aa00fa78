//! Playbooks: what the analyst follows, and people too.

use maud::{Markup, html};

use super::markdown;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::table::table;
use crate::console::parts::{empty, name};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::soc::playbooks::{PlaybookDetail, PlaybookView};
use crate::control::api::words::Page as Listed;

/// The list, or what fits the words that are looked for.
pub(super) async fn list(visit: Visit) -> Answer {
    let words = visit.query().get("q").unwrap_or_default();
    let query = Query::default().with("q", words).with("limit", if words.is_empty() { "500" } else { "20" });
    let found: Listed<PlaybookView> = visit.get(&query.on("/api/v1/playbooks")).await?;
    let body = html! {
        form.filters method="get" action=(visit.path()) role="search" {
            label { "Search, by words and by likeness" input type="search" name="q" value=(words) maxlength="256"; }
            button type="submit" { "Search" }
            @if !words.is_empty() { a.button.plain href=(visit.path()) { "All playbooks" } }
        }
        @if found.items.is_empty() { (empty("No playbook fits.", "Try other words, or look at all of them.")) }
        @else if words.is_empty() { (all(&found.items)) }
        @else { (hits(&found.items)) }
    };
    Ok(Page::new("/playbooks", "Playbooks", body))
}

/// What a playbook is called: the titles of its sections go on with what each is about.
fn of_book(title: &str) -> &str {
    title.split_once(": ").map_or(title, |(book, _)| book)
}

fn all(books: &[PlaybookView]) -> Markup {
    let rows: Vec<Markup> = books
        .iter()
        .map(|book| {
            html! { tr data-id=(part(&book.id)) {
                td { a href={ "/console/playbooks/" (part(&book.id)) } { (name(of_book(&book.title))) } }
                td { code { (name(&book.id)) } }
                td.n { (book.sections) }
            } }
        })
        .collect();
    table("Playbooks", &["Playbook", "Id", "#Sections"], &rows)
}

fn hits(books: &[PlaybookView]) -> Markup {
    html! { ol.hits { @for book in books { li.panel {
        @let section = book.section.as_deref().and_then(|id| id.split_once('#')).map(|(_, number)| number);
        @let anchor = section.map(|number| format!("#s{number}")).unwrap_or_default();
        h2 { a href={ "/console/playbooks/" (part(&book.id)) (anchor) } { (name(of_book(&book.title))) } }
        @if let Some(snippet) = &book.snippet { p { bdi { (crate::types::visible(snippet, 400)) } } }
        p.quiet { code { (name(&book.id)) } @if let Some(score) = book.score { " · score " (format!("{score:.4}")) } }
    } } } }
}

/// One playbook.
pub(super) async fn one(visit: Visit) -> Answer {
    let book: PlaybookDetail = visit.get(&format!("/api/v1/playbooks/{}", visit.name("name"))).await?;
    let title = book.sections.first().map_or_else(|| book.id.clone(), |section| of_book(&section.title).to_owned());
    let body = html! {
        p { a href="/console/playbooks" { "All playbooks" } " · " code { (name(&book.id)) } }
        article.panel.playbook {
            @for section in &book.sections {
                section id={ "s" (section.id.split_once('#').map_or("0", |(_, number)| number)) } {
                    @if let Some((_, heading)) = section.title.split_once(": ") { h2 { (name(heading)) } }
                    (markdown::shown(&section.text))
                }
            }
        }
    };
    Ok(Page::new("/playbooks", crate::types::visible(&title, 200), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_playbooks_in_lists_are_text() {
        let nasty = "<script>\u{202e}";
        let book = PlaybookView {
            id: nasty.into(),
            title: nasty.into(),
            sections: 2,
            section: Some("playbook/x#3".into()),
            snippet: Some(nasty.into()),
            score: Some(0.0312),
        };
        let shown = html! { (all(std::slice::from_ref(&book))) (hits(&[book])) }.into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("#s3\"") && shown.contains("0.0312"), "{shown}");
    }
}
