//! Signatures: a few bits of a tensor's content that hardly change in a fine-tune or a cast. The
//! stored files that resemble a new one are found by them.
//!
//! A signature is part of the key of an empty object, which names the file. Its first bits are a
//! folder, so that a listing of one folder shows the files whose tensors begin alike.

use std::collections::BTreeSet;

use bitx::distance::{Sketch, weights};
use bitx::layout::Dtype;
use serde::{Deserialize, Serialize};

use super::parts::is_blocks;

/// The number of words that a signature is made of, and of its bits.
pub(super) const WORDS: usize = 64;
/// The maximum number of bytes of these words.
pub(super) const MOST_BYTES: usize = WORDS * 8;
/// The least number of set and of unset bits in a signature that can tell tensors apart.
const LEAST: u32 = 8;
/// The number of bits that are the folder of a signature.
const FOLDER: usize = 16;
/// The maximum number of those bits that are tried the other way round.
const WEAK: usize = 4;
/// The number of signatures of the contents of bytes that are no tensor.
const CONTENTS: usize = 4;
/// The number of leading bits of a hash that are zero at the places which stand for such contents:
/// one place in 1,024.
const SPARSE: u32 = 10;

/// One bit for each of the first words of a tensor: whether it is above zero, or above the median
/// of them all if none is below zero. Of a quantised tensor, the words are the weights.
///
/// A cast keeps these bits, and so does a change of the tensor's name, number of rows or place.
/// Quantising turns few. The bits of other bytes than tensors come from their sketch, since many
/// files begin alike, or from hashes of what they contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Signature {
    bits: u64,
    /// The bits of the folder whose words are closest to the threshold.
    weak: [u64; WEAK],
}

impl Signature {
    /// The signature of a tensor of `dtype` with these bytes, or `None` if it tells nothing.
    pub(crate) fn of_tensor(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
        let (unit, width) = dtype.block();
        let blocks = is_blocks(dtype).then(|| bytes.get(..WORDS.div_ceil(unit as usize) * width as usize)).flatten();
        let words: Vec<i64> = match blocks.and_then(|blocks| weights(dtype, blocks)) {
            Some(weights) => {
                let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
                words(Dtype::F32, &bytes).take(WORDS).collect()
            }
            None => words(dtype, &bytes[..bytes.len().min(MOST_BYTES)]).take(WORDS).collect(),
        };
        Self::of_words(&words, 0)
    }

    /// The signatures of what bytes that are no tensor contain, wherever it is: the least hashes of
    /// 64 bytes at places that the bytes themselves give. Bytes that have much in common are likely
    /// to have one of them in common.
    pub(crate) fn of_contents(bytes: &[u8]) -> impl Iterator<Item = Self> {
        let (mut least, mut rolling) = (BTreeSet::new(), 0u64);
        let mixed: Vec<u64> = (1..=256).map(mix).collect();
        for &byte in bytes {
            // The bytes before the last 64 are shifted out.
            rolling = (rolling << 1).wrapping_add(mixed[usize::from(byte)]);
            if rolling.leading_zeros() >= SPARSE {
                least.insert(mix(rolling));
                if least.len() > CONTENTS {
                    least.pop_last();
                }
            }
        }
        least.into_iter().map(|bits| Self { bits, weak: [0; WEAK] })
    }

    /// The signature of bytes that are no tensor. Only bytes of the same length have a similar one.
    pub(crate) fn of_bytes(sketch: &Sketch) -> Option<Self> {
        let words: Vec<i64> = sketch.bytes().iter().take(WORDS).map(|byte| i64::from(*byte)).collect();
        let repeated: Vec<i64> = words.iter().copied().cycle().take(WORDS).collect();
        Self::of_words(&repeated, mix(sketch.length()))
    }

    fn of_words(words: &[i64], salt: u64) -> Option<Self> {
        if words.len() < WORDS {
            return None;
        }
        let mut sorted = words.to_vec();
        sorted.sort_unstable();
        let threshold = if sorted[0] < 0 { 0 } else { sorted[WORDS / 2] };
        let bit = |at: usize| 1 << (WORDS - 1 - at);
        let bits =
            words.iter().enumerate().filter(|(_, word)| **word > threshold).fold(0u64, |bits, (at, _)| bits | bit(at));
        let mut weak: Vec<usize> = (0..FOLDER).collect();
        weak.sort_by_key(|at| words[*at].abs_diff(threshold));
        let tells = (LEAST..=WORDS as u32 - LEAST).contains(&bits.count_ones());
        let weak = std::array::from_fn(|at| bit(weak[at]));
        tells.then_some(Self { bits: bits ^ salt, weak })
    }

