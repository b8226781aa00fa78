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
