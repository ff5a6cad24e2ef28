//! The boundary over which bytes reach the core.
//!
//! The core never reads by itself: it names ranges as [`Read`]s and receives [`Inputs`]. The bytes
//! may come from a file, a `Blob`, an HTTP range or a slice, synchronously or not.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::steps;

/// The inputs of a [job](crate::job::Job).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A file of the base model, by its index: a sharded model has several.
    Base(usize),
    /// An `.onnx` file that describes external data, by its index: the base's graph, then the
    /// target's.
    Graph(usize),
    /// A `.bitx` archive.
    Delta,
    /// The fine-tuned model to compress.
    Target,
}

impl Source {
    /// The stable lower-case name of the input's kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base(_) => "base",
            Self::Graph(_) => "graph",
            Self::Delta => "delta",
            Self::Target => "target",
        }
    }
}

/// A range of bytes of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The input to read.
    pub source: Source,
    /// Offset of the first byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Read {
    pub(crate) fn new(source: Source, range: Range<u64>) -> Self {
        Self { source, offset: range.start, length: range.end - range.start }
    }

    fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Maximum number of bytes between two ranges that are fetched as one: a request costs more than
/// the bytes between them.
const COALESCE_GAP: u64 = 4096;

/// Number of bytes between ranges that may be fetched beyond the bytes of the ranges themselves.
const FREE_GAPS: u64 = 1 << 20;

/// Sorts `reads`, and joins those that overlap, touch or nearly touch. The bytes between them that
/// are fetched as well are at most as many as those of `reads`, plus [`FREE_GAPS`]: of a base, an
/// archive may name a byte here and there.
pub(crate) fn coalesce(mut reads: Vec<Read>) -> Vec<Read> {
    steps::add(reads.len());
    reads.retain(|r| r.length > 0);
    let mut gaps = reads.iter().fold(FREE_GAPS, |sum, read| sum.saturating_add(read.length));
    let mut joined: Vec<Read> = Vec::new();
    reads.sort_by_cached_key(|read| (read.source, read.offset));
    for read in reads {
        match joined.last_mut() {
            Some(last) if last.source == read.source && gap(last, &read) <= gaps.min(COALESCE_GAP) => {
                gaps -= gap(last, &read);
                last.length = last.end().max(read.end()) - last.offset;
            }
            _ => joined.push(read),
        }
    }
    joined
}

/// Number of bytes between two reads of a source, the first of which begins first.
fn gap(first: &Read, second: &Read) -> u64 {
    second.offset.saturating_sub(first.end())
}

/// A whole input that is in memory.
pub type Whole = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// The bytes that a window asked for, or whole inputs, which serve every window.
#[derive(Default)]
pub struct Inputs {
    reads: Vec<Read>,
    /// A buffer for each read, which may be longer than the read.
    buffers: Vec<Vec<u8>>,
    whole: Vec<(Source, Whole)>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("reads", &self.reads).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Takes whole inputs that are in memory. Every window finds its bytes in them, and nothing is
    /// copied.
    pub fn whole(sources: Vec<(Source, Whole)>) -> Self {
        Self { whole: sources, ..Self::default() }
    }

    /// Makes room for `reads`, and keeps the allocations of earlier windows that fit them.
    ///
    /// `reads` come from [`Job::reads`](crate::job::Job::reads), which never asks for bytes beyond
    /// the real length of an input. A forged length therefore cannot decide how much is allocated.
    pub fn prepare(&mut self, reads: Vec<Read>) {
        let mut spares = std::mem::take(&mut self.buffers);
        spares.sort_by_cached_key(|spare| (spare.len() as u64, 0u64));
        let mut spares = spares.into_iter().peekable();
        let mut order: Vec<usize> = (0..reads.len()).collect();
        order.sort_by_cached_key(|&i| (reads[i].length, 0u64));
        self.buffers.resize_with(reads.len(), Vec::new);
        for i in order {
            let length = reads[i].length;
            while spares.next_if(|spare| (spare.len() as u64) < length).is_some() {}
            // A small read must not keep a large buffer.
            let spare = spares.next_if(|spare| spare.len() as u64 / 2 <= length);
            self.buffers[i] = spare.unwrap_or_else(|| new_buffer(length));
        }
        self.reads = reads;
    }

    /// Every range, with the buffer that the host must fill with its bytes.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Read, &mut [u8])> {
        let filled = |(&read, buffer): (&Read, _)| (read, &mut Vec::as_mut_slice(buffer)[..read.length as usize]);
        self.reads.iter().zip(&mut self.buffers).map(filled)
    }

    /// The buffer of the read at `index`.
    pub fn buffer_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let length = self.reads.get(index)?.length as usize;
        self.buffers.get_mut(index)?.get_mut(..length)
    }

    /// The bytes of `range` in `source`, which one of the reads must cover.
    pub(crate) fn slice(&self, source: Source, range: Range<u64>) -> Result<&[u8]> {
        if range.is_empty() {
            return Ok(&[]);
        }
        if let Some((_, bytes)) = self.whole.iter().find(|(held, _)| *held == source) {
            let found = (**bytes).as_ref().get(range.start as usize..range.end as usize);
            return found.ok_or_else(|| {
                Error::invalid_argument("the input is shorter than its stated length").input(source).at(range.start)
            });
        }
        let after = self.reads.partition_point(|r| (r.source, r.offset) <= (source, range.start));
        let found = after.checked_sub(1).and_then(|i| {
            let read = self.reads.get(i).filter(|r| r.source == source)?;
            let start = (range.start - read.offset) as usize;
            self.buffers[i].get(..read.length as usize)?.get(start..start + (range.end - range.start) as usize)
        });
        found.ok_or_else(|| {
            Error::invalid_argument("the inputs do not hold the bytes that the window asked for")
                .input(source)
                .at(range.start)
        })
    }
}

