//! Views whose words come from rectangles of base regions.

use super::base::Region;
use super::chunk::Geometry;
use super::fields::Fields;
use super::view::{Base, Origin, find, unit};
use super::{Result, cast, check, quant};

/// The columns of a region, and the rectangles in it.
pub struct Arranged {
    columns: u64,
    rectangles: Vec<Rectangle>,
    /// The number of rectangles that the region's chunks need, counted for each chunk.
    pub uses: u128,
}

struct Rectangle {
    origin: usize,
    row: u64,
    rows: u64,
    column: u64,
    columns: u64,
    step: u64,
    start: u64,
    down: u64,
    across: u64,
}

impl Arranged {
    pub fn read(region: &Region, origins: &[Origin], fields: &mut Fields) -> Result<Self> {
        let blocks = |dtype: u8| quant::format(dtype).is_some();
        let all = origins.iter().map(|origin| origin.dtype).chain([region.dtype]);
        check(!all.into_iter().any(blocks), "rectangles of blocks")?;
        let columns = fields.varint()?;
        let words = (region.length / unit(region.dtype)) as u64;
        check((1..=1 << 20).contains(&columns) && words.is_multiple_of(columns), "columns of a matrix")?;
        let mut rectangles: Vec<Rectangle> = Vec::new();
        let count = fields.varint()?;
        check(count <= 1 << 18, "too many rectangles")?;
        let geometry = Geometry::new(region);
        let (mut area, mut uses, mut taken) = (0, 0, 0);
        for _ in 0..count {
            let mut next = || fields.varint();
            let rectangle = Rectangle {
                origin: usize::try_from(next()?).map_err(|_| "number of an origin")?,
                row: next()?,
                rows: next()?,
                column: next()?,
                columns: next()?,
                step: next()?,
                start: next()?,
                down: next()?,
                across: next()?,
            };
            let origin = origins.get(rectangle.origin).ok_or("number of an origin")?;
            let width = unit(origin.dtype);
            let of_chunk = rectangle.check(words / columns, columns, width)?;
            let row = columns as usize * unit(region.dtype);
            let chunks =
                geometry.chunks_of(rectangle.row as usize * row, (rectangle.row + rectangle.rows) as usize * row);
            uses += chunks as u128;
            taken += chunks as u128 * u128::from(of_chunk) * width as u128;
            if let Some(before) = rectangles.last() {
                let ends = before.row + before.rows <= rectangle.row + rectangle.rows;
                check(before.row <= rectangle.row && ends, "the order of rectangles")?;
            }
            area += rectangle.rows * rectangle.columns;
            check(area <= words, "rectangles that overlap")?;
            rectangles.push(rectangle);
        }
        check(taken <= geometry.chunks().count() as u128 * (128 << 20), "words of all rectangles")?;
        Ok(Self { columns, rectangles, uses })
    }

    /// The words of a whole region, of which each takes `given` bytes: as `F32` with `of_weights`.
    pub fn words(
        &self,
        (region, of_weights): (&Region, bool),
        given: usize,
        origins: &[Origin],
        bases: &[Base<'_>],
    ) -> Result<Vec<u8>> {
        let mut words = vec![0; region.length / unit(region.dtype) * given];
        for rectangle in &self.rectangles {
            let Origin { file, name, dtype } = &origins[rectangle.origin];
            let width = unit(*dtype);
            let end = rectangle.word(rectangle.rows - 1, rectangle.columns - 1) as usize + 1;
            let length = end.checked_mul(width).ok_or("an end")?;
            let found = find(&bases[*file], name, *dtype, length)?;
            for row in 0..rectangle.rows {
                for column in 0..rectangle.columns {
                    let word = &found[rectangle.word(row, column) as usize * width..][..width];
                    let word = match (of_weights, *dtype == region.dtype) {
                        (true, _) => cast::cast(word, *dtype, 17),
                        (false, true) => word.to_vec(),
                        (false, false) => cast::cast(word, *dtype, region.dtype),
                    };
                    let place = (rectangle.row + row) * self.columns + rectangle.column + column * rectangle.step;
                    words[place as usize * given..][..given].copy_from_slice(&word);
                }
            }
        }
        Ok(words)
    }
}

impl Rectangle {
    /// The word of the origin in a row and a column of the rectangle.
    fn word(&self, row: u64, column: u64) -> u64 {
        self.start + row * self.down + column * self.across
    }

    /// Checks the rectangle, and returns the words that a chunk may need.
    fn check(&self, rows: u64, columns: u64, width: usize) -> Result<u64> {
        check(self.rows > 0 && self.columns > 0 && self.step > 0, "a rectangle of no words")?;
        check(self.row.checked_add(self.rows).is_some_and(|end| end <= rows), "rows of a rectangle")?;
        let last = (self.columns - 1).checked_mul(self.step).and_then(|last| last.checked_add(self.column));
        check(last.is_some_and(|last| last < columns), "columns of a rectangle")?;
        let across = (self.columns - 1).checked_mul(self.across).ok_or("the words of a row")?;
        let span = |rows: u64| (rows - 1).checked_mul(self.down)?.checked_add(across)?.checked_add(1);
        let end = span(self.rows).and_then(|span| span.checked_add(self.start));
        check(end.is_some_and(|end| end < 1 << 63), "place of a rectangle")?;
        let of_chunk = span(self.rows.min((1 << 20) / columns + 2)).ok_or("the words of a chunk")?;
        check(of_chunk <= (32 << 20) / width as u64, "words that are too far from each other")?;
        Ok(of_chunk)
    }
}
