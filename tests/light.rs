//! Light fine-tunes, of which little more than the fixed cost of a tensor is stored; and forged
//! lists of symbols.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use bitx::{ErrorKind, Format};
use common::forge::{self, Record, varint};
use common::{compress, model, restore};

/// Bytes of a seed that look like nothing in particular.
fn random(count: usize) -> Vec<u8> {
    let mut state = 5u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// The bytes that a few changed words add to an archive in which the tensor equals its base.
fn cost(dtype: &str, words: usize, every: usize) -> usize {
    let base = random(2 * words);
    let mut target = base.clone();
    target.chunks_exact_mut(2).step_by(every).for_each(|word| word[0] ^= 1);
    let file = |data: &[u8]| model(&[("w", dtype, &[words as u64 / 512, 512], data)]);
    let (base, target) = (file(&base), file(&target));
    let archive = compress(&base, &target, Format::default()).unwrap();
    assert!(restore(&base, &archive).unwrap() == target);
    archive.len() - compress(&base, &base, Format::default()).unwrap().len()
}

/// Ten changes take no dozens of states, however many words there are.
#[test]
fn a_few_changes_cost_a_few_bytes() {
    for dtype in ["I16", "BF16", "F16"] {
        for words in [1 << 12, 1 << 14, 1 << 16] {
            let cost = cost(dtype, words, words / 10);
            assert!(cost < 64, "{cost} bytes for {words} words of {dtype}");
        }
    }
}

/// A delta payload of model 0 whose list of symbols has these tables.
fn refused(tables: &[u8]) -> ErrorKind {
    let head = [&[0, 1, 0, 1, 1, 2, 1, b'w', 4, 1][..], &varint(1000), &[0, 0]].concat();
    let payload = [&[0][..], &forge::string(tables), &[0; 32]].concat();
    let base = model(&[("w", "U8", &[1000], &[1; 1000])]);
    let record = Record { sums: [0, forge::xxh3(&[1; 1000])], ..Record::new(3, &payload) };
    restore(&base, &forge::archive(&head, &[record])).unwrap_err().kind()
}

/// The bits of a bit string, as bytes.
fn bits(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect()
}

#[test]
fn forged_tables_are_refused() {
    // One table of one symbol, of the shapes 0 to 3.
    assert_eq!(refused(&bits("1 11 00000000")), ErrorKind::Unsupported);
    // 65 tables, whose number is the gamma code of 64.
    assert_eq!(refused(&bits("0000001 100000 00")), ErrorKind::Corrupt);
    // Two symbols, of which the second has the frequency 2049: 12 bits, and one above 2048.
    assert_eq!(refused(&bits("1 00 10000000 0001101 10000000000")), ErrorKind::Corrupt);
    // Two symbols, of which the second has the frequency 0: its length is 6 less than 6.
    assert_eq!(refused(&bits("1 00 10000000 0001001")), ErrorKind::Corrupt);
}
