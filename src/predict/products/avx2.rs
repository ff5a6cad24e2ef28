//! The sums for processors with AVX2, and the whole of [`Factors::apply`] compiled for it.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::sum_portable;
use crate::predict::Factors;
use crate::predict::float::Round;

/// Columns of a vector.
const LANES: usize = 8;

/// Columns that are summed at a time, in enough registers to hide the latency.
const BLOCK: usize = 4 * LANES;

/// Does the same as [`Factors::apply`] and returns true. Returns false and does nothing if the
/// processor lacks AVX2.
pub(in crate::predict) fn apply<F: Round>(factors: &Factors, u: &[i16], base: &[u8], moved: &mut [u8]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { apply_rows::<F>(factors, u, base, moved) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn apply_rows<F: Round>(factors: &Factors, u: &[i16], base: &[u8], moved: &mut [u8]) {
    factors.apply_rows::<F>(u, base, moved, |numbers, start, sums| {
        sum(numbers, &factors.pairs, factors.columns, start, sums);
    });
}

#[target_feature(enable = "avx2")]
fn sum(numbers: &[[i16; 2]], pairs: &[[i16; 2]], columns: usize, start: usize, sums: &mut [i32]) {
    let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
    let done = start + blocks.len() * BLOCK;
    for (i, block) in blocks.iter_mut().enumerate() {
        let mut sums = [_mm256_setzero_si256(); BLOCK / LANES];
        for (&[a, b], row) in numbers.iter().zip(pairs.chunks_exact(columns)) {
            let number = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
            let row = row[start + i * BLOCK..][..BLOCK].as_chunks::<LANES>().0;
            for (sum, pairs) in sums.iter_mut().zip(row) {
                // SAFETY: eight pairs are 32 bytes.
                let pairs = unsafe { _mm256_loadu_si256(pairs.as_ptr().cast()) };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, number));
            }
        }
        for (sum, out) in sums.iter().zip(block.as_chunks_mut::<LANES>().0) {
            // SAFETY: eight sums are 32 bytes.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), *sum) };
        }
    }
    sum_portable(numbers, pairs, columns, done, rest);
}

/// Calls [`sum`] for tests, on a processor with AVX2.
#[cfg(test)]
pub(super) fn checked_sum(numbers: &[[i16; 2]], pairs: &[[i16; 2]], columns: usize, start: usize, sums: &mut [i32]) {
    assert!(is_x86_feature_detected!("avx2"));
    // SAFETY: the assertion found AVX2.
    unsafe { sum(numbers, pairs, columns, start, sums) };
}
