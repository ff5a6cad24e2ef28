//! Deltas applied to words of a base.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use super::word::Word;
use crate::layout::dtype::Fields;

/// Returns the target of a word of the base and a zigzag delta.
#[inline(always)]
pub(crate) fn apply<W: Word>(fields: Fields, base: W, delta: W) -> W {
    match fields {
        Fields::Float { .. } => W::float_apply(base, delta),
        Fields::Integer => W::integer_apply(base, delta),
    }
}

/// Turns `words` of the base into those of the target, with tokens as zigzag deltas. Where a token
/// stands for a bin, the word is unspecified.
pub(crate) fn apply_direct<W: Word>(fields: Fields, words: &mut [W], tokens: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if avx2::apply_direct(fields, words, tokens) {
        return;
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    let (words, tokens) = simd128::apply_direct(fields, words, tokens);
    apply_portably(fields, words, tokens);
}

#[inline(always)]
fn apply_portably<W: Word>(fields: Fields, words: &mut [W], tokens: &[u8]) {
    let pairs = words.iter_mut().zip(tokens);
    let delta = |token: &u8| W::truncate(u64::from(*token));
    match fields {
        Fields::Float { .. } => pairs.for_each(|(word, token)| *word = W::float_apply(*word, delta(token))),
        Fields::Integer => pairs.for_each(|(word, token)| *word = W::integer_apply(*word, delta(token))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel_agrees<W: Word>(fields: Fields) {
        for length in [0, 1, 15, 16, 17, 200] {
            let base = (0..length as u64).map(|i| W::truncate(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - W::BITS)));
            let base: Vec<W> = base.collect();
            let tokens: Vec<u8> = (0..length).map(|i| (i * 7 % 32) as u8).collect();
            let (mut fast, mut portable) = (base.clone(), base);
            apply_direct(fields, &mut fast, &tokens);
            apply_portably(fields, &mut portable, &tokens);
            assert!(fast == portable, "{} bits, {length}", W::BITS);
        }
    }

    #[test]
    fn kernels_agree() {
        for fields in [Fields::Float { mantissa: 3 }, Fields::Integer] {
            kernel_agrees::<u8>(fields);
            kernel_agrees::<u16>(fields);
            kernel_agrees::<u32>(fields);
            kernel_agrees::<u64>(fields);
        }
    }

    /// Every word of 16 bits and every delta that is a token, infinities and NaNs included.
    #[test]
    fn kernels_agree_on_every_short_float() {
        for token in (0..32).step_by(if cfg!(miri) { 31 } else { 1 }) {
            let base: Vec<u16> = (0..=u16::MAX).step_by(if cfg!(miri) { 257 } else { 1 }).collect();
            let mut fast = base.clone();
            apply_direct(Fields::Float { mantissa: 7 }, &mut fast, &vec![token; base.len()]);
            assert!(base.iter().zip(fast).all(|(&base, word)| u16::float_apply(base, token.into()) == word), "{token}");
        }
    }
}
