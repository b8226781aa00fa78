//! `Content-Encoding`, undone under a size and a ratio cap: whole bodies and streams.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use bytes::{Bytes, BytesMut};
use hyper::header::{GetAll, HeaderValue};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, BufReader};

/// A body may decode to this much whatever its ratio.
const RATIO_FREE: u64 = 1 << 20;
/// Codings applied on top of each other.
const MAX_CODINGS: usize = 3;
const PIECE: usize = 16 << 10;

/// One coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// gzip, several members included.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// Brotli.
    Brotli,
    /// Zstandard.
    Zstd,
}

/// What a body may decode to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes decoded.
    pub(super) max: u64,
    /// Bytes decoded for each byte encoded, beyond the first megabyte.
    pub(super) ratio: u64,
}

/// Why a body did not decode.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It would be larger than this.
    #[error("decodes to more than {0} bytes")]
    TooLarge(u64),
    /// It is not what it says, or was cut short.
    #[error("does not decode as announced")]
    Corrupt,
}

/// The codings named in `Content-Encoding`, in the order they were applied; `None` if one is unknown.
pub(super) fn codings(headers: GetAll<'_, HeaderValue>) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in headers {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name.to_ascii_lowercase().as_str() {
                "identity" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                "br" => codings.push(Coding::Brotli),
                "zstd" => codings.push(Coding::Zstd),
                _ => return None,
            }
        }
    }
    (codings.len() <= MAX_CODINGS).then_some(codings)
}

/// A reader that undoes `codings` as it is read.
pub(super) fn reader<R>(inner: R, codings: &[Coding]) -> Pin<Box<dyn AsyncRead + Send>>
where
    R: AsyncBufRead + Send + 'static,
{
    let Some((last, rest)) = codings.split_last() else { return Box::pin(inner) };
    let decoded: Pin<Box<dyn AsyncRead + Send>> = match last {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(inner);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Coding::Deflate => Box::pin(ZlibDecoder::new(inner)),
        Coding::Brotli => Box::pin(BrotliDecoder::new(inner)),
        Coding::Zstd => Box::pin(ZstdDecoder::new(inner)),
    };
    if rest.is_empty() { decoded } else { reader(BufReader::new(decoded), rest) }
}

/// A whole body, decoded.
///
/// # Errors
/// When it is too large or corrupt.
pub(super) async fn whole(encoded: Bytes, codings: &[Coding], limits: Limits) -> Result<Bytes, Error> {
    let max = limits.max.min((encoded.len() as u64).saturating_mul(limits.ratio).max(RATIO_FREE));
    let mut reader = reader(io::Cursor::new(encoded), codings);
    let (mut pieces, mut size) = (Vec::new(), 0);
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        match reader.read_buf(&mut piece).await {
            Ok(0) => return Ok(joined(pieces, size)),
            Ok(read) => {
                size += read;
                if size as u64 > max {
                    return Err(Error::TooLarge(max));
                }
                pieces.push(piece.freeze());
            }
            Err(_) => return Err(Error::Corrupt),
        }
    }
}

/// Pieces of `size` bytes in all, as one.
pub(super) fn joined(mut pieces: Vec<Bytes>, size: usize) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(size);
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};

    use super::*;

    const LIMITS: Limits = Limits { max: 8 << 20, ratio: 100 };

    async fn gzip(data: &[u8]) -> Bytes {
        let mut out = Vec::new();
        GzipEncoder::new(data).read_to_end(&mut out).await.unwrap();
        out.into()
    }

    #[tokio::test]
    async fn codings_are_undone_in_reverse_order() {
        let inner = gzip(b"hello").await;
        let mut outer = Vec::new();
        ZstdEncoder::new(&inner[..]).read_to_end(&mut outer).await.unwrap();
        let decoded = whole(outer.into(), &[Coding::Gzip, Coding::Zstd], LIMITS).await.unwrap();
        assert_eq!(&decoded[..], b"hello");
    }

    #[tokio::test]
    async fn a_bomb_stops_at_the_ratio() {
        let bomb = gzip(&vec![0; 7 << 20]).await;
        assert!(matches!(whole(bomb, &[Coding::Gzip], LIMITS).await, Err(Error::TooLarge(_))));
    }

    #[tokio::test]
    async fn a_cut_body_is_corrupt() {
        let all = gzip(b"hello hello hello").await;
        let cut = all.slice(..all.len() - 6);
        assert!(matches!(whole(cut, &[Coding::Gzip], LIMITS).await, Err(Error::Corrupt)));
    }
}
