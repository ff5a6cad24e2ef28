//! Merged weights: those of a base, moved by the product of the two factors of an adapter, in the
//! arithmetic of PEFT.
//!
//! A LoRA adapter has a matrix `A` of `rank` rows, and a matrix `B` of `rank` columns. The merged
//! weights are `W + scale * (B A)`. PEFT computes the product in single precision on a processor,
//! whose libraries add the terms one after the other with fused operations. A sum in double
//! precision that is rounded after each term gives the same bits on every platform.

use crate::cast::{cast, singles};
use crate::layout::Dtype;

/// The largest rank of an adapter.
pub(crate) const MAX_RANK: u64 = 1024;

/// The largest number of numbers in a factor.
pub(crate) const MAX_NUMBERS: u64 = 1 << 22;

/// Weights of a row that are moved at a time, so that their sums stay in the first-level cache.
const TILE: usize = 512;

/// The roundings between the product of the factors and the merged weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    /// The bits of the factor of the product, which is finite.
    pub(crate) scale: u32,
    /// The dtype that the product is rounded to, one of [those of factors](is_factor).
    pub(crate) product: Dtype,
    /// The dtype that the scaled product is rounded to, one of [those of factors](is_factor).
    pub(crate) change: Dtype,
}

/// Returns true for the dtypes that factors and their products may have, and merged weights.
pub(crate) fn is_factor(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// The shape of a merge, and the places of its numbers in the factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rows and columns of the merged matrix.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) rank: usize,
    /// The merged matrix is the transposed product: its rows are columns of `A`.
    pub(crate) transposed: bool,
}

impl Shape {
    /// The number of numbers in `A`.
    pub(crate) fn of_a(&self) -> usize {
        self.rank * if self.transposed { self.rows } else { self.columns }
    }

    /// The number of numbers in `B`.
    pub(crate) fn of_b(&self) -> usize {
        self.rank * if self.transposed { self.columns } else { self.rows }
    }
}

/// The factors of a run of rows.
#[derive(Debug)]
pub(crate) struct Update {
    arithmetic: Arithmetic,
    shape: Shape,
    /// The numbers of each row, one row after the other.
    rows: Vec<f32>,
    /// The numbers of each component in all columns.
    columns: Vec<f32>,
}

impl Update {
    /// Takes the factors of `count` rows from `first` on: all of `A`, and the rows of `B` or, for a
    /// transposed product, all of `B`.
    pub(crate) fn new(
        arithmetic: Arithmetic,
        shape: Shape,
        (first, count): (usize, usize),
        (a, a_dtype): (&[u8], Dtype),
        (b, b_dtype): (&[u8], Dtype),
    ) -> Self {
        let (a, b) = (singles(a_dtype, a), singles(b_dtype, b));
        let Shape { rows, columns, rank, transposed } = shape;
        if !transposed {
            return Self { arithmetic, shape, rows: b, columns: a };
        }
        let of_rows = (first..first + count).flat_map(|i| (0..rank).map(move |k| (k, i)));
        let of_columns = (0..rank).flat_map(|k| (0..columns).map(move |j| (k, j)));
        Self {
            arithmetic,
            shape,
            rows: of_rows.map(|(k, i)| a[k * rows + i]).collect(),
            columns: of_columns.map(|(k, j)| b[j * rank + k]).collect(),
        }
    }

