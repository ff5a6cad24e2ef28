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

/// The largest number of components of a prediction.
pub(crate) const MAX_RANK: usize = 64;

/// The largest number of integers in `V`.
pub(crate) const MAX_NUMBERS: usize = 1 << 22;

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
    /// `base` is a run of weights of a chunk, from its weight `start` on; `moved` has its length.
    /// `u` holds a number per row of the chunk, component by component. Weights of a dtype that
    /// cannot be moved are copied.
    pub(crate) fn apply(&self, dtype: Dtype, u: &[i16], start: usize, base: &[u8], moved: &mut [u8]) {
        match dtype {
            Dtype::BF16 => self.apply_rows(2, u, start, base, moved, &products::move_bf16),
            Dtype::F16 => self.apply_rows(2, u, start, base, moved, &products::move_by_tiles::<float::F16>),
            Dtype::F32 => self.apply_rows(4, u, start, base, moved, &products::move_by_tiles::<float::F32>),
            Dtype::F64 => self.apply_rows(8, u, start, base, moved, &products::move_by_tiles::<float::F64>),
            _ => moved.copy_from_slice(base),
        }
    }

    /// Calls `stretch` with each row's part of `base` and `moved`, whose weights have `width`
    /// bytes.
    fn apply_rows(
        &self,
        width: usize,
        u: &[i16],
        start: usize,
        mut base: &[u8],
        mut moved: &mut [u8],
        stretch: &MoveStretch,
    ) {
        let rows = u.len() / self.rank.max(1);
        let (mut row, mut column) = (start / self.columns, start % self.columns);
        let mut numbers = [[0; 2]; MAX_RANK / 2];
        let numbers = &mut numbers[..self.rank.div_ceil(2)];
        while !base.is_empty() {
            for (k, pair) in numbers.iter_mut().enumerate() {
                let number = |k: usize| if k < self.rank { u[k * rows + row] } else { 0 };
                *pair = [number(2 * k), number(2 * k + 1)];
            }
            let count = base.len().min((self.columns - column) * width);
            let (here, others) = base.split_at(count);
            let (to, rest) = moved.split_at_mut(count);
            stretch(&Stretch { factors: self, numbers, column }, here, to);
            (base, moved, row, column) = (others, rest, row + 1, 0);
        }
    }
}

/// A function that moves the base's weights of a stretch, and writes the moved ones.
type MoveStretch = dyn Fn(&Stretch<'_>, &[u8], &mut [u8]);

/// A part of a row that is moved.
struct Stretch<'a> {
    factors: &'a Factors,
    /// The numbers of the row, by pairs of components.
    numbers: &'a [[i16; 2]],
    /// The first column.
    column: usize,
}

impl Stretch<'_> {
    /// Returns the same numbers from a later column on.
    fn from(&self, columns: usize) -> Self {
        Self { column: self.column + columns, ..*self }
    }

    /// Returns the place of the first column's numbers in the first row of `V`, after a check that
    /// each row has `count` columns from there on, for kernels that check no more.
    #[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))]
    fn place(&self, count: usize) -> *const [i16; 2] {
        let Factors { columns, pairs, .. } = self.factors;
        assert!(self.column + count <= *columns && self.numbers.len() * columns <= pairs.len());
        pairs[self.column..].as_ptr()
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
            let factors = Factors::new(0.5, rank, columns, &v);
            // Parts of any length are moved as the whole is.
            for (part, (base, moved)) in base.chunks(4 * 37).zip(moved.chunks_mut(4 * 37)).enumerate() {
                factors.apply(Dtype::F32, &u, part * 37, base, moved);
            }
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
        factors.apply(Dtype::F32, &[i16::MIN; 3], 0, &[0; 4], &mut moved);
        assert_eq!(f32::from_le_bytes(moved), (3u32 << 30) as i32 as f32);
    }
}
