//! Interleaved rANS: entropy coding of symbols in contexts, each context with a frequency table.
//!
//! Symbols are cut into blocks of [`BLOCK`]; block `b` belongs to group `b % 4`. Each group is a
//! coder of its own, with [`LANES`] states that take turns symbol by symbol and share one stream of
//! 16-bit words. The lanes keep a scalar processor busy, and the groups a vector unit.
//!
//! A state `x` stays in 2^15..2^31. A symbol has the frequency `f` and the start `c`, the sum of
//! the frequencies before it. Decoding it sets `x = f * (x >> 11) + (x & 2047) - c`. If that is
//! below 2^15, it then sets `x = x << 16 | next word`.
//!
//! Sources: J. Duda, <https://arxiv.org/abs/1311.2540>; for the interleaving, F. Giesen,
//! <https://arxiv.org/abs/1402.3392>.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::frequency::{FrequencyTable, SCALE, SCALE_BITS};
use crate::error::{Error, Result};

/// Symbols per block.
pub(crate) const BLOCK: usize = 1024;

/// States per group.
pub(crate) const LANES: usize = 8;

/// Groups, if there are that many blocks.
pub(crate) const GROUPS: usize = 4;

/// The smallest state, and the state from which encoding starts.
const LOW: u32 = 1 << 15;

/// Bytes of a group's states.
const STATES: usize = LANES * 4;

/// Symbols of a strip, which is one block of every group.
pub(crate) const STRIP: usize = BLOCK * GROUPS;

/// Returns the number of groups that code `symbols` symbols.
pub(crate) fn groups(symbols: usize) -> usize {
    symbols.div_ceil(BLOCK).min(GROUPS)
}

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

/// Entries of all decoding tables together. There is room for the largest number of tables, so that
/// an index of table and slot cannot be out of bounds.
const SLOTS: usize = super::cluster::MAX_TABLES * SCALE as usize;

/// A decoder with a table per context. Each slot of a table holds a symbol (8 bits), its frequency
/// (12 bits) and the place of the slot among those of the symbol (12 bits).
#[derive(Debug)]
pub(crate) struct Decoder {
    slots: Box<[u32; SLOTS]>,
}

impl Default for Decoder {
    fn default() -> Self {
        let slots = vec![0; SLOTS].into_boxed_slice();
        Self { slots: slots.try_into().unwrap_or_else(|_| unreachable!("SLOTS long")) }
    }
}

impl Decoder {
    /// Replaces the tables by these, at most [`MAX_TABLES`](super::cluster::MAX_TABLES).
    pub(crate) fn set_tables(&mut self, tables: &[FrequencyTable]) {
        for (slots, table) in self.slots.chunks_exact_mut(SCALE as usize).zip(tables) {
            let mut rest = slots;
            for (symbol, &frequency) in table.frequencies().iter().enumerate() {
                let (mine, others) = rest.split_at_mut(usize::from(frequency));
                for (place, slot) in mine.iter_mut().enumerate() {
                    *slot = symbol as u32 | u32::from(frequency) << 8 | (place as u32) << 20;
                }
                rest = others;
            }
        }
    }

    /// Decodes the next strip, which is a block of each group; in the last strip the last blocks
    /// may be short or missing. `contexts` holds the number of each symbol's table.
    pub(crate) fn decode_strip(&self, groups: &mut [Group<'_>], contexts: &[u8], symbols: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if let (Some(contexts), Some(symbols)) = (contexts.first_chunk(), symbols.first_chunk_mut())
            && avx2::decode_strip(&self.slots, groups, contexts, symbols)
        {
            return;
        }
        let blocks = contexts.chunks(BLOCK).zip(symbols.chunks_mut(BLOCK));
        groups
            .iter_mut()
            .zip(blocks)
            .for_each(|(group, (contexts, symbols))| self.decode_block(group, contexts, symbols));
    }

    /// Decodes the next block of `group` into `symbols`. `contexts` holds the number of each
    /// symbol's table.
    fn decode_block(&self, group: &mut Group<'_>, contexts: &[u8], symbols: &mut [u8]) {
        match (contexts.first_chunk::<BLOCK>(), symbols.first_chunk_mut::<BLOCK>(), group.ahead()) {
            (Some(contexts), Some(symbols), Some(words)) => {
                group.position += self.decode_full(&mut group.states, words, contexts, symbols);
            }
            (_, _, Some(words)) => group.position += self.decode_some(&mut group.states, words, contexts, symbols),
            (_, _, None) => {
                let words = group.ahead_padded();
                group.position += self.decode_some(&mut group.states, &words, contexts, symbols);
            }
        }
    }

    /// Decodes one full block and returns the number of words consumed.
    fn decode_full(
        &self,
        states: &mut [u32; LANES],
        words: &[[u8; 2]; BLOCK],
        contexts: &[u8; BLOCK],
        symbols: &mut [u8; BLOCK],
    ) -> usize {
        let mut x = *states;
        let mut taken = 0;
        for (contexts, symbols) in contexts.as_chunks::<LANES>().0.iter().zip(symbols.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                symbols[lane] = self.step(&mut x[lane], words, &mut taken, contexts[lane]);
            }
        }
        *states = x;
        taken
    }

