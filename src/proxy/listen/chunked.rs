//! The chunked body of one HTTP/1 request: RFC 9112, section 7.1, read strictly.

use super::framing::{has_control, is_token};
use super::refuse::Refuse;

/// Bytes of the extension of one chunk, and of all extensions of one body.
const MAX_EXTENSION: u32 = 256;
const MAX_EXTENSIONS: u32 = 8 << 10;
/// Bytes of the trailer section, its fields, and the bytes of one name.
const MAX_TRAILERS: u32 = 8 << 10;
const MAX_TRAILER_FIELDS: u32 = 32;
const MAX_TRAILER_NAME: usize = 128;
/// A chunked body, as far as it has come.
#[derive(Debug)]
pub(super) struct Chunked {
    at: ChunkAt,
    extensions: u32,
    trailer_bytes: u32,
    trailer_fields: u32,
    name: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum ChunkAt {
    Size { digits: u8, value: u64 },
    Extension { value: u64, bytes: u32 },
    SizeLf { value: u64 },
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// Fields that would change how the message is framed, routed or believed if a reader merged them.
const FORBIDDEN_TRAILERS: [&[u8]; 20] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"max-forwards",
    b"proxy-authorization",
    b"range",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-api-key",
    b"x-forwarded-for",
];

impl Chunked {
    /// Before the first size.
    pub(super) fn new() -> Self {
        Self {
            at: ChunkAt::Size { digits: 0, value: 0 },
            extensions: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
            name: Vec::new(),
        }
    }

    /// How many bytes are sound, and whether the body is complete.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, Result<bool, Refuse>) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let ChunkAt::Data(left) = self.at {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += taken;
                let left = left - taken as u64;
                self.at = if left == 0 { ChunkAt::DataCr } else { ChunkAt::Data(left) };
                continue;
            }
            match self.step(*byte) {
                Ok(false) => at += 1,
                Ok(true) => return (at + 1, Ok(true)),
                Err(refuse) => return (at, Err(refuse)),
            }
        }
        (at, Ok(false))
    }

    fn step(&mut self, byte: u8) -> Result<bool, Refuse> {
        const LINE_END: Refuse = Refuse::bad("a line of the chunked body does not end in CRLF");
        self.at = match (self.at, byte) {
            (ChunkAt::Size { digits, value }, _) => Self::size(digits, value, byte)?,
            (ChunkAt::Extension { value, .. }, b'\r') => ChunkAt::SizeLf { value },
            (ChunkAt::Extension { value, bytes }, _) => {
                self.extensions += 1;
                if bytes >= MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
                    return Err(Refuse::bad("a chunk extension is too long"));
                }
                if has_control(&[byte]) {
                    return Err(Refuse::bad("a chunk extension has a control character"));
                }
                ChunkAt::Extension { value, bytes: bytes + 1 }
            }
            (ChunkAt::SizeLf { value: 0 }, b'\n') => ChunkAt::TrailerStart,
            (ChunkAt::SizeLf { value }, b'\n') => ChunkAt::Data(value),
            (ChunkAt::DataCr, b'\r') => ChunkAt::DataLf,
            (ChunkAt::DataLf, b'\n') => ChunkAt::Size { digits: 0, value: 0 },
            (ChunkAt::TrailerStart, b'\r') => ChunkAt::EndLf,
            (ChunkAt::EndLf, b'\n') => return Ok(true),
            (ChunkAt::TrailerStart | ChunkAt::TrailerName | ChunkAt::TrailerValue | ChunkAt::TrailerLf, _) => {
                self.trailer(byte)?
            }
            (ChunkAt::DataCr | ChunkAt::DataLf, _) => {
                return Err(Refuse::bad("chunk data is longer than its size says"));
            }
            (ChunkAt::SizeLf { .. } | ChunkAt::EndLf, _) => return Err(LINE_END),
            (ChunkAt::Data(left), _) => ChunkAt::Data(left),
        };
        Ok(false)
    }

    fn size(digits: u8, value: u64, byte: u8) -> Result<ChunkAt, Refuse> {
        let odd = Refuse::bad("a chunk size is not a plain hexadecimal number");
        if let Some(digit) = char::from(byte).to_digit(16) {
            // Sixteen digits fill a u64; a size that large could never arrive, so the top bit is refused as well.
            if digits >= 16 || value >> 59 != 0 {
                return Err(odd);
            }
            return Ok(ChunkAt::Size { digits: digits + 1, value: value << 4 | u64::from(digit) });
        }
        match byte {
            _ if digits == 0 => Err(odd),
            b'\r' => Ok(ChunkAt::SizeLf { value }),
            b';' => Ok(ChunkAt::Extension { value, bytes: 0 }),
            _ => Err(odd),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<ChunkAt, Refuse> {
        let too_large = Refuse::new(431, "headers_too_large", "the trailer section is too large");
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILERS {
            return Err(too_large);
        }
        match self.at {
            ChunkAt::TrailerValue if byte == b'\r' => Ok(ChunkAt::TrailerLf),
            ChunkAt::TrailerValue if !has_control(&[byte]) => Ok(ChunkAt::TrailerValue),
            ChunkAt::TrailerValue => Err(Refuse::bad("a trailer value has a control character")),
            ChunkAt::TrailerLf if byte == b'\n' => Ok(ChunkAt::TrailerStart),
            ChunkAt::TrailerLf => Err(Refuse::bad("a line of the trailer section does not end in CRLF")),
            ChunkAt::TrailerName if byte == b':' => {
                if FORBIDDEN_TRAILERS.contains(&self.name.as_slice()) {
                    return Err(Refuse::bad("this field is not allowed in a trailer"));
                }
                Ok(ChunkAt::TrailerValue)
            }
            _ if !is_token(byte) => Err(Refuse::bad("a trailer name has a character that is not allowed there")),
            ChunkAt::TrailerStart => {
                self.trailer_fields += 1;
                if self.trailer_fields > MAX_TRAILER_FIELDS {
                    return Err(too_large);
                }
                self.name.clear();
                self.name.push(byte.to_ascii_lowercase());
                Ok(ChunkAt::TrailerName)
            }
            _ if self.name.len() >= MAX_TRAILER_NAME => Err(too_large),
            _ => {
                self.name.push(byte.to_ascii_lowercase());
                Ok(ChunkAt::TrailerName)
            }
        }
    }
}
