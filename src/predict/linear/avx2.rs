//! Products for AVX2. The lanes of a dot product are one register, and the sums are taken in the
//! order of the portable code, so results have the same bits.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{LANES, Lanes, Rows, TOGETHER, multiply, multiply_from_the_left, multiply_transposed};

/// The number of rows that are processed together, so that the others are loaded once for them.
const ROWS: usize = 2;

/// Does the same as [`Rows::times_transposed`] and returns true. Returns false and does nothing if
/// the processor lacks AVX2.
pub(super) fn times_transposed(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { times_transposed_with_avx2(matrix, other, product) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn times_transposed_with_avx2(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) {
    multiply_transposed(matrix, other, product, |rows, others| sums(rows, others));
}

/// Does the same as [`Rows::times`] and returns true. Returns false and does nothing if the
/// processor lacks AVX2.
pub(super) fn times(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { times_with_avx2(matrix, other, product) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn times_with_avx2(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) {
    multiply(matrix, other, product);
}

/// Does the same as [`Rows::add_transposed_times`] and returns true. Returns false and does nothing
/// if the processor lacks AVX2.
pub(super) fn add_transposed_times(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { add_transposed_times_with_avx2(matrix, other, product) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn add_transposed_times_with_avx2(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) {
    multiply_from_the_left(matrix, other, product);
}

/// Returns the partial sums of the dot products of [`ROWS`] rows with [`TOGETHER`] others. LLVM
/// transposes the loop of the portable code, which takes four times as long.
#[target_feature(enable = "avx2")]
fn sums(rows: [Lanes<'_>; ROWS], others: [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; ROWS] {
    let count = rows[0].len();
    assert!(rows.iter().chain(&others).all(|row| row.len() >= count));
    let (rows, others) = (rows.map(|row| row.as_ptr()), others.map(|other| other.as_ptr()));
    let mut sums = [[_mm256_setzero_ps(); TOGETHER]; ROWS];
    for i in 0..count {
        // SAFETY: the assertion found so many lanes in every row, and those of a row are 32 bytes.
        let rows = rows.map(|row| unsafe { _mm256_loadu_ps(row.add(i).cast()) });
        for (c, other) in others.iter().enumerate() {
            // SAFETY: as above.
            let other = unsafe { _mm256_loadu_ps(other.add(i).cast()) };
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
