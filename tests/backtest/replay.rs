//! The figures are those that a fresh gateway with the new rules comes to, request by request.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::gateway::{Gateway, Setup};
use crate::texts::{request, requests};
use crate::{databases, report, tried};

/// Nothing is remembered of callers, and everything of words is kept; one policy only watches, one weighs otherwise.
const SECTIONS: &str = r#"
[inspect.history]
callers = 0
conversations = 0
[[policies]]
name = "watched"
match = { route = ["/completions"] }
mode = "monitor"
privacy = "full"
[[policies]]
name = "strict"
match = { route = ["/messages"] }
security = "strict"
privacy = "full"
families.jailbreak = { block_at = 6 }
families.privacy = { action = "flag" }
[[policies]]
name = "everyone"
match = {}
privacy = "full"
"#;

fn setup(store: Option<&str>) -> Setup {
    let store = store.map_or_else(String::new, |url| format!("[store]\nurl = {url:?}\n"));
    Setup::rehearsal().section(SECTIONS).section(&store)
}

/// Sends all of them, one after the other; the records, in that order.
async fn play(gateway: &Gateway) -> Vec<Value> {
    let all = requests();
    for (number, one) in all.iter().enumerate() {
        let got = send(gateway.address, request(one)).await;
        assert!(matches!(got.status, 200 | 400), "{number} {one:?}: {} {}", got.status, got.text());
    }
    gateway.exactly(all.len()).await
}

/// The decision on the prompt, as it was carried out.
fn decided(record: &Value) -> &str {
    if record["outcome"] == "prompt_blocked" {
        return "block";
    }
    let own = record["input"]["decision"].as_str().unwrap_or("allow");
    let watched = record["policy"] == "watched" && !matches!(own, "allow" | "flag");
    if watched { "flag" } else { own }
}

async fn equals_a_fresh_gateway(store: Option<&str>, fresh_store: Option<&str>) {
    let mut first = setup(store).start().await;
    let then = play(&first).await;
    first.signal("TERM");
    assert_eq!(first.exit_code(30).await, Some(0));
    let folder = tried(&first.path(""));
    let rules = folder.to_str().unwrap();
    let asked = ["--rules", rules, "--since", "1d", "--samples", "100000"];
    let told = report(&first.path(""), &asked);

    let mut second = setup(fresh_store).start().await;
    let toml = fs::read_to_string(second.path("gateway.toml")).unwrap();
    let own = format!("directories = [{:?}", second.path("rules").display().to_string());
    assert!(toml.contains(&own));
    second.write_config(&toml.replace(&own, &format!("{own}, {rules:?}")));
    second.restart().await;
    let now = play(&second).await;

    let mut changed: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut matrix: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (then, now) in then.iter().zip(&now) {
        assert_eq!(then["path"], now["path"]);
        let (before, after) = (decided(then).to_owned(), decided(now).to_owned());
        *matrix.entry(before.clone()).or_default().entry(after.clone()).or_default() += 1;
        if before != after {
            changed.insert(then["id"].as_str().unwrap().to_owned(), (before, after));
        }
    }
    let text = |sample: &Value, key: &str| sample[key].as_str().unwrap().to_owned();
    let mut said: BTreeMap<String, (String, String)> = BTreeMap::new();
    for kind in ["newly_blocked", "newly_passed", "changed_otherwise"] {
        let samples = told["samples"][kind].as_array().unwrap();
        assert!(samples.len() >= 5, "{kind}: {samples:?}");
        assert_eq!(json!(samples.len()), told[kind]);
        for sample in samples {
            said.insert(text(sample, "id"), (text(sample, "before"), text(sample, "after")));
            assert!(!sample["rules"].as_array().unwrap().is_empty(), "{sample}");
            assert!(sample["excerpt"].is_string(), "{sample}");
        }
    }
    assert_eq!(said, changed);
    assert_eq!(told["decisions"], json!(matrix));
    let count = then.len();
    assert!(count >= 150, "{count}");
    assert_eq!((&told["requests"]["compared"], &told["requests"]["read"]), (&json!(count), &json!(count)));
    let routes = told["by_route"].as_object().unwrap();
    let sum: u64 = routes.values().map(|route| route["compared"].as_u64().unwrap()).sum();
    assert_eq!((routes.len(), sum), (4, count as u64));
    assert_eq!(told["by_privacy"]["full"]["compared"], json!(count));
    assert!(told["by_rule"]["SITE-BT-0001"]["newly_blocked"].as_u64().unwrap() > 3, "{}", told["by_rule"]);
    assert_eq!(told["rules"]["added"].as_array().unwrap().len(), 5);
    assert_eq!(told["rules"]["replaced"], json!(["PC-INJ-0001", "PC-TEST-0001"]));

    // What was recorded is what the rules in force say again: nothing is lost on the way through the store.
    let again = report(&first.path(""), &["--against", "recorded", "--since", "1d"]);
    let of = |name: &str| again[name].as_u64().unwrap();
    assert_eq!((of("newly_blocked"), of("newly_passed"), of("changed_otherwise")), (0, 0, 0), "{again:#}");
    let differ: Vec<_> =
        ["newly_blocked", "newly_passed", "changed_otherwise"].map(|kind| &again["samples"][kind]).into();
    assert!(differ.iter().all(|samples| samples.as_array().unwrap().is_empty()), "{differ:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_figures_are_those_of_a_fresh_gateway_on_sqlite() {
    equals_a_fresh_gateway(None, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_figures_are_those_of_a_fresh_gateway_on_postgres() {
    let urls = [databases::shared().new_database(), databases::shared().new_database()];
    equals_a_fresh_gateway(Some(&urls[0]), Some(&urls[1])).await;
}
