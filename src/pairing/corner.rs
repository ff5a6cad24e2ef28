//! Corners of matrices: the words of their first rows and columns, which tell them apart.

use super::{Models, Signature, Subject};
use crate::chunk::unit;

/// Rows and columns of a corner, which together are as many words as a signature has.
pub(super) const SIDE: u64 = 16;

/// Minimum number of words of a corner.
pub(super) const LEAST: u64 = 64;

/// Maximum number of bytes of the rows that hold a corner.
pub(super) const ROWS: u64 = 4 << 20;

/// The signature of the words at some places of a region's rows.
pub(super) fn corner(models: &Models, subject: Subject, rows: &[u8], places: impl Iterator<Item = u64>) -> Signature {
    let dtype = models.region(subject).1.dtype;
    let width = unit(dtype).1 as usize;
    let word = |place: u64| rows.get(place as usize * width..(place as usize + 1) * width).unwrap_or_default();
    let words: Vec<u8> = places.flat_map(word).copied().collect();
    Signature::of(dtype, &words)
}
