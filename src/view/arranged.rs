//! The words of views that are arranged from rectangles.

use std::ops::Range;

use super::{BaseView, Located};
use crate::arranged::{Arranged, Part};
use crate::chunk::unit;
use crate::error::Result;
use crate::io::{Inputs, Read, Source};

impl BaseView {
    /// The reads of the rectangles that a range of bytes of the region needs; `None` if the view
    /// has none.
    pub(super) fn rectangles(&self, range: &Range<u64>) -> Option<Vec<Read>> {
        let arranged = self.arranged.as_ref()?;
        let rows = arranged.rows(&self.units(range));
        let read = |part: Part| {
            let (source, bytes) = self.bytes_of(&part);
            Read::new(source, bytes)
        };
        Some(arranged.parts(&rows).map(read).collect())
    }

    /// Returns the words of a range of bytes of the region.
    pub(super) fn arrange(&self, arranged: &Arranged, range: &Range<u64>, inputs: &Inputs) -> Result<Vec<u8>> {
        let (words, given) = (self.units(range), self.given() as usize);
        let rows = arranged.rows(&words);
        let mut all = vec![0; ((rows.end - rows.start) * arranged.columns) as usize * given];
        for part in arranged.parts(&rows) {
            let (source, bytes) = self.bytes_of(&part);
            let (found, place) = (inputs.slice(source, bytes)?, (rows.start, arranged.columns));
            if self.origin_of(&part).dtype == self.dtype && !self.gives_weights() {
                part.place(given, found, place, &mut all);
            } else {
                part.scatter(given, &self.cast_part(&part, found), place, &mut all);
            }
        }
        let first = (words.start - rows.start * arranged.columns) as usize * given;
        all.truncate(first + (words.end - words.start) as usize * given);
        all.drain(..first);
        Ok(all)
    }

    /// The words of a part as the view gives them, one row behind the other.
    fn cast_part(&self, part: &Part, bytes: &[u8]) -> Vec<u8> {
        let dtype = self.origin_of(part).dtype;
        let ((rows, columns), width) = (part.extents(), unit(dtype).1 as usize);
        let mut words = vec![0; rows * columns * width];
        part.gather(width, bytes, &mut words);
        self.cast(dtype, &words, (rows * columns) as u64, 0)
    }

    fn origin_of(&self, part: &Part) -> Located {
        self.origins[part.rectangle.origin as usize]
    }

    /// The place of a part in the base files.
    fn bytes_of(&self, part: &Part) -> (Source, Range<u64>) {
        let Located { source, offset, dtype } = self.origin_of(part);
        let width = unit(dtype).1;
        (source, offset + part.words.start * width..offset + part.words.end * width)
    }
}
