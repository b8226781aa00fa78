//! Loading and checking, on real files; publishing and reloading are in `reload`.

mod models;
mod reload;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::settings::{Mode, RouteAction, Settings, UpstreamKind};
use super::{Loaded, Problem, Source, load};
use crate::types::{ApiFamily, Dialect};

/// A rule that shows which file is in force.
const RULE: &str = r#"
id: PC-TEST-0001
title: A word
family: prompt_injection
gain: Nothing.
severity: low
score: 1
direction: input
action: score
references: { owasp_llm: ["LLM01:2025"] }
detection:
  prefilter: [xyzzy]
  sel_word: 'xyzzy'
examples: { positive: ["say xyzzy"], negative: ["say nothing"] }
"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

fn settings(rules: &Path, rest: &str) -> String {
    format!("[rules]\nbuiltin = false\ndirectories = [{rules:?}]\n[reload]\ndebounce = \"20ms\"\npoll = \"0\"\n{rest}")
}

fn folder_with_rules(rest: &str) -> Folder {
    let folder = Folder::new();
    folder.write("rules/a.yaml", RULE);
    folder.write("gateway.toml", &settings(&folder.path("rules"), rest));
    folder
}

fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let folder = Folder::new();
    let path = folder.write("gateway.toml", text);
    load(Some(&path), env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The problems of a text, each as `line:column: path: message`.
fn problems(text: &str) -> Vec<String> {
    problems_with(text, &[])
}

fn problems_with(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let found = load_with(text, env).expect_err("this must be refused");
    found.iter().map(|problem| problem.to_string().split("gateway.toml:").last().unwrap().to_owned()).collect()
}

#[track_caller]
fn only(text: &str, expected: &str) {
    let found = problems(text);
    assert!(found.len() == 1 && found[0].contains(expected), "expected `{expected}`, got {found:#?}");
}

fn reference() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.toml");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_reference_file_says_what_the_defaults_are() {
    let (path, _) = reference();
    let loaded = load(Some(&path), std::iter::empty()).unwrap();
    let mut settings = (*loaded.settings).clone();
    settings.upstreams.clear();
    assert_eq!(settings, Settings::default());
}

#[test]
fn the_reference_file_has_every_key() {
    let (_, text) = reference();
    let words: BTreeSet<&str> =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(&schema, &mut keys);
    assert!(keys.len() > 100, "{keys:?}");
    let missing: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "gateway.toml does not mention {missing:?}");
}

fn collect_keys(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| collect_keys(value, keys));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

#[test]
fn the_examples_in_the_reference_file_are_real_keys() {
    let (_, text) = reference();
    let all: String = text
        .lines()
        .filter(|line| *line != "keys = []")
        .map(|line| {
            let example = line.strip_prefix("# ").filter(|rest| {
                let key = rest.split([' ', '=']).next().unwrap_or("");
                rest.starts_with('[') && rest.ends_with(']')
                    || rest.contains(" = ")
                        && !key.is_empty()
                        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            });
            format!("{}\n", example.unwrap_or(line))
        })
        .collect();
    let found = problems(&all);
    let shape: Vec<&String> = found
        .iter()
        .filter(|problem| ["unknown", "invalid type", "missing", "expected"].iter().any(|word| problem.contains(word)))
        .collect();
    assert!(shape.is_empty(), "{shape:#?}");
    assert!(found.iter().any(|problem| problem.contains("one way")), "{found:#?}");
}

#[test]
fn effective_settings_can_be_read_again() {
    let loaded = load_with("[inspect]\nflag_at = 2\n", &[]).unwrap();
    let printed = loaded.to_toml(true).unwrap();
    let again = load_with(&printed, &[]).unwrap();
    assert_eq!(again.settings, loaded.settings);
    assert_eq!(loaded.to_toml(false).unwrap(), "[inspect]\nflag_at = 2\n");
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let found = problems(
        "[server]\nworkers = \"many\"\nwrokers = 4\n\n[http]\nidle_timeout = \"75\"\nmax_head = \"1KiB\"\n\n\
         [[listeners]]\naddress = \"127.0.0.1:1\"\n\n[[listeners]]\nprotocol = \"gopher\"\n\n\
         [inspect]\nflag_at = 9\nblock_at = 3\n",
    );
    let expect = [
        "2:1: server.workers: invalid type: string \"many\"",
        "3:1: server.wrokers: unknown field `wrokers`",
        "6:1: http.idle_timeout: `75` has no unit",
        "7:1: http.max_head: must be between 8KiB and 1MiB",
        "9:1: listeners[0]: missing field `protocol`",
        "13:1: listeners[1].protocol: unknown variant `gopher`",
        "17:1: inspect.block_at: must not be below inspect.flag_at",
    ];
    for expected in expect {
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "`{expected}` is not in {found:#?}");
    }
    assert_eq!(found.len(), expect.len(), "{found:#?}");
}

