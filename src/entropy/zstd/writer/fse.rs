//! Finite-state entropy coding, as zstd does it (RFC 8878, section 4.1).

use crate::entropy::bits::BitWriter;
use crate::entropy::log2::log2;

/// The least number of bits of a table's states.
const LEAST_LOG: u32 = 5;

/// The frequencies of symbols, and the states of their coder.
#[derive(Debug)]
pub(super) struct Table {
    /// The frequencies add up to 2 to the power of this.
    log: u32,
    frequencies: Vec<u32>,
    /// The next states, those of each symbol one after the other.
    states: Vec<u32>,
    symbols: Vec<Symbol>,
}

/// The way from a state to the next one when a symbol is coded.
#[derive(Debug, Clone, Copy, Default)]
struct Symbol {
    /// Added to a state, it gives the number of bits that leave the state, times 2^16.
    bits: u32,
    /// Added to what is left of a state, it gives the place of the next one.
    first: i32,
}

impl Table {
    /// Makes the table for these counts, of which at least two are not 0, with at most 2 to the power
    /// of `most` states.
    pub(super) fn new(counts: &[u32], most: u32) -> Self {
        let total: u32 = counts.iter().sum();
        let used = counts.iter().filter(|&&count| count > 0).count() as u32;
        let log = total.ilog2().saturating_sub(2).max(used.ilog2() + 1).clamp(LEAST_LOG, most);
        let frequencies = frequencies(counts, log);
        let size = 1u32 << log;
        let mut symbols = Vec::with_capacity(frequencies.len());
        let mut begins = Vec::with_capacity(frequencies.len());
        let mut begin = 0u32;
        for &frequency in &frequencies {
            begins.push(begin as usize);
            let first = begin as i32 - frequency as i32;
            symbols.push(match frequency {
                0 => Symbol::default(),
                1 => Symbol { bits: (log << 16) - size, first },
                _ => {
                    let bits = log - (frequency - 1).ilog2();
                    Symbol { bits: (bits << 16).wrapping_sub(frequency << bits), first }
                }
            });
            begin += frequency;
        }
        let mut states = vec![0; size as usize];
        for (state, symbol) in spread(&frequencies, size as usize).into_iter().enumerate() {
            states[begins[symbol]] = size + state as u32;
            begins[symbol] += 1;
        }
        Self { log, frequencies, states, symbols }
    }

    /// The bytes that describe the frequencies.
    pub(super) fn description(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.put(self.log - LEAST_LOG, 4);
        let (mut left, mut threshold, mut width) = ((1 << self.log) + 1u32, 1u32 << self.log, self.log + 1);
        let mut symbol = 0;
        while left > 1 {
            let frequency = self.frequencies[symbol];
            symbol += 1;
            let most = 2 * threshold - 1 - left;
            left -= frequency;
            // The frequency 0 is the number 1: 0 stands for less than 1.
            let number = if frequency + 1 >= threshold { frequency + 1 + most } else { frequency + 1 };
            bits.put(number, width - u32::from(number < most));
            if frequency == 0 {
                let run = self.frequencies[symbol..].iter().take_while(|&&frequency| frequency == 0).count();
                (0..run / 3).for_each(|_| bits.put(3, 2));
                bits.put(run as u32 % 3, 2);
                symbol += run;
            }
            while left < threshold {
                (width, threshold) = (width - 1, threshold / 2);
            }
        }
        bits.finish()
    }
}

/// Scales counts to a sum of 2 to the power of `log`. What occurs has a frequency of at least 1.
fn frequencies(counts: &[u32], log: u32) -> Vec<u32> {
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let scaled = |&count: &u32| match count {
        0 => 0,
        count => (((u64::from(count) << log) + total / 2) / total).max(1) as u32,
    };
    let mut frequencies: Vec<u32> = counts.iter().map(scaled).collect();
    loop {
        let sum: u32 = frequencies.iter().sum();
        let next = |frequency: u32| if sum < 1 << log { frequency + 1 } else { frequency - 1 };
        if sum == 1 << log {
            return frequencies;
        }
        let least = u32::from(sum > 1 << log);
        let cost = |&symbol: &usize| {
            let frequency = frequencies[symbol];
            i64::from(counts[symbol]) * (i64::from(log2(frequency)) - i64::from(log2(next(frequency))))
        };
        let able = (0..frequencies.len()).filter(|&symbol| frequencies[symbol] > least);
        let Some(symbol) = able.min_by_key(cost) else { return frequencies };
        frequencies[symbol] = next(frequencies[symbol]);
    }
}

/// The symbol of each state.
fn spread(frequencies: &[u32], size: usize) -> Vec<usize> {
    let step = size / 2 + size / 8 + 3;
    let (mut symbols, mut place) = (vec![0; size], 0);
    for (symbol, &frequency) in frequencies.iter().enumerate() {
        for _ in 0..frequency {
            symbols[place] = symbol;
            place = (place + step) % size;
        }
    }
    symbols
}

/// A coder, which takes symbols from the last one to the first.
#[derive(Debug)]
pub(super) struct Coder<'a> {
    table: &'a Table,
    state: u32,
}

impl<'a> Coder<'a> {
    /// Begins with the last symbol.
    pub(super) fn new(table: &'a Table, symbol: u8) -> Self {
        let Symbol { bits, first } = table.symbols[usize::from(symbol)];
        let count = (bits.wrapping_add(1 << 15)) >> 16;
        let state = (count << 16).wrapping_sub(bits) >> count;
        Self { table, state: table.states[(state as i32 + first) as usize] }
    }

    /// Takes the symbol before.
    pub(super) fn put(&mut self, symbol: u8, output: &mut BitWriter) {
        let Symbol { bits, first } = self.table.symbols[usize::from(symbol)];
        let count = self.state.wrapping_add(bits) >> 16;
        output.put(self.state & ((1 << count) - 1), count);
        self.state = self.table.states[((self.state >> count) as i32 + first) as usize];
    }

    /// Appends the state, with which the reader begins.
    pub(super) fn finish(self, output: &mut BitWriter) {
        output.put(self.state & ((1 << self.table.log) - 1), self.table.log);
    }
}

/// Ends a string that is read from its end on.
pub(super) fn close(mut bits: BitWriter) -> Vec<u8> {
    bits.put(1, 1);
    bits.finish()
}
