//! Mean changes of the rows and the columns of a matrix, as logarithms in eighths of an octave.
//!
//! The change of a weight depends on its row and its column: the mean absolute changes of both
//! predict its own, and so the size of its delta.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use super::context::Unit;

/// Steps of a logarithm per octave.
pub(crate) const STEPS: i32 = 8;

/// The elements of a stretch of a row: steps, exponents, and the sums of the columns.
#[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))]
type Stretch<'a> = (&'a [f32], &'a [u16], &'a mut [f64]);

/// The mean absolute change of each row and each column of a matrix.
#[derive(Debug, Default)]
pub(crate) struct Scales {
    /// A logarithm per row, in steps.
    pub(crate) rows: Vec<i32>,
    /// A logarithm per column, in steps.
    pub(crate) columns: Vec<i32>,
}

/// The sums from which [`Scales`] are made, of changes that are added row by row.
#[derive(Debug)]
pub(crate) struct ScaleMeter {
    unit: Unit,
    /// The number added to exponents, which brings them towards the middle of a double's range.
    raise: u16,
    column: usize,
    row: [f64; 4],
    rows: Vec<i32>,
    columns: Vec<f64>,
}

impl ScaleMeter {
    /// Makes a meter for rows of `columns` elements, whose exponents have this unit.
    pub(crate) fn new(columns: usize, unit: Unit) -> Self {
        let raise = if unit == Unit::WideOctave { 0 } else { 512 };
        Self { unit, raise, column: 0, row: [0.0; 4], rows: Vec::new(), columns: vec![0.0; columns] }
    }

    /// Adds the next elements: the number of steps that each changed by, and the exponent that
    /// tells the size of its step.
    ///
    /// Sums are taken in a fixed order, so that every platform gets the same bits, and in four
    /// lanes, so that an addition need not wait for the one before.
    #[inline(always)]
    pub(crate) fn add(&mut self, mut steps: &[f32], mut exponents: &[u16]) {
        while !steps.is_empty() {
            let count = (self.columns.len() - self.column).min(steps.len());
            let (here, columns) = (steps.split_at(count), &mut self.columns[self.column..self.column + count]);
            if self.unit == Unit::Quarter {
                add_quarters(here.0, &exponents[..count], self.raise, &mut self.row, columns);
            } else {
                add_stretch(here.0, &exponents[..count], self.raise, &mut self.row, columns);
            }
            (steps, exponents) = (here.1, &exponents[count..]);
            self.column += count;
            if self.column == self.columns.len() {
                self.end_row();
            }
        }
    }

    fn end_row(&mut self) {
        let sum = (self.row[0] + self.row[1]) + (self.row[2] + self.row[3]);
        self.rows.push(logarithm(sum / self.column as f64) - i32::from(self.raise) * STEPS);
        (self.row, self.column) = ([0.0; 4], 0);
    }

    /// Returns the scales of all added elements; a last row may be short.
    pub(crate) fn finish(mut self) -> Scales {
        if self.column > 0 {
            self.end_row();
        }
        let height = self.rows.len() as f64;
        let scale = |&sum: &f64| logarithm(sum / height) - i32::from(self.raise) * STEPS;
        Scales { columns: self.columns.iter().map(scale).collect(), rows: self.rows }
    }
}

/// Adds the changes of a stretch of a row to the sums of the row and of its `columns`.
fn add_stretch(steps: &[f32], exponents: &[u16], raise: u16, row: &mut [f64; 4], columns: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    let (steps, exponents, columns) = avx2::add_stretch(steps, exponents, raise, row, columns);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    let (steps, exponents, columns) = simd128::add_stretch(steps, exponents, raise, row, columns);
    add_stretch_portably(steps, exponents, raise, row, columns);
}

fn add_stretch_portably(steps: &[f32], exponents: &[u16], raise: u16, row: &mut [f64; 4], columns: &mut [f64]) {
    let change = |step: f32, exponent: u16| f64::from(step) * power(exponent + raise);
    let (steps, last_steps) = steps.as_chunks::<4>();
    let (exponents, last_exponents) = exponents.as_chunks::<4>();
    let (columns, last_columns) = columns.as_chunks_mut::<4>();
    for ((steps, exponents), columns) in steps.iter().zip(exponents).zip(columns) {
        for lane in 0..4 {
            let change = change(steps[lane], exponents[lane]);
            row[lane] += change;
            columns[lane] += change;
        }
    }
    for ((&step, &exponent), column) in last_steps.iter().zip(last_exponents).zip(last_columns) {
        let change = change(step, exponent);
        row[0] += change;
        *column += change;
    }
}

/// Does the same as [`add_stretch`] for exponents whose low two bits are the top of a mantissa.
#[inline(always)]
fn add_quarters(steps: &[f32], exponents: &[u16], raise: u16, row: &mut [f64; 4], columns: &mut [f64]) {
    for ((&step, &exponent), column) in steps.iter().zip(exponents).zip(columns) {
        let change = f64::from(step) * f64::from(4 + (exponent & 3)) / 4.0 * power((exponent >> 2) + raise);
        row[0] += change;
        *column += change;
    }
}

/// Returns `2^(exponent - 1023)`, clamped to the range of finite normal numbers.
#[inline(always)]
fn power(exponent: u16) -> f64 {
    f64::from_bits(u64::from(exponent.clamp(1, 2046)) << 52)
}

/// Returns `log2(value) + 1023`, rounded to the nearest step; 0 where `value` is 0, subnormal or
/// not finite.
fn logarithm(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 & 0x7ff;
    if exponent == 0x7ff || exponent == 0 {
        return 0;
    }
    let fraction = bits & ((1 << 52) - 1);
    exponent * STEPS + THRESHOLDS.iter().filter(|&&t| fraction >= t).count() as i32
}

/// Mantissas of `2^((i + 0.5) / 8)`, the places where the nearest step changes.
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

    /// Every kernel takes the sums of the portable code, extremes included.
    #[test]
    fn kernels_agree() {
        for (length, raise) in [(0, 0), (3, 512), (4, 512), (7, 0), (1001, 512)] {
            let steps: Vec<f32> = (0..length).map(|i| [0.0, 1.0, 3e9, 0.1, 65535.0][i % 5]).collect();
            let exponents: Vec<u16> = (0..length as u16).map(|i| i * 37 % 2048).collect();
            let results = [add_stretch, add_stretch_portably].map(|add| {
                let (mut row, mut columns) = ([0.5; 4], vec![1.5; length]);
                (0..2).for_each(|_| add(&steps, &exponents, raise, &mut row, &mut columns));
                (row, columns)
            });
            assert_eq!(results[0], results[1]);
        }
    }

    #[test]
    fn rows_and_columns_are_told_apart() {
        let mut meter = ScaleMeter::new(3, Unit::Octave);
        meter.add(&[1.0, 2.0], &[100; 2]);
        meter.add(&[4.0, 2.0, 4.0, 8.0], &[100; 4]);
        let scales = meter.finish();
        assert_eq!(scales.rows[1] - scales.rows[0], STEPS);
        assert_eq!(scales.columns[2] - scales.columns[0], 2 * STEPS);
    }
}
