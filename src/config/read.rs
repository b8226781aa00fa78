//! Reads the files a configuration is made of, and remembers what was read: the fingerprint tells whether a second
//! look finds anything new, and the folders are what to watch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::models::Stamp;

/// The largest configuration, certificate or key file. The reference file has under 20 KiB.
const MAX_FILE: u64 = 1 << 20;

/// The largest rule file.
const MAX_RULE_FILE: u64 = 4 << 20;

/// The largest model file.
const MAX_MODEL: u64 = 64 << 20;

/// All rule files together, and how many there may be.
const MAX_RULE_BYTES: u64 = 64 << 20;
const MAX_RULE_FILES: usize = 4096;

/// How deep rule directories are searched: a symlink that points upwards must end.
const MAX_DEPTH: usize = 16;

/// A digest over everything a configuration was made from.
pub type Fingerprint = [u8; 32];

/// Reads files and keeps a digest of each.
#[derive(Debug, Default)]
pub(super) struct Reader {
    seen: BTreeMap<PathBuf, Fingerprint>,
    watched: Watched,
}

/// The rule files of a directory.
pub(super) struct RuleFiles {
    /// Path and text of each.
    pub(super) files: Vec<(PathBuf, String)>,
    /// Path and reason of those that cannot be read.
    pub(super) bad: Vec<(PathBuf, String)>,
}

/// What has to be watched to notice a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Files that were read, as named in the configuration.
    pub files: BTreeSet<PathBuf>,
    /// Rule directories and the directories in them: any change in them counts.
    pub folders: BTreeSet<PathBuf>,
}

impl Watched {
    /// The directories to watch, each without its subdirectories. A file is watched through the directory it is in,
    /// because an editor or a ConfigMap replaces it rather than writes it.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let parents = self.files.iter().map(|file| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        self.folders.iter().cloned().chain(parents).collect()
    }
}

impl Reader {
    /// Reads a text file of at most 1 MiB. The error is for people, without the path.
    pub(super) fn text(&mut self, path: &Path) -> Result<String, String> {
        self.limited(path, MAX_FILE)
    }

    /// Reads a model file of at most 64 MiB. The error is for people, without the path.
    pub(super) fn model(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let result = bytes_limited(path, MAX_MODEL);
        let digest = match &result {
            Ok(bytes) => blake3::hash(bytes),
            Err(message) => blake3::hash(message.as_bytes()),
        };
        self.seen.insert(path.to_owned(), *digest.as_bytes());
        self.watched.files.insert(path.to_owned());
        result
    }

    /// What tells this version of a large file from others, without reading it: looking for changes must stay cheap.
    pub(super) fn stamp(&mut self, path: &Path) -> Result<Stamp, String> {
        let result = fs::metadata(path).map_err(|error| format!("cannot be read: {error}")).and_then(|about| {
            let stamp = Stamp { bytes: about.len(), modified: about.modified().ok(), inode: about.ino() };
            about.is_file().then_some(stamp).ok_or_else(|| "is not a regular file".to_owned())
        });
        self.note(&path.to_string_lossy(), &format!("{result:?}"));
        self.watched.files.insert(path.to_owned());
        result
    }

    /// Reads every `*.yaml` below `directory`, in the order of their paths: path and contents.
    /// Names that begin with a dot are skipped: a ConfigMap keeps its real files in `..2026_01_01`.
    pub(super) fn rule_files(&mut self, directory: &Path) -> RuleFiles {
        let mut paths = Vec::new();
        let mut bad = Vec::new();
        self.walk(directory, 0, &mut paths, &mut bad);
        paths.sort();
        let mut files = Vec::new();
        let mut total = 0_u64;
        for path in paths {
            match self.limited(&path, MAX_RULE_FILE) {
                Ok(text) => {
                    total = total.saturating_add(text.len() as u64);
                    files.push((path, text));
                }
                Err(message) => bad.push((path, message)),
            }
            if total > MAX_RULE_BYTES {
                bad.push((directory.to_owned(), "its rule files have more than 64 MiB together".to_owned()));
                break;
            }
        }
        RuleFiles { files, bad }
    }

