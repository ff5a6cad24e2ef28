//! Tables and vectors of a FlatBuffer, of which only the pages that hold them are read.
//!
//! Format: <https://flatbuffers.dev/internals/>. Data of gigabytes may lie between two tables, so
//! no buffer holds the whole file: what is not at hand is wanted, and the step that needs it is
//! taken again with it.

use std::collections::VecDeque;

use crate::error::Error;
use crate::io::Wanted;
use crate::steps;

/// Bytes of a page.
const PAGE: u64 = 16 * 1024;

/// Bytes behind a page that are read with it: the most that is taken at once.
pub(super) const MOST: u64 = 1024;

/// Pages that are kept: more than one step takes bytes of.
const KEPT: usize = 32;

/// Times that each page of the file may be read, on average. Models keep tables together.
const READS: u64 = 4;

/// Bytes of an offset, and of the length of a vector.
const OFFSET: u64 = 4;

/// The reason to end a step early.
#[derive(Debug)]
pub(super) enum Stop {
    /// These bytes are needed.
    Needs(Wanted),
    /// The file breaks a rule.
    Broken(Error),
}

/// A table: the offset of its fields, and the bytes that tell the place of each.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) at: u64,
    places: Vec<u8>,
}

/// A vector: the offset of its first element, and the number of its elements.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Vector {
    pub(super) at: u64,
    pub(super) count: u64,
}

/// A file of known length, of which some pages are at hand.
#[derive(Debug)]
pub(super) struct File {
    pub(super) length: u64,
    /// The start of the file.
    head: Vec<u8>,
    /// Pages with their offsets, the one that was used last at the end.
    pages: VecDeque<(u64, Vec<u8>)>,
    /// Reads that are left.
    left: u64,
}

impl File {
    pub(super) fn new(length: u64) -> Self {
        let left = READS * length.div_ceil(PAGE) + KEPT as u64;
        Self { length, head: Vec::new(), pages: VecDeque::new(), left }
    }

    /// Keeps bytes that were wanted. The first ones are the start of the file.
    pub(super) fn put(&mut self, start: u64, bytes: &[u8]) {
        if self.head.is_empty() {
            self.head = bytes.to_vec();
            return;
        }
        if self.pages.len() == KEPT {
            self.pages.pop_front();
        }
        self.pages.push_back((start, bytes.to_vec()));
        self.left = self.left.saturating_sub(1);
    }

    /// At most [`MOST`] bytes from an offset on.
    pub(super) fn bytes(&mut self, at: u64, count: u64) -> Result<&[u8], Stop> {
        steps::add(1);
        if at.checked_add(count).is_none_or(|end| end > self.length) {
            return Err(broken("an offset leads behind the end of the file", at));
        }
        let within = |start: u64, bytes: &[u8]| at >= start && at + count <= start + bytes.len() as u64;
        if within(0, &self.head) {
            return Ok(&self.head[at as usize..(at + count) as usize]);
        }
        let Some(found) = self.pages.iter().position(|(start, bytes)| within(*start, bytes)) else {
            let start = at / PAGE * PAGE;
            let wanted = start..(start + PAGE + MOST).min(self.length);
            let too_many = || broken("the tables of the model are too far from each other", at);
            return Err(if self.left > 0 { Stop::Needs(wanted) } else { too_many() });
        };
        // The page becomes the one that was used last.
        let page = self.pages.remove(found);
        self.pages.extend(page);
        let (start, bytes) = self.pages.back().map_or((0, &[][..]), |(start, bytes)| (*start, bytes));
        Ok(&bytes[(at - start) as usize..][..count as usize])
    }

    fn number<const BYTES: usize>(&mut self, at: u64) -> Result<u64, Stop> {
        let bytes = self.bytes(at, BYTES as u64)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The table that the offset at `at` leads to.
    pub(super) fn table(&mut self, at: u64) -> Result<Table, Stop> {
        let at = self.follow(at)?;
        // The distance has a sign: places may be shared by tables before and behind them.
        let distance = self.number::<4>(at)? as u32 as i32;
        let places = at.checked_add_signed(-i64::from(distance));
        let places = places.ok_or_else(|| broken("the fields of a table begin before the file", at))?;
        let length = self.number::<2>(places)?.min(MOST);
        Ok(Table { at, places: self.bytes(places, length)?.to_vec() })
    }

    /// The table that an element of a vector of offsets leads to.
    pub(super) fn element(&mut self, vector: Vector, index: u64) -> Result<Table, Stop> {
        self.table(vector.at + index * OFFSET)
    }

    /// The vector in a field, of elements of so many bytes; an empty one if there is none.
    pub(super) fn vector(&mut self, table: &Table, field: usize, bytes: u64) -> Result<Vector, Stop> {
        let Some(at) = table.field(field) else { return Ok(Vector::default()) };
        let at = self.follow(at)?;
        let (count, at) = (self.number::<4>(at)?, at + OFFSET);
        if count.saturating_mul(bytes) > self.length - at {
            return Err(broken("a vector ends behind the end of the file", at));
        }
        Ok(Vector { at, count })
    }

    /// The table in a field, if there is one.
    pub(super) fn inner(&mut self, table: &Table, field: usize) -> Result<Option<Table>, Stop> {
        table.field(field).map(|at| self.table(at)).transpose()
    }

    /// The number of so many bytes in a field; 0 if there is none.
    pub(super) fn field<const BYTES: usize>(&mut self, table: &Table, field: usize) -> Result<u64, Stop> {
        table.field(field).map_or(Ok(0), |at| self.number::<BYTES>(at))
    }

    /// The place that the offset at `at` leads to.
    fn follow(&mut self, at: u64) -> Result<u64, Stop> {
        Ok(at + self.number::<4>(at)?)
    }
}

impl Table {
    /// The offset of a field; `None` if the table does not have it.
    fn field(&self, field: usize) -> Option<u64> {
        let place = self.places.get(2 * (field + 2)..2 * (field + 3))?;
        let place = place.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        (place > 0).then(|| self.at + u64::from(place))
    }
}

/// The fault of a file that breaks a rule at an offset.
pub(super) fn broken(rule: &str, at: u64) -> Stop {
    Stop::Broken(Error::corrupt(format!("TensorFlow Lite: {rule}")).at(at))
}
