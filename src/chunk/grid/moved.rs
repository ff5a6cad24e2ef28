//! A chunk of quantised blocks whose base, blocks of the same format, is moved by a low-rank
//! prediction.
//!
//! The weights of the base's blocks are moved as those of a predicted chunk are. The fields of the
//! target's blocks are expected from the base's, and the indices from the moved weights. The
//! payload holds a length-prefixed string with the chunk's numbers of `U`, and to its end the
//! payload of the grid.

use super::Base;
use crate::bytes::ByteReader;
use crate::chunk::{Matrix, Scratch, predicted};
use crate::error::Result;
use crate::layout::Dtype;
use crate::predict::Factors;
use crate::predict::fit::Fit;
use crate::quant::{BlockFormat, dequantise, weights_of};

/// Encodes `target` against `base`, moved by the numbers of `U` that fit best, and returns the
/// payload.
pub(in crate::chunk) fn encode(format: &'static BlockFormat, base: &[u8], target: &[u8], fit: &Fit) -> Option<Vec<u8>> {
    let u = fit.numbers_between(Dtype::F32, &weights_of(format, base), &weights_of(format, target))?;
    let mut payload = predicted::write_rows(&u, fit.factors.rank());
    let moved = move_by(&fit.factors, &u, dequantise(format, base));
    payload.extend(super::encode(format, Base::Moved(base, &moved), target));
    Some(payload)
}

/// Restores `target` from its base, its factors and the payload that [`encode`] returned.
pub(in crate::chunk) fn decode(
    (format, matrix): (&'static BlockFormat, Matrix),
    payload: &[u8],
    base: &[u8],
    factors: &Factors,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let weights = dequantise(format, base);
    let rows = weights.len().div_ceil(matrix.columns);
    let mut payload = ByteReader::new(payload);
    let u = predicted::read_rows(&mut payload, rows, factors, scratch)?;
    let moved = move_by(factors, &u, weights);
    super::decode(format, payload.rest(), Base::Moved(base, &moved), target, scratch)
}

/// Returns `weights`, moved by `u`. The conversions to and from the order of bytes in files take no
/// memory.
pub(in crate::chunk) fn move_by(factors: &Factors, u: &[i16], weights: Vec<f32>) -> Vec<f32> {
    let words: Vec<u32> = weights.into_iter().map(|weight| weight.to_bits().to_le()).collect();
    let mut moved = vec![0u32; words.len()];
    factors.apply(Dtype::F32, u, 0, bytemuck::cast_slice(&words), bytemuck::cast_slice_mut(&mut moved));
    moved.into_iter().map(|word| f32::from_bits(u32::from_le(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::search::{Sample, search};
    use crate::chunk::{Effort, Given, Method, decode as decode_chunk};
    use crate::error::ErrorKind;
    use crate::predict::float::to_f16;
    use crate::quant::{BlockFields, format_of, write_indices};
    use crate::view::Relation;

    const MATRIX: Matrix = Matrix { columns: 64 };
    const ROWS: usize = 64;

    fn format() -> &'static BlockFormat {
        format_of(Dtype::Q8_0).unwrap()
    }

    /// Blocks of `Q8_0` whose indices move along one direction, and a scale that is no number.
    fn pair() -> [Vec<u8>; 2] {
        let mut fields = BlockFields::new(format(), ROWS * MATRIX.columns / 32);
        fields.scales.fill(to_f16(0.01));
        fields.scales[7] = 0x7e00;
        let places = 0..ROWS * MATRIX.columns;
        let base: Vec<u8> = places.map(|i| (i * i * 2_654_435_761 >> 13) as u8 / 2 + 64).collect();
        let moved = |(i, &index): (usize, &u8)| {
            let (row, column) = ((i / MATRIX.columns) as f32, (i % MATRIX.columns) as f32);
            (f32::from(index) + 40.0 * (row * 0.7).sin() * (column * 0.3).cos()) as u8
        };
        let target = base.iter().enumerate().map(moved).collect();
        [base, target].map(|indices| {
            let mut bytes = vec![0; fields.scales.len() * format().bytes];
            fields.write(&mut bytes);
            write_indices(format(), &indices, &mut bytes);
            bytes
        })
    }

    fn fit(base: &[u8], target: &[u8]) -> Fit {
        let sample = Sample { dtype: Dtype::Q8_0, matrix: MATRIX, rows: ROWS, base, target };
        search(sample, Effort::Max).expect("the change has one direction").fit
    }

    #[test]
    fn blocks_along_one_direction_take_few_bytes() {
        let [base, target] = pair();
        let fit = fit(&base, &target);
        let payload = encode(format(), &base, &target, &fit).unwrap();
        let plain = super::super::encode(format(), Base::Blocks(&base), &target);
        assert!(payload.len() * 3 < plain.len(), "{} and {}", payload.len(), plain.len());
        let mut restored = vec![0; target.len()];
        decode((format(), MATRIX), &payload, &base, &fit.factors, &mut restored, &mut Scratch::default()).unwrap();
        assert!(restored == target);
    }

    #[test]
    fn damaged_payloads_never_panic() {
        let [base, target] = pair();
        let fit = fit(&base, &target);
        let (payload, mut scratch) = (encode(format(), &base, &target, &fit).unwrap(), Scratch::default());
        let mut restored = vec![0; target.len()];
        let mut try_it =
            |payload: &[u8]| decode((format(), MATRIX), payload, &base, &fit.factors, &mut restored, &mut scratch);
        (0..payload.len()).for_each(|length| drop(try_it(&payload[..length]).expect_err("a truncation")));
        for bit in 0..payload.len() * 8 {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = try_it(&flipped);
        }
    }

    /// Chunks that are no blocks, or lack their base, their factors, or blocks as their base.
    #[test]
    fn only_blocks_against_blocks_are_moved() {
        let [base, target] = pair();
        let fit = fit(&base, &target);
        let payload = encode(format(), &base, &target, &fit).unwrap();
        let good = Given { base: Some(&base), factors: Some(&fit.factors), ..Given::default() };
        let try_it = |dtype, given| {
            let mut restored = vec![0; target.len()];
            decode_chunk(Method::Moved, dtype, MATRIX, &payload, given, &mut restored, &mut Scratch::default())
        };
        try_it(Dtype::Q8_0, good).unwrap();
        let weights = weights_of(format(), &base);
        for (dtype, given) in [
            (Dtype::Q8_0, Given { base: None, ..good }),
            (Dtype::Q8_0, Given { factors: None, ..good }),
            (Dtype::Q8_0, Given { base: Some(&weights), relation: Relation::Weights, ..good }),
            (Dtype::Q8_0, Given { relation: Relation::Bytes, ..good }),
            (Dtype::I8, Given { base: Some(&weights), relation: Relation::Weights, ..good }),
            (Dtype::I8, good),
            (Dtype::BF16, good),
        ] {
            assert_eq!(try_it(dtype, given).unwrap_err().kind(), ErrorKind::Corrupt, "{dtype:?} {given:?}");
        }
    }
}
