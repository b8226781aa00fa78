//! The forms a value is hidden in: percent signs, entities, escapes, and UTF-8 that is longer than it may be.

/// Rounds of decoding: what is still encoded after them stays so.
const ROUNDS: usize = 3;

/// A value in plain letters, lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) text: String,
    /// Letters were encoded as no honest encoder does: twice, or as longer UTF-8 than needed.
    pub(super) forced: bool,
}

/// Decodes `text` until nothing changes.
pub(super) fn decode(text: &str) -> Plain {
    let mut plain = Plain { text: text.to_ascii_lowercase(), forced: false };
    for round in 0..ROUNDS {
        let mut out = Vec::with_capacity(plain.text.len());
        let changed = once(plain.text.as_bytes(), &mut out, &mut plain.forced);
        if !changed {
            break;
        }
        plain.forced |= round > 0 && out.windows(1).any(|byte| matches!(byte, b"." | b"/" | b"\\" | b"'" | b"<"));
        plain.text = String::from_utf8_lossy(&out).to_ascii_lowercase();
    }
    plain
}

/// One round; whether anything was decoded.
fn once(text: &[u8], out: &mut Vec<u8>, forced: &mut bool) -> bool {
    let mut rest = text;
    let mut changed = false;
    while let Some((first, tail)) = rest.split_first() {
        let (piece, used) = match first {
            b'%' => percent(tail, forced),
            b'&' => entity(tail),
            b'\\' => escape(tail),
            b'0' => zero_x(tail),
            _ => (None, 0),
        };
        match piece {
            Some(letter) => {
                changed = true;
                push(letter, out);
                rest = tail.get(used..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    changed
}

fn push(letter: u32, out: &mut Vec<u8>) {
    match u8::try_from(letter) {
        Ok(byte) => out.push(byte),
        Err(_) => {
            let letter = char::from_u32(letter).unwrap_or('\u{fffd}');
            let mut buffer = [0; 4];
            out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

fn hex(byte: Option<&u8>) -> Option<u32> {
    char::from(*byte?).to_digit(16)
}

fn pair(text: &[u8]) -> Option<u32> {
    Some(hex(text.first())? * 16 + hex(text.get(1))?)
}

/// After a percent sign.
fn percent(tail: &[u8], forced: &mut bool) -> (Option<u32>, usize) {
    if tail.first() == Some(&b'u') {
        let Some(code) = tail.get(1..).and_then(four) else { return (None, 0) };
        *forced = true;
        return (Some(slash_like(code)), 5);
    }
    if let Some((byte, used)) = twice(tail) {
        *forced = true;
        return (Some(byte), used);
    }
    let Some(byte) = pair(tail) else {
        // `%c1%pc`, `%bg%qf`: what some servers take for a slash.
        let odd = tail.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_alphanumeric));
        let next =
            tail.get(2) == Some(&b'%') && tail.get(3..5).is_some_and(|two| !two.iter().all(u8::is_ascii_hexdigit));
        if odd && next && tail.get(3..5).is_some_and(|two| two.iter().all(u8::is_ascii_alphanumeric)) {
            *forced = true;
            return (Some(u32::from(b'/')), 5);
        }
        return (None, 0);
    };
    let after = tail.get(2..).unwrap_or_default();
    match byte {
        0xc0 | 0xc1 => overlong(after, forced).map_or((Some(byte), 2), |(letter, used)| (Some(letter), 2 + used)),
        0xe0 | 0xf0 | 0xf8 | 0xfc => {
            // Padding bytes of 0x80, then the letter's own.
            let mut used = 2;
            let mut rest = after;
            let mut padded = false;
            while let Some(next) = rest.strip_prefix(b"%80") {
                padded = true;
                used += 3;
                rest = next;
            }
            match rest.strip_prefix(b"%").and_then(pair) {
                Some(last @ 0x80..=0xbf) if padded => {
                    *forced = true;
                    (Some(last & 0x3f), used + 3)
                }
                _ => (Some(byte), 2),
            }
        }
        _ => (Some(byte), 2),
    }
}

/// `%32%66`, `%32%%66` or `%32f` behind a percent sign: two encoded digits.
fn twice(tail: &[u8]) -> Option<(u32, usize)> {
    let digit = |code: u32| char::from_u32(code).and_then(|letter| letter.to_digit(16));
    let high = digit(pair(tail.strip_prefix(b"%")?)?)?;
    let rest = tail.get(3..)?;
    let (low, used) = match rest.strip_prefix(b"%%").or_else(|| rest.strip_prefix(b"%")) {
        Some(code) => (digit(pair(code)?)?, rest.len() - code.len() + 2),
        None => (hex(rest.first())?, 1),
    };
    Some((high * 16 + low, 3 + used))
}

/// After `%c0` or `%c1`, which begin no letter of honest UTF-8.
fn overlong(after: &[u8], forced: &mut bool) -> Option<(u32, usize)> {
    let (low, used) = match after.strip_prefix(b"%") {
        Some(tail) => match pair(tail) {
            Some(byte) => (byte & 0x0f, 3),
            None if tail.len() >= 2 => (0x0f, 3),
            None => return None,
        },
        None => match after.first()? {
            b'.' => (0x0e, 1),
            b'/' => (0x0f, 1),
            b'\\' => (0x0c, 1),
            _ => return None,
        },
    };
    *forced = true;
    let letter = match low {
        0x0e | 0x04 => b'.',
        0x0c | 0x0d => b'\\',
        _ => b'/',
    };
    Some((u32::from(letter), used))
}

/// Letters that some servers fold to a slash or a dot.
const fn slash_like(code: u32) -> u32 {
    match code {
        0x2215 | 0xefc8 | 0xf025 | 0xff0f | 0x2044 => b'/' as u32,
        0x2216 | 0xff3c => b'\\' as u32,
        0x2024 | 0xff0e => b'.' as u32,
        0xff1c => b'<' as u32,
        0xff1e => b'>' as u32,
        0x02b9 | 0x02bc | 0x2032 | 0xff07 => b'\'' as u32,
        _ => code,
    }
}

fn four(text: &[u8]) -> Option<u32> {
    let mut code = 0;
    for nth in 0..4 {
        code = code * 16 + hex(text.get(nth))?;
    }
    Some(code)
}

/// After an ampersand: `&#60;`, `&#x3c`, `&lt;`.
fn entity(tail: &[u8]) -> (Option<u32>, usize) {
    if let Some(number) = tail.strip_prefix(b"#") {
        let (radix, digits, skipped) = match number.strip_prefix(b"x") {
            Some(digits) => (16, digits, 2),
            None => (10, number, 1),
        };
        let (mut code, mut used) = (0_u32, 0);
        while let Some(digit) = digits.get(used).and_then(|byte| char::from(*byte).to_digit(radix)).filter(|_| used < 8)
        {
            code = code.saturating_mul(radix).saturating_add(digit);
            used += 1;
        }
        if used == 0 || code > 0x10_ffff {
            return (None, 0);
        }
        let semicolon = usize::from(digits.get(used) == Some(&b';'));
        return (Some(code), skipped + used + semicolon);
    }
    const NAMES: [(&[u8], u8); 20] = [
        (b"lt", b'<'),
        (b"gt", b'>'),
        (b"quot", b'"'),
        (b"apos", b'\''),
        (b"amp", b'&'),
        (b"lpar", b'('),
        (b"rpar", b')'),
        (b"colon", b':'),
        (b"tab", b'\t'),
        (b"newline", b'\n'),
        (b"equals", b'='),
        (b"sol", b'/'),
        (b"bsol", b'\\'),
        (b"grave", b'`'),
        (b"lbrace", b'{'),
        (b"lcub", b'{'),
        (b"period", b'.'),
        (b"semi", b';'),
        (b"nbsp", b' '),
        (b"num", b'#'),
    ];
    let named = NAMES.iter().find(|(name, _)| {
        tail.strip_prefix(*name).is_some_and(|after| after.first() == Some(&b';') || *name == b"lt" || *name == b"gt")
    });
    match named {
        Some((name, letter)) => {
            let semicolon = usize::from(tail.get(name.len()) == Some(&b';'));
            (Some(u32::from(*letter)), name.len() + semicolon)
        }
        None => (None, 0),
    }
}

/// After a backslash: `\x3c`, `\u003c`, `\u{3c}`, `\074`.
fn escape(tail: &[u8]) -> (Option<u32>, usize) {
    match tail.first() {
        Some(b'x') => (tail.get(1..).and_then(pair), 3),
        Some(b'u') => match tail.strip_prefix(b"u{") {
            Some(inner) => {
                let digits = inner.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let code = inner.iter().take(digits).fold(0, |sum, byte| sum * 16 + hex(Some(byte)).unwrap_or(0));
                let closed = digits > 0 && inner.get(digits) == Some(&b'}');
                (Some(code).filter(|_| closed && code < 0x11_0000), digits + 3)
            }
            None => (tail.get(1..).and_then(four).map(slash_like), 5),
        },
        Some(b'0'..=b'1') => {
            let digits: Option<Vec<u32>> =
                (0..3).map(|nth| tail.get(nth).and_then(|byte| char::from(*byte).to_digit(8))).collect();
            (digits.map(|digits| digits.iter().fold(0, |sum, digit| sum * 8 + digit)), 3)
        }
        _ => (None, 0),
    }
}

/// `0x2e`, `0x2f`, `0x5c` written out in a path.
fn zero_x(tail: &[u8]) -> (Option<u32>, usize) {
    let code = tail.strip_prefix(b"x").and_then(pair).filter(|code| matches!(code, 0x2e | 0x2f | 0x5c));
    let alone = !tail.get(3..5).is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit));
    (code.filter(|_| alone), 3)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn nested_and_overlong_forms_become_plain() {
        for (hidden, plain) in [
            ("%3Cscript%3e", "<script>"),
            ("%252e%252e%252f", "../"),
            ("%%32%65%%32%65/", "../"),
            ("%c0%ae%c0%ae%c0%af", "../"),
            ("%e0%80%ae%f0%80%80%af", "./"),
            ("&#x3c;b&#62;&lt;i&gt;", "<b><i>"),
            (r"\x3c\u003c\u{3c}\074", "<<<<"),
            ("100% sure & more", "100% sure & more"),
            ("..%u2216..%u2215", r"..\../"),
        ] {
            assert_eq!(decode(hidden).text, plain, "{hidden}");
        }
    }
}
