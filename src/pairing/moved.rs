//! Floats that are elsewhere in another file of no known layout: tensors in another order, behind
//! ones that were added or removed, or in runs that begin at other places.
//!
//! The signs of weights hardly change in a fine-tune or a cast. One word in about a thousand is an
//! *anchor*, by the signs of the words before it, so that the same words are anchors in both files.
//! Anchors of the target that follow each other as their counterparts in the base do are a
//! [`Segment`]; the signs tell where it begins and ends.

use std::ops::{Range, RangeInclusive};

use super::{Class, Joined, MOVED, Models, Subject};
use crate::archive::v2::{View, units};
use crate::chunk::unit;
use crate::io::Read;
use crate::plan::Place;
use crate::steps;

/// Minimum number of words of a region that is searched.
const LEAST: u64 = 1 << 10;

/// Bytes of a read, at most.
const STEP: u64 = 1 << 20;

/// One word in so many is an anchor, and no two are nearer than the least distance.
const ONE_IN: u32 = 1 << 10;
const APART: u64 = 1 << 7;

/// Words of which the signs are kept, and the bits of a word's number.
const SIGNS: u64 = 64;
const WORD_BITS: u32 = 42;

/// Words of either sign among them.
const MIXED: RangeInclusive<u32> = 16..=48;

/// Anchors of the same signs that are compared.
const COMPARED: usize = 8;

/// Maximum number of segments.
const SEGMENTS: usize = 1 << 14;

/// Words that are looked at to find where a segment ends.
const END: u64 = 1 << 16;

/// The score that an end may lose before the search stops: a sign that is the same adds 1, another
/// one takes 2.
const LOSS: i64 = 64;

/// Words of the target that are in the base.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Index of the region of the target.
    target: usize,
    base: Place,
    /// Words from a word's place in the target to that in the base.
    shift: i64,
    /// The first word, and the word behind the last one.
    words: (u64, u64),
}

/// The search for the words of guessed regions of the target in those of the base.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// The regions of the base, each with the number of words before it.
    bases: Vec<(u64, Place)>,
    /// The words of the base that are anchors: the number that their signs give, and below it the
    /// number of the word among all words.
    anchors: Vec<u64>,
    is_sorted: bool,
    /// The signs of the last words, and the word from which on the next anchor may be.
    signs: u64,
    next: u64,
    segments: Vec<Segment>,
    /// A segment of one anchor.
    pending: Option<Segment>,
    is_asked: bool,
    /// The signs of an end in the target.
    end: Vec<bool>,
}

impl Moved {
    /// The reads of all words of guessed floats, those of the base first, with the first word of
    /// each; none if one of both models has no such floats.
    pub(crate) fn reads(models: &Models) -> Vec<(Read, Subject, u64)> {
        let is_searched = |subject: &Subject| {
            let (_, region) = models.region(*subject);
            let guessed = match subject {
                Subject::Target(_) => models.target.is_guessed,
                Subject::Base(place) => models.bases.layouts()[place.base].is_guessed,
            };
            guessed && Class::of(region.dtype) == Class::Weights && !region.dtype.is_scaled() && units(region) >= LEAST
        };
        let mut reads = Vec::new();
        for subject in models.base_regions().chain(models.targets()).filter(is_searched) {
            let region = models.region(subject).1;
            let (all, step) = (units(region), STEP / unit(region.dtype).1);
            let starts = (0..all).step_by(step as usize);
            reads.extend(starts.map(|start| (models.words(subject, start..all.min(start + step)), subject, start)));
        }
        let both = [reads.first(), reads.last()].map(|read| read.map(|(_, subject, _)| *subject));
        let [Some(Subject::Base(_)), Some(Subject::Target(_))] = both else { return Vec::new() };
        reads
    }

