//! The portable code compiled for processors with AVX2, whose vectors have twice as many weights.
//!
//! The functions do the same as the portable ones and return true. They return false and do nothing
//! if the processor lacks AVX2.
#![allow(unsafe_code)]

use super::{Model, Strip};
use crate::quant::Levels;

pub(super) fn place(strip: &mut Strip, levels: &Levels) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { place_with_avx2(strip, levels) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn place_with_avx2(strip: &mut Strip, levels: &Levels) {
    strip.place_portably(levels);
}

pub(super) fn add_distances(strip: &mut Strip, model: Model) -> bool {
    let able = is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the check above found AVX2.
        unsafe { add_with_avx2(strip, model) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn add_with_avx2(strip: &mut Strip, model: Model) {
    strip.add_distances_portably(model);
}
