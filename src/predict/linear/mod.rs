//! Dense matrices of single precision, and their products and decompositions.
//!
//! Sums are taken in a fixed order, in lanes that fit a vector unit, so that every platform gets
//! the same bits: archives must not depend on the machine that encodes them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

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

    /// Returns `self` times `other` transposed: the dot product of each row of `self` with each of
    /// `other`.
    pub(crate) fn times_transposed(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.rows(), other.rows());
        #[cfg(target_arch = "x86_64")]
        if avx2::times_transposed(self, other, &mut product) {
            return product;
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        multiply_transposed(self, other, &mut product, simd128::sums);
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        multiply_transposed(self, other, &mut product, sums);
        product
    }

    /// Returns `self` transposed times `other`: every row of the result is a weighted sum of rows
    /// of `other`.
    pub(crate) fn transposed_times(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.columns, other.columns);
        let groups = self.data.chunks(TOGETHER * self.columns).zip(other.data.chunks(TOGETHER * other.columns));
        for (weights, rows) in groups {
            for (k, out) in product.data.chunks_exact_mut(other.columns).enumerate() {
                add_rows(out, rows, |i| weights.get(i * self.columns + k).copied().unwrap_or(0.0));
            }
        }
        product
    }

    /// Returns `self` times `other`. Of `other` only as many rows are used as `self` has columns.
    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.rows(), other.columns);
        #[cfg(target_arch = "x86_64")]
        if avx2::times(self, other, &mut product) {
            return product;
        }
        multiply(self, other, &mut product);
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

/// The elements of a row in lanes, without those of an incomplete last lane.
type Lanes<'a> = &'a [[f32; LANES]];

