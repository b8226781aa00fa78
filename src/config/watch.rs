//! Notices that files may have changed. What it says is a hint: the reloader compares contents.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::read::Watched;

/// Watches directories, never files: what replaces a file (an editor, a ConfigMap's `..data` symlink) shows in its
/// directory.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    interest: Arc<RwLock<Interest>>,
}

/// Which names count.
#[derive(Debug, Default)]
struct Interest {
    files: BTreeSet<OsString>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts to watch; a hint is sent for every event that may matter.
    pub(super) fn new(watched: &Watched, hints: mpsc::Sender<()>) -> notify::Result<Self> {
        let interest = Arc::new(RwLock::new(Interest::default()));
        let seen = Arc::clone(&interest);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let matters = match event {
                Ok(event) => {
                    let interest = seen.read().unwrap_or_else(PoisonError::into_inner);
                    is_change(event.kind) && (event.need_rescan() || event.paths.iter().any(|path| interest.has(path)))
                }
                // Events may have been lost.
                Err(_) => true,
            };
            // A full queue holds a hint already.
            if matters && hints.try_send(()).is_err() {
                tracing::trace!("a change is waiting to be looked at already");
            }
        })?;
        let mut watch = Self { watcher, directories: BTreeSet::new(), interest };
        watch.follow(watched);
        Ok(watch)
    }

    /// Watches what the configuration is made of now.
    pub(super) fn follow(&mut self, watched: &Watched) {
        let wanted = watched.directories();
        for gone in self.directories.difference(&wanted) {
            // It may be gone from the disk too, and its watch with it.
            if let Err(error) = self.watcher.unwatch(gone) {
                tracing::trace!(directory = %gone.display(), %error, "was not watched any more");
            }
        }
        let mut held = BTreeSet::new();
        for directory in wanted {
            if self.directories.contains(&directory) && directory.exists() {
                held.insert(directory);
                continue;
            }
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    held.insert(directory);
                }
                Err(error) => {
                    tracing::debug!(directory = %directory.display(), %error, "cannot be watched; polling goes on");
                }
            }
        }
        self.directories = held;
        *self.interest.write().unwrap_or_else(PoisonError::into_inner) = Interest {
            files: watched.files.iter().filter_map(|file| file.file_name().map(OsString::from)).collect(),
            folders: watched
                .folders
                .iter()
                .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone()))
                .collect(),
        };
    }
}

impl Interest {
    fn has(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return true };
        // `..data` and the directories it points to.
        name.as_encoded_bytes().starts_with(b"..")
            || self.files.contains(name)
            || std::path::absolute(path).is_ok_and(|path| {
                self.folders.contains(&path) || path.parent().is_some_and(|parent| self.folders.contains(parent))
            })
    }
}

/// Reading the files makes events too, and must not look like a change.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}
