//! Elements as unsigned words of 8, 16, 32 or 64 bits, with their differences and their exponents.

use bytemuck::Pod;

use crate::layout::dtype::Fields;
use crate::zigzag::{unzigzag, zigzag};

/// An unsigned integer that holds the bits of an element.
pub(crate) trait Word: Pod + Default + PartialEq + Send + Sync {
    /// Width in bits.
    const BITS: u32;
    /// Width in bytes.
    const BYTES: usize;

    /// Converts a word between little-endian and native byte order: nothing to do on most machines.
    fn little(self) -> Self;
    /// Returns the low bits of `value`.
    fn truncate(value: u64) -> Self;
    /// Returns the word with zeros above it.
    fn widen(self) -> u64;
    /// Returns the low 16 bits of `self & mask`, shifted down by `shift`.
    fn field(self, mask: Self, shift: u32) -> u16;
    /// Returns the magnitude of a zigzag number, rounded to single precision.
    fn steps(self) -> f32;
    /// Returns the zigzag number of the steps from one float to another, positive away from zero.
    fn float_delta(base: Self, target: Self) -> Self;
    /// Returns the target, given its base and its [`float_delta`](Self::float_delta).
    fn float_apply(base: Self, delta: Self) -> Self;
    /// Returns the zigzag number of the difference of two integers, modulo 2^[`BITS`](Self::BITS).
    fn integer_delta(base: Self, target: Self) -> Self;
    /// Returns the target, given its base and its [`integer_delta`](Self::integer_delta).
    fn integer_apply(base: Self, delta: Self) -> Self;
}

macro_rules! word {
    ($unsigned:ty, $signed:ty) => {
        impl Word for $unsigned {
            const BITS: u32 = <$unsigned>::BITS;
            const BYTES: usize = size_of::<$unsigned>();

            #[inline(always)]
            fn little(self) -> Self {
                self.to_le()
            }

            #[inline(always)]
            fn truncate(value: u64) -> Self {
                value as $unsigned
            }

            #[inline(always)]
            fn widen(self) -> u64 {
                self as u64
            }

            #[inline(always)]
            fn field(self, mask: Self, shift: u32) -> u16 {
                ((self & mask) >> shift) as u16
            }

            #[inline(always)]
            fn steps(self) -> f32 {
                // Half of the number fits the signed type, which vector units convert to floats.
                ((self >> 1) as $signed) as f32 + (self & 1) as u8 as f32
            }

            // The target's place is its magnitude above HIGH where the signs agree, and below HIGH
            // where they differ; the base's place is its magnitude above HIGH. So differences of
            // places are ordered as the numbers are, and positive away from zero. This is a
            // bijection, -0 and NaNs included.
            #[inline(always)]
            fn float_delta(base: Self, target: Self) -> Self {
                const HIGH: $unsigned = 1 << (<$unsigned>::BITS - 1);
                let flip = (((base ^ target) as $signed) >> (<$unsigned>::BITS - 1)) as $unsigned;
                let placed = ((target | HIGH) ^ flip) & (!flip | !HIGH);
                zigzag(placed.wrapping_sub(base | HIGH))
            }

            #[inline(always)]
            fn float_apply(base: Self, delta: Self) -> Self {
                const HIGH: $unsigned = 1 << (<$unsigned>::BITS - 1);
                let placed = (base | HIGH).wrapping_add(unzigzag(delta));
                let flip = !(((placed as $signed) >> (<$unsigned>::BITS - 1)) as $unsigned);
                ((placed ^ flip) & !HIGH) | ((base ^ flip) & HIGH)
            }

            #[inline(always)]
            fn integer_delta(base: Self, target: Self) -> Self {
                zigzag(target.wrapping_sub(base))
            }

            #[inline(always)]
            fn integer_apply(base: Self, delta: Self) -> Self {
                base.wrapping_add(unzigzag(delta))
            }
        }
    };
}

word!(u8, i8);
word!(u16, i16);
word!(u32, i32);
word!(u64, i64);

/// Returns the word that little-endian bytes hold.
#[inline(always)]
pub(crate) fn read<W: Word>(bytes: &[u8]) -> W {
    bytemuck::pod_read_unaligned::<W>(bytes).little()
}

