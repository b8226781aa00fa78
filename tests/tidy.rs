//! The laws of the source tree, checked by plain `cargo test`: floors, purity, opening lines, sizes, one place for HTTP statuses.
#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a check that meets what it does not expect has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which room may import which, from the table of `ARCHITECTURE.md`. `app`, `cli` and `main` may import everything.
const FLOORS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("telemetry", &["types"]),
    ("store", &["types", "telemetry"]),
    ("redteam", &["types", "wire"]),
    ("wire", &["types"]),
    ("detect", &["types"]),
    ("train", &["types", "detect"]),
    ("learn", &["types", "detect", "train"]),
    ("soc", &["types"]),
    ("report", &["types"]),
    ("quota", &["types", "telemetry", "store"]),
    ("models", &["types", "telemetry"]),
    ("config", &["types", "telemetry", "detect", "soc", "models", "quota"]),
    ("proxy", &["types", "telemetry", "wire", "detect", "models", "quota", "config"]),
    ("control", &["types", "telemetry", "store", "detect", "soc", "learn", "report", "quota", "config"]),
    ("backtest", &["types", "store", "detect", "config"]),
    ("console", &["types", "control"]),
];

/// Rooms above the floors: they build the others.
const BUILDERS: &[&str] = &["app", "cli", "main", "lib"];

/// Rooms whose code does no I/O, reads no clock, awaits nothing and draws no random numbers.
const PURE: &[&str] = &["types", "wire", "detect", "soc", "train", "learn", "report"];

/// What a pure room may not name. A trailing `::` means the module and everything in it.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::io::stdin",
    "std::process",
    "std::env",
    "std::thread",
    "std::os::unix::net",
    "Instant",
    "SystemTime",
    "tokio",
    "hyper::",
    "async fn",
    "async move",
    ".await",
    "rand::",
    "fastrand",
    "getrandom",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "jiff::Timestamp::now",
    "Zoned::now",
    "OffsetDateTime::now",
];

/// Where an HTTP status may be chosen: the one place that makes refusals, the two ends of the road, the control side.
/// The command line only reads the statuses of others. Elsewhere a status that came from there may be carried.
const STATUS_HOMES: &[&str] = &["proxy/refuse", "proxy/listen", "proxy/upstream", "control/", "console/", "cli/"];

/// Non-test lines a file may have.
const LONG: usize = 400;
/// Non-test lines a file of the list below may have.
const LONGEST: usize = 600;
/// Files that are better whole than split, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[
    ("src/config/settings.rs", "one struct per table of gateway.toml: it is read side by side with that file"),
    ("src/detect/literal.rs", "what a pattern's literals prove about its matches: one recursive argument"),
    ("src/detect/window.rs", "one algorithm, byte by byte: its steps share every field and are read together"),
    ("src/proxy/listen/guard.rs", "one state machine between socket and hyper: its two sides share every field"),
];

struct Source {
    /// Relative to the package, with `/`.
    path: String,
    text: String,
    /// `text` without test modules, comments, and the contents of string literals.
    code: String,
}

impl Source {
    /// The first name under `src/`: a room, or `main`, `lib`, `app`.
    fn room(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split(['/', '.']).next().unwrap_or(inner)
    }

    /// A file that holds nothing but tests.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target" && name != "node_modules") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in folders {
        rust_files(&root.join(folder), &mut paths);
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = without_tests(&bare(&text));
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            Source { path, text, code }
        })
        .collect()
}

