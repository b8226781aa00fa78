//! Entries that wait on the disk while the database is away, in the order they came.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::AuditError;
use super::entry::Entry;
use super::keys::sync_directory;

/// Length and checksum before each entry.
const FRAME: usize = 4 + 8;
/// No entry is longer; a length beyond it is the torn end of the file.
const LONGEST: usize = 1 << 20;

/// The file. What is in it is durable as soon as `append` returns.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    /// Bytes written, all of them whole entries.
    written: u64,
    /// Bytes of entries that are in the chain by now.
    done: u64,
    most: u64,
}

impl Spool {
    /// Opens it; what a crash left half-written at its end is cut off: nobody was told that it is safe.
    pub(super) fn open(path: &Path, most: u64) -> Result<Self, AuditError> {
        Self::try_open(path, most).map_err(|error| AuditError::file(path, error))
    }

    fn try_open(path: &Path, most: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        sync_directory(path)?;
        let mut written = 0;
        let mut reader = BufReader::new(&mut file);
        while let Some((_, length)) = read_one(&mut reader)? {
            written += length;
        }
        if file.metadata()?.len() > written {
            file.set_len(written)?;
            file.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), file, written, done: 0, most })
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.written.saturating_sub(self.done)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Appends as many of `entries` as there is room for, durably, and says how many these were.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<usize, AuditError> {
        let mut bytes = Vec::new();
        let mut count = 0;
        for entry in entries {
            let Ok(json) = serde_json::to_vec(entry) else { break };
            let length = u64::try_from(bytes.len() + FRAME + json.len()).unwrap_or(u64::MAX);
            if self.written.saturating_add(length) > self.most || json.len() > LONGEST {
                break;
            }
            bytes.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(&checksum(&json));
            bytes.extend_from_slice(&json);
            count += 1;
        }
        if count > 0 {
            self.write(&bytes).map_err(|error| AuditError::file(&self.path, error))?;
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.written))?;
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half an entry must not stand before the next one. If this fails too, the next write overwrites it.
            drop(self.file.set_len(self.written));
            return Err(error);
        }
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// The oldest entries that wait, at most `count`, and the bytes they take.
    pub(super) fn peek(&mut self, count: usize) -> Result<(Vec<Entry>, u64), AuditError> {
        self.try_peek(count).map_err(|error| AuditError::file(&self.path, error))
    }

    fn try_peek(&mut self, count: usize) -> io::Result<(Vec<Entry>, u64)> {
        self.file.seek(SeekFrom::Start(self.done))?;
        let waiting = self.waiting();
        let mut reader = BufReader::new((&mut self.file).take(waiting));
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < count
            && let Some((entry, length)) = read_one(&mut reader)?
        {
            entries.push(entry);
            bytes += length;
        }
        Ok((entries, bytes))
    }

    /// The oldest `bytes` are in the chain. An empty spool takes no room.
    pub(super) fn forget(&mut self, bytes: u64) -> Result<(), AuditError> {
        self.done = self.done.saturating_add(bytes).min(self.written);
        if self.is_empty() {
            self.file.set_len(0).and_then(|()| self.file.sync_all()).map_err(|e| AuditError::file(&self.path, e))?;
            self.written = 0;
            self.done = 0;
        }
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    for (to, from) in sum.iter_mut().zip(blake3::hash(bytes).as_bytes()) {
        *to = *from;
    }
    sum
}

/// The next entry and the bytes it takes; `None` at the end, and where a crash tore the last one.
fn read_one(reader: &mut impl Read) -> io::Result<Option<(Entry, u64)>> {
    let mut length = [0; 4];
    let mut sum = [0; 8];
    for part in [length.as_mut_slice(), sum.as_mut_slice()] {
        match reader.read_exact(part) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            done => done?,
        }
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Ok(None);
    }
    let mut json = vec![0; length];
    match reader.read_exact(&mut json) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    if checksum(&json) != sum {
        return Ok(None);
    }
    let Ok(entry) = serde_json::from_slice(&json) else { return Ok(None) };
    Ok(Some((entry, u64::try_from(FRAME.saturating_add(length)).unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    fn entries(count: usize) -> Vec<Entry> {
        (0..count).map(|i| Entry::new(Kind::Block, "a", i.to_string()).detail("n", i)).collect()
    }

    #[test]
    fn entries_come_back_in_their_order_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let all = entries(10);
        let mut spool = Spool::open(&path, 1 << 20).unwrap();
        assert_eq!(spool.append(&all[..6]).unwrap(), 6);
        assert_eq!(spool.append(&all[6..]).unwrap(), 4);
        drop(spool);
        let mut spool = Spool::open(&path, 1 << 20).unwrap();
        let (first, bytes) = spool.peek(7).unwrap();
        assert_eq!(first, all[..7]);
        spool.forget(bytes).unwrap();
        let (rest, bytes) = spool.peek(7).unwrap();
        assert_eq!(rest, all[7..]);
        spool.forget(bytes).unwrap();
        assert!(spool.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_torn_end_is_cut_off_wherever_it_tore() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let all = entries(3);
        Spool::open(&path, 1 << 20).unwrap().append(&all).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let mut spool = Spool::open(&path, 1 << 20).unwrap();
            let (left, _) = spool.peek(9).unwrap();
            assert!(left.len() < 3);
            assert_eq!(left, all[..left.len()]);
            assert_eq!(spool.append(&all[2..]).unwrap(), 1);
            assert_eq!(spool.peek(9).unwrap().0.last(), all.last());
        }
    }

    #[test]
    fn a_full_spool_takes_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&directory.path().join("spool"), 1000).unwrap();
        let taken = spool.append(&entries(100)).unwrap();
        assert!(taken > 0 && taken < 100);
        assert_eq!(spool.append(&entries(1)).unwrap(), 0);
        assert_eq!(spool.peek(100).unwrap().0.len(), taken);
    }
}
