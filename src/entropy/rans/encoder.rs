//! The encoder: each group's symbols, from the last to the first, become words and states.

use super::{GROUPS, LANES, LOW, ROW, Shape};
use crate::entropy::frequency::{FrequencyTable, SCALE, SCALE_BITS};

/// The constants that encode a symbol with a multiplication in place of a division, after Giesen.
#[derive(Debug, Clone, Copy, Default)]
struct EncodeSymbol {
    limit: u32,
    reciprocal: u32,
    bias: u32,
    complement: u16,
    shift: u16,
}

impl EncodeSymbol {
    fn new(start: u32, frequency: u32) -> Self {
        let limit = frequency << (31 - SCALE_BITS);
        let complement = (SCALE - frequency) as u16;
        if frequency < 2 {
            return Self { limit, reciprocal: u32::MAX, bias: start + SCALE - 1, complement, shift: 0 };
        }
        let shift = (frequency - 1).ilog2() + 1;
        let reciprocal = ((1u64 << (shift + 31)).div_ceil(u64::from(frequency))) as u32;
        Self { limit, reciprocal, bias: start, complement, shift: (shift - 1) as u16 }
    }

    /// Returns the state after the symbol, and gives the word that leaves the state to `words`.
    #[inline(always)]
    fn encode(&self, state: u32, words: &mut Words) -> u32 {
        let full = state >= self.limit;
        words.offer(state as u16, full);
        let x = if full { state >> 16 } else { state };
        let quotient = (u64::from(x) * u64::from(self.reciprocal) >> 32) as u32 >> self.shift;
        x.wrapping_add(self.bias).wrapping_add(quotient * u32::from(self.complement))
    }
}

/// An encoder with a table per context.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    symbols: Vec<[EncodeSymbol; 256]>,
}

impl Encoder {
    pub(crate) fn new(tables: &[FrequencyTable]) -> Self {
        let symbols = tables.iter().map(|table| {
            let mut start = 0;
            table.frequencies().map(|frequency| {
                let symbol = EncodeSymbol::new(start, u32::from(frequency));
                start += u32::from(frequency);
                symbol
            })
        });
        Self { symbols: symbols.collect() }
    }

    /// Returns one stream per group: its words, then its states.
    ///
    /// A strip holds the number of each symbol's table, in which the symbol must have a frequency,
    /// and the symbols.
    pub(crate) fn encode(&self, shape: Shape, strips: &[(&[u8], &[u8])]) -> Vec<Vec<u8>> {
        let rows = strips.iter().map(|(_, symbols)| symbols.len().div_ceil(shape.row())).sum::<usize>();
        let mut words: [Words; GROUPS] = std::array::from_fn(|_| Words::new(rows * shape.lanes));
        let mut states = [[LOW; LANES]; GROUPS];
        // rANS is last in, first out: the symbol that is decoded first is encoded last.
        for (contexts, symbols) in strips.iter().rev() {
            for (contexts, symbols) in contexts.chunks(shape.row()).zip(symbols.chunks(shape.row())).rev() {
                match (contexts.as_array::<ROW>(), symbols.as_array::<ROW>()) {
                    (Some(contexts), Some(symbols)) => self.encode_full(contexts, symbols, &mut states, &mut words),
                    _ => self.encode_row(shape.lanes, contexts, symbols, &mut states, &mut words),
                }
            }
        }
        let streams = words.iter().zip(&states).take(shape.groups);
        streams.map(|(words, states)| stream(words, &states[..shape.lanes])).collect()
    }

    /// Encodes a row of all states. The groups take turns, since each lane of a group has to wait
    /// for the place of the word that the lane before it offered.
    fn encode_full(
        &self,
        contexts: &[u8; ROW],
        symbols: &[u8; ROW],
        states: &mut [[u32; LANES]; GROUPS],
        words: &mut [Words; GROUPS],
    ) {
        for lane in (0..LANES).rev() {
            for group in 0..GROUPS {
                let i = group * LANES + lane;
                let symbol = &self.symbols[usize::from(contexts[i])][usize::from(symbols[i])];
                states[group][lane] = symbol.encode(states[group][lane], &mut words[group]);
            }
        }
    }

    /// Encodes a row that may be short, of groups of `lanes` states.
    fn encode_row(
        &self,
        lanes: usize,
        contexts: &[u8],
        symbols: &[u8],
        states: &mut [[u32; LANES]; GROUPS],
        words: &mut [Words; GROUPS],
    ) {
        for (i, (&context, &symbol)) in contexts.iter().zip(symbols).enumerate().rev() {
            let (state, words) = (&mut states[i / lanes][i % lanes], &mut words[i / lanes]);
            *state = self.symbols[usize::from(context)][usize::from(symbol)].encode(*state, words);
        }
    }
}

/// Returns the stream of a group.
fn stream(words: &Words, states: &[u32]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(words.taken().len() * 2 + states.len() * 4);
    words.taken().iter().rev().for_each(|word| stream.extend_from_slice(&word.to_le_bytes()));
    states.iter().for_each(|state| stream.extend_from_slice(&state.to_le_bytes()));
    stream
}

/// The words of a stream in the order of encoding, at most one per symbol.
struct Words {
    words: Vec<u16>,
    count: usize,
}

impl Words {
    fn new(symbols: usize) -> Self {
        Self { words: vec![0; symbols + 1], count: 0 }
    }

    /// Writes `word`, and keeps it if `keep` is true. There is no branch, since it could not be
    /// predicted.
    #[inline(always)]
    fn offer(&mut self, word: u16, keep: bool) {
        self.words[self.count] = word;
        self.count += usize::from(keep);
    }

    /// Returns the words that were kept.
    fn taken(&self) -> &[u16] {
        &self.words[..self.count]
    }
}
