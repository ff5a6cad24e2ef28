//! Stacks of matrices whose rows are the columns of the base's: other frameworks store the weights
//! of a linear layer that way round.

use std::ops::Range;

use crate::chunk::unit;
use crate::error::{Error, Result};
use crate::layout::{Dtype, Region};
use crate::view::can_view;

/// Maximum number of bytes of one of the base's matrices. A chunk needs all rows of those that it
/// touches, so this bounds the bytes that a window reads.
pub(crate) const MAX_MATRIX: u64 = 32 << 20;

/// Rows that are copied side by side, so that the lines of the cache that they share are still
/// there for the next column.
const STRIP: usize = 16;

/// The extents of the base's matrices, which follow each other and are each transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transposed {
    /// Rows of a matrix of the base: at least 1.
    pub(crate) rows: u64,
    /// Columns of a matrix of the base: at least 1.
    pub(crate) columns: u64,
}

impl Transposed {
    /// Checks that whole matrices of words of `from` fill the region, and that they are not too
    /// large.
    ///
    /// # Errors
    /// `Corrupt` for another number of words, for blocks, and for dtypes without a cast; `Limit`
    /// for matrices above [`MAX_MATRIX`].
    pub(crate) fn check(self, region: &Region, from: Dtype) -> Result<()> {
        if !can_transpose(from, region.dtype) {
            return Err(Error::corrupt("the transposed view has words of a dtype that are not cast")
                .figures(region.dtype.name(), from.name()));
        }
        let width = unit(from).1;
        let words = self.rows.checked_mul(self.columns).filter(|words| *words <= MAX_MATRIX / width);
        let words = words.ok_or_else(|| {
            Error::limit("the matrices of the transposed view are too large")
                .figures(format_args!("at most {MAX_MATRIX} bytes"), format_args!("{} x {}", self.rows, self.columns))
        })?;
        if words > 0 && (region.length / unit(region.dtype).1).is_multiple_of(words) {
            return Ok(());
        }
        Err(Error::corrupt("the matrices of the transposed view do not fill the tensor"))
    }

    /// The words of the matrices that a range of words lies in.
    pub(crate) fn matrices(self, words: &Range<u64>) -> Range<u64> {
        let size = self.rows * self.columns;
        words.start / size * size..words.end.div_ceil(size) * size
    }

    /// Writes the transposed words in the range `words`, which is not empty, of `width` bytes each.
    /// A word may be an element of several weights.
    /// `base` has the words of the [`matrices`](Self::matrices) that the range lies in.
    pub(crate) fn gather(self, width: usize, words: &Range<u64>, base: &[u8], into: &mut [u8]) {
        if self.rows == 1 || self.columns == 1 {
            // The elements stay in their order.
            let skipped = (words.start - self.matrices(words).start) as usize * width;
            return into.copy_from_slice(&base[skipped..skipped + into.len()]);
        }
        match width {
            1 => self.copy::<1>(words, base, into),
            2 => self.copy::<2>(words, base, into),
            4 => self.copy::<4>(words, base, into),
            8 => self.copy::<8>(words, base, into),
            _ => self.copy_wide(width, words, base, into),
        }
    }

    fn copy_wide(self, width: usize, words: &Range<u64>, base: &[u8], into: &mut [u8]) {
        let (size, first) = (self.rows * self.columns, self.matrices(words).start);
        for (word, into) in words.clone().zip(into.chunks_exact_mut(width)) {
            let within = word % size;
            let place = word - within - first + within % self.rows * self.columns + within / self.rows;
            into.copy_from_slice(&base[place as usize * width..][..width]);
        }
    }

    fn copy<const W: usize>(self, words: &Range<u64>, base: &[u8], into: &mut [u8]) {
        let (base, mut into) = (base.as_chunks::<W>().0, into.as_chunks_mut::<W>().0);
        let size = (self.rows * self.columns) as usize;
        let mut skipped = words.start as usize % size;
        for matrix in base.chunks_exact(size) {
            let (own, rest) = into.split_at_mut((size - skipped).min(into.len()));
            self.copy_matrix(skipped, matrix, own);
            (into, skipped) = (rest, 0);
        }
    }