/// Fills `words` from little-endian bytes of the same size.
pub(crate) fn load<W: Word>(bytes: &[u8], words: &mut [W]) {
    bytemuck::cast_slice_mut(words).copy_from_slice(bytes);
    words.iter_mut().for_each(|word| *word = word.little());
}

/// Returns the words of little-endian bytes; an incomplete last word is left out.
pub(crate) fn load_all<W: Word>(bytes: &[u8]) -> Vec<W> {
    let mut words = vec![W::default(); bytes.len() / W::BYTES];
    load(&bytes[..words.len() * W::BYTES], &mut words);
    words
}

/// Writes words as little-endian bytes of the same size; the contents of `words` are not kept.
pub(crate) fn store<W: Word>(words: &mut [W], bytes: &mut [u8]) {
    words.iter_mut().for_each(|word| *word = word.little());
    bytes.copy_from_slice(bytemuck::cast_slice(words));
}

/// Returns the zigzag delta of a word.
#[inline(always)]
pub(crate) fn delta<W: Word>(fields: Fields, base: W, target: W) -> W {
    match fields {
        Fields::Float { .. } => W::float_delta(base, target),
        Fields::Integer => W::integer_delta(base, target),
    }
}

/// Replaces the targets of `base` by their deltas.
#[inline(always)]
pub(crate) fn deltas<W: Word>(fields: Fields, base: &[W], targets: &mut [W]) {
    let pairs = targets.iter_mut().zip(base);
    match fields {
        Fields::Float { .. } => pairs.for_each(|(target, &base)| *target = W::float_delta(base, *target)),
        Fields::Integer => pairs.for_each(|(target, &base)| *target = W::integer_delta(base, *target)),
    }
}

/// Writes the magnitudes of zigzag deltas to `steps`, rounded to single precision.
#[inline(always)]
pub(crate) fn steps<W: Word>(deltas: &[W], steps: &mut [f32]) {
    steps.iter_mut().zip(deltas).for_each(|(step, delta)| *step = delta.steps());
}

/// Writes the exponents of floats, or the four high bits of integers, which contexts are made of.
#[inline(always)]
pub(crate) fn exponents<W: Word>(fields: Fields, words: &[W], exponents: &mut [u16]) {
    let magnitude = u64::MAX >> (65 - W::BITS);
    let (mask, shift) = match fields {
        Fields::Float { mantissa } => (W::truncate(magnitude), mantissa),
        Fields::Integer => (W::truncate(u64::MAX), W::BITS - 4),
    };
    exponents.iter_mut().zip(words).for_each(|(exponent, &word)| *exponent = word.field(mask, shift));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_bytes_round_trips() {
        for base in 0..=u8::MAX {
            for target in 0..=u8::MAX {
                assert_eq!(u8::float_apply(base, u8::float_delta(base, target)), target);
                assert_eq!(u8::integer_apply(base, u8::integer_delta(base, target)), target);
            }
        }
    }

    #[test]
    fn small_moves_have_small_deltas() {
        let delta = |b: f32, t: f32| u32::float_delta(b.to_bits(), t.to_bits());
        let next = |x: f32| f32::from_bits(x.to_bits() + 1);
        assert_eq!(delta(1.0, 1.0), 0);
        assert_eq!(delta(1.0, next(1.0)), 2);
        assert_eq!(delta(-1.0, -next(1.0)), 2);
        assert_eq!(delta(next(-1.0), -1.0), 1);
        assert_eq!(delta(0.0, -0.0), 1);
        assert_eq!(delta(-0.0, 0.0), 1);
        // One step over a carry, where an XOR has eight bits set.
        assert_eq!(u16::float_delta(0x3f80, 0x3f7f), 1);
    }

    #[test]
    fn wide_words_round_trip() {
        let words = [0u64, 1, 0x8000_0000_0000_0000, 0x7ff0_0000_0000_0000, 0xfff8_0000_0000_0001, u64::MAX];
        for base in words {
            for target in words {
                assert_eq!(u64::float_apply(base, u64::float_delta(base, target)), target);
                let (b, t) = ((base >> 32) as u32, (target >> 32) as u32);
                assert_eq!(u32::float_apply(b, u32::float_delta(b, t)), t);
            }
        }
    }
}
