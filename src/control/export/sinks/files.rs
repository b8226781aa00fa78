//! Files of OCSF events, one in a line, for whatever collects files: for nobody but us to read, synchronised after every batch, and
//! a new one after so many bytes or so long.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Fate, Trouble, all};
use crate::control::export::item::Item;
use crate::telemetry::ExportFailure;

/// Bytes read at once when the end of the last line is looked for.
const BLOCK: u64 = 64 << 10;

/// Where files are, and when a new one begins.
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// The directory; made where there is none.
    pub directory: PathBuf,
    /// What files are called: `name.jsonl`, and `name-<time>.jsonl` when they are full.
    pub name: String,
    /// A new one after so many bytes.
    pub max_file: u64,
    /// A new one after so long.
    pub rotate_every: Duration,
    /// Full ones that are kept; 0: all.
    pub keep: usize,
}

/// The files of one sink.
#[derive(Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: FilesOptions,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    since: SystemTime,
}

impl Open {
    /// Whether this is the file of that name, as long as it was written.
    fn is_at(&self, path: &Path) -> bool {
        let (Ok(ours), Ok(there)) = (self.file.metadata(), std::fs::metadata(path)) else { return false };
        (ours.dev(), ours.ino(), self.bytes) == (there.dev(), there.ino(), there.len())
    }
}

impl Files {
    /// Files there; nothing is opened yet.
    pub fn new(options: FilesOptions) -> Self {
        Self(Arc::new(Inner { options, open: Mutex::new(None) }))
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        let mut lines = String::new();
        for item in items {
            lines.push_str(&item.event().to_string());
            lines.push('\n');
        }
        let inner = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || inner.append(lines.as_bytes())).await;
        let broken = |what: String| Trouble::new(ExportFailure::Disk, what);
        written.map_err(|error| broken(error.to_string()))?.map_err(|error| broken(error.to_string()))?;
        Ok(all(items))
    }
}

impl Inner {
    fn current(&self) -> PathBuf {
        self.options.directory.join(format!("{}.jsonl", self.options.name))
    }

    /// Appends whole lines, or nothing.
    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have moved, removed or emptied it.
        let mut open = match slot.take().filter(|open| open.is_at(&self.current())) {
            Some(open) => open,
            None => self.open()?,
        };
        let more = open.bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        let old = open.since.elapsed().is_ok_and(|age| age >= self.options.rotate_every);
        if open.bytes > 0 && (more > self.options.max_file || old) {
            drop(open);
            self.rotate()?;
            open = self.open()?;
        }
        let written = open.file.write_all(lines).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // Half a line must not stay; where even that fails it is cut when the file is opened again.
            open.file.set_len(open.bytes).unwrap_or_default();
            return Err(error);
        }
        open.bytes = open.bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        *slot = Some(open);
        Ok(())
    }

    fn open(&self) -> io::Result<Open> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.options.directory)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(self.current())?;
        let bytes = whole_lines(&mut file)?;
        file.set_len(bytes)?;
        sync_directory(&self.options.directory)?;
        let known = file.metadata()?;
        let since = known.created().or_else(|_| known.modified()).unwrap_or_else(|_| SystemTime::now());
        Ok(Open { file, bytes, since })
    }

    /// Gives the full file its name, and removes what is too much.
    fn rotate(&self) -> io::Result<()> {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let full = self.options.directory.join(format!("{}-{time}.jsonl", self.options.name));
        std::fs::rename(self.current(), full)?;
        sync_directory(&self.options.directory)?;
        if self.options.keep == 0 {
            return Ok(());
        }
        let mut full = self.full()?;
        full.sort();
        let over = full.len().saturating_sub(self.options.keep);
        for path in full.into_iter().take(over) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Full files of this sink: its name, and then nothing but a time.
    fn full(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.options.directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let time = name.strip_prefix(&self.options.name).and_then(|rest| rest.strip_prefix('-'));
            let time = time.and_then(|rest| rest.strip_suffix(".jsonl")).unwrap_or_default();
            let timely = |byte: u8| byte.is_ascii_digit() || b"TZ.".contains(&byte);
            if time.len() >= 15 && time.bytes().all(timely) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// The bytes of a file up to the end of its last whole line: what stands behind it was being written when the process died.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = vec![0_u8; usize::try_from(end.saturating_sub(begin)).unwrap_or(0)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin.saturating_add(u64::try_from(at).unwrap_or(0)).saturating_add(1));
        }
        end = begin;
    }
    Ok(0)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(directory: &Path, max_file: u64, keep: usize) -> Inner {
        let options = FilesOptions {
            directory: directory.to_owned(),
            name: "lake".to_owned(),
            max_file,
            rotate_every: Duration::from_secs(3600),
            keep,
        };
        Inner { options, open: Mutex::new(None) }
    }

    #[test]
    fn half_a_line_of_a_crash_is_cut_and_nobody_else_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub");
        files(&path, 1000, 0).append(b"one\ntwo\n").unwrap();
        let current = path.join("lake.jsonl");
        assert_eq!(std::fs::metadata(&current).unwrap().permissions().mode() & 0o777, 0o600);
        OpenOptions::new().append(true).open(&current).unwrap().write_all(b"hal").unwrap();
        files(&path, 1000, 0).append(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(current).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_that_was_moved_away_or_emptied_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), 1000, 0);
        let moved = folder.path().join("lake.jsonl.1");
        files.append(b"one\n").unwrap();
        std::fs::rename(files.current(), &moved).unwrap();
        files.append(b"two\n").unwrap();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!((text(&moved).as_str(), text(&files.current()).as_str()), ("one\n", "two\n"));
        OpenOptions::new().write(true).truncate(true).open(files.current()).unwrap();
        files.append(b"three\n").unwrap();
        assert_eq!(text(&files.current()), "three\n");
        std::fs::remove_file(files.current()).unwrap();
        files.append(b"four\n").unwrap();
        assert_eq!(text(&files.current()), "four\n");
    }

    #[test]
    fn a_full_file_gets_a_name_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lake-other.jsonl"), "not ours").unwrap();
        let files = files(folder.path(), 8, 2);
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            files.append(line.as_bytes()).unwrap();
        }
        let mut full = files.full().unwrap();
        full.sort();
        let texts: Vec<String> = full.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert_eq!(texts, ["second\n", "third\n"]);
        assert_eq!(std::fs::read_to_string(files.current()).unwrap(), "fourth\n");
        assert!(folder.path().join("lake-other.jsonl").exists());
    }
}