#[test]
fn every_syntax_error_is_reported() {
    let found = problems("[server]\nworkers = = 3\n\n[http]\nmax_headers 5\n");
    assert!(found.iter().any(|problem| problem.starts_with("2:")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("5:")), "{found:#?}");
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    only("", "is empty");
    only("  \n\n", "is empty");
    only(&format!("# {}\n", "x".repeat(1 << 20)), "more than 1024 KiB");
    let folder = Folder::new();
    let path = folder.path("gateway.toml");
    let told = |path: &Path| load(Some(path), std::iter::empty()).unwrap_err()[0].to_string();
    assert!(told(&path).contains("cannot be read"), "{}", told(&path));
    fs::write(&path, b"# \xff\xfe").unwrap();
    assert!(told(&path).contains("is not UTF-8: the byte at offset 2"), "{}", told(&path));
    fs::write(&path, b"a\0b = 1").unwrap();
    assert!(told(&path).contains("gateway.toml:1:"), "{}", told(&path));
    assert!(told(folder.0.path()).contains("is not a regular file"));
    assert!(load_with("# all defaults, on purpose\n", &[]).is_ok());
}

#[test]
fn listeners_are_checked() {
    only("listeners = []\n", "listeners: name at least one listener");
    only("[[listeners]]\nprotocol = \"unix\"\n", "listeners[0]: a unix listener needs a path");
    only("[[listeners]]\nprotocol = \"http\"\n", "listeners[0]: an http or https listener needs an address");
    let two = "[[listeners]]\nprotocol = \"http\"\naddress = \"127.0.0.1:8000\"\n";
    only(&format!("{two}{two}"), "127.0.0.1:8000 is taken by listeners[0] already");
    only(&two.replace("8000", "9090"), "127.0.0.1:9090 is taken by ops.address already");
    let long = "x".repeat(120);
    only(&format!("[[listeners]]\nprotocol = \"unix\"\npath = \"/{long}\"\n"), "a socket's path has 1 to 107 bytes");
}

#[test]
fn upstreams_are_checked() {
    let of = |rest: &str| format!("[upstreams.a]\nkind = \"openai\"\n{rest}\n");
    only(&of("base_url = \"ftp://x/v1\""), "3:1: upstreams.a.base_url: must begin with http:// or https://");
    only(&of("base_url = \"api.openai.com\""), "must begin with http");
    only(&of("base_url = \"https://x/v1?a=b\""), "may have no query");
    only(&of("base_url = \"https://me:secret@x/v1\""), "may have no user or password");
    only(&of("api_key = \"k\"\napi_key_env = \"K\""), "give the key in one way, not by api_key and api_key_env");
    only(&of("api_key = \"k\"\nforward_client_key = true"), "give the key in one way");
    only(&of("api_key_env = \"NOT_SET_ANYWHERE\""), "the environment variable NOT_SET_ANYWHERE is not set");
    only(&of("api_key_file = \"/does/not/exist\""), "/does/not/exist: cannot be read");
    only(&of("api_key = \"two\\nlines\""), "characters that no header can carry");
    only(&of("idle_timeout = \"0s\""), "must be longer than 0");
    only(&of("ca = \"Cargo.toml\""), "has no certificate in PEM");
    only("[upstreams.a]\nkind = \"rehearsal\"\nbase_url = \"http://x\"\n", "the rehearsal model is built in");
    only("[upstreams.\"a b\"]\nkind = \"openai\"\n", "upstreams.\"a b\": an upstream's name has letters");
}

