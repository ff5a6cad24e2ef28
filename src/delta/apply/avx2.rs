//! The portable code, compiled for AVX2.
#![allow(unsafe_code)]

use super::apply_portably;
use crate::delta::word::Word;
use crate::layout::dtype::Fields;

/// Does the same as [`apply_direct`](super::apply_direct()) and returns true. Returns false and
/// does nothing if the processor lacks AVX2.
pub(super) fn apply_direct<W: Word>(fields: Fields, words: &mut [W], tokens: &[u8]) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { apply_with_avx2(fields, words, tokens) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn apply_with_avx2<W: Word>(fields: Fields, words: &mut [W], tokens: &[u8]) {
    apply_portably(fields, words, tokens);
}
