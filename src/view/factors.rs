//! The factors of an adapter that was merged into a region, found in the base files.

use std::ops::Range;

use super::Located;
use crate::chunk::unit;
use crate::error::Result;
use crate::io::Inputs;
use crate::layout::Dtype;
use crate::merge::{Arithmetic, Shape, Update};

/// The factors of an adapter that were found, and how they move the region.
#[derive(Debug)]
pub(crate) struct Factors {
    pub(crate) a: Located,
    pub(crate) b: Located,
    pub(crate) shape: Shape,
    pub(crate) arithmetic: Arithmetic,
}

impl Located {
    /// The range of the words from `first` on, in the region's file.
    pub(super) fn bytes(&self, first: usize, count: usize) -> Range<u64> {
        let width = unit(self.dtype).1;
        let start = self.offset + first as u64 * width;
        start..start + count as u64 * width
    }
}

impl Factors {
    /// The rows that a range of words is in, and the ranges of both factors that these rows need.
    pub(super) fn ranges(&self, words: Range<usize>) -> (Range<usize>, Range<u64>, Range<u64>) {
        let Shape { columns, rank, transposed, .. } = self.shape;
        let rows = words.start / columns..words.end.div_ceil(columns);
        let (first, count) = if transposed { (0, self.shape.of_b()) } else { (rows.start * rank, rows.len() * rank) };
        (rows, self.a.bytes(0, self.shape.of_a()), self.b.bytes(first, count))
    }

    /// Moves the words at this place of the region. Returns `false` if a change was no finite
    /// number.
    pub(super) fn apply(&self, dtype: Dtype, place: Range<usize>, words: &mut [u8], inputs: &Inputs) -> Result<bool> {
        let start = place.start % self.shape.columns;
        let (rows, a, b) = self.ranges(place);
        let (a, b) = (inputs.slice(self.a.source, a)?, inputs.slice(self.b.source, b)?);
        let (a, b) = ((a, self.a.dtype), (b, self.b.dtype));
        let update = Update::new(self.arithmetic, self.shape, (rows.start, rows.len()), a, b);
        Ok(update.apply(dtype, start, words))
    }
}
