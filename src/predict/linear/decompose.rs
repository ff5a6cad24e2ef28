//! Decompositions of small symmetric matrices of double precision.

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
    use super::super::tests::sample;
    use super::*;

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
