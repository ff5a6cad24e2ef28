//! Bytes and words to compress, and the comparison of both decoders.

use bitx::Format;

use crate::common::{EFFORTS, compress, restore};
use crate::reference;

/// Compresses at every effort; both decoders must restore `target`. Returns the archives.
pub fn agree(base: &[u8], target: &[u8]) -> Vec<Vec<u8>> {
    let archives = EFFORTS.map(|effort| {
        let archive = compress(base, target, Format::V2 { effort }).unwrap();
        assert!(restore(base, &archive).unwrap() == target, "{effort:?}");
        assert!(reference::restore(&[base], &archive).unwrap() == target, "{effort:?}");
        archive
    });
    archives.into()
}

/// Compresses at the default effort; both decoders must restore `target`.
pub fn agree_once(base: &[u8], target: &[u8]) {
    let archive = compress(base, target, Format::default()).unwrap();
    assert!(restore(base, &archive).unwrap() == target);
    assert!(reference::restore(&[base], &archive).unwrap() == target);
}

/// Numbers that look like nothing in particular.
pub fn random(count: usize) -> Vec<u8> {
    let mut seed = 11u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Words around one size, as weights are, with specials among them; and the same, moved a little.
pub fn weights(width: usize, count: usize) -> (Vec<u8>, Vec<u8>) {
    let noise = random(4 * count);
    let mut base = random(width * count);
    for (i, word) in base.chunks_exact_mut(width).enumerate() {
        let top = &mut word[width - 1];
        *top = *top & 0x80 | 0x38 | noise[i] & 3;
    }
    let specials = [[0; 8], [0xff; 8], [0, 0, 0, 0, 0, 0, 0, 0x80], [0x80, 0x7f, 0x80, 0x7f, 0x80, 0x7f, 0xf0, 0x7f]];
    let mut target = base.clone();
    let places = target.chunks_exact_mut(width).zip(&noise[count..]).zip(&noise[2 * count..]);
    for (i, ((word, move_by), rare)) in places.enumerate() {
        word[0] = word[0].wrapping_add(move_by & rare & 7);
        if *rare == 0 {
            word.copy_from_slice(&specials[i % 4][8 - width..]);
        }
        if *rare == 1 {
            word.reverse();
        }
    }
    for (i, word) in base.chunks_exact_mut(width).enumerate().filter(|(i, _)| noise[3 * count + i] == 0) {
        word.copy_from_slice(&specials[i % 4][8 - width..]);
    }
    (base, target)
}
