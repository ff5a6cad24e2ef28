//! How a region is cut into chunks.

use std::ops::Range;

use super::{CHUNK, Matrix, unit};
use crate::layout::Region;
use crate::predict::{MAX_NUMBERS, MAX_RANK};

/// Columns that a matrix should have: trailing dimensions are joined until there are so many.
const COLUMNS: u64 = 32;

/// A region as a matrix, and the bytes of its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) matrix: Matrix,
    words: u64,
    length: u64,
    chunk: u64,
}

impl Geometry {
    /// Number of chunks.
    pub(crate) fn count(&self) -> u64 {
        self.length.div_ceil(self.chunk)
    }

    /// The bytes of a chunk, from the region's first.
    pub(crate) fn range(&self, chunk: u64) -> Range<u64> {
        let start = chunk * self.chunk;
        start..(start + self.chunk).min(self.length)
    }

    /// The most components that factors can have: no more than columns, so that a chunk has no more numbers of `U`
    /// than words, and no more numbers of `V` than the region has words.
    pub(crate) fn most_rank(&self) -> usize {
        let columns = self.matrix.columns;
        let numbers = usize::try_from(self.words).unwrap_or(usize::MAX).min(MAX_NUMBERS);
        MAX_RANK.min(columns).min(numbers / columns)
    }
}

/// The geometry of `region`: chunks of at most [`CHUNK`] elements, whole rows where a row fits.
pub(crate) fn of(region: &Region) -> Geometry {
    let (words, bytes) = unit(region.dtype);
    let elements = region.length / bytes * words;
    let mut columns = 1u64;
    for &extent in region.shape.iter().skip(1).rev() {
        if columns >= COLUMNS {
            break;
        }
        columns = columns.saturating_mul(extent);
    }
    if columns <= 1 || columns > elements.min(CHUNK) {
        columns = elements.clamp(1, CHUNK);
    }
    let chunk = CHUNK / columns * columns / words * bytes;
    Geometry { matrix: Matrix { columns: columns as usize }, words: elements, length: region.length, chunk }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;

    fn geometry(dtype: Dtype, shape: &[u64]) -> (usize, Vec<Range<u64>>) {
        let length = dtype.tensor_bytes(shape).unwrap();
        let region = Region { name: String::new(), dtype, shape: shape.to_vec(), offset: 0, length };
        let geometry = of(&region);
        (geometry.matrix.columns, (0..geometry.count()).map(|i| geometry.range(i)).collect())
    }

    #[test]
    fn matrices_are_cut_between_rows() {
        let (columns, chunks) = geometry(Dtype::BF16, &[3000, 384]);
        let rows = CHUNK / 384 * 384 * 2;
        assert_eq!((columns, chunks), (384, vec![0..rows, rows..3000 * 384 * 2]));
    }

    #[test]
    fn other_shapes_are_cut_anywhere() {
        assert_eq!(geometry(Dtype::F32, &[]).1.first(), Some(&(0..4)));
        assert_eq!(geometry(Dtype::F32, &[0, 7]), (1, vec![]));
        assert_eq!(geometry(Dtype::U8, &[CHUNK + 5]).1, [0..CHUNK, CHUNK..CHUNK + 5]);
        assert_eq!(geometry(Dtype::U8, &[2, CHUNK + 5]).0, CHUNK as usize);
        assert_eq!(geometry(Dtype::F16, &[64, 3, 3, 3]).0, 27);
        assert_eq!(geometry(Dtype::F16, &[64, 64, 3, 3]).0, 576);
        assert_eq!(geometry(Dtype::F4, &[4, 4]).0, 4);
        assert_eq!(geometry(Dtype::Q8_0, &[1000, 1088]), (1088, vec![0..963 * 34 * 34, 963 * 34 * 34..1000 * 34 * 34]));
    }
}
