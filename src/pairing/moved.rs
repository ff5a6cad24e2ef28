//! Floats that are elsewhere in another file of no known layout: tensors in another order, behind
//! ones that were added or removed, or in runs that begin at other places.
//!
//! The signs of weights hardly change in a fine-tune or a cast. One word in about a thousand is an
//! *anchor*, by the signs of the words before it, so that the same words are anchors in both files.
//! Anchors of the target that follow each other as their counterparts in the base do are a
//! [`Segment`]; the signs tell where it begins and ends.

use std::collections::{HashMap, VecDeque};
use std::ops::{Range, RangeInclusive};

use super::{Class, Models, Subject};
use crate::archive::v2::{Run, View, units};
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

/// Words whose signs an anchor keeps, and the number of those that may differ.
const SIGNS: u64 = 64;
const DIFFERING: u32 = 14;

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

/// The share of a pair's words, as one word in so many, that must be elsewhere.
const MOVED: u64 = 16;

/// A word of the base, and the signs of the words up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Anchor {
    hash: u32,
    /// Index of the region among those of the base that are searched.
    base: u32,
    word: u64,
    signs: u64,
}

/// Words of the target that are in the base.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Index of the region of the target.
    target: usize,
    /// Index of the region among those of the base that are searched.
    base: u32,
    /// Words from a word's place in the target to that in the base.
    shift: i64,
    /// The first word, and the word behind the last one.
    words: (u64, u64),
}

/// The search for the words of guessed regions of the target in those of the base.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    bases: Vec<Place>,
    /// The words of each queued read.
    queue: VecDeque<(Subject, Range<u64>)>,
    anchors: Vec<Anchor>,
    is_sorted: bool,
    /// The signs of the last words, and the word from which on the next anchor may be.
    signs: u64,
    next: u64,
    segments: Vec<Segment>,
    /// A segment of one anchor.
    pending: Option<Segment>,
    /// The ends whose reads are queued: the index of a segment, and true for the end behind it.
    ends: VecDeque<(usize, bool)>,
    is_asked: bool,
    /// The signs of the end in the target.
    end: Option<Vec<bool>>,
}

impl Moved {
    /// Plans the search if both the target and a file of the base were guessed.
    pub(crate) fn new(models: &Models) -> Self {
        let is_searched = |subject: &Subject| {
            let (_, region) = models.region(*subject);
            let guessed = match subject {
                Subject::Target(_) => models.target.is_guessed,
                Subject::Base(place) => models.bases.layouts()[place.base].is_guessed,
            };
            guessed && Class::of(region.dtype) == Class::Weights && !region.dtype.is_scaled() && units(region) >= LEAST
        };
        let targets: Vec<Subject> = models.targets().filter(is_searched).collect();
        if targets.is_empty() {
            return Self::default();
        }
        let bases: Vec<Subject> = models.base_regions().filter(is_searched).collect();
        let place = |subject: &Subject| match subject {
            Subject::Base(place) => Some(*place),
            Subject::Target(_) => None,
        };
        let places = bases.iter().filter_map(place).collect();
        let targets = if bases.is_empty() { Vec::new() } else { targets };
        let pieces = |subject: Subject| {
            let region = models.region(subject).1;
            let (all, step) = (units(region), STEP / unit(region.dtype).1);
            (0..all).step_by(step as usize).map(move |start| (subject, start..all.min(start + step)))
        };
        Self { bases: places, queue: bases.into_iter().chain(targets).flat_map(pieces).collect(), ..Self::default() }
    }

    /// The reads of all words that are searched: those of the base first.
    pub(crate) fn reads(&self, models: &Models) -> Vec<Read> {
        self.queue.iter().map(|(subject, words)| models.words(*subject, words.clone())).collect()
    }

    /// Takes the words of the next read.
    pub(crate) fn feed(&mut self, models: &Models, bytes: &[u8]) {
        let Some((subject, words)) = self.queue.pop_front() else { return };
        if words.start == 0 {
            (self.signs, self.next, self.pending) = (0, SIGNS - 1, None);
        }
        let base = match subject {
            Subject::Base(place) => self.bases.iter().position(|known| *known == place),
            Subject::Target(_) => None,
        };
        steps::add((words.end - words.start) as usize);
        let (mut last, mut next) = (self.signs, self.next);
        for (word, sign) in words.zip(signs(models, subject, bytes)) {
            last = last << 1 | u64::from(sign);
            let hash = hash(last);
            // Tensors whose words have one sign are all alike.
            if hash > u32::MAX / ONE_IN || word < next || !MIXED.contains(&last.count_ones()) {
                continue;
            }
            next = word + APART;
            match (subject, base) {
                (Subject::Target(region), _) => self.meet(region, word, last),
                (_, Some(base)) => self.anchors.push(Anchor { hash, base: base as u32, word, signs: last }),
                _ => {}
            }
        }
        (self.signs, self.next) = (last, next);
    }

