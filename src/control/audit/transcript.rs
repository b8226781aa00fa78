//! Records and checkpoints in a file, one per line: exports and segments.
//!
//! The first line says where the chain is taken up, the last one where it ends; a file without it is cut off. Files
//! that end in `.zst` or `.gz` are compressed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::AuditError;
use super::canonical;
use super::chain::{Hash, integer};
use super::checkpoint::Signed;
use super::parallel;
use super::prepare::{Found, prepare_all};
use super::verify::{Fault, Finding, Place, Verifier, finding};
use crate::store::audit::{AuditPersonal, AuditRow};
use crate::types::{hex, unhex};

/// Lines read at once.
const BATCH: usize = 2000;
/// No line is longer: a record has at most some 40 KiB.
const LONGEST: u64 = 1 << 20;

/// Where a file takes up the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The store it is about.
    pub store: String,
    /// The number of its first record.
    pub first: i64,
    /// The hash of the record before.
    pub before: Hash,
}

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The number of its last record.
    pub last: i64,
    /// Its hash.
    pub hash: Hash,
}

impl Header {
    /// One line, with its line break.
    pub fn to_line(&self) -> String {
        let mut line = String::from("{\"audit\":{\"before\":\"");
        line.push_str(&hex(&self.before));
        line.push_str("\",\"first\":");
        canonical::integer(&mut line, self.first);
        line.push_str(",\"store\":");
        canonical::text(&mut line, &self.store);
        line.push_str(",\"v\":1}}\n");
        line
    }
}

impl End {
    /// One line, with its line break.
    pub fn to_line(&self) -> String {
        let mut line = String::from("{\"end\":{\"hash\":\"");
        line.push_str(&hex(&self.hash));
        line.push_str("\",\"last\":");
        canonical::integer(&mut line, self.last);
        line.push_str("}}\n");
        line
    }
}

/// One line of a record, with its line break; with its personal part or without.
pub fn record_line(row: &AuditRow, personal: bool) -> String {
    let mut line = String::with_capacity(row.body.len() + 256);
    line.push_str("{\"record\":");
    line.push_str(&row.body);
    line.push_str(",\"hash\":\"");
    line.push_str(&hex(&row.hash));
    line.push('"');
    if let Some(part) = row.personal.as_ref().filter(|_| personal) {
        line.push_str(",\"personal\":");
        line.push_str(&part.body);
        line.push_str(",\"salt\":\"");
        line.push_str(&hex(&part.salt));
        line.push('"');
    }
    line.push_str("}\n");
    line
}

/// A line, read. Only one of the four is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    personal: Option<&'a RawValue>,
    #[serde(borrow)]
    salt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    checkpoint: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow)]
    audit: Option<HeaderLine<'a>>,
    #[serde(borrow)]
    end: Option<EndLine<'a>>,
}

#[derive(Debug, Deserialize)]
struct HeaderLine<'a> {
    #[serde(borrow)]
    before: Cow<'a, str>,
    #[serde(deserialize_with = "integer")]
    first: i64,
    store: String,
}

#[derive(Debug, Deserialize)]
struct EndLine<'a> {
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(deserialize_with = "integer")]
    last: i64,
}

/// The number a record says it has, wherever it stands.
fn number(line: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Only {
        record: Seq,
    }
    #[derive(Deserialize)]
    struct Seq {
        #[serde(deserialize_with = "integer")]
        seq: i64,
    }
    serde_json::from_str::<Only>(line).ok().map(|only| only.record.seq)
}

/// Personal parts that are not in the file, by the numbers of their records.
pub(super) type Elsewhere = HashMap<i64, AuditPersonal>;

/// A file, opened and past its first line.
pub struct Reader {
    lines: Box<dyn AsyncBufRead + Send + Unpin>,
    /// Where it takes up the chain.
    pub header: Header,
    buffer: Vec<u8>,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read or does not begin as one of ours.
    pub async fn open(path: &Path) -> Result<Self, AuditError> {
        let file = File::open(path).await.map_err(|error| AuditError::file(path, error))?;
        let file = BufReader::with_capacity(256 << 10, file);
        let mut lines: Box<dyn AsyncBufRead + Send + Unpin> = match path.extension().and_then(|name| name.to_str()) {
            Some("zst") => Box::new(BufReader::with_capacity(256 << 10, ZstdDecoder::new(file))),
            Some("gz") => Box::new(BufReader::with_capacity(256 << 10, GzipDecoder::new(file))),
            _ => Box::new(file),
        };
        let mut buffer = Vec::new();
        read_line(&mut lines, &mut buffer).await.map_err(|error| AuditError::file(path, error))?;
        let header = std::str::from_utf8(&buffer).ok().and_then(read_header);
        let header = header.ok_or_else(|| AuditError::Damaged(format!("{}: no audit export", path.display())))?;
        Ok(Self { lines, header, buffer })
    }

    /// The next line; `None` at the end, or where it cannot be read any further.
    pub(super) async fn line(&mut self) -> Option<&str> {
        // A compressed file that was cut off or changed ends in an error: it has no last line then.
        let length = read_line(&mut self.lines, &mut self.buffer).await.unwrap_or(0);
        if length == 0 {
            return None;
        }
        // Bytes that are no text are no JSON either, which is found out where the line is read.
        Some(std::str::from_utf8(&self.buffer).unwrap_or("\u{fffd}").trim_end_matches('\n'))
    }

