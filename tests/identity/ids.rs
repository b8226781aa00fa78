//! Whose the ids are that a provider issued.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis::config::identity_settings::IdsBelongTo;
use portcullis::proxy::identify::{IdKind, OwnerIndex, Ownership, Scope, id_in_body, ids_in_path, kind_by_prefix};
use portcullis::types::Caller;

fn caller(tenant: &str, key: &str, user: &str) -> Caller {
    let name = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
    Caller { tenant: name(tenant), key: name(key), user: name(user), ..Caller::default() }
}

fn at(address: &str) -> Caller {
    Caller { address: Some(address.parse::<IpAddr>().unwrap()), ..Caller::default() }
}

#[test]
fn an_id_is_honoured_only_for_the_caller_it_was_issued_to() {
    let index = OwnerIndex::new(100, [7; 32]);
    let (alice, bob) = (Scope::of(&caller("acme", "k", "alice")), Scope::of(&caller("acme", "k", "bob")));
    let session: Arc<str> = "resp:abc".into();
    assert_eq!(index.check("resp_1", alice), Ownership::Unknown);
    assert!(index.issued("resp_1", alice, Some(&session)));
    assert_eq!(index.check("resp_1", alice), Ownership::Mine { session: Some(session) });
    assert_eq!(index.check("resp_1", bob), Ownership::Theirs);
    assert!(!index.issued("resp_1", bob, None), "the first owner stays");
    assert_eq!(index.check("resp_1", bob), Ownership::Theirs);
    assert_eq!(index.check("", alice), Ownership::Unknown);
    assert!(!index.issued(&"x".repeat(513), alice, None));
    assert!(!format!("{index:?}").contains("resp_1"));
}

#[test]
fn the_index_is_bounded_and_can_be_filled_from_the_store() {
    let index = OwnerIndex::new(50, [7; 32]);
    let scope = Scope::of(&at("192.0.2.1"));
    for number in 0..10_000 {
        index.issued(&format!("resp_{number}"), scope, None);
    }
    let known =
        (0..10_000).filter(|number| index.check(&format!("resp_{number}"), scope) != Ownership::Unknown).count();
    assert!((1..=200).contains(&known), "{known}");
    let replica = OwnerIndex::new(50, [7; 32]);
    let hash = index.hash("file-1").unwrap();
    assert!(replica.put(hash, Scope::from_bytes(*scope.as_bytes()), None));
    assert_eq!(replica.check("file-1", scope), Ownership::Mine { session: None });
    assert_ne!(OwnerIndex::new(50, [8; 32]).hash("file-1"), Some(hash), "hashes are keyed");
    let none = OwnerIndex::new(0, [7; 32]);
    assert!(!none.issued("file-1", scope, None) && none.check("file-1", scope) == Ownership::Unknown);
}

#[test]
fn callers_are_told_apart_by_everything_that_makes_them() {
    let callers = [
        caller("acme", "k", "alice"),
        caller("acme", "k", "bob"),
        caller("acme", "alice", "k"),
        caller("globex", "k", "alice"),
        caller("", "k", "alice"),
        caller("", "acmek", "alice"),
        caller("acme", "", "alice"),
        at("192.0.2.1"),
        at("192.0.2.2"),
        at("2001:db8::1"),
        at("2001:db8:0:1::1"),
        Caller::default(),
    ];
    for (one, first) in callers.iter().enumerate() {
        for (two, second) in callers.iter().enumerate() {
            assert_eq!(Scope::of(first) == Scope::of(second), one == two, "{first:?} {second:?}");
        }
    }
    assert_eq!(Scope::of(&at("2001:db8::1")), Scope::of(&at("2001:db8::2")), "a client owns a /64");
    assert_eq!(Scope::of(&at("::ffff:192.0.2.1")), Scope::of(&at("192.0.2.1")));
}

