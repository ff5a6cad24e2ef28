//! Factors of a change: rounds components to integers, and finds the numbers of each row that fit
//! best.

use super::Factors;
use super::change::{Change, Weights};
use super::linear::{Dense, Rows, invert};
use super::stored::StoredFactors;
use super::subspace::Components;
use crate::layout::Dtype;

/// The largest magnitude of a number in `V` before its shift.
const LIMIT: f64 = 2047.0;

/// The factors of a region, with the matrices that find the numbers of a row.
#[derive(Debug)]
pub(crate) struct Fit {
    /// `V` before the shifts.
    pub(crate) stored: StoredFactors,
    /// The factors as a decoder uses them.
    pub(crate) factors: Factors,
    /// The products of these rows with the change of a row are its numbers.
    projection: Dense,
    /// The directions as a decoder knows them: the change of a row by a number of 1, per component.
    directions: Dense,
    pub(crate) weights: Option<Weights>,
}

impl Fit {
    /// Rounds the first `rank` components to integers. Their steps are so fine that the rounding
    /// error is `fineness` times the part of the change that the components leave unexplained.
    /// Returns `None` if the components cannot be expressed or told apart in integers.
    ///
    /// The step of a component is the finest step times a power of two; strong components have fine
    /// steps.
    pub(crate) fn new(components: &Components, rank: usize, fineness: f64) -> Option<Self> {
        let directions = components.directions.truncated(rank);
        let columns = directions.columns;
        let strengths = &components.strengths[..rank];
        let rows_times_columns = components.elements as f64;
        let explained: f64 = strengths.iter().map(|s| s * s).sum();
        let residual =
            ((components.energy - explained) / rows_times_columns).max(components.energy * 1e-9 / rows_times_columns);
        // Rounding to steps of q has a mean square error of q^2 / 12; each factor makes half of it.
        let square = fineness * fineness * 12.0 * residual;
        let finest = square / strengths[0];
        let (mut shifts, mut numbers) = (Vec::new(), Vec::new());
        for (&strength, direction) in strengths.iter().zip(directions.data.chunks_exact(columns)) {
            let mut shift = shift_of(strengths[0] / strength);
            let longest = direction.iter().fold(0f64, |most, &x| most.max(f64::from(x.abs())));
            let scale = |shift: u8| (strength / (finest * f64::from(1u32 << shift))).sqrt();
            while scale(shift) * longest > LIMIT && shift < 15 {
                shift += 1;
            }
            let scale = scale(shift);
            if scale * longest > LIMIT || !scale.is_finite() {
                return None;
            }
            shifts.push(shift);
            numbers.extend(direction.iter().map(|&x| nearest(f64::from(x) * scale)));
        }
        let step = finest as f32;
        if !(step.is_normal() && step > 0.0) {
            return None;
        }
        Self::of(StoredFactors { step, shifts, numbers }, columns, components.weights.clone())
    }

    /// Creates the fit of `columns` columns by factors that are known. Returns `None` if they
    /// cannot be told apart.
    pub(crate) fn of(stored: StoredFactors, columns: usize, weights: Option<Weights>) -> Option<Self> {
        let step = stored.step;
        let shifted = stored.shifted(columns)?;
        let moves = Dense { columns, data: shifted.iter().map(|&n| f32::from(n) * step).collect() };
        let projection = projection(&moves)?;
        let factors = stored.factors(columns, &shifted);
        Some(Self { stored, factors, projection, directions: moves, weights })
    }

    /// Returns the numbers of all rows of `change`, component by component.
    pub(crate) fn numbers_of(&self, change: &Change) -> Vec<i16> {
        let (mut along, mut pulled) = (Vec::new(), Vec::new());
        let columns = change.matrix.columns;
        let mut exponents = change.exponents.chunks(TOGETHER * columns);
        for rows in change.matrix.all().runs(TOGETHER) {
            self.push_along(rows, exponents.next().unwrap_or_default(), &mut pulled, &mut along);
        }
        by_component(&along, self.projection.rows())
    }

    /// Returns the numbers of all rows of the change from `base` to `target`; `None` if weights of
    /// this dtype [cannot be moved](super::Factors::moves).
    pub(crate) fn numbers_between(&self, dtype: Dtype, base: &[u8], target: &[u8]) -> Option<Vec<i16>> {
        if !Factors::moves(dtype) {
            return None;
        }
        let columns = self.projection.columns;
        let bytes = TOGETHER * columns * dtype.words().0;
        let (mut along, mut pulled, mut change) = (Vec::new(), Vec::new(), Change::empty(columns));
        for (base, target) in base.chunks(bytes).zip(target.chunks(bytes)) {
            change.replace(dtype, base, target);
            self.push_along(change.matrix.all(), &change.exponents, &mut pulled, &mut along);
        }
        Some(by_component(&along, self.projection.rows()))
    }

