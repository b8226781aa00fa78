//! Rule files to documents: which line each begins at, which rules replace which. Every problem is told.
//!
//! A document says with `kind:` what it is; those of other kinds are left to others, so that a directory can hold rules of
//! every kind. A later source replaces the rule of the same id of an earlier one at its place; rules that are new in a later
//! source stand before all earlier ones, since the first that fits counts.

use serde::de::DeserializeOwned;

use super::problem::Problem;

/// One document and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    file: &'a str,
    first: u32,
    text: &'a str,
}

/// A rule as read, with its document.
#[derive(Debug, Clone)]
pub(super) struct Placed<'a, T> {
    pub(super) rule: T,
    pub(super) from: Document<'a>,
    /// The number of its source: a site's own rules have higher ones.
    pub(super) source: usize,
}

impl<'a> Document<'a> {
    /// Reads it as what it should be.
    fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_saphyr::from_str(self.text).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().and_then(|location| u32::try_from(location.line()).ok()).unwrap_or(1);
            self.at(self.first.saturating_add(line.saturating_sub(1)), error.to_string())
        })
    }

    fn at(&self, line: u32, message: String) -> Problem {
        Problem { file: self.file.to_owned(), line, message }
    }

    /// A problem with the key `part` of the rule `id`.
    pub(super) fn problem(&self, id: &str, part: &str, message: impl AsRef<str>) -> Problem {
        let is = |line: &str| line.split(['{', ',']).any(|piece| key(piece) == Some(part));
        let found = self.text.lines().zip(self.first..).find(|(line, _)| is(line)).map(|(_, line)| line);
        let what = if part.is_empty() { id.to_owned() } else { format!("{id}.{part}") };
        self.at(found.unwrap_or(self.first), format!("{what}: {}", message.as_ref()))
    }

    /// `file:line` of its beginning.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.first)
    }

    /// What its `kind:` says.
    fn kind(&self) -> Option<&'a str> {
        let said = self.text.lines().find_map(|line| line.strip_prefix("kind:"))?;
        Some(said.split('#').next().unwrap_or(said).trim())
    }
}

/// The key that a piece of a line begins with.
fn key(piece: &str) -> Option<&str> {
    let (key, _) = piece.split_once(':')?;
    Some(key.trim_start().trim_start_matches("- ").trim())
}

/// The documents of a file; a separator is `---` at the start of a line.
fn documents<'a>(file: &'a str, text: &'a str) -> Vec<Document<'a>> {
    let mut found = Vec::new();
    let (mut start, mut first, mut at) = (0, 1, 0);
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if line.trim_end() == "---" {
            found.push((first, text.get(start..at).unwrap_or_default()));
            start = at + line.len();
            first = number + 1;
        }
        at += line.len();
    }
    found.push((first, text.get(start..).unwrap_or_default()));
    let says = |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    found.into_iter().filter(|(_, text)| says(text)).map(|(first, text)| Document { file, first, text }).collect()
}

/// Every rule of `kind` in the sources, in the order in which they are asked. `id` names a rule as read.
pub(super) fn rules<'a, T: DeserializeOwned>(
    sources: &[(&'a str, &'a str)],
    kind: &str,
    id: impl Fn(&T) -> &str,
    problems: &mut Vec<Problem>,
) -> Vec<Placed<'a, T>> {
    let mut all: Vec<Placed<'a, T>> = Vec::new();
    for (source, (name, text)) in sources.iter().enumerate() {
        let mut new: Vec<Placed<'a, T>> = Vec::new();
        for from in documents(name, text).into_iter().filter(|document| document.kind() == Some(kind)) {
            let rule = match from.parse::<T>() {
                Ok(rule) => rule,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let placed = Placed { rule, from, source };
            let same = |known: &&mut Placed<'a, T>| id(&known.rule) == id(&placed.rule);
            match new.iter_mut().find(same).or_else(|| all.iter_mut().find(same)) {
                Some(known) if known.source == source => {
                    let first = known.from.place();
                    let message = format!("used twice; first at {first}");
                    problems.push(from.problem(id(&placed.rule), "id", message));
                }
                Some(known) => *known = placed,
                None => new.push(placed),
            }
        }
        new.append(&mut all);
        all = new;
    }
    all
}

/// `90s`, `10m`, `2h`, `1d` in microseconds.
///
/// # Errors
/// It is none of these, nothing, or more than 30 days.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no time: a number and s, m, h or d, at most 30d");
    let unit = match text.bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        _ => return Err(wrong()),
    };
    let number: i64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=30 * 86_400).contains(seconds)).ok_or_else(wrong)?;
    Ok(seconds * 1_000_000)
}

/// Whether an id looks like `SOC-INJ-0001`, or `SITE-...` for a site's own.
pub(super) fn is_id(id: &str) -> bool {
    let mut parts = id.split('-');
    let (Some("SOC" | "SITE"), Some(theme), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (2..=5).contains(&theme.len())
        && theme.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.len() == 4
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What to say of an id that does not.
pub(super) const ID: &str =
    "must look like SOC-INJ-0001: SOC (or SITE for rules of your own), 2 to 5 capital letters, 4 digits";

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        #[serde(rename = "kind")]
        _kind: String,
        id: String,
        #[serde(default)]
        note: String,
    }

    fn read(sources: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let mut problems = Vec::new();
        let found = rules::<Raw>(sources, "alert", |raw| &raw.id, &mut problems);
        let told = found.iter().map(|placed| format!("{}{}", placed.rule.id, placed.rule.note)).collect();
        (told, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_later_source_replaces_in_place_and_what_is_new_in_it_comes_first() {
        let one =
            "# words\nkind: alert # of ours\nid: A\n---\nkind: alert\nid: B\n---\nkind: incident\nid: X\n---\nid: C\n";
        let two = "kind: alert\nid: N\n---\nkind: alert\nid: A\nnote: 2\n";
        assert_eq!(read(&[("1", one), ("2", two)]).0, ["N", "A2", "B"]);
    }

    #[test]
    fn problems_have_file_and_line() {
        let text = "kind: alert\nid: A\n---\nkind: alert\nid: A\n---\nkind: alert\nid: B\nwhat: 1\n";
        let (found, problems) = read(&[("f.yaml", text)]);
        assert_eq!(found, ["A"]);
        assert_eq!(problems[0], "f.yaml:5: A.id: used twice; first at f.yaml:1");
        assert!(problems[1].starts_with("f.yaml:9: "), "{}", problems[1]);
    }

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(duration("90s"), Ok(90_000_000));
        assert_eq!(duration("2h"), Ok(7_200_000_000));
        for wrong in ["", "s", "0s", "10", "-1m", "31d", "1w", "99999999999999999999d", "1µ"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_have_a_shape() {
        assert!(is_id("SOC-INJ-0001") && is_id("SITE-OWN-1234"));
        for wrong in ["", "PC-INJ-0001", "SOC-inj-0001", "SOC-INJ-1", "SOC-INJ-0001-2", "SOC-I-0001"] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
