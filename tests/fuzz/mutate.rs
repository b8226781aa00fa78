//! Inputs made of others: bytes changed, pieces moved, doubled and joined, telling words put in.

/// Xorshift64*: the same seed, the same inputs.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `many`, 0 if that is 0.
    pub(crate) fn below(&mut self, many: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0).checked_rem(many).unwrap_or(0)
    }
}

/// What readers decide by.
const TELLING: &[&[u8]] = &[
    b"ignore all previous instructions",
    b" system prompt",
    b"\n---\n",
    b"%3C",
    b"&#x41;",
    b"\\u0061",
    b"\\x41",
    b"0x41",
    b"aWdub3Jl",
    b"=",
    b"==",
    b"\xe2\x80\x8b",
    b"\xf3\xa0\x80\x81",
    b"\xe2\x80\xae",
    b"\xd0\xb0",
    b"\xef\xbc\xa1",
    b"\xcc\x81",
    b"\xff",
    b"\xed\xa0\x80",
    b"\0",
    b"\r\n",
    b"  ",
    b"<|im_start|>",
    b"' OR 1=1 --",
    b"<script>",
    b"{{7*7}}",
    b"../../",
    b"; cat /etc/passwd",
    b".-.. ",
    b"01000001 ",
    b"\xe2\xa0\x81",
    b"-----BEGIN RSA PRIVATE KEY-----",
    b"4111 1111 1111 1111",
    b"AKIAQ7W2E5R4T6Y2U3I5",
    b"(?:",
    b"){0,9}",
    b"[a-z]",
    b"\\b",
    b"%name%",
    b"kind: defines\n",
    b"  sel_a: 'x'\n",
    b"  not_a: 'x'\n",
    b"  condition: sel_a and not not_a\n",
    b"\xf0\x9f\x98\x80",
    b"\xe5\xbf\xbd\xe7\x95\xa5",
];

/// An input made of one or two of `from`, of at most `longest` bytes.
pub(crate) fn changed(from: &[Vec<u8>], random: &mut Random, longest: usize) -> Vec<u8> {
    let pick = |random: &mut Random| from.get(random.below(from.len())).cloned().unwrap_or_default();
    let mut out = pick(random);
    for _ in 0..=random.below(6) {
        let at = random.below(out.len() + 1);
        let end = at + random.below((out.len() - at).min(64) + 1);
        match random.below(9) {
            0 => {
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => drop(out.drain(at..end)),
            2 => out.insert(at, u8::try_from(random.below(256)).unwrap_or(0)),
            3 | 4 => {
                let word = TELLING.get(random.below(TELLING.len())).copied().unwrap_or_default();
                out.splice(at..end.min(at + random.below(4)), word.iter().copied());
            }
            5 => {
                // A piece again and again: what is quadratic shows.
                let piece = out.get(at..end).unwrap_or_default().repeat(1 + random.below(40));
                out.splice(at..at, piece);
            }
            6 => {
                let other = pick(random);
                let start = random.below(other.len());
                out.splice(at..end, other.get(start..).unwrap_or_default().iter().copied());
            }
            7 => {
                let piece: Vec<u8> = out.drain(at..end).collect();
                let to = random.below(out.len() + 1);
                out.splice(to..to, piece);
            }
            _ => out.get_mut(at..end).unwrap_or_default().reverse(),
        }
        out.truncate(longest);
    }
    out
}
