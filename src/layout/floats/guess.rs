//! Guesses the dtype of elements of which only the bytes are known.
//!
//! In weights, the last byte of a float holds the sign and the exponent, and has few values; the
//! bytes before it hold the mantissa, and have all values alike. Text, compressed data, quants and
//! small integers do not look so. A wrong guess costs bytes of an archive, and nothing else.

use crate::layout::Dtype;
use crate::steps;

/// Minimum length in bytes of a sample.
pub(super) const LEAST: usize = 256;

/// The probability, in 65,536ths, that two bytes are equal. Bytes that have all values alike have
/// 256. The signs and exponents of weights have far more in formats with 8 bits of exponent or
/// more; in `F16`, two bits of mantissa are with them.
const UNIFORM: u64 = 600;
const EXPONENT: u64 = 3000;
const EXPONENT_OF_F16: u64 = 900;
const CONSTANT: u64 = 65_536;

/// The probability up to which bytes are alike that have all multiples of 8 as values: the lower
/// bytes of `F16` that was cast from `BF16`.
const UNIFORM_EIGHTHS: u64 = 8 * UNIFORM;

/// The part of these bytes, in 16ths, that are multiples of 8. Others are of tiny numbers.
const EIGHTHS: usize = 15;

/// The dtype that `sample`, the first bytes of a tensor, seems to have.
pub(crate) fn dtype(sample: &[u8]) -> Option<Dtype> {
    (sample.len() >= LEAST).then(|| Lanes::of(sample).dtype(0)).flatten()
}

/// The dtype of the words in `sample`, of at least [`LEAST`] bytes, and the offset in it, less than
/// a word, at which the first whole one begins.
pub(super) fn dtype_and_phase(sample: &[u8]) -> Option<(Dtype, usize)> {
    let lanes = Lanes::of(sample);
    // Words of two bytes look the same at every other phase.
    (0..8).find_map(|phase| {
        let dtype = lanes.dtype(phase)?;
        (phase < dtype.words().0).then_some((dtype, phase))
    })
}

/// The probabilities, in 65,536ths, that the byte at the same place is the same in two words: in
/// words of eight bytes, and of four.
struct Lanes {
    eight: [u64; 8],
    four: [u64; 4],
    /// Most bytes at the even places are multiples of 8, and most at the odd ones.
    eighths: [bool; 2],
}

impl Lanes {
    fn of(sample: &[u8]) -> Self {
        let mut counts = [[0u32; 256]; 8];
        steps::add(sample.len() + counts.as_flattened().len());
        for word in sample.as_chunks::<8>().0 {
            counts.iter_mut().zip(word).for_each(|(counts, &byte)| counts[usize::from(byte)] += 1);
        }
        let words = sample.len() / 8;
        let alike = |pairs: u64, words: usize| CONSTANT * pairs / (words * (words - 1)) as u64;
        let eight = counts.each_ref().map(|counts| alike(counts.iter().map(|&n| pairs(n)).sum(), words));
        let four = std::array::from_fn(|byte| {
            let both = counts[byte].iter().zip(&counts[byte + 4]);
            alike(both.map(|(&one, &other)| pairs(one + other)).sum(), 2 * words)
        });
        let eighths = [0, 1].map(|first| {
            let lanes = counts.iter().skip(first).step_by(2);
            let multiples: u32 = lanes.flat_map(|counts| counts.iter().step_by(8)).sum();
            multiples as usize * 16 >= words * 4 * EIGHTHS
        });
        Self { eight, four, eighths }
    }

