//! Addresses and keys of crypto currencies.

use sha2::{Digest as _, Sha256};

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Longest text decoded: an extended private key has 111 letters.
const LONGEST: usize = 120;

/// The match ends in base 58 whose last four bytes are the beginning of the double SHA-256 of the rest.
pub(super) fn base58check(text: &[u8]) -> bool {
    let begins = text.iter().rposition(|byte| !BASE58.contains(byte)).map_or(0, |at| at + 1);
    let own = text.get(begins..).unwrap_or_default();
    if !(25..=LONGEST).contains(&own.len()) {
        return false;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(own.len());
    for letter in own {
        let Some(mut carry) = BASE58.iter().position(|known| known == letter) else { return false };
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.insert(0, (carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    let zeros = own.iter().take_while(|letter| **letter == b'1').count();
    bytes.splice(0..0, std::iter::repeat_n(0, zeros));
    let Some((body, sum)) = bytes.len().checked_sub(4).and_then(|at| bytes.split_at_checked(at)) else { return false };
    Sha256::digest(Sha256::digest(body)).starts_with(sum)
}

/// The match ends in an address whose checksum is that of Bech32 (BIP 173) or Bech32m (BIP 350).
pub(super) fn bech32(text: &[u8]) -> bool {
    let begins = text.iter().rposition(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').map_or(0, |at| at + 1);
    let own = text.get(begins..).unwrap_or_default().to_ascii_lowercase();
    let Some(split) = own.iter().rposition(|byte| *byte == b'1') else { return false };
    let (Some(human), Some(data)) = (own.get(..split), own.get(split + 1..)) else { return false };
    if human.is_empty() || data.len() < 6 || own.len() > LONGEST {
        return false;
    }
    let mut sum = 1_u32;
    let mut add = |value: u32| {
        const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let top = sum >> 25;
        sum = (sum & 0x01ff_ffff) << 5 ^ value;
        for (bit, generator) in GENERATORS.iter().enumerate() {
            if top >> bit & 1 == 1 {
                sum ^= generator;
            }
        }
    };
    human.iter().for_each(|byte| add(u32::from(byte >> 5)));
    add(0);
    human.iter().for_each(|byte| add(u32::from(byte & 31)));
    for letter in data {
        let Some(value) = BECH32.iter().position(|known| known == letter) else { return false };
        add(value as u32);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}