    /// The next lines, at most `BATCH`; none at the end.
    async fn batch(&mut self) -> String {
        let mut text = Vec::new();
        for _ in 0..BATCH {
            if read_line(&mut self.lines, &mut self.buffer).await.unwrap_or(0) == 0 {
                break;
            }
            text.extend_from_slice(&self.buffer);
        }
        // What is no text becomes U+FFFD, and no longer has the hash it should have.
        String::from_utf8(text).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
    }

    /// Shows every line to the verifier, with the personal parts that are kept elsewhere; `before` each record others'
    /// checkpoints are shown.
    pub(super) async fn verify(
        &mut self,
        verifier: &mut Verifier,
        elsewhere: &Elsewhere,
        mut before: impl FnMut(&mut Verifier, i64) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        loop {
            let text = self.batch().await;
            let texts: Vec<&str> = text.lines().collect();
            if texts.is_empty() {
                return Err(finding(verifier.next(), Fault::Truncated, "the file ends in the middle"));
            }
            let lines = parallel::map(&texts, |text| serde_json::from_str::<Line<'_>>(text).ok());
            let found = records(&lines, verifier.next(), elsewhere);
            let mut prepared = found.iter().zip(prepare_all(&found, *verifier.head()));
            for (at, (line, text)) in lines.iter().zip(&texts).enumerate() {
                let next = verifier.next();
                before(verifier, next)?;
                let Some(line) = line else { return Err(unreadable(next)) };
                let shown = match line.record {
                    Some(_) => match prepared.next() {
                        Some((found, prepared)) => verifier.prepared(found, prepared),
                        None => Err(unreadable(next)),
                    },
                    None if line.end.is_some() => {
                        ends(verifier, line)?;
                        let more = texts.len() > at.saturating_add(1) || !self.batch().await.is_empty();
                        let what = "something follows the end of the file";
                        return if more { Err(finding(next, Fault::Changed, what)) } else { Ok(()) };
                    }
                    None => checkpoint(verifier, text),
                };
                if let Err(found) = shown {
                    let following = match texts.get(at.saturating_add(1)) {
                        Some(text) => number(text),
                        None => self.line().await.and_then(number),
                    };
                    return Err(judge(found, next, following));
                }
            }
        }
    }
}

/// The records of lines; the first of them has the number `next`, if all is well.
fn records<'a>(lines: &[Option<Line<'a>>], next: i64, elsewhere: &'a Elsewhere) -> Vec<Found<'a>> {
    let mut next = next;
    let mut found = Vec::new();
    for line in lines.iter().flatten() {
        let Some(record) = line.record else { continue };
        let kept = || elsewhere.get(&next).map(|part| (Hash::try_from(part.salt.as_slice()).ok(), part.body.as_str()));
        let salt = line.salt.as_deref().and_then(unhex);
        found.push(Found {
            seq: None,
            body: record.get(),
            hash: line.hash.as_deref().and_then(unhex),
            personal: line.personal.map(|part| (salt, part.get())).or_else(kept),
            columns: None,
        });
        next = next.saturating_add(1);
    }
    found
}

/// A file has no place that a record is filed under: what follows tells whether one is missing, changed or swapped.
fn judge(found: Finding, expected: i64, following: Option<i64>) -> Finding {
    match (found.fault, following) {
        (Fault::Removed, Some(seq)) if seq == expected => {
            finding(expected, Fault::Swapped, "another record stands in its place")
        }
        (Fault::Removed | Fault::Doubled, Some(seq)) if seq == expected.saturating_add(1) => {
            finding(expected, Fault::Changed, "the record, its hash or the hash before it was changed")
        }
        _ => found,
    }
}

async fn read_line(lines: &mut (impl AsyncBufRead + Unpin), buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    buffer.clear();
    lines.take(LONGEST).read_until(b'\n', buffer).await
}

fn read_header(line: &str) -> Option<Header> {
    let HeaderLine { before, first, store } = serde_json::from_str::<Line<'_>>(line).ok()?.audit?;
    let header = Header { store, first, before: unhex(&before)? };
    (header.to_line() == line).then_some(header)
}

fn unreadable(next: i64) -> Finding {
    finding(next, Fault::Changed, "the line cannot be read")
}

fn checkpoint(verifier: &mut Verifier, text: &str) -> Result<(), Finding> {
    let unreadable = || finding(verifier.next(), Fault::BadSignature, "a checkpoint cannot be read");
    let signed = Signed::from_line(text).ok_or_else(unreadable)?;
    verifier.checkpoint(&signed, Place::Inside)
}

/// Whether the last line says what was read.
fn ends(verifier: &Verifier, line: &Line<'_>) -> Result<(), Finding> {
    let next = verifier.next();
    let end = line.end.as_ref().ok_or_else(|| unreadable(next))?;
    let hash: Hash = unhex(&end.hash).ok_or_else(|| unreadable(next))?;
    if end.last != next.saturating_sub(1) {
        return Err(finding(next, Fault::Truncated, format!("the file says that it ends with record {}", end.last)));
    }
    if hash != *verifier.head() {
        return Err(finding(end.last, Fault::Changed, "the end of the file names another hash"));
    }
    Ok(())
}

/// The record's body in a line, if there is one.
pub(super) fn body(line: &str) -> Option<&str> {
    serde_json::from_str::<Line<'_>>(line).ok()?.record.map(RawValue::get)
}
