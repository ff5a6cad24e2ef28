//! The cutting of a region into chunks.

use std::ops::Range;

use super::{CHUNK, Matrix, unit};
use crate::layout::{Dtype, Region};
use crate::predict::{MAX_NUMBERS, MAX_RANK};
use crate::steps;

/// Columns that a matrix should have at least: trailing dimensions are joined until it has as many.
const COLUMNS: u64 = 32;

/// The largest number of bytes in a chunk of bytes that belong to no tensor. Texts repeat
/// themselves from far away.
const BYTES: u64 = 1 << 23;

/// A region seen as a matrix, and the byte ranges of its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) matrix: Matrix,
    /// Words of the region.
    words: u64,
    /// Bytes of the region.
    length: u64,
    /// Bytes of every chunk but the last.
    chunk: u64,
}

impl Geometry {
    /// Returns the number of chunks.
    pub(crate) fn count(&self) -> u64 {
        self.length.div_ceil(self.chunk)
    }

    /// Returns the byte range of a chunk, counted from the start of the region.
    pub(crate) fn range(&self, chunk: u64) -> Range<u64> {
        let start = chunk * self.chunk;
        start..(start + self.chunk).min(self.length)
    }

    /// Returns the number of the chunk that has the byte at this place of the region.
    pub(crate) fn chunk_at(&self, byte: u64) -> u64 {
        byte / self.chunk
    }

    /// Returns true if the region and all of its chunks are whole runs of so many bytes.
    pub(crate) fn is_cut_by(&self, run: u64) -> bool {
        self.length.is_multiple_of(run) && (self.count() <= 1 || self.chunk.is_multiple_of(run))
    }

    /// Returns the largest number of components that factors may have.
    ///
    /// It is at most the number of columns, so that a chunk has no more numbers of `U` than words,
    /// and small enough that `V` has no more numbers than the region has words.
    pub(crate) fn most_rank(&self) -> usize {
        let columns = self.matrix.columns;
        let numbers = usize::try_from(self.words).unwrap_or(usize::MAX).min(MAX_NUMBERS);
        MAX_RANK.min(columns).min(numbers / columns)
    }
}

/// Returns the geometry of `region`: chunks of at most [`CHUNK`] words, or [`BYTES`], and of whole
/// rows where a row fits into a chunk.
pub(crate) fn of(region: &Region) -> Geometry {
    let (words, bytes) = unit(region.dtype);
    let elements = region.length / bytes * words;
    let mut columns = 1u64;
    for &extent in region.shape.iter().skip(1).rev() {
        if columns >= COLUMNS {
            break;
        }
        steps::add(1);
        columns = columns.saturating_mul(extent);
    }
    if columns <= 1 || columns > elements.min(CHUNK) {
        columns = elements.clamp(1, CHUNK);
    }
    let most = if region.dtype == Dtype::U8 && region.name.is_empty() { BYTES } else { CHUNK };
    let chunk = most / columns * columns / words * bytes;
    Geometry { matrix: Matrix { columns: columns as usize }, words: elements, length: region.length, chunk }
}

#[cfg(test)]
mod tests {
    use super::*;
    const U8: Region = Region { name: String::new(), dtype: Dtype::U8, shape: Vec::new(), offset: 0, length: 0 };

    fn geometry(dtype: Dtype, shape: &[u64]) -> (usize, Vec<Range<u64>>) {
        let length = dtype.tensor_bytes(shape).unwrap();
        let region = Region { name: "name".to_owned(), dtype, shape: shape.to_vec(), offset: 0, length };
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
    fn bytes_of_no_tensor_have_long_chunks() {
        let region = |name: &str| Region { name: name.to_owned(), shape: vec![9 << 20], length: 9 << 20, ..U8 };
        assert_eq!((of(&region("")).count(), of(&region("w")).count()), (2, 9));
        assert_eq!(of(&region("")).range(1), BYTES..9 << 20);
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