    /// Looks for the counterpart of an anchor of the target. It goes on with the last segment, or
    /// begins one with the anchor before it.
    fn meet(&mut self, target: usize, word: u64, signs: u64) {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.anchors.sort_unstable();
        }
        let hash = hash(signs);
        let first = self.anchors.partition_point(|anchor| anchor.hash < hash);
        let same = self.anchors[first..].iter().take(COMPARED).take_while(|anchor| anchor.hash == hash);
        let alike = same.filter(|anchor| (anchor.signs ^ signs).count_ones() <= DIFFERING);
        let segment = |anchor: &Anchor| {
            let shift = anchor.word as i64 - word as i64;
            Segment { target, base: anchor.base, shift, words: (word + 1 - SIGNS / 2, word + 1) }
        };
        let found: Vec<Segment> = alike.map(segment).collect();
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

    /// The reads of the words before and behind all segments, of target and base, once.
    pub(crate) fn wanted_ends(&mut self, models: &Models) -> Vec<Read> {
        let mut reads = Vec::new();
        if std::mem::replace(&mut self.is_asked, true) {
            return reads;
        }
        self.anchors = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            for behind in [false, true] {
                let own = self.around(models, index, behind);
                let base = segment.shifted(own.start)..segment.shifted(own.end);
                if !own.is_empty() {
                    let [target, other] = self.subjects(segment);
                    reads.extend([models.words(target, own), models.words(other, base)]);
                    self.ends.push_back((index, behind));
                }
            }
        }
        reads
    }

    /// The regions of the target and of the base that a segment is in.
    fn subjects(&self, segment: &Segment) -> [Subject; 2] {
        [Subject::Target(segment.target), Subject::Base(self.bases[segment.base as usize])]
    }

    /// The words of the target before or behind a segment that may belong to it, as far as the base
    /// has words there.
    fn around(&self, models: &Models, index: usize, behind: bool) -> Range<u64> {
        let segment = &self.segments[index];
        let (first, end) = segment.words;
        let [own, base] = self.subjects(segment).map(|subject| units(models.region(subject).1));
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

    /// Takes the words of the next end: those of the target, and then those of the base.
    pub(crate) fn feed_end(&mut self, models: &Models, bytes: &[u8]) {
        let Some(&(index, behind)) = self.ends.front() else { return };
        let [target, base] = self.subjects(&self.segments[index]);
        let Some(own) = self.end.take() else {
            self.end = Some(signs(models, target, bytes).collect());
            return;
        };
        self.ends.pop_front();
        let base: Vec<bool> = signs(models, base, bytes).collect();
        steps::add(base.len());
        let words = &mut self.segments[index].words;
        let alike = own.iter().zip(&base).map(|(own, base)| own == base);
        if behind {
            words.1 += extent(alike);
        } else {
            words.0 -= extent(alike.rev());
        }
    }

    /// The regions of the target that were found, with their views, but for those whose words are
    /// where their pair has them.
    pub(crate) fn finish(self, models: &Models, pairs: &[Option<Place>]) -> Vec<(usize, View)> {
        let mut views = Vec::new();
        for segments in self.segments.chunk_by(|one, next| one.target == next.target) {
            let target = segments[0].target;
            let stays =
                |segment: &&Segment| segment.shift == 0 && pairs[target] == Some(self.bases[segment.base as usize]);
            let moved = segments.iter().filter(|segment| !stays(segment));
            let moved: u64 = moved.map(|segment| segment.words.1 - segment.words.0).sum();
            if pairs[target].is_none() || moved >= units(&models.target.regions[target]) / MOVED {
                views.push((target, self.view(models, segments)));
            }
        }
        views
    }

    /// The view of a region that has these segments.
    fn view(&self, models: &Models, segments: &[Segment]) -> View {
        let (mut view, mut origins, mut at) = (View::default(), HashMap::new(), 0);
        for segment in segments {
            let (first, end) = (segment.words.0.max(at), segment.words.1);
            if first >= end {
                continue;
            }
            let origin = *origins.entry(segment.base).or_insert_with(|| {
                view.origins.push(models.bases.origin(self.bases[segment.base as usize]));
                view.origins.len() as u32 - 1
            });
            view.runs.extend((first > at).then_some(Run { units: first - at, from: None }));
            view.runs.push(Run { units: end - first, from: Some((origin, segment.shifted(first))) });
            at = end;
        }
        let rest = units(&models.target.regions[segments[0].target]) - at;
        view.runs.extend((rest > 0).then_some(Run { units: rest, from: None }));
        view
    }
}

impl Segment {
    /// The place in the base of a word of the target.
    fn shifted(&self, word: u64) -> u64 {
        word.saturating_add_signed(self.shift)
    }

    /// What the anchors of a segment have in common.
    fn place(&self) -> (usize, u32, i64) {
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
