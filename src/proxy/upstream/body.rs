//! The body of an answer, wherever it comes from: a connection, a decoder over one, or the rehearsal model.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::line::LineBody;
use super::rehearsal::ReplyStream;
use crate::proxy::decode::{self, Coding};

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum BodyError {
    /// The connection broke, or its framing was wrong.
    #[error("the upstream's answer broke off")]
    Broken,
    /// The content coding was wrong.
    #[error("the upstream's answer does not decode")]
    Corrupt,
}

/// Pieces of an answer, decoded.
pub(in crate::proxy) enum AnswerBody {
    /// From a connection.
    Http(LineBody),
    /// From a connection, through a decoder.
    Decoded(Pin<Box<dyn AsyncRead + Send>>),
    /// From the rehearsal model.
    Rehearsal(Pin<Box<ReplyStream>>),
    /// A whole text.
    Whole(Option<Bytes>),
}

const PIECE: usize = 8 << 10;

impl AnswerBody {
    /// `body` with its codings undone.
    pub(in crate::proxy) fn decoding(body: LineBody, codings: &[Coding]) -> Self {
        if codings.is_empty() { Self::Http(body) } else { Self::Decoded(decode::reader(Frames::new(body), codings)) }
    }

    /// The next piece; `None` at the proper end.
    pub(in crate::proxy) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Self::Http(body) => body.poll_data(context),
            Self::Decoded(reader) => {
                let mut piece = BytesMut::with_capacity(PIECE);
                match ready!(poll_read_buf(reader.as_mut(), context, &mut piece)) {
                    Ok(0) => Poll::Ready(None),
                    Ok(_) => Poll::Ready(Some(Ok(piece.freeze()))),
                    Err(_) => Poll::Ready(Some(Err(BodyError::Corrupt))),
                }
            }
            Self::Rehearsal(stream) => stream.as_mut().poll_next(context).map(|piece| piece.map(Ok)),
            Self::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(Ok)),
        }
    }

    /// Bytes there are at least, where that is announced.
    pub(in crate::proxy) fn at_least(&self) -> u64 {
        match self {
            Self::Http(body) => body.at_least(),
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Decoded(_) | Self::Rehearsal(_) => 0,
        }
    }

    /// Whether the last piece has been taken, where that is known.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        match self {
            Self::Http(body) => body.is_over(),
            Self::Whole(bytes) => bytes.is_none(),
            Self::Decoded(_) | Self::Rehearsal(_) => false,
        }
    }

    /// As `poll_piece`.
    pub(in crate::proxy) async fn piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|context| self.poll_piece(context)).await
    }
}

/// The data frames of a body as a reader.
struct Frames {
    body: LineBody,
    current: Bytes,
}

impl Frames {
    fn new(body: LineBody) -> Self {
        Self { body, current: Bytes::new() }
    }
}

impl AsyncBufRead for Frames {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.current.is_empty() {
            match ready!(this.body.poll_data(context)) {
                None => break,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                Some(Ok(data)) => this.current = data,
            }
        }
        Poll::Ready(Ok(&this.current))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        drop(this.current.split_to(amount.min(this.current.len())));
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(context))?;
        let amount = available.len().min(buffer.remaining());
        buffer.put_slice(available.get(..amount).unwrap_or_default());
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}
