//! A file that is appended to and set aside when it grows too big: `name`, `name.1` (the youngest), … `name.N`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file now written to. Every error is returned, and the next write starts over from opening the file.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    max_size: u64,
    keep: usize,
    open: Option<(File, u64)>,
    /// The last write stopped somewhere within a line.
    torn: bool,
}

impl Rotating {
    /// Nothing is opened yet. Of the files set aside, `keep` are kept.
    pub(super) fn new(path: &Path, max_size: u64, keep: usize) -> Self {
        Self { path: path.to_owned(), max_size, keep, open: None, torn: false }
    }

    /// Appends whole lines; they are never spread over two files.
    ///
    /// # Errors
    /// From making the directory, opening, renaming or writing. Some of `lines` may have been written.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), io::Error> {
        let result = self.try_append(lines);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn try_append(&mut self, lines: &[u8]) -> Result<(), io::Error> {
        let (file, size) = match self.open.take() {
            Some((file, size)) if self.fits(size, lines) => (file, size),
            Some(_) => self.rotate()?,
            None => match self.reopen()? {
                (file, size) if self.fits(size, lines) => (file, size),
                _ => self.rotate()?,
            },
        };
        let (file, size) = self.open.insert((file, size));
        if self.torn {
            file.write_all(b"\n")?;
        }
        self.torn = true;
        file.write_all(lines)?;
        self.torn = false;
        *size = size.saturating_add(lines.len() as u64);
        Ok(())
    }

    fn fits(&self, size: u64, lines: &[u8]) -> bool {
        size == 0 || size.saturating_add(lines.len() as u64) <= self.max_size
    }

    fn reopen(&self) -> Result<(File, u64), io::Error> {
        if let Some(directory) = self.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn rotate(&self) -> Result<(File, u64), io::Error> {
        if self.keep == 0 {
            fs::remove_file(&self.path).or_else(missing)?;
        }
        for number in (0..self.keep).rev() {
            fs::rename(self.set_aside(number), self.set_aside(number + 1)).or_else(missing)?;
        }
        self.reopen()
    }

    /// Where the file lies after it was set aside `number` times.
    fn set_aside(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// A file that is not there need not be moved.
fn missing(error: io::Error) -> Result<(), io::Error> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::Rotating;

    #[test]
    fn a_full_file_is_set_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/records.jsonl");
        let mut file = Rotating::new(&path, 20, 2);
        for line in ["one-------\n", "two-------\n", "three-----\n", "four------\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(directory.path().join("made").join(name)).unwrap();
        assert_eq!(read("records.jsonl"), "four------\n");
        assert_eq!(read("records.jsonl.1"), "three-----\n");
        assert_eq!(read("records.jsonl.2"), "two-------\n");
        assert_eq!(fs::read_dir(directory.path().join("made")).unwrap().count(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_restart_goes_on_where_the_file_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        Rotating::new(&path, 20, 1).append(b"before----\n").unwrap();
        let mut file = Rotating::new(&path, 20, 1);
        file.append(b"short\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before----\nshort\n");
        file.append(b"after-----\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after-----\n");
    }

    #[test]
    fn nothing_is_kept_if_nothing_shall_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        let mut file = Rotating::new(&path, 5, 0);
        file.append(b"one--\n").unwrap();
        file.append(b"two--\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two--\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_is_told_and_the_next_write_tries_afresh() {
        let directory = tempfile::tempdir().unwrap();
        let in_the_way = directory.path().join("data");
        fs::write(&in_the_way, "").unwrap();
        let mut file = Rotating::new(&in_the_way.join("records.jsonl"), 100, 1);
        file.append(b"lost\n").unwrap_err();
        fs::remove_file(&in_the_way).unwrap();
        file.append(b"kept\n").unwrap();
        assert_eq!(fs::read_to_string(in_the_way.join("records.jsonl")).unwrap(), "kept\n");
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.jsonl");
        fs::write(&path, "{\"half\":").unwrap();
        let mut file = Rotating::new(&path, 100, 1);
        file.torn = true;
        file.append(b"whole\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"half\":\nwhole\n");
    }
}
