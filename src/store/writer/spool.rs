//! Batches on disk while the database is away: segments of checked, synchronised frames, read back in order.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// A new segment begins when the last one has this many bytes: segments are deleted whole.
const SEGMENT: u64 = 16 << 20;

/// Length (little-endian) and hash of a frame, in front of it.
const LENGTH: usize = 4;
const HASH: usize = 16;
const HEAD: u64 = (LENGTH + HASH) as u64;

/// The spool of one process: a folder of its own in the folder of all, locked as long as the process lives.
pub(super) struct Spool {
    folder: PathBuf,
    /// Held, never read: the lock ends with it.
    _lock: File,
    segments: VecDeque<Segment>,
    /// The last segment, open for appending; `None` after a failure, so that the next frame begins a new one.
    tail: Option<File>,
    next_number: u64,
    bytes: u64,
    most: u64,
    segment_most: u64,
}

struct Segment {
    path: PathBuf,
    length: u64,
    /// How far it was read back.
    read: u64,
}

/// What stands at the front.
pub(super) enum Front {
    Empty,
    Frame(Vec<u8>),
}

impl Spool {
    /// Opens the spool in `folder`, and takes over what processes that are gone left there.
    pub(super) fn open(folder: &Path, most: u64) -> Result<Self, StoreError> {
        Self::try_open(folder, most)
            .map_err(|why| StoreError::File(format!("the spool {} cannot be used: {why}", folder.display())))
    }

    fn try_open(parent: &Path, most: u64) -> io::Result<Self> {
        let make = |folder: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let folder = parent.join(uuid::Uuid::now_v7().to_string());
        make(&folder)?;
        let lock = open_lock(&folder)?;
        lock.try_lock().map_err(io::Error::from)?;
        let segment_most = SEGMENT.min(most.div_euclid(4)).max(1);
        let mut spool = Self {
            folder,
            _lock: lock,
            segments: VecDeque::new(),
            tail: None,
            next_number: 0,
            bytes: 0,
            most,
            segment_most,
        };
        let mut others: Vec<PathBuf> = entries(parent)?.into_iter().filter(|path| path.is_dir()).collect();
        // Their names begin with the time they were made.
        others.sort();
        for other in others {
            if other != spool.folder {
                spool.adopt(&other)?;
            }
        }
        Ok(spool)
    }

    /// Moves the segments of a process that is gone here.
    fn adopt(&mut self, other: &Path) -> io::Result<()> {
        let lock = open_lock(other)?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let mut theirs: Vec<PathBuf> = entries(other)?.into_iter().filter(|path| is_segment(path)).collect();
        theirs.sort();
        for path in theirs {
            let length = fs::metadata(&path)?.len();
            let mine = self.new_path();
            fs::rename(&path, &mine)?;
            self.bytes = self.bytes.saturating_add(length);
            self.segments.push_back(Segment { path: mine, length, read: 0 });
        }
        sync_folder(&self.folder)?;
        // A damaged segment may be left there for a person to look at; then the folder stays.
        fs::remove_file(other.join("lock")).and_then(|()| fs::remove_dir(other)).unwrap_or_default();
        Ok(())
    }

    /// Bytes on disk.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Writes a frame behind all others; when this returns it is on the disk.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(frame.len()).map_err(|_| StoreError::Full("a batch is too large for the spool"))?;
        let whole = u64::from(length).saturating_add(HEAD);
        if self.bytes.saturating_add(whole) > self.most {
            return Err(StoreError::Full("the spool has reached its limit"));
        }
        self.try_append(frame, length, whole).map_err(|why| {
            self.tail = None;
            StoreError::File(format!("the spool cannot be written: {why}"))
        })
    }

    fn try_append(&mut self, frame: &[u8], length: u32, whole: u64) -> io::Result<()> {
        if self.segments.back().is_none_or(|last| last.length >= self.segment_most) {
            self.tail = None;
        }
        if self.tail.is_none() {
            let path = self.new_path();
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
            self.segments.push_back(Segment { path, length: 0, read: 0 });
            self.tail = Some(file);
            sync_folder(&self.folder)?;
        }
        let (Some(file), Some(segment)) = (self.tail.as_mut(), self.segments.back_mut()) else { return Ok(()) };
        let mut bytes = Vec::with_capacity(frame.len().saturating_add(LENGTH + HASH));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&hash(frame));
        bytes.extend_from_slice(frame);
        match file.write_all(&bytes).and_then(|()| file.sync_data()) {
            Ok(()) => {
                segment.length = segment.length.saturating_add(whole);
                self.bytes = self.bytes.saturating_add(whole);
                Ok(())
            }
            Err(why) => {
                // What was written of the frame goes; if even that fails, the reader stops at it.
                file.set_len(segment.length).unwrap_or_default();
                Err(why)
            }
        }
    }

    /// The oldest frame; `advance` is what removes it. Segments that were read to their end are deleted.
    pub(super) fn front(&mut self) -> Result<Front, StoreError> {
        while let Some(segment) = self.segments.front() {
            match read_frame(segment) {
                Ok(Some(frame)) => return Ok(Front::Frame(frame)),
                Ok(None) => self.drop_front(false),
                Err(why) if why.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(segment = %segment.path.display(), %why, "a spool segment is damaged and set aside");
                    self.drop_front(true);
                }
                Err(why) => return Err(StoreError::File(format!("the spool cannot be read: {why}"))),
            }
        }
        Ok(Front::Empty)
    }

    /// Forgets the frame that `front` gave.
    pub(super) fn advance(&mut self, frame: &[u8]) {
        let whole = u64::try_from(frame.len()).unwrap_or(u64::MAX).saturating_add(HEAD);
        if let Some(segment) = self.segments.front_mut() {
            segment.read = segment.read.saturating_add(whole);
            if segment.read >= segment.length {
                self.drop_front(false);
            }
        }
    }

    fn drop_front(&mut self, damaged: bool) {
        let Some(segment) = self.segments.pop_front() else { return };
        if self.segments.is_empty() {
            self.tail = None;
        }
        self.bytes = self.bytes.saturating_sub(segment.length);
        let done = if damaged {
            fs::rename(&segment.path, segment.path.with_extension("damaged"))
        } else {
            fs::remove_file(&segment.path)
        };
        if let Err(why) = done {
            // It will be read again after a restart, which changes nothing: batches are written once.
            tracing::warn!(segment = %segment.path.display(), %why, "a spool segment cannot be removed");
        }
    }

    fn new_path(&mut self) -> PathBuf {
        self.next_number = self.next_number.saturating_add(1);
        self.folder.join(format!("{:012}.spool", self.next_number))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.segments.is_empty() {
            // Where something else was left in it, the folder stays.
            fs::remove_file(self.folder.join("lock")).and_then(|()| fs::remove_dir(&self.folder)).unwrap_or_default();
        }
    }
}

