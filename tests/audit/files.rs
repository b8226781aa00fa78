//! Exports, segments and proofs: what leaves the store can be verified without it.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::control::audit::ocsf::Exporter;
use portcullis::control::audit::walk::{self, Against};
use portcullis::control::audit::{Fault, Finding, KeyRing, Options, Proof, Summary, Trail, segment};
use portcullis::store::Backend;
use serde_json::Value;

use crate::both;
use crate::home::{Home, entry};

both!(segments_carry_the_chain_on, a_record_is_proven_with_the_public_key_alone);

/// An export of a trail with 30 records, and the keys to verify it with.
async fn export(home: &Home) -> (Vec<String>, KeyRing) {
    let database = home.filled(30).await;
    let mut out = Vec::new();
    segment::write(&database, &mut out, (1, 30), true).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    (text.lines().map(str::to_owned).collect(), home.against().keys)
}

async fn verify(home: &Home, keys: &KeyRing, lines: &[String]) -> Result<Summary, Finding> {
    let path = home.folder.path().join("export.jsonl");
    fs::write(&path, lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>()).unwrap();
    walk::file(&path, &Against { keys: keys.clone(), ..Against::default() }).await.unwrap()
}

#[tokio::test]
async fn each_way_to_tamper_with_an_export_is_named() {
    let home = Home::new(Backend::Sqlite);
    let (lines, keys) = export(&home).await;
    let summary = verify(&home, &keys, &lines).await.unwrap();
    assert_eq!((summary.records, summary.checkpoints, summary.unsigned), (30, 3, 0));
    let at = |seq: i64| lines.iter().position(|line| line.contains(&format!("\"seq\":{seq},\"time\""))).unwrap();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        changed
    };
    let cases: Vec<(&str, Vec<String>, (i64, Fault))> = vec![
        ("a cell", with(&|l| l[at(7)] = l[at(7)].replace("gateway.toml", "gateway.yaml")), (7, Fault::Changed)),
        ("a number", with(&|l| l[at(7)] = l[at(7)].replace("\"seq\":7", "\"seq\":9")), (7, Fault::Changed)),
        ("a personal part", with(&|l| l[at(7)] = l[at(7)].replace("user-2", "user-4")), (7, Fault::Changed)),
        ("a hash", with(&|l| l[at(7)] = l[at(7)].replacen("\"hash\":\"", "\"hash\":\"0", 1)), (7, Fault::Changed)),
        ("the first", with(&|l| drop(l.remove(at(1)))), (1, Fault::Removed)),
        ("the middle", with(&|l| drop(l.remove(at(15)))), (15, Fault::Removed)),
        ("the last", with(&|l| drop(l.remove(at(30)))), (30, Fault::Truncated)),
        ("the tail", with(&|l| l.truncate(at(22))), (22, Fault::Truncated)),
        ("the last line", with(&|l| l.truncate(l.len() - 1)), (31, Fault::Truncated)),
        ("two swapped", with(&|l| l.swap(at(7), at(8))), (7, Fault::Swapped)),
        ("one doubled", with(&|l| l.insert(at(7), l[at(7)].clone())), (7, Fault::Doubled)),
        ("a checkpoint", with(&|l| drop(l.remove(at(10) + 1))), (1, Fault::MissingCheckpoint)),
        (
            "a signature",
            with(&|l| l[at(10) + 1] = l[at(10) + 1].replace("signature\":\"", "signature\":\"00")),
            (11, Fault::BadSignature),
        ),
    ];
    for (what, lines, expected) in cases {
        let found = verify(&home, &keys, &lines).await.expect_err(what);
        assert_eq!((found.seq, found.fault), expected, "{what}: {found}");
    }
}

#[tokio::test]
async fn any_flipped_byte_of_an_export_is_found() {
    let home = Home::new(Backend::Sqlite);
    let (lines, keys) = export(&home).await;
    let text = lines.join("\n") + "\n";
    let path = home.folder.path().join("flipped.jsonl");
    let against = Against { keys, ..Against::default() };
    for at in (0..text.len()).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        fs::write(&path, bytes).unwrap();
        let verified = walk::file(&path, &against).await;
        assert!(
            !matches!(verified, Ok(Ok(_))),
            "byte {at}: {:?}",
            &text[at.saturating_sub(30)..(at + 10).min(text.len())]
        );
    }
}

