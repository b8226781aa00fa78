//! Which conversation a request belongs to.

use std::collections::HashSet;
use std::sync::Arc;

use portcullis::proxy::session::{Opening, SessionKey, Signs, session, session_header};
use portcullis::types::Caller;
use proptest::prelude::*;

use crate::support::map;

fn caller(user: &str) -> Caller {
    Caller { user: Some(user.into()), ..Caller::default() }
}

fn of(user: &str, signs: Signs<'_>) -> Option<Arc<str>> {
    session(&SessionKey::default(), &caller(user), &signs)
}

#[test]
fn the_first_sign_counts_and_says_where_it_comes_from() {
    let linked: Arc<str> = "resp:linked".into();
    let mut signs = Signs {
        header: Some("h"),
        metadata: Some("m"),
        conversation: Some("c"),
        linked: Some(&linked),
        previous: Some("p"),
        opening: Some(Opening { system: "s", user: "u" }),
    };
    let mut seen = Vec::new();
    seen.extend(of("a", signs));
    signs.header = None;
    seen.extend(of("a", signs));
    signs.metadata = None;
    seen.extend(of("a", signs));
    signs.conversation = None;
    assert_eq!(of("a", signs).as_ref(), Some(&linked), "a chain of answers is one session");
    signs.linked = None;
    seen.extend(of("a", signs));
    signs.previous = None;
    seen.extend(of("a", signs));
    signs.opening = None;
    assert_eq!(of("a", signs), None);
    let origins: Vec<&str> = seen.iter().map(|id| id.split_once(':').unwrap().0).collect();
    assert_eq!(origins, ["hdr", "meta", "conv", "resp", "auto"]);
    for id in &seen {
        let (_, hash) = id.split_once(':').unwrap();
        assert!(hash.len() == 22 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    }
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 5);
}

#[test]
fn nobody_joins_the_session_of_another_by_naming_it() {
    let signs = Signs { header: Some("42"), ..Signs::default() };
    let alice = of("alice", signs).unwrap();
    assert_eq!(Some(&alice), of("alice", signs).as_ref(), "it is stable");
    assert_ne!(Some(&alice), of("bob", signs).as_ref());
    let named = Signs { header: Some(&alice), ..Signs::default() };
    assert_ne!(Some(&alice), of("bob", named).as_ref());
    assert_ne!(Some(&alice), of("alice", Signs { metadata: Some("42"), ..Signs::default() }).as_ref());
    let keyed = session(&SessionKey::from_secret(b"secret"), &caller("alice"), &signs);
    assert_ne!(Some(alice), keyed);
}

#[test]
fn a_conversation_keeps_its_session_as_it_grows() {
    let opening = |system, user| Signs { opening: Some(Opening { system, user }), ..Signs::default() };
    let first = of("a", opening("be kind", "hello"));
    assert_eq!(first, of("a", opening("be kind", "hello")));
    assert_ne!(first, of("a", opening("be kin", "dhello")));
    assert_ne!(first, of("a", opening("be kind", "hello!")));
    assert_eq!(of("a", opening("be kind", "")), None);
    // Only the beginning of a long opening counts, so the cost is bounded.
    let long = "x".repeat(1 << 20);
    assert_eq!(of("a", opening("", &long)), of("a", opening("", &format!("{long}y"))));
    let half = "x".repeat(1 << 14);
    let long = |beginning, middle, end| format!("{beginning}{half}{middle}{half}{end}");
    let known =
        |system: &str, user: &str| of("a", Signs { opening: Some(Opening { system, user }), ..Signs::default() });
    let first = known("", &long("a", "b", "c"));
    assert_eq!(first, known("", &long("a", "b", "c")));
    for other in [long("y", "b", "c"), long("a", "y", "c"), long("a", "b", "y"), long("a", "by", "c")] {
        assert_ne!(first, known("", &other));
        assert_ne!(known(&other, "x"), known("x", &other));
    }
}

#[test]
fn bad_ids_are_no_sign() {
    let metadata = |id| Signs { header: id, metadata: Some("m"), ..Signs::default() };
    let fallback = of("a", metadata(None));
    let long = "x".repeat(257);
    for bad in ["", "a\nb", "a\u{0}", &long] {
        assert_eq!(of("a", metadata(Some(bad))), fallback, "{bad:?}");
    }
    let twice = map(&[("x-session-id", "a"), ("x-session-id", "b")]);
    assert_eq!(session_header(&twice, Some("x-session-id")), None);
    assert_eq!(session_header(&map(&[("X-Session-Id", " a ")]), Some("x-session-id")), Some("a"));
    assert_eq!(session_header(&map(&[("x-session-id", "a")]), None), None);
}

proptest! {
    #[test]
    fn different_ids_are_different_sessions(one in "\\PC{1,40}", two in "\\PC{1,40}") {
        let id = |text| of("a", Signs { header: Some(text), ..Signs::default() });
        prop_assert_eq!(one == two, id(&one) == id(&two));
    }
}