    /// Changes the arithmetic.
    pub(crate) fn with(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Moves `words`, which begin `start` words behind the first of the rows. Returns `false` if
    /// the change of a word was no finite number.
    pub(crate) fn apply(&self, dtype: Dtype, start: usize, words: &mut [u8]) -> bool {
        let width = dtype.words().0;
        let (mut sums, mut at, mut rest, mut finite) = ([0f32; TILE], start, words, true);
        while !rest.is_empty() {
            let (row, column) = (at / self.shape.columns, at % self.shape.columns);
            let count = (self.shape.columns - column).min(TILE).min(rest.len() / width);
            let (now, later) = rest.split_at_mut(count * width);
            self.sum(row, column, &mut sums[..count]);
            finite &= self.arithmetic.move_by(dtype, &mut sums[..count], now);
            (at, rest) = (at + count, later);
        }
        finite
    }

    /// Computes the product of a row and of columns from `column` on.
    fn sum(&self, row: usize, column: usize, sums: &mut [f32]) {
        sums.fill(0.0);
        for k in 0..self.shape.rank {
            let number = f64::from(self.rows[row * self.shape.rank + k]);
            let numbers = &self.columns[k * self.shape.columns + column..][..sums.len()];
            for (sum, &other) in sums.iter_mut().zip(numbers) {
                *sum = (f64::from(*sum) + number * f64::from(other)) as f32;
            }
        }
    }
}

impl Arithmetic {
    /// Moves `words` by their products. Words that are no finite numbers, and those whose change is
    /// none, stay as they are. Returns `false` if a change is no finite number.
    fn move_by(self, dtype: Dtype, products: &mut [f32], words: &mut [u8]) -> bool {
        round(self.product, products);
        let scale = f32::from_bits(self.scale);
        products.iter_mut().for_each(|product| *product *= scale);
        round(self.change, products);
        let mut sums = singles(dtype, words);
        let mut stay = Vec::new();
        for (i, (sum, &change)) in sums.iter_mut().zip(&*products).enumerate() {
            if sum.is_finite() && change.is_finite() {
                *sum += change;
            } else {
                stay.push(i);
            }
        }
        let width = dtype.words().0;
        let kept: Vec<Vec<u8>> = stay.iter().map(|i| words[i * width..(i + 1) * width].to_vec()).collect();
        cast(Dtype::F32, dtype, &bytes(&sums), words);
        stay.iter().zip(kept).for_each(|(i, word)| words[i * width..(i + 1) * width].copy_from_slice(&word));
        products.iter().all(|change| change.is_finite())
    }
}

/// Rounds numbers to those of `dtype`.
pub(crate) fn round(dtype: Dtype, numbers: &mut [f32]) {
    if dtype != Dtype::F32 {
        let mut narrow = vec![0; numbers.len() * dtype.words().0];
        cast(Dtype::F32, dtype, &bytes(numbers), &mut narrow);
        numbers.copy_from_slice(&singles(dtype, &narrow));
    }
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { rows: 2, columns: 3, rank: 2, transposed: false };

    fn plain(scale: f32) -> Arithmetic {
        Arithmetic { scale: scale.to_bits(), product: Dtype::F32, change: Dtype::F32 }
    }

    fn merged(shape: Shape, arithmetic: Arithmetic, a: &[f32], b: &[f32], words: &[f32]) -> Vec<f32> {
        let (a, b) = ((&*bytes(a), Dtype::F32), (&*bytes(b), Dtype::F32));
        let mut moved = bytes(words);
        Update::new(arithmetic, shape, (0, shape.rows), a, b).apply(Dtype::F32, 0, &mut moved);
        singles(Dtype::F32, &moved)
    }

    #[test]
    fn products_move_the_base() {
        let (a, b) = ([1., 2., 3., 10., 20., 30.], [1., 0.5, 2., 1.]);
        let expected = [3., 6., 9., 6., 12., 18.];
        assert_eq!(merged(SHAPE, plain(0.5), &a, &b, &[0.; 6]), expected);
        // The transposed product, for a matrix of 3 rows and 2 columns.
        let shape = Shape { rows: 3, columns: 2, transposed: true, ..SHAPE };
        assert_eq!(merged(shape, plain(0.5), &a, &b, &[1.; 6]), [4., 7., 7., 13., 10., 19.]);
        assert_eq!((shape.of_a(), shape.of_b()), (6, 4));
    }

    #[test]
    fn parts_of_rows_are_moved_like_all_of_them() {
        let shape = Shape { rows: 5, columns: 1100, rank: 3, transposed: false };
        let numbers = |count: usize, step: f32| (0..count).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        let (a, b, words) = (numbers(3300, 0.7), numbers(15, 1.3), numbers(5500, 0.1));
        let whole = merged(shape, plain(0.37), &a, &b, &words);
        let some = (bytes(&a), bytes(&b[3..9]));
        let update = Update::new(plain(0.37), shape, (1, 2), (&some.0, Dtype::F32), (&some.1, Dtype::F32));
        let mut part = bytes(&words[1100 + 17..3000]);
        update.apply(Dtype::F32, 17, &mut part);
        assert_eq!(singles(Dtype::F32, &part), whole[1100 + 17..3000]);
    }

    #[test]
    fn roundings_are_those_that_are_asked_for() {
        let (a, b) = ([1.0 + 2f32.powi(-8), 0., 0., 0., 0., 0.], [1., 0., 0., 0.]);
        let first = |product, change, scale: f32| {
            let arithmetic = Arithmetic { scale: scale.to_bits(), product, change };
            merged(SHAPE, arithmetic, &a, &b, &[0.; 6])[0]
        };
        assert_eq!(first(Dtype::F32, Dtype::F32, 3.0), 3.0 + 3.0 * 2f32.powi(-8));
        // The tie goes to the even number.
        assert_eq!(first(Dtype::BF16, Dtype::F32, 3.0), 3.0);
        assert_eq!(first(Dtype::F32, Dtype::BF16, 3.0), 3.0 + 2f32.powi(-6));
    }

    #[test]
    fn numbers_that_are_not_finite_stay() {
        let infinity = f32::INFINITY;
        let moved = merged(SHAPE, plain(1.0), &[1., infinity, f32::NAN, 1., 1., 1.], &[1., 0., 1., 0.], &[7.; 6]);
        assert_eq!(moved, [8., 7., 7., 8., 7., 7.]);
        let moved = merged(SHAPE, plain(1.0), &[1.; 6], &[1.; 4], &[infinity, -infinity, f32::MAX, -0.0, 1., 2.]);
        assert_eq!(moved, [infinity, -infinity, f32::MAX, 2., 3., 4.]);
        let mut word = 0xffc1_2345_u32.to_le_bytes();
        let (a, b) = (bytes(&[1.]), bytes(&[1.]));
        let shape = Shape { rows: 1, columns: 1, rank: 1, transposed: false };
        let update = Update::new(plain(1.0), shape, (0, 1), (&a, Dtype::F32), (&b, Dtype::F32));
        update.apply(Dtype::F32, 0, &mut word);
        assert_eq!(u32::from_le_bytes(word), 0xffc1_2345);
    }
}
