//! The search for earlier occurrences of bytes in the window.

use super::distance::Recent;
use super::{Effort, SHORTEST};
use crate::delta::prefetch::prefetch_one;
use crate::steps;

/// Bits of the largest hash of four bytes, and of the hash of three.
const MOST_BITS: u32 = 20;
const SHORT_BITS: u32 = 16;

/// Bytes that decide the order of a tree: of places that agree in more, only the last one is in it.
const NICE: usize = 1024;

/// Bytes of a match from which on a longer one saves little: of names that count up, places that
/// agree in as many come one after the other.
const GOOD: usize = 24;

/// Places ahead whose root is asked for, and those ahead whose root is known and followed.
const AHEAD: [usize; 2] = [12, 4];

/// The farthest match of three bytes that is worth a sequence.
const NEAR: usize = 1 << 16;

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
/// four bytes, of which the latest place is the root, and the last place of each three bytes.
pub(super) struct Finder<'a> {
    window: &'a [u8],
    bits: u32,
    roots: Vec<u32>,
    /// The places below each place whose bytes are less than its own, and those that are greater.
    trees: Vec<[u32; 2]>,
    /// The last place of each hash of three bytes.
    shorts: Vec<u32>,
    /// Places of a tree that are compared.
    depth: usize,
    /// Those that are compared after a [`GOOD`] match.
    deeper: usize,
    /// Distances around the latest one that are tried.
    around: usize,
}

/// The side of a place in its tree where the next place goes.
type Side = (usize, usize);

impl<'a> Finder<'a> {
    /// Indexes the first `base` bytes of the window, but for places that no search for the others
    /// will come by.
    pub(super) fn new(window: &'a [u8], base: usize, effort: Effort) -> Self {
        let bits = (window.len().max(1).ilog2() + 1).clamp(8, MOST_BITS);
        let (depth, deeper, around) = match effort {
            Effort::Fast => (8, 8, 4),
            Effort::Default => (64, 8, 16),
            Effort::Max => (512, 512, 64),
        };
        let (roots, trees) = (vec![NONE; 1 << bits], vec![[NONE; 2]; window.len()]);
        let shorts = vec![NONE; 1 << SHORT_BITS];
        let mut finder = Self { window, bits, roots, trees, shorts, depth, deeper, around };
        let mut asked = vec![false; 1 << bits];
        (base..window.len()).filter_map(|place| finder.slots(place)).for_each(|(root, _)| asked[root] = true);
        for place in 0..base {
            steps::add(1);
            match finder.slots(place) {
                Some((root, short)) if !asked[root] => finder.shorts[short] = !(place as u32),
                _ => finder.add(place),
            }
        }
        finder
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

    /// Returns the place in the roots for the four bytes at `place`, and for the first three in the
    /// short ones; `None` at the end of the window.
    #[inline(always)]
    fn slots(&self, place: usize) -> Option<(usize, usize)> {
        let word = u32::from_le_bytes(*self.window.get(place..)?.first_chunk()?);
        let hash = |word: u32, bits: u32| (word.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize;
        Some((hash(word, self.bits), hash(word << 8, SHORT_BITS)))
    }

    /// Asks the memory for what the places behind `place` will need.
    #[inline(always)]
    fn look_ahead(&self, place: usize) {
        if let Some((root, _)) = self.slots(place + AHEAD[0]) {
            prefetch_one(&self.roots, root);
        }
        if let Some((root, _)) = self.slots(place + AHEAD[1]) {
            prefetch_one(&self.trees, !self.roots[root] as usize);
            prefetch_one(self.window, !self.roots[root] as usize);
        }
    }

    /// Adds a place to the index.
    pub(super) fn add(&mut self, place: usize) {
        self.insert(place, usize::MAX, &mut Vec::new());
    }

    /// Adds a place to the index, and to `found` the places on the way that agree in ever more than
    /// `best` bytes.
    fn insert(&mut self, place: usize, mut best: usize, found: &mut Vec<Match>) {
        let Some((root, short)) = self.slots(place) else { return };
        self.look_ahead(place);
        let short = std::mem::replace(&mut self.shorts[short], !(place as u32));
        if best < SHORTEST && short != NONE && place - (!short as usize) <= NEAR {
            self.offer(!short as usize, place, &mut best, found);
        }
        let mut next = std::mem::replace(&mut self.roots[root], !(place as u32));
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
