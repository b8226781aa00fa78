//! Conversations over the API, and where the texts of a revealed prompt lie.

use portcullis::values;
use serde_json::{Value, json};

use crate::home::Home;
use crate::nouns::record;

async fn talk(home: &Home, number: i64, session: &str) {
    record(home, number, "ann", if number % 2 == 0 { "block" } else { "allow" }).await;
    let mut tx = home.database.begin().await.unwrap();
    let sql = "UPDATE requests SET session = $2 WHERE id = $1";
    tx.execute(sql, values![format!("req_{number}"), session.to_owned()]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn conversations_are_listed_by_period_and_paged() {
    let home = Home::start().await;
    let root = home.admin().await;
    for (number, session) in [(1, "a~b"), (2, "a~b"), (3, "späte / Sitzung"), (4, "c")] {
        talk(&home, number, session).await;
    }
    let ask = async |query: &str| home.ask(&root, "GET", &format!("/api/v1/conversations?{query}"), None).await;
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["session"].as_str().unwrap().to_owned()).collect()
    };
    let period = "from=0&to=10";
    let all = ask(period).await.json();
    assert_eq!(names(&all), ["c", "späte / Sitzung", "a~b"]);
    assert_eq!((&all["items"][2]["requests"], &all["items"][2]["blocked"]), (&json!(2), &json!(1)));
    let mut seen = Vec::new();
    let mut before = String::new();
    loop {
        let page = ask(&format!("{period}&limit=1{before}")).await.json();
        seen.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        before = format!("&before={next}");
    }
    assert_eq!(seen, ["c", "späte / Sitzung", "a~b"]);
    assert_eq!(names(&ask(&format!("{period}&decision=block&user=ann")).await.json()), ["c", "a~b"]);
    // Without a period it is the last day.
    assert_eq!(names(&ask("").await.json()), [""; 0]);
    assert_eq!(ask("from=0").await.code(), "span_too_long");
    for wrong in ["before=x", "before=1~", "before=-1~x", "limit=501", "session=x"] {
        assert_eq!(ask(&format!("{period}&{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_revealed_prompt_says_where_its_texts_lie() {
    let home = Home::start().await;
    let root = home.admin().await;
    record(&home, 1, "ann", "block").await;
    let mut tx = home.database.begin().await.unwrap();
    let sql = "UPDATE contents SET body = $2, layout = $3 WHERE request = $1";
    tx.execute(sql, values!["req_1".to_owned(), "[system] be good\n[user] ä no".to_owned(), "0s7 1u4".to_owned()])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let reveal = async || {
        let body = Some(json!({ "reason": "incident 7" }));
        home.ask(&root, "POST", "/api/v1/events/req_1/reveal", body).await.json()["contents"][0].clone()
    };
    let shown = reveal().await;
    let text = shown["text"].as_str().unwrap();
    let pieces: Vec<_> = shown["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| {
            let at = |name: &str| usize::try_from(place[name].as_u64().unwrap()).unwrap();
            (
                place["span"].as_u64().unwrap(),
                place["role"].as_str().unwrap(),
                text.get(at("start")..at("end")).unwrap(),
            )
        })
        .collect();
    assert_eq!(pieces, [(0, "system", "be good"), (1, "user", "ä no")]);
    // A layout of another text says nothing.
    let mut tx = home.database.begin().await.unwrap();
    let sql = "UPDATE contents SET body = 'gone' WHERE request = $1";
    tx.execute(sql, values!["req_1".to_owned()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(reveal().await["places"], json!([]));
}
