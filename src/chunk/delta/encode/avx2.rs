//! The portable code, compiled for AVX2.
#![allow(unsafe_code)]

use super::Coding;
use super::elements::Strip;
use crate::delta::word::Word;

/// Does the same as [`Strip::compute_portably`]. Returns `None` and does nothing if the processor
/// lacks AVX2.
pub(super) fn compute<W: Word>(strip: &mut Strip<'_, W>, coding: Coding<'_>, start: usize) -> Option<usize> {
    // SAFETY: the check finds AVX2.
    is_x86_feature_detected!("avx2").then(|| unsafe { compute_with_avx2(strip, coding, start) })
}

#[target_feature(enable = "avx2")]
fn compute_with_avx2<W: Word>(strip: &mut Strip<'_, W>, coding: Coding<'_>, start: usize) -> usize {
    strip.compute_portably(coding, start)
}
