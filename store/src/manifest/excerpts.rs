//! Excerpts: runs of bytes that an item has in common with another stored file, such as experts
//! that are one tensor in one file and many in the other.
//!
//! An excerpt names bytes of a file by their place and not the pieces that they are in. So it stays
//! right when the manifest of that file is made again.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{FileManifest, PieceRef};
use crate::error::{Error, Result};
use crate::keys::ObjectId;

/// The maximum number of files that a manifest has excerpts of.
pub(crate) const MOST_SOURCES: usize = 16;
/// The maximum number of files that may follow one another, each with an excerpt of the next one.
/// Writers take excerpts only of files that have none. Such a file may be damaged and added again.
pub(crate) const DEEPEST: usize = 2;
/// The maximum number of runs of bytes in pieces that the excerpts of a file consist of.
const MOST_RUNS: usize = 1 << 18;

/// A run of bytes of another file. In JSON, it is an array of three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(usize, i64, u64)", into = "(usize, i64, u64)")]
pub(crate) struct Excerpt {
    /// The number of the file among the sources of the manifest.
    pub(crate) source: usize,
    /// The distance in bytes from the end of the excerpt of this source before it. Tensors that are
    /// put together in the same way thus have the same numbers.
    skip: i64,
    /// The length in bytes.
    pub(crate) length: u64,
}

impl From<(usize, i64, u64)> for Excerpt {
    fn from((source, skip, length): (usize, i64, u64)) -> Self {
        Self { source, skip, length }
    }
}

impl From<Excerpt> for (usize, i64, u64) {
    fn from(excerpt: Excerpt) -> Self {
        (excerpt.source, excerpt.skip, excerpt.length)
    }
}

impl Excerpt {
    /// The length of all of them in bytes.
    pub(super) fn total(excerpts: &[Self]) -> u64 {
        excerpts.iter().fold(0, |total, excerpt| total.saturating_add(excerpt.length))
    }
}

/// The places behind the last excerpt of each source, from which the next ones are counted.
#[derive(Debug, Default)]
pub(crate) struct Cursor(Vec<u64>);

impl Cursor {
    /// Appends the bytes in `range` of a source to the excerpts of an item.
    pub(crate) fn append(&mut self, excerpts: &mut Vec<Excerpt>, source: usize, range: Range<u64>) {
        let length = range.end - range.start;
        let skip = range.start.wrapping_sub(*self.end(source)).cast_signed();
        *self.end(source) = range.end;
        match excerpts.last_mut() {
            Some(last) if last.source == source && skip == 0 => last.length += length,
            _ => excerpts.push(Excerpt { source, skip, length }),
        }
    }

    /// The range of the next excerpt, which must lie in its source of `length` bytes.
    fn next(&mut self, excerpt: &Excerpt, length: u64) -> Option<Range<u64>> {
        let end = self.end(excerpt.source);
        let start = end.checked_add_signed(excerpt.skip)?;
        *end = start.checked_add(excerpt.length).filter(|end| *end <= length)?;
        Some(start..*end)
    }

    fn end(&mut self, source: usize) -> &mut u64 {
        if self.0.len() <= source {
            self.0.resize(source + 1, 0);
        }
        &mut self.0[source]
    }
}

/// A source, as runs of bytes in pieces.
struct Source<'a> {
    file: &'a FileManifest,
    /// Each run, with its offset in the file.
    runs: Vec<(u64, (PieceRef, Range<u64>))>,
}

impl<'a> Source<'a> {
    fn of(file: &'a FileManifest) -> Self {
        let mut end = 0;
        let runs = file.runs().into_iter().map(|run| {
            let start = end;
            end += run.1.end - run.1.start;
            (start, run)
        });
        Self { file, runs: runs.collect() }
    }

    /// The bytes in `range` of the file, as runs of bytes in pieces.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = (PieceRef, Range<u64>)> + '_ {
        let first = self.runs.partition_point(|(start, (_, run))| start + (run.end - run.start) <= range.start);
        self.runs[first..].iter().take_while(move |(start, _)| *start < range.end).map(move |(start, (piece, run))| {
            let at = |offset: u64| run.start + (offset.max(*start) - start).min(run.end - run.start);
            (*piece, at(range.start)..at(range.end))
        })
    }
}

impl FileManifest {
    /// Finds the pieces that the excerpts are in. `files` are the resolved manifests of the
    /// sources.
    ///
    /// # Errors
    /// `Damaged`, if an excerpt lies outside of its source, or if there are too many.
    pub(crate) fn resolve(&mut self, key: &str, files: &[Self]) -> Result<()> {
        let sources: Vec<Source<'_>> = files.iter().map(Source::of).collect();
        let (mut cursor, mut seen, mut count) = (Cursor::default(), HashSet::new(), 0);
        for item in &mut self.items {
            for excerpt in &item.excerpts {
                let source = sources.get(excerpt.source);
                let range = source.and_then(|source| cursor.next(excerpt, source.file.length));
                let (Some(source), Some(range)) = (source, range) else {
                    let of = self.sources.get(excerpt.source).map_or("no source".to_owned(), ObjectId::to_string);
                    let problem = format!(
                        "{item} has an excerpt of {} bytes, {} behind the last one, that is outside of {of}",
                        excerpt.length, excerpt.skip
                    );
                    return Err(Error::damaged(key, problem));
                };
                for run in source.within(range) {
                    count += 1;
                    if count > MOST_RUNS {
                        return Err(Error::damaged(key, format!("it has excerpts of more than {MOST_RUNS} runs")));
                    }
                    if seen.insert(run.0) {
                        self.taken.push(run.0);
                    }
                    item.runs.push(run);
                }
            }
        }
        let mut known = HashSet::new();
        self.taken_further = files.iter().flat_map(Self::all_further).filter(|id| known.insert(*id)).collect();
        let needs = self.sources.iter().chain(files.iter().flat_map(|file| &file.needs));
        let mut known = HashSet::new();
        self.needs = needs.copied().filter(|id| known.insert(*id)).collect();
        Ok(())
    }
}
