//! `V` as it is stored: numbers that are shifted before they are used.

use super::Factors;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredFactors {
    /// What a product of 1 moves a weight by.
    pub(crate) step: f32,
    /// Left shift of each component.
    pub(crate) shifts: Vec<u8>,
    /// Component by component.
    pub(crate) numbers: Vec<i16>,
}

impl StoredFactors {
    /// The numbers of `V`, of so many columns; `None` where one of them is out of range.
    pub(crate) fn shifted(&self, columns: usize) -> Option<Vec<i16>> {
        let rows = self.numbers.chunks(columns).zip(&self.shifts);
        rows.flat_map(|(row, &shift)| row.iter().map(move |&n| i16::try_from(i32::from(n) << shift).ok())).collect()
    }

    /// What a decoder makes of them, given what they are [`shifted`](Self::shifted) to.
    pub(crate) fn factors(&self, columns: usize, shifted: &[i16]) -> Factors {
        Factors::new(self.step, self.shifts.len(), columns, shifted)
    }
}
