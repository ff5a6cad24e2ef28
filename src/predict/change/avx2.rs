//! Differences by the portable code, compiled for AVX2, and the pull with its weights gathered
//! eight at a time.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::differences_portably;
use crate::layout::Dtype;

/// Elements of a vector.
const LANES: usize = 8;

/// Does the same as [`differences`](super::differences). Returns `None` and does nothing if the
/// processor lacks AVX2.
pub(super) fn differences(
    dtype: Dtype,
    base: &[u8],
    target: &[u8],
    data: &mut [f32],
    exponents: &mut [u8],
) -> Option<usize> {
    // SAFETY: the check finds AVX2.
    is_x86_feature_detected!("avx2").then(|| unsafe { differences_with_avx2(dtype, base, target, data, exponents) })
}

#[target_feature(enable = "avx2")]
fn differences_with_avx2(dtype: Dtype, base: &[u8], target: &[u8], data: &mut [f32], exponents: &mut [u8]) -> usize {
    differences_portably(dtype, base, target, data, exponents)
}

/// The elements of a change, their exponents, and a fit to them.
type Elements<'a> = (&'a [f32], &'a [u8], &'a mut [f32]);

/// Pulls whole vectors and returns the elements that are left: all of them on a processor without
/// AVX2.
pub(super) fn pull<'a>(
    by_exponent: &[f32; 256],
    change: &'a [f32],
    exponents: &'a [u8],
    fit: &'a mut [f32],
) -> Elements<'a> {
    if !is_x86_feature_detected!("avx2") {
        return (change, exponents, fit);
    }
    let whole = change.len().min(exponents.len()).min(fit.len()) / LANES * LANES;
    let (fits, fit) = fit.split_at_mut(whole);
    // SAFETY: the check above found AVX2.
    unsafe { pull_vectors(by_exponent, change.as_chunks().0, exponents.as_chunks().0, fits.as_chunks_mut().0) };
    (&change[whole..], &exponents[whole..], fit)
}

#[target_feature(enable = "avx2")]
fn pull_vectors(
    by_exponent: &[f32; 256],
    change: &[[f32; LANES]],
    exponents: &[[u8; LANES]],
    fit: &mut [[f32; LANES]],
) {
    for ((fit, change), exponents) in fit.iter_mut().zip(change).zip(exponents) {
        // SAFETY: eight elements are 32 bytes, and their exponents are 8. An exponent is below 256,
        // the number of weights.
        unsafe {
            let exponents = _mm256_cvtepu8_epi32(_mm_loadl_epi64(exponents.as_ptr().cast()));
            let weights = _mm256_i32gather_ps::<4>(by_exponent.as_ptr(), exponents);
            let (before, change) = (_mm256_loadu_ps(fit.as_ptr()), _mm256_loadu_ps(change.as_ptr()));
            let pulled = _mm256_add_ps(before, _mm256_mul_ps(weights, _mm256_sub_ps(change, before)));
            _mm256_storeu_ps(fit.as_mut_ptr(), pulled);
        }
    }
}
