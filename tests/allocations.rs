//! What decoding takes of memory: never more than what is decoded accounts for, whatever an archive says.
//!
//! A binary of its own, since it counts every allocation.
#![cfg(not(target_arch = "wasm32"))]

mod common;
mod counting;

use common::forge::{self, Record, string, varint, xxh3, zeros};
use common::{model, restore};

const MIB: usize = 1 << 20;

/// What a window of 16 MiB takes, with its inputs, its output and what decoders need besides.
const WINDOW: usize = 96 * MIB;

/// Restores, and returns whether that went well and the most bytes that were allocated at a time.
fn restored(base: &[u8], archive: &[u8]) -> (bool, usize) {
    counting::most(|| restore(base, archive).is_ok())
}

/// A head's content: no features, a safetensors file, these items.
fn head(items: &[Vec<u8>]) -> Vec<u8> {
    [&[0, 1, 0, 1][..], &varint(items.len() as u64), &items.concat()].concat()
}

/// A region without a name, paired with the base's `w`.
fn paired(dtype: u8, shape: &[u64]) -> Vec<u8> {
    let shape = [vec![shape.len() as u8], shape.iter().flat_map(|&extent| varint(extent)).collect()].concat();
    [&[2, 0, dtype][..], &shape, &[0, 2, b'w']].concat()
}

const BF16: u8 = 14;

/// The records of a chunk that is its base, by way of a prediction of nothing.
fn predicted(rank: u8, columns: usize, base: &[u8]) -> [Record; 2] {
    let words = base.len() / 2;
    let numbers = [zeros(usize::from(rank) * words.div_ceil(columns)), vec![0]].concat();
    let payload = [string(&numbers), vec![0], zeros(words)].concat();
    let chunk = Record { sums: [xxh3(base); 2], ..Record::new(6, &payload) };
    [Record::zero_factors(rank, columns), chunk]
}

/// Factors as large as they may be, a few hundred bytes each, for regions that are much smaller.
#[test]
fn factors_are_no_larger_than_what_they_are_for() {
    let columns = 1 << 16;
    let base = vec![1; 2 * columns];
    let file = model(&[("w", "BF16", &[1, columns as u64], &base)]);
    for (rank, valid) in [(64, false), (1, true), (2, false)] {
        let items = vec![paired(BF16, &[1, columns as u64]); 128];
        let records: Vec<Record> = (0..128).flat_map(|_| predicted(rank, columns, &base)).collect();
        let archive = forge::archive(&head(&items), &records);
        assert!(archive.len() < 100_000);
        let (restored, most) = restored(&file, &archive);
        assert!(restored == valid && most < WINDOW, "rank {rank}: {restored}, {} MiB", most / MIB);
    }
}
