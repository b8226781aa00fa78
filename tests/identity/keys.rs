//! Virtual keys.

use std::collections::HashSet;

use portcullis::config::Globs;
use portcullis::config::issued::{
    IssuedKey, IssuedKeys, KeyHash, KeyState, generate_key, is_well_formed, looks_issued,
};
use proptest::prelude::*;

use crate::support::{Gateway, NOW};

fn key(id: &str) -> IssuedKey {
    IssuedKey { id: id.into(), family: id.into(), name: format!("name of {id}").into(), ..IssuedKey::default() }
}

fn bearer(text: &str) -> String {
    format!("Bearer {text}")
}

#[test]
fn a_key_has_256_random_bits_and_a_checksum_and_is_known_by_its_hash() {
    let made: Vec<_> = (0..1000).map(|_| generate_key().unwrap()).collect();
    let texts: HashSet<&str> = made.iter().map(|key| key.secret.expose()).collect();
    assert_eq!(texts.len(), made.len());
    for key in &made {
        let text = key.secret.expose();
        assert!(text.starts_with("pck_") && text.len() == 53 && looks_issued(text.as_bytes()), "{}", text.len());
        assert!(is_well_formed(text.as_bytes()));
        assert_eq!(key.hash, KeyHash::of(text.as_bytes()));
        assert!(text.starts_with(&key.shown) && key.shown.len() == 8);
        assert!(!format!("{key:?}").contains(&text[9..]), "shown by Debug");
    }
    // Every character of the alphabet is about as likely as any other: 43,000 of them over 62.
    let mut counts = [0_u32; 128];
    for byte in texts.iter().flat_map(|text| text.bytes().skip(4).take(43)) {
        counts[usize::from(byte)] += 1;
    }
    let used: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
    assert!(used.len() == 62 && used.iter().all(|count| (500..900).contains(count)), "{used:?}");
}

#[test]
fn the_checksum_is_the_crc_32_that_others_compute() {
    // Computed with another implementation (zlib), written in base 62.
    let random = "0".repeat(43);
    assert!(is_well_formed(format!("pck_{random}2IFs7v").as_bytes()));
    assert!(!is_well_formed(format!("pck_{random}2IFs7w").as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_of_a_key_is_refused(byte in 0_usize..53, bit in 0_u8..8) {
        let mut gateway = Gateway::new(Default::default());
        let made = generate_key().unwrap();
        gateway.issued.put(made.hash, key("k"));
        let mut bytes = made.secret.expose().as_bytes().to_vec();
        bytes[byte] ^= 1 << bit;
        prop_assert!(!is_well_formed(&bytes));
        let found = gateway.issued.find(&KeyHash::of(&bytes)).is_some();
        prop_assert!(!found);
    }

    #[test]
    fn anything_that_begins_like_a_key_is_refused_without_a_panic(rest in "[ -~]{0,120}") {
        let gateway = Gateway::new(Default::default());
        let refused = gateway.code(&[("authorization", &format!("Bearer pck_{rest}"))]);
        prop_assert_eq!(refused, "invalid_api_key");
    }

    #[test]
    fn globs_agree_with_a_slow_reading(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
                Some((wanted, rest)) => text.first() == Some(wanted) && slow(rest, &text[1..]),
            }
        }
        prop_assert_eq!(Globs::new([&pattern]).fit(&text), slow(pattern.as_bytes(), text.as_bytes()));
    }
}

#[test]
fn a_live_key_says_who_asks_and_what_for() {
    let mut gateway = Gateway::new(Default::default());
    let made = generate_key().unwrap();
    let issued = IssuedKey {
        tenant: Some("acme".into()),
        team: Some("research".into()),
        user: Some("alice".into()),
        agent: Some("reviewer".into()),
        models: Some(vec!["gpt-4o*".into(), "o3".into()].into()),
        expires: Some(NOW + 5),
        family: "first".into(),
        ..key("k2")
    };
    gateway.issued.put(made.hash, issued);
    for header in ["x-api-key", "api-key"] {
        let found = gateway.ask(&[(header, made.secret.expose())]).unwrap();
        assert_eq!(found.caller.tenant.as_deref(), Some("acme"));
        assert_eq!(found.caller.team.as_deref(), Some("research"));
        assert_eq!(found.caller.user.as_deref(), Some("alice"));
        assert_eq!(found.caller.agent.as_deref(), Some("reviewer"));
        assert_eq!(found.caller.key.as_deref(), Some("first"), "limits go by the family, which outlives rotation");
        assert_eq!(found.until, Some(NOW + 5));
        let key = found.key.unwrap();
        assert!(key.may_ask("gpt-4o-mini") && key.may_ask("o3") && !key.may_ask("o3-pro") && !key.may_ask("gpt-4"));
    }
}

