//! Checks on matched text that a pattern cannot express. A rule's `validate` names one of these, or a list of them.
//!
//! | name | passes when |
//! |---|---|
//! | `luhn` | the digits of the match pass the Luhn check (ISO/IEC 7812-1 annex B) and are not all alike |
//! | `iban` | letters and digits of the match pass ISO 7064 mod 97-10 |
//! | `entropy(x)` | the match's longest run of key characters has at least `x` bits per character (Shannon) |
//! | `ssn` | the nine digits are an area, group and serial the US administration issues |
//! | `ipv4` | four decimal numbers, each at most 255 |
//! | `public_ipv4` | that, and not private, loopback, link-local, documentation or reserved |
//! | `not_placeholder` | the match holds no word that marks an example, and no run of six equal characters |
//! | `mixed` | the match has a letter and a digit |
//! | `nhs` | the ten digits pass the mod 11 check of NHS numbers |
//! | `aba` | the nine digits pass the checksum of US bank routing numbers |

/// One check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validator {
    /// Luhn's checksum.
    Luhn,
    /// ISO 7064 mod 97-10, as in an IBAN.
    Iban,
    /// At least so many bits per character.
    Entropy(f32),
    /// A US social security number that can exist.
    Ssn,
    /// An IPv4 address.
    Ipv4,
    /// An IPv4 address of the public Internet.
    PublicIpv4,
    /// Nothing that marks an example.
    NotPlaceholder,
    /// A letter and a digit.
    Mixed,
    /// A UK NHS number.
    Nhs,
    /// A US bank routing number.
    Aba,
}

/// Words that mark a secret as an example. Compared in lower case.
const PLACEHOLDERS: [&str; 22] = [
    "example",
    "placeholder",
    "your_",
    "your-",
    "yourkey",
    "yourtoken",
    "changeme",
    "change_me",
    "change-me",
    "redacted",
    "insert",
    "dummy",
    "sample",
    "notreal",
    "not_real",
    "fake",
    "foobar",
    "xxxx",
    "****",
    "....",
    "1234567890abcdef",
    "abcdefghijklmnop",
];

impl Validator {
    /// Reads a check's name, with its parameter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(bits) = text.strip_prefix("entropy(").and_then(|rest| rest.strip_suffix(')')) {
            return match bits.trim().parse::<f32>() {
                Ok(bits) if (0.0..=8.0).contains(&bits) => Ok(Self::Entropy(bits)),
                Ok(_) | Err(_) => Err(format!("entropy takes bits per character from 0 to 8, not `{bits}`")),
            };
        }
        Ok(match text {
            "luhn" => Self::Luhn,
            "iban" => Self::Iban,
            "ssn" => Self::Ssn,
            "ipv4" => Self::Ipv4,
            "public_ipv4" => Self::PublicIpv4,
            "not_placeholder" => Self::NotPlaceholder,
            "mixed" => Self::Mixed,
            "nhs" => Self::Nhs,
            "aba" => Self::Aba,
            _ => {
                return Err(format!(
                    "unknown check `{text}`; known are luhn, iban, entropy(x), ssn, ipv4, public_ipv4, \
                     not_placeholder, mixed, nhs, aba"
                ));
            }
        })
    }

    /// Whether `matched` passes.
    pub fn passes(self, matched: &[u8]) -> bool {
        match self {
            Self::Luhn => luhn(matched),
            Self::Iban => iban(matched),
            Self::Entropy(least) => entropy(matched) >= least,
            Self::Ssn => ssn(matched),
            Self::Ipv4 => ipv4(matched).is_some(),
            Self::PublicIpv4 => ipv4(matched).is_some_and(is_public),
            Self::NotPlaceholder => !is_placeholder(matched),
            Self::Mixed => matched.iter().any(u8::is_ascii_digit) && matched.iter().any(u8::is_ascii_alphabetic),
            Self::Nhs => nhs(matched),
            Self::Aba => aba(matched),
        }
    }

    /// Whether it is a checksum: then every end a match can have is tried, the longest first. Any other check judges
    /// the longest match alone, as a shorter one would slip past it.
    pub(super) const fn is_checksum(self) -> bool {
        match self {
            Self::Luhn | Self::Iban | Self::Nhs | Self::Aba => true,
            Self::Entropy(_) | Self::Ssn | Self::Ipv4 | Self::PublicIpv4 | Self::NotPlaceholder | Self::Mixed => false,
        }
    }
}

fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
}

