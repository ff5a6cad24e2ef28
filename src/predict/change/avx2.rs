//! Differences by the portable code, compiled for AVX2, and the pull of eight elements at a time.
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
    let near = Near::of(by_exponent);
    for ((fit, change), exponents) in fit.iter_mut().zip(change).zip(exponents) {
        // SAFETY: eight elements are 32 bytes, and their exponents are 8.
        unsafe {
            let exponents = _mm256_cvtepu8_epi32(_mm_loadl_epi64(exponents.as_ptr().cast()));
            let weights = near.look_up(by_exponent, exponents);
            let (before, change) = (_mm256_loadu_ps(fit.as_ptr()), _mm256_loadu_ps(change.as_ptr()));
            let pulled = _mm256_add_ps(before, _mm256_mul_ps(weights, _mm256_sub_ps(change, before)));
            _mm256_storeu_ps(fit.as_mut_ptr(), pulled);
        }
    }
}

/// The weights of the exponents that most elements have. Low exponents share a weight, and few
/// elements are much larger than most. A look-up in registers takes a third of the time of one in
/// memory.
struct Near {
    /// The last of the low exponents that share a weight.
    first: __m256i,
    /// The weights from that exponent on.
    weights: [__m256; 2],
}

impl Near {
    /// The number of weights.
    const COUNT: usize = 2 * LANES;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(by_exponent: &[f32; 256]) -> Self {
        let shared = by_exponent.iter().take_while(|&&weight| weight == by_exponent[0]).count();
        let first = shared.saturating_sub(1).min(by_exponent.len() - Self::COUNT);
        let place = by_exponent[first..first + Self::COUNT].as_ptr();
        // SAFETY: the slice has both vectors.
        let weights = unsafe { [_mm256_loadu_ps(place), _mm256_loadu_ps(place.add(LANES))] };
        Self { first: _mm256_set1_epi32(first as i32), weights }
    }

    /// Returns the weights of eight exponents, which must be below 256.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn look_up(&self, by_exponent: &[f32; 256], exponents: __m256i) -> __m256 {
        let places = _mm256_sub_epi32(_mm256_max_epi32(exponents, self.first), self.first);
        let far = _mm256_cmpgt_epi32(places, _mm256_set1_epi32(Self::COUNT as i32 - 1));
        if _mm256_testz_si256(far, far) == 0 {
            // SAFETY: an exponent is below 256, the number of weights.
            return unsafe { _mm256_i32gather_ps::<4>(by_exponent.as_ptr(), exponents) };
        }
        let [low, high] = self.weights.map(|weights| _mm256_permutevar8x32_ps(weights, places));
        // The bit that tells the vectors apart becomes the sign, which selects.
        _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places)))
    }
}
