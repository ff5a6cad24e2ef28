//! A chunk of which few words differ from the base's: the places of these words, and their
//! differences. Words that stay take no step of the entropy coder.
//!
//! The payload holds the number of changes; the tokens of their *gaps*, each the number of words
//! that stay before a change, and then of their differences less 1; and the raw bits of the gaps
//! and of the differences.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod decode;
mod encode;

pub(super) use decode::decode_any;
pub(super) use encode::encode_any;

use crate::entropy::bins;

/// At most one word in so many may change.
const FEW: usize = 4;

/// Bits of the largest gap: a chunk has at most 2^23 words.
const GAP_BITS: u32 = 23;

/// The context of gaps.
const GAPS: u8 = 0;

/// The context of differences.
const DELTAS: u8 = 1;

/// Returns the number of tokens that gaps, and differences of words of `bits` bits, can have.
fn tokens(bits: u32) -> usize {
    bins::tokens(bits.max(GAP_BITS))
}

#[cfg(test)]
mod tests;