#[test]
fn expired_revoked_early_and_unknown_keys_are_told_apart() {
    let mut gateway = Gateway::new(Default::default());
    let mut made = Vec::new();
    let states = [
        IssuedKey { expires: Some(NOW), ..key("expired") },
        IssuedKey { not_before: Some(NOW + 1), ..key("early") },
        IssuedKey { revoked: Some(NOW + 1_000_000), ..key("revoked") },
    ];
    for issued in states {
        let new = generate_key().unwrap();
        gateway.issued.put(new.hash, issued);
        made.push(bearer(new.secret.expose()));
    }
    made.push(bearer(generate_key().unwrap().secret.expose()));
    let codes: Vec<String> = made.iter().map(|key| gateway.code(&[("authorization", key)])).collect();
    assert_eq!(codes, ["expired_api_key", "api_key_not_yet_valid", "revoked_api_key", "invalid_api_key"]);
    for key in &made {
        let error = gateway.ask(&[("authorization", key)]).unwrap_err();
        assert!(!error.to_string().contains("pck_") && !format!("{error:?}").contains("pck_"));
    }
}

#[test]
fn a_revoked_key_is_refused_at_once_and_rotation_overlaps() {
    let mut gateway = Gateway::new(Default::default());
    let (old, new) = (generate_key().unwrap(), generate_key().unwrap());
    gateway.issued.put(old.hash, key("one"));
    let before = gateway.issued.clone();
    gateway.issued.put(new.hash, IssuedKey { family: "one".into(), ..key("two") });
    assert!(gateway.issued.end("one", NOW + 10));
    let (old, new) = (bearer(old.secret.expose()), bearer(new.secret.expose()));
    let family =
        |text: &str, now| gateway.ask_at(&[("authorization", text)], now).map(|found| found.caller.key.unwrap());
    assert_eq!(&*family(&old, NOW + 9).unwrap(), "one");
    assert_eq!(&*family(&new, NOW + 9).unwrap(), "one");
    assert_eq!(family(&old, NOW + 10).unwrap_err().code(), "expired_api_key");
    assert_eq!(&*family(&new, NOW + 10).unwrap(), "one");
    assert!(gateway.issued.revoke("two", NOW) && !gateway.issued.revoke("three", NOW));
    assert_eq!(gateway.code(&[("authorization", &new)]), "revoked_api_key");
    assert_eq!((before.len(), gateway.issued.len()), (1, 2), "a copy that a request holds does not change");
    assert_eq!(before.get("one").unwrap().state(NOW + 10), KeyState::Live);
}

#[test]
fn a_clock_that_goes_back_revives_no_key() {
    let mut gateway = Gateway::new(Default::default());
    let made = generate_key().unwrap();
    gateway.issued.put(made.hash, IssuedKey { expires: Some(NOW), ..key("k") });
    let text = bearer(made.secret.expose());
    let code = |now| gateway.ask_at(&[("authorization", &text)], now).map_err(|error| error.code()).err();
    assert_eq!(code(NOW - 1), None);
    assert_eq!(code(NOW), Some("expired_api_key"));
    assert_eq!(code(NOW - 86_400_000_000), Some("expired_api_key"));
}

#[test]
fn ids_and_hashes_stay_paired_when_keys_are_replaced_or_removed() {
    let mut keys = IssuedKeys::default();
    let (one, two) = (KeyHash::of(b"one"), KeyHash::of(b"two"));
    keys.put(one, key("a"));
    keys.put(two, key("a"));
    assert!(keys.find(&one).is_none() && keys.get("a").is_some() && keys.len() == 1);
    keys.put(two, key("b"));
    assert!(keys.get("a").is_none() && keys.get("b").is_some() && keys.len() == 1);
    assert!(keys.remove("b").is_some() && keys.remove("b").is_none() && keys.is_empty());
    assert!(keys.find(&two).is_none());
}

#[test]
fn keys_with_equal_beginnings_are_different_keys() {
    let mut gateway = Gateway::new(Default::default());
    let made = generate_key().unwrap();
    gateway.issued.put(made.hash, key("k"));
    let text = made.secret.expose();
    for cut in [8, 20, 40, 52] {
        assert_eq!(gateway.code(&[("authorization", &bearer(&text[..cut]))]), "invalid_api_key");
    }
    assert_eq!(gateway.code(&[("authorization", &bearer(&format!("{text}0")))]), "invalid_api_key");
    assert_eq!(gateway.code(&[("authorization", &bearer(&text.to_lowercase()))]), "invalid_api_key");
}
