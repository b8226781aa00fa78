//! What `[identity]` may say.

use portcullis::config::identity_check::problems;
use portcullis::config::identity_settings::{Identity, UnknownIds};

fn wrong(text: &str) -> Vec<&'static str> {
    problems(&toml::from_str(text).unwrap()).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn the_defaults_are_in_order_and_what_was_valid_before_still_is() {
    assert_eq!(problems(&Identity::default()), []);
    assert_eq!(wrong(""), Vec::<&str>::new());
    assert_eq!(wrong("require_key = true\nuser_header = \"x-user-id\"\nkeys = []"), Vec::<&str>::new());
    let text = toml::to_string(&Identity::default()).unwrap();
    assert_eq!(toml::from_str::<Identity>(&text).unwrap(), Identity::default());
    let refuse: Identity = toml::from_str("unknown_ids = \"refuse\"").unwrap();
    assert_eq!(refuse.unknown_ids, UnknownIds::Refuse);
    assert!(toml::from_str::<Identity>("unknown_id = \"refuse\"").is_err());
    assert!(toml::from_str::<Identity>("[[tokens]]\nissuer = \"x\"").is_err(), "an audience is needed");
}

#[test]
fn headers_with_a_meaning_of_their_own_and_impossible_bounds_are_refused() {
    assert_eq!(wrong("user_header = \"no good\""), ["user_header"]);
    assert_eq!(
        wrong("tenant_header = \"Authorization\"\nsession_header = \"Host\""),
        ["tenant_header", "session_header"]
    );
    assert_eq!(wrong("user_header = \"x-a\"\nteam_header = \"X-A\""), ["team_header"]);
    assert_eq!(wrong("max_token = \"1B\""), ["max_token"]);
    assert_eq!(wrong("[jwks]\nmin_refresh = \"2h\""), ["jwks.max_refresh"]);
    assert_eq!(
        wrong("[jwks]\nmin_refresh = \"0\"\ntimeout = \"0\"\nretries = 99"),
        ["jwks.min_refresh", "jwks.timeout", "jwks.retries"]
    );
    assert_eq!(wrong("[certificates]\ntrust_domains = [\"a\"]"), ["certificates.trust_domains"]);
    assert_eq!(wrong("[certificates]\nuser = \"spiffe\"\ntrust_domains = [\"a\"]"), Vec::<&str>::new());
}