async fn segments_carry_the_chain_on(home: Home) {
    home.filled(95).await;
    let options = Options { segment_records: 20, ..home.options() };
    let trail = Trail::open(home.database().await, options).await.unwrap();
    let made = trail.archive(i64::MAX).await.unwrap();
    let ranges: Vec<(i64, i64)> = made.iter().map(|segment| (segment.first, segment.last)).collect();
    assert_eq!(ranges, [(1, 20), (21, 40), (41, 60), (61, 80)]);
    trail.append(entry(1)).await.unwrap();
    trail.flush().await.unwrap();
    let whole = home.verify().await.unwrap();
    assert_eq!((whole.first, whole.records, whole.erased, whole.unsigned), (1, 100, 0, 0));
    assert_eq!(home.database().await.audit_page(0, 1).await.unwrap()[0].seq, 81);
    // The persons in segments can still be erased, in the store.
    assert!(fs::read(&made[0].path).unwrap().len() < 20 * 400, "compressed, without personal parts");
    assert!(trail.erase("user-3", "acc_1").await.unwrap() > 10);
    // Every segment counts.
    let aside = home.folder.path().join("aside");
    for (at, segment) in made.iter().enumerate() {
        fs::rename(&segment.path, &aside).unwrap();
        let found = home.verify().await.unwrap_err();
        assert_eq!((found.seq, found.fault), (if at == 0 { 1 } else { segment.first }, Fault::Removed), "{found}");
        fs::rename(&aside, &segment.path).unwrap();
    }
    flip(&made[1].path);
    let found = home.verify().await.unwrap_err();
    assert!((21..=41).contains(&found.seq), "{found}");
    flip(&made[1].path);
    // What retention removes, the chain says.
    let gone = trail.retire(i64::MAX).await.unwrap();
    assert_eq!(gone.len(), 4);
    trail.close().await;
    let rest = home.verify().await.unwrap();
    assert_eq!((rest.first, rest.retired), (81, 80));
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 16;
    fs::write(path, bytes).unwrap();
}

async fn a_record_is_proven_with_the_public_key_alone(home: Home) {
    let database = home.filled(25).await;
    let public: PathBuf = home.directory().join("signing.pub.pem");
    let keys = KeyRing::read(&public).unwrap();
    for seq in 1..=25 {
        let proof = Proof::make(&database, seq).await.unwrap();
        let text = serde_json::to_string_pretty(&proof).unwrap();
        let read: Proof = serde_json::from_str(&text).unwrap();
        assert_eq!(read.verify(&keys).map(|proven| proven.seq).map_err(|e| e.to_string()), Ok(seq), "{text}");
        for (from, to) in
            [("gateway.toml", "gateway.yaml"), ("\"seq\": 2", "\"seq\": 3"), ("\"root\": \"", "\"root\": \"f")]
        {
            let forged = text.replacen(from, to, 1);
            let verified = serde_json::from_str::<Proof>(&forged).map(|proof| proof.verify(&keys).is_ok());
            assert!(forged == text || !verified.unwrap_or(false), "{seq}: {from}");
        }
    }
    assert!(Proof::make(&database, 26).await.is_err());
    assert!(Proof::make(&database, 0).await.is_err());
}

#[tokio::test]
async fn ocsf_events_carry_a_chain_of_their_own() {
    let home = Home::new(Backend::Sqlite);
    let database = home.filled(5).await;
    let mut exporter = Exporter::new("store-1");
    let mut before = Value::Null;
    for row in database.audit_page(0, 10).await.unwrap() {
        let event: Value = serde_json::from_str(&exporter.event(&row)).unwrap();
        assert_eq!(
            event["type_uid"],
            event["class_uid"].as_i64().unwrap() * 100 + event["activity_id"].as_i64().unwrap()
        );
        let attestation = &event["attestation_list"][0];
        assert_eq!(attestation["prev_event"]["fingerprint"], before);
        before = attestation["fingerprint"].clone();
        assert_eq!(event["unmapped"]["portcullis"]["record"], row.body.as_str());
    }
}
