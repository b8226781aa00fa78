//! The file from which a backtest that was ended goes on: where it is, its figures so far, and what it was asked. Written
//! whole or not at all. It holds ids, and no word of a prompt.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compare::Against;
use super::figures::Figures;

/// What the file is, and of which version: another one is refused.
const SCHEMA: &str = "portcullis.backtest.checkpoint/1";

/// What a backtest was asked, and with what it answers: figures of two that differ in any of it do not add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The gateway's version: another one may judge otherwise.
    pub version: String,
    /// The rule set in force, by its hash.
    pub rules_before: String,
    /// The one that is tried.
    pub rules_after: String,
    /// A digest of policies, routes and thresholds.
    pub terms: String,
    /// A digest of where the store is.
    pub store: String,
    /// `--since` as it was written.
    pub since: String,
    /// `--until` as it was written.
    pub until: Option<String>,
    /// `--against`.
    pub against: Against,
    /// `--samples`.
    pub samples: usize,
    /// `--limit`.
    pub limit: Option<u64>,
}

impl Asked {
    /// In what two differ first, in words.
    pub fn differs(&self, other: &Self) -> Option<String> {
        let shown = |what: &str, then: &dyn std::fmt::Debug, now: &dyn std::fmt::Debug| {
            Some(format!("{what} was {then:?} and is {now:?}"))
        };
        if self.version != other.version {
            return shown("the version", &self.version, &other.version);
        }
        if self.rules_before != other.rules_before {
            return Some("the rules in force are others now".to_owned());
        }
        if self.rules_after != other.rules_after {
            return Some("the rules to try are others now".to_owned());
        }
        if self.terms != other.terms {
            return Some("policies, routes or thresholds are others now".to_owned());
        }
        if self.store != other.store {
            return Some("the store is another one".to_owned());
        }
        if (&self.since, &self.until) != (&other.since, &other.until) {
            return shown("--since and --until", &(&self.since, &self.until), &(&other.since, &other.until));
        }
        if self.against != other.against {
            return shown("--against", &self.against.name(), &other.against.name());
        }
        if self.samples != other.samples {
            return shown("--samples", &self.samples, &other.samples);
        }
        if self.limit != other.limit {
            return shown("--limit", &self.limit, &other.limit);
        }
        None
    }
}

/// Where a backtest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What the file is, and of which version.
    pub schema: String,
    /// What it was asked.
    pub asked: Asked,
    /// The times that `--since` and `--until` stood for when it began: Unix time in microseconds.
    pub from: i64,
    /// Before.
    pub until: i64,
    /// Requests between them when it began, where they could be counted.
    pub total: Option<u64>,
    /// Time and id of the last request that is in the figures.
    pub after: Option<(i64, String)>,
    /// The figures so far.
    pub figures: Figures,
}

/// Why there is nothing to go on from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading or writing.
    #[error("checkpoint {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It is none, or of another version.
    #[error("checkpoint {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is of another backtest.
    #[error("checkpoint {}: it is of another backtest: {why}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        why: String,
    },
}

impl Checkpoint {
    /// Nothing read yet.
    pub fn new(asked: Asked, from: i64, until: i64) -> Self {
        let (schema, figures) = (SCHEMA.to_owned(), Figures::default());
        Self { schema, asked, from, until, total: None, after: None, figures }
    }

    /// The one at `path`, if it is of a backtest that was asked the same.
    ///
    /// # Errors
    /// There is none, or it is of another one.
    pub fn load(path: &Path, asked: &Asked) -> Result<Self, CheckpointError> {
        let at = || path.to_owned();
        let text = fs::read_to_string(path).map_err(|source| CheckpointError::Io { path: at(), source })?;
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let unreadable = |why: String| CheckpointError::Unreadable { path: at(), why };
        let head: Head = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if head.schema != SCHEMA {
            return Err(unreadable(format!("it is `{}`, not `{SCHEMA}`", head.schema)));
        }
        let checkpoint: Self = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        match checkpoint.asked.differs(asked) {
            Some(why) => Err(CheckpointError::Other { path: at(), why }),
            None => Ok(checkpoint),
        }
    }

    /// Replaces the file: another process sees the old one or this one, and so does who comes after a crash.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        self.write(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = self.write_to(&beside).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // What is left of it is of no use; that it may not be there is no further problem.
            drop(fs::remove_file(&beside));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        written.and_then(|()| fs::File::open(folder)?.sync_all())
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            version: "1".into(),
            rules_before: "a".into(),
            rules_after: "b".into(),
            terms: "t".into(),
            store: "s".into(),
            since: "7d".into(),
            until: None,
            against: Against::Configured,
            samples: 10,
            limit: None,
        }
    }

    #[test]
    fn a_checkpoint_comes_back_and_one_of_another_backtest_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut checkpoint = Checkpoint::new(asked(), 1, 2);
        checkpoint.after = Some((1, "req_1".to_owned()));
        checkpoint.figures.read = 7;
        checkpoint.save(&path).unwrap();
        checkpoint.save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path, &asked()).unwrap(), checkpoint);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let others = [
            (Asked { rules_after: "c".into(), ..asked() }, "the rules to try"),
            (Asked { rules_before: "c".into(), ..asked() }, "the rules in force"),
            (Asked { terms: "c".into(), ..asked() }, "policies"),
            (Asked { store: "c".into(), ..asked() }, "the store"),
            (Asked { version: "2".into(), ..asked() }, "version"),
            (Asked { since: "8d".into(), ..asked() }, "--since"),
            (Asked { until: Some("1d".into()), ..asked() }, "--until"),
            (Asked { against: Against::Recorded, ..asked() }, "--against"),
            (Asked { samples: 11, ..asked() }, "--samples"),
            (Asked { limit: Some(5), ..asked() }, "--limit"),
        ];
        for (other, reason) in others {
            let error = Checkpoint::load(&path, &other).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        assert!(matches!(Checkpoint::load(&path, &asked()), Err(CheckpointError::Io { .. })));
        for text in [
            "",
            "{}",
            r#"{"schema": "portcullis.backtest.checkpoint/2"}"#,
            r#"{"schema": "portcullis.backtest.checkpoint/1"}"#,
        ] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Checkpoint::load(&path, &asked()), Err(CheckpointError::Unreadable { .. })), "{text}");
        }
    }
}