/// Computes [`Dense::times_transposed`] into `product`, which has its shape. `sums` returns the
/// partial sums of the dot products of `ROWS` rows with [`TOGETHER`] others.
#[inline(always)]
fn multiply_transposed<const ROWS: usize>(
    matrix: &Dense,
    other: &Dense,
    product: &mut Dense,
    sums: impl Fn([Lanes<'_>; ROWS], [Lanes<'_>; TOGETHER]) -> [[[f32; LANES]; TOGETHER]; ROWS],
) {
    let (height, width) = (matrix.rows(), other.rows());
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
                    product.data[(i + r) * width + k + c] = finish(sums, row, other);
                }
            }
        }
    }
    for i in 0..height {
        let done = if i < whole_rows { whole_others } else { 0 };
        for k in done..width {
            product.data[i * width + k] = dot(matrix.row(i), other.row(k));
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

/// Computes [`Dense::times`] into `product`, which has its shape and holds zeros.
#[inline(always)]
fn multiply(matrix: &Dense, other: &Dense, product: &mut Dense) {
    for (weights, out) in matrix.data.chunks_exact(matrix.columns).zip(product.data.chunks_exact_mut(other.columns)) {
        for (first, rows) in other.data[..matrix.columns * other.columns].chunks(TOGETHER * other.columns).enumerate() {
            add_rows(out, rows, |i| weights.get(first * TOGETHER + i).copied().unwrap_or(0.0));
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
        for ((((out, w), x), y), z) in out.iter_mut().zip(w).zip(x).zip(y).zip(z) {
            *out += (a * w + b * x) + (c * y + d * z);
        }
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
    let mut sums = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for j in 0..LANES {
            sums[j] += a[j] * b[j];
        }
    }
    finish(sums, a_rest, b_rest)
}

/// Adds up the lanes of a dot product and the products of the elements that are left.
#[inline(always)]
fn finish(sums: [f32; LANES], a: &[f32], b: &[f32]) -> f32 {
    let rest: f32 = a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
    let [a, b, c, d, e, f, g, h] = sums;
    (((a + e) + (b + f)) + ((c + g) + (d + h))) + rest
}

/// Returns the eigenvalues of a symmetric matrix of `n` rows, in falling order, and the
/// eigenvectors as rows. The method is cyclic Jacobi.
pub(crate) fn eigen(mut matrix: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    /// The number of sweeps: far more than needed, since convergence is quadratic.
    const SWEEPS: usize = 12;
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..SWEEPS {
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut matrix, &mut vectors, n, (p, q));
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_cached_key(|&i| (falling(matrix[i * n + i]), 0u64));
    let values = order.iter().map(|&i| matrix[i * n + i]).collect();
    (values, order.iter().flat_map(|&i| vectors[i * n..(i + 1) * n].to_vec()).collect())
}

/// Returns a number that falls as `value` rises, for sorting; negative values count as 0.
fn falling(value: f64) -> u64 {
    u64::MAX - value.max(0.0).to_bits()
}

/// Applies the rotation that makes the element in row `p` and column `q` zero.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let off = matrix[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * off);
    let sign = if theta < 0.0 { -1.0 } else { 1.0 };
    let t = sign / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..n {
        let (a, b) = (matrix[k * n + p], matrix[k * n + q]);
        (matrix[k * n + p], matrix[k * n + q]) = (c * a - s * b, s * a + c * b);
    }
    for k in 0..n {
        let (a, b) = (matrix[p * n + k], matrix[q * n + k]);
        (matrix[p * n + k], matrix[q * n + k]) = (c * a - s * b, s * a + c * b);
        let (a, b) = (vectors[p * n + k], vectors[q * n + k]);
        (vectors[p * n + k], vectors[q * n + k]) = (c * a - s * b, s * a + c * b);
    }
}

/// Returns the inverse of a symmetric matrix of `n` rows, by Cholesky decomposition; `None` if the
/// matrix is not positive definite.
pub(crate) fn invert(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum = (0..j).fold(matrix[i * n + j], |sum, k| sum - lower[i * n + k] * lower[j * n + k]);
            if i != j {
                lower[i * n + j] = sum / lower[j * n + j];
            } else if sum > 0.0 {
                lower[i * n + i] = sum.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut inverse = vec![0.0; n * n];
    for column in 0..n {
        let mut x = vec![0.0; n];
        for i in 0..n {
            let unit = if i == column { 1.0 } else { 0.0 };
            x[i] = (0..i).fold(unit, |sum, k| sum - lower[i * n + k] * x[k]) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            x[i] = (i + 1..n).fold(x[i], |sum, k| sum - lower[k * n + i] * x[k]) / lower[i * n + i];
            inverse[i * n + column] = x[i];
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: usize, columns: usize) -> Dense {
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

    /// The code for a vector unit computes the same bits as the portable code.
    #[test]
    fn products_have_the_same_bits_everywhere() {
        let (a, b) = (sample(13, 203), sample(11, 203));
        let mut portable = Dense::zeros(13, 11);
        multiply_transposed(&a, &b, &mut portable, sums);
        assert_eq!(a.times_transposed(&b), portable);
        let c = sample(13, 11);
        let mut portable = Dense::zeros(13, 203);
        multiply(&c, &b, &mut portable);
        assert_eq!(c.times(&b), portable);
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

    #[test]
    fn eigenvectors_rebuild_the_matrix_and_inverses_undo_it() {
        let n = 7;
        let square = sample(n, 30);
        let gram: Vec<f64> = square.times_transposed(&square).data.iter().map(|&x| f64::from(x)).collect();
        let (values, vectors) = eigen(gram.clone(), n);
        assert!(values.is_sorted_by(|a, b| a >= b));
        let inverse = invert(&gram, n).unwrap();
        for i in 0..n {
            for j in 0..n {
                let rebuilt: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
                assert!((rebuilt - gram[i * n + j]).abs() < 1e-6);
                let unit: f64 = (0..n).map(|k| gram[i * n + k] * inverse[k * n + j]).sum();
                assert!((unit - if i == j { 1.0 } else { 0.0 }).abs() < 1e-6);
            }
        }
        assert_eq!(invert(&[1.0, 2.0, 2.0, 1.0], 2), None);
    }
}
