//! The encoder: each group's symbols, from the last to the first, become words and states.

use super::{BLOCK, GROUPS, LANES, LOW, STATES, groups};
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
    /// `contexts` holds the number of each symbol's table, in which the symbol must have a
    /// frequency.
    pub(crate) fn encode(&self, contexts: &[u8], symbols: &[u8]) -> Vec<Vec<u8>> {
        (0..groups(symbols.len())).map(|group| self.encode_group(group, contexts, symbols)).collect()
    }

    fn encode_group(&self, group: usize, contexts: &[u8], symbols: &[u8]) -> Vec<u8> {
        let mut states = [LOW; LANES];
        let blocks = symbols.chunks(BLOCK).zip(contexts.chunks(BLOCK)).skip(group).step_by(GROUPS);
        let blocks: Vec<_> = blocks.collect();
        let mut words = Words::new(blocks.iter().map(|(symbols, _)| symbols.len()).sum());
        // rANS is last in, first out: the symbol that is decoded first is encoded last.
        for (symbols, contexts) in blocks.into_iter().rev() {
            let rows = symbols.chunks(LANES).zip(contexts.chunks(LANES));
            for (symbols, contexts) in rows.rev() {
                for (lane, (&symbol, &context)) in symbols.iter().zip(contexts).enumerate().rev() {
                    let coder = &self.symbols[context as usize][symbol as usize];
                    states[lane] = coder.encode(states[lane], &mut words);
                }
            }
        }
        let mut stream = Vec::with_capacity(words.taken().len() * 2 + STATES);
        words.taken().iter().rev().for_each(|word| stream.extend_from_slice(&word.to_le_bytes()));
        states.iter().for_each(|state| stream.extend_from_slice(&state.to_le_bytes()));
        stream
    }
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
