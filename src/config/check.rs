//! Raw -> checked: what types cannot say. Every problem is reported, each with its key.

use std::collections::BTreeMap;

use hyper::Uri;
use tracing_subscriber::EnvFilter;

use super::identity_check;
use super::problem::{KeyPath, Problem};
use super::read::Reader;
use super::settings::{Body, ClientAuth, Http, Inspect, Listener, Mode, Protocol, Rules, SecurityMode, Settings};
use super::tree::Origins;
use super::units::{Size, Time};

/// The space a path has in a Unix socket's address on Linux, the final NUL excluded.
const SOCKET_PATH: usize = 107;

/// Collects problems.
pub(super) struct Check<'a> {
    pub(super) reader: &'a mut Reader,
    origins: &'a Origins,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(super) fn new(reader: &'a mut Reader, origins: &'a Origins) -> Self {
        Self { reader, origins, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Reports something that must not be published, unless it follows from something already reported.
    pub(super) fn problem(&mut self, at: &KeyPath, message: impl Into<String>) {
        if !self.doubtful(at) {
            self.problems.push(self.origins.problem(at, message));
        }
    }

    /// Reports something that an operator should know.
    pub(super) fn warning(&mut self, at: &KeyPath, message: impl Into<String>) {
        self.warnings.push(self.origins.problem(at, message));
    }

    /// Where the value at `at` is written, as a problem without words.
    pub(super) fn located(&self, at: &KeyPath) -> Problem {
        self.origins.problem(at, "")
    }

    /// Whether the value at `at` could not be read, and was reported.
    pub(super) fn doubtful(&self, at: &KeyPath) -> bool {
        self.origins.doubtful(at)
    }

    pub(super) fn require(&mut self, good: bool, at: &KeyPath, message: &str) {
        if !good {
            self.problem(at, message);
        }
    }

    fn longer_than_zero(&mut self, table: &str, times: &[(&str, Time)]) {
        for (key, time) in times {
            self.require(!time.is_zero(), &KeyPath::of(&[table, key]), "must be longer than 0");
        }
    }

    fn sizes(&mut self, table: &str, sizes: &[(&str, Size)]) {
        for (key, size) in sizes {
            self.require(!size.is_empty(), &KeyPath::of(&[table, key]), "must be more than 0 bytes");
        }
    }
}

/// Checks everything that is not a room of its own: upstreams, routes, keys and certificates are.
pub(super) fn check(check: &mut Check<'_>, settings: &Settings) {
    listeners(check, settings);
    server(check, settings);
    http(check, &settings.http);
    body(check, &settings.body);
    identity(check, settings);
    inspect(check, settings);
    rules(check, &settings.rules, &settings.inspect);
    operation(check, settings);
    for (key, message) in settings.fleet.problems() {
        check.problem(&KeyPath::of(&["fleet", key]), message);
    }
    for (key, message) in settings.admin.problems() {
        check.problem(&KeyPath::of(&["admin"]).key(&key), message);
    }
    for (key, message) in settings.approvals.problems() {
        check.problem(&KeyPath::of(&["approvals", key]), message);
    }
    for (key, message) in settings.learn.problems() {
        check.problem(&key.split('.').fold(KeyPath::of(&["learn"]), |at, step| at.key(step)), message);
    }
    let step = |at: KeyPath, step: &str| step.parse().map_or_else(|_| at.key(step), |index| at.index(index));
    for (key, message) in settings.export.problems() {
        check.problem(&key.split('.').fold(KeyPath::of(&["export"]), step), message);
    }
    for (key, message) in settings.reports.problems() {
        check.problem(&key.split('.').fold(KeyPath::of(&["reports"]), step), message);
    }
    for (key, message) in settings.soc.problems() {
        check.problem(&key.split('.').fold(KeyPath::of(&["soc"]), step), message);
    }
}

fn listeners(check: &mut Check<'_>, settings: &Settings) {
    let all = KeyPath::of(&["listeners"]);
    check.require(!settings.listeners.is_empty(), &all, "name at least one listener");
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    if let Some(address) = settings.ops.address.filter(|address| address.port() != 0) {
        taken.insert(address.to_string(), "ops.address".to_owned());
    }
    for (index, listener) in settings.listeners.iter().enumerate() {
        let at = all.index(index);
        let place = one_listener(check, &at, listener);
        if let Some(place) = place
            && let Some(other) = taken.insert(place.clone(), at.to_string())
        {
            check.problem(&at, format!("{place} is taken by {other} already"));
        }
    }
}

