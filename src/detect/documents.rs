//! A rule file's documents, each with the line it starts at.

use super::defines;

/// The documents of a file with the line each starts at. A separator is `---` at the start of a line.
pub(super) fn documents(text: &str) -> Vec<(u32, &str)> {
    let mut found = Vec::new();
    let (mut start, mut first, mut at) = (0, 1, 0);
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if line.trim_end() == "---" {
            found.push((first, text.get(start..at).unwrap_or_default()));
            start = at + line.len();
            first = number + 1;
        }
        at += line.len();
    }
    found.push((first, text.get(start..).unwrap_or_default()));
    let says = |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    found.retain(|(_, text)| says(text));
    found
}

/// The documents of a file that hold lists and macros, each at the line it stands at.
pub(super) fn definitions_of(text: &str) -> String {
    let mut out = String::new();
    for (first, text) in documents(text).into_iter().filter(|(_, text)| defines::is_defining(text)) {
        let (lines, first) = (out.lines().count(), usize::try_from(first).unwrap_or(usize::MAX));
        if lines > 0 {
            // Between two documents there is at least the separator.
            out.push_str("---\n");
        }
        out.push_str(&"\n".repeat(first.saturating_sub(lines + 1 + usize::from(lines > 0))));
        out.push_str(text);
    }
    out
}
