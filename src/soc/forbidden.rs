//! What no text of a plan may contain: commands, addresses of the web, orders to a model, and characters one cannot see.

use unicode_normalization::UnicodeNormalization;

/// What is wrong with a text, if anything. Never quotes the text, but names what was found of the list.
pub(super) fn problem(text: &str, forbidden: &[std::sync::Arc<str>], max: usize) -> Option<String> {
    let length = text.chars().count();
    if length > max {
        return Some(format!("has {length} characters, at most {max}"));
    }
    if text.chars().any(unseen) {
        return Some("has control or invisible characters".to_owned());
    }
    let plain = plain(text);
    let found = forbidden.iter().find(|word| stands(&plain, word));
    found.map(|word| format!("contains `{word}`, which is forbidden"))
}

/// Small letters, compatibility forms put together, single blanks.
fn plain(text: &str) -> String {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the word stands in the text, not as a part of a longer word.
fn stands(text: &str, word: &str) -> bool {
    let wordy = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let word = word.trim();
    let (opens, closes) = (wordy(word.chars().next()), wordy(word.chars().next_back()));
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at.saturating_add(word.len())..).and_then(|after| after.chars().next());
            let longer = (opens && wordy(before)) || (closes && wordy(after));
            !longer
        })
}

/// Characters that show as nothing or change how others show.
pub(super) fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
            | 0xE0000..=0xE0FFF)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn disguises_do_not_help() {
        let list: Vec<Arc<str>> = ["rm -rf", "http://", "ignore previous", "eval(", "| sh", "nc"].map(Arc::from).into();
        let told = |text: &str| problem(text, &list, 100);
        for bad in [
            "run rm -rf / now",
            "RM  -RF /",
            "ｒｍ -rf",
            "see HTTP://x.example",
            "Ignore\u{a0}Previous orders",
            "x=eval(1)",
            "a | sh",
            "use nc.",
            "rm\u{200b} -rf",
            "tab\there",
            "line\nbreak",
            "\u{202e}txet",
            "\u{e0041}",
        ] {
            assert!(told(bad).is_some(), "{bad:?}");
        }
        for good in ["5 requests per 120 seconds", "farm -rfc", "since then", "Ignored previously", "medieval (old)"] {
            assert_eq!(told(good), None, "{good:?}");
        }
        assert_eq!(told(&"x".repeat(101)).unwrap(), "has 101 characters, at most 100");
    }
}
