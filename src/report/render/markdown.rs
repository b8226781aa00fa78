//! A report as Markdown: tables, charts told in words, and nothing of others that acts.

use crate::report::chart::alternative;
use crate::report::document::{Block, Cell, Report, Table};
use crate::report::say::cell;
use crate::types::visible;

pub(super) fn write(report: &Report) -> String {
    let mut out = format!("# {}\n\n", escaped(&report.title));
    for (what, value) in report.about() {
        out.push_str(&format!("- **{what}**: {}\n", escaped(&value)));
    }
    for section in &report.sections {
        out.push_str(&format!("\n## {}\n", escaped(&section.title)));
        for block in &section.blocks {
            out.push('\n');
            match block {
                Block::Text { text } => out.push_str(&format!("{}\n", escaped(text))),
                Block::Note { text } => out.push_str(&format!("> **Note:** {}\n", escaped(text))),
                Block::Figures { figures } => {
                    for figure in figures {
                        let value = escaped(&cell(&figure.value));
                        let hint = if figure.hint.is_empty() {
                            String::new()
                        } else {
                            format!(" ({})", escaped(&figure.hint))
                        };
                        out.push_str(&format!("- {}: **{value}**{hint}\n", escaped(&figure.label)));
                    }
                }
                Block::Table(table) => push(&mut out, table),
                Block::Chart(chart) => out.push_str(&format!("*Chart:* {}\n", escaped(&alternative(chart)))),
            }
        }
    }
    out
}

fn push(out: &mut String, table: &Table) {
    out.push_str(&format!("### {}\n\n", escaped(&table.title)));
    if table.rows.is_empty() {
        out.push_str("Nothing in this period.\n");
        return;
    }
    let heads: Vec<String> = table.columns.iter().map(|column| escaped(column)).collect();
    out.push_str(&format!("| {} |\n|", heads.join(" | ")));
    let numbers = |at: usize| table.rows.iter().filter_map(|row| row.get(at)).all(Cell::is_number);
    for at in 0..table.columns.len() {
        out.push_str(if numbers(at) { "---:|" } else { "---|" });
    }
    out.push('\n');
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(|one| escaped(&cell(one))).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// A text that stays a text: no emphasis, no link, no HTML, no cell's end. Addresses are not made into links either.
fn escaped(text: &str) -> String {
    let text = visible(text, usize::MAX);
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, letter) in text.chars().enumerate() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '@' | '$' | '^' => {
                out.push('\\');
                out.push(letter);
            }
            // What begins a line's meaning, and what browsers and wikis make links of.
            '#' | '+' | '-' | '=' if at == 0 => out.extend(['\\', letter]),
            ':' => out.push_str("\\:"),
            '.' if before.eq_ignore_ascii_case(&'w') || text.chars().take(at).all(|c| c.is_ascii_digit()) => {
                out.push_str("\\.")
            }
            letter => out.push(letter),
        }
        before = letter;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        assert_eq!(escaped("[x](javascript:alert(1))"), "\\[x\\]\\(javascript\\:alert\\(1\\)\\)");
        assert_eq!(escaped("<img src=x>|`a`"), "&lt;img src=x&gt;\\|\\`a\\`");
        assert_eq!(escaped("# a"), "\\# a");
        assert_eq!(
            escaped("http://a.example www.b.example c@d.example"),
            "http\\://a.example www\\.b.example c\\@d.example"
        );
        assert_eq!(escaped("a\n# b\u{202e}"), "a\\\\n# b\\\\u\\{202e\\}");
        assert_eq!(escaped("1. x"), "1\\. x");
        assert_eq!(escaped("12.5 %"), "12\\.5 %");
    }
}
