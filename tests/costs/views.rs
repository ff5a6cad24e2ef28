//! Views of the base that searches find.

use bitx::{Compress, Format};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::common::{self, model};
use super::{costs, open};

/// Bytes of no order, of a seed.
fn noise(seed: u32, count: u32) -> Vec<u8> {
    let mix = |i: u32| i.wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x2545_f491);
    (0..count).map(|i| (mix(i).wrapping_mul(mix(i) | 1) >> 13) as u8).collect()
}

/// Opens a compression, and returns the length of the archive.
fn compressed(what: &str, base: &[u8], target: &[u8]) -> usize {
    let archive = costs(what, base.len() + target.len(), || common::compress(base, target, Format::default()));
    let archive = archive.unwrap();
    assert!(common::restore(base, &archive).unwrap() == target);
    archive.len()
}

/// The smallest matrices that are strips when they are transposed.
#[test]
fn strips_of_transposed_matrices() {
    let (rows, columns) = (1 << 12, (1 << 13) + 1);
    let words = noise(1, rows * columns);
    let transposed = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    let transposed: Vec<u8> = transposed.map(|word| words[word as usize]).collect();
    let file = |shape: [u32; 2], words: &[u8]| model(&[("w", "U8", &shape.map(u64::from), words)]);
    let (base, target) = (file([rows, columns], &words), file([columns, rows], &transposed));
    assert!(compressed("strips", &base, &target) < 10_000);
}

/// Columns no two of which follow each other, in more matrices than are searched.
#[test]
fn columns_of_many_matrices() {
    const COLUMNS: u32 = 1 << 15;
    const SHAPE: [u64; 2] = [64, COLUMNS as u64];
    let words = noise(1, 64 * COLUMNS);
    let moved = |i: u32| i / COLUMNS * COLUMNS + (i % COLUMNS).wrapping_mul(77_777) % COLUMNS;
    let moved: Vec<u8> = (0..64 * COLUMNS).map(|i| words[moved(i) as usize]).collect();
    let file = |words: &[u8]| {
        let tensor = |name| (name, "U8", &SHAPE[..], words);
        model(&["a", "b", "c", "d", "e", "f"].map(tensor))
    };
    let (base, target) = (file(&words), file(&moved));
    assert!(compressed("columns", &base, &target) * 2 < target.len());
}

/// Opens a compression against one base.
fn opens(what: &str, base: &[u8], target: &[u8]) {
    let job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
    assert!(costs(what, base.len() + target.len(), || open(job, base, &[], target)));
}

/// The name of a tensor that many others come from, which each of their views would have.
#[test]
fn long_names_of_one_base() {
    const COUNT: u32 = 4000;
    let long = "n".repeat(400_000);
    let names: Vec<String> = (0..COUNT).map(|i| format!("{i}n")).collect();
    let one = |shape: [u32; 2], words: &[u8]| model(&[(&long, "U8", &shape.map(u64::from), words)]);
    let many = |shape: [u64; 2], data: &[&[u8]]| {
        let tensors: Vec<_> = names.iter().zip(data).map(|(name, data)| (&**name, "U8", &shape[..], *data)).collect();
        model(&tensors)
    };
    let words = noise(1, 64 * COUNT);
    let parts: Vec<&[u8]> = words.chunks(64).collect();
    opens("parts", &one([COUNT, 64], &words), &many([1, 64], &parts));
    let narrow: Vec<u8> = words.chunks(33).take(64).flat_map(|row| &row[..32]).copied().collect();
    opens("columns", &one([64, 33], &words[..64 * 33]), &many([64, 32], &vec![&*narrow; COUNT as usize]));
}
