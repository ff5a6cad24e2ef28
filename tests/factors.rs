//! Hostile factors: forged ranks, steps, shifts, numbers and places, in the crate and in the
//! reference decoder.
#![cfg(not(target_arch = "wasm32"))]

mod common;
mod reference;

use bitx::ErrorKind;
use common::forge::{self, Record, certain, string, varint, xxh3, zeros};
use common::{inspect, model, restore};

const ROWS: usize = 40;
const COLUMNS: usize = 64;

/// Weights of every kind: zeros of both signs, subnormals, infinities, NaNs, the largest.
fn weights() -> Vec<u8> {
    let specials = [0u16, 0x8000, 1, 0x8001, 0x7f80, 0xff80, 0x7fc1, 0x7f7f, 0xff7f, 0x0080];
    let word = |i: usize| if i.is_multiple_of(7) { specials[i / 7 % 10] } else { 0x3c00 + (i * i % 1000) as u16 };
    (0..ROWS * COLUMNS).flat_map(|i| word(i).to_le_bytes()).collect()
}

/// The numbers of factors; every number of `V` is the same, by the symbol that codes it.
#[derive(Clone)]
struct Factors {
    rank: u8,
    step: f32,
    shifts: Vec<u8>,
    symbol: u8,
}

/// The numbers that symbols below 32 code.
fn number(symbol: u8) -> i16 {
    i16::from(symbol / 2) ^ -i16::from(symbol % 2)
}

impl Factors {
    fn new(step: f32) -> Self {
        Self { rank: 2, step, shifts: vec![0, 3], symbol: 6 }
    }

    fn record(&self) -> Record {
        let list = [certain(self.symbol), vec![0]].concat();
        let payload = [&[self.rank][..], &self.step.to_le_bytes(), &self.shifts, &list].concat();
        let shifted =
            self.shifts.iter().map(|&shift| i32::from(number(self.symbol)).checked_shl(shift.into()).unwrap_or(0));
        let bytes: Vec<u8> = shifted.flat_map(|v| (v as i16).to_le_bytes().repeat(COLUMNS)).collect();
        let indexed = [vec![5], varint(payload.len() as u64), vec![self.rank, 0]].concat();
        Record { method: 5, payload, sums: [xxh3(&bytes), 0], indexed }
    }

    /// The chunk that `base` becomes where nothing comes on top: numbers of `U` are all 1.
    fn chunk(&self, base: &[u8], moved: &[u8]) -> Record {
        let numbers = [certain(2), vec![0]].concat();
        let payload = [string(&numbers), vec![0], zeros()].concat();
        Record { sums: [xxh3(moved), xxh3(base)], ..Record::new(6, &payload) }
    }
}

/// A paired matrix of that dtype.
fn head(dtype: u8) -> Vec<u8> {
    vec![0, 1, 0, 1, 1, 2, 1, b'w', dtype, 2, ROWS as u8, COLUMNS as u8, 0, 0]
}

const BF16: u8 = 14;

fn base() -> Vec<u8> {
    model(&[("w", "BF16", &[ROWS as u64, COLUMNS as u64], &weights())])
}

/// Both decoders refuse it.
fn refused(what: &str, head: &[u8], records: &[Record]) {
    let archive = forge::archive(head, records);
    let error = restore(&base(), &archive).expect_err(what);
    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated), "{what}: {error}");
    assert!(!error.to_string().contains("checksum"), "{what}: {error}");
    reference::restore(&[&base()], &archive).expect_err(what);
}

/// Whatever the step, what a chunk restores to is what the document says.
#[test]
fn finite_steps_restore_the_same_in_both_decoders() {
    let (weights, least) = (weights(), f32::from_bits(1));
    for step in [least, f32::MIN_POSITIVE, 1e-30, 2f32.powi(-12), 1.0, 1e30, f32::MAX] {
        for symbol in [6, 7] {
            let factors = Factors { symbol, ..Factors::new(step) };
            let sum = i32::from(number(symbol)) * 9;
            let moved: Vec<u8> = weights.as_chunks().0.iter().flat_map(|&word| moved(word, sum, step)).collect();
            assert!(moved != weights || step < 1e-29);
            let archive = forge::archive(&head(BF16), &[factors.record(), factors.chunk(&weights, &moved)]);
            let restored = restore(&base(), &archive).unwrap();
            assert!(restored == moved, "{step:e}");
            assert!(reference::restore(&[&base()], &archive).unwrap() == restored, "{step:e}");
        }
    }
}

