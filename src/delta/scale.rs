//! How far the weights of each row and each column moved, as logarithms in eighths of an octave.
//!
//! A fine-tune moves weights by amounts that its row and its column tell: the mean absolute change
//! along both predicts the change of a weight, and so the size of its delta.

/// Steps per octave.
pub(crate) const STEPS: i32 = 8;

/// Mean changes per row and per column of a matrix.
#[derive(Debug, Default)]
pub(crate) struct Scales {
    /// Logarithm per row.
    pub(crate) rows: Vec<i32>,
    /// Logarithm per column.
    pub(crate) columns: Vec<i32>,
}

impl Scales {
    /// The scales of zigzag `deltas`, whose unit is given by `exponents` (one step of an element is
    /// `2^exponent`), in rows of `columns`; the last row may be short.
    pub(crate) fn measure(deltas: &[u64], exponents: &[u16], columns: usize) -> Self {
        // Small exponents are raised to the middle of what a double can hold.
        let raise = if exponents.iter().all(|&exponent| exponent < 1024) { 512 } else { 0 };
        let mut sums = vec![0f64; columns];
        let mut rows = Vec::with_capacity(deltas.len().div_ceil(columns));
        for (deltas, exponents) in deltas.chunks(columns).zip(exponents.chunks(columns)) {
            // Summed in element order, so that every target gets the same bits.
            let mut row = 0f64;
            for ((&delta, &exponent), column) in deltas.iter().zip(exponents).zip(&mut sums) {
                let change = ((delta >> 1) + (delta & 1)) as f64 * power(exponent + raise);
                row += change;
                *column += change;
            }
            rows.push(logarithm(row / deltas.len() as f64) - i32::from(raise) * STEPS);
        }
        let height = rows.len() as f64;
        Self { rows, columns: sums.iter().map(|&sum| logarithm(sum / height) - i32::from(raise) * STEPS).collect() }
    }
}

/// `2^(exponent - 1023)`, clamped to what is finite and normal.
fn power(exponent: u16) -> f64 {
    f64::from_bits(u64::from(exponent.clamp(1, 2046)) << 52)
}

/// `log2(value)` + 1023 in steps; 0 for 0 and for what is not finite.
fn logarithm(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 & 0x7ff;
    if exponent == 0x7ff || exponent == 0 {
        return 0;
    }
    let fraction = bits & ((1 << 52) - 1);
    exponent * STEPS + THRESHOLDS.iter().filter(|&&t| fraction >= t).count() as i32
}

/// Mantissas of `2^((i + 0.5) / 8)`: where the nearest step changes.
const THRESHOLDS: [u64; STEPS as usize] = [
    0x0_b558_6cf9_890f,
    0x2_387a_6e75_6238,
    0x3_dea6_4c12_3422,
    0x5_ab07_dd48_5429,
    0x7_a114_73eb_0186,
    0x9_c491_82a3_f090,
    0xc_199b_dd85_529c,
    0xe_a4af_a2a4_90d9,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_round_to_the_nearest_step() {
        for i in -4000..4000 {
            let value = (f64::from(i) / 397.0).exp2();
            let want = (f64::from(i) / 397.0 * 8.0).round() as i32 + 1023 * STEPS;
            assert_eq!(logarithm(value), want, "{value}");
        }
        assert_eq!((logarithm(0.0), logarithm(f64::NAN), logarithm(f64::INFINITY)), (0, 0, 0));
    }

    #[test]
    fn rows_and_columns_are_told_apart() {
        let deltas: Vec<u64> = vec![2, 4, 8, 4, 8, 16];
        let scales = Scales::measure(&deltas, &[1023; 6], 3);
        assert_eq!(scales.rows[1] - scales.rows[0], STEPS);
        assert_eq!(scales.columns[2] - scales.columns[0], 2 * STEPS);
    }
}