    /// The bits.
    pub(crate) fn bits(&self) -> u64 {
        self.bits
    }

    /// The bits, with one or several of the `weak` least certain ones turned, at most
    /// [`WEAK`]. Nothing for a hash.
    pub(crate) fn turned(&self, weak: usize) -> impl Iterator<Item = u64> {
        let Self { bits, weak: places } = *self;
        let turned = move |which: usize| {
            let chosen = places.iter().enumerate().filter(|(at, _)| which >> at & 1 == 1);
            chosen.fold(0, |all, (_, place)| all | place)
        };
        (1..1usize << weak.min(WEAK)).map(turned).filter(|turned| *turned != 0).map(move |turned| bits ^ turned)
    }

    /// The place of the signature in an order that looks random and depends on its bits alone, its
    /// folder first, so that files of related tensors choose the same ones.
    pub(crate) fn order(&self) -> (u64, u64) {
        (mix(self.bits >> (WORDS - FOLDER)), self.bits)
    }
}

/// A signature in a survey is 24 hex digits: the bits, and the places of the four weak ones, or 40
/// for one that there is not.
impl From<Signature> for String {
    fn from(Signature { bits, weak }: Signature) -> Self {
        weak.iter().fold(format!("{bits:016x}"), |text, bit| format!("{text}{:02x}", bit.leading_zeros()))
    }
}

impl TryFrom<String> for Signature {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let digits = u128::from_str_radix(&text, 16).ok().filter(|_| is_hex && text.len() == 24);
        let digits = digits.ok_or_else(|| format!("not a signature of 24 hex digits: {text:?}"))?;
        let weak = |number: usize| match (digits >> (8 * (WEAK - 1 - number)) & 0xff) as usize {
            place if place < FOLDER => 1 << (WORDS - 1 - place),
            _ => 0,
        };
        Ok(Self { bits: (digits >> (8 * WEAK)) as u64, weak: std::array::from_fn(weak) })
    }
}

/// The words of a tensor as integers, in the order of their values.
fn words(dtype: Dtype, bytes: &[u8]) -> Box<dyn Iterator<Item = i64> + '_> {
    use Dtype::{BF16, C64, F8_E4M3, F8_E5M2, F16, F32, F64, I8, I16, I32, I64, U16, U32, U64};
    let width = match dtype {
        F16 | BF16 | I16 | U16 => 2,
        F32 | C64 | I32 | U32 => 4,
        F64 | I64 | U64 => 8,
        _ => 1,
    };
    let is_float = matches!(dtype, F8_E4M3 | F8_E5M2 | F16 | BF16 | F32 | C64 | F64);
    let is_signed = is_float || matches!(dtype, I8 | I16 | I32 | I64);
    let word = move |word: &[u8]| {
        let mut bytes = [0; 8];
        bytes[8 - word.len()..].copy_from_slice(word);
        let word = i64::from_le_bytes(bytes);
        match (is_float, is_signed) {
            (true, _) if word < 0 => -(word & i64::MAX),
            (_, true) => word,
            // One bit is dropped, so that the order stays.
            (_, false) => (word as u64 >> 1) as i64,
        }
    };
    Box::new(bytes.chunks_exact(width).map(word))
}

