//! The search for earlier occurrences of bytes in the window.

use super::distance::Recent;
use super::{Effort, SHORTEST};

/// Length of a base from which on only some of its places are indexed.
const LARGE: usize = 4 << 20;

/// One place in this many of a large base is indexed.
const STEP: usize = 4;

/// Bits of the largest hash.
const MOST_BITS: u32 = 20;

/// No place.
const NONE: u32 = u32::MAX;

/// A copy that could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
    /// The shortest length that is worth a look: shorter ones are in another match at a lower price.
    pub(super) least: usize,
}

/// An index of the window's places by the bytes that follow them, as chains of equal hashes.
pub(super) struct Finder<'a> {
    window: &'a [u8],
    /// Bytes of the base.
    base: usize,
    /// One place in this many of the base is indexed.
    step: usize,
    /// Bytes that are hashed.
    hashed: u32,
    bits: u32,
    heads: Vec<u32>,
    previous: Vec<u32>,
    /// Links of a chain that are followed.
    depth: usize,
    /// Distances around the latest one that are tried.
    around: usize,
}

impl<'a> Finder<'a> {
    pub(super) fn new(window: &'a [u8], base: usize, effort: Effort) -> Self {
        let step = if base > LARGE { STEP } else { 1 };
        let places = base / step + window.len() - base + 1;
        let bits = (places.ilog2() + 1).clamp(8, MOST_BITS);
        let (depth, around) = match effort {
            Effort::Fast => (4, 4),
            Effort::Default => (8, 16),
            Effort::Max => (128, 64),
        };
        let hashed = if step > 1 { 8 } else { 4 };
        let (heads, previous) = (vec![NONE; 1 << bits], vec![NONE; places]);
        let mut finder = Self { window, base, step, hashed, bits, heads, previous, depth, around };
        (0..base).step_by(step).for_each(|place| finder.add(place));
        finder
    }

    /// Returns the bytes at `place` as a number; `None` close to the end of the window.
    fn word(&self, place: usize) -> Option<u64> {
        self.window.get(place..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn hash(&self, place: usize) -> Option<usize> {
        let bytes = self.word(place)? << (64 - 8 * self.hashed);
        Some((bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)) as usize)
    }

    fn link(&self, place: usize) -> usize {
        if place < self.base { place / self.step } else { self.base.div_ceil(self.step) + place - self.base }
    }

    /// Adds a place to the index.
    pub(super) fn add(&mut self, place: usize) {
        let Some(hash) = self.hash(place) else { return };
        let link = self.link(place);
        self.previous[link] = std::mem::replace(&mut self.heads[hash], place as u32);
    }

    /// Returns the number of equal bytes at both places.
    fn length(&self, earlier: usize, place: usize) -> usize {
        let (mut length, most) = (0, self.window.len() - place);
        while let (Some(a), Some(b)) = (self.word(earlier + length), self.word(place + length)) {
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

    /// Writes what can be copied to `place`, given the latest distances: first the recent distances
    /// and those around, then ever longer matches. `close` asks for distances around the latest.
    pub(super) fn find(&self, place: usize, recent: &Recent, close: bool, found: &mut Vec<Match>) {
        found.clear();
        let mut offer = |distance: usize, least: usize| {
            if distance > 0 && distance <= place {
                let length = self.length(place - distance, place);
                if length >= least {
                    found.push(Match { length, distance, least });
                    return length;
                }
            }
            0
        };
        let mut best = SHORTEST;
        for &distance in &recent.0 {
            best = best.max(offer(distance as usize, SHORTEST));
        }
        let latest = recent.0[0] as usize;
        for by in 1..=if close { self.around } else { 0 } {
            for distance in [latest + by, latest.saturating_sub(by)] {
                let starts = distance > 0
                    && distance <= place
                    && self.window[place..].first_chunk::<4>() == self.window[place - distance..].first_chunk();
                if starts {
                    best = best.max(offer(distance, best + 1));
                }
            }
        }
        let mut next = self.hash(place).map_or(NONE, |hash| self.heads[hash]);
        for _ in 0..self.depth {
            if next == NONE {
                break;
            }
            let earlier = next as usize;
            // A longer match agrees in the byte behind the best one.
            if self.window.get(earlier + best) == self.window.get(place + best) {
                best = best.max(offer(place - earlier, best + 1));
            }
            next = self.previous[self.link(earlier)];
        }
    }
}