/// Blanks comments and the contents of string and character literals; line breaks stay where they are.
fn bare(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let starts = |at: usize, word: &str| word.chars().enumerate().all(|(n, c)| letters.get(at + n) == Some(&c));
    let keep_lines = |out: &mut String, from: usize, to: usize| {
        out.extend(letters[from..to.min(letters.len())].iter().filter(|c| **c == '\n'));
    };
    while at < letters.len() {
        let end = if starts(at, "//") {
            (at..letters.len()).find(|n| letters[*n] == '\n').unwrap_or(letters.len())
        } else if starts(at, "/*") {
            block_comment_end(&letters, at)
        } else if let Some(end) = raw_string_end(&letters, at) {
            end
        } else if letters[at] == '"' {
            quoted_end(&letters, at)
        } else if letters[at] == '\'' && (letters.get(at + 1) == Some(&'\\') || letters.get(at + 2) == Some(&'\'')) {
            let from = if letters.get(at + 1) == Some(&'\\') { at + 3 } else { at + 2 };
            (from..letters.len()).find(|n| letters[*n] == '\'').map_or(letters.len(), |n| n + 1)
        } else {
            out.push(letters[at]);
            at += 1;
            continue;
        };
        keep_lines(&mut out, at, end);
        at = end;
    }
    out
}

fn block_comment_end(letters: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at + 1 < letters.len() {
        match (letters[at], letters[at + 1]) {
            ('/', '*') => (at, depth) = (at + 2, depth + 1),
            ('*', '/') => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    letters.len()
}

fn raw_string_end(letters: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|n| letters.get(n));
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    if letters[at] != 'r' || (in_word && before != Some(&'b')) {
        return None;
    }
    let hashes = letters[at + 1..].iter().take_while(|c| **c == '#').count();
    if letters.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closes =
        |n: usize| letters[n] == '"' && letters[n + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((at + hashes + 2..letters.len()).find(|n| closes(*n)).map_or(letters.len(), |n| n + 1 + hashes))
}

fn quoted_end(letters: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

/// Drops every `#[cfg(test)]` item that has a body; the lines go too.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..start]);
        let item = &rest[start..];
        let mut depth = 0_usize;
        let end = item.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => return Some(at + 1),
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => return Some(at + 1),
                _ => {}
            }
            None
        });
        rest = &item[end.unwrap_or(item.len())..];
    }
    out.push_str(rest);
    out
}

/// The rooms that `crate::…` paths in this code name, `use crate::{a, b::c}` groups included.
fn imported(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut rooms = BTreeSet::new();
    for root in ["crate::", "portcullis::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                None => {
                    rooms.insert(word(rest));
                }
                Some(group) => {
                    let mut depth = 0_usize;
                    let mut expecting = true;
                    for (n, c) in group.char_indices() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => expecting = true,
                            c if expecting && depth == 0 && !c.is_whitespace() => {
                                rooms.insert(word(&group[n..]));
                                expecting = false;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

fn report(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

#[test]
fn every_room_stands_on_lower_floors_only() {
    let floors: BTreeMap<&str, &[&str]> = FLOORS.iter().copied().collect();
    let mut problems = Vec::new();
    for source in sources(&["src"]) {
        let room = source.room();
        if BUILDERS.contains(&room) {
            continue;
        }
        let Some(allowed) = floors.get(room) else {
            problems.push(format!("{}: the room `{room}` has no row in the table of floors", source.path));
            continue;
        };
        // Unit tests may build what they need from rooms above; what ships may not.
        for name in imported(&source.code)
            .iter()
            .filter(|name| floors.contains_key(name.as_str()) || BUILDERS.contains(&name.as_str()))
        {
            if name != room && !allowed.contains(&name.as_str()) && !source.is_test() {
                problems.push(format!("{}: `{room}` may not import `{name}`", source.path));
            }
        }
    }
    report("rooms reach upwards", &problems);
}

#[test]
fn pure_rooms_do_no_io_read_no_clock_and_await_nothing() {
    let mut problems = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| PURE.contains(&source.room()) && !source.is_test()) {
        for (number, line) in source.code.lines().enumerate() {
            for word in IMPURE.iter().filter(|word| names(line, word)) {
                problems.push(format!("{}:{}: `{word}`", source.path, number + 1));
            }
        }
    }
    report("rooms that must be pure name what is not", &problems);
}

/// Whether a line names `word` as a whole word (where it begins and ends with letters).
fn names(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let open = word.starts_with(is_word) && line[..at].ends_with(is_word);
        let on = word.ends_with(is_word) && line[at + word.len()..].starts_with(is_word);
        let prefix = word.ends_with("Tcp") || word.ends_with("Udp");
        !open && (prefix || !on)
    })
}

#[test]
fn every_file_says_what_it_is_for_in_its_first_line() {
    let mut problems = Vec::new();
    for source in sources(&["src", "tests", "benches", "fuzz"]) {
        let first = source.text.lines().next().unwrap_or_default();
        if first.strip_prefix("//! ").is_none_or(|said| said.trim().len() < 9) {
            problems.push(format!("{}: opens with {first:?}", source.path));
        }
    }
    report("files that do not open with a `//!` line", &problems);
}

#[test]
fn files_stay_short() {
    let exempt: BTreeMap<&str, &str> = LONG_FILES.iter().copied().collect();
    let mut problems = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let tests = source.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(source.text.len());
        let lines = source.text[..tests].lines().count();
        let most = if exempt.contains_key(source.path.as_str()) { LONGEST } else { LONG };
        if lines > most {
            problems.push(format!("{}: {lines} lines, at most {most}", source.path));
        }
    }
    for (path, _) in LONG_FILES {
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists() {
            problems.push(format!("{path} is excused from the limit but does not exist"));
        }
    }
    report("files too long to read in one go", &problems);
}