/// A number that looks random and depends only on `x`, by the finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(seed: u64) -> Vec<f32> {
        let unit = |i: u64| (mix(seed << 32 | i) >> 40) as f32 / (1 << 24) as f32 - 0.5;
        (0..WORDS as u64).map(|i| unit(2 * i) + unit(2 * i + 1)).collect()
    }

    fn signature(dtype: Dtype, floats: &[f32]) -> Signature {
        let bytes: Vec<u8> = floats
            .iter()
            .flat_map(|float| match dtype {
                Dtype::BF16 => float.to_le_bytes()[2..].to_vec(),
                _ => float.to_le_bytes().to_vec(),
            })
            .collect();
        Signature::of_tensor(dtype, &bytes).unwrap()
    }

    #[test]
    fn casts_keep_signatures_and_tuning_turns_few_bits() {
        for seed in 0..100 {
            let base = floats(seed);
            let tuned: Vec<f32> = base.iter().zip(floats(seed + 1000)).map(|(b, o)| b + 0.02 * o).collect();
            let of_base = signature(Dtype::F32, &base);
            assert_eq!(of_base, signature(Dtype::BF16, &base));
            let distance = |other: &Signature| (of_base.bits() ^ other.bits()).count_ones();
            let of_tuned = signature(Dtype::BF16, &tuned);
            assert!(distance(&of_tuned) <= 4);
            assert!(distance(&signature(Dtype::F32, &floats(seed + 2000))) > 12);
            let folder = |bits: u64| bits >> (WORDS - FOLDER);
            let probed: Vec<u64> = of_tuned.turned(2).chain([of_tuned.bits()]).map(folder).collect();
            assert!(probed.contains(&folder(of_base.bits())), "seed {seed}");
        }
    }

    #[test]
    fn signatures_are_written_and_read() {
        for seed in 0..20 {
            let signature = signature(Dtype::F32, &floats(seed));
            let text = String::from(signature);
            assert_eq!(Signature::try_from(text.clone()), Ok(signature));
            for wrong in [text.to_uppercase() + "0", format!("+{}", &text[1..]), text[1..].to_owned(), "é".repeat(9)] {
                assert!(Signature::try_from(wrong).is_err());
            }
        }
    }

    #[test]
    fn positive_words_are_told_apart_and_uniform_ones_have_no_signature() {
        let norm = |seed| signature(Dtype::F32, &floats(seed).iter().map(|x| 1.0 + x / 9.0).collect::<Vec<_>>());
        assert!((norm(1).bits() ^ norm(2).bits()).count_ones() > 12);
        assert_eq!(Signature::of_tensor(Dtype::F32, &[1; 4 * WORDS]), None);
        assert_eq!(Signature::of_tensor(Dtype::F32, &[1; 4 * WORDS - 1]), None);
    }

    #[test]
    fn quantising_turns_few_bits() {
        for seed in 0..100 {
            let weights = floats(seed);
            // Q8_0 has a scale and 32 numbers in a block.
            let quantised: Vec<u8> = weights
                .chunks(32)
                .flat_map(|block| {
                    let numbers = block.iter().map(|weight| (weight * 127.0).round() as i8 as u8);
                    [0x08, 0x20].into_iter().chain(numbers).collect::<Vec<u8>>()
                })
                .collect();
            let of_blocks = Signature::of_tensor(Dtype::Q8_0, &quantised).unwrap();
            assert!((of_blocks.bits() ^ signature(Dtype::F32, &weights).bits()).count_ones() <= 4);
        }
    }

    #[test]
    fn bytes_with_much_in_common_share_a_signature() {
        let text =
            |words: std::ops::Range<u64>| -> Vec<u8> { words.flat_map(|word| mix(word).to_le_bytes()).collect() };
        let of = |bytes: &[u8]| Signature::of_contents(bytes).map(|one| one.bits()).collect::<Vec<u64>>();
        let (whole, other) = (of(&text(0..20_000)), of(&text(50_000..70_000)));
        let longer = of(&[b"head".to_vec(), text(0..10_000), b"{}".to_vec(), text(10_000..20_100)].concat());
        assert_eq!(whole.len(), CONTENTS);
        assert!(whole.iter().filter(|bits| longer.contains(bits)).count() >= 3, "{whole:?} {longer:?}");
        assert!(!whole.iter().any(|bits| other.contains(bits)));
        assert_eq!((of(&[]), of(&[7; 1 << 20]).len() <= 1), (Vec::new(), true));
    }

    #[test]
    fn words_are_in_the_order_of_their_values() {
        let sorted = |dtype, words: &[&[u8]]| {
            let keys: Vec<i64> = words.iter().flat_map(|word| self::words(dtype, word)).collect();
            assert!(keys.is_sorted() && keys.len() == words.len(), "{dtype:?}: {keys:?}");
        };
        sorted(Dtype::BF16, &[&[0x80, 0xbf], &[0, 0xbf], &[0, 0x80], &[0, 0x3f], &[0x80, 0x3f]]);
        sorted(Dtype::I8, &[&[0x80], &[0xff], &[0], &[0x7f]]);
        sorted(Dtype::U8, &[&[0], &[0x7f], &[0x80], &[0xff]]);
        sorted(Dtype::U64, &[&[0; 8], &[0xff, 0, 0, 0, 0, 0, 0, 0x7f], &[0xff; 8]]);
    }
}
