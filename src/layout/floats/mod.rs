//! Floats in bytes of no known layout, such as HDF5, CoreML, checkpoints of TensorFlow and raw
//! dumps.
//!
//! The statistics of weights ([`guess`]) tell the pages of bytes that hold floats. A *run* of floats
//! begins in such a page. It goes back and on from there, word by word, for as long as the words
//! are numbers that weights may be ([`word`]), and becomes a region. Headers between tensors are
//! text and integers, so that they end one run, and the next one begins at the first weight behind
//! them: a tensor of another file is then found by its start. Where a header holds the extents of
//! the tensor behind it, as in ggml, the region has them.
//!
//! A wrong guess costs bytes of an archive, and nothing else: archives name regions by offset.

mod extents;
pub(super) mod guess;
mod run;
mod word;

use std::ops::Range;

use super::{Dtype, Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use run::{Found, Run};

/// The name of the regions, before a dot and their number.
pub(super) const NAME: &str = "floats";

/// Bytes that are looked at together, and between two looks at the statistics.
const PAGE: u64 = 4096;

/// Bytes of a page whose statistics are taken.
const SAMPLE: usize = 1024;

/// Bytes of a read.
const STEP: u64 = 1 << 20;

/// Pages behind the page in hand that are kept.
const KEPT: u64 = 3 * PAGE;

/// The longest word in bytes.
const LONGEST_WORD: u64 = 8;

/// Maximum number of regions; floats behind the last one stay bytes. An archive could not hold more
/// as items.
const MAX_REGIONS: usize = 100_000;

/// Tells whether a file that begins with `head` may hold floats: it is no text.
pub(crate) fn may_be_in(head: &[u8]) -> bool {
    // A character may be cut at the end.
    head.len() >= SAMPLE && std::str::from_utf8(head).is_err_and(|error| error.error_len().is_some())
}

/// Finds the floats in a file.
#[derive(Debug)]
pub(crate) struct Finder {
    file_length: u64,
    wants: Option<Wanted>,
    /// Bytes of the file from the offset `first` on.
    bytes: Vec<u8>,
    first: u64,
    /// Offset of the next page.
    page: u64,
    run: Option<Run>,
    /// The dtype of the last page that has one, and the offset of its words modulo their width.
    last: Option<(Dtype, u64)>,
    regions: Vec<Region>,
}

/// Bytes of a file, by their offsets in it.
#[derive(Debug, Clone, Copy)]
struct Bytes<'a> {
    bytes: &'a [u8],
    first: u64,
}

impl<'a> Bytes<'a> {
    fn get(self, range: Range<u64>) -> &'a [u8] {
        let place = |offset: u64| usize::try_from(offset.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.bytes.get(place(range.start)..place(range.end)).unwrap_or_default()
    }

    /// The part of a range that is at hand.
    fn within(self, range: Range<u64>) -> Range<u64> {
        let end = self.first + self.bytes.len() as u64;
        range.start.clamp(self.first, end)..range.end.clamp(self.first, end)
    }
}

impl Finder {
    /// Creates a finder for a file of no known kind.
    pub(crate) fn of_file(file_length: u64) -> Self {
        let wants = (file_length > 0).then(|| 0..file_length.min(STEP));
        Self { file_length, wants, bytes: Vec::new(), first: 0, page: 0, run: None, last: None, regions: Vec::new() }
    }

    /// The layout, if floats were found.
    pub(crate) fn finish(self) -> Option<Layout> {
        let Self { file_length, regions, .. } = self;
        let layout = Layout { kind: Kind::Places, file_length, regions, is_guessed: true, ..Layout::default() };
        (!layout.regions.is_empty()).then_some(layout)
    }

    /// Looks at the page at [`page`](Self::page).
    fn look(&mut self) {
        let bytes = Bytes { bytes: &self.bytes, first: self.first };
        let page = self.page..(self.page + PAGE).min(self.file_length);
        self.page = page.end;
        let sample = bytes.get(bytes.within(page.start..page.start + SAMPLE as u64));
        let floats = (sample.len() == SAMPLE).then(|| guess::dtype_and_phase(sample)).flatten();
        let mut found = Vec::new();
        if let Some((dtype, phase)) = floats {
            let phase = (page.start + phase as u64) % dtype.words().0 as u64;
            let is_new = self.last.replace((dtype, phase)) != Some((dtype, phase));
            match &mut self.run {
                Some(run) if run.is_of(dtype, phase) => run.verify(),
                // A few odd weights look like others.
                Some(run) if is_new && !run.is_lost() => {}
                run => {
                    let least = self.regions.last().map_or(0, |region| region.range().end);
                    let next = Run::around(dtype, phase, bytes, page.start, least);
                    let start = next.start();
                    let last = run.replace(next);
                    found.extend(last.and_then(|last| last.before(start).end(bytes)));
                }
            }
        }
        if let Some(run) = &mut self.run
            && !run.scan(bytes, page.clone(), &mut found)
        {
            self.run = None;
        }
        found.into_iter().for_each(|found| self.push(found));
    }

    fn push(&mut self, Found { dtype, range, shape }: Found) {
        if self.regions.len() < MAX_REGIONS {
            let name = format!("{NAME}.{}", self.regions.len());
            let (offset, length) = (range.start, range.end - range.start);
            self.regions.push(Region { name, dtype, shape, offset, length });
        }
    }
}

impl Incremental for Finder {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes the bytes of the wanted range. It never fails.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(wanted) = self.wants.take() else { return Ok(()) };
        self.bytes.extend_from_slice(bytes);
        let is_last = wanted.end == self.file_length;
        while self.page < self.file_length && (is_last || self.page + PAGE + LONGEST_WORD <= wanted.end) {
            self.look();
        }
        if is_last {
            let bytes = Bytes { bytes: &self.bytes, first: self.first };
            let last = self.run.take().and_then(|run| run.end(bytes));
            last.into_iter().for_each(|found| self.push(found));
            self.bytes = Vec::new();
            return Ok(());
        }
        let kept = self.page.saturating_sub(KEPT).max(self.first);
        self.bytes.drain(..(kept - self.first) as usize);
        self.first = kept;
        self.wants = Some(wanted.end..self.file_length.min(wanted.end + STEP));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