    /// Decodes a block of any length and returns the number of words consumed.
    fn decode_some(
        &self,
        states: &mut [u32; LANES],
        words: &[[u8; 2]; BLOCK],
        contexts: &[u8],
        symbols: &mut [u8],
    ) -> usize {
        let mut taken = 0;
        for (i, (symbol, &context)) in symbols.iter_mut().zip(contexts).enumerate() {
            *symbol = self.step(&mut states[i % LANES], words, &mut taken, context);
        }
        taken
    }

    /// Decodes one symbol and counts the word that it takes, if any, in `taken`. A block takes at
    /// most one word per symbol, so the index of the word never wraps.
    #[inline(always)]
    fn step(&self, state: &mut u32, words: &[[u8; 2]; BLOCK], taken: &mut usize, context: u8) -> u8 {
        let x = *state;
        let slot = usize::from(context) << SCALE_BITS | (x & (SCALE - 1)) as usize;
        let entry = self.slots[slot % SLOTS];
        let x = (entry >> 8 & 0xfff).wrapping_mul(x >> SCALE_BITS).wrapping_add(entry >> 20);
        let word = u32::from(u16::from_le_bytes(words[*taken % BLOCK]));
        let short = x < LOW;
        *taken += usize::from(short);
        *state = if short { x << 16 | word } else { x };
        entry as u8
    }
}

/// The decoding state of a group: its lanes, and its place in its stream.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    states: [u32; LANES],
    words: &'a [[u8; 2]],
    position: usize,
}

impl<'a> Group<'a> {
    /// Reads a group from `stream`, which holds its words and then its states.
    ///
    /// # Errors
    /// `Corrupt` for a stream that is too short or not a whole number of words, or whose states are
    /// out of range.
    pub(crate) fn new(stream: &'a [u8]) -> Result<Self> {
        let bad = || {
            let found = format!("{} bytes", stream.len());
            Error::corrupt("a stream of symbols is damaged").figures("words and 8 valid states", found)
        };
        let (words, tail) = stream.split_last_chunk::<STATES>().ok_or_else(bad)?;
        let (words, []) = words.as_chunks::<2>() else { return Err(bad()) };
        let mut states = [0; LANES];
        for (state, bytes) in states.iter_mut().zip(tail.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
            if !(LOW..1 << 31).contains(state) {
                return Err(bad());
            }
        }
        Ok(Self { states, words, position: 0 })
    }

