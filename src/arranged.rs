//! Matrices that are arranged from rectangles of base regions: fused matrices that are transposed,
//! columns of several matrices side by side, and matrices that lost rows and columns.

use std::ops::Range;

use crate::bytes::{ByteReader, put_varint};
use crate::chunk::{CHUNK, geometry, unit};
use crate::error::{Error, Result};
use crate::layout::{Dtype, Region};
use crate::steps;
use crate::transposed::can_transpose;

/// Maximum number of columns of the matrix. A chunk is made row by row.
pub(crate) const MAX_COLUMNS: u64 = 1 << 20;

/// Maximum number of bytes of an origin between the first and the last word that a chunk takes of
/// one rectangle.
pub(crate) const MAX_SPAN: u64 = 32 << 20;

/// Maximum number of bytes of the origins that the chunks of a region need together, for each chunk:
/// in the mean, that is, by the spans of the rectangles in full chunks.
pub(crate) const MAX_MEAN: u64 = 128 << 20;

/// Columns that are copied side by side, so that the lines of the cache that they share are still
/// there for the next row.
const STRIP: usize = 16;

/// A region as a matrix, and the rectangles of it that are words of the base. All other words are
/// zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arranged {
    /// Columns of the matrix: at least 1, at most [`MAX_COLUMNS`].
    pub(crate) columns: u64,
    /// The rectangles. Neither their first nor their last rows decrease.
    pub(crate) rectangles: Vec<Rectangle>,
}

/// Rows of some columns of the matrix, and the words of a base region that are in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rectangle {
    /// Index of the origin.
    pub(crate) origin: u32,
    /// The first row.
    pub(crate) row: u64,
    /// Number of rows: at least 1.
    pub(crate) rows: u64,
    /// The first column.
    pub(crate) column: u64,
    /// Number of columns: at least 1.
    pub(crate) columns: u64,
    /// The distance of two columns: at least 1.
    pub(crate) step: u64,
    /// The origin's word for the first row and the first column.
    pub(crate) start: u64,
    /// Words of the origin from a row to the next one.
    pub(crate) down: u64,
    /// Words of the origin from a column to the next one.
    pub(crate) across: u64,
}

/// The rows of a rectangle that a range of rows covers.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) rectangle: Rectangle,
    /// The rows of the matrix.
    pub(crate) rows: Range<u64>,
    /// The words of the origin, from the first one that the rows take to the last one.
    pub(crate) words: Range<u64>,
}

impl Arranged {
    /// Writes the columns and the rectangles.
    pub(crate) fn write(&self, raw: &mut Vec<u8>) {
        put_varint(raw, self.columns);
        put_varint(raw, self.rectangles.len() as u64);
        for rectangle in &self.rectangles {
            put_varint(raw, u64::from(rectangle.origin));
            let Rectangle { row, rows, column, columns, step, start, down, across, .. } = *rectangle;
            let numbers = [row, rows, column, columns, step, start, down, across];
            numbers.into_iter().for_each(|number| put_varint(raw, number));
        }
    }

    /// Reads what [`write`](Self::write) wrote, with at most `most` rectangles. Only
    /// [`check`](Self::check) tells whether they fit the region.
    ///
    /// # Errors
    /// `Limit` for more rectangles.
    pub(crate) fn read(reader: &mut ByteReader<'_>, most: u64) -> Result<Self> {
        let columns = reader.varint()?;
        let count = reader.varint()?;
        if count > most {
            return Err(Error::limit("the views of the archive have too many rectangles")
                .figures(format_args!("at most {most}"), count));
        }
        let mut rectangles = Vec::new();
        for _ in 0..count {
            let origin = u32::try_from(reader.varint()?).unwrap_or(u32::MAX);
            let mut number = || reader.varint();
            let [row, rows, column, columns] = [number()?, number()?, number()?, number()?];
            let [step, start, down, across] = [number()?, number()?, number()?, number()?];
            rectangles.push(Rectangle { origin, row, rows, column, columns, step, start, down, across });
        }
        Ok(Self { columns, rectangles })
    }