    /// The dtype of words that begin at the offset `phase` of the sample.
    fn dtype(&self, phase: usize) -> Option<Dtype> {
        let eight = |byte: usize| self.eight[(phase + byte) % 8];
        let four = |byte: usize| self.four[(phase + byte) % 4];
        let is_uniform = |lane: u64| lane <= UNIFORM;
        // What was cast from F32, F16 or BF16 has zeros behind the mantissa.
        let is_cast = [0, 1, 2].iter().all(|&byte| eight(byte) == CONSTANT);
        if eight(7) >= EXPONENT && is_uniform(eight(4)) && is_uniform(eight(5)) && (eight(3) < EXPONENT || is_cast) {
            return Some(Dtype::F64);
        }
        let is_cast = four(0) == CONSTANT && is_uniform(four(2));
        if four(3) >= EXPONENT && (is_uniform(four(1)) || is_cast) {
            return Some(Dtype::F32);
        }
        let lower = four(0).max(four(2));
        match four(1).min(four(3)) {
            EXPONENT_OF_F16.. if self.eighths[phase % 2] && (UNIFORM..=UNIFORM_EIGHTHS).contains(&lower) => {
                Some(Dtype::F16)
            }
            _ if !is_uniform(lower) => None,
            EXPONENT.. => Some(Dtype::BF16),
            EXPONENT_OF_F16.. => Some(Dtype::F16),
            _ => None,
        }
    }
}

/// The number of ordered pairs of `count` bytes.
fn pairs(count: u32) -> u64 {
    u64::from(count) * u64::from(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a bell curve whose width differs from row to row.
    fn weights(count: usize) -> Vec<f64> {
        let mut state = 1u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
        };
        let row = |i: usize| 0.02 * (1.0 + (i / 64 % 7) as f64 * 0.2);
        (0..count).map(|i| row(i) * (0..12).map(|_| uniform()).sum::<f64>()).collect()
    }

    fn f16(value: f64) -> u16 {
        let bits = value.to_bits();
        let exponent = ((bits >> 52 & 0x7FF) as i64 - 1023 + 15).max(0) as u64;
        (bits >> 48 & 0x8000 | exponent << 10 | bits >> 42 & 0x3FF) as u16
    }

    #[test]
    fn weights_are_recognised() {
        for count in [128, 500, 2000] {
            let weights = weights(count);
            let bytes =
                |of: &dyn Fn(f64) -> Vec<u8>| weights.iter().flat_map(|&weight| of(weight)).collect::<Vec<u8>>();
            let high = |weight: f64| (weight as f32).to_bits() >> 16;
            assert_eq!(dtype(&bytes(&|w| w.to_le_bytes().to_vec())), Some(Dtype::F64));
            assert_eq!(dtype(&bytes(&|w| f64::from(w as f32).to_le_bytes().to_vec())), Some(Dtype::F64));
            assert_eq!(dtype(&bytes(&|w| (w as f32).to_le_bytes().to_vec())), Some(Dtype::F32));
            assert_eq!(dtype(&bytes(&|w| (high(w) << 16).to_le_bytes().to_vec())), Some(Dtype::F32));
            assert_eq!(dtype(&bytes(&|w| (high(w) as u16).to_le_bytes().to_vec())), Some(Dtype::BF16));
            assert_eq!(dtype(&bytes(&|w| f16(w).to_le_bytes().to_vec())), Some(Dtype::F16));
            // Casts from BF16 to F16, and from F16 to F32.
            let of_bf16 = |w: f64| f16(f64::from(f32::from_bits(high(w) << 16)));
            assert_eq!(dtype(&bytes(&|w| of_bf16(w).to_le_bytes().to_vec())), Some(Dtype::F16));
            let of_f16 = |w: f64| ((w as f32).to_bits() & !0x1FFF).to_le_bytes().to_vec();
            assert_eq!(dtype(&bytes(&of_f16)), Some(Dtype::F32));
        }
    }

    #[test]
    fn other_bytes_are_not_floats() {
        let quants: Vec<u8> = weights(4000).iter().map(|weight| (weight * 1000.0) as i8 as u8).collect();
        let uniform: Vec<u8> = weights(4000).iter().map(|weight| weight.to_bits() as u8).collect();
        let integers: Vec<u8> = (0..500u64).flat_map(u64::to_le_bytes).collect();
        let text = include_bytes!("guess.rs");
        for bytes in [&quants[..], &uniform, &integers, text, &[0; 4000], &[1; 255], b""] {
            assert_eq!(dtype(bytes), None);
        }
    }
}