#[test]
fn a_secret_is_never_printed() {
    let text = "[upstreams.a]\nkind = \"openai\"\napi_key = \"sk-very-secret\"\n";
    let loaded = load_with(text, &[]).unwrap();
    assert_eq!(loaded.upstreams.named("a").unwrap().api_key.as_ref().unwrap().expose(), "sk-very-secret");
    let everything = format!("{loaded:?}{}{}", loaded.to_toml(true).unwrap(), loaded.to_toml(false).unwrap());
    assert!(!everything.contains("very-secret"), "{everything}");
    assert!(everything.contains("[redacted]"));
    let bad = problems_with(
        "[upstreams.a]\nkind = \"openai\"\n",
        &[("PORTCULLIS__UPSTREAMS__A__API_KEY", "[\"sk-very-secret\"]x\u{7f}")],
    );
    assert!(!bad.join("").contains("very-secret"), "{bad:?}");
}

#[test]
fn keys_routes_and_thresholds_are_checked() {
    only("[[identity.keys]]\nname = \"a\"\nsha256 = \"abc\"\n", "identity.keys[0].sha256: must be the SHA-256");
    let key =
        |name: &str, digit: &str| format!("[[identity.keys]]\nname = \"{name}\"\nsha256 = \"{}\"\n", digit.repeat(64));
    only(&format!("{}{}", key("a", "1"), key("a", "2")), "`a` is also the name of key 1");
    only(&format!("{}{}", key("a", "1"), key("b", "1")), "another key has the same digest");
    only("[identity]\nrequire_key = true\n[store]\nurl = \"\"\n", "nobody could get in");
    only("[identity]\nuser_header = \"no good\"\n", "is not a header's name");
    only("[identity]\nuser_header = \"Authorization\"\n", "has a meaning of its own");
    only("[[routes]]\npath = \"chat\"\n", "routes[0].path: must begin with a slash");
    only("[[routes]]\npath = \"/v1/chat\"\n", "without the leading /v1");
    only("[[routes]]\npath = \"/a/../b\"\n", "must be canonical");
    only(
        "[[routes]]\npath = \"/a\"\nmethods = [\"POST\", \"get\"]\n",
        "routes[0].methods[1]: a method is written in capitals",
    );
    only("[[routes]]\npath = \"/a\"\nupstream = \"nowhere\"\n", "there is no upstream `nowhere`: known are rehearsal");
    only("[inspect]\nstrict_percent = 0\n", "must be between 1 and 100");
    only("[inspect.recommend]\nblock = 2.0\n", "must be between 0 and 1");
    only("[inspect.recommend]\nmonitor = 0.8\n", "must not be above inspect.recommend.investigate");
    only("[telemetry]\ntrace_ratio = 1.5\n", "must be between 0 and 1");
    only("[telemetry]\nlog = \"portcullis=loud\"\n", "is not a filter");
    only(
        "[rules]\ndirectories = [\"/does/not/exist\"]\n",
        "rules.directories[0]: /does/not/exist: the directory cannot be read",
    );
    only("[body]\nmax_in_flight = \"1MiB\"\n", "must be at least body.max_request");
    only("[tls]\nclient_auth = \"required\"\n", "needs tls.client_ca");
}

#[test]
fn what_follows_from_a_problem_is_not_reported() {
    let found = problems("[upstreams.a]\nkind = \"opneai\"\n\n[[routes]]\npath = \"/x\"\nupstream = \"a\"\n");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("2:1: upstreams.a.kind: unknown variant `opneai`"), "{found:#?}");
}

#[test]
fn the_environment_overrides_the_file() {
    let env = [
        ("PORTCULLIS__SERVER__WORKERS", "3"),
        ("PORTCULLIS__SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("PORTCULLIS__LISTENERS__1__ADDRESS", "127.0.0.1:8081"),
        ("PORTCULLIS__BODY__MAX_REQUEST", "1048576"),
        ("PORTCULLIS__INSPECT__MODE", "monitor"),
        ("PORTCULLIS__RULES__OVERRIDES__PC_INJ_0001__ENABLED", "false"),
        (
            "PORTCULLIS__IDENTITY__KEYS",
            r#"[{"name": "a", "sha256": "1111111111111111111111111111111111111111111111111111111111111111"}]"#,
        ),
        ("PORTCULLIS__UPSTREAMS__MY_LLM__API_KEY", "12345"),
        ("UNRELATED", "x"),
    ];
    let loaded =
        load_with("[server]\nworkers = 1\n[upstreams.my-llm]\nkind = \"openai\"\napi_key_env = \"GONE\"\n", &env)
            .unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.server.workers, 3);
    assert_eq!(loaded.trusted.len(), 1);
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(settings.listeners[1].address.unwrap().port(), 8081);
    assert_eq!(settings.body.max_request.get(), 1 << 20);
    assert_eq!(settings.inspect.mode, Mode::Monitor);
    assert_eq!(settings.rules.overrides["PC-INJ-0001"].enabled, Some(false));
    assert_eq!(loaded.keys.len(), 1);
    assert_eq!(loaded.upstreams.named("my-llm").unwrap().api_key.as_ref().unwrap().expose(), "12345");
}

