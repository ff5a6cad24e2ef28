//! The encoder: each group's symbols, from the last to the first, become words and states.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::{GROUPS, LANES, LOW, ROW, Shape};
use crate::entropy::frequency::{FrequencyTable, SCALE, SCALE_BITS};

/// The constants that encode a symbol with a multiplication in place of a division, after Giesen.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(16))]
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

    /// Begins the streams of a list of this shape.
    pub(crate) fn begin(&self, shape: Shape) -> Streams<'_> {
        Streams { encoder: self, shape, states: [[LOW; LANES]; GROUPS], words: [const { Words::new() }; GROUPS] }
    }

    /// Encodes rows of all states.
    fn encode_rows(
        &self,
        contexts: &[[u8; ROW]],
        symbols: &[[u8; ROW]],
        states: &mut [[u32; LANES]; GROUPS],
        words: &mut [Words; GROUPS],
    ) {
        #[cfg(target_arch = "x86_64")]
        if avx2::encode(&self.symbols, contexts, symbols, states, words) {
            return;
        }
        self.encode_rows_portably(contexts, symbols, states, words);
    }

    /// Does the same as [`encode_rows`](Self::encode_rows). The groups take turns, since each lane
    /// of a group has to wait for the place of the word that the lane before it offered.
    fn encode_rows_portably(
        &self,
        contexts: &[[u8; ROW]],
        symbols: &[[u8; ROW]],
        states: &mut [[u32; LANES]; GROUPS],
        words: &mut [Words; GROUPS],
    ) {
        for (contexts, symbols) in contexts.iter().zip(symbols).rev() {
            for lane in (0..LANES).rev() {
                for group in 0..GROUPS {
                    let i = group * LANES + lane;
                    let symbol = &self.symbols[usize::from(contexts[i])][usize::from(symbols[i])];
                    states[group][lane] = symbol.encode(states[group][lane], &mut words[group]);
                }
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

/// The streams of a list, of which the last strips are encoded.
pub(crate) struct Streams<'a> {
    encoder: &'a Encoder,
    shape: Shape,
    states: [[u32; LANES]; GROUPS],
    words: [Words; GROUPS],
}

impl Streams<'_> {
    /// Encodes a strip: the symbols, and the number of each one's table, in which it must have a
    /// frequency. The last strip comes first, since rANS is last in, first out.
    pub(crate) fn push(&mut self, contexts: &[u8], symbols: &[u8]) {
        let (row, lanes) = (self.shape.row(), self.shape.lanes);
        let rows = symbols.len().div_ceil(row);
        self.words.iter_mut().for_each(|words| words.make_room(rows * lanes));
        let whole = if row == ROW { symbols.len() / ROW * ROW } else { 0 };
        let ((contexts, last_contexts), (symbols, last)) = (contexts.split_at(whole), symbols.split_at(whole));
        for (contexts, symbols) in last_contexts.chunks(row).zip(last.chunks(row)).rev() {
            self.encoder.encode_row(lanes, contexts, symbols, &mut self.states, &mut self.words);
        }
        let (contexts, symbols) = (contexts.as_chunks().0, symbols.as_chunks().0);
        self.encoder.encode_rows(contexts, symbols, &mut self.states, &mut self.words);
    }

    /// Returns one stream per group: its words, then its states.
    pub(crate) fn finish(self) -> Vec<Vec<u8>> {
        let streams = self.words.iter().zip(&self.states).take(self.shape.groups);
        streams.map(|(words, states)| stream(words, &states[..self.shape.lanes])).collect()
    }
}

/// Returns the stream of a group.
fn stream(words: &Words, states: &[u32]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(words.taken().len() * 2 + states.len() * 4);
    words.taken().iter().rev().for_each(|word| stream.extend_from_slice(&word.to_le_bytes()));
    states.iter().for_each(|state| stream.extend_from_slice(&state.to_le_bytes()));
    stream
}

/// The words of a stream in the order of encoding.
#[derive(Debug)]
struct Words {
    /// The words, and behind them room for more.
    words: Vec<u16>,
    count: usize,
}

impl Words {
    /// Words that a kernel may write beyond those that it keeps.
    const BEYOND: usize = LANES;

    const fn new() -> Self {
        Self { words: Vec::new(), count: 0 }
    }

    /// Makes room for so many words, and for [`BEYOND`](Self::BEYOND) more.
    fn make_room(&mut self, words: usize) {
        let needed = self.count + words + Self::BEYOND;
        self.words.resize(needed.max(self.words.len()), 0);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest number of rows of a test.
    const MOST: usize = if cfg!(miri) { 9 } else { 128 };

    /// Every kernel writes the words of the portable code, and ends in its states.
    #[test]
    fn kernels_agree() {
        let mut seed = 11u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        // A certain symbol, two of which one is rare, many, and all.
        let rare = [1 << 20, 1];
        let tables = [&[7][..], &rare, &[900, 80, 9, 50, 3, 0, 1], &[5; 256]].map(FrequencyTable::from_counts);
        // More than eight tables have no look-up of their own for symbol 0.
        let many: Vec<_> = tables.iter().chain(&tables).chain(&tables).cloned().collect();
        for (encoder, rows) in
            [&tables[..], &many].map(Encoder::new).iter().flat_map(|e| [0, 1, 2, MOST].map(|n| (e, n)))
        {
            let mut row = || {
                let contexts: [u8; ROW] = std::array::from_fn(|_| (next() % 4) as u8);
                let symbols = contexts.map(|context| match context {
                    0 => 0,
                    1 => u8::from(next() % 50 == 0),
                    2 => (next() % 5) as u8,
                    _ => next() as u8,
                });
                (contexts, symbols)
            };
            let (contexts, symbols): (Vec<_>, Vec<_>) = (0..rows).map(|_| row()).unzip();
            let results = [Encoder::encode_rows, Encoder::encode_rows_portably].map(|encode| {
                let (mut states, mut words) = ([[LOW; LANES]; GROUPS], [const { Words::new() }; GROUPS]);
                for _ in 0..3 {
                    words.iter_mut().for_each(|words| words.make_room(rows * LANES));
                    encode(encoder, &contexts, &symbols, &mut states, &mut words);
                }
                (states, words.map(|words| words.taken().to_vec()))
            });
            assert_eq!(results[0], results[1], "{rows}");
        }
    }
}