/// Large buffers have a multiple of so many bytes, so that they fit the reads of the next windows,
/// whose lengths differ a little.
const ROOM_STEP: u64 = 1 << 20;

/// Returns a buffer of zeros with room for `length` bytes.
fn new_buffer(length: u64) -> Vec<u8> {
    let room = if length < ROOM_STEP { length } else { length.next_multiple_of(ROOM_STEP) };
    // The system's memory is zero already. An allocation that asks for zeros need not write them.
    vec![0; room as usize]
}

/// A readable input of known length, from which native hosts drive jobs.
pub trait ReadAt: Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Tells whether the input has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Those of the medium; `UnexpectedEof` if the input has become shorter than
    /// [`len`](Self::len).
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|o| self.get(o..)?.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        (**self).read_at(offset, buffer)
    }
}

/// The range of bytes that a parser needs next; see [`Incremental`].
pub(crate) type Wanted = Range<u64>;

/// A parser that never reads by itself: it names a range, and is fed exactly the bytes of that
/// range.
pub(crate) trait Incremental {
    /// The range wanted next; `None` once parsing is complete, or while there is more to
    /// [`advance`](Self::advance) with.
    fn wants(&self) -> Option<Wanted>;

    /// Takes the bytes of the range that [`wants`](Self::wants) named. They may be parsed later, by
    /// [`advance`](Self::advance).
    fn take(&mut self, bytes: &[u8]) -> Result<()>;

    /// Parses more of the bytes, for a short time. Returns `true` if this must be called again
    /// before anything else is.
    fn advance(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Takes the bytes of the range that [`wants`](Self::wants) named, and parses all of them.
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.take(bytes)?;
        while self.advance()? {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(range: Range<u64>) -> Read {
        Read::new(Source::Base(0), range)
    }

    #[test]
    fn near_ranges_become_one_read() {
        let far = 20 + COALESCE_GAP + 1;
        let reads = vec![base(far..far + 5), base(10..20), base(0..10), base(3..3), Read::new(Source::Delta, 5..6)];
        let want = vec![base(0..20), base(far..far + 5), Read::new(Source::Delta, 5..6)];
        assert_eq!(coalesce(reads), want);
    }

    #[test]
    fn bytes_between_ranges_are_not_most_of_what_is_read() {
        let sparse = (0..1000).map(|i| base(i * (COALESCE_GAP + 1)..i * (COALESCE_GAP + 1) + 1)).collect();
        let reads = coalesce(sparse);
        let total: u64 = reads.iter().map(|read| read.length).sum();
        assert!(reads.len() > 700 && total <= FREE_GAPS + 2000, "{} reads, {total} bytes", reads.len());
    }

    #[test]
    fn large_buffers_are_not_kept_for_small_reads() {
        let mut inputs = Inputs::default();
        inputs.prepare(vec![base(0..1 << 20), base(2 << 20..3 << 20)]);
        inputs.prepare(vec![base(0..10), base(2 << 20..3 << 20)]);
        assert!(inputs.buffers[0].capacity() < 1000 && inputs.buffers[1].capacity() == 1 << 20);
    }

    #[test]
    fn buffers_are_kept_for_the_reads_that_they_fit() {
        let mut inputs = Inputs::default();
        inputs.prepare(vec![base(0..3 << 20), Read::new(Source::Delta, 0..50), Read::new(Source::Target, 0..1 << 20)]);
        let places: Vec<*const u8> = inputs.buffers.iter().map(|buffer| buffer.as_ptr()).collect();
        // The reads have other places in the list, and other lengths.
        inputs.prepare(vec![base(0..40), base(90..90 + (5 << 19)), Read::new(Source::Target, 7..(1 << 20) - 7)]);
        let kept: Vec<*const u8> = inputs.buffers.iter().map(|buffer| buffer.as_ptr()).collect();
        assert_eq!(kept, [places[1], places[0], places[2]]);
        let lengths: Vec<usize> = inputs.iter_mut().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [40, 5 << 19, (1 << 20) - 14]);
        // Bytes of an earlier read are not those of this one.
        assert!(inputs.slice(Source::Base(0), 0..40).is_ok() && inputs.slice(Source::Base(0), 0..41).is_err());
        // A longer read that still has room keeps its buffer, too.
        inputs.prepare(vec![base(0..3 << 20)]);
        assert_eq!(inputs.buffers[0].as_ptr(), places[0]);
    }

    #[test]
    fn whole_inputs_hold_every_range() {
        let inputs = Inputs::whole(vec![(Source::Delta, Arc::new(*b"delta")), (Source::Target, Arc::new(*b"target"))]);
        assert_eq!(inputs.slice(Source::Delta, 0..5).unwrap(), b"delta");
        assert_eq!(inputs.slice(Source::Target, 2..6).unwrap(), b"rget");
        assert!(inputs.slice(Source::Delta, 4..6).is_err() && inputs.slice(Source::Base(0), 0..1).is_err());
    }

    #[test]
    fn slices_come_from_the_covering_read() {
        let mut inputs = Inputs::default();
        inputs.prepare(vec![base(4..8), Read::new(Source::Delta, 0..2)]);
        inputs.buffer_mut(0).unwrap().copy_from_slice(b"abcd");
        assert_eq!(inputs.slice(Source::Base(0), 5..7).unwrap(), b"bc");
        assert_eq!(inputs.slice(Source::Base(0), 9..9).unwrap(), b"");
        for range in [0..2, 7..9, 3..5] {
            assert!(inputs.slice(Source::Base(0), range).is_err());
        }
        assert!(inputs.slice(Source::Target, 0..1).is_err());
    }
}
