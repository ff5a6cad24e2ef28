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

/// A sparse payload of so many changes whose gaps and differences all have one symbol.
fn sparse(count: u64, symbol: u8, raw: &[&[u8]; 2]) -> Vec<u8> {
    [&varint(count)[..], &forge::certain(symbol), &forge::string(raw[0]), raw[1]].concat()
}

/// Restores a sparse chunk of 1000 bytes that are all 1, of which `change` makes the target's.
fn restored(payload: &[u8], change: impl Fn(&mut Vec<u8>)) -> Result<(), ErrorKind> {
    let head = [&[0, 1, 0, 1, 1, 2, 1, b'w', 4, 1][..], &varint(1000), &[0, 0]].concat();
    let base = vec![1; 1000];
    let mut target = base.clone();
    change(&mut target);
    let record = Record { sums: [&target, &base].map(|bytes| forge::xxh3(bytes)), ..Record::new(12, payload) };
    let restored = restore(&model(&[("w", "U8", &[1000], &base)]), &forge::archive(&head, &[record]));
    restored.map(|restored| assert!(restored == target)).map_err(|error| error.kind())
}

/// The places of changes lie in the chunk, there are few of them, and all raw bits are taken.
#[test]
fn forged_places_are_refused() {
    let none = [&[][..]; 2];
    assert_eq!(restored(&sparse(250, 0, &none), |words| words[..250].fill(0)), Ok(()));
    for count in [251, 1000, 1 << 20, 1 << 60, u64::MAX] {
        assert_eq!(restored(&sparse(count, 0, &none), |_| ()), Err(ErrorKind::Corrupt), "{count}");
    }
    assert_eq!(
        restored(&sparse(200, 4, &none), |words| words.iter_mut().skip(4).step_by(5).for_each(|w| *w = 254)),
        Ok(())
    );
    assert_eq!(restored(&sparse(201, 4, &none), |_| ()), Err(ErrorKind::Corrupt));
    // A gap of 37, and 39 for the difference, which is 40: 20 steps upwards.
    assert_eq!(restored(&sparse(1, 32, &[&[5], &[7]]), |words| words[37] = 21), Ok(()));
    for raw in [[&[5, 0][..], &[7]], [&[5], &[7, 0]], [&[5], &[]], [&[], &[7]], [&[5], &[0x47]]] {
        assert!(restored(&sparse(1, 32, &raw), |_| ()).is_err(), "{raw:?}");
    }
    // The last symbol that a gap may have is one of 2^23 and more words, and there is none behind it.
    assert_eq!(restored(&sparse(1, 103, &[&[0; 3], &[0; 3]]), |_| ()), Err(ErrorKind::Corrupt));
    assert_eq!(restored(&sparse(1, 104, &none), |_| ()), Err(ErrorKind::Corrupt));
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
