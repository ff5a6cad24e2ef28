//! The places of words that differ, 64 bytes at a time, for AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::encode::{Places, list};
use crate::delta::word::Word;

/// Bytes that are compared at a time.
const BLOCK: usize = 64;

/// Places of a block that are written before their number is looked at.
const FEW: usize = 2;

/// Writes the places of words of a strip that differ, and returns their number. `start` is the
/// place of the first word. Returns `None` and writes nothing if the processor lacks the
/// instructions.
pub(super) fn places<W: Word>(pair: (&[u8], &[u8]), start: u32, places: &mut Places) -> Option<usize> {
    let able =
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt");
    // SAFETY: the check above found the instructions.
    able.then(|| unsafe { places_with_avx2::<W>(pair, start, places) })
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
fn places_with_avx2<W: Word>((base, target): (&[u8], &[u8]), start: u32, places: &mut Places) -> usize {
    let ((blocks, base_rest), (targets, target_rest)) = (base.as_chunks::<BLOCK>(), target.as_chunks::<BLOCK>());
    let (mut count, mut first) = (0, start);
    for (base, target) in blocks.iter().zip(targets) {
        let mut mask = words(differing(base, target), W::BYTES);
        let end = count + mask.count_ones() as usize;
        let place = |mask: u64| first + (mask.trailing_zeros() & 63) / W::BYTES as u32;
        // Hardly a branch depends on the words, and what is written for nothing is overwritten.
        for next in &mut places[count..count + FEW] {
            *next = place(mask);
            mask &= mask.wrapping_sub(1);
        }
        for next in places[..end].iter_mut().skip(count + FEW) {
            *next = place(mask);
            mask &= mask.wrapping_sub(1);
        }
        (count, first) = (end, first + (BLOCK / W::BYTES) as u32);
    }
    list::<W>((base_rest, target_rest), first, places, count)
}

/// Returns a mask whose bit `i` is set if the bytes `i` differ.
#[target_feature(enable = "avx2")]
fn differing(base: &[u8; BLOCK], target: &[u8; BLOCK]) -> u64 {
    let equal = |half: usize| {
        let (base, target) = (&base[half * 32..][..32], &target[half * 32..][..32]);
        // SAFETY: both loads are of 32 bytes.
        let (base, target) =
            unsafe { (_mm256_loadu_si256(base.as_ptr().cast()), _mm256_loadu_si256(target.as_ptr().cast())) };
        u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(base, target)) as u32)
    };
    !(equal(0) | equal(1) << 32)
}

/// Returns a mask with a bit for each word of `width` bytes that has one, in place of its first
/// byte.
#[inline(always)]
fn words(mut mask: u64, width: usize) -> u64 {
    let mut step = 1;
    while step < width {
        mask |= mask >> step;
        step *= 2;
    }
    mask & (u64::MAX / (u64::MAX >> (64 - width)))
}

#[cfg(test)]
mod tests {
    use super::super::encode::{ROOM, find_portably};
    use super::*;
    use crate::entropy::rans::STRIP;

    fn check<W: Word>() {
        for every in [1, 3, 50, 5000] {
            for count in [0, 1, 7, 8, 63, 64, 65, 1000, STRIP] {
                let base: Vec<u8> = (0..count * W::BYTES).map(|i| (i * i >> 3) as u8).collect();
                let mut target = base.clone();
                let changed: Vec<u32> = (0..count as u32).filter(|i| i * 7 % every == 0).collect();
                changed.iter().map(|&i| i as usize).for_each(|i| target[i * W::BYTES + i % W::BYTES] ^= 0x80);
                let mut own = [0; ROOM];
                let Some(found) = places::<W>((&base, &target), 9, &mut own) else { return };
                let want: Vec<u32> = changed.iter().map(|i| i + 9).collect();
                assert_eq!(own[..found], want, "{count} words of {} bytes", W::BYTES);
                let mut portable = [0; ROOM];
                assert_eq!(find_portably::<W>((&base, &target), 9, &mut portable), found);
                assert_eq!(portable[..found], want);
            }
        }
    }

    /// The lengths have whole blocks, none, and some words that are left.
    #[test]
    fn words_that_differ_are_listed() {
        check::<u8>();
        check::<u16>();
        check::<u32>();
        check::<u64>();
    }
}
