//! Conversations: requests put together by their session.

use portcullis::store::{ConversationFilter, Item};
use portcullis::types::Decision;

use crate::both;
use crate::home::Home;
use crate::rows::{self, HOUR, MONDAY};

both!(conversations_are_summed_filtered_and_paged);

async fn conversations_are_summed_filtered_and_paged(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..12_i64 {
        let mut record =
            rows::request(&format!("req_{number:02}"), MONDAY + number, if number < 6 { "ann" } else { "bob" });
        // Three sessions of four turns, in turns.
        record.caller.session = Some(format!("talk-{}", number % 3).into());
        if number == 4 {
            record.decision = Decision::Block;
            record.input = Some(rows::verdict("PC-JB-0001"));
        }
        if number == 11 {
            record.caller.session = None;
        }
        writer.offer(Item::from(&record));
    }
    writer.flush().await.unwrap();
    let all = ConversationFilter { limit: 10, ..ConversationFilter::default() };
    let found = database.conversations(&all).await.unwrap();
    let told: Vec<_> = found.iter().map(|one| (one.session.as_str(), one.requests, one.first, one.last)).collect();
    let at = |number: i64| MONDAY + number;
    assert_eq!(told, [("talk-1", 4, at(1), at(10)), ("talk-0", 4, at(0), at(9)), ("talk-2", 3, at(2), at(8))]);
    let first = &found[0];
    assert_eq!((first.blocked, first.flagged, first.risk, first.cost), (1, 0, 0.5, 4_000));
    assert_eq!((first.input_tokens, first.output_tokens), (400, 80));
    assert_eq!(
        (first.user.as_deref(), first.tenant.as_deref(), first.model.as_deref()),
        (Some("bob"), Some("acme"), Some("gpt-5"))
    );

    // Page by page, each once.
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let filter = ConversationFilter { before, limit: 1, ..ConversationFilter::default() };
        let page = database.conversations(&filter).await.unwrap();
        before = page.last().map(|one| (one.last, one.session.clone()));
        seen.extend(page.iter().map(|one| one.session.clone()));
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["talk-1", "talk-0", "talk-2"]);

    let sessions = async |filter: ConversationFilter| {
        let filter = ConversationFilter { limit: 10, ..filter };
        let found = database.conversations(&filter).await.unwrap();
        found.into_iter().map(|one| (one.session, one.requests)).collect::<Vec<_>>()
    };
    let blocked = ConversationFilter { decision: Some("block".into()), ..ConversationFilter::default() };
    assert_eq!(sessions(blocked.clone()).await, [("talk-1".to_owned(), 4)]);
    let later = ConversationFilter { before: Some((at(10), "talk-1".into())), ..blocked };
    assert_eq!(sessions(later).await, []);
    let of_ann = ConversationFilter { user: Some("ann".into()), to: Some(at(3)), ..ConversationFilter::default() };
    let one_each = ["talk-2", "talk-1", "talk-0"].map(|name| (name.to_owned(), 1));
    assert_eq!(sessions(of_ann).await, one_each);
    assert_eq!(sessions(ConversationFilter { from: Some(MONDAY + HOUR), ..ConversationFilter::default() }).await, []);
    let nobody = ConversationFilter { user: Some("x' OR '1'='1".into()), ..ConversationFilter::default() };
    assert_eq!(sessions(nobody).await, []);
}