/// Where it listens, if that can be taken only once.
fn one_listener(check: &mut Check<'_>, at: &KeyPath, listener: &Listener) -> Option<String> {
    match listener.protocol {
        Protocol::Unix => {
            check.require(listener.address.is_none(), &at.key("address"), "a unix listener has a path, no address");
            check.require(!listener.proxy_protocol, &at.key("proxy_protocol"), "means nothing on a unix listener");
            let Some(path) = &listener.path else {
                check.problem(at, "a unix listener needs a path");
                return None;
            };
            let length = path.as_os_str().len();
            if length == 0 || length > SOCKET_PATH {
                check.problem(
                    &at.key("path"),
                    format!("a socket's path has 1 to {SOCKET_PATH} bytes, this has {length}"),
                );
            }
            Some(path.display().to_string())
        }
        Protocol::Https | Protocol::Http => {
            check.require(listener.path.is_none(), &at.key("path"), "only a unix listener has a path");
            let Some(address) = listener.address else {
                check.problem(at, "an http or https listener needs an address, such as \"127.0.0.1:8080\"");
                return None;
            };
            (address.port() != 0).then(|| address.to_string())
        }
    }
}

fn server(check: &mut Check<'_>, settings: &Settings) {
    let server = &settings.server;
    let at = |key| KeyPath::of(&["server", key]);
    check.require(server.workers <= 1024, &at("workers"), "may be 1024 at most; 0 is one per core");
    for (key, value) in [
        ("max_connections", server.max_connections),
        ("max_connections_per_address", server.max_connections_per_address),
        ("event_queue", server.event_queue),
        ("event_reserve", server.event_reserve),
    ] {
        check.require(value > 0, &at(key), "must be more than 0");
    }
    for (name, queue) in [("event_queue", server.event_queue), ("event_reserve", server.event_reserve)] {
        check.require(queue <= 1 << 24, &at(name), "may be 16777216 at most: it is kept in memory");
    }
    check.require(settings.ops.max_connections > 0, &KeyPath::of(&["ops", "max_connections"]), "must be more than 0");
    let tracked = KeyPath::of(&["limits", "max_tracked"]);
    check.require(settings.limits.max_tracked > 0, &tracked, "must be more than 0");
}

fn http(check: &mut Check<'_>, http: &Http) {
    let at = |key| KeyPath::of(&["http", key]);
    check.longer_than_zero(
        "http",
        &[
            ("handshake_timeout", http.handshake_timeout),
            ("header_timeout", http.header_timeout),
            ("idle_timeout", http.idle_timeout),
            ("body_timeout", http.body_timeout),
            ("write_timeout", http.write_timeout),
        ],
    );
    // hyper refuses a smaller read buffer.
    let head = http.max_head.get();
    let head_fits = (8 << 10..=1 << 20).contains(&head);
    check.require(head_fits, &at("max_head"), "must be between 8KiB and 1MiB");
    check.require((1..=1024).contains(&http.max_headers), &at("max_headers"), "must be between 1 and 1024");
    let target = http.max_target.get();
    let target_fits = target > 0 && (target <= head || !head_fits);
    check.require(target_fits, &at("max_target"), "must be more than 0 and no more than http.max_head");
    check.require(http.h2_max_streams > 0, &at("h2_max_streams"), "must be more than 0");
    check.require(http.h2_max_resets > 0, &at("h2_max_resets"), "must be more than 0");
    let list = http.h2_max_header_list.get();
    check.require((1 << 10..=1 << 20).contains(&list), &at("h2_max_header_list"), "must be between 1KiB and 1MiB");
    // RFC 9113, 6.9.1: a window is below 2^31; 6.9.2: it begins at 65,535 bytes.
    for (key, size) in
        [("h2_stream_window", http.h2_stream_window), ("h2_connection_window", http.h2_connection_window)]
    {
        check.require((65_535..1 << 31).contains(&size.get()), &at(key), "must be between 65535 bytes and 2GiB");
    }
}

fn body(check: &mut Check<'_>, body: &Body) {
    let at = |key| KeyPath::of(&["body", key]);
    let sizes = [
        ("max_request", body.max_request),
        ("max_response", body.max_response),
        ("max_event", body.max_event),
        ("max_tool_call", body.max_tool_call),
        ("max_in_flight", body.max_in_flight),
    ];
    check.sizes("body", &sizes);
    // Offsets into a body are 32 bits.
    for (key, size) in sizes.iter().filter(|(key, _)| *key != "max_in_flight") {
        check.require(size.get() <= 1 << 30, &at(key), "may be 1GiB at most");
    }
    let room = body.max_in_flight >= body.max_request;
    check.require(room, &at("max_in_flight"), "must be at least body.max_request, or the largest request never fits");
    check.require(body.max_decode_ratio > 0, &at("max_decode_ratio"), "must be more than 0");
    check.require((1..=512).contains(&body.max_depth), &at("max_depth"), "must be between 1 and 512");
    check.require(body.max_nodes > 0, &at("max_nodes"), "must be more than 0");
}