    /// Returns the next `COUNT` words, or `None` if there are fewer.
    #[inline]
    fn ahead<const COUNT: usize>(&self) -> Option<&'a [[u8; 2]; COUNT]> {
        self.words.get(self.position..)?.first_chunk()
    }

    /// Returns the next `COUNT` words, with zeros past the last one.
    fn ahead_padded<const COUNT: usize>(&self) -> [[u8; 2]; COUNT] {
        let mut padded = [[0; 2]; COUNT];
        let rest = self.words.get(self.position..).unwrap_or(&[]);
        let rest = &rest[..rest.len().min(COUNT)];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    }

    /// Checks that decoding ended where encoding began.
    ///
    /// # Errors
    /// `Corrupt` if words are left or missing, or if the states are not those that encoding starts
    /// from.
    pub(crate) fn finish(self) -> Result<()> {
        if self.position == self.words.len() && self.states == [LOW; LANES] {
            return Ok(());
        }
        let expected = format!("{} words", self.words.len());
        Err(Error::corrupt("a stream of symbols does not end where it should").figures(expected, self.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: usize) -> (Vec<u8>, Vec<u8>) {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        let contexts: Vec<u8> = (0..length).map(|_| (next() % 3) as u8).collect();
        let symbols = contexts.iter().map(|&c| match c {
            0 => 0,
            1 => (next() & next() & next() & 63) as u8,
            _ => next() as u8,
        });
        (contexts.clone(), symbols.collect())
    }

    fn tables(contexts: &[u8], symbols: &[u8]) -> Vec<FrequencyTable> {
        let mut counts = vec![[0u32; 256]; 3];
        contexts.iter().zip(symbols).for_each(|(&c, &s)| counts[c as usize][s as usize] += 1);
        counts.iter_mut().filter(|c| c.iter().all(|&n| n == 0)).for_each(|c| c[0] = 1);
        counts.iter().map(|c| FrequencyTable::from_counts(c)).collect()
    }

    fn decode(decoder: &Decoder, streams: &[Vec<u8>], contexts: &[u8]) -> Result<Vec<u8>> {
        let mut groups = streams.iter().map(|s| Group::new(s)).collect::<Result<Vec<_>>>()?;
        let mut symbols = vec![0; contexts.len()];
        for (symbols, contexts) in symbols.chunks_mut(STRIP).zip(contexts.chunks(STRIP)) {
            decoder.decode_strip(&mut groups, contexts, symbols);
        }
        groups.into_iter().try_for_each(Group::finish)?;
        Ok(symbols)
    }

    #[test]
    fn symbols_round_trip_at_every_length() {
        for length in [1, 7, 8, 9, 1023, 1024, 1025, 4096, 5000, if cfg!(miri) { 8200 } else { 100_003 }] {
            let (contexts, symbols) = sample(length);
            let tables = tables(&contexts, &symbols);
            let streams = Encoder::new(&tables).encode(&contexts, &symbols);
            assert_eq!(streams.len(), groups(length));
            let mut decoder = Decoder::default();
            decoder.set_tables(&tables);
            assert!(decode(&decoder, &streams, &contexts).unwrap() == symbols, "{length}");
        }
    }

    /// The vector kernel and the portable one produce the same symbols and states.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn kernels_agree() {
        // The first strips have all the words that the kernel loads ahead, and the last ones do
        // not.
        let (contexts, symbols) = sample(STRIP * if cfg!(miri) { 8 } else { 40 });
        let tables = tables(&contexts, &symbols);
        let streams = Encoder::new(&tables).encode(&contexts, &symbols);
        let mut decoder = Decoder::default();
        decoder.set_tables(&tables);
        let mut fast: Vec<_> = streams.iter().map(|s| Group::new(s).unwrap()).collect();
        let mut portable: Vec<_> = streams.iter().map(|s| Group::new(s).unwrap()).collect();
        for contexts in contexts.chunks_exact(STRIP) {
            let (mut a, mut b) = ([0; STRIP], [0; STRIP]);
            let contexts = contexts.first_chunk().unwrap();
            if !avx2::decode_strip(&decoder.slots, &mut fast, contexts, &mut a) {
                if cfg!(miri) {
                    panic!("Miri has the vector unit that the build asks for: -C target-feature=+avx2,+popcnt");
                }
                return;
            }
            for (group, (contexts, symbols)) in portable.iter_mut().zip(contexts.chunks(BLOCK).zip(b.chunks_mut(BLOCK)))
            {
                decoder.decode_block(group, contexts, symbols);
            }
            assert!(a == b);
            let same = |(f, p): (&Group<'_>, &Group<'_>)| f.states == p.states && f.position == p.position;
            assert!(fast.iter().zip(&portable).all(same));
        }
    }

    #[test]
    fn certain_symbols_cost_nothing() {
        let (contexts, symbols) = ([0; 10_000], [5; 10_000]);
        let mut counts = [0; 256];
        counts[5] = 1;
        let streams = Encoder::new(&[FrequencyTable::from_counts(&counts)]).encode(&contexts, &symbols);
        assert_eq!(streams.iter().map(Vec::len).sum::<usize>(), GROUPS * STATES);
    }

    #[test]
    fn truncated_streams_are_noticed() {
        // The vector kernel decodes the full strip, and the portable one the short strip.
        [STRIP, 3000].into_iter().for_each(truncations_are_noticed);
    }

    fn truncations_are_noticed(length: usize) {
        let (contexts, symbols) = sample(length);
        let tables = tables(&contexts, &symbols);
        let streams = Encoder::new(&tables).encode(&contexts, &symbols);
        let mut decoder = Decoder::default();
        decoder.set_tables(&tables);
        for group in 0..streams.len() {
            for cut in (0..streams[group].len()).step_by(if cfg!(miri) { 499 } else { 1 }) {
                let mut streams = streams.clone();
                streams[group].remove(cut);
                decode(&decoder, &streams, &contexts).unwrap_err();
                streams[group].truncate(cut);
                decode(&decoder, &streams, &contexts).unwrap_err();
            }
        }
    }
}
