//! Items the database will never take are kept in a file beside the spool, for a person to look at.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::item::Item;
use crate::store::StoreError;

const NAME: &str = "rejected.jsonl";

/// Keeps refused items, one JSON object per line.
pub(super) fn set_aside(folder: Option<&Path>, most: u64, refused: &[(&Item, StoreError)]) {
    for (item, error) in refused {
        let line = serde_json::json!({ "error": error.to_string(), "item": item });
        tracing::error!(%error, "the database refuses an item for good");
        keep(folder, most, &line);
    }
}

/// Keeps a batch that cannot be understood, as text.
pub(super) fn set_aside_frame(folder: Option<&Path>, most: u64, frame: &[u8]) {
    keep(folder, most, &serde_json::json!({ "error": "unreadable", "frame": String::from_utf8_lossy(frame) }));
}

fn keep(folder: Option<&Path>, most: u64, line: &serde_json::Value) {
    let Some(folder) = folder else { return };
    if let Err(why) = append(&folder.join(NAME), most, line) {
        tracing::error!(%why, "a refused item could not be kept in {NAME}");
    }
}

fn append(path: &Path, most: u64, line: &serde_json::Value) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() >= most {
        return Err(io::Error::other("it has reached its limit"));
    }
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}
