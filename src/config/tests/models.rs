//! Other people's models: what is refused, what is read, what a reload keeps.

use std::fs;
use std::sync::Arc;

use super::super::settings::{Model, Settings};
use super::super::{Environment, Handle, Source, prepare};
use super::{Folder, load_with, only, reference, settings};

fn of(rest: &str) -> String {
    format!("[models.guard]\nurl = \"http://127.0.0.1:9/\"\n{rest}\n")
}

#[test]
fn the_reference_file_shows_the_defaults_of_a_model() {
    let (_, text) = reference();
    let table = text.split("# [models.guard]").nth(1).unwrap().split("\n\n").next().unwrap();
    let own = ["directory", "url", "api_key", "api_key_env", "api_key_file", "ca"];
    let keys: String = table
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once(" = "))
        .filter(|(key, _)| !key.contains(' ') && !own.contains(key))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let shown: Model = toml::from_str(&keys).unwrap();
    assert_eq!(shown, Model::default());
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
    let known = schema["$defs"]["Model"]["properties"].as_object().unwrap();
    assert_eq!(keys.lines().count() + own.len(), known.len(), "{keys}");
}

#[test]
fn models_are_checked() {
    only("[models.guard]\nwhen = \"always\"\n", "models.guard: give a directory");
    only(&of("directory = \"x\""), "give a directory or a url, not both");
    only(&of("flag_at = 0.9\nblock_at = 0.5"), "0 < flag_at <= block_at <= 1");
    only(&of("flag_at = 0.0"), "0 < flag_at");
    only(&of("action = \"redact\""), "a model cannot redact");
    only(&of("roles = []"), "without roles");
    only(&of("roles = [\"usher\"]"), "unknown variant `usher`");
    only(&of("timeout = \"0s\""), "must be longer than 0");
    only(&of("queue = 0"), "models.guard.queue: must be between 1 and");
    only(&of("stride = 300"), "at most half of max_tokens");
    only(&of("max_answer = \"1\""), "must be between 1KiB and 1GiB");
    only(&of("api_key = \"k\"\napi_key_env = \"K\""), "give the key in one way");
    only(&of("breaker_failures = 0"), "must be more than 0");
    only("[models.\"a b\"]\nurl = \"http://x/\"\n", "a model's name has");
    only("[models.guard]\nurl = \"ftp://x/\"\n", "must begin with http");
    only("[models.guard]\nurl = \"http://me:secret@x/\"\n", "no user or password");
    only(&format!("{}[models.Guard]\nurl = \"http://x/\"\n", of("")), "another model has this name");
    assert!(load_with("[models.guard]\nenabled = false\n", &[]).is_ok(), "what is off is not looked at");
}

#[test]
#[cfg(feature = "onnx")]
fn a_directory_without_a_model_is_refused() {
    let found = super::problems("[models.guard]\ndirectory = \"/does/not/exist\"\n");
    assert!(found[0].contains("/does/not/exist/model.onnx: cannot be read"), "{found:#?}");
}

#[test]
#[cfg(not(feature = "onnx"))]
fn a_build_without_onnx_names_the_feature() {
    only(
        "[models.guard]\ndirectory = \"x\"\n",
        "models.guard.directory: this build cannot run ONNX models: build with",
    );
}

#[test]
fn the_key_of_a_model_comes_from_the_environment_and_is_never_printed() {
    let text = of("api_key = \"dk-in-the-file\"");
    let loaded = load_with(&text, &[("PORTCULLIS__MODELS__GUARD__API_KEY_ENV", "DETECTOR"), ("DETECTOR", "dk-secret")]);
    let loaded = loaded.unwrap();
    let everything = format!("{loaded:?}{}{}", loaded.to_toml(true).unwrap(), loaded.to_toml(false).unwrap());
    assert!(!everything.contains("dk-"), "{everything}");
    let loaded = load_with(&text, &[]).unwrap();
    let everything = format!("{loaded:?}{}{}", loaded.to_toml(true).unwrap(), loaded.to_toml(false).unwrap());
    assert!(!everything.contains("dk-") && everything.contains("[redacted]"), "{everything}");
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let folder = Folder::new();
    folder.write("rules/a.yaml", super::RULE);
    let rules = folder.path("rules");
    let path = folder.path("gateway.toml");
    let load = |text: &str| {
        fs::write(&path, settings(&rules, text)).unwrap();
        Source::new(Some(&path), Environment::default()).load().unwrap()
    };
    let two = "[models.b]\nurl = \"http://127.0.0.1:9/b\"\n";
    let handle = Handle::new(prepare(&load(&format!("{}{two}", of(""))), None).unwrap());
    let before = handle.load_full();
    handle.publish(handle.prepare(&load(&format!("{}{two}[inspect]\nflag_at = 3\n", of("")))).unwrap());
    let same = handle.load_full();
    assert!(Arc::ptr_eq(&before.models, &same.models));
    handle.publish(handle.prepare(&load(&format!("{}{two}", of("flag_at = 0.7")))).unwrap());
    let after = handle.load_full();
    let kept: Vec<bool> = before.models.iter().zip(after.models.iter()).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(kept, [true, false], "in the order of their names: b, guard");
    assert_eq!(after.models.iter().map(|model| model.name().to_string()).collect::<Vec<_>>(), ["b", "guard"]);
}
