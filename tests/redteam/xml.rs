//! A strict little reader of markup: everything is closed in order, quoted and escaped, or the test fails.

/// Elements that HTML leaves open.
const VOID: [&str; 2] = ["meta", "br"];

/// The names of all elements in the order they open, the root first.
#[track_caller]
pub(crate) fn elements(text: &str) -> Vec<String> {
    let (mut seen, mut open, mut rest): (Vec<String>, Vec<String>, &str) = (Vec::new(), Vec::new(), text);
    while let Some((before, tag)) = rest.split_once('<') {
        check_text(before);
        let (tag, after) = split_tag(tag);
        rest = after;
        if tag.starts_with('?') || tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
            continue;
        }
        let (inner, closed) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
        let name = inner.split_whitespace().next().expect("a name").to_owned();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "<{name}> is no name");
        if !closed && !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        seen.push(name);
    }
    check_text(rest);
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

/// A tag ends at the first `>` outside of quotes.
fn split_tag(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '>' if !quoted => return (text.get(..at).unwrap(), text.get(at + 1..).unwrap()),
            '<' => panic!("a `<` inside a tag: {:?}", text.chars().take(80).collect::<String>()),
            _ => {}
        }
    }
    panic!("a tag without an end")
}

fn check_text(text: &str) {
    assert!(!text.contains('>'), "a bare `>`: {text:?}");
    let bad = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(bad), "a control character: {text:?}");
    for (at, _) in text.match_indices('&') {
        let name: String = text.get(at + 1..).unwrap().chars().take_while(|c| *c != ';').take(8).collect();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name.as_str()), "a bare `&`: {name:?}");
    }
}