    /// Takes the words of a read, from the word `start` of a region on.
    pub(crate) fn feed(&mut self, models: &Models, (subject, start): (Subject, u64), bytes: &[u8]) {
        if start == 0 {
            (self.signs, self.next, self.pending) = (0, SIGNS - 1, None);
            if let Subject::Base(place) = subject {
                let last = self.bases.last().map(|(before, last)| before + units(models.bases.region(*last)));
                self.bases.push((last.unwrap_or(0), place));
            }
        }
        let before = self.bases.last().map_or(0, |(before, _)| *before);
        steps::add(bytes.len() / 2);
        let (mut last, mut next) = (self.signs, self.next);
        for (word, sign) in (start..).zip(signs(models, subject, bytes)) {
            last = last << 1 | u64::from(sign);
            // Tensors whose words have one sign are all alike.
            if hash(last) > u32::MAX / ONE_IN || word < next || !MIXED.contains(&last.count_ones()) {
                continue;
            }
            next = word + APART;
            let anchor = u64::from(hash(last)) << WORD_BITS;
            match subject {
                Subject::Target(region) => self.meet(region, word, anchor),
                Subject::Base(_) if (before + word) >> WORD_BITS == 0 => self.anchors.push(anchor | (before + word)),
                Subject::Base(_) => {}
            }
        }
        (self.signs, self.next) = (last, next);
    }

    /// Looks for the counterpart of an anchor of the target. It goes on with the last segment, or
    /// begins one with the anchor before it.
    fn meet(&mut self, target: usize, word: u64, anchor: u64) {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.anchors.sort_unstable();
        }
        let first = self.anchors.partition_point(|&other| other < anchor);
        let same = self.anchors[first..].iter().take(COMPARED).map(|other| other - anchor);
        let segment = |of_base: u64| {
            let region = self.bases.partition_point(|(before, _)| *before <= of_base).checked_sub(1)?;
            let (before, base) = self.bases[region];
            let shift = (of_base - before) as i64 - word as i64;
            Some(Segment { target, base, shift, words: (word + 1 - SIGNS / 2, word + 1) })
        };
        let found: Vec<Segment> = same.take_while(|other| other >> WORD_BITS == 0).filter_map(segment).collect();
        steps::add(1 + found.len());
        let follows = |last: &Segment| found.iter().any(|found| found.place() == last.place());
        if let Some(last) = self.segments.last_mut().filter(|last| follows(last)) {
            last.words.1 = word + 1;
            self.pending = None;
        } else if let Some(pending) = self.pending.take_if(|pending| follows(pending)) {
            let words = (pending.words.0, word + 1);
            self.segments.extend((self.segments.len() < SEGMENTS).then_some(Segment { words, ..pending }));
        } else if let Some(found) = found.first() {
            self.pending = Some(*found);
        }
    }

    /// The reads of the words before and behind all segments, once: of the target, and then of the
    /// base. Each has the index of the segment, and true for the end behind it.
    pub(crate) fn wanted_ends(&mut self, models: &Models) -> Vec<(Read, usize, bool)> {
        let mut reads = Vec::new();
        if std::mem::replace(&mut self.is_asked, true) {
            return reads;
        }
        self.anchors = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            for behind in [false, true] {
                let own = self.around(models, index, behind);
                if !own.is_empty() {
                    let base = segment.shifted(own.start)..segment.shifted(own.end);
                    let [target, other] = segment.subjects();
                    let both = [models.words(target, own), models.words(other, base)];
                    reads.extend(both.map(|read| (read, index, behind)));
                }
            }
        }
        reads
    }

    /// The words of the target before or behind a segment that may belong to it, as far as the base
    /// has words there.
    fn around(&self, models: &Models, index: usize, behind: bool) -> Range<u64> {
        let segment = &self.segments[index];
        let (first, end) = segment.words;
        let [own, base] = segment.subjects().map(|subject| units(models.region(subject).1));
        let neighbour = |index: Option<usize>| {
            index.and_then(|index| self.segments.get(index)).filter(|other| other.target == segment.target)
        };
        if behind {
            let next = neighbour(Some(index + 1)).map_or(own, |next| next.words.0);
            end..next.min(end + END).min(base.saturating_add_signed(-segment.shift)).max(end)
        } else {
            let last = neighbour(index.checked_sub(1)).map_or(0, |last| last.words.1);
            last.max(first.saturating_sub(END)).max(0u64.saturating_add_signed(-segment.shift)).min(first)..first
        }
    }

    /// Takes the words of an end: those of the target, and then those of the base.
    pub(crate) fn feed_end(&mut self, models: &Models, (index, behind): (usize, bool), bytes: &[u8]) {
        let own = std::mem::take(&mut self.end);
        let segment = &mut self.segments[index];
        let [target, base] = segment.subjects();
        if own.is_empty() {
            self.end = signs(models, target, bytes).collect();
            return;
        }
        let base: Vec<bool> = signs(models, base, bytes).collect();
        steps::add(base.len());
        let alike = own.iter().zip(&base).map(|(own, base)| own == base);
        if behind {
            segment.words.1 += extent(alike);
        } else {
            segment.words.0 -= extent(alike.rev());
        }
    }

    /// The regions of the target that were found, with their views, but for those whose words are
    /// where their pair has them.
    pub(crate) fn finish(self, models: &Models, pairs: &[Option<Place>]) -> Vec<(usize, View)> {
        let mut views = Vec::new();
        for segments in self.segments.chunk_by(|one, next| one.target == next.target) {
            let target = segments[0].target;
            let stays = |segment: &&Segment| segment.shift == 0 && pairs[target] == Some(segment.base);
            let moved = segments.iter().filter(|segment| !stays(segment));
            let moved: u64 = moved.map(|segment| segment.words.1 - segment.words.0).sum();
            if pairs[target].is_none() || moved >= units(&models.target.regions[target]) / MOVED {
                views.push((target, view(models, segments)));
            }
        }
        views
    }
}

