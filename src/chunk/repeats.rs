//! A glance at a chunk that tells if zstd, or a patch of the base, can be smaller than its best
//! payload so far.

use crate::entropy::log2::{FRACTION, entropy};

/// Bytes that must be equal for a repeat.
const REPEAT: usize = 16;

/// One place in this many is remembered and looked up. The places are chosen by their content, so
/// that both ends of a repeat are among them.
const SAMPLED: u64 = 16;

/// Slots for places.
const SLOTS: usize = 1 << 16;

/// The smallest share of the places at which a repeat begins that is worth a trial: one in so many.
const SHARE: usize = 64;

/// Number of stretches of bytes whose frequencies are counted, and the length of each.
const STRETCHES: (usize, usize) = (64, 1024);

/// The frequencies must promise one byte less in this many.
const MARGIN: u128 = 64;

/// Returns true if zstd may need fewer than `limit` bytes for `target`, whose words have `width`
/// bytes.
pub(super) fn promise(target: &[u8], width: usize, limit: usize) -> bool {
    skewed(target, limit) || repeat(target, width)
}

/// Returns true if the frequencies of single bytes alone promise fewer than `limit` bytes.
fn skewed(target: &[u8], limit: usize) -> bool {
    let (count, length) = STRETCHES;
    let mut counts = [0u32; 256];
    for stretch in target.chunks(length).step_by((target.len() / length / count).max(1)) {
        stretch.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    }
    let seen: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let bytes = u128::from(entropy(&counts) >> FRACTION) / 8 * target.len() as u128 / u128::from(seen.max(1));
    bytes * (MARGIN + 1) / MARGIN < limit as u128
}

/// Returns true if stretches of the target occur more than once.
pub(super) fn repeat(target: &[u8], width: usize) -> bool {
    let mut places = Places::new();
    let found = (0..target.len()).step_by(width).filter(|&place| places.replace(target, place, target)).count();
    is_enough(found, target.len() / width)
}

/// Returns true if stretches of the target occur in the base.
pub(super) fn shared(base: &[u8], target: &[u8]) -> bool {
    let mut places = Places::new();
    (0..base.len()).for_each(|place| _ = places.replace(base, place, base));
    let found = (0..target.len()).filter(|&place| places.holds(target, place, base)).count();
    is_enough(found, target.len())
}

fn is_enough(found: usize, places: usize) -> bool {
    found * SAMPLED as usize * SHARE > places
}

/// The last place of each hash, plus 1; 0 for none.
struct Places(Vec<usize>);

impl Places {
    fn new() -> Self {
        Self(vec![0; SLOTS])
    }

    /// Returns the slot of the bytes at `place` if it is sampled.
    fn slot(bytes: &[u8], place: usize) -> Option<usize> {
        let word = bytes.get(place..place + REPEAT)?.first_chunk()?;
        let hash = u64::from_le_bytes(*word).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        hash.is_multiple_of(SAMPLED).then_some((hash / SAMPLED) as usize % SLOTS)
    }

    /// Returns true if the bytes at `place` are those at the slot's place in `earlier`.
    fn holds(&self, bytes: &[u8], place: usize, earlier: &[u8]) -> bool {
        let Some(known) = Self::slot(bytes, place).and_then(|slot| self.0[slot].checked_sub(1)) else { return false };
        earlier[known..known + REPEAT] == bytes[place..place + REPEAT]
    }

    /// Does the same as [`holds`](Self::holds), and then remembers the place.
    fn replace(&mut self, bytes: &[u8], place: usize, earlier: &[u8]) -> bool {
        let held = self.holds(bytes, place, earlier);
        if let Some(slot) = Self::slot(bytes, place) {
            self.0[slot] = place + 1;
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize) -> Vec<u8> {
        let mut seed = 9u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn repeats_and_skewed_bytes_are_seen_and_noise_is_not() {
        let noise = noise(100_000);
        assert!(!promise(&noise, 2, noise.len()));
        assert!(promise(&[&noise[..], &noise[..20_000]].concat(), 2, 1));
        let skewed: Vec<u8> = noise.iter().map(|byte| byte & byte.rotate_left(1)).collect();
        assert!(promise(&skewed, 4, skewed.len()) && !promise(&skewed, 4, skewed.len() / 2));
        assert!(!promise(&[], 1, 0) && !promise(&[1; 9], 1, 0));
        assert!(shared(&noise, &noise[777..20_000]) && !shared(&noise[..50_000], &noise[50_000..]));
        assert!(!shared(&[], &noise) && !shared(&noise, &[]));
    }
}
