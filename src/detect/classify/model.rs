//! The model file: what training leaves and the gateway reads.
//!
//! | part | bytes |
//! |---|---|
//! | magic | `portcullis-classifier-4\n` |
//! | length of the header | 4, little endian |
//! | header | JSON, [`Header`] |
//! | weights | 2 for every feature number: of the whole text, of a window; signed, to be multiplied by the scales |
//! | kinds | for the first bits of every feature number, one for each kind of attack, in the same way |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::features::BITS;
use crate::types::{Family, hex};

const MAGIC: &[u8] = b"portcullis-classifier-4\n";

/// Longest header read.
const MOST_HEADER: usize = 16 << 20;

/// One of the two views of a text: as a whole, or window by window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// What a weight of 1 stands for.
    pub scale: f32,
    /// Added to every score.
    pub bias: f32,
}

/// Scores at which something happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// Few ordinary prompts reach it.
    pub flag: f32,
    /// Hardly any ordinary prompt reaches it.
    pub block: f32,
}

/// How both views make one score, given how long a text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blend {
    /// What each of [`Views::factors`] counts for.
    pub factors: [f32; FACTORS],
    /// Added to every score.
    pub bias: f32,
    /// Marks of the score of both views.
    pub both: Marks,
    /// Marks of the window alone: however long and harmless the text around it is.
    pub alone: Marks,
}

/// What the views say of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Views {
    /// The score as a whole.
    pub whole: f32,
    /// The score of the window that scores most.
    pub window: f32,
    /// How many features there are.
    pub count: u32,
}

/// Numbers that make a score.
pub const FACTORS: usize = 7;

/// Numbers of features from which on length counts differently: about a sentence, three, eight, ten.
const LENGTHS: [f32; 4] = [200.0, 500.0, 1_000.0, 1_500.0];

/// A text of more features counts as one of so many.
const LONGEST: u32 = 20_000;

impl Views {
    /// The numbers that make a score. A long text has many windows, of which one scores high by chance, but where both views
    /// agree that means more than in a short one.
    pub fn factors(&self) -> [f32; FACTORS] {
        let count = self.count.clamp(1, LONGEST) as f32;
        let [short, middle, far, long] = LENGTHS.map(|length| (count / length).ln());
        let far = far.max(0.0);
        [self.whole, self.window, self.whole * far, self.window * far, short, middle.max(0.0), long.max(0.0)]
    }
}

impl Blend {
    /// One score of both views.
    pub fn score(&self, views: &Views) -> f32 {
        self.factors.iter().zip(views.factors()).map(|(weight, factor)| weight * factor).sum::<f32>() + self.bias
    }
}

/// Bits of a feature's number by which kinds of attacks are told apart.
pub const KIND_BITS: u32 = 16;

/// Most kinds.
const MOST_KINDS: usize = 16;

/// A kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// What findings of it are.
    pub family: Family,
    /// What a weight of 1 stands for.
    pub scale: f32,
    /// Added to every score.
    pub bias: f32,
}

/// Everything but the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Bits of a feature's number.
    pub bits: u32,
    /// The whole text.
    pub whole: Head,
    /// The window that scores most.
    pub window: Head,
    /// Both together.
    pub blend: Blend,
    /// The lexicon it was trained with.
    pub lexicon: String,
    /// Words common enough to be looked up whole, one after another with a space between.
    pub vocabulary: String,
    /// The kinds of attacks told apart.
    pub kinds: Vec<Kind>,
    /// What it was trained on: rows by source, for the record.
    pub sources: BTreeMap<String, u32>,
}

/// A model as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Everything but the weights.
    pub header: Header,
    /// For every feature number the weight for the whole text and that for a window.
    pub weights: Vec<[i8; 2]>,
    /// For the first bits of every feature number the weight of each kind.
    pub kinds: Vec<i8>,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("not a classifier of this version")?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or("the file is cut short")?;
        let len = u32::from_le_bytes(*len) as usize;
        if len > MOST_HEADER {
            return Err("the header is too long".into());
        }
        let (header, weights) = rest.split_at_checked(len).ok_or("the file is cut short")?;
        let header: Header = serde_json::from_slice(header).map_err(|error| format!("header: {error}"))?;
        if header.bits != BITS {
            return Err(format!("made for {} bits of features, not {BITS}", header.bits));
        }
        let numbers = [header.whole, header.window].map(|head| [head.scale, head.bias]);
        let Blend { factors, bias, both, alone } = header.blend;
        let of_kinds = header.kinds.iter().flat_map(|kind| [kind.scale, kind.bias]);
        let numbers = numbers.as_flattened().iter().copied().chain(factors);
        let marks = [bias, both.flag, both.block, alone.flag, alone.block];
        if !numbers.chain(marks).chain(of_kinds).all(f32::is_finite) {
            return Err("a number of the header is not finite".into());
        }
        if header.kinds.len() > MOST_KINDS {
            return Err(format!("{} kinds, at most {MOST_KINDS} are read", header.kinds.len()));
        }
        let expected = (2 << BITS) + (header.kinds.len() << KIND_BITS);
        if weights.len() != expected {
            return Err(format!("{} bytes of weights, {expected} expected", weights.len()));
        }
        let (weights, kinds) = weights.split_at_checked(2 << BITS).unwrap_or_default();
        let (pairs, _) = weights.as_chunks::<2>();
        let signed = |byte: &u8| byte.cast_signed();
        let weights = pairs.iter().map(|pair| pair.map(u8::cast_signed)).collect();
        Ok(Self { header, weights, kinds: kinds.iter().map(signed).collect() })
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// The header cannot be written as JSON.
    pub fn write(&self) -> Result<Vec<u8>, String> {
        let header = serde_json::to_vec(&self.header).map_err(|error| error.to_string())?;
        let len = u32::try_from(header.len()).map_err(|error| error.to_string())?;
        let weights = self.weights.as_flattened().iter().chain(&self.kinds).map(|weight| weight.cast_unsigned());
        Ok(MAGIC.iter().copied().chain(len.to_le_bytes()).chain(header).chain(weights).collect())
    }

    /// What stands for the file in verdicts.
    pub fn digest(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let head = Head { scale: 0.1, bias: -1.0 };
        let marks = Marks { flag: 1.0, block: 2.0 };
        let blend = Blend { factors: [0.5; FACTORS], bias: 0.0, both: marks, alone: marks };
        let kinds = vec![Kind { family: Family::Jailbreak, scale: 0.5, bias: 0.0 }];
        let header = Header { bits: BITS, whole: head, window: head, blend, kinds, ..Header::default() };
        let mut weights = vec![[0, 0]; 1 << BITS];
        weights[7] = [-3, 127];
        let mut kinds = vec![0; 1 << KIND_BITS];
        kinds[9] = -1;
        Model { header, weights, kinds }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Model::read(&model().write().unwrap()).unwrap(), model());
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let file = model().write().unwrap();
        for cut in [0, 10, MAGIC.len() + 2, MAGIC.len() + 10, file.len() - 1] {
            assert!(Model::read(&file[..cut]).is_err(), "{cut}");
        }
        assert!(Model::read(&[&file[..], b"x"].concat()).is_err());
        let other = Model { header: Header { bits: 3, ..model().header }, ..model() };
        assert!(Model::read(&other.write().unwrap()).is_err());
        let mut endless = MAGIC.to_vec();
        endless.extend(u32::MAX.to_le_bytes());
        let none = Model { header: Header { kinds: Vec::new(), ..model().header }, ..model() };
        assert!(Model::read(&none.write().unwrap()).is_err());
        assert!(Model::read(&endless).is_err());
    }
}