#[test]
fn statuses_are_chosen_in_few_places() {
    let mut problems = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let inner = source.path.strip_prefix("src/").unwrap_or(&source.path);
        if STATUS_HOMES.iter().any(|home| inner.starts_with(home)) {
            continue;
        }
        for (number, line) in source.code.lines().enumerate().filter(|(_, line)| names(line, "StatusCode::")) {
            problems.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
        }
    }
    report("a status is chosen outside the places that answer", &problems);
}

#[test]
fn the_architecture_fits_on_a_page_and_names_every_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md exists");
    assert!(page.lines().count() <= 200, "ARCHITECTURE.md has {} lines", page.lines().count());
    for (room, _) in FLOORS.iter().filter(|(room, _)| root.join("src").join(room).is_dir()) {
        assert!(
            page.contains(&format!("`{room}`")) || page.contains(&format!("{room}/")),
            "ARCHITECTURE.md lacks `{room}`"
        );
    }
}

/// Lock files and every other file carry only addresses that anyone can reach.
#[test]
fn lock_files_name_the_public_registry_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let foreign: Vec<&str> = lock
        .lines()
        .filter(|line| line.starts_with("source = "))
        .filter(|line| !line.contains("registry+https://github.com/rust-lang/crates.io-index"))
        .collect();
    assert!(foreign.is_empty(), "Cargo.lock: {foreign:?}");
    for folder in ["tests/clients/js", "tests/console"] {
        let npm = fs::read_to_string(root.join(folder).join("package-lock.json")).unwrap();
        assert!(!npm.contains("\"resolved\""), "{folder}/package-lock.json names where packages were fetched from");
    }
}

#[test]
fn the_reader_of_source_code_is_not_fooled() {
    let text = "use crate::{detect::Rule, types};\n// crate::control\nlet s = \"crate::proxy\"; let r = r#\"crate::app\"#;\n\
                let c = '\"'; crate::wire::x(); let l: &'static str; /* crate::cli /* */ */\n#[cfg(test)]\nmod tests { use crate::quota; }\n";
    let found = imported(&without_tests(&bare(text)));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["detect", "types", "wire"]);
    assert!(names("let t = Instant::now();", "Instant") && !names("Instantly", "Instant"));
    assert!(names("std::net::TcpStream", "std::net::Tcp") && !names("std::net::IpAddr", "std::net::Tcp"));
}
