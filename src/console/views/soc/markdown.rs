//! Markdown of playbooks as markup: headings, paragraphs, lists, code, emphasis. Nothing else has a meaning: raw HTML and
//! links stay the text they are.

use maud::{Markup, html};

use crate::types::visible;

/// The deepest list.
const DEEPEST: usize = 4;

/// One piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// From 1.
    Heading(usize, String),
    Paragraph(String),
    Code(Vec<String>),
    /// Whether it is numbered; each entry with how deep it stands.
    List(bool, Vec<(usize, String)>),
}

/// The text as markup. Headings begin at `h2`: the page has the first one.
pub(super) fn shown(text: &str) -> Markup {
    html! { @for block in blocks(text) { (block_shown(&block)) } }
}

fn block_shown(block: &Block) -> Markup {
    match block {
        Block::Heading(1 | 2, text) => html! { h2 { (inline(text)) } },
        Block::Heading(3, text) => html! { h3 { (inline(text)) } },
        Block::Heading(_, text) => html! { h4 { (inline(text)) } },
        Block::Paragraph(text) => html! { p { (inline(text)) } },
        Block::Code(lines) => {
            html! { pre.json tabindex="0" { code { @for line in lines { (visible(line, 4000)) "\n" } } } }
        }
        Block::List(true, entries) => html! { ol { (entries_shown(entries)) } },
        Block::List(false, entries) => html! { ul { (entries_shown(entries)) } },
    }
}

fn entries_shown(entries: &[(usize, String)]) -> Markup {
    html! { @for (depth, text) in entries { li class=[(*depth > 0).then(|| format!("deep{depth}"))] { (inline(text)) } } }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut open = false;
    let mut fenced: Option<Vec<String>> = None;
    for line in text.lines() {
        let bare = line.trim();
        if bare.starts_with("```") || bare.starts_with("~~~") {
            match fenced.take() {
                Some(code) => all.push(Block::Code(code)),
                None => fenced = Some(Vec::new()),
            }
            open = false;
            continue;
        }
        if let Some(code) = &mut fenced {
            code.push(line.to_owned());
            continue;
        }
        open = take(&mut all, line, open);
    }
    if let Some(code) = fenced {
        all.push(Block::Code(code));
    }
    all
}

/// Takes one line; says whether the next one may go on with what it is.
fn take(all: &mut Vec<Block>, line: &str, open: bool) -> bool {
    let bare = line.trim();
    if bare.is_empty() {
        return false;
    }
    if let Some((level, text)) = heading(bare) {
        all.push(Block::Heading(level, text.to_owned()));
        return false;
    }
    if let Some((numbered, text)) = entry(bare) {
        let indent = line.len().saturating_sub(line.trim_start().len());
        let depth = (indent / 2).min(DEEPEST);
        match all.last_mut() {
            // Deeper entries of the other kind stay where they are.
            Some(Block::List(kind, entries)) if *kind == numbered || depth > 0 => {
                entries.push((depth, text.to_owned()))
            }
            Some(_) | None => all.push(Block::List(numbered, vec![(0, text.to_owned())])),
        }
        return true;
    }
    match all.last_mut() {
        Some(Block::Paragraph(text)) if open => join(text, bare),
        Some(Block::List(_, entries)) if open => match entries.last_mut() {
            Some((_, text)) => join(text, bare),
            None => entries.push((0, bare.to_owned())),
        },
        Some(_) | None => all.push(Block::Paragraph(bare.to_owned())),
    }
    true
}

fn join(text: &mut String, more: &str) {
    text.push(' ');
    text.push_str(more);
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('#');
    let level = line.len().checked_sub(rest.len())?;
    let text = rest.strip_prefix(' ')?;
    (1..=6).contains(&level).then(|| (level, text.trim().trim_end_matches('#').trim_end()))
}

fn entry(line: &str) -> Option<(bool, &str)> {
    if let Some(text) = ["- ", "* ", "+ "].into_iter().find_map(|mark| line.strip_prefix(mark)) {
        return Some((false, text.trim_start()));
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = line.len().checked_sub(rest.len())?;
    let text = rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))?;
    (1..=4).contains(&digits).then_some((true, text.trim_start()))
}

/// Code in backticks, and what stands between stars.
fn inline(text: &str) -> Markup {
    html! { bdi { @for (at, piece) in text.split('`').enumerate() {
        @if at % 2 == 1 { code { (visible(piece, 4000)) } } @else { (emphasis(piece)) }
    } } }
}

fn emphasis(text: &str) -> Markup {
    html! { @for (at, piece) in text.split("**").enumerate() {
        @if at % 2 == 1 { strong { (visible(piece, 4000)) } } @else { (visible(piece, 4000)) }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_lists_code_and_paragraphs_are_read() {
        let text = "## One `x`\n\nFirst line\nand **the** second.\n\n1. do\n   this\n2. that\n  - deeper\n\n- other\n```\n# no heading\n<b>\n```\n";
        assert_eq!(
            blocks(text),
            [
                Block::Heading(2, "One `x`".into()),
                Block::Paragraph("First line and **the** second.".into()),
                Block::List(true, vec![(0, "do this".into()), (0, "that".into()), (1, "deeper".into())]),
                Block::List(false, vec![(0, "other".into())]),
                Block::Code(vec!["# no heading".into(), "<b>".into()]),
            ]
        );
        let shown = shown(text).into_string();
        assert!(
            shown.contains("<h2><bdi>One <code>x</code></bdi></h2>") && shown.contains("<strong>the</strong>"),
            "{shown}"
        );
    }

    #[test]
    fn raw_html_links_and_hidden_characters_stay_text() {
        let text = "<script>alert(1)</script>\n\n[click](javascript:alert(1)) ![x](https://evil.example/a.png)\n\n- <img src=x>\n\n# \
                    <b>\u{202e}\n\n```html\n</code></pre><script>";
        let shown = shown(text).into_string();
        for bad in ["<script", "<img", "<a ", "<b>", "href", "\u{202e}", "</pre><"] {
            assert!(!shown.contains(bad), "{bad}: {shown}");
        }
    }

    #[test]
    fn anything_is_read_without_harm() {
        for text in ["", "#", "######## x", "```", "1.", "- ", "**", "`", "  ", "\r\n", "9999999. x", "* * *", "ä`**ö"]
        {
            assert!(blocks(text).len() <= 1 && shown(text).into_string().len() < 200, "{text:?}");
        }
    }
}
