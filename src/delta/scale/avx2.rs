//! The sums of a stretch, four changes at a time, for AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Stretch;

/// Changes of a vector.
const LANES: usize = 4;

/// Adds whole vectors of changes and returns the elements that are left: all of them on a processor
/// without AVX2.
pub(super) fn add_stretch<'a>(
    steps: &'a [f32],
    exponents: &'a [u16],
    raise: u16,
    row: &mut [f64; LANES],
    columns: &'a mut [f64],
) -> Stretch<'a> {
    if !is_x86_feature_detected!("avx2") {
        return (steps, exponents, columns);
    }
    let whole = steps.len().min(exponents.len()).min(columns.len()) / LANES * LANES;
    let (vectors, columns) = columns.split_at_mut(whole);
    // SAFETY: the check above found AVX2.
    unsafe { add_vectors(steps.as_chunks().0, exponents.as_chunks().0, raise, row, vectors.as_chunks_mut().0) };
    (&steps[whole..], &exponents[whole..], columns)
}

#[target_feature(enable = "avx2")]
fn add_vectors(
    steps: &[[f32; LANES]],
    exponents: &[[u16; LANES]],
    raise: u16,
    row: &mut [f64; LANES],
    columns: &mut [[f64; LANES]],
) {
    let raise = _mm_set1_epi16(raise as i16);
    // SAFETY: four sums are 32 bytes.
    let mut sums = unsafe { _mm256_loadu_pd(row.as_ptr()) };
    for ((steps, exponents), columns) in steps.iter().zip(exponents).zip(columns) {
        // SAFETY: four steps are 16 bytes, and four exponents are 8.
        let (steps, exponents) = unsafe { (_mm_loadu_ps(steps.as_ptr()), _mm_loadl_epi64(exponents.as_ptr().cast())) };
        let raised = _mm_max_epu16(_mm_add_epi16(exponents, raise), _mm_set1_epi16(1));
        let clamped = _mm256_cvtepu16_epi64(_mm_min_epu16(raised, _mm_set1_epi16(2046)));
        let power = _mm256_castsi256_pd(_mm256_slli_epi64::<52>(clamped));
        let change = _mm256_mul_pd(_mm256_cvtps_pd(steps), power);
        sums = _mm256_add_pd(sums, change);
        // SAFETY: four sums are 32 bytes.
        unsafe { _mm256_storeu_pd(columns.as_mut_ptr(), _mm256_add_pd(_mm256_loadu_pd(columns.as_ptr()), change)) };
    }
    // SAFETY: as above.
    unsafe { _mm256_storeu_pd(row.as_mut_ptr(), sums) };
}
