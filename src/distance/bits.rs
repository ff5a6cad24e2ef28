//! The exact distance of two tensors: counts of differing bits and equal words.

use crate::delta::word::{Word, read};
use crate::error::{Error, Result};
use crate::layout::Dtype;

/// Bytes that are counted at a time, so that the second pass finds them in the first-level cache.
const BLOCK: usize = 4096;

/// The bit distance of two tensors, or of several pairs of tensors: the mean Hamming distance of
/// their words and the share of equal words.
///
/// A word is a weight; a complex number is two words, and dtypes that are packed or have scales are
/// compared byte by byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitDistance {
    words: u64,
    unchanged: u64,
    bits: u64,
}

impl BitDistance {
    /// Adds a stretch of both tensors, `a` and `b`, which start at the same offset and hold whole
    /// words.
    ///
    /// # Errors
    /// `InvalidArgument` if the lengths differ or a stretch ends within a word.
    pub fn update(&mut self, dtype: Dtype, a: &[u8], b: &[u8]) -> Result<()> {
        if a.len() != b.len() {
            return Err(Error::invalid_argument("the stretches differ in length").figures(a.len(), b.len()));
        }
        let (width, _) = dtype.words();
        if !a.len().is_multiple_of(width) {
            let message = format!("a stretch of words of {width} bytes ends within a word");
            return Err(Error::invalid_argument(message).figures("whole words", format_args!("{} bytes", a.len())));
        }
        for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
            self.bits += differing_bits(a, b);
            self.unchanged += match width {
                1 => equal_words::<u8>(a, b),
                2 => equal_words::<u16>(a, b),
                4 => equal_words::<u32>(a, b),
                _ => equal_words::<u64>(a, b),
            };
        }
        self.words += (a.len() / width) as u64;
        Ok(())
    }

    /// Adds the counts of other tensors.
    pub fn merge(&mut self, other: Self) {
        self.words += other.words;
        self.unchanged += other.unchanged;
        self.bits += other.bits;
    }

    /// Returns the number of compared words.
    pub fn words(&self) -> u64 {
        self.words
    }

    /// Returns the mean number of differing bits per word; 0 if no words were compared.
    pub fn per_word(&self) -> f64 {
        self.bits as f64 / self.words.max(1) as f64
    }

    /// Returns the share of equal words, from 0 to 1; 1 if no words were compared.
    pub fn unchanged_share(&self) -> f64 {
        if self.words == 0 { 1.0 } else { self.unchanged as f64 / self.words as f64 }
    }
}

fn differing_bits(a: &[u8], b: &[u8]) -> u64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a.iter().zip(b).map(|(a, b)| u64::from((u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)).count_ones()));
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| u64::from((a ^ b).count_ones()));
    words.sum::<u64>() + rest.sum::<u64>()
}

/// Counts the equal words of at most a [`BLOCK`] of bytes.
fn equal_words<W: Word>(a: &[u8], b: &[u8]) -> u64 {
    let words = a.chunks_exact(W::BYTES).zip(b.chunks_exact(W::BYTES));
    u64::from(words.map(|(a, b)| u16::from(read::<W>(a) == read(b))).sum::<u16>())
}

const _: () = assert!(BLOCK <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_words_are_counted() {
        let mut distance = BitDistance::default();
        assert_eq!((distance.per_word(), distance.unchanged_share()), (0.0, 1.0));
        distance.update(Dtype::BF16, &[0, 0, 1, 2, 3, 4, 0xff, 0xff], &[0, 0, 1, 2, 3, 5, 0, 0]).unwrap();
        assert_eq!((distance.words(), distance.per_word(), distance.unchanged_share()), (4, 17.0 / 4.0, 0.5));
        let mut total = BitDistance::default();
        total.merge(distance);
        total.update(Dtype::F64, &[1; 8], &[1; 8]).unwrap();
        assert_eq!((total.words(), total.per_word(), total.unchanged_share()), (5, 17.0 / 5.0, 0.6));
    }

    #[test]
    fn stretches_add_up_to_the_whole() {
        let a: Vec<u8> = (0..30_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let b: Vec<u8> = a.iter().enumerate().map(|(i, x)| x ^ (i % 7 == 0) as u8).collect();
        for (dtype, width) in [(Dtype::I8, 1), (Dtype::F16, 2), (Dtype::C64, 4), (Dtype::U64, 8)] {
            let mut whole = BitDistance::default();
            whole.update(dtype, &a, &b).unwrap();
            let equal = a.chunks(width).zip(b.chunks(width)).filter(|(a, b)| a == b).count() as u64;
            assert_eq!((whole.words, whole.unchanged), (30_000 / width as u64, equal));
            assert_eq!(whole.bits, 30_000u64.div_ceil(7));
            let mut stretched = BitDistance::default();
            let stretches = a.chunks(width * 999).zip(b.chunks(width * 999));
            stretches.for_each(|(a, b)| stretched.update(dtype, a, b).unwrap());
            assert_eq!(stretched, whole);
        }
    }

    #[test]
    fn other_lengths_and_cut_words_are_refused() {
        let mut distance = BitDistance::default();
        distance.update(Dtype::U8, &[1, 2], &[1]).unwrap_err();
        distance.update(Dtype::BF16, &[1, 2, 3], &[1, 2, 3]).unwrap_err();
        assert_eq!(distance, BitDistance::default());
    }
}
