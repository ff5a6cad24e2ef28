//! The search for earlier occurrences of bytes in the window.

use super::anchors::Anchor;
use super::distance::Recent;
use super::{Effort, SHORTEST};
use crate::delta::prefetch::prefetch_one;
use crate::steps;
use std::ops::Range;

/// Bits of the largest hash of a tree, of those of four and of five bytes, and of that of three.
const MOST_BITS: u32 = 20;
const MEDIUM_BITS: u32 = 18;
const SHORT_BITS: u32 = 16;

/// Bits that tell hashes of one tree apart, for places that no search looks for.
const ASKED_BITS: u32 = 4;

/// Places that are kept for each hash of four bytes.
const WAYS: usize = 4;

/// Bytes that decide the order of a tree: of places that agree in more, only the last one is in it.
const NICE: usize = 1024;

/// Bytes of a match from which on a longer one saves little: of names that count up, places that
/// agree in as many come one after the other.
const GOOD: usize = 24;

/// Places ahead whose root is asked for, and those ahead whose root is known and followed.
const AHEAD: [usize; 2] = [12, 4];

/// The farthest match of three bytes that is worth a sequence.
const NEAR: usize = 1 << 16;

/// Bytes between two anchors that are not searched for.
pub(super) const LITERAL: usize = 3;

/// No place. Other places are stored as their complements, since memory that was never written to
/// is zeros, and costs nothing.
const NONE: u32 = 0;

/// A copy that could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
    /// The shortest length that is worth a look: shorter ones are in another match at a lower
    /// price.
    pub(super) least: usize,
}

/// An index of the window's places by the bytes that follow them: a binary tree for each hash of
/// a few bytes, of which the latest place is the root, and the last places of each hash of fewer.
pub(super) struct Finder<'a> {
    window: &'a [u8],
    bits: u32,
    /// Bytes whose hash chooses a tree. The more they are, the fewer places a tree has.
    rooted: u32,
    roots: Vec<u32>,
    /// The bits of the longer hashes of what is searched for.
    asked: Vec<u64>,
    /// The places below each place whose bytes are less than its own, and those that are greater.
    trees: Vec<[u32; 2]>,
    /// The last place of each hash of three bytes.
    threes: Vec<u32>,
    /// The last places of each hash of four bytes.
    fours: Vec<[u32; WAYS]>,
    /// The last place of each hash of five bytes.
    fives: Vec<u32>,
    /// Places of a tree that are compared.
    depth: usize,
    /// Those that are compared after a [`GOOD`] match.
    deeper: usize,
    /// Distances around the latest one that are tried.
    around: usize,
}

/// The side of a place in its tree where the next place goes.
type Side = (usize, usize);

/// The hashes of the bytes at a place.
struct Slots {
    root: usize,
    /// The hash of the root with more bits.
    asked: usize,
    three: usize,
    four: usize,
    five: usize,
}

impl<'a> Finder<'a> {
    /// Indexes the first `base` bytes of the window, but for places that no search between the
    /// anchors will come by.
    pub(super) fn new(window: &'a [u8], base: usize, anchors: &[Anchor], effort: Effort) -> Self {
        let bits = (window.len().max(1).ilog2() + 1).clamp(8, MOST_BITS);
        let (rooted, depth, deeper, around) = match effort {
            Effort::Fast => (6, 8, 8, 4),
            Effort::Default => (6, 24, 8, 16),
            Effort::Max => (4, 512, 512, 64),
        };
        let mut finder = Self {
            window,
            bits,
            rooted,
            roots: vec![NONE; 1 << bits],
            asked: vec![0; (1 << (bits + ASKED_BITS)) / 64],
            trees: vec![[NONE; 2]; window.len()],
            threes: vec![NONE; 1 << SHORT_BITS],
            fours: vec![[NONE; WAYS]; 1 << bits.min(MEDIUM_BITS)],
            fives: vec![NONE; 1 << bits.min(MEDIUM_BITS)],
            depth,
            deeper,
            around,
        };
        let mut done = base;
        for (place, length) in anchors.iter().map(|anchor| (anchor.place, anchor.length)).chain([(window.len(), 0)]) {
            if place - done > LITERAL {
                finder.ask(done..place);
            }
            done = place + length;
        }
        finder.pass(0..base);
        finder
    }

    /// Notes what the searches for these places look for.
    fn ask(&mut self, places: Range<usize>) {
        for place in places {
            if let Some(slots) = self.slots(place) {
                self.asked[slots.asked / 64] |= 1 << (slots.asked % 64);
            }
        }
    }

    /// Adds places to the index that are not searched for: those that a search will come by.
    pub(super) fn pass(&mut self, places: Range<usize>) {
        for place in places {
            steps::add(1);
            match self.slots(place) {
                Some(slots) if self.asked[slots.asked / 64] >> (slots.asked % 64) & 1 == 0 => {
                    _ = self.replace(&slots, place)
                }
                _ => self.add(place),
            }
        }
    }

    /// Makes `place` the last one of its hashes of three to five bytes, and returns those before
    /// it.
    fn replace(&mut self, slots: &Slots, place: usize) -> (u32, [u32; WAYS + 1]) {
        let last = !(place as u32);
        let three = std::mem::replace(&mut self.threes[slots.three], last);
        let fours = &mut self.fours[slots.four];
        let mut others = [std::mem::replace(&mut self.fives[slots.five], last); WAYS + 1];
        others[..WAYS].copy_from_slice(fours);
        fours.copy_within(..WAYS - 1, 1);
        fours[0] = last;
        (three, others)
    }

