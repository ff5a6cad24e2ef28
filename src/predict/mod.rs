//! Low-rank predictions of a fine-tune's change, which move the base before deltas are taken.
//!
//! Much of a fine-tune's change lies along a few directions; that of a merged LoRA does so by
//! construction. *Factors* of small integers, `U` (rows x rank) and `V` (rank x columns), tell how
//! far each weight of the base is moved, and the rest of the codec works on the moved base. A
//! region has one `V`, and each of its chunks has its own rows of `U`.

pub(crate) mod change;
pub(crate) mod fit;
pub(crate) mod float;
mod linear;
mod products;
pub(crate) mod stored;
pub(crate) mod subspace;

use crate::layout::Dtype;
use float::Round;

/// The largest number of components of a prediction.
pub(crate) const MAX_RANK: usize = 64;

/// The largest number of integers in `V`.
pub(crate) const MAX_NUMBERS: usize = 1 << 22;

/// Weights of a row that are moved at a time, so that their sums stay in the first-level cache.
const TILE: usize = 512;

/// The factors of a region that all its chunks share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factors {
    /// The amount by which a product of 1 moves a weight.
    step: f32,
    columns: usize,
    rank: usize,
    /// `V` by pairs of components: for each pair, the two numbers of every column side by side. If
    /// the rank is odd, the last component is paired with zeros.
    pairs: Vec<[i16; 2]>,
}

impl Factors {
    /// Makes the factors of `v`, which holds `columns` numbers for each of `rank` components.
    pub(crate) fn new(step: f32, rank: usize, columns: usize, v: &[i16]) -> Self {
        let mut pairs = Vec::with_capacity(rank.div_ceil(2) * columns);
        for rows in v.chunks(2 * columns) {
            let (first, second) = rows.split_at(columns.min(rows.len()));
            let second = second.iter().copied().chain(std::iter::repeat(0));
            pairs.extend(first.iter().zip(second).map(|(&a, b)| [a, b]));
        }
        Self { step, columns, rank, pairs }
    }

    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// Returns true if weights of this dtype can be moved.
    pub(crate) fn moves(dtype: Dtype) -> bool {
        matches!(dtype, Dtype::BF16 | Dtype::F16 | Dtype::F32 | Dtype::F64)
    }

    /// Writes the weights of `base`, moved by `u`, to `moved`.
    ///
    /// `base` is a run of rows, of which the last may be short; `moved` has its length. `u` holds a
    /// number per row, component by component. Weights of a dtype that cannot be moved are copied.
    pub(crate) fn apply(&self, dtype: Dtype, u: &[i16], base: &[u8], moved: &mut [u8]) {
        match dtype {
            Dtype::BF16 => self.apply_to::<float::Bf16>(u, base, moved),
            Dtype::F16 => self.apply_to::<float::F16>(u, base, moved),
            Dtype::F32 => self.apply_to::<float::F32>(u, base, moved),
            Dtype::F64 => self.apply_to::<float::F64>(u, base, moved),
            _ => moved.copy_from_slice(base),
        }
    }

    fn apply_to<F: Round>(&self, u: &[i16], base: &[u8], moved: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if products::avx2::apply::<F>(self, u, base, moved) {
            return;
        }
        self.apply_rows::<F>(u, base, moved, |numbers, start, sums| {
            products::sum(numbers, &self.pairs, self.columns, start, sums);
        });
    }

    /// Moves the base row by row, a tile at a time. `sum` gets the numbers of a row, the first
    /// column of a tile and the sums to fill.
    #[inline(always)]
    fn apply_rows<F: Round>(
        &self,
        u: &[i16],
        base: &[u8],
        moved: &mut [u8],
        mut sum: impl FnMut(&[[i16; 2]], usize, &mut [i32]),
    ) {
        let row = self.columns * F::BYTES;
        let rows = base.len().div_ceil(row);
        let mut numbers = vec![[0; 2]; self.rank.div_ceil(2)];
        for (i, (base, moved)) in base.chunks(row).zip(moved.chunks_mut(row)).enumerate() {
            for (k, pair) in numbers.iter_mut().enumerate() {
                let number = |k: usize| if k < self.rank { u[k * rows + i] } else { 0 };
                *pair = [number(2 * k), number(2 * k + 1)];
            }
            let tiles = base.chunks(TILE * F::BYTES).zip(moved.chunks_mut(TILE * F::BYTES));
            for (tile, (base, moved)) in tiles.enumerate() {
                let mut sums = [0; TILE];
                let sums = &mut sums[..base.len() / F::BYTES];
                sum(&numbers, tile * TILE, sums);
                F::move_by(self.step, sums, base, moved);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases have odd ranks, short last rows and more columns than a tile.
    #[test]
    fn sums_match_the_definition() {
        for (rank, columns, words) in [(1, 1, 5usize), (3, 7, 40), (2, 1500, 3100), (5, 512, 1024)] {
            let v: Vec<i16> = (0..rank * columns).map(|i| (i * 7919 % 2001) as i16 - 1000).collect();
            let rows = words.div_ceil(columns);
            let u: Vec<i16> = (0..rank * rows).map(|i| (i * 104_729 % 301) as i16 - 150).collect();
            let base: Vec<u8> = (0..words).flat_map(|i| (i as f32 * 0.25 - 3.0).to_le_bytes()).collect();
            let mut moved = vec![0; base.len()];
            Factors::new(0.5, rank, columns, &v).apply(Dtype::F32, &u, &base, &mut moved);
            for (i, word) in moved.as_chunks::<4>().0.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let product = |k| i32::from(u[k * rows + row]) * i32::from(v[k * columns + column]);
                let sum: i32 = (0..rank).map(product).sum();
                assert_eq!(f32::from_le_bytes(*word), i as f32 * 0.25 - 3.0 + sum as f32 * 0.5);
            }
        }
    }

    #[test]
    fn sums_beyond_the_range_wrap() {
        let factors = Factors::new(1.0, 3, 1, &[i16::MIN; 3]);
        let mut moved = [0; 4];
        factors.apply(Dtype::F32, &[i16::MIN; 3], &[0; 4], &mut moved);
        assert_eq!(f32::from_le_bytes(moved), (3u32 << 30) as i32 as f32);
    }
}