    /// Checks that the rectangles are in order, lie in the region, and take words of origins of
    /// these dtypes that are near each other, and few for each chunk.
    ///
    /// # Errors
    /// `Corrupt` for rectangles that do not fit, for blocks, and for dtypes without a cast; `Limit`
    /// for a matrix of too many columns, and for words that are too far from each other, or too
    /// many.
    pub(crate) fn check(&self, region: &Region, origins: &[Dtype]) -> Result<()> {
        let dtypes = origins.iter().chain([&region.dtype]);
        if let Some(from) = dtypes.copied().find(|&from| !can_transpose(from, region.dtype)) {
            return Err(Error::corrupt("the arranged view has words of a dtype that are not cast")
                .figures(region.dtype.name(), from.name()));
        }
        let rows = self.rows_of(region)?;
        let (mut area, mut last) = (0u64, (0, 0));
        for rectangle in &self.rectangles {
            steps::add(1);
            let end = rectangle.end(rows, self.columns).filter(|&end| (rectangle.row, end) >= last && end >= last.1);
            let end = end.ok_or_else(|| Error::corrupt("a rectangle of the arranged view is out of place"))?;
            last = (rectangle.row, end);
            area = area.saturating_add(rectangle.rows * rectangle.columns);
            if rectangle.origin as usize >= origins.len() {
                return Err(Error::corrupt("a rectangle is of an origin that the view does not have"));
            }
        }
        if area > rows * self.columns {
            return Err(Error::corrupt("the rectangles of the arranged view overlap"));
        }
        self.check_bytes(region, origins)
    }

    /// Returns the number of rows that the region has.
    fn rows_of(&self, region: &Region) -> Result<u64> {
        let words = region.length / unit(region.dtype).1;
        if self.columns > MAX_COLUMNS {
            return Err(Error::limit("the matrix of the arranged view has too many columns")
                .figures(format_args!("at most {MAX_COLUMNS}"), self.columns));
        }
        if self.columns == 0 || !words.is_multiple_of(self.columns) {
            return Err(Error::corrupt("the rows of the arranged view do not fill the tensor"));
        }
        Ok(words / self.columns)
    }

    /// Checks that no chunk needs too much of one rectangle, and that all together do not.
    fn check_bytes(&self, region: &Region, origins: &[Dtype]) -> Result<()> {
        let (mut all, most) = (0u64, geometry::of(region).count().saturating_mul(MAX_MEAN));
        for (rectangle, chunks) in self.chunks(region) {
            let bytes = rectangle.bytes(self.columns, unit(origins[rectangle.origin as usize]).1)?;
            all = all.saturating_add(chunks.saturating_mul(bytes));
        }
        if all <= most {
            return Ok(());
        }
        Err(Error::limit("the rectangles of the arranged view take too many words")
            .figures(format_args!("at most {most} bytes"), all))
    }

    /// The number of times that chunks of the region need a rectangle: each chunk counts all that
    /// it needs.
    pub(crate) fn uses(&self, region: &Region) -> u64 {
        self.chunks(region).fold(0, |sum, (_, chunks)| sum.saturating_add(chunks))
    }

    /// The rectangles, each with the number of chunks of the region that its rows are in.
    fn chunks(&self, region: &Region) -> impl Iterator<Item = (&Rectangle, u64)> {
        let (geometry, row) = (geometry::of(region), self.columns * unit(region.dtype).1);
        self.rectangles.iter().map(move |rectangle| {
            steps::add(1);
            let (first, last) = (rectangle.row * row, (rectangle.row + rectangle.rows) * row - 1);
            (rectangle, geometry.chunk_at(last) - geometry.chunk_at(first) + 1)
        })
    }

    /// Raises the number of words that is wanted of each origin to that of the rectangles.
    pub(crate) fn most_words(&self, wanted: &mut [u64]) {
        for rectangle in &self.rectangles {
            steps::add(1);
            let most = &mut wanted[rectangle.origin as usize];
            *most = (rectangle.start + rectangle.span(rectangle.rows).unwrap_or(0)).max(*most);
        }
    }

    /// The rows that a range of words lies in.
    pub(crate) fn rows(&self, words: &Range<u64>) -> Range<u64> {
        words.start / self.columns..words.end.div_ceil(self.columns)
    }

    /// The parts of the rectangles in a range of rows.
    pub(crate) fn parts(&self, rows: &Range<u64>) -> impl Iterator<Item = Part> {
        let first = self.rectangles.partition_point(|rectangle| rectangle.row + rectangle.rows <= rows.start);
        let last = self.rectangles.partition_point(|rectangle| rectangle.row < rows.end);
        let last = if rows.is_empty() { first } else { last.max(first) };
        let rows = rows.clone();
        self.rectangles[first..last].iter().map(move |rectangle| {
            steps::add(1);
            rectangle.part(&rows)
        })
    }
}

impl Rectangle {
    /// The row behind the last one, if the rectangle lies in a matrix of so many rows and columns
    /// and takes words that a region can have.
    fn end(&self, rows: u64, columns: u64) -> Option<u64> {
        let end = self.row.checked_add(self.rows).filter(|&end| end <= rows && self.rows > 0)?;
        let last_column = self.columns.checked_sub(1)?.checked_mul(self.step)?.checked_add(self.column)?;
        let last = self.start.checked_add(self.span(self.rows)?)?;
        (self.step > 0 && last_column < columns && last <= i64::MAX as u64).then_some(end)
    }