    /// Appends the numbers of some rows of a change, row by row. `pulled` is a buffer.
    fn push_along(&self, rows: Rows<'_>, exponents: &[u8], pulled: &mut Vec<f32>, along: &mut Vec<f32>) {
        let (rank, start) = (self.projection.rows(), along.len());
        along.resize(start + rows.count() * rank, 0.0);
        let along = &mut along[start..];
        rows.times_transposed(self.projection.all(), along);
        round(along);
        let Some(weights) = &self.weights else { return };
        pulled.resize(rows.data.len(), 0.0);
        Rows { columns: rank, data: along }.times(self.directions.all(), pulled);
        weights.pull(rows.data, exponents, pulled);
        Rows { data: pulled, ..rows }.times_transposed(self.projection.all(), along);
        round(along);
    }
}

/// Rows that are fitted at a time, so that their change stays in the cache.
const TOGETHER: usize = 8;

/// Returns the numbers of rows of `rank` numbers, component by component.
fn by_component(along: &[f32], rank: usize) -> Vec<i16> {
    (0..rank).flat_map(|k| along.chunks_exact(rank).map(move |row| row[k] as i16)).collect()
}

/// Returns the shift, at most 15, whose power of two is nearest to `ratio`, which is at least 1.
fn shift_of(ratio: f64) -> u8 {
    (0..15).find(|&shift| ratio < std::f64::consts::SQRT_2 * f64::from(1u32 << shift)).unwrap_or(15)
}

/// Returns the transposed pseudo-inverse of `directions`; `None` if they are not independent.
fn projection(directions: &Dense) -> Option<Dense> {
    let rank = directions.rows();
    let gram: Vec<f64> = directions.times_transposed(directions).data.iter().map(|&x| f64::from(x)).collect();
    let inverse = Dense { columns: rank, data: invert(&gram, rank)?.iter().map(|&x| x as f32).collect() };
    let projection = inverse.times(directions);
    projection.data.iter().all(|x| x.is_finite()).then_some(projection)
}

/// Returns the integer that is nearest to `x`, ties to even; its magnitude is [`LIMIT`] at most.
/// The last bit of the mantissa of `SHIFT` counts ones.
fn nearest(x: f64) -> i16 {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    ((x + SHIFT) - SHIFT) as i16
}

/// Rounds all elements to integers that fit an `i16`. The last bit of the mantissa of `SHIFT`
/// counts ones, so that an addition rounds where many processors would have to call a function.
fn round(along: &mut [f32]) {
    const SHIFT: f32 = 12_582_912.0;
    along.iter_mut().for_each(|x| *x = (x.clamp(-32768.0, 32767.0) + SHIFT) - SHIFT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;
    use crate::predict::subspace::Search;

    #[test]
    fn shifts_are_the_nearest_powers() {
        let cases = [(1.0, 0), (1.4, 0), (1.5, 1), (2.8, 1), (2.9, 2), (100.0, 7), (1e9, 15)];
        cases.iter().for_each(|&(ratio, shift)| assert_eq!(shift_of(ratio), shift, "{ratio}"));
    }

    #[test]
    fn numbers_round_to_even() {
        for x in (-4095..=4095).map(|x| f64::from(x) / 2.0).chain([1e-300, -0.49999, 1033.51]) {
            assert_eq!(nearest(x), x.round_ties_even() as i16, "{x}");
        }
    }

    /// A change of rank 2 is predicted with an error that is within the bound.
    #[test]
    fn changes_along_few_directions_are_predicted() {
        let (rows, columns) = (64, 96);
        let value = |i: usize, j: usize| {
            let (u, v) = ((i as f32 * 0.7).sin(), (j as f32 * 0.3).cos());
            let (w, x) = ((i as f32 * 0.2).cos(), (j as f32 * 0.9).sin());
            0.01 * u * v + 0.002 * w * x + 1e-4 * ((i * 31 + j * 17) % 7) as f32 - 3e-4
        };
        let data = (0..rows * columns).map(|i| value(i / columns, i % columns)).collect();
        let change = Change { matrix: Dense { columns, data }, exponents: Vec::new() };
        let components = Components::find(Dtype::F32, &change, Search { rank: 2, oversampling: 4, iterations: 2 });
        let fit = Fit::new(&components, 2, 0.5).unwrap();
        let u = fit.numbers_of(&change);
        let base = vec![0; 4 * rows * columns];
        let mut moved = base.clone();
        fit.factors.apply(Dtype::F32, &u, 0, &base, &mut moved);
        let squares = moved.as_chunks().0.iter().zip(&change.matrix.data);
        let error: f64 = squares.map(|(m, c)| f64::from(f32::from_le_bytes(*m) - c).powi(2)).sum();
        assert!(error < components.energy * 0.01, "{error} of {}", components.energy);
    }
}
