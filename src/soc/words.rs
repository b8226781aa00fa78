//! Words of others made fit to be shown and compared: no control characters, no line breaks, bounded.

use std::fmt::Write;

use crate::types::Caller;

/// Characters of a name that are kept as they are; of a longer one a digest tells it apart.
const NAME: usize = 96;

/// `text` on one line without control and direction characters, at most `most` characters.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut out = String::new();
    let (mut room, mut gap) = (most, false);
    for letter in text.chars().filter(|letter| !is_hidden(*letter)) {
        if letter.is_whitespace() || letter.is_control() {
            gap = !out.is_empty();
            continue;
        }
        let needed = 1 + usize::from(gap);
        if room < needed {
            break;
        }
        if gap {
            out.push(' ');
        }
        out.push(letter);
        room -= needed;
        gap = false;
    }
    out
}

/// Characters that nobody sees and that turn what is beside them around.
pub(super) const fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A name as a part of a key: different names stay different, separators and control characters do not occur in it.
pub(super) fn part(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars().take(NAME) {
        if matches!(letter, '|' | '/' | '%' | '~') || letter.is_control() || letter.is_whitespace() || is_hidden(letter)
        {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a string cannot fail.
                let _written = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(letter);
        }
    }
    if name.chars().nth(NAME).is_some() {
        out.push('~');
        out.extend(blake3::hash(name.as_bytes()).to_hex().chars().take(16));
    }
    out
}

/// `user:acme/ann`, or nothing.
pub(super) fn user(caller: &Caller) -> Option<String> {
    let user = part(caller.user.as_deref()?);
    Some(match caller.tenant.as_deref() {
        None => format!("user:{user}"),
        Some(tenant) => format!("user:{}/{user}", part(tenant)),
    })
}

/// `key:...`, or nothing.
pub(super) fn key(caller: &Caller) -> Option<String> {
    Some(format!("key:{}", part(caller.key.as_deref()?)))
}

/// `address:...`, or nothing.
pub(super) fn address(caller: &Caller) -> Option<String> {
    Some(format!("address:{}", caller.address?))
}

/// Who it was: a user of a tenant, else a key, else an address.
pub(super) fn who(caller: &Caller) -> Option<String> {
    user(caller).or_else(|| key(caller)).or_else(|| address(caller))
}

/// A session, told apart from sessions of others that have the same name.
pub(super) fn session(caller: &Caller) -> Option<String> {
    let name = part(caller.session.as_deref()?);
    Some(match user(caller).or_else(|| key(caller)) {
        None => format!("session:{name}"),
        Some(whose) => format!("session:{whose}/{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_fits_on_a_line() {
        assert_eq!(clean("  a\n\tb\u{202e}c\0 d  ", 100), "a bc d");
        assert_eq!(clean("abcdef", 3), "abc");
        assert_eq!(clean("äöü ß", 4), "äöü");
        assert_eq!(clean("\n", 4), "");
    }

    #[test]
    fn different_names_stay_different() {
        assert_eq!(part("ann@example.com"), "ann@example.com");
        assert_eq!(part("a|b/c\0%"), "a%7Cb%2Fc%00%25");
        let long = |end: &str| format!("{}{end}", "x".repeat(200));
        assert_ne!(part(&long("1")), part(&long("2")));
        assert!(part(&"|".repeat(10_000)).len() < 400);
    }

    #[test]
    fn a_caller_is_its_user_of_its_tenant_else_its_key_else_its_address() {
        let mut caller = Caller { address: Some([10, 0, 0, 1].into()), ..Caller::default() };
        assert_eq!(who(&caller).as_deref(), Some("address:10.0.0.1"));
        caller.key = Some("k1".into());
        assert_eq!(who(&caller).as_deref(), Some("key:k1"));
        caller.session = Some("s".into());
        assert_eq!(session(&caller).as_deref(), Some("session:key:k1/s"));
        (caller.user, caller.tenant) = (Some("a/b".into()), Some("t".into()));
        assert_eq!(who(&caller).as_deref(), Some("user:t/a%2Fb"));
        assert_eq!(who(&Caller::default()), None);
    }
}