    /// The files of a directory whose names end so, in order; those whose names begin with a dot are skipped.
    pub(super) fn files_in(&mut self, directory: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
        self.watched.folders.insert(directory.to_owned());
        let cannot = |error: std::io::Error| format!("the directory cannot be read: {error}");
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
            if found.len() > MAX_RULE_FILES {
                return Err(format!("there may be {MAX_RULE_FILES} files at most"));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads one rule file, whatever its name.
    pub(super) fn rule_file(&mut self, path: &Path) -> RuleFiles {
        match self.limited(path, MAX_RULE_FILE) {
            Ok(text) => RuleFiles { files: vec![(path.to_owned(), text)], bad: Vec::new() },
            Err(message) => RuleFiles { files: Vec::new(), bad: vec![(path.to_owned(), message)] },
        }
    }

    /// Remembers a file that was looked for and is not there, so that its arrival is noticed.
    pub(super) fn absent(&mut self, path: &Path) {
        self.note(&path.to_string_lossy(), "absent");
        self.watched.files.insert(path.to_owned());
    }

    /// Adds something that was not read from a file, such as an environment variable.
    pub(super) fn note(&mut self, name: &str, value: &str) {
        self.seen.insert(PathBuf::from(name), *blake3::hash(value.as_bytes()).as_bytes());
    }

    /// A digest over names and contents of everything read, unreadable files included.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut all = blake3::Hasher::new();
        for (path, digest) in &self.seen {
            let name = path.as_os_str().as_encoded_bytes();
            all.update(&(name.len() as u64).to_le_bytes());
            all.update(name);
            all.update(digest);
        }
        *all.finalize().as_bytes()
    }

    /// What to watch.
    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    fn limited(&mut self, path: &Path, most: u64) -> Result<String, String> {
        let result = read_limited(path, most);
        let digest = match &result {
            Ok(text) => blake3::hash(text.as_bytes()),
            Err(message) => blake3::hash(message.as_bytes()),
        };
        self.seen.insert(path.to_owned(), *digest.as_bytes());
        self.watched.files.insert(path.to_owned());
        result
    }

    fn walk(&mut self, directory: &Path, depth: usize, found: &mut Vec<PathBuf>, bad: &mut Vec<(PathBuf, String)>) {
        self.watched.folders.insert(directory.to_owned());
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                self.note(&directory.to_string_lossy(), &error.to_string());
                bad.push((directory.to_owned(), format!("the directory cannot be read: {error}")));
                return;
            }
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    bad.push((directory.to_owned(), format!("the directory cannot be read: {error}")));
                    return;
                }
            };
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            // Follows symlinks: a ConfigMap's files are some.
            if path.is_dir() {
                if depth >= MAX_DEPTH {
                    bad.push((path, format!("rule directories may be nested {MAX_DEPTH} deep at most")));
                    return;
                }
                self.walk(&path, depth.saturating_add(1), found, bad);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                if found.len() >= MAX_RULE_FILES {
                    bad.push((path, format!("there may be {MAX_RULE_FILES} rule files at most")));
                    return;
                }
                found.push(path);
            }
        }
    }
}

fn read_limited(path: &Path, most: u64) -> Result<String, String> {
    String::from_utf8(bytes_limited(path, most)?).map_err(|error| {
        format!("is not UTF-8: the byte at offset {} starts no character", error.utf8_error().valid_up_to())
    })
}

fn bytes_limited(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let about = fs::metadata(path).map_err(cannot)?;
    // A pipe or a device could block or never end.
    if !about.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(cannot)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most {
        return Err(format!("has more than {} KiB", most >> 10));
    }
    Ok(bytes)
}