/// The view of a region that has these segments.
fn view(models: &Models, segments: &[Segment]) -> View {
    let mut joined = Joined::default();
    for segment in segments {
        let (first, end) = (segment.words.0.max(joined.end()), segment.words.1);
        if first < end {
            joined.skip_to(first);
            joined.add(models, segment.base, segment.shifted(first), end - first);
        }
    }
    joined.finish(units(&models.target.regions[segments[0].target]))
}

impl Segment {
    /// The place in the base of a word of the target.
    fn shifted(&self, word: u64) -> u64 {
        word.saturating_add_signed(self.shift)
    }

    /// The regions of the target and of the base.
    fn subjects(&self) -> [Subject; 2] {
        [Subject::Target(self.target), Subject::Base(self.base)]
    }

    /// The region, the base and the shift that all anchors of a segment share.
    fn place(&self) -> (usize, Place, i64) {
        (self.target, self.base, self.shift)
    }
}

/// A number that the last 32 signs give.
fn hash(signs: u64) -> u32 {
    (signs as u32).wrapping_mul(0x9e37_79b1)
}

/// The signs of the words of a region of floats.
fn signs(models: &Models, subject: Subject, bytes: &[u8]) -> impl Iterator<Item = bool> {
    let width = models.region(subject).1.dtype.words().0;
    bytes.chunks_exact(width).map(|word| word.last().is_some_and(|byte| byte >> 7 == 1))
}

/// The number of words up to the end, by which of them are alike.
fn extent(alike: impl Iterator<Item = bool>) -> u64 {
    let (mut score, mut best, mut length) = (0, 0, 0);
    for (count, is_alike) in (1..).zip(alike) {
        score += if is_alike { 1 } else { -2 };
        if score > best {
            (best, length) = (score, count);
        } else if score + LOSS < best {
            break;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::extent;

    #[test]
    fn an_end_is_where_words_are_no_longer_alike() {
        let words = |alike: u64| (0..2000u64).map(move |i| if i < alike { i % 20 != 7 } else { i % 2 == 0 });
        for alike in [0, 100, 1000, 2000] {
            assert!(extent(words(alike)).abs_diff(alike) < 4, "{alike}");
        }
        // Few words that are not alike are no end.
        assert_eq!(extent((0..1000).map(|i| !(500..520).contains(&i))), 1000);
        assert_eq!(extent(std::iter::empty()), 0);
    }
}
