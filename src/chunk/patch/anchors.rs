//! Long copies from the base, which are found in one pass, before anything is indexed.

use crate::steps;

/// A long copy from the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    /// The place in the window where the copy goes.
    pub(super) place: usize,
    pub(super) length: usize,
    pub(super) distance: usize,
}

/// The shortest anchor, and the shortest one at the distance of the last one.
const LEAST: usize = 128;
const LEAST_ON: usize = 32;

/// Bytes of the base between two places that are remembered, and bytes from each of them on that
/// are hashed: any copy of twice as many bytes has such a place in it.
const STEP: usize = 32;

/// The factor of the rolling hash, and its power that belongs to the byte that leaves.
const FACTOR: u32 = 0x9e37_79b1;
const LEAVING: u32 = FACTOR.wrapping_pow(STEP as u32);

/// The base and the target behind it, and the base's places by the bytes that follow them.
struct Search<'a> {
    window: &'a [u8],
    base: usize,
    /// The last place of each hash, plus 1; 0 for none.
    places: Vec<u32>,
}

/// Returns long copies from the first `base` bytes of the window to the others, in order and apart
/// from each other.
pub(super) fn find(window: &[u8], base: usize) -> Vec<Anchor> {
    let mut search = Search { window, base, places: vec![0; (base / STEP).next_power_of_two() * 2] };
    for place in (0..(base + 1).saturating_sub(STEP)).step_by(STEP) {
        steps::add(1);
        let slot = search.slot(hash(&window[place..place + STEP]));
        search.places[slot] = place as u32 + 1;
    }
    let mut anchors: Vec<Anchor> = Vec::new();
    let mut done = base;
    while let Some(anchor) = search.next(done, anchors.last().map_or(base, |last| last.distance)) {
        done = anchor.place + anchor.length;
        anchors.push(anchor);
    }
    anchors
}

fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |hash, &byte| roll(hash, byte))
}

fn roll(hash: u32, byte: u8) -> u32 {
    hash.wrapping_mul(FACTOR).wrapping_add(u32::from(byte) + 1)
}

impl Search<'_> {
    fn slot(&self, hash: u32) -> usize {
        (hash.wrapping_mul(FACTOR) >> 7) as usize & (self.places.len() - 1)
    }

    /// Returns the first anchor from `done` on, at the distance of the last one if it goes on
    /// there.
    fn next(&self, done: usize, latest: usize) -> Option<Anchor> {
        let mut hashed = hash(self.window.get(done..done + STEP)?);
        for place in done..=self.window.len() - STEP {
            steps::add(1);
            let known = (self.places[self.slot(hashed)] as usize).checked_sub(1);
            let going_on = self.anchor(place, latest, done, LEAST_ON);
            let anchor = going_on.or_else(|| self.anchor(place, place - known?, done, LEAST));
            if anchor.is_some() {
                return anchor;
            }
            let next = *self.window.get(place + STEP)?;
            let left = LEAVING.wrapping_mul(u32::from(self.window[place]) + 1);
            hashed = roll(hashed, next).wrapping_sub(left);
        }
        None
    }

    /// Returns the anchor of `least` bytes or more around `place` at this distance that begins at
    /// `done` or later.
    fn anchor(&self, place: usize, distance: usize, done: usize, least: usize) -> Option<Anchor> {
        let earlier = place.checked_sub(distance).filter(|&earlier| earlier < self.base)?;
        let (base, target) = (&self.window[earlier..self.base], &self.window[place..]);
        if base.first_chunk::<8>()? != target.first_chunk::<8>()? {
            return None;
        }
        let ahead = base.iter().zip(target).take_while(|(a, b)| a == b).count();
        let (base, target) = (&self.window[..earlier], &self.window[done..place]);
        let behind = base.iter().rev().zip(target.iter().rev()).take_while(|(a, b)| a == b).count();
        let length = behind + ahead;
        steps::add(length);
        (length >= least).then_some(Anchor { place: place - behind, length, distance })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    #[test]
    fn anchors_are_whole_copies() {
        let base = noise(10_000, 1);
        let target = [&noise(50, 2), &base[5000..9000], &[!base[9000]], &base[9001..9040], &base[10..200]].concat();
        let anchor = |place: usize, from: usize, length| Anchor {
            place: base.len() + place,
            length,
            distance: base.len() + place - from,
        };
        let expected = [anchor(50, 5000, 4000), anchor(4051, 9001, 39), anchor(4090, 10, 190)];
        assert_eq!(find(&[&base[..], &target].concat(), base.len()), expected);
    }

    #[test]
    fn short_inputs_have_no_anchors() {
        for base in [0, 1, STEP - 1, STEP, 2 * STEP, LEAST_ON] {
            for target in [0, 1, STEP - 1, STEP] {
                let found = find(&noise(base + target, 3), base);
                assert!(found.is_empty(), "{base} and {target}: {found:?}");
            }
        }
    }

    /// Bytes that agree everywhere, and always for less than an anchor.
    #[test]
    fn copies_that_are_too_short_take_few_steps() {
        let base = vec![0; 100_000];
        for period in [LEAST_ON, LEAST] {
            let target: Vec<u8> = (0..100_000).map(|i| u8::from(i % period == 0)).collect();
            let window = [&base[..], &target].concat();
            let (_, steps) = crate::steps::count(|| find(&window, base.len()));
            assert!(steps < 300 * target.len() as u64, "{period}: {steps} steps");
        }
    }
}
