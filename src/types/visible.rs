//! Texts of others on terminals and in reports: what would not be seen, or would act, is shown instead.

/// A text cut to `most` characters, with everything that would not be seen, or would act, written as an escape.
pub fn visible(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most.saturating_mul(2)));
    for (at, letter) in text.chars().enumerate() {
        if at == most {
            out.push('…');
            break;
        }
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if is_unseen(letter) => out.extend(letter.escape_unicode()),
            letter => out.push(letter),
        }
    }
    out
}

/// A text for XML and HTML, between tags and in attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

/// Whether a spreadsheet would take a text for a formula: it begins like one and is no number. Then it is written with an
/// apostrophe before it.
pub fn is_formula(text: &str) -> bool {
    let acts = |letter: char| matches!(letter, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    let starts = text.starts_with(['\t', '\r', '\n']) || text.trim_start().chars().next().is_some_and(acts);
    starts && !is_number(text)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are(whole) && are(part)
}

/// Control characters, those that change direction or have no width, tags, private use, and what XML forbids.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(u32::from(letter),
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0xfffe | 0xffff | 0xe000..=0xf8ff | 0xe0000..=0x10_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_or_not_be_seen_is_shown() {
        assert_eq!(visible("a\u{1b}[2Jb\n\t\u{202e}\u{e0041}", 99), "a\\u{1b}[2Jb\\n\\t\\u{202e}\\u{e0041}");
        assert_eq!(visible("abcd", 3), "abc…");
    }
    #[test]
    fn markup_is_text_wherever_it_stands() {
        assert_eq!(escaped("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }

    #[test]
    fn what_acts_in_a_spreadsheet_is_a_formula_and_a_number_is_not() {
        for text in
            ["=1+1", "+cmd", "-cmd|x", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1", "-1+1", "+1.2.3", "-", "-1e5"]
        {
            assert!(is_formula(text), "{text:?}");
        }
        for text in ["5", "-5", "+5.25", "a=b", "alice@example.com", ""] {
            assert!(!is_formula(text), "{text:?}");
        }
    }
}