fn identity(check: &mut Check<'_>, settings: &Settings) {
    let identity = &settings.identity;
    for (key, message) in identity_check::problems(identity) {
        let at = key.split('.').fold(KeyPath::of(&["identity"]), |at, step| at.key(step));
        check.problem(&at, message);
    }
    let has_store = !settings.store.url.is_empty() || settings.store.url_env.is_some();
    let has_certificates = settings.tls.client_auth != ClientAuth::None;
    let somebody = !identity.require_key
        || !identity.keys.is_empty()
        || !identity.tokens.is_empty()
        || identity.user_header.is_some()
        || has_store
        || has_certificates;
    let at = KeyPath::of(&["identity", "require_key"]);
    // Keys that could not be read are reported already, and are why the list may be empty.
    if !check.doubtful(&KeyPath::of(&["identity", "keys"])) {
        check.require(
            somebody,
            &at,
            "nobody could get in: there are no identity.keys, identity.tokens, identity.user_header, client certificates, \
             and no store for virtual keys",
        );
    }
}

fn inspect(check: &mut Check<'_>, settings: &Settings) {
    let inspect = &settings.inspect;
    let at = |key| KeyPath::of(&["inspect", key]);
    check.require(inspect.flag_at > 0, &at("flag_at"), "must be more than 0, or every prompt is flagged");
    check.require(inspect.flag_at <= inspect.block_at, &at("block_at"), "must not be below inspect.flag_at");
    check.require(inspect.block_at <= 100_000, &at("block_at"), "may be 100000 at most");
    check.require((1..=100).contains(&inspect.strict_percent), &at("strict_percent"), "must be between 1 and 100");
    check.sizes("inspect", &[("yield_every", inspect.yield_every)]);
    let recommend = &inspect.recommend;
    let at_recommend = |key| KeyPath::of(&["inspect", "recommend", key]);
    let levels = [
        ("block", recommend.block),
        ("investigate", recommend.investigate),
        ("monitor", recommend.monitor),
        ("ignore", recommend.ignore),
    ];
    for (key, level) in levels {
        check.require((0.0..=1.0).contains(&level), &at_recommend(key), "must be between 0 and 1");
    }
    for [(above, high), (key, low)] in levels.array_windows() {
        check.require(low <= high, &at_recommend(key), &format!("must not be above inspect.recommend.{above}"));
    }
    let history = &inspect.history;
    let at_history = |key| KeyPath::of(&["inspect", "history", key]);
    for (key, value, most) in [
        ("callers", history.callers, 1 << 22),
        ("conversations", history.conversations, 1 << 22),
        ("turns", history.turns, 64),
    ] {
        check.require(value <= most, &at_history(key), &format!("may be {most} at most: it is kept in memory"));
    }
    check.require(history.turn_bytes.get() <= 64 << 10, &at_history("turn_bytes"), "may be 64KiB at most");
    check.require(!history.timeout.is_zero(), &at_history("timeout"), "must be longer than 0");
    let hardened = std::iter::once(inspect.security)
        .chain(settings.routes.iter().filter_map(|route| route.security))
        .any(|security| security != SecurityMode::Default);
    let said = !hardened || !inspect.hardening_message.trim().is_empty();
    check.require(said, &at("hardening_message"), "is needed by the security modes `aware` and `strict`");
}

fn rules(check: &mut Check<'_>, rules: &Rules, inspect: &Inspect) {
    let at = |key| KeyPath::of(&["rules", key]);
    check.sizes("rules", &[("max_rule", rules.max_rule), ("max_total", rules.max_total)]);
    check.require(rules.max_rule <= rules.max_total, &at("max_rule"), "must not be more than rules.max_total");
    let any = rules.builtin || !rules.directories.is_empty() || inspect.mode == Mode::Off;
    check.require(
        any,
        &at("builtin"),
        "without the built-in rules, name rules.directories or set inspect.mode = \"off\"",
    );
    for (id, change) in &rules.overrides {
        let points = change.score.is_none_or(|score| (1..=10).contains(&score));
        let at = KeyPath::of(&["rules", "overrides", id, "score"]);
        check.require(points, &at, "must be between 1 and 10");
    }
}

fn operation(check: &mut Check<'_>, settings: &Settings) {
    let record = &settings.record;
    let at = |key| KeyPath::of(&["record", key]);
    check.require(record.max_size.get() >= 64 << 10, &at("max_size"), "must be at least 64KiB");
    check.require((1..=10_000).contains(&record.keep), &at("keep"), "must be between 1 and 10000");
    let telemetry = &settings.telemetry;
    let at = |key| KeyPath::of(&["telemetry", key]);
    if let Err(error) = EnvFilter::builder().parse(&telemetry.log) {
        check.problem(&at("log"), format!("`{}` is not a filter: {error}", telemetry.log));
    }
    let share = (0.0..=1.0).contains(&telemetry.trace_ratio);
    check.require(share, &at("trace_ratio"), "must be between 0 and 1");
    check.require(!telemetry.service_name.trim().is_empty(), &at("service_name"), "must not be empty");
    if let Some(endpoint) = &telemetry.otlp_endpoint {
        let uri = endpoint.parse::<Uri>().ok();
        let good = uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
        check.require(good, &at("otlp_endpoint"), "must be an address such as http://127.0.0.1:4318");
    }
}
