//! Products for AVX2. The lanes of a dot product are one register, and the sums are taken in the
//! order of the portable code, so results have the same bits.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{Dense, LANES, Lanes, TOGETHER, multiply, multiply_transposed};

/// The number of rows that are processed together, so that the others are loaded once for them.
const ROWS: usize = 2;

/// Computes [`Dense::times_transposed`] into `product` and returns true. Returns false and does
/// nothing if the processor lacks AVX2.
pub(super) fn times_transposed(matrix: &Dense, other: &Dense, product: &mut Dense) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { times_transposed_with_avx2(matrix, other, product) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn times_transposed_with_avx2(matrix: &Dense, other: &Dense, product: &mut Dense) {
    multiply_transposed(matrix, other, product, |rows, others| sums(rows, others));
}

/// Computes [`Dense::times`] into `product`, which holds zeros, and returns true. Returns false and
/// does nothing if the processor lacks AVX2.
pub(super) fn times(matrix: &Dense, other: &Dense, product: &mut Dense) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { times_with_avx2(matrix, other, product) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn times_with_avx2(matrix: &Dense, other: &Dense, product: &mut Dense) {
    multiply(matrix, other, product);
}

/// Returns the partial sums of the dot products of [`ROWS`] rows with [`TOGETHER`] others. LLVM
/// transposes the loop of the portable code, which takes four times as long.
#[target_feature(enable = "avx2")]
fn sums(rows: [Lanes<'_>; ROWS], others: [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; ROWS] {
    let count = rows[0].len();
    let (rows, others) = (rows.map(|row| &row[..count]), others.map(|other| &other[..count]));
    let mut sums = [[_mm256_setzero_ps(); TOGETHER]; ROWS];
    for i in 0..count {
        // SAFETY: the lanes of a row are 32 bytes.
        let rows = rows.map(|row| unsafe { _mm256_loadu_ps(row[i].as_ptr()) });
        for (c, other) in others.iter().enumerate() {
            // SAFETY: as above.
            let other = unsafe { _mm256_loadu_ps(other[i].as_ptr()) };
            for (sums, &row) in sums.iter_mut().zip(&rows) {
                sums[c] = _mm256_add_ps(sums[c], _mm256_mul_ps(row, other));
            }
        }
    }
    sums.map(|sums| {
        sums.map(|sum| {
            let mut lanes = [0.0; LANES];
            // SAFETY: eight lanes are 32 bytes.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
            lanes
        })
    })
}
