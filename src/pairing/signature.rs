//! Signatures: a few bits of a tensor that hardly change when it is fine-tuned or cast.

use crate::layout::Dtype;
use crate::layout::dtype::Fields;
use crate::quant::{dequantise, format_of};
use crate::steps;

/// Maximum number of words of a signature.
pub(crate) const WORDS: usize = 256;

/// Minimum number of words that can tell tensors apart.
const LEAST: u32 = 64;

/// Share of differing bits up to which two tensors are taken to be related. Of unrelated tensors,
/// half of the bits differ: with 64 words, one pair in 3,000 is below this share by chance, and
/// with 256 words one in 10^10.
const RELATED: f32 = 0.28;

/// Share of differing bits from which on two tensors are taken to be unrelated.
const UNRELATED: f32 = 0.38;

/// One bit for each of the first words of a range: whether it is above the median of them all.
///
/// Fine-tuning moves few words across the median, and a cast keeps the order of words. So do other
/// formats of the same numbers, and a tensor's place or name does not matter at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    bits: [u64; WORDS / 64],
    count: u32,
    /// Number of bits that are set.
    ones: u32,
}

/// The comparison of two signatures.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Likeness {
    /// The words have this share of differing bits.
    Share(f32),
    /// The words are too few or too uniform to tell.
    Unknown,
}

impl Likeness {
    /// Returns true if the tensors are almost certainly related.
    pub(crate) fn is_related(self) -> bool {
        self.related_share().is_some()
    }

    /// The share of differing bits of tensors that are almost certainly related.
    pub(crate) fn related_share(self) -> Option<f32> {
        match self {
            Self::Share(share) if share <= RELATED => Some(share),
            _ => None,
        }
    }

    /// Returns true if the words can tell, and do not say that the tensors are related.
    pub(crate) fn is_unlike(self) -> bool {
        self != Self::Unknown && !self.is_related()
    }

    /// Returns true if the tensors are almost certainly unrelated.
    pub(crate) fn is_unrelated(self) -> bool {
        matches!(self, Self::Share(share) if share >= UNRELATED)
    }
}

impl Signature {
    /// Creates the signature of the first [`WORDS`] words of `bytes`, or of as many weights.
    pub(crate) fn of(dtype: Dtype, bytes: &[u8]) -> Self {
        let mut keys = keys(dtype, bytes);
        keys.truncate(WORDS);
        Self::of_keys(keys)
    }

    fn of_keys(keys: Vec<u64>) -> Self {
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        let median = sorted.get(keys.len() / 2).copied().unwrap_or(0);
        let mut signature = Self { count: keys.len() as u32, ..Self::default() };
        for (i, _) in keys.iter().enumerate().filter(|&(_, &key)| key > median) {
            signature.bits[i / 64] |= 1 << (i % 64);
            signature.ones += 1;
        }
        signature
    }

    /// Returns true if the words differ enough to tell tensors apart.
    fn tells(&self) -> bool {
        self.count >= LEAST && self.ones >= self.count / 16
    }

    /// Compares the words that both signatures have.
    pub(crate) fn likeness(&self, other: &Self) -> Likeness {
        let count = self.count.min(other.count);
        if count < LEAST || !self.tells() || !other.tells() {
            return Likeness::Unknown;
        }
        let words = self.bits.iter().zip(&other.bits).enumerate();
        let differing = |(i, (a, b)): (usize, (&u64, &u64))| {
            let kept = (count as usize).saturating_sub(i * 64).min(64);
            let mask = if kept == 64 { u64::MAX } else { (1 << kept) - 1 };
            ((a ^ b) & mask).count_ones()
        };
        Likeness::Share(words.map(differing).sum::<u32>() as f32 / count as f32)
    }
}

/// Returns 64 bits of a row, one for each of 64 words that are spread over it.
///
/// # Panics
/// Panics if the row has no words.
pub(crate) fn of_row(dtype: Dtype, row: &[u8]) -> u64 {
    let spread = |count: usize| (0..64).map(move |i| i * count / 64);
    let keys: Vec<u64> = if format_of(dtype).is_some() {
        let keys = keys(dtype, row);
        spread(keys.len()).map(|i| keys[i]).collect()
    } else {
        let width = dtype.words().0;
        spread(row.len() / width).map(|i| key(dtype, &row[i * width..][..width])).collect()
    };
    Signature::of_keys(keys).bits[0]
}

/// Returns 64 bits for each column of 64 rows of words.
pub(crate) fn of_columns(dtype: Dtype, rows: &[u8], columns: usize) -> Vec<u64> {
    let width = dtype.words().0;
    let bits = |column: usize| {
        steps::add(1);
        let words = rows.chunks_exact(columns * width).map(|row| key(dtype, &row[column * width..][..width]));
        Signature::of_keys(words.collect()).bits[0]
    };
    (0..columns).map(bits).collect()
}

/// Returns a number for each word or weight, in the order of their values.
fn keys(dtype: Dtype, bytes: &[u8]) -> Vec<u64> {
    let Some(format) = format_of(dtype) else {
        return bytes.chunks_exact(dtype.words().0).map(|word| key(dtype, word)).collect();
    };
    dequantise(format, bytes).iter().map(|weight| key(Dtype::F32, &weight.to_le_bytes())).collect()
}

/// Returns a number that has the order of the values of the words.
fn key(dtype: Dtype, word: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..word.len()].copy_from_slice(word);
    let (word, high) = (u64::from_le_bytes(bytes), 1 << (word.len() * 8 - 1));
    match dtype.words().1 {
        Fields::Float { .. } if word & high != 0 => high - 1 - (word & (high - 1)),
        Fields::Float { .. } => word | high,
        Fields::Integer if dtype.is_signed() => word ^ high,
        Fields::Integer => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        };
        (0..300).map(|_| next() + next() + next()).collect()
    }

    fn bytes(floats: &[f32]) -> Vec<u8> {
        floats.iter().flat_map(|float| float.to_le_bytes()).collect()
    }

    fn halves(floats: &[f32]) -> Vec<u8> {
        floats.iter().flat_map(|float| float.to_le_bytes()[2..].to_vec()).collect()
    }

    #[test]
    fn tuned_and_cast_tensors_are_related_and_others_are_not() {
        let (base, other) = (floats(1), floats(2));
        let tuned: Vec<f32> = base.iter().zip(&other).map(|(b, o)| b + o * 0.02).collect();
        let signature = Signature::of(Dtype::F32, &bytes(&base));
        let tuned = Signature::of(Dtype::BF16, &halves(&tuned));
        let other = Signature::of(Dtype::F32, &bytes(&other));
        assert!(signature.likeness(&tuned).is_related());
        assert!(signature.likeness(&other).is_unrelated());
    }

    #[test]
    fn positive_vectors_are_told_apart() {
        let norm = |seed| bytes(&floats(seed).iter().map(|x| 1.0 + x / 100.0).collect::<Vec<_>>());
        let [a, b] = [1, 2].map(|seed| Signature::of(Dtype::F32, &norm(seed)));
        assert!(a.likeness(&a).is_related() && a.likeness(&b).is_unrelated());
    }

    #[test]
    fn few_or_uniform_words_tell_nothing() {
        let few = Signature::of(Dtype::F32, &bytes(&floats(1)[..63]));
        let uniform = Signature::of(Dtype::F32, &bytes(&[1.0; 300]));
        assert_eq!((few.likeness(&few), uniform.likeness(&uniform)), (Likeness::Unknown, Likeness::Unknown));
    }
}
