//! The transform of BITXv001: XORs the target with the base and splits each 16-bit word of the
//! result into two byte streams.
//!
//! Bits 14 to 7 of a word (the exponent of `BF16`) go to one stream, bit 15 and bits 6 to 0 (its
//! sign and mantissa) to the other. All dtypes are treated alike, whatever fields their words have.

/// Splits `base ^ target` into the exponent and the sign-and-mantissa stream.
///
/// `base` and `target` hold little-endian words and have the same even length; each stream has half
/// of it.
pub fn split(base: &[u8], target: &[u8], exponent: &mut [u8], sign_mantissa: &mut [u8]) {
    debug_assert!(base.len() == target.len() && exponent.len() * 2 == base.len());
    let words = base.as_chunks().0.iter().zip(target.as_chunks().0);
    for (((b, t), e), s) in words.zip(exponent).zip(sign_mantissa) {
        let xor = u16::from_le_bytes(*b) ^ u16::from_le_bytes(*t);
        *e = (xor >> 7) as u8;
        *s = (xor >> 8 & 0x80 | xor & 0x7f) as u8;
    }
}

/// Reverses [`split`]: joins the two streams and applies them to `base`, which gives `target`.
pub fn join(base: &[u8], exponent: &[u8], sign_mantissa: &[u8], target: &mut [u8]) {
    debug_assert!(base.len() == target.len() && exponent.len() * 2 == base.len());
    let streams = exponent.iter().zip(sign_mantissa);
    for ((b, t), (e, s)) in base.as_chunks().0.iter().zip(target.as_chunks_mut().0).zip(streams) {
        let (e, s) = (u16::from(*e), u16::from(*s));
        let xor = (s & 0x80) << 8 | e << 7 | s & 0x7f;
        *t = (u16::from_le_bytes(*b) ^ xor).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_round_trips() {
        let target: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for base_word in [0u16, 0xffff, 0x3f80, 0x8001] {
            let base = base_word.to_le_bytes().repeat(1 << 16);
            let (mut e, mut s) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            split(&base, &target, &mut e, &mut s);
            let mut restored = vec![0; 1 << 17];
            join(&base, &e, &s, &mut restored);
            assert_eq!(restored, target);
        }
    }

    #[test]
    fn fields_go_where_the_format_says() {
        let (mut e, mut s) = ([0], [0]);
        split(&[0, 0], &0b1010_1010_1110_0110u16.to_le_bytes(), &mut e, &mut s);
        assert_eq!((e[0], s[0]), (0b0101_0101, 0b1110_0110));
    }
}
