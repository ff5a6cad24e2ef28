//! Payloads that decode: each table has one symbol that is certain, so that there are no streams.

use crate::archive::{PREDICTED, put_varint};
use crate::input::{self, Type};
use crate::payload::columns;
use crate::reference::chunk::{self, Coding};
use crate::reference::context;
use crate::reference::fields::Fields;
use crate::reference::head::Q8_0;
use crate::reference::predicted::Factors;
use crate::reference::words::{self, Numbers};

const F16: u8 = 13;
const I8: u8 = 5;

/// A payload that follows from `data`, valid but for what cannot be helped, and the factors that it
/// needs.
pub fn payload(kind: &Type, method: u8, base: &[u8], mut data: &[u8]) -> [Vec<u8>; 2] {
    let (coding, columns) = (Coding::of(kind.dtype), columns(kind));
    let words = base.len() / coding.bytes();
    let coded = |e: Vec<u64>| Coded { coding, columns, e, factor: 16 };
    let payload = match (method, kind.dtype) {
        (4, _) => solo(&coded(vec![0; words]), &mut data),
        (PREDICTED, _) => return predicted(kind, base, &mut data),
        (_, Q8_0) => blocks(columns, base, &mut data),
        (12, _) => sparse(coding, words, &mut data),
        _ => delta(&coded(numbers(coding, base)), &mut data),
    };
    [Vec::new(), payload]
}

/// Words to be coded: how, and the numbers that their contexts go by.
struct Coded {
    coding: Coding,
    columns: usize,
    e: Vec<u64>,
    factor: i64,
}

fn delta(coded: &Coded, data: &mut &[u8]) -> Vec<u8> {
    let zero = symbols(coded.coding.width);
    list(coded, zero + 1, |symbol| if usize::from(symbol) == zero { 0 } else { raw_bits(symbol) }, data)
}

fn solo(coded: &Coded, data: &mut &[u8]) -> Vec<u8> {
    if coded.coding.mantissa.is_none() {
        return delta(coded, data);
    }
    let width = coded.coding.width;
    let k = input::byte(data) % width as u8;
    let mut payload = vec![k];
    put_varint(&mut payload, input::short(data) as u64);
    let raw = |symbol| match symbol {
        254 => 0,
        255 => width,
        _ => u32::from(k) + 1,
    };
    payload.extend(list(coded, 256, raw, data));
    payload
}

/// Changes of which all have the same gap symbol, and the same difference symbol.
fn sparse(coding: Coding, words: usize, data: &mut &[u8]) -> Vec<u8> {
    let count = input::short(data) % (words / 4 + 1);
    let mut symbol = || (input::byte(data) % symbols(coding.width) as u8, input::byte(data) % 64);
    let (difference, gap) = symbol();
    let mut payload = Vec::new();
    put_varint(&mut payload, count as u64);
    put_symbols(&mut payload, &[(1, gap), (1, difference)]);
    put_string(&mut payload, &extra(count as u32 * raw_bits(gap), data));
    payload.extend(extra(count as u32 * raw_bits(difference), data));
    payload
}

/// Scales, and quants in the contexts of what the scales become.
fn blocks(columns: usize, base: &[u8], data: &mut &[u8]) -> Vec<u8> {
    let from: Vec<u8> = base.chunks(34).flat_map(|block| &block[..2]).copied().collect();
    let (coding, columns_of_scales) = (Coding::of(F16), columns / 32);
    let scales = Coded { coding, columns: columns_of_scales, e: numbers(coding, &from), factor: 16 };
    let scales = delta(&scales, data);
    let to = words::delta(coding, columns_of_scales, &scales, &from).unwrap();
    let e = to.chunks(2).flat_map(|scale| [u64::from(scale[1] % 128); 32]).collect();
    let mut payload = Vec::new();
    put_string(&mut payload, &scales);
    payload.extend(delta(&Coded { coding: Coding::of(I8), columns, e, factor: 4 }, data));
    payload
}

/// Factors, and deltas to what they make of the base.
fn predicted(kind: &Type, base: &[u8], data: &mut &[u8]) -> [Vec<u8>; 2] {
    let (coding, columns) = (Coding::of(kind.dtype), columns(kind));
    let count = base.len() / coding.bytes();
    let rank = 1 + usize::from(input::byte(data)) % columns.min(count / columns).clamp(1, 64);
    let mut factors = vec![rank as u8];
    factors.extend(std::array::from_fn::<u8, 4, _>(|_| input::byte(data)));
    factors[4] &= 0x7f;
    factors.extend((0..rank).map(|_| input::byte(data) % 16));
    integers(&mut factors, rank, columns, data);
    let mut numbers_of_rows = Vec::new();
    integers(&mut numbers_of_rows, rank, count.div_ceil(columns), data);
    let mut payload = Vec::new();
    put_string(&mut payload, &numbers_of_rows);
    // Deltas of zero show what the base is moved to.
    let mut still = payload.clone();
    still.push(0);
    put_symbols(&mut still, &[(1, 0)]);
    let read = Factors::read(&factors, columns, count);
    let moved = read.and_then(|read| {
        chunk::decode(PREDICTED, kind.dtype, columns, &still, (Some(base), false), Some(&read), base.len())
    });
    let e = numbers(coding, moved.as_deref().unwrap_or(base));
    payload.extend(delta(&Coded { coding, columns, e, factor: 16 }, data));
    [factors, payload]
}