#[test]
fn problems_in_the_environment_name_the_variable() {
    let env = [("PORTCULLIS__SERVER__WROKERS", "3"), ("PORTCULLIS__HTTP__MAX_HEADERS", "many")];
    let found = problems_with("# nothing\n", &env);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().any(|problem| {
        problem.starts_with("environment variable PORTCULLIS__SERVER__WROKERS: server.wrokers: unknown field")
    }));
    assert!(found.iter().any(|problem| {
        problem.starts_with("environment variable PORTCULLIS__HTTP__MAX_HEADERS: http.max_headers: invalid type")
    }));
}

#[test]
fn keys_are_read_from_files() {
    let folder = Folder::new();
    let file = folder.write("secret", "sk-from-file\n");
    let env = [("PORTCULLIS__UPSTREAMS__OPENAI__API_KEY_FILE", file.to_str().unwrap())];
    let loaded = load_with("# nothing\n", &env).unwrap();
    let upstream = loaded.upstreams.named("openai").unwrap();
    assert_eq!((upstream.kind, upstream.api_key.as_ref().unwrap().expose()), (UpstreamKind::Openai, "sk-from-file"));
    let env = [("OPENAI_API_KEY_FILE", file.to_str().unwrap())];
    let loaded = load_with("# nothing\n", &env).unwrap();
    assert_eq!(loaded.upstreams.named("openai").unwrap().api_key.as_ref().unwrap().expose(), "sk-from-file");
}

#[test]
fn upstreams_without_configuration_come_from_the_environment() {
    let names = |env: &[(&str, &str)]| -> Vec<String> {
        load_with("# nothing\n", env).unwrap().upstreams.iter().map(|upstream| upstream.name.to_string()).collect()
    };
    assert_eq!(names(&[]), ["rehearsal"]);
    assert_eq!(names(&[("OPENAI_API_KEY", "k")]), ["openai", "rehearsal"]);
    assert_eq!(names(&[("OPENAI_API_KEY", " ")]), ["rehearsal"]);
    assert_eq!(names(&[("OPENAI_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")]), ["anthropic", "openai"]);
    let explicit = load_with("[upstreams.x]\nkind = \"openai\"\n", &[("ANTHROPIC_API_KEY", "k")]).unwrap();
    assert_eq!(explicit.upstreams.len(), 1);
    let base = explicit.upstreams.get(0).unwrap().base.as_ref().unwrap();
    let uri = base.uri("/chat/completions", Some("a=b")).unwrap();
    assert_eq!(uri.to_string(), "https://api.openai.com/v1/chat/completions?a=b");
}

