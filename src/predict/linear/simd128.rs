//! Products for the vector instructions of WebAssembly. The lanes of a dot product are two vectors,
//! and the sums are taken in the order of the portable code.

use std::arch::wasm32::*;

use super::{LANES, Lanes, TOGETHER};
use crate::simd128::{load, store};

/// The elements of a vector.
const VECTOR: usize = 4;

/// Two vectors with the lanes of a row.
type Halves = [v128; 2];

/// Returns the partial sums of the dot products of one row with [`TOGETHER`] others. The sums have
/// names, since the compiler keeps those of an array in memory where it optimises for size.
pub(super) fn sums([row]: [Lanes<'_>; 1], others: [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; 1] {
    let [first, second, third, fourth] = others.map(|other| &other[..row.len()]);
    let zero = [f32x4_splat(0.0); 2];
    let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
    for ((((row, first), second), third), fourth) in row.iter().zip(first).zip(second).zip(third).zip(fourth) {
        let row = halves(row);
        a = add(a, row, halves(first));
        b = add(b, row, halves(second));
        c = add(c, row, halves(third));
        d = add(d, row, halves(fourth));
    }
    [[lanes(a), lanes(b), lanes(c), lanes(d)]]
}

/// Returns the partial sums of the dot product of two rows.
pub(super) fn dot_sums(a: Lanes<'_>, b: Lanes<'_>) -> [f32; LANES] {
    let zero = [f32x4_splat(0.0); 2];
    lanes(a.iter().zip(b).fold(zero, |sums, (a, b)| add(sums, halves(a), halves(b))))
}

/// Adds the whole vectors of [`TOGETHER`] rows to `out`, each row times its weight. Returns the
/// number of elements that it added.
#[inline(never)]
pub(super) fn add_four(out: &mut [f32], rows: [&[f32]; TOGETHER], weights: [f32; TOGETHER]) -> usize {
    let [w, x, y, z] = rows.map(|row| row.as_chunks::<VECTOR>().0);
    let [a, b, c, d] = weights.map(|weight| f32x4_splat(weight));
    let out = out.as_chunks_mut::<VECTOR>().0;
    for ((((out, w), x), y), z) in out.iter_mut().zip(w).zip(x).zip(y).zip(z) {
        let low = f32x4_add(f32x4_mul(a, load(w)), f32x4_mul(b, load(x)));
        let high = f32x4_add(f32x4_mul(c, load(y)), f32x4_mul(d, load(z)));
        store(f32x4_add(load(out), f32x4_add(low, high)), out);
    }
    out.len() * VECTOR
}

#[inline(always)]
fn halves(lanes: &[f32; LANES]) -> Halves {
    let (vectors, _) = lanes.as_chunks::<VECTOR>();
    [load(&vectors[0]), load(&vectors[1])]
}

#[inline(always)]
fn add([low, high]: Halves, a: Halves, b: Halves) -> Halves {
    [f32x4_add(low, f32x4_mul(a[0], b[0])), f32x4_add(high, f32x4_mul(a[1], b[1]))]
}

fn lanes([low, high]: Halves) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    let (vectors, _) = lanes.as_chunks_mut::<VECTOR>();
    store(low, &mut vectors[0]);
    store(high, &mut vectors[1]);
    lanes
}
