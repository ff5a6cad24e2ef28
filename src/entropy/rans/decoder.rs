//! The portable decoder, and the state that it shares with the [kernels](super::kernels).

use super::{BLOCK, LANES, LOW, STATES, kernels};
use crate::entropy::cluster::MAX_TABLES;
use crate::entropy::frequency::{FrequencyTable, SCALE, SCALE_BITS};
use crate::error::{Error, Result};

/// Entries of all decoding tables together. There is room for the largest number of tables, so that
/// an index of table and slot cannot be out of bounds.
pub(super) const SLOTS: usize = MAX_TABLES * SCALE as usize;

/// A decoder with a table per context. Each slot of a table holds a symbol (8 bits), its frequency
/// (12 bits) and the place of the slot among those of the symbol (12 bits).
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(super) slots: Box<[u32; SLOTS]>,
}

impl Default for Decoder {
    fn default() -> Self {
        let slots = vec![0; SLOTS].into_boxed_slice();
        Self { slots: slots.try_into().unwrap_or_else(|_| unreachable!("SLOTS long")) }
    }
}

impl Decoder {
    /// Replaces the tables by these, at most [`MAX_TABLES`].
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
        if let (Some(contexts), Some(symbols)) = (contexts.first_chunk(), symbols.first_chunk_mut())
            && let Some(kernel) = kernels::fastest()
            && kernels::decode_strip(kernel, &self.slots, groups, contexts, symbols)
        {
            return;
        }
        self.decode_blocks(groups, contexts, symbols);
    }

    /// Does the same as [`decode_strip`](Self::decode_strip), without a kernel.
    pub(super) fn decode_blocks(&self, groups: &mut [Group<'_>], contexts: &[u8], symbols: &mut [u8]) {
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
    pub(super) states: [u32; LANES],
    words: &'a [[u8; 2]],
    pub(super) position: usize,
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
    pub(super) fn ahead<const COUNT: usize>(&self) -> Option<&'a [[u8; 2]; COUNT]> {
        self.words.get(self.position..)?.first_chunk()
    }

    /// Returns the next `COUNT` words, with zeros past the last one.
    pub(super) fn ahead_padded<const COUNT: usize>(&self) -> [[u8; 2]; COUNT] {
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
