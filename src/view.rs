//! A view of the base set whose places in the files are known: it names the ranges to read for any
//! part of a region, and turns them into the base words of that part.

use std::borrow::Cow;
use std::ops::Range;

use crate::cast::cast;
use crate::chunk::unit;
use crate::error::Result;
use crate::io::{Inputs, Read, Source};
use crate::layout::Dtype;

/// The base words of a region, as runs of words of base files.
#[derive(Debug)]
pub(crate) struct BaseView {
    /// The dtype of the target's region.
    dtype: Dtype,
    origins: Vec<Located>,
    /// The runs in order. Each one ends where the next one starts.
    runs: Vec<Stretch>,
}

/// A base region that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) source: Source,
    /// Offset of the region in its file.
    pub(crate) offset: u64,
    pub(crate) dtype: Dtype,
}

/// A run, with its end in the target's region.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// The unit of the target's region behind the run.
    end: u64,
    units: u64,
    /// Index of the origin, and the run's first unit there.
    from: Option<(u32, u64)>,
}

/// The part of a run that a range of units covers.
struct Part {
    units: u64,
    /// The range of the base file, and the dtype of its words.
    from: Option<(Source, Range<u64>, Dtype)>,
}

impl BaseView {
    /// Creates the view of a region of `dtype`. Each run is a number of units, and the index of an
    /// origin with the first unit there.
    pub(crate) fn new(
        dtype: Dtype,
        origins: Vec<Located>,
        runs: impl Iterator<Item = (u64, Option<(u32, u64)>)>,
    ) -> Self {
        let mut end = 0;
        let stretch = |(units, from)| {
            end += units;
            Stretch { end, units, from }
        };
        Self { dtype, origins, runs: runs.map(stretch).collect() }
    }

    /// The base file that an error about the view names.
    pub(crate) fn source(&self) -> Source {
        self.origins.first().map_or(Source::Base(0), |origin| origin.source)
    }

    /// Appends the reads of the base words for the byte range `range` of the target's region.
    pub(crate) fn reads(&self, range: Range<u64>, reads: &mut Vec<Read>) {
        let parts = self.parts(range).filter_map(|part| part.from);
        reads.extend(parts.map(|(source, range, _)| Read::new(source, range)));
    }

    /// Returns the base words for the byte range `range` of the target's region, in its dtype;
    /// `None` if no run there has a base.
    pub(crate) fn take<'a>(&self, range: Range<u64>, inputs: &'a Inputs) -> Result<Option<Cow<'a, [u8]>>> {
        let length = (range.end - range.start) as usize;
        if self.parts(range.clone()).all(|part| part.from.is_none()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for part in self.parts(range) {
            let taken = match part.from {
                Some((source, range, dtype)) if dtype == self.dtype => {
                    let found = inputs.slice(source, range)?;
                    if found.len() == length {
                        return Ok(Some(Cow::Borrowed(found)));
                    }
                    Cow::Borrowed(found)
                }
                Some((source, range, dtype)) => Cow::Owned(self.cast(dtype, inputs.slice(source, range)?, part.units)),
                None => Cow::Owned(vec![0; (part.units * unit(self.dtype).1) as usize]),
            };
            bytes.reserve_exact(length - bytes.len());
            bytes.extend_from_slice(&taken);
        }
        Ok(Some(Cow::Owned(bytes)))
    }

    fn cast(&self, from: Dtype, words: &[u8], units: u64) -> Vec<u8> {
        let mut target = vec![0; (units * unit(self.dtype).1) as usize];
        cast(from, self.dtype, words, &mut target);
        target
    }

    /// The parts of the runs that the byte range `range` covers, in order.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Part> {
        let width = unit(self.dtype).1;
        let (start, end) = (range.start / width, range.end / width);
        let first = self.runs.partition_point(|run| run.end <= start);
        let covering = self.runs[first..].iter().take_while(move |run| run.end - run.units < end);
        covering.map(move |run| {
            let skipped = start.saturating_sub(run.end - run.units);
            let units = run.units - skipped - run.end.saturating_sub(end);
            Part { units, from: run.from.map(|(origin, first)| self.range(origin, first + skipped, units)) }
        })
    }

    fn range(&self, origin: u32, first: u64, units: u64) -> (Source, Range<u64>, Dtype) {
        let Located { source, offset, dtype } = self.origins[origin as usize];
        let width = unit(dtype).1;
        let start = offset + first * width;
        (source, start..start + units * width, dtype)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A view of ten words of F32: three of F32, two without a base, five of BF16.
    fn view() -> BaseView {
        let located = |base, offset, dtype| Located { source: Source::Base(base), offset, dtype };
        let origins = vec![located(0, 4, Dtype::F32), located(1, 2, Dtype::BF16)];
        BaseView::new(Dtype::F32, origins, [(3, Some((0, 1))), (2, None), (5, Some((1, 0)))].into_iter())
    }

    fn inputs() -> Inputs {
        let floats: Vec<u8> = (0..8u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        let halves: Vec<u8> =
            (0..8u8).flat_map(|i| (f32::from(i).to_bits() >> 16).to_le_bytes()[..2].to_vec()).collect();
        Inputs::whole(vec![(Source::Base(0), Arc::new(floats)), (Source::Base(1), Arc::new(halves))])
    }

    #[test]
    fn words_come_from_all_runs_and_are_cast() {
        let words = |range| {
            let bytes = view().take(range, &inputs()).unwrap().map(Cow::into_owned);
            bytes
                .map(|bytes| bytes.chunks(4).map(|w| f32::from_le_bytes(*w.first_chunk().unwrap())).collect::<Vec<_>>())
        };
        assert_eq!(words(0..40).unwrap(), [2., 3., 4., 0., 0., 1., 2., 3., 4., 5.]);
        assert_eq!(words(8..28).unwrap(), [4., 0., 0., 1., 2.]);
        assert_eq!((words(12..20), words(4..8)), (None, Some(vec![3.])));
    }

    #[test]
    fn reads_name_the_ranges_of_the_words() {
        let mut reads = Vec::new();
        view().reads(8..28, &mut reads);
        assert_eq!(reads, [Read::new(Source::Base(0), 16..20), Read::new(Source::Base(1), 2..6)]);
        reads.clear();
        view().reads(12..20, &mut reads);
        assert_eq!(reads, []);
    }
}
