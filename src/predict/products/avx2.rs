//! The sums for processors with AVX2, weights of `BF16` moved by them, and the portable code for
//! other weights compiled for it.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{Stretch, sum_portably, tiles};
use crate::predict::float::Round;

/// Columns of a vector.
const LANES: usize = 8;

/// Columns that are summed at a time, in enough registers to hide the latency.
const BLOCK: usize = 4 * LANES;

/// The sums of a block of columns.
type Sums = [__m256i; BLOCK / LANES];

/// Does the same as [`move_by_tiles`](super::move_by_tiles) and returns true. Returns false and
/// does nothing if the processor lacks AVX2.
pub(super) fn move_by_tiles<F: Round>(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { tiles_with_avx2::<F>(stretch, base, moved) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn tiles_with_avx2<F: Round>(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) {
    tiles::<F>(stretch, base, moved, |stretch, sums| sum(stretch, sums));
}

#[target_feature(enable = "avx2")]
fn sum(stretch: &Stretch<'_>, sums: &mut [i32]) {
    let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
    let place = stretch.place(blocks.len() * BLOCK);
    for (i, block) in blocks.iter_mut().enumerate() {
        // SAFETY: the block is within the checked columns.
        let sums = unsafe { sum_block(stretch, place.add(i * BLOCK)) };
        for (sum, out) in sums.iter().zip(block.as_chunks_mut::<LANES>().0) {
            // SAFETY: eight sums are 32 bytes.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), *sum) };
        }
    }
    sum_portably(&stretch.from(blocks.len() * BLOCK), rest);
}

/// Returns the sums of [`BLOCK`] columns.
///
/// # Safety
/// `place` must be that of a column, such that `V` has a block of columns from there on in each row.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sum_block(stretch: &Stretch<'_>, place: *const [i16; 2]) -> Sums {
    let mut sums = [_mm256_setzero_si256(); BLOCK / LANES];
    for (k, &[a, b]) in stretch.numbers.iter().enumerate() {
        let number = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
        for (i, sum) in sums.iter_mut().enumerate() {
            let place = place.wrapping_add(k * stretch.factors.columns + i * LANES);
            // SAFETY: the caller vouches for the block, and eight pairs are 32 bytes.
            let pairs = unsafe { _mm256_loadu_si256(place.cast()) };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, number));
        }
    }
    sums
}

/// Moves whole blocks of weights and returns their number: 0 if the processor lacks AVX2.
pub(super) fn move_bf16(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) -> usize {
    if !is_x86_feature_detected!("avx2") {
        return 0;
    }
    // SAFETY: the check above found AVX2.
    unsafe { move_blocks(stretch, base, moved) }
}

#[target_feature(enable = "avx2")]
fn move_blocks(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) -> usize {
    let step = _mm256_set1_ps(stretch.factors.step);
    let (base, moved) = (base.as_chunks::<{ 2 * BLOCK }>().0, moved.as_chunks_mut::<{ 2 * BLOCK }>().0);
    let place = stretch.place(base.len() * BLOCK);
    for (i, (base, moved)) in base.iter().zip(&mut *moved).enumerate() {
        // SAFETY: the block is within the checked columns.
        let [a, b, c, d] = unsafe { sum_block(stretch, place.add(i * BLOCK)) };
        for (half, sums) in [[a, b], [c, d]].into_iter().enumerate() {
            // SAFETY: half a block is 32 bytes.
            let words = unsafe { _mm256_loadu_si256(base.as_ptr().add(32 * half).cast()) };
            let words = move_half(words, sums, step);
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(moved.as_mut_ptr().add(32 * half).cast(), words) };
        }
    }
    base.len() * BLOCK
}

/// Returns 16 words moved by their sums, as [`bf16`](crate::predict::float::bf16) does.
#[inline]
#[target_feature(enable = "avx2")]
fn move_half(words: __m256i, [a, b]: [__m256i; 2], step: __m256) -> __m256i {
    let zero = _mm256_setzero_si256();
    let exponent = _mm256_set1_epi16(0x7f80);
    // In the order in which the words are unpacked: columns 0 to 3 and 8 to 11, then the others.
    let (low, high) = (_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
    let moved = |words: __m256i, sums: __m256i| {
        let by = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), step);
        let value = _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(words), by));
        _mm256_srli_epi32::<16>(_mm256_add_epi32(value, _mm256_set1_epi32(0x8000)))
    };
    let first = moved(_mm256_unpacklo_epi16(zero, words), low);
    let second = moved(_mm256_unpackhi_epi16(zero, words), high);
    let still = _mm256_packs_epi32(_mm256_cmpeq_epi32(low, zero), _mm256_cmpeq_epi32(high, zero));
    let special = _mm256_cmpeq_epi16(_mm256_and_si256(words, exponent), exponent);
    _mm256_blendv_epi8(_mm256_packus_epi32(first, second), words, _mm256_or_si256(special, still))
}
