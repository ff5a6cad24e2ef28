//! The layout of the files of whisper.cpp and of others that are older than GGUF (`ggml-*.bin`): a
//! header of unknown length, and tensors.
//!
//! Each tensor lies behind its rank, the length of its name, its ggml type, its extents, innermost
//! first, and its name. The header has hyperparameters, filters and a vocabulary, differs from
//! program to program, and does not tell where it ends. So the tensors are those behind the first
//! place of the file's start from which tensors follow each other up to the end of the file.
//! Archives name regions by offset, so that the decoder parses nothing, and a file without such a
//! place has no layout.

use std::collections::HashSet;

use super::{Kind, Layout, Region, gguf};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use crate::steps;

/// The first bytes of a file: the names `ggml` and `ggmf` as numbers.
const MAGICS: [&[u8; 4]; 2] = [b"lmgg", b"fmgg"];

/// Bytes of a read. Short tensors follow each other within one read.
const STEP: u64 = 16 * 1024;

/// The longest header of a file in bytes: vocabularies have less than one megabyte.
const MAX_HEADER: u64 = 4 << 20;

/// Bytes of the numbers that every tensor begins with, and of an extent.
const NUMBERS: usize = 12;
const EXTENT: usize = 4;

/// Maximum number of extents, as in ggml, and of bytes of a name.
const MAX_RANK: u32 = 4;
const LONGEST_NAME: u32 = 256;

/// Maximum length in bytes of what lies before the data of a tensor.
const LONGEST: u64 = NUMBERS as u64 + (MAX_RANK * EXTENT as u32 + LONGEST_NAME) as u64;

/// Maximum number of tensors, those of wrong places included. An archive could not hold more.
const MAX_TENSORS: usize = 100_000;

/// Maximum number of places that begin like a tensor and are none.
const MAX_PLACES: usize = 16;

/// Minimum length of a region in bytes; shorter tensors are cheaper as part of the bytes between.
const LEAST: u64 = 256;

/// Tells whether `head` is the start of such a file.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    MAGICS.iter().any(|magic| head.starts_with(*magic))
}

/// Reads the tensors of a file of known length.
#[derive(Debug)]
pub(crate) struct TensorReader {
    file_length: u64,
    wants: Option<Wanted>,
    /// Offset of the next place of the header that may begin a tensor.
    place: u64,
    /// Offset of the next tensor, if the tensors before it follow each other.
    next: Option<u64>,
    regions: Vec<Region>,
    names: HashSet<String>,
    /// Tensors and places that may still be read.
    left: (usize, usize),
}

impl TensorReader {
    pub(crate) fn new(file_length: u64) -> Self {
        Self {
            file_length,
            wants: Some(0..file_length.min(STEP)),
            place: 0,
            next: None,
            regions: Vec::new(),
            names: HashSet::new(),
            left: (MAX_TENSORS, MAX_PLACES),
        }
    }

    /// The layout, if tensors reach to the end of the file.
    pub(crate) fn finish(self) -> Option<Layout> {
        let (kind, regions, file_length) = (Kind::Places, self.regions, self.file_length);
        let is_whole = self.next == Some(file_length);
        (is_whole && !regions.is_empty()).then_some(Layout { kind, file_length, regions, ..Layout::default() })
    }

    /// Reads tensors from the first place on, as far as `bytes`, which begin at offset `start`,
    /// hold what lies before their data. Returns the offset that is to be read next; `None` at the
    /// end of the file, or if it has no layout.
    fn walk(&mut self, start: u64, bytes: &[u8]) -> Option<u64> {
        loop {
            let at = self.next.unwrap_or(self.place);
            if at == self.file_length && self.next.is_some() {
                return None;
            }
            let is_found = self.next.is_some();
            if !is_found && at > MAX_HEADER || self.left.0 == 0 {
                return None;
            }
            let rest = at.checked_sub(start).and_then(|skip| bytes.get(usize::try_from(skip).ok()?..));
            let Some(rest) = rest.filter(|rest| rest.len() as u64 >= LONGEST.min(self.file_length - at)) else {
                return Some(at);
            };
            steps::add(1);
            match self.tensor(at, rest) {
                Some(end) => self.next = Some(end),
                None if !is_found && rest.len() < NUMBERS => return None,
                None => self.search(is_found)?,
            }
        }
    }

    /// Goes on behind a place that begins no tensor, or from which tensors do not reach to the end
    /// of the file; `None` if there are too many of the latter.
    fn search(&mut self, is_found: bool) -> Option<()> {
        self.next = None;
        self.place += 1;
        if is_found {
            self.regions.clear();
            self.names.clear();
            self.left.1 = self.left.1.checked_sub(1)?;
        }
        Some(())
    }

    /// Reads the tensor at offset `at`, where `rest` begins, and returns the offset of the next
    /// one; `None` if there is none.
    fn tensor(&mut self, at: u64, rest: &[u8]) -> Option<u64> {
        let numbers = rest.get(..NUMBERS)?.as_chunks::<EXTENT>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let [rank, name, kind] = numbers.collect::<Vec<_>>().try_into().ok()?;
        if !(1..=MAX_RANK).contains(&rank) || !(1..=LONGEST_NAME).contains(&name) {
            return None;
        }
        let extents = NUMBERS..NUMBERS + rank as usize * EXTENT;
        let name = rest.get(extents.end..extents.end + name as usize)?;
        let extents = rest[extents].as_chunks::<EXTENT>().0.iter().rev();
        let shape: Vec<u64> = extents.map(|extent| u32::from_le_bytes(*extent).into()).collect();
        let is_name = name.iter().all(u8::is_ascii_graphic) && !shape.contains(&0);
        let dtype = gguf::dtype(kind, &shape).filter(|_| is_name)?;
        let length = dtype.tensor_bytes(&shape)?;
        let offset = at + (NUMBERS + shape.len() * EXTENT + name.len()) as u64;
        let end = offset.checked_add(length).filter(|end| *end <= self.file_length)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        if !self.names.insert(name.clone()) {
            return None;
        }
        self.left.0 -= 1;
        if length >= LEAST {
            self.regions.push(Region { name, dtype, shape, offset, length });
        }
        Some(end)
    }
}

impl Incremental for TensorReader {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes the bytes of the wanted range. It never fails: a file that does not parse has no
    /// layout.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.wants.take().map_or(0, |wanted| wanted.start);
        let next = self.walk(start, bytes);
        self.wants = next.map(|at| at..(at + STEP).min(self.file_length));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
