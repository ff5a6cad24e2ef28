//! The sums of a stretch, four changes at a time, for WebAssembly.

use std::arch::wasm32::*;

use super::Stretch;
use crate::simd128::{load, load_half, store};

/// Changes that are computed at a time, in two vectors of doubles.
const LANES: usize = 4;

/// Adds whole blocks of changes and returns the elements that are left.
#[inline(never)]
pub(super) fn add_stretch<'a>(
    steps: &'a [f32],
    exponents: &'a [u16],
    raise: u16,
    row: &mut [f64; LANES],
    columns: &'a mut [f64],
) -> Stretch<'a> {
    let whole = steps.len().min(exponents.len()).min(columns.len()) / LANES * LANES;
    let (blocks, columns) = columns.split_at_mut(whole);
    let row = row.as_chunks_mut::<2>().0;
    let (mut low, mut high) = (load(&row[0]), load(&row[1]));
    let changes = steps.as_chunks::<LANES>().0.iter().zip(exponents.as_chunks::<LANES>().0);
    for (columns, (steps, exponents)) in blocks.as_chunks_mut::<LANES>().0.iter_mut().zip(changes) {
        let steps = load(steps);
        let raised = i16x8_add(load_half(exponents), u16x8_splat(raise));
        let clamped = u16x8_min(u16x8_max(raised, u16x8_splat(1)), u16x8_splat(2046));
        let powers = u32x4_extend_low_u16x8(clamped);
        let first = change(steps, u64x2_extend_low_u32x4(powers));
        let last = change(i64x2_shuffle::<1, 0>(steps, steps), u64x2_extend_high_u32x4(powers));
        (low, high) = (f64x2_add(low, first), f64x2_add(high, last));
        let columns = columns.as_chunks_mut::<2>().0;
        store(f64x2_add(load(&columns[0]), first), &mut columns[0]);
        store(f64x2_add(load(&columns[1]), last), &mut columns[1]);
    }
    store(low, &mut row[0]);
    store(high, &mut row[1]);
    (&steps[whole..], &exponents[whole..], columns)
}

/// Returns the low two steps times the powers of two with these exponents.
#[inline(always)]
fn change(steps: v128, exponents: v128) -> v128 {
    f64x2_mul(f64x2_promote_low_f32x4(steps), i64x2_shl(exponents, 52))
}