/// The next frame of a segment; `None` at its end, and at a frame that was never finished (and never acknowledged).
fn read_frame(segment: &Segment) -> io::Result<Option<Vec<u8>>> {
    let left = segment.length.saturating_sub(segment.read);
    if left < HEAD {
        return Ok(None);
    }
    let mut file = File::open(&segment.path)?;
    file.seek(SeekFrom::Start(segment.read))?;
    let (mut length, mut known) = ([0; LENGTH], [0; HASH]);
    file.read_exact(&mut length)?;
    file.read_exact(&mut known)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length.saturating_add(HEAD) > left {
        return Ok(None);
    }
    let mut frame = Vec::new();
    file.take(length).read_to_end(&mut frame)?;
    if hash(&frame) == known {
        Ok(Some(frame))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("wrong checksum at byte {}", segment.read)))
    }
}

fn hash(frame: &[u8]) -> [u8; HASH] {
    let mut short = [0; HASH];
    for (to, from) in short.iter_mut().zip(blake3::hash(frame).as_bytes()) {
        *to = *from;
    }
    short
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "spool")
}

fn open_lock(folder: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"))
}

/// A new name in a folder is durable only with the folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(spool: &mut Spool) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Front::Frame(frame) = spool.front().unwrap() {
            spool.advance(&frame);
            frames.push(frame);
        }
        frames
    }

    #[test]
    fn frames_come_back_in_order_and_the_folder_is_empty_then() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 4000).unwrap();
        let frames: Vec<Vec<u8>> = (0..30_u8).map(|n| vec![n; 100]).collect();
        for frame in &frames {
            spool.append(frame).unwrap();
        }
        assert!(spool.segments.len() > 2, "one segment holds at most a quarter");
        assert_eq!(spool.bytes(), 30 * 120);
        assert_eq!(read_all(&mut spool), frames);
        assert_eq!(spool.bytes(), 0);
        drop(spool);
        assert!(entries(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn a_full_spool_refuses_and_has_room_again_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 300).unwrap();
        spool.append(&[1; 100]).unwrap();
        spool.append(&[2; 100]).unwrap();
        assert_eq!(spool.append(&[3; 100]), Err(StoreError::Full("the spool has reached its limit")));
        let Front::Frame(frame) = spool.front().unwrap() else { panic!("a frame") };
        spool.advance(&frame);
        spool.append(&[3; 100]).unwrap();
        assert_eq!(read_all(&mut spool), [vec![2; 100], vec![3; 100]]);
    }

    #[test]
    fn what_a_dead_process_left_is_taken_over_without_its_torn_tail() {
        let folder = tempfile::tempdir().unwrap();
        let mut dead = Spool::open(folder.path(), 10_000).unwrap();
        dead.append(b"one").unwrap();
        dead.append(b"two").unwrap();
        let path = dead.segments.front().unwrap().path.clone();
        // The lock ends with the process; the folder stays.
        drop(dead);
        for cut in 1..23 {
            let whole = fs::read(&path).unwrap();
            let torn = tempfile::tempdir().unwrap();
            fs::create_dir(torn.path().join("old")).unwrap();
            fs::write(torn.path().join("old/000000000001.spool"), &whole[..whole.len() - cut]).unwrap();
            let mut spool = Spool::open(torn.path(), 10_000).unwrap();
            assert_eq!(read_all(&mut spool), [b"one".to_vec()], "{cut} bytes missing");
        }
        let mut spool = Spool::open(folder.path(), 10_000).unwrap();
        assert_eq!(read_all(&mut spool), [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn the_spool_of_a_living_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Spool::open(folder.path(), 10_000).unwrap();
        one.append(b"one").unwrap();
        let mut other = Spool::open(folder.path(), 10_000).unwrap();
        assert!(read_all(&mut other).is_empty());
        assert_eq!(read_all(&mut one), [b"one".to_vec()]);
    }

    #[test]
    fn a_damaged_frame_is_set_aside_and_later_segments_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 400).unwrap();
        spool.append(&[1; 100]).unwrap();
        spool.append(&[2; 100]).unwrap();
        let path = spool.segments.front().unwrap().path.clone();
        let mut bytes = fs::read(&path).unwrap();
        bytes[50] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_all(&mut spool), [vec![2; 100]]);
        assert!(path.with_extension("damaged").exists());
    }
}
