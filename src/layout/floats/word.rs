//! The words that weights have.

use crate::layout::Dtype;

/// The kinds of words, by what they tell about the run of floats that they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Zero, or a number as small as the integers of headers. It is in weights as well as between
    /// them.
    Small,
    /// A number that a weight may be.
    Weight,
    /// A number that weights do not have, such as a NaN, a small integer or text.
    Other,
}

/// Exponents of weights, from 2^-64 to 2^17: the moments of optimizers are small.
const LEAST_EXPONENT: i32 = -64;
const END_EXPONENT: i32 = 18;

/// The first exponent above those of weights in `F16`, as it is stored: that of 2^8. Letters have
/// greater ones.
const END_OF_F16: u16 = 23;

/// Tells what the little-endian bytes of a float of this dtype are.
pub(super) fn word(dtype: Dtype, bytes: &[u8]) -> Word {
    let is_weight = |exponent: i32| (LEAST_EXPONENT..END_EXPONENT).contains(&exponent);
    let (is_small, is_weight) = match (dtype, bytes) {
        (Dtype::F64, &[a, b, c, d, e, f, g, h]) => {
            let bits = u64::from_le_bytes([a, b, c, d, e, f, g, h]) << 1;
            (bits == 0, is_weight((bits >> 53) as i32 - 1023))
        }
        (Dtype::F32, &[a, b, c, d]) => {
            let bits = u32::from_le_bytes([a, b, c, d]) << 1;
            (bits == 0, is_weight((bits >> 24) as i32 - 127))
        }
        (Dtype::BF16, &[a, b]) => {
            let bits = u16::from_le_bytes([a, b]) << 1;
            (bits == 0, is_weight(i32::from(bits >> 8) - 127))
        }
        (_, &[a, b]) => {
            let bits = u16::from_le_bytes([a, b]) << 1;
            (bits >> 11 == 0, bits >> 11 < END_OF_F16)
        }
        _ => (false, false),
    };
    match (is_small, is_weight) {
        (true, _) => Word::Small,
        (_, true) => Word::Weight,
        _ => Word::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_told_from_integers_and_text() {
        for (value, expected) in [
            (0.02f32, Word::Weight),
            (-1e-12, Word::Weight),
            (-0.0, Word::Small),
            (1e6, Word::Other),
            (f32::NAN, Word::Other),
            (f32::from_bits(384), Word::Other),
        ] {
            assert_eq!(word(Dtype::F32, &value.to_le_bytes()), expected);
            assert_eq!(
                word(Dtype::BF16, &value.to_le_bytes()[2..]),
                if value.to_bits() == 384 { Word::Small } else { expected }
            );
            if value.to_bits() != 384 {
                assert_eq!(word(Dtype::F64, &f64::from(value).to_le_bytes()), expected);
            }
        }
        assert_eq!(word(Dtype::F16, &0x2400u16.to_le_bytes()), Word::Weight);
        assert_eq!(word(Dtype::F16, &384u16.to_le_bytes()), Word::Small);
        assert_eq!(word(Dtype::F16, b"ht"), Word::Other);
        assert_eq!(word(Dtype::F32, b"ight"), Word::Other);
    }
}
