//! `V` as archives store it: numbers that are shifted before they are used.

use super::Factors;

/// The stored numbers of `V`, with their shifts and the step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredFactors {
    /// The amount by which a product of 1 moves a weight.
    pub(crate) step: f32,
    /// The left shift of each component.
    pub(crate) shifts: Vec<u8>,
    /// The numbers before the shift, component by component.
    pub(crate) numbers: Vec<i16>,
}

impl StoredFactors {
    /// Returns the numbers of `V` after the shift, for `columns` columns; `None` if one does not
    /// fit 16 bits.
    pub(crate) fn shifted(&self, columns: usize) -> Option<Vec<i16>> {
        let rows = self.numbers.chunks(columns).zip(&self.shifts);
        rows.flat_map(|(row, &shift)| row.iter().map(move |&n| i16::try_from(i32::from(n) << shift).ok())).collect()
    }

    /// Returns the factors as a decoder uses them, given the [`shifted`](Self::shifted) numbers.
    pub(crate) fn factors(&self, columns: usize, shifted: &[i16]) -> Factors {
        Factors::new(self.step, self.shifts.len(), columns, shifted)
    }
}
