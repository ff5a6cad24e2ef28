//! Products compiled for AVX2. The same lanes are in one register instead of two, so results have
//! the same bits.
#![allow(unsafe_code)]

use super::{Dense, multiply_transposed};

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
    multiply_transposed(matrix, other, product);
}