    /// Words of the origin from the first to the last one of so many rows, both included.
    fn span(&self, rows: u64) -> Option<u64> {
        let down = (rows - 1).checked_mul(self.down)?;
        (self.columns - 1).checked_mul(self.across)?.checked_add(down)?.checked_add(1)
    }

    /// Returns the most bytes that a chunk of a matrix of so many columns needs of an origin whose
    /// words have `width` bytes.
    fn bytes(&self, columns: u64, width: u64) -> Result<u64> {
        let rows = self.rows.min(CHUNK / columns + 2);
        match self.span(rows) {
            Some(words) if words <= MAX_SPAN / width => Ok(words * width),
            _ => Err(Error::limit("the words of a rectangle are too far from each other")
                .figures(format_args!("at most {MAX_SPAN} bytes"), format_args!("{rows} rows"))),
        }
    }

    /// The part of the rectangle in a range of rows, some of which are its own.
    fn part(&self, rows: &Range<u64>) -> Part {
        let rows = self.row.max(rows.start)..(self.row + self.rows).min(rows.end);
        let start = self.start + (rows.start - self.row) * self.down;
        let last = (rows.end - rows.start - 1) * self.down + (self.columns - 1) * self.across;
        Part { rectangle: *self, rows, words: start..start + last + 1 }
    }
}

impl Part {
    /// Rows and columns of the part.
    pub(crate) fn extents(&self) -> (usize, usize) {
        ((self.rows.end - self.rows.start) as usize, self.rectangle.columns as usize)
    }

    /// Copies the words of the origin, which are of `width` bytes, to their places in rows of
    /// `columns` words, of which `first` is the first one.
    pub(crate) fn place(&self, width: usize, words: &[u8], rows: (u64, u64), into: &mut [u8]) {
        let (start, strides) = self.places(rows);
        copy_words(width, self.extents(), (words, self.strides()), (&mut into[start * width..], strides));
    }

    /// Writes the part, one row behind the other, from the words of the origin, which are of
    /// `width` bytes.
    pub(crate) fn gather(&self, width: usize, words: &[u8], into: &mut [u8]) {
        copy_words(width, self.extents(), (words, self.strides()), (into, (self.extents().1, 1)));
    }

    /// Writes words of `width` bytes, one row of the part behind the other, to their places, as
    /// [`place`](Self::place) does.
    pub(crate) fn scatter(&self, width: usize, words: &[u8], rows: (u64, u64), into: &mut [u8]) {
        let (start, strides) = self.places(rows);
        copy_words(width, self.extents(), (words, (self.extents().1, 1)), (&mut into[start * width..], strides));
    }

    /// Words of the origin from a row to the next one, and from a column to the next one.
    fn strides(&self) -> (usize, usize) {
        (self.rectangle.down as usize, self.rectangle.across as usize)
    }

    /// The first word of the part in rows of `columns` words, of which `first` is the first one,
    /// and the words there from a row to the next one, and from a column to the next one.
    fn places(&self, (first, columns): (u64, u64)) -> (usize, (usize, usize)) {
        let start = (self.rows.start - first) * columns + self.rectangle.column;
        (start as usize, (columns as usize, self.rectangle.step as usize))
    }
}

/// Copies so many rows and columns of words of `width` bytes between places that have other
/// distances from row to row and from column to column.
fn copy_words(width: usize, extents: (usize, usize), from: (&[u8], (usize, usize)), into: (&mut [u8], (usize, usize))) {
    match width {
        1 => copy::<1>(extents, from, into),
        2 => copy::<2>(extents, from, into),
        4 => copy::<4>(extents, from, into),
        _ => copy::<8>(extents, from, into),
    }
}

fn copy<const W: usize>(
    (rows, columns): (usize, usize),
    (from, (from_down, from_across)): (&[u8], (usize, usize)),
    (into, (into_down, into_across)): (&mut [u8], (usize, usize)),
) {
    let (from, into) = (from.as_chunks::<W>().0, into.as_chunks_mut::<W>().0);
    if from_across == 1 && into_across == 1 {
        for row in 0..rows {
            into[row * into_down..][..columns].copy_from_slice(&from[row * from_down..][..columns]);
        }
        return;
    }
    for strip in (0..columns).step_by(STRIP) {
        let strip = strip..(strip + STRIP).min(columns);
        for row in 0..rows {
            let (from, into) = (&from[row * from_down..], &mut into[row * into_down..]);
            strip.clone().for_each(|column| into[column * into_across] = from[column * from_across]);
        }
    }
}