    /// Returns the bytes at `place` as a number; `None` close to the end of the window.
    fn word(&self, place: usize) -> Option<u64> {
        self.window.get(place..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Returns the number of equal bytes at both places, of which `length` are known and `most`
    /// suffice.
    fn length(&self, earlier: usize, place: usize, mut length: usize, most: usize) -> usize {
        let most = most.min(self.window.len() - place);
        while length + 8 <= most
            && let (Some(a), Some(b)) = (self.word(earlier + length), self.word(place + length))
        {
            if a != b {
                return length + ((a ^ b).trailing_zeros() / 8) as usize;
            }
            length += 8;
        }
        while length < most && self.window[earlier + length] == self.window[place + length] {
            length += 1;
        }
        length
    }

    /// Returns the hashes of the bytes at `place`; `None` at the end of the window.
    #[inline(always)]
    fn slots(&self, place: usize) -> Option<Slots> {
        let word = self.word(place).or_else(|| {
            let rest = self.window.get(place..).filter(|rest| rest.len() >= 4)?;
            Some(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
        })?;
        let hash = |bytes: u32, bits: u32| {
            let word = (word << (64 - 8 * bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (word >> (64 - bits)) as usize
        };
        let medium = self.bits.min(MEDIUM_BITS);
        let asked = hash(self.rooted, self.bits + ASKED_BITS);
        let root = asked >> ASKED_BITS;
        Some(Slots { root, asked, three: hash(3, SHORT_BITS), four: hash(4, medium), five: hash(5, medium) })
    }

    /// Asks the memory for what the places behind `place` will need.
    #[inline(always)]
    fn look_ahead(&self, place: usize) {
        if let Some(slots) = self.slots(place + AHEAD[0]) {
            prefetch_one(&self.roots, slots.root);
            prefetch_one(&self.fours, slots.four);
            prefetch_one(&self.fives, slots.five);
        }
        if let Some(slots) = self.slots(place + AHEAD[1]) {
            prefetch_one(&self.trees, !self.roots[slots.root] as usize);
            for known in [self.roots[slots.root], self.fours[slots.four][0], self.fives[slots.five]] {
                prefetch_one(self.window, !known as usize);
            }
        }
    }

    /// Adds a place to the index.
    pub(super) fn add(&mut self, place: usize) {
        self.insert(place, usize::MAX, &mut Vec::new());
    }

    /// Adds a place to the index, and to `found` the places on the way that agree in ever more than
    /// `best` bytes.
    fn insert(&mut self, place: usize, mut best: usize, found: &mut Vec<Match>) {
        let Some(slots) = self.slots(place) else { return };
        self.look_ahead(place);
        let (three, others) = self.replace(&slots, place);
        if best < SHORTEST && three != NONE && place - (!three as usize) <= NEAR {
            self.offer(!three as usize, place, &mut best, found);
        }
        for known in others {
            if best < self.rooted as usize && known != NONE {
                self.offer(!known as usize, place, &mut best, found);
            }
        }
        let mut next = std::mem::replace(&mut self.roots[slots.root], !(place as u32));
        // The sides where places with lesser and with greater bytes go, and the bytes in which the
        // places there agree with this one.
        let (mut sides, mut agree): ([Side; 2], _) = ([(place, 0), (place, 1)], [0; 2]);
        let mut left = self.depth;
        while left > 0 && next != NONE {
            steps::add(1);
            let (earlier, known) = (!next as usize, agree[0].min(agree[1]));
            // The next place is one of these two.
            for below in self.trees[earlier] {
                prefetch_one(&self.trees, !below as usize);
                prefetch_one(self.window, (!below as usize).saturating_add(known));
            }
            let length = self.length(earlier, place, known, NICE);
            left = if length >= GOOD { self.deeper.min(left) } else { left } - 1;
            if length > best {
                self.offer(earlier, place, &mut best, found);
            }
            if length == NICE || place + length == self.window.len() {
                // The place takes the other's place in the tree.
                let below = self.trees[earlier];
                sides.iter().zip(below).for_each(|(&(at, side), below)| self.trees[at][side] = below);
                return;
            }
            let side = usize::from(self.window[earlier + length] > self.window[place + length]);
            self.trees[sides[side].0][sides[side].1] = next;
            (sides[side], agree[side]) = ((earlier, 1 - side), length);
            next = self.trees[earlier][1 - side];
        }
        sides.iter().for_each(|&(at, side)| self.trees[at][side] = NONE);
    }

    /// Adds a place to `found` if it agrees with `place` in more than `best` bytes.
    fn offer(&self, earlier: usize, place: usize, best: &mut usize, found: &mut Vec<Match>) {
        let length = self.length(earlier, place, 0, usize::MAX);
        if length > *best && length >= SHORTEST {
            found.push(Match { length, distance: place - earlier, least: (*best + 1).max(SHORTEST) });
            *best = length;
        }
    }

    /// Writes what can be copied to `place`, given the latest distances: first the recent distances
    /// and those around, then ever longer matches. `close` asks for distances around the latest.
    /// The place is then in the index.
    pub(super) fn find(&mut self, place: usize, recent: &Recent, close: bool, found: &mut Vec<Match>) {
        found.clear();
        let mut best = SHORTEST - 1;
        for &distance in &recent.0 {
            if let Some(earlier) = place.checked_sub(distance as usize).filter(|_| distance > 0) {
                // Each recent distance has a price of its own.
                let mut least = SHORTEST - 1;
                self.offer(earlier, place, &mut least, found);
                best = best.max(least);
            }
        }
        let latest = recent.0[0] as usize;
        for by in 1..=if close { self.around } else { 0 } {
            for distance in [latest + by, latest.saturating_sub(by)] {
                let starts = distance > 0
                    && distance <= place
                    && self.window[place..].first_chunk::<4>() == self.window[place - distance..].first_chunk();
                if starts {
                    self.offer(place - distance, place, &mut best, found);
                }
            }
        }
        self.insert(place, best, found);
    }
}