fn luhn(text: &[u8]) -> bool {
    let mut all = digits(text);
    let Some(first) = all.next() else { return false };
    if all.all(|digit| digit == first) {
        return false;
    }
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit) {
            (0, _) => digit,
            (_, 0..=4) => digit * 2,
            _ => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn iban(text: &[u8]) -> bool {
    let compact: Vec<u8> =
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_uppercase).collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let (head, tail) = compact.split_at_checked(4).unwrap_or((&[], &compact));
    let rest = tail.iter().chain(head).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    rest == 1
}

/// Bits per character of the longest run of characters that keys are written with.
fn entropy(text: &[u8]) -> f32 {
    let in_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-');
    let longest = text.split(|byte| !in_key(byte)).max_by_key(|run| run.len()).unwrap_or_default();
    if longest.is_empty() {
        return 0.0;
    }
    let mut counts = [0_u16; 256];
    for byte in longest {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let length = longest.len() as f32;
    counts.iter().filter(|count| **count > 0).fold(0.0, |bits, count| {
        let share = f32::from(*count) / length;
        bits - share * share.log2()
    })
}

fn ssn(text: &[u8]) -> bool {
    if digits(text).count() != 9 {
        return false;
    }
    let number = digits(text).fold(0_u32, |number, digit| number * 10 + digit);
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    // Printed in wallets and advertisements, so void: 078-05-1120, 219-09-9999, and the counting 123-45-6789.
    issued && !matches!(number, 78_051_120 | 219_099_999 | 123_456_789)
}

fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let text = std::str::from_utf8(text).ok()?;
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let (_, from) = text.split_at_checked(start)?;
    let end = from.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(from.len());
    let (address, _) = from.split_at_checked(end)?;
    address.parse::<std::net::Ipv4Addr>().ok().map(|address| address.octets())
}

fn is_public(address: [u8; 4]) -> bool {
    !matches!(
        address,
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

fn is_placeholder(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let marked = PLACEHOLDERS.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some());
    marked || lower.windows(6).any(|run| run.iter().all(|byte| Some(byte) == run.first()))
}

fn nhs(text: &[u8]) -> bool {
    if digits(text).count() != 10 {
        return false;
    }
    let sum: u32 = digits(text).take(9).zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    let check = (11 - sum % 11) % 11;
    check != 10 && digits(text).next_back() == Some(check)
}

fn aba(text: &[u8]) -> bool {
    if digits(text).count() != 9 {
        return false;
    }
    let sum: u32 = digits(text).zip([3, 7, 1].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    sum != 0 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(check: &str, text: &str) -> bool {
        Validator::parse(check).unwrap().passes(text.as_bytes())
    }

    #[test]
    fn checksums_tell_real_numbers_from_others() {
        assert!(passes("luhn", "4111 1111 1111 1111"));
        assert!(!passes("luhn", "4111 1111 1111 1112"));
        assert!(!passes("luhn", "0000 0000 0000 0000"));
        assert!(passes("iban", "GB82 WEST 1234 5698 7654 32"));
        assert!(!passes("iban", "GB82 WEST 1234 5698 7654 33"));
        assert!(passes("nhs", "943 476 5919"));
        assert!(!passes("nhs", "943 476 5918"));
        assert!(passes("aba", "021000021"));
        assert!(!passes("aba", "021000022"));
    }

    #[test]
    fn void_social_security_numbers_do_not_pass() {
        assert!(passes("ssn", "536-22-1234"));
        for void in ["000-22-1234", "666-22-1234", "900-22-1234", "536-00-1234", "536-22-0000", "078-05-1120"] {
            assert!(!passes("ssn", void), "{void}");
        }
    }

    #[test]
    fn entropy_is_measured_on_the_longest_run() {
        assert!(passes("entropy(3.5)", "key = 'q8Zt1LmX0vBn4RsPw7Kd'"));
        assert!(!passes("entropy(3.5)", "key = 'aaaaaaaabbbbbbbb'"));
        assert!(Validator::parse("entropy(9)").is_err());
        assert!(Validator::parse("lunh").is_err());
    }

    #[test]
    fn examples_are_told_from_secrets() {
        assert!(!passes("not_placeholder", "AKIAIOSFODNN7EXAMPLE"));
        assert!(!passes("not_placeholder", "sk-xxxxxxxxxxxxxxxxxxxx"));
        assert!(passes("not_placeholder", "AKIAQ3EGRT5ZXW2LMN7P"));
        assert!(passes("public_ipv4", "8.8.8.8"));
        assert!(!passes("public_ipv4", "192.168.1.1"));
        assert!(!passes("ipv4", "300.1.1.1"));
    }
}