#[test]
fn ids_can_be_shared_with_the_team_or_tenant() {
    let team = |name: &str, user: &str| Caller { team: Some(name.into()), ..caller("acme", "", user) };
    let (alice, bob, carol) = (team("ml", "alice"), team("ml", "bob"), team("ops", "carol"));
    let of = |caller: &Caller, with| Scope::sharing(caller, with);
    assert_eq!(of(&alice, IdsBelongTo::Team), of(&bob, IdsBelongTo::Team));
    assert_ne!(of(&alice, IdsBelongTo::Team), of(&carol, IdsBelongTo::Team));
    assert_eq!(of(&alice, IdsBelongTo::Tenant), of(&carol, IdsBelongTo::Tenant));
    assert_ne!(of(&alice, IdsBelongTo::Caller), of(&bob, IdsBelongTo::Caller));
    let loner = caller("", "", "dave");
    assert_eq!(of(&loner, IdsBelongTo::Tenant), Scope::of(&loner), "without a tenant, nobody shares");
}

#[test]
fn ids_are_found_in_paths() {
    use IdKind::{Batch, Container, Conversation, File, Response, VectorStore};
    let found = |path| ids_in_path(path).collect::<Vec<_>>();
    assert_eq!(found("/responses/resp_1"), [(Response, "resp_1")]);
    assert_eq!(found("/v1/responses/resp_1/input_items"), [(Response, "resp_1")]);
    assert_eq!(found("/chat/completions/chatcmpl-1/messages"), [(Response, "chatcmpl-1")]);
    assert_eq!(found("/conversations/conv_1/items/msg_1"), [(Conversation, "conv_1")]);
    assert_eq!(found("/files/file-1/content"), [(File, "file-1")]);
    assert_eq!(found("/batches/batch_1/cancel"), [(Batch, "batch_1")]);
    assert_eq!(found("/v1/messages/batches/msgbatch_1/results"), [(Batch, "msgbatch_1")]);
    assert_eq!(found("/containers/c_1/files/f_1/content"), [(Container, "c_1"), (File, "f_1")]);
    assert_eq!(found("/vector_stores/vs_1/files/file-1"), [(VectorStore, "vs_1"), (File, "file-1")]);
    // An id that spells a kind is still an id in its place.
    assert_eq!(found("/files/responses/content"), [(File, "responses")]);
    for path in ["/responses", "/chat/completions", "/responses/input_tokens", "/files", "/", "", "/models/files-x"] {
        assert_eq!(found(path), [], "{path}");
    }
}

#[test]
fn ids_are_found_in_bodies_and_known_by_how_they_begin() {
    use IdKind::{Batch, Container, Conversation, File, Response, VectorStore};
    for (key, parent, kind) in [
        ("previous_response_id", None, Response),
        ("conversation", None, Conversation),
        ("id", Some("conversation"), Conversation),
        ("file_id", Some("content"), File),
        ("file_id", Some("source"), File),
        ("file_ids", Some("container"), File),
        ("input_file_id", None, File),
        ("container", Some("tools"), Container),
        ("container", None, Container),
        ("id", Some("container"), Container),
        ("vector_store_ids", Some("tools"), VectorStore),
        ("batch_id", None, Batch),
    ] {
        assert_eq!(id_in_body(key, parent, "x_1"), Some(kind), "{key} in {parent:?}");
        assert_eq!(id_in_body(key, parent, ""), None);
    }
    for (key, parent) in [("id", None), ("id", Some("tool_calls")), ("model", None), ("text", Some("content"))] {
        assert_eq!(id_in_body(key, parent, "x_1"), None);
    }
    assert_eq!(kind_by_prefix("resp_1"), Some(Response));
    assert_eq!(kind_by_prefix("msgbatch_1"), Some(Batch));
    assert_eq!(kind_by_prefix("file-1"), Some(File));
    assert_eq!(kind_by_prefix("resp_"), None);
    assert_eq!(kind_by_prefix("msg_1"), None);
}
