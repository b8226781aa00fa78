//! Checkpoints in files outside the store: what shows that the store's end was cut or all of it rewritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::AuditError;
use super::chain::Hash;
use super::checkpoint::Signed;
use super::keys::sync_directory;

/// The file now written to.
const CURRENT: &str = "checkpoints.jsonl";
/// A file that was set aside is named after the last record its checkpoints cover.
const ASIDE: &str = "checkpoints-";
/// No line is longer.
pub(super) const LONGEST_LINE: u64 = 64 << 10;

/// The files of a directory. All are kept: their checkpoints are one chain.
#[derive(Debug)]
pub(super) struct Witness {
    directory: PathBuf,
    file: File,
    size: u64,
    most: u64,
    last: Option<Last>,
}

/// The last checkpoint in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) seq: i64,
    pub(super) hash: Hash,
    pub(super) store: String,
    pub(super) key: String,
}

impl Last {
    fn of(signed: &Signed) -> Self {
        let checkpoint = &signed.checkpoint;
        Self { seq: checkpoint.seq, hash: signed.hash(), store: checkpoint.store.clone(), key: checkpoint.key.clone() }
    }
}

impl Witness {
    /// Opens the files of a directory; a line that a crash left half-written is cut off.
    pub(super) fn open(directory: &Path, most: u64) -> Result<Self, AuditError> {
        let path = directory.join(CURRENT);
        Self::try_open(directory, most).map_err(|error| AuditError::file(&path, error))
    }

    fn try_open(directory: &Path, most: u64) -> io::Result<Self> {
        let (file, size) = open_current(directory)?;
        let mut last = None;
        for line in Lines::open(directory)? {
            if let Some(signed) = Signed::from_line(&line?) {
                last = Some(Last::of(&signed));
            }
        }
        Ok(Self { directory: directory.to_owned(), file, size, most, last })
    }

    pub(super) fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// Appends checkpoints, durably; sets the file aside when it is full.
    pub(super) fn append(&mut self, checkpoints: &[Signed]) -> Result<(), AuditError> {
        let Some(newest) = checkpoints.last() else { return Ok(()) };
        let mut lines = String::new();
        for signed in checkpoints {
            lines.push_str(&signed.to_line());
            lines.push('\n');
        }
        self.write(lines.as_bytes()).map_err(|error| AuditError::file(&self.directory.join(CURRENT), error))?;
        self.last = Some(Last::of(newest));
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size >= self.most
            && let Some(last) = &self.last
        {
            let aside = self.directory.join(format!("{ASIDE}{:020}.jsonl", last.seq));
            fs::rename(self.directory.join(CURRENT), aside)?;
            (self.file, self.size) = open_current(&self.directory)?;
        }
        self.file.seek(SeekFrom::Start(self.size))?;
        if let Err(error) = self.file.write_all(lines).and_then(|()| self.file.sync_data()) {
            drop(self.file.set_len(self.size));
            return Err(error);
        }
        self.size = self.size.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// Opens the current file and cuts off what follows its last line break.
fn open_current(directory: &Path) -> io::Result<(File, u64)> {
    let path = directory.join(CURRENT);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path)?;
    sync_directory(&path)?;
    let mut size = 0;
    let mut reader = BufReader::new(&mut file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') {
            break;
        }
        size += u64::try_from(length).unwrap_or(u64::MAX);
    }
    if file.metadata()?.len() > size {
        file.set_len(size)?;
        file.sync_all()?;
    }
    Ok((file, size))
}

/// The lines of all checkpoint files, oldest first, as long as they were when this was made.
#[derive(Debug)]
pub struct Lines {
    /// Youngest first.
    files: Vec<(PathBuf, u64)>,
    open: Option<BufReader<io::Take<File>>>,
}

impl Lines {
    /// Of a trail's directory, or of one file.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut paths = Vec::new();
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                let file = entry?.path();
                let named = file
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name == CURRENT || (name.starts_with(ASIDE) && name.ends_with(".jsonl")));
                if named {
                    paths.push(file);
                }
            }
            // `-` sorts before `.`: the files set aside come first, in the order of their records.
            paths.sort_unstable_by(|a, b| b.cmp(a));
        } else {
            paths.push(path.to_owned());
        }
        let mut files = Vec::new();
        for path in paths {
            let length = fs::metadata(&path)?.len();
            files.push((path, length));
        }
        Ok(Self { files, open: None })
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.files.iter().all(|(_, length)| *length == 0)
    }

    fn read(&mut self) -> io::Result<Option<String>> {
        loop {
            let Some(reader) = &mut self.open else {
                let Some((path, length)) = self.files.pop() else { return Ok(None) };
                self.open = Some(BufReader::new(File::open(path)?.take(length)));
                continue;
            };
            let mut line = Vec::new();
            reader.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                self.open = None;
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            return Ok(Some(text.trim_end_matches('\n').to_owned()));
        }
    }
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::Checkpoint;
    use super::super::keys::SigningKey;
    use super::*;

    fn checkpoints(directory: &Path, count: i64) -> Vec<Signed> {
        let key = SigningKey::open(directory).unwrap();
        (1..=count)
            .map(|seq| {
                let checkpoint = Checkpoint {
                    from: seq,
                    seq,
                    head: [1; 32],
                    root: [2; 32],
                    previous: [0; 32],
                    time: seq,
                    store: "s".to_owned(),
                    replica: "r".to_owned(),
                    key: String::new(),
                };
                checkpoint.sign(&key)
            })
            .collect()
    }

    #[test]
    fn files_set_aside_are_read_in_order_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let all = checkpoints(directory.path(), 30);
        for signed in &all {
            // Opened anew each time, as after a crash.
            let mut witness = Witness::open(directory.path(), 1500).unwrap();
            witness.append(std::slice::from_ref(signed)).unwrap();
        }
        assert!(fs::read_dir(directory.path()).unwrap().count() > 5);
        let read: Vec<Signed> =
            Lines::open(directory.path()).unwrap().map(|line| Signed::from_line(&line.unwrap()).unwrap()).collect();
        assert_eq!(read, all);
        assert_eq!(Witness::open(directory.path(), 1500).unwrap().last().unwrap().seq, 30);
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let all = checkpoints(directory.path(), 2);
        let path = directory.path().join(CURRENT);
        let half: String = all[1].to_line().chars().take(50).collect();
        fs::write(&path, format!("{}\n{half}", all[0].to_line())).unwrap();
        let mut witness = Witness::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(witness.last().unwrap().seq, 1);
        witness.append(&all[1..]).unwrap();
        assert_eq!(Lines::open(directory.path()).unwrap().count(), 2);
    }
}
