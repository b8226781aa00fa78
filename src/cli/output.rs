//! What a command prints.

use std::fmt;
use std::io::{self, Write};

use super::Error;

/// Where a command's answer goes.
pub(super) struct Out {
    to: io::BufWriter<io::Stdout>,
}

impl Out {
    pub(super) fn stdout() -> Self {
        Self { to: io::BufWriter::new(io::stdout()) }
    }

    /// One line. It is written at once, so that a reader of a pipe sees it.
    pub(super) fn line(&mut self, text: impl fmt::Display) -> Result<(), Error> {
        writeln!(self.to, "{text}").and_then(|()| self.to.flush()).map_err(failed)
    }

    /// A text that ends with its own line break.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()).map_err(failed)
    }
}

fn failed(source: io::Error) -> Error {
    Error::Io { what: "cannot write to standard output".to_owned(), source }
}

/// Tells on standard error what went wrong. When even that cannot be written there is nobody left to tell.
pub(super) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
