//! Dense matrices of single precision, and their products and decompositions.
//!
//! Sums are taken in a fixed order, in lanes that fit a vector unit, so that every platform gets
//! the same bits: archives must not depend on the machine that encodes them.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod decompose;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

pub(crate) use decompose::{eigen, invert};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use simd128::dot_sums;

/// The number of partial sums of a dot product.
const LANES: usize = 8;

/// The number of rows that are processed together, so that the data they share is loaded once.
const TOGETHER: usize = 4;

/// A matrix whose rows lie one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    pub(crate) columns: usize,
    pub(crate) data: Vec<f32>,
}

impl Dense {
    pub(crate) fn zeros(rows: usize, columns: usize) -> Self {
        Self { columns, data: vec![0.0; rows * columns] }
    }

    pub(crate) fn rows(&self) -> usize {
        self.data.len() / self.columns.max(1)
    }

    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.columns..(i + 1) * self.columns]
    }

    /// Returns the first `rows` rows.
    pub(crate) fn truncated(&self, rows: usize) -> Self {
        Self { columns: self.columns, data: self.data[..rows * self.columns].to_vec() }
    }

    /// Returns the sum of the squares of all elements.
    pub(crate) fn energy(&self) -> f64 {
        self.data.chunks(self.columns.max(1)).map(|row| f64::from(dot(row, row))).sum()
    }

    /// Returns all rows.
    pub(crate) fn all(&self) -> Rows<'_> {
        Rows { columns: self.columns, data: &self.data }
    }

    /// Returns `self` times `other` transposed: the dot product of each row of `self` with each of
    /// `other`.
    pub(crate) fn times_transposed(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.rows(), other.rows());
        self.all().times_transposed(other.all(), &mut product.data);
        product
    }

    /// Returns `self` transposed times `other`: every row of the result is a weighted sum of rows
    /// of `other`.
    pub(crate) fn transposed_times(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.columns, other.columns);
        self.all().add_transposed_times(other.all(), &mut product.data);
        product
    }

    /// Returns `self` times `other`. Of `other` only as many rows are used as `self` has columns.
    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.rows(), other.columns);
        self.all().times(other.all(), &mut product.data);
        product
    }

    /// Makes the rows orthonormal, from the first to the last; a row that depends on earlier ones
    /// becomes zeros.
    pub(crate) fn orthonormalise(&mut self) {
        for i in 0..self.rows() {
            let (done, rest) = self.data.split_at_mut(i * self.columns);
            let row = &mut rest[..self.columns];
            let before = dot(row, row);
            // Two passes are enough, by W. Kahan's rule for Gram-Schmidt.
            for _ in 0..2 {
                for other in done.chunks_exact(row.len()) {
                    let share = dot(row, other);
                    row.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
                }
            }
            let energy = dot(row, row);
            let scale = if energy > before * 1e-10 { 1.0 / energy.sqrt() } else { 0.0 };
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

/// Rows of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) columns: usize,
    pub(crate) data: &'a [f32],
}

impl<'a> Rows<'a> {
    pub(crate) fn count(self) -> usize {
        self.data.len() / self.columns.max(1)
    }

    fn row(self, i: usize) -> &'a [f32] {
        &self.data[i * self.columns..(i + 1) * self.columns]
    }

    /// Returns the rows in runs of `count`, of which the last may be shorter.
    pub(crate) fn runs(self, count: usize) -> impl Iterator<Item = Self> {
        self.data.chunks(count * self.columns.max(1)).map(move |data| Self { data, ..self })
    }

    /// Writes these rows times `other` transposed to `product`: the dot product of each row with
    /// each of `other`.
    pub(crate) fn times_transposed(self, other: Self, product: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if avx2::times_transposed(self, other, product) {
            return;
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        multiply_transposed(self, other, product, simd128::sums);
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        multiply_transposed(self, other, product, sums);
    }

    /// Adds these rows transposed times `other` to `product`: weighted sums of rows of `other` to
    /// each of its rows. Runs of rows add up to the same bits as all of them at once if each run
    /// but the last has a multiple of [`TOGETHER`].
    pub(crate) fn add_transposed_times(self, other: Self, product: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if avx2::add_transposed_times(self, other, product) {
            return;
        }
        multiply_from_the_left(self, other, product);
    }

    /// Writes these rows times `other` to `product`. Of `other` only as many rows are used as these
    /// have columns.
    pub(crate) fn times(self, other: Self, product: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if avx2::times(self, other, product) {
            return;
        }
        multiply(self, other, product);
    }
}

/// The elements of a row in lanes, without those of an incomplete last lane.
type Lanes<'a> = &'a [[f32; LANES]];

/// Does the same as [`Rows::times_transposed`]. `sums` returns the partial sums of the dot products
/// of `ROWS` rows with [`TOGETHER`] others.
#[inline(always)]
fn multiply_transposed<const ROWS: usize>(
    matrix: Rows<'_>,
    other: Rows<'_>,
    product: &mut [f32],
    sums: impl Fn([Lanes<'_>; ROWS], [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; ROWS],
) {
    let (height, width) = (matrix.count(), other.count());
    let (whole_rows, whole_others) = (height - height % ROWS, width - width % TOGETHER);
    let tail = matrix.columns - matrix.columns % LANES;
    let lanes = |row| <[f32]>::as_chunks::<LANES>(row).0;
    for i in (0..whole_rows).step_by(ROWS) {
        let rows: [Lanes<'_>; ROWS] = std::array::from_fn(|r| lanes(matrix.row(i + r)));
        for k in (0..whole_others).step_by(TOGETHER) {
            let sums = sums(rows, std::array::from_fn(|c| lanes(other.row(k + c))));
            for (r, sums) in sums.iter().enumerate() {
                for (c, &sums) in sums.iter().enumerate() {
                    let (row, other) = (&matrix.row(i + r)[tail..], &other.row(k + c)[tail..]);
                    product[(i + r) * width + k + c] = finish(sums, row, other);
                }
            }
        }
    }
    for i in 0..height {
        let done = if i < whole_rows { whole_others } else { 0 };
        for k in done..width {
            product[i * width + k] = dot(matrix.row(i), other.row(k));
        }
    }
}

/// Returns the partial sums of the dot products of one row with [`TOGETHER`] others.
#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
fn sums([row]: [Lanes<'_>; 1], others: [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; 1] {
    let mut sums = [[0f32; LANES]; TOGETHER];
    for (i, lanes) in row.iter().enumerate() {
        for (sums, other) in sums.iter_mut().zip(&others) {
            for j in 0..LANES {
                sums[j] += lanes[j] * other[i][j];
            }
        }
    }
    [sums]
}

/// Does the same as [`Rows::times`].
#[inline(always)]
fn multiply(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) {
    for (weights, out) in matrix.data.chunks_exact(matrix.columns).zip(product.chunks_exact_mut(other.columns)) {
        out.fill(0.0);
        for (first, rows) in other.data[..matrix.columns * other.columns].chunks(TOGETHER * other.columns).enumerate() {
            add_rows(out, rows, |i| weights.get(first * TOGETHER + i).copied().unwrap_or(0.0));
        }
    }
}

/// Does the same as [`Rows::add_transposed_times`].
#[inline(always)]
fn multiply_from_the_left(matrix: Rows<'_>, other: Rows<'_>, product: &mut [f32]) {
    for (weights, rows) in matrix.runs(TOGETHER).zip(other.runs(TOGETHER)) {
        for (k, out) in product.chunks_exact_mut(other.columns).enumerate() {
            add_rows(out, rows.data, |i| weights.data.get(i * matrix.columns + k).copied().unwrap_or(0.0));
        }
    }
}

/// Adds up to [`TOGETHER`] `rows` to `out`, each times its weight.
#[inline(always)]
fn add_rows(out: &mut [f32], rows: &[f32], weight: impl Fn(usize) -> f32) {
    let columns = out.len();
    if rows.len() == TOGETHER * columns {
        let (a, b, c, d) = (weight(0), weight(1), weight(2), weight(3));
        let (first, second) = rows.split_at(2 * columns);
        let ((w, x), (y, z)) = (first.split_at(columns), second.split_at(columns));
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let done = simd128::add_four(out, [w, x, y, z], [a, b, c, d]);
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        let done = 0;
        let rest = out[done..].iter_mut().zip(&w[done..]).zip(&x[done..]).zip(&y[done..]).zip(&z[done..]);
        rest.for_each(|((((out, w), x), y), z)| *out += (a * w + b * x) + (c * y + d * z));
        return;
    }
    for (i, row) in rows.chunks_exact(columns).enumerate() {
        let weight = weight(i);
        out.iter_mut().zip(row).for_each(|(out, x)| *out += weight * x);
    }
}

/// Returns the dot product of two rows.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    finish(dot_sums(a, b), a_rest, b_rest)
}

/// Returns the partial sums of the dot product of two rows.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn dot_sums(a: Lanes<'_>, b: Lanes<'_>) -> [f32; LANES] {
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for j in 0..LANES {
            sums[j] += a[j] * b[j];
        }
    }
    sums
}

/// Adds up the lanes of a dot product and the products of the elements that are left.
#[inline(always)]
fn finish(sums: [f32; LANES], a: &[f32], b: &[f32]) -> f32 {
    let rest: f32 = a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
    let [a, b, c, d, e, f, g, h] = sums;
    (((a + e) + (b + f)) + ((c + g) + (d + h))) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample(rows: usize, columns: usize) -> Dense {
        let mut seed = 3u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608.0 - 1.0
        };
        Dense { columns, data: (0..rows * columns).map(|_| next()).collect() }
    }

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-4
    }

    #[test]
    fn products_match_the_definition() {
        for (m, n, k) in [(1, 1, 1), (5, 19, 7), (8, 16, 4), (9, 33, 6)] {
            let (a, b, c) = (sample(m, n), sample(k, n), sample(m, k));
            let (abt, atc, cb) = (a.times_transposed(&b), a.transposed_times(&c), c.times(&b));
            for i in 0..m {
                (0..k).for_each(|j| assert!(close(abt.row(i)[j], dot(a.row(i), b.row(j)))));
                for j in 0..n {
                    let sum: f32 = (0..k).map(|l| c.row(i)[l] * b.row(l)[j]).sum();
                    assert!(close(cb.row(i)[j], sum));
                }
            }
            for i in 0..n {
                for j in 0..k {
                    let sum: f32 = (0..m).map(|l| a.row(l)[i] * c.row(l)[j]).sum();
                    assert!(close(atc.row(i)[j], sum));
                }
            }
        }
    }

    /// The code for a vector unit computes the same bits as the portable code, runs of rows those
    /// of all rows, and a product replaces other numbers.
    #[test]
    fn products_have_the_same_bits_everywhere() {
        let (a, b, c) = (sample(13, 203), sample(11, 203), sample(13, 11));
        let (mut portable, mut fast) = (vec![0.0; 13 * 11], vec![5.0; 13 * 11]);
        multiply_transposed(a.all(), b.all(), &mut portable, sums);
        a.all().times_transposed(b.all(), &mut fast);
        assert_eq!(fast, portable);
        let (mut portable, mut fast) = (vec![7.0; 13 * 203], vec![5.0; 13 * 203]);
        multiply(c.all(), b.all(), &mut portable);
        c.all().times(b.all(), &mut fast);
        assert_eq!(fast, portable);
        let (mut portable, mut fast) = (vec![1.0; 11 * 203], vec![1.0; 11 * 203]);
        multiply_from_the_left(c.all(), a.all(), &mut portable);
        for (c, a) in c.all().runs(2 * TOGETHER).zip(a.all().runs(2 * TOGETHER)) {
            c.add_transposed_times(a, &mut fast);
        }
        assert_eq!(fast, portable);
    }

    #[test]
    fn rows_become_orthonormal() {
        let mut matrix = sample(6, 40);
        let copy = matrix.row(0).to_vec();
        matrix.data[5 * 40..].copy_from_slice(&copy);
        matrix.orthonormalise();
        for i in 0..6 {
            for j in 0..6 {
                let want = if i == j && i < 5 { 1.0 } else { 0.0 };
                assert!(close(dot(matrix.row(i), matrix.row(j)), want), "{i} {j}");
            }
        }
    }
}