    /// Writes the words of one transposed matrix from the word `start` on. They may begin and end
    /// within a column, of which no other rows are looked at.
    fn copy_matrix<const W: usize>(self, start: usize, matrix: &[[u8; W]], into: &mut [[u8; W]]) {
        let (rows, columns) = (self.rows as usize, self.columns as usize);
        let column = |from: usize, into: &mut [[u8; W]]| {
            let words = matrix[from % rows * columns + from / rows..].iter().step_by(columns);
            into.iter_mut().zip(words).for_each(|(into, word)| *into = *word);
        };
        let before = (start.next_multiple_of(rows) - start).min(into.len());
        let (head, rest) = into.split_at_mut(before);
        let (whole, tail) = rest.split_at_mut(rest.len() / rows * rows);
        if !head.is_empty() {
            column(start, head);
        }
        if !tail.is_empty() {
            column(start + before + whole.len(), tail);
        }
        let first = (start + before) / rows;
        for strip in (0..rows).step_by(STRIP) {
            for (i, into) in whole.chunks_exact_mut(rows).enumerate() {
                let into = &mut into[strip..(strip + STRIP).min(rows)];
                column((first + i) * rows + strip, into);
            }
        }
    }
}

/// Returns true if words of `from` may be transposed and then serve a region of the dtype `to`.
pub(crate) fn can_transpose(from: Dtype, to: Dtype) -> bool {
    !from.is_scaled() && !to.is_scaled() && can_view(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// Two matrices of 20 rows and 3 columns, transposed word by word.
    fn expected(base: &[u8]) -> Vec<u8> {
        let mut words = Vec::new();
        for matrix in base.chunks(60) {
            (0..3).for_each(|column| words.extend((0..20).map(|row| matrix[row * 3 + column])));
        }
        words
    }

    #[test]
    fn every_range_of_a_stack_is_transposed() {
        let base: Vec<u8> = (0..120).collect();
        let (expected, stack) = (expected(&base), Transposed { rows: 20, columns: 3 });
        for start in 0..120 {
            for end in start + 1..=120 {
                let words = start as u64..end as u64;
                let matrices = stack.matrices(&words);
                let mut into = vec![0; end - start];
                stack.gather(1, &words, &base[matrices.start as usize..matrices.end as usize], &mut into);
                assert_eq!(into, expected[start..end], "{words:?}");
            }
        }
    }

    #[test]
    fn words_of_all_widths_are_transposed() {
        for width in [2, 4, 8] {
            let base: Vec<u8> = (0..6 * width as u8).collect();
            let mut into = vec![0; base.len()];
            Transposed { rows: 2, columns: 3 }.gather(width, &(0..6), &base, &mut into);
            let words: Vec<_> = base.chunks(width).collect();
            assert_eq!(into, [0, 3, 1, 4, 2, 5].map(|word| words[word]).concat());
        }
    }

    #[test]
    fn stacks_that_do_not_fit_are_refused() {
        let check = |rows, columns, dtype: Dtype, from| {
            let shape = vec![2, 4, 6];
            let length = dtype.tensor_bytes(&shape).unwrap();
            let region = Region { name: "w".into(), dtype, shape, offset: 0, length };
            Transposed { rows, columns }.check(&region, from).map_err(|error| error.kind())
        };
        assert_eq!(check(6, 4, Dtype::F32, Dtype::BF16), Ok(()));
        assert_eq!(check(12, 4, Dtype::I16, Dtype::I16), Ok(()));
        for (rows, columns) in [(0, 4), (4, 0), (7, 4), (48, 2)] {
            assert_eq!(check(rows, columns, Dtype::F32, Dtype::F32), Err(ErrorKind::Corrupt), "{rows} x {columns}");
        }
        assert_eq!(check(6, 4, Dtype::F32, Dtype::I32), Err(ErrorKind::Corrupt));
        for (rows, columns) in [(u64::MAX, 2), (1 << 23, 2), (u64::MAX, u64::MAX)] {
            assert_eq!(check(rows, columns, Dtype::F32, Dtype::F32), Err(ErrorKind::Limit));
        }
    }
}