#[test]
fn routes_are_found_in_order() {
    let text = "[upstreams.o]\nkind = \"openai\"\n[upstreams.r]\nkind = \"rehearsal\"\n\
                [[routes]]\npath = \"/files/*\"\nmethods = [\"GET\", \"POST\"]\naction = \"pass\"\nupstream = \"o\"\n\
                [[routes]]\npath = \"/completions\"\naction = \"deny\"\n\
                [[routes]]\npath = \"/files/secret\"\naction = \"deny\"\n";
    let routes = load_with(text, &[]).unwrap().routes;
    let find = |method, path, dialect| routes.lookup(method, path, dialect, ApiFamily::OpenAi).cloned();
    let plan = find("GET", "/files/secret", None).unwrap();
    assert_eq!((plan.action, &*plan.policy), (RouteAction::Pass, "routes[0]"));
    assert_eq!(find("POST", "/completions", Some(Dialect::Completions)).unwrap().action, RouteAction::Deny);
    let chat = find("POST", "/chat/completions", Some(Dialect::Chat)).unwrap();
    assert_eq!((&*chat.upstream.unwrap().name, chat.action, &*chat.policy), ("o", RouteAction::Inspect, "built-in"));
    assert_eq!(&*find("POST", "/messages", Some(Dialect::Messages)).unwrap().upstream.unwrap().name, "r");
    let models = routes.lookup("GET", "/models", Some(Dialect::Models), ApiFamily::Anthropic).unwrap();
    assert_eq!(&*models.upstream.as_ref().unwrap().name, "r");
    for (method, path) in [
        ("DELETE", "/files/x"),
        ("GET", "/files"),
        ("GET", "/files/"),
        ("GET", "/filesystem/x"),
        ("POST", "/moderations"),
    ] {
        assert!(find(method, path, None).is_none(), "{method} {path}");
    }
}

#[test]
fn gateway_keys_are_found_by_what_clients_present() {
    let digest = crate::types::hex(&super::digest(b"pc-key"));
    let keys = load_with(&format!("[[identity.keys]]\nname = \"a\"\nsha256 = \"{digest}\"\n"), &[]).unwrap().keys;
    assert_eq!(keys.find(b"pc-key").map(|name| &**name), Some("a"));
    assert_eq!(keys.find(b"pc-kez"), None);
    assert_eq!(digest.len(), 64);
}

fn certificate(names: &str, expired: bool) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![names.to_owned()]).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn certificates_are_checked_against_their_keys() {
    let folder = Folder::new();
    let (good, good_key) = certificate("localhost", false);
    let (old, old_key) = certificate("localhost", true);
    let certs = folder.write("good.crt", &good);
    let key = folder.write("good.key", &good_key);
    let tls = |certs: &Path, key: &Path| format!("[tls]\ncertificate = {certs:?}\nkey = {key:?}\n");
    let loaded = load_with(&tls(&certs, &key), &[]).unwrap();
    assert_eq!(&*loaded.tls.pair.as_ref().unwrap().certs_pem, good);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let old_certs = folder.write("old.crt", &old);
    let old_key = folder.write("old.key", &old_key);
    let loaded = load_with(&tls(&old_certs, &old_key), &[]).unwrap();
    assert!(loaded.warnings[0].to_string().contains("the certificate has expired"), "{:?}", loaded.warnings);
    only(&tls(&certs, &old_key), "is not the key of");
    only(&tls(&certs, &certs), "tls.key");
    only(&tls(&key, &key), "has no certificate in PEM");
    only(&format!("[tls]\ncertificate = {certs:?}\n"), "needs tls.key beside it");
}

#[test]
fn an_override_of_no_rule_is_told_where_it_stands() {
    let folder = folder_with_rules("");
    let text = settings(&folder.path("rules"), "[rules.overrides.PC-NOPE-0001]\nenabled = false\n");
    let path = folder.write("gateway.toml", &text);
    let source = Source::new(Some(&path), super::Environment::default());
    let told = source.check().unwrap_err()[0].to_string();
    assert!(
        told.ends_with("gateway.toml:7:18: rules.overrides.PC-NOPE-0001: no rule has this id, and no family this name"),
        "{told}"
    );
}

#[test]
fn the_ops_listener_is_found_in_a_damaged_file_or_not_guessed() {
    let folder = Folder::new();
    let of = |text: &str| {
        let path = folder.write("gateway.toml", text);
        Source::new(Some(&path), super::Environment::default()).ops_address().map(|address| address.map(|a| a.port()))
    };
    assert_eq!(of("# defaults\n"), Ok(Some(9090)));
    assert_eq!(of("[ops]\naddress = \"0.0.0.0:1234\"\nunknown = 1\n"), Ok(Some(1234)));
    assert_eq!(of("[ops]\naddress = \"127.0.0.1:1234\"\n[server]\nx=\n"), Ok(Some(1234)));
    assert_eq!(of("[ops]\naddress = \"\"\n"), Ok(None));
    assert!(of("[server]\nx=\n").is_err());
    assert!(of("[ops]\naddress = \"nowhere\"\n").is_err());
}
