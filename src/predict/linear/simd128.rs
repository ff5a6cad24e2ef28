//! The partial sums of dot products for the vector instructions of WebAssembly. The lanes of a dot
//! product are two vectors, and the sums are taken in the order of the portable code.

use std::arch::wasm32::*;

use super::{LANES, Lanes, TOGETHER};

/// Two vectors with the lanes of a row.
type Halves = [v128; 2];

/// Returns the partial sums of the dot products of one row with [`TOGETHER`] others. The sums have
/// names, since the compiler keeps those of an array in memory where it optimises for size.
pub(super) fn sums([row]: [Lanes<'_>; 1], others: [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; 1] {
    let [first, second, third, fourth] = others.map(|other| &other[..row.len()]);
    let zero = [f32x4_splat(0.0); 2];
    let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
    for (i, lanes) in row.iter().enumerate() {
        let row = load(lanes);
        a = add(a, row, load(&first[i]));
        b = add(b, row, load(&second[i]));
        c = add(c, row, load(&third[i]));
        d = add(d, row, load(&fourth[i]));
    }
    [[lanes(a), lanes(b), lanes(c), lanes(d)]]
}

#[inline(always)]
fn load(lanes: &[f32; LANES]) -> Halves {
    let [a, b, c, d, e, f, g, h] = *lanes;
    [f32x4(a, b, c, d), f32x4(e, f, g, h)]
}

#[inline(always)]
fn add([low, high]: Halves, a: Halves, b: Halves) -> Halves {
    [f32x4_add(low, f32x4_mul(a[0], b[0])), f32x4_add(high, f32x4_mul(a[1], b[1]))]
}

fn lanes([low, high]: Halves) -> [f32; LANES] {
    [
        f32x4_extract_lane::<0>(low),
        f32x4_extract_lane::<1>(low),
        f32x4_extract_lane::<2>(low),
        f32x4_extract_lane::<3>(low),
        f32x4_extract_lane::<0>(high),
        f32x4_extract_lane::<1>(high),
        f32x4_extract_lane::<2>(high),
        f32x4_extract_lane::<3>(high),
    ]
}