/// A `BF16` moved: the sum rounded to a single, and that to the nearest, ties away from zero, by
/// way of the distances.
fn moved(word: [u8; 2], sum: i32, step: f32) -> [u8; 2] {
    let value = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    let bits = u16::from_le_bytes(word);
    if !value(bits).is_finite() {
        return word;
    }
    let exact = f64::from(value(bits) + sum as f32 * step);
    if exact.is_infinite() || exact.abs() >= f64::from(value(0x7f7f)) + 2f64.powi(119) {
        return (if exact < 0.0 { 0xff80u16 } else { 0x7f80 }).to_le_bytes();
    }
    let low = ((exact as f32).to_bits() >> 16) as u16;
    let distance = |bits: u16| match bits & 0x7fff {
        0x7f80 => (2f64.powi(128) - exact.abs()).abs(),
        magnitude => (f64::from(value(magnitude)) - exact.abs()).abs(),
    };
    (if distance(low + 1) <= distance(low) { low + 1 } else { low }).to_le_bytes()
}

#[test]
fn factors_out_of_range_are_refused() {
    let (weights, good) = (weights(), Factors::new(2f32.powi(-12)));
    let try_it = |what: &str, factors: Factors| {
        refused(what, &head(BF16), &[factors.record(), good.chunk(&weights, &weights)]);
    };
    for step in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        try_it(&format!("a step of {step}"), Factors::new(step));
    }
    try_it("a shift of 16", Factors { shifts: vec![0, 16], ..good.clone() });
    try_it("a shift of 255", Factors { shifts: vec![255, 0], ..good.clone() });
    try_it("no component", Factors { rank: 0, shifts: vec![], ..good.clone() });
    // More than rows, and than there may be of any.
    try_it("41 components", Factors { rank: 41, shifts: vec![0; 41], ..good.clone() });
    try_it("65 components", Factors { rank: 65, shifts: vec![0; 65], ..good.clone() });
    try_it("255 components", Factors { rank: 255, shifts: vec![0; 255], ..good.clone() });
    // 15 times 2^12 is more than 32767, and -16 times 2^12 less than -32768.
    try_it("a number that is too large", Factors { shifts: vec![12, 0], symbol: 30, ..good.clone() });
    try_it("a number that is too small", Factors { shifts: vec![12, 0], symbol: 31, ..good.clone() });
}

#[test]
fn factors_are_where_they_should_be() {
    let (weights, factors) = (weights(), Factors::new(2f32.powi(-12)));
    let chunk = || factors.chunk(&weights, &weights);
    let head = head(BF16);
    refused("none at all", &head, &[chunk()]);
    refused("two", &head, &[factors.record(), factors.record(), chunk()]);
    refused("behind the chunk", &head, &[chunk(), factors.record()]);
    refused("without a chunk", &head, &[factors.record()]);
    let other = Record { indexed: vec![5, factors.record().payload.len() as u8, 3, 0], ..factors.record() };
    refused("another rank in the index", &head, &[other, chunk()]);
    let mut longer = factors.record();
    longer.payload.push(0);
    longer.indexed[1] += 1;
    refused("a byte behind the numbers", &head, &[longer, chunk()]);
    let alone = Record { sums: [xxh3(&weights), 0], ..chunk() };
    refused("in a region without a base", &[0, 1, 0, 1, 1, 1, 1, b'w', 14, 2, 40, 64], &[factors.record(), alone]);
}

/// Types that are not moved: integers of the same width, and what only looks like a float.
#[test]
fn only_floats_are_predicted() {
    let (weights, factors) = (weights(), Factors::new(2f32.powi(-12)));
    for (name, dtype) in [("I16", 11), ("U16", 12)] {
        let base = model(&[("w", name, &[ROWS as u64, COLUMNS as u64], &weights)]);
        let archive = forge::archive(&head(dtype), &[factors.record(), factors.chunk(&weights, &weights)]);
        let error = restore(&base, &archive).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        reference::restore(&[&base], &archive).expect_err(name);
    }
}

/// The rank of a listing is the one that decoding checks.
#[test]
fn listings_refuse_ranks_that_cannot_be() {
    let factors = Factors { rank: 41, shifts: vec![0; 41], ..Factors::new(1.0) };
    let weights = weights();
    let archive = forge::archive(&head(BF16), &[factors.record(), factors.chunk(&weights, &weights)]);
    assert_eq!(inspect(&archive).unwrap_err().kind(), ErrorKind::Corrupt);
}
