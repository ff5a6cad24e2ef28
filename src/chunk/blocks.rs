//! A chunk of `Q8_0` blocks: each holds a scale (`F16`) and 32 quants (`I8`); a weight is scale
//! times quant.
//!
//! Scales and quants are coded apart. The base's quants are first converted to the target's scale,
//! so that their deltas show only how far the weights moved. The target's scale is the size of a
//! quant's step.
//!
//! The payload is a length-prefixed string with the deltas of the scales, then the deltas of the
//! quants to its end.

use super::delta::{self, BLOCK_WORDS, Coding};
use super::{Effort, Matrix, Scratch};
use crate::bytes::{ByteReader, put_prefixed};
use crate::error::Result;
use crate::layout::dtype::Fields;
use crate::predict::float::from_f16;

/// Bytes of a block: its scale and its quants.
const BLOCK: usize = SCALE + BLOCK_WORDS;

/// Bytes of a scale.
const SCALE: usize = 2;

/// The coding of the scales, which are `F16`.
const SCALES: Coding<'static> = Coding { fields: Fields::Float { mantissa: 10 }, blocks: None };

/// The scales and the quants of a run of blocks, taken apart.
struct Planes {
    scales: Vec<u8>,
    quants: Vec<u8>,
}

impl Planes {
    fn of(blocks: &[u8]) -> Self {
        let (blocks, _) = blocks.as_chunks::<BLOCK>();
        let mut scales = Vec::with_capacity(blocks.len() * SCALE);
        let mut quants = Vec::with_capacity(blocks.len() * BLOCK_WORDS);
        for block in blocks {
            scales.extend_from_slice(&block[..SCALE]);
            quants.extend_from_slice(&block[SCALE..]);
        }
        Self { scales, quants }
    }

    /// Converts the quants to the scales of a target, which are `F16` words.
    fn rescale(&mut self, target: &[u8]) {
        let scales = self.scales.as_chunks().0.iter().zip(target.as_chunks().0);
        for (quants, (&from, &to)) in self.quants.chunks_exact_mut(BLOCK_WORDS).zip(scales) {
            if let (true, Some(ratio)) = (from != to, ratio(u16::from_le_bytes(from), u16::from_le_bytes(to))) {
                quants.iter_mut().for_each(|quant| *quant = rescaled(*quant as i8, ratio) as u8);
            }
        }
    }
}

/// Returns `quant * ratio`, rounded to the nearest integer, ties to even, and clamped to an `i8`.
///
/// The last bit of the mantissa of `SHIFT` counts ones, so that an addition rounds to integers and
/// leaves them in the low bits. Many processors have no instruction that rounds, and call a
/// function for it.
#[inline(always)]
fn rescaled(quant: i8, ratio: f32) -> i8 {
    const SHIFT: f32 = 12_582_912.0;
    let scaled = (f32::from(quant) * ratio).clamp(i8::MIN.into(), i8::MAX.into());
    (scaled + SHIFT).to_bits() as i8
}

/// Returns the factor that converts quants of the scale `from` to the scale `to`, both the bits of
/// an `F16`; `None` if a scale or the factor is not finite.
fn ratio(from: u16, to: u16) -> Option<f32> {
    const EXPONENT: u16 = 0x7c00;
    let finite = from & EXPONENT != EXPONENT && to & EXPONENT != EXPONENT;
    let ratio = from_f16(from) / from_f16(to);
    (finite && ratio.is_finite()).then_some(ratio)
}

/// Returns the exponent of each block's quants: its scale's exponent and top two bits of mantissa.
fn exponents(scales: &[u8]) -> Vec<u16> {
    scales.as_chunks().0.iter().map(|&scale| u16::from_le_bytes(scale) >> 8 & 127).collect()
}

/// Returns the matrix of a chunk's scales: one column per block of a row.
fn scales_of(matrix: Matrix) -> Matrix {
    Matrix { columns: (matrix.columns / BLOCK_WORDS).max(1) }
}

