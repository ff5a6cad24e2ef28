//! One run of floats.

use std::ops::Range;

use super::extents::{HEADER, extents};
use super::word::{Word, word};
use super::{Bytes, PAGE, SAMPLE, guess};
use crate::layout::Dtype;
use crate::steps;

/// Weights that must follow each other behind words that are none, before a run goes on.
const RESUMED: u64 = 32;

/// Minimum length of a run in bytes; shorter ones are cheaper as part of the bytes between.
const LEAST: u64 = SAMPLE as u64;

/// Floats that were found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) dtype: Dtype,
    pub(super) range: Range<u64>,
    pub(super) shape: Vec<u64>,
}

/// Floats that follow each other, as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Run {
    dtype: Dtype,
    width: u64,
    /// Offset of each word, modulo the width.
    phase: u64,
    /// The first weight.
    start: u64,
    /// The bytes before it.
    header: Vec<u8>,
    /// The end of the last weight.
    end: u64,
    /// The statistics of a page say that these are floats.
    is_verified: bool,
    /// The words that are no weights, while fewer than [`RESUMED`] weights follow the last of them.
    lost: Option<Lost>,
    /// Weights behind the last word that is none.
    resumed: u64,
}

/// The weights before words that are none.
#[derive(Debug, Clone)]
struct Lost {
    /// The first word that is no weight.
    at: u64,
    start: u64,
    header: Vec<u8>,
    is_verified: bool,
    /// The weights, if they are enough.
    found: Option<Found>,
}

impl Run {
    /// The run of the words around `at`, back to at most two pages before, and not before `least`.
    pub(super) fn around(dtype: Dtype, phase: u64, bytes: Bytes<'_>, at: u64, least: u64) -> Self {
        let width = dtype.words().0 as u64;
        let first = next_word(at, phase, width);
        let least = least.max(at.saturating_sub(2 * PAGE)).max(bytes.first);
        let (mut start, mut next) = (first, first);
        while next >= least + width {
            next -= width;
            steps::add(1);
            match word(dtype, bytes.get(next..next + width)) {
                Word::Weight => start = next,
                Word::Small => {}
                Word::Other => break,
            }
        }
        Self {
            dtype,
            width,
            phase,
            start,
            header: header(bytes, start),
            end: first,
            is_verified: true,
            lost: None,
            resumed: 0,
        }
    }

    pub(super) fn is_of(&self, dtype: Dtype, phase: u64) -> bool {
        (self.dtype, self.phase) == (dtype, phase)
    }

    /// Returns true if the last words were no weights.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Notes that the statistics of a page say that these are floats.
    pub(super) fn verify(&mut self) {
        self.is_verified = true;
    }

    /// The part of the run before `end`.
    pub(super) fn before(mut self, end: u64) -> Self {
        self.end = self.end.min(self.start + end.saturating_sub(self.start) / self.width * self.width);
        if let Some(found) = self.lost.as_mut().and_then(|lost| lost.found.as_mut())
            && found.range.end > end
        {
            let count = end.saturating_sub(found.range.start) / self.width;
            (found.range.end, found.shape) = (found.range.start + count * self.width, vec![count]);
        }
        self
    }

    /// Follows the run through a page, and adds to `found` the floats before words that are none.
    /// Returns `false` if the run has ended.
    pub(super) fn scan(&mut self, bytes: Bytes<'_>, page: Range<u64>, found: &mut Vec<Found>) -> bool {
        let first = next_word(page.start, self.phase, self.width);
        // The last word may reach into the next page.
        let words = bytes.get(bytes.within(first..page.end + self.width - 1));
        steps::add(words.len() / self.width as usize);
        for (at, bytes_of_word) in (first..).step_by(self.width as usize).zip(words.chunks_exact(self.width as usize)) {
            match (word(self.dtype, bytes_of_word), &self.lost) {
                (Word::Small, _) => {}
                (Word::Weight, None) => self.end = at + self.width,
                (Word::Weight, Some(_)) => found.extend(self.resume(at, bytes)),
                (Word::Other, None) => self.lose(at, bytes),
                (Word::Other, Some(lost)) if at - lost.at > PAGE => {
                    found.extend(self.lost.take().and_then(|lost| lost.found));
                    return false;
                }
                (Word::Other, Some(_)) => self.resumed = 0,
            }
        }
        true
    }

    /// Notes that the word at `at` is no weight.
    fn lose(&mut self, at: u64, bytes: Bytes<'_>) {
        let Self { start, is_verified, .. } = *self;
        let found = self.clone().end(bytes);
        self.lost = Some(Lost { at, start, header: std::mem::take(&mut self.header), is_verified, found });
        (self.resumed, self.is_verified) = (0, false);
    }

    /// Counts the weight at `at`, behind words that are none. Returns the floats before these, once
    /// enough weights say that a new run has begun. A single such word is in a run: few weights have
    /// odd values.
    fn resume(&mut self, at: u64, bytes: Bytes<'_>) -> Option<Found> {
        if self.resumed == 0 {
            self.start = at;
        }
        self.end = at + self.width;
        self.resumed += 1;
        let lost = self.lost.take_if(|_| self.resumed == RESUMED)?;
        if self.start == lost.at + self.width {
            (self.start, self.header, self.is_verified) = (lost.start, lost.header, lost.is_verified);
            return None;
        }
        self.header = header(bytes, self.start);
        lost.found
    }

    /// The floats of the run, if they are enough.
    pub(super) fn end(self, bytes: Bytes<'_>) -> Option<Found> {
        if let Some(lost) = self.lost {
            return lost.found;
        }
        let range = self.start..self.end;
        let is_long = self.end >= self.start + LEAST;
        let sample = || bytes.get(bytes.within(self.start..self.end.min(self.start + PAGE)));
        let is_float = is_long && (self.is_verified || guess::dtype(sample()) == Some(self.dtype));
        let count = (self.end - self.start) / self.width;
        let shape = || extents(&self.header, count).unwrap_or_else(|| vec![count]);
        is_float.then(|| Found { dtype: self.dtype, range, shape: shape() })
    }
}

/// The first offset from `at` on at which a word begins.
fn next_word(at: u64, phase: u64, width: u64) -> u64 {
    at + (phase + width - at % width) % width
}

/// The bytes before a run.
fn header(bytes: Bytes<'_>, start: u64) -> Vec<u8> {
    bytes.get(bytes.within(start.saturating_sub(HEADER)..start)).to_vec()
}
