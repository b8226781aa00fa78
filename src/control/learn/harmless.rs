//! The harmless texts that nothing learned may hit: those built in, those of the configured directories, and those that people
//! added.

use std::path::PathBuf;
use std::sync::Arc;

use rust_embed::RustEmbed;
use tokio::sync::Mutex;

use crate::learn::Benign;
use crate::store::{Database, StoreError};

/// Texts read from the store at once.
const PAGE: u32 = 1_000;

#[derive(RustEmbed)]
#[folder = "rules/benign/"]
#[include = "*.txt"]
struct Builtin;

/// Prepares them when they are first needed, and again when people added some. Clones share them.
#[derive(Clone)]
pub struct Harmless {
    database: Database,
    directories: Arc<[PathBuf]>,
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    benign: Arc<Benign>,
    /// How many there were in the store, and the last one's id.
    mark: (u64, String),
}

impl Harmless {
    /// With the texts of these directories.
    pub fn new(database: Database, directories: &[PathBuf]) -> Self {
        Self { database, directories: directories.into(), kept: Arc::default() }
    }

    /// All of them, prepared.
    ///
    /// # Errors
    /// The store does not answer, or a file cannot be read: nothing is learned without them.
    pub async fn get(&self) -> Result<Arc<Benign>, StoreError> {
        let mut kept = self.kept.lock().await;
        let mark = self.database.harmless_mark().await?;
        if let Some(known) = kept.as_ref().filter(|known| known.mark == mark) {
            return Ok(Arc::clone(&known.benign));
        }
        let (own, directories) = (self.own().await?, Arc::clone(&self.directories));
        let made = tokio::task::spawn_blocking(move || prepare(&directories, own)).await;
        let made = made.map_err(|error| StoreError::File(error.to_string()))?;
        let benign = Arc::new(made.map_err(|problems| StoreError::File(problems.join("; ")))?);
        *kept = Some(Kept { benign: Arc::clone(&benign), mark });
        Ok(benign)
    }

    async fn own(&self) -> Result<Vec<(Arc<str>, String)>, StoreError> {
        let mut all: Vec<(Arc<str>, String)> = Vec::new();
        loop {
            let after = all.last().map(|(id, _)| id.to_string()).unwrap_or_default();
            let page = self.database.harmless(&after, PAGE).await?;
            let full = page.len() >= PAGE as usize;
            all.extend(page.into_iter().map(|text| (text.id, text.text)));
            if !full {
                return Ok(all);
            }
        }
    }
}

/// Checks the files of these directories.
///
/// # Errors
/// Every problem, with file and line.
fn prepare(directories: &[PathBuf], own: Vec<(Arc<str>, String)>) -> Result<Benign, Vec<String>> {
    let mut problems = Vec::new();
    let mut sources: Vec<(String, String)> = Vec::new();
    let mut names: Vec<_> = Builtin::iter().collect();
    names.sort();
    for name in names {
        if let Some(file) = Builtin::get(&name) {
            sources.push((format!("rules/benign/{name}"), String::from_utf8_lossy(&file.data).into_owned()));
        }
    }
    for directory in directories {
        match crate::config::texts_in(directory, "txt") {
            Ok(files) => sources.extend(files),
            Err(told) => problems.extend(told),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let named: Vec<(&str, &str)> = sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let benign = Benign::read(&named).map_err(|told| told.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(benign.with(own.into_iter().map(|(_, text)| text)))
}