/// Encodes `target` against `base` and returns the payload. Both have the same length, above 0.
pub(super) fn encode(matrix: Matrix, base: &[u8], target: &[u8], effort: Effort) -> Vec<u8> {
    let (mut base, target) = (Planes::of(base), Planes::of(target));
    let mut payload = Vec::new();
    let scales = delta::encode::<u16>(SCALES, scales_of(matrix), &base.scales, &target.scales, effort);
    put_prefixed(&mut payload, &scales);
    base.rescale(&target.scales);
    let blocks = exponents(&target.scales);
    let coding = Coding { fields: Fields::Integer, blocks: Some(&blocks) };
    payload.extend(delta::encode::<u8>(coding, matrix, &base.quants, &target.quants, effort));
    payload
}

/// Restores `target` from its base and the payload that [`encode`] returned.
pub(super) fn decode(
    matrix: Matrix,
    payload: &[u8],
    base: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let mut base = Planes::of(base);
    let mut scales = vec![0; base.scales.len()];
    delta::decode::<u16>(SCALES, scales_of(matrix), payload.prefixed()?, &base.scales, &mut scales, scratch)?;
    base.rescale(&scales);
    let blocks = exponents(&scales);
    let coding = Coding { fields: Fields::Integer, blocks: Some(&blocks) };
    let mut quants = vec![0; base.quants.len()];
    delta::decode::<u8>(coding, matrix, payload.rest(), &base.quants, &mut quants, scratch)?;
    let planes = scales.as_chunks::<SCALE>().0.iter().zip(quants.as_chunks::<BLOCK_WORDS>().0);
    for (block, (scale, quants)) in target.as_chunks_mut::<BLOCK>().0.iter_mut().zip(planes) {
        block[..SCALE].copy_from_slice(scale);
        block[SCALE..].copy_from_slice(quants);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_need_finite_scales() {
        assert_eq!((ratio(0x3c00, 0x4000), ratio(0xc100, 0x3c00)), (Some(0.5), Some(-2.5)));
        let none = [(0x7c00, 0x3c00), (0x3c00, 0x7c00), (0x7e01, 0x3c00), (0x3c00, 0), (0, 0x8000)];
        none.iter().for_each(|&(from, to)| assert_eq!(ratio(from, to), None));
    }

    #[test]
    fn quants_round_to_even_and_stay_within_their_type() {
        let cases = [(5, 0.5, 2), (7, 0.5, 4), (-5, 0.5, -2), (127, 1.5, 127), (-128, 3.0, -128), (1, 1e30, 127)];
        cases.iter().for_each(|&(quant, ratio, want)| assert_eq!(rescaled(quant, ratio), want));
        for quant in i8::MIN..=i8::MAX {
            for ratio in [0.0, -0.0, 1e-30, 0.5, -0.5, 0.99, 1.0, 1.013, -3.5, f32::MAX, f32::MIN] {
                let want = (f32::from(quant) * ratio).round_ties_even() as i8;
                assert_eq!(rescaled(quant, ratio), want, "{quant} {ratio}");
            }
        }
    }

    /// Base and target are quantised each by itself, so the scales of their blocks differ.
    #[test]
    fn moved_weights_cost_little_whatever_their_scales() {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 16_777_216.0 - 0.5
        };
        let block = |weights: &[f32]| {
            let most = weights.iter().fold(0f32, |most, weight| most.max(weight.abs()));
            // The scale keeps three bits of mantissa, so that its conversion to `F16` is exact.
            let scale = f32::from_bits((most / 127.0).to_bits() & !0xf_ffff);
            let bits = ((scale.to_bits() >> 23) - 112) << 10 | scale.to_bits() >> 13 & 1023;
            let quants = weights.iter().map(|weight| (weight / scale).round().clamp(-127.0, 127.0) as i8 as u8);
            [(bits as u16).to_le_bytes().to_vec(), quants.collect()].concat()
        };
        let (mut base, mut target) = (Vec::new(), Vec::new());
        for _ in 0..2000 {
            let weights: Vec<f32> = (0..32).map(|_| next()).collect();
            let moved: Vec<f32> = weights.iter().map(|weight| weight + next() * 0.004).collect();
            base.extend(block(&weights));
            target.extend(block(&moved));
        }
        let matrix = Matrix { columns: 320 };
        let payload = encode(matrix, &base, &target, Effort::Default);
        assert!(payload.len() * 4 < target.len(), "{} of {}", payload.len(), target.len());
        let mut restored = vec![0; target.len()];
        decode(matrix, &payload, &base, &mut restored, &mut Scratch::default()).unwrap();
        assert!(restored == target);
    }
}
