//! The configuration in force as the admin API shows it (every setting, no secret), and one that is only checked.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use toml::Value;

use crate::config::{Environment, Problem, Snapshot, Source};
use crate::control::api::door::{Effective, Validation};

/// In place of what is secret in an address.
const HIDDEN: &str = "[redacted]";

/// The configuration of a Snapshot. Keys print themselves as redacted; addresses may hold passwords, and those of webhooks
/// are secrets themselves.
pub(super) fn of(snapshot: &Snapshot) -> Result<Effective, toml::ser::Error> {
    let mut settings = Value::try_from(&*snapshot.settings)?;
    redact(&mut settings, false);
    let prices = snapshot.prices.prices();
    Ok(Effective {
        generation: snapshot.generation.0,
        toml: toml::to_string(&settings)?,
        settings: serde_json::to_value(&settings).unwrap_or_default(),
        prices_version: prices.version.clone(),
        prices_as_of: prices.as_of.clone(),
        prices: prices.prices.len(),
    })
}

fn redact(value: &mut Value, is_soc: bool) {
    match value {
        Value::String(text) => {
            if let Some(shown) = address(text, is_soc) {
                *text = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, is_soc)),
        Value::Table(fields) => {
            for (name, field) in fields.iter_mut() {
                redact(field, is_soc || matches!(name.as_str(), "soc" | "export"));
            }
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

/// An address without what may be secret in it; `None` for what is none, or has nothing to hide.
fn address(text: &str, is_webhook: bool) -> Option<String> {
    let (scheme, rest) =
        text.split_once("://").filter(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()))?;
    // What stands behind a question mark may be a key or a password.
    let (rest, asks) = rest.split_once('?').map_or((rest, false), |(rest, _)| (rest, true));
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let (host, hides) = match host.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            (format!("{user}:{HIDDEN}@{host}"), true)
        }
        None => (host.to_owned(), false),
    };
    let path = match path {
        Some(path) if is_webhook && !path.is_empty() => Some((HIDDEN, true)),
        Some(path) => Some((path, false)),
        None => None,
    };
    let changed = hides || path.is_some_and(|(_, hidden)| hidden);
    let path = path.map_or_else(String::new, |(path, _)| format!("/{path}"));
    let query = if asks { format!("?{HIDDEN}") } else { String::new() };
    (changed || asks).then(|| format!("{scheme}://{host}{path}{query}"))
}

/// Checks a configuration as if it stood in a file; the file is gone afterwards.
pub(super) fn validate(text: &str, environment: Environment) -> std::io::Result<Validation> {
    let path = std::env::temp_dir().join(format!("portcullis-{}.toml", uuid::Uuid::new_v4().simple()));
    // It may hold keys: nobody else reads it.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    let loaded = Source::new(Some(&path), environment).load();
    std::fs::remove_file(&path)?;
    let named = path.display().to_string();
    let words = |problem: &Problem| problem.to_string().replace(&named, "gateway.toml");
    Ok(match loaded {
        Ok(loaded) => {
            Validation { valid: true, problems: Vec::new(), warnings: loaded.warnings.iter().map(words).collect() }
        }
        Err(problems) => {
            Validation { valid: false, problems: problems.iter().map(words).collect(), warnings: Vec::new() }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_and_addresses_of_webhooks_are_not_shown() {
        let shown = |text: &str, soc| address(text, soc).unwrap_or_else(|| text.to_owned());
        assert_eq!(shown("postgres://ann:s3cr@t@db:5432/x", false), "postgres://ann:[redacted]@db:5432/x");
        assert_eq!(shown("https://hooks.example/T0/B1/key", true), "https://hooks.example/[redacted]");
        assert_eq!(shown("https://api.example/v1", false), "https://api.example/v1");
        assert_eq!(shown("postgres://db/x?user=a&password=b", false), "postgres://db/x?[redacted]");
        assert_eq!(shown("sqlite://data/portcullis.db", false), "sqlite://data/portcullis.db");
        assert_eq!(shown("a text about http://x@y", false), "a text about http://x@y");
        let mut value: Value =
            toml::from_str("[soc.x]\nurl = 'https://h/secret'\n[[up]]\nbase = 'http://a:b@c'").unwrap();
        redact(&mut value, false);
        let text = toml::to_string(&value).unwrap();
        assert!(!text.contains("secret") && !text.contains("a:b"), "{text}");
    }
}
