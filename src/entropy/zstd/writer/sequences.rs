//! The section of sequences of a block (RFC 8878, section 3.1.1.3.2).

use super::fse::{Coder, Table, close};
use crate::entropy::bits::BitWriter;

/// The shortest copy.
pub(super) const SHORTEST: usize = 3;

/// Bits behind the codes of insert lengths and of copy lengths.
const INSERT_BITS: [u32; 36] =
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const COPY_BITS: [u32; 53] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2,
    3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
];

/// The most states of the tables of insert lengths, offsets and copy lengths, as powers of two.
const LOGS: [u32; 3] = [9, 8, 9];

/// A number as a code, and the bits behind it.
#[derive(Debug, Clone, Copy)]
struct Number {
    code: u8,
    rest: u32,
    width: u32,
}

/// The numbers of a sequence: insert length, offset and copy length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coded([Number; 3]);

/// The distances of the last copies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent([usize; 3]);

impl Recent {
    /// The distances before the first copy.
    pub(super) fn new() -> Self {
        Self([1, 4, 8])
    }

    /// The number that stands for a distance behind so many literals. The distance is then recent.
    fn number(&mut self, distance: usize, inserted: usize) -> usize {
        let [first, second, third] = self.0;
        // Without literals, the last distance would only make its copy longer.
        let names = if inserted == 0 { [second, third, first - 1] } else { self.0 };
        let name = names.iter().position(|&recent| recent == distance);
        self.0 = match name.map(|name| name + usize::from(inserted == 0)) {
            Some(0) => self.0,
            Some(1) => [second, first, third],
            _ => [distance, first, second],
        };
        name.map_or(distance + 3, |name| name + 1)
    }
}

impl Coded {
    pub(super) fn new(inserted: usize, copied: usize, distance: usize, recent: &mut Recent) -> Self {
        let offset = recent.number(distance, inserted) as u32;
        let width = offset.ilog2();
        let offset = Number { code: width as u8, rest: offset - (1 << width), width };
        Self([number(inserted, &INSERT_BITS), offset, number(copied - SHORTEST, &COPY_BITS)])
    }
}

/// The code of a length.
fn number(length: usize, bits: &[u32]) -> Number {
    let (mut least, mut code) = (0, 0);
    while length >= least + (1 << bits[code]) {
        least += 1 << bits[code];
        code += 1;
    }
    Number { code: code as u8, rest: (length - least) as u32, width: bits[code] }
}

/// The table of one kind of numbers; `None` if they all have the same code.
fn table(sequences: &[Coded], kind: usize) -> Option<Table> {
    let mut counts = [0u32; COPY_BITS.len()];
    sequences.iter().for_each(|Coded(numbers)| counts[usize::from(numbers[kind].code)] += 1);
    let several = counts.iter().filter(|&&count| count > 0).count() > 1;
    several.then(|| Table::new(&counts, LOGS[kind]))
}

/// The section of these sequences.
pub(super) fn section(sequences: &[Coded]) -> Vec<u8> {
    let count = sequences.len();
    let mut section = match count {
        0..128 => vec![count as u8],
        128..0x7f00 => vec![(count >> 8) as u8 + 128, count as u8],
        _ => [&[255][..], &((count - 0x7f00) as u16).to_le_bytes()].concat(),
    };
    let Some((Coded(last), rest)) = sequences.split_last() else { return section };
    let tables = [0, 1, 2].map(|kind| table(sequences, kind));
    // A table is described, or its only code is told.
    let modes = tables.iter().fold(0, |modes, table| modes << 2 | if table.is_some() { 2 } else { 1 });
    section.push(modes << 2);
    for (table, number) in tables.iter().zip(last) {
        section.extend(table.as_ref().map_or_else(|| vec![number.code], Table::description));
    }
    let mut bits = BitWriter::default();
    let mut coders: [Option<Coder<'_>>; 3] =
        std::array::from_fn(|kind| tables[kind].as_ref().map(|table| Coder::new(table, last[kind].code)));
    let put_rest = |numbers: &[Number; 3], bits: &mut BitWriter| {
        [0, 2, 1].into_iter().for_each(|kind| bits.put(numbers[kind].rest, numbers[kind].width));
    };
    put_rest(last, &mut bits);
    for Coded(numbers) in rest.iter().rev() {
        for kind in [1, 2, 0] {
            coders[kind].iter_mut().for_each(|coder| coder.put(numbers[kind].code, &mut bits));
        }
        put_rest(numbers, &mut bits);
    }
    let [inserts, offsets, copies] = coders;
    [copies, offsets, inserts].into_iter().flatten().for_each(|coder| coder.finish(&mut bits));
    section.extend(close(bits));
    section
}
