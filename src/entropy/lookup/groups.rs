//! The table in groups that fill a vector register, for the kernels.

use super::Lookup;

/// Entries of the table in one register.
pub(super) const GROUP: usize = 16;

impl Lookup {
    /// Returns the entries up to index `last`, in groups that fill a register.
    pub(super) fn groups(&self) -> &[[u8; GROUP]] {
        &self.table.as_chunks().0[..=usize::from(self.last) / GROUP]
    }
}
