//! Bytes of no tensor that are searched for copies from the base.

use bitx::{Format, steps};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::common::zip::Zip;
use super::{common, costs};

/// Lines that share words with all others, from the number `first` on.
fn text(first: usize, bytes: usize) -> Vec<u8> {
    let line = |i: usize| {
        let number = (first + i).wrapping_mul(0x9e37_79b9) & 0xff_ffff;
        format!("model.layers.{number}.self_attn.weight\n").into_bytes()
    };
    (0..).flat_map(line).take(bytes).collect()
}

/// An archive of compressed members, which are no regions, with a region behind each.
fn turns(members: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let add = |zip: Zip, (i, data): (usize, Vec<u8>)| {
        zip.add_as(&format!("bytes{i}"), 8, &data).add(&format!("region{i}"), &[i as u8; 256])
    };
    members.enumerate().fold(Zip::default(), add).finish(b"")
}

/// Compresses against a base, and returns the archive and the steps.
fn compressed(base: &[u8], target: &[u8]) -> (Vec<u8>, u64) {
    let what = format!("{} bytes against {}", target.len(), base.len());
    let compress = || costs(&what, base.len() + target.len(), || common::compress(base, target, Format::default()));
    let (archive, steps) = steps::count(|| compress().unwrap());
    assert!(common::restore(base, &archive).unwrap() == target);
    (archive, steps)
}

/// Many short stretches of bytes, each of which may resemble as much of the base as one may.
#[test]
fn many_short_bytes_of_a_long_base() {
    let base = turns(std::iter::once(text(1 << 20, 1 << 20)));
    let target = turns((0..300).map(|i| text(i * 1000, 4200)));
    let (archive, _) = compressed(&base, &target);
    assert!(archive.len() * 2 < target.len(), "{} of {} bytes", archive.len(), target.len());
}

/// Bytes that share a few with a base of many lines: the lines are not searched.
#[test]
fn few_bytes_that_a_long_base_has() {
    let noise: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(i | 0x85eb_ca6b) >> 13) as u8 | 0x80).collect();
    let base = turns(std::iter::once([&noise[..2000], &text(0, 4 << 20)].concat()));
    let target = turns(std::iter::once(noise));
    let (_, steps) = compressed(&base, &target);
    assert!(steps < 10 * base.len() as u64, "{steps} steps for {} bytes", base.len() + target.len());
}

/// Floats of no known layout that the base does not have, behind bytes that it has.
#[test]
fn floats_that_are_no_copies() {
    let file = |seed: u32, count: u32| {
        let noise = |i: u32| (i ^ seed).wrapping_mul(0x9e37_79b9).wrapping_mul(i | 0x85eb_ca6b) >> 9;
        let float = |i: u32| ((noise(i) as f32 / 8_388_608.0 - 0.51) * 0.04).to_le_bytes();
        [text(0, 50_000), (0..count).flat_map(float).collect()].concat()
    };
    let (base, target) = (file(1, 1 << 18), file(77_777, 250_000));
    let (_, steps) = compressed(&base, &target);
    assert!(steps < 7 * target.len() as u64, "{steps} steps for {} bytes", base.len() + target.len());
}