/// The numbers of so many components, each of `length`.
fn integers(payload: &mut Vec<u8>, components: usize, length: usize, data: &mut &[u8]) {
    let tables = tables(76, data);
    put_symbols(payload, &tables);
    let contexts = (0..components * length).map(|i| i / length);
    let bits = contexts.map(|context| raw_bits(table_of(&tables, context).1)).sum();
    put_string(payload, &extra(bits, data));
}

/// A context model, symbols, and their raw bits to the end.
fn list(coded: &Coded, most: usize, raw: impl Fn(u8) -> u32, data: &mut &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    model(&mut payload, data);
    let numbers = Numbers { e: &coded.e, factor: coded.factor };
    let contexts = context::read(&mut Fields::new(&payload), coded.columns, numbers).unwrap();
    let tables = tables(most, data);
    put_symbols(&mut payload, &tables);
    let bits = contexts.iter().map(|&context| raw(table_of(&tables, context).1)).sum();
    payload.extend(extra(bits, data));
    payload
}

/// For each table the number of contexts and its one symbol.
type Tables = Vec<(usize, u8)>;

fn tables(symbols: usize, data: &mut &[u8]) -> Tables {
    let mut table = || (1 + usize::from(input::byte(data) % 11), (input::short(data) % symbols) as u8);
    (0..8).map(|_| table()).take_while(|table| table.0 < 11).chain([(1, 0)]).collect()
}

fn table_of(tables: &Tables, context: usize) -> (usize, u8) {
    let mut end = 0;
    let found = tables.iter().find(|table| {
        end += table.0;
        context < end
    });
    *found.unwrap_or(&tables[tables.len() - 1])
}

/// A bit string of what is left of `data`, over and over.
fn extra(bits: u32, data: &[u8]) -> Vec<u8> {
    let bits = bits as usize;
    let mut extra: Vec<u8> = data.iter().chain(&[0x5a]).copied().cycle().take(bits.div_ceil(8)).collect();
    if let (Some(last), 1..) = (extra.last_mut(), bits % 8) {
        *last &= (1 << (bits % 8)) - 1;
    }
    extra
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

/// The values that contexts are made of.
fn numbers(coding: Coding, base: &[u8]) -> Vec<u64> {
    let number = |word: &[u8]| {
        let word = word.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        match coding.mantissa {
            Some(mantissa) => word % (1 << (coding.width - 1)) >> mantissa,
            None => word >> (coding.width - 4),
        }
    };
    base.chunks(coding.bytes()).map(number).collect()
}

/// Raw bits of a symbol of differences.
fn raw_bits(symbol: u8) -> u32 {
    match u32::from(symbol) {
        t @ 32..144 => t / 4 - 5,
        t @ 144..175 => t - 111,
        _ => 0,
    }
}

fn model(payload: &mut Vec<u8>, data: &mut &[u8]) {
    let number = input::byte(data) % 4;
    payload.push(number);
    match number {
        1 => put_varint(payload, input::short(data) as u64 % 2048),
        2 => {
            payload.push(input::byte(data) % 5);
            put_varint(payload, input::short(data) as u64 * 17 % (1 << 20));
            put_varint(payload, input::short(data) as u64);
            put_symbols(payload, &[(1, input::byte(data))]);
            put_symbols(payload, &[(1, input::byte(data))]);
        }
        _ => {}
    }
}

fn put_string(bytes: &mut Vec<u8>, string: &[u8]) {
    put_varint(bytes, string.len() as u64);
    bytes.extend(string);
}

/// A list of symbols: for each table the number of contexts and its one symbol.
fn put_symbols(payload: &mut Vec<u8>, tables: &[(usize, u8)]) {
    let mut bits = Bits::default();
    bits.gamma(tables.len() as u64 - 1);
    bits.put(0, 2);
    for (i, &(contexts, symbol)) in tables.iter().enumerate() {
        if i + 1 < tables.len() {
            bits.gamma(contexts as u64 - 1);
        }
        bits.put(u64::from(symbol), 8);
        // The lengths of the other frequencies, from 6 on: 0 and so on, and 12 for the frequency
        // 2048, of which all but the leading one of its bits follow.
        match symbol {
            0 => continue,
            1 => bits.gamma(12),
            _ => {
                bits.gamma(11);
                (2..symbol).for_each(|_| bits.gamma(0));
                bits.gamma(24);
            }
        }
        bits.put(0, 11);
    }
    put_string(payload, &bits.bytes);
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
