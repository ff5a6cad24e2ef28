//! Bins: a magnitude is split into a token, which is entropy coded, and raw bits, which are not.
//!
//! Each value below 32 has a token of its own. From 32 on each octave has four bins, and from 2^33
//! on one; within a bin the values are almost uniformly distributed.

use super::bytes64::at_least;

/// The number of values that have a token of their own.
pub(crate) const DIRECT: u32 = 32;

/// The octave of the first binned value.
const FIRST_OCTAVE: u32 = 5;

/// The first octave that is a single bin.
const COARSE_OCTAVE: u32 = 33;

/// The first token of the coarse octaves.
const FIRST_COARSE: u32 = DIRECT + (COARSE_OCTAVE - FIRST_OCTAVE) * 4;

/// The number of tokens.
pub(crate) const TOKENS: usize = (FIRST_COARSE + 64 - COARSE_OCTAVE) as usize;

/// Returns the token of `value`. Only values from 2^33 on take a branch: a branch between direct
/// and binned values could not be predicted.
#[inline]
pub(crate) fn token(value: u64) -> u8 {
    let octave = (value | u64::from(DIRECT)).ilog2();
    if octave >= COARSE_OCTAVE {
        return (FIRST_COARSE + octave - COARSE_OCTAVE) as u8;
    }
    let quarter = (value >> (octave - 2)) as u32 & 3;
    let binned = DIRECT + (octave - FIRST_OCTAVE) * 4 + quarter;
    if value < u64::from(DIRECT) { value as u8 } else { binned as u8 }
}

/// The top bits of a float, its octave and its quarter, less this are the token of its bin.
pub(crate) const BELOW_BINS: u32 = ((127 + FIRST_OCTAVE) << 2) - DIRECT;

/// Returns the [`token`] of a value below 2^24, in arithmetic that vectorises: the bits of a float
/// begin with the octave and the quarter.
#[inline(always)]
pub(crate) fn token_narrow(value: u32) -> u8 {
    let binned = ((value as i32 as f32).to_bits() >> 21).wrapping_sub(BELOW_BINS);
    if value < DIRECT { value as u8 } else { binned as u8 }
}

/// Calls `visit` with the index of every token that stands for a bin, in order.
#[inline(always)]
pub(crate) fn for_each_binned(tokens: &[u8], mut visit: impl FnMut(usize)) {
    let (full, rest) = tokens.as_chunks::<64>();
    for (block, tokens) in full.iter().enumerate() {
        let mut mask = at_least::<{ DIRECT as u8 }>(tokens);
        while mask != 0 {
            visit(64 * block + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
    }
    let binned = rest.iter().enumerate().filter(|(_, token)| u32::from(**token) >= DIRECT);
    binned.for_each(|(i, _)| visit(64 * full.len() + i));
}

/// Returns the number of tokens that values of `bits` bits can have.
pub(crate) fn tokens(bits: u32) -> usize {
    usize::from(token(u64::MAX >> (64 - bits))) + 1
}

/// The least value of every token, and the number of raw bits that complete it.
pub(crate) static BINS: [(u64, u32); 256] = bins();

const fn bins() -> [(u64, u32); 256] {
    let mut bins = [(0, 0); 256];
    let mut token = 0;
    while token < TOKENS as u32 {
        bins[token as usize] = if token < DIRECT {
            (token as u64, 0)
        } else if token < FIRST_COARSE {
            let octave = FIRST_OCTAVE + (token - DIRECT) / 4;
            ((4 + (token as u64 - DIRECT as u64) % 4) << (octave - 2), octave - 2)
        } else {
            let octave = COARSE_OCTAVE + token - FIRST_COARSE;
            (1 << octave, octave)
        };
        token += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_tile_the_integers() {
        let mut next = 0u128;
        for (least, bits) in &BINS[..TOKENS] {
            assert_eq!(u128::from(*least), next);
            next += 1u128 << bits;
        }
        assert_eq!(next, 1 << 64);
    }

    #[test]
    fn narrow_values_have_the_same_tokens() {
        (0..1 << 18).chain([(1 << 24) - 1]).for_each(|value| assert_eq!(token_narrow(value), token(u64::from(value))));
    }

    #[test]
    fn binned_tokens_are_found_in_order() {
        let tokens: Vec<u8> = (0..1000u32).map(|i| (i * i >> 3) as u8).collect();
        for count in [0, 1, 63, 64, 65, 1000] {
            let mut found = Vec::new();
            for_each_binned(&tokens[..count], |i| found.push(i));
            let want: Vec<usize> = (0..count).filter(|&i| u32::from(tokens[i]) >= DIRECT).collect();
            assert_eq!(found, want);
        }
    }

    #[test]
    fn tokens_name_the_bin_of_their_value() {
        let interesting = (0..64).flat_map(|s| [(1u64 << s) - 1, 1 << s, (1 << s) + 1, 5 << s.min(61)]);
        for value in interesting.chain([u64::MAX]) {
            let (least, width) = BINS[token(value) as usize];
            assert!(least <= value && u128::from(value) < u128::from(least) + (1 << width), "{value}");
        }
    }
}
