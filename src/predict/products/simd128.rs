//! The sums for the vector instructions of WebAssembly.

use std::arch::wasm32::*;

/// Columns of a vector.
const LANES: usize = 4;

/// Columns that are summed at a time.
const BLOCK: usize = 4 * LANES;

/// Sums whole blocks of columns. Returns the first column that is left, and the sums that are left.
#[inline(always)]
pub(super) fn sum<'a>(
    numbers: &[[i16; 2]],
    pairs: &[[i16; 2]],
    columns: usize,
    start: usize,
    sums: &'a mut [i32],
) -> (usize, &'a mut [i32]) {
    let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
    let done = start + blocks.len() * BLOCK;
    for (i, block) in blocks.iter_mut().enumerate() {
        let mut sums = [i32x4_splat(0); BLOCK / LANES];
        for (&[a, b], row) in numbers.iter().zip(pairs.chunks_exact(columns)) {
            let number = i16x8(a, b, a, b, a, b, a, b);
            let row = row[start + i * BLOCK..][..BLOCK].as_chunks::<LANES>().0;
            for (sum, [[a, b], [c, d], [e, f], [g, h]]) in sums.iter_mut().zip(row) {
                let pairs = i16x8(*a, *b, *c, *d, *e, *f, *g, *h);
                *sum = i32x4_add(*sum, i32x4_dot_i16x8(pairs, number));
            }
        }
        for (sum, out) in sums.iter().zip(block.as_chunks_mut::<LANES>().0) {
            *out = [
                i32x4_extract_lane::<0>(*sum),
                i32x4_extract_lane::<1>(*sum),
                i32x4_extract_lane::<2>(*sum),
                i32x4_extract_lane::<3>(*sum),
            ];
        }
    }
    (done, rest)
}
