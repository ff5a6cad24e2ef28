//! Products compiled for AVX2: the same lanes in one register instead of two, and so the same bits.
#![allow(unsafe_code)]

use super::{Dense, multiply_transposed};

/// [`Dense::times_transposed`] into `product`; `false`, with nothing done, where the processor does not allow it.
pub(super) fn times_transposed(matrix: &Dense, other: &Dense, product: &mut Dense) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: AVX2 is there.
        unsafe { times_transposed_with_avx2(matrix, other, product) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn times_transposed_with_avx2(matrix: &Dense, other: &Dense, product: &mut Dense) {
    multiply_transposed(matrix, other, product);
}
