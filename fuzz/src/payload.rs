//! Payloads of a region of one chunk, in both decoders.

use crate::archive::{Parts, put_varint, record};
use crate::input::{self, Type};
use crate::reference::base::Region;
use crate::reference::chunk::{self, Coding, Geometry};
use crate::reference::{context, fields::Fields};
use crate::restore;

fn columns(kind: &Type) -> usize {
    let Type { dtype, shape } = kind;
    Geometry::new(&Region { name: "w".into(), dtype: *dtype, shape: shape.to_vec(), offset: 0, length: kind.length() })
        .columns
}

/// Decodes a payload with the core and with the reference decoder, which must agree.
pub fn compare(kind: &Type, method: u8, base: &[u8], payload: &[u8]) {
    let expected = chunk::decode(method, kind.dtype, columns(kind), payload, Some(base), base.len());
    let target = expected.as_deref().unwrap_or(&[]);
    let mut head = vec![1, 0, 1, 2, 1, b'w', kind.dtype, 2];
    kind.shape.iter().for_each(|&extent| put_varint(&mut head, extent));
    head.extend([0, 0]);
    let archive = Parts { head, records: record(method, payload, Some(base), target) }.archive(1);
    match (expected, restore(&kind.file(base), &archive)) {
        (Ok(target), Some(restored)) => assert!(restored.unwrap() == target, "the decoders differ"),
        (Err(refusal), Some(restored)) => {
            let error = restored.expect_err(&refusal).to_string();
            assert!(!error.contains("checksum of the restored bytes"), "only one decoder refuses: {refusal}");
        }
        (_, None) => {}
    }
}

/// A valid payload that follows from `data`.
pub fn build(kind: &Type, method: u8, base: &[u8], mut data: &[u8]) -> Vec<u8> {
    let coding = Coding::of(kind.dtype);
    let words = base.len() / coding.bytes();
    let columns = columns(kind);
    let mut payload = Vec::new();
    let k = input::byte(&mut data) % coding.width as u8;
    if method == 4 {
        payload.push(k);
        put_varint(&mut payload, input::short(&mut data) as u64);
    }
    let start = payload.len();
    model(&mut payload, words, columns, &mut data);
    let e = match method {
        3 => base.chunks(coding.bytes()).map(|word| number(coding, word)).collect(),
        _ => vec![0; words],
    };
    let contexts = context::read(&mut Fields::new(&payload[start..]), columns, &e).unwrap();
    let symbols = if method == 3 { symbols(coding.width) } else { 256 };
    let mut table = || (1 + usize::from(input::byte(&mut data) % 11), (input::short(&mut data) % symbols) as u8);
    let tables: Vec<_> = (0..8).map(|_| table()).take_while(|table| table.0 < 11).chain([(1, 0)]).collect();
    list(&mut payload, words, &tables);
    let ends = tables.iter().scan(0, |end, table| {
        *end += table.0;
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let raw = |&context: &usize| {
        let table = ends.partition_point(|&end| end <= context).min(tables.len() - 1);
        bits(method, tables[table].1, k, coding.width)
    };
    let bits: usize = contexts.iter().map(|context| raw(context) as usize).sum();
    let mut extra: Vec<u8> = data.iter().chain(&[0x5a]).copied().cycle().take(bits.div_ceil(8)).collect();
    if let (Some(last), 1..) = (extra.last_mut(), bits % 8) {
        *last &= (1 << (bits % 8)) - 1;
    }
    payload.extend(extra);
    payload
}

/// Number of the symbols that words of so many bits need.
fn symbols(width: u32) -> usize {
    match width {
        8 => 44,
        16 => 76,
        32 => 140,
        _ => 175,
    }
}

/// What contexts are made of.
fn number(coding: Coding, word: &[u8]) -> u64 {
    let word = word.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    match coding.mantissa {
        Some(mantissa) => word % (1 << (coding.width - 1)) >> mantissa,
        None => word >> (coding.width - 4),
    }
}

/// Raw bits of a symbol.
fn bits(method: u8, symbol: u8, k: u8, width: u32) -> u32 {
    let t = u32::from(symbol);
    match (method, t) {
        (4, 255) => width,
        (4, _) => u32::from(k) + 1,
        (_, 32..144) => t / 4 - 5,
        (_, 144..175) => t - 111,
        _ => 0,
    }
}

fn model(payload: &mut Vec<u8>, words: usize, columns: usize, data: &mut &[u8]) {
    let number = input::byte(data) % 4;
    payload.push(number);
    match number {
        1 => put_varint(payload, input::short(data) as u64 * 17 % (1 << 20)),
        2 => {
            payload.push(input::byte(data) % 5);
            put_varint(payload, input::short(data) as u64);
            put_varint(payload, input::short(data) as u64);
            list(payload, words.div_ceil(columns), &[(1, input::byte(data))]);
            list(payload, columns, &[(1, input::byte(data))]);
        }
        _ => {}
    }
}

/// A list of `count` symbols: for each table the number of contexts and its one symbol.
fn list(payload: &mut Vec<u8>, count: usize, tables: &[(usize, u8)]) {
    let mut bits = Bits::default();
    bits.put(tables.len() as u64 - 1, 6);
    for (i, &(contexts, symbol)) in tables.iter().enumerate() {
        if i + 1 < tables.len() {
            bits.gamma(contexts as u64 - 1);
        }
        bits.put(u64::from(symbol), 8);
        (0..symbol).for_each(|_| bits.gamma(0));
        // The frequency 2048, of 12 bits, as all but the leading one.
        bits.gamma(24);
        bits.put(0, 11);
    }
    put_varint(payload, bits.bytes.len() as u64);
    payload.extend(&bits.bytes);
    for _ in 0..count.div_ceil(1024).min(4) {
        payload.push(32);
        payload.extend([0, 0x80, 0, 0].repeat(8));
    }
}

/// A bit string in the making.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    length: usize,
}

impl Bits {
    fn put(&mut self, value: u64, bits: u32) {
        for i in 0..bits {
            if self.length % 8 == 0 {
                self.bytes.push(0);
            }
            self.bytes[self.length / 8] |= ((value >> i & 1) as u8) << (self.length % 8);
            self.length += 1;
        }
    }

    fn gamma(&mut self, value: u64) {
        let k = (value + 1).ilog2();
        self.put(1 << k, k + 1);
        self.put(value + 1, k);
    }
}
