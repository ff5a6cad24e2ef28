//! Sums of the products of a row's numbers with `V`, and weights moved by them. Numbers come in
//! pairs of 16-bit integers, since vector units multiply and add such pairs in one instruction.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use super::Stretch;
use super::float::{Bf16, Round};

/// Weights that are moved at a time, so that their sums stay in the first-level cache.
const TILE: usize = 512;

/// Writes the weights of `base`, moved by their sums, to `moved`.
pub(super) fn move_bf16(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = avx2::move_bf16(stretch, base, moved);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    let done = simd128::move_bf16(stretch, base, moved);
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
    let done = 0;
    // Tiles have a buffer to clear, which takes as long as many weights.
    if 2 * done < base.len() {
        move_by_tiles::<Bf16>(&stretch.from(done), &base[2 * done..], &mut moved[2 * done..]);
    }
}

/// Does the same as [`move_bf16`], for every type of floats.
pub(super) fn move_by_tiles<F: Round>(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if avx2::move_by_tiles::<F>(stretch, base, moved) {
        return;
    }
    tiles::<F>(stretch, base, moved, sum);
}

/// Moves weights a tile at a time. `sum` gets the part of the row, and the sums to fill.
#[inline(always)]
fn tiles<F: Round>(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8], sum: impl Fn(&Stretch<'_>, &mut [i32])) {
    let mut sums = [0; TILE];
    let tiles = base.chunks(TILE * F::BYTES).zip(moved.chunks_mut(TILE * F::BYTES));
    for (tile, (base, moved)) in tiles.enumerate() {
        let sums = &mut sums[..base.len() / F::BYTES];
        sum(&stretch.from(tile * TILE), sums);
        F::move_by(stretch.factors.step, sums, base, moved);
    }
}

/// Writes the sum of each column: the sum of the products of the row's numbers with the column's
/// numbers in `V`. Sums are modulo 2^32, so their order does not matter.
#[inline(always)]
fn sum(stretch: &Stretch<'_>, sums: &mut [i32]) {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    let done = simd128::sum(stretch, sums);
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    let done = 0;
    sum_portably(&stretch.from(done), &mut sums[done..]);
}

#[inline(always)]
fn sum_portably(stretch: &Stretch<'_>, sums: &mut [i32]) {
    sums.fill(0);
    for (&[a, b], row) in stretch.numbers.iter().zip(stretch.factors.pairs.chunks_exact(stretch.factors.columns)) {
        let (a, b) = (i32::from(a), i32::from(b));
        for (sum, &[v, w]) in sums.iter_mut().zip(&row[stretch.column..]) {
            *sum = sum.wrapping_add((a * i32::from(v)).wrapping_add(b * i32::from(w)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::Factors;

    /// Calls `test` with stretches of many shapes, extremes included.
    fn stretches(mut test: impl FnMut(&Stretch<'_>, usize)) {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 28 == 0 { i16::MIN } else { (seed >> 16) as i16 }
        };
        for (rank, columns, column) in [(1, 70, 3), (10, 1000, 0), (63, 37, 36), (8, 64, 0), (2, 600, 1)] {
            let mut numbers: Vec<[i16; 2]> = (0..usize::div_ceil(rank, 2)).map(|_| [next(), next()]).collect();
            // Rows that are not moved keep their bits.
            if rank == 2 {
                numbers.fill([0; 2]);
            }
            let v: Vec<i16> = (0..rank * columns).map(|_| next()).collect();
            let factors = Factors::new(1e-9, rank, columns, &v);
            test(&Stretch { factors: &factors, numbers: &numbers, column }, columns - column);
        }
    }

    #[test]
    fn sums_agree() {
        stretches(|stretch, columns| {
            let (mut fast, mut portable) = (vec![7; columns], vec![9; columns]);
            sum_portably(stretch, &mut portable);
            sum(stretch, &mut fast);
            assert_eq!(fast, portable);
        });
    }

    /// Every kernel moves weights as the portable code does, infinities, NaNs and zeros included.
    #[test]
    fn moves_agree() {
        stretches(|stretch, columns| {
            for start in [0u16, 0x7f00, 0x8000, 0xff60, 0x3f80] {
                let base: Vec<u8> = (0..columns as u16).flat_map(|i| (start + i % 0x90).to_le_bytes()).collect();
                let [mut fast, mut by_tiles, mut portable] = [(); 3].map(|()| vec![1; base.len()]);
                tiles::<Bf16>(stretch, &base, &mut portable, sum_portably);
                move_by_tiles::<Bf16>(stretch, &base, &mut by_tiles);
                move_bf16(stretch, &base, &mut fast);
                assert!(fast == portable && by_tiles == portable, "{start:04x}");
            }
        });
    }
}
