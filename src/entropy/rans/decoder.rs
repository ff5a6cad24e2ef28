//! The portable decoder, and the state that it shares with the [kernels](super::kernels).

use super::{LANES, LOW, ROW, Shape, WORDS, kernels};
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
    /// The frequency of symbol 0 in each table, if there are few tables and it is the usual symbol.
    pub(super) zeros: Option<[u32; LANES]>,
}

impl Default for Decoder {
    fn default() -> Self {
        let slots = vec![0; SLOTS].into_boxed_slice();
        Self { slots: slots.try_into().unwrap_or_else(|_| unreachable!("SLOTS long")), zeros: None }
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
        self.zeros = usual_zeros(tables);
    }

    /// Decodes the next strip. `contexts` holds the number of each symbol's table.
    pub(crate) fn decode_strip(
        &self,
        shape: Shape,
        groups: &mut [Group<'_>],
        mut contexts: &[u8],
        mut symbols: &mut [u8],
    ) {
        if let Ok(groups) = groups.try_into()
            && let Some(kernel) = kernels::fastest()
        {
            let whole = contexts.len() - contexts.len() % ROW;
            let (rows, rest) = symbols.split_at_mut(whole);
            kernels::decode_rows(kernel, self, groups, &contexts[..whole], rows);
            (contexts, symbols) = (&contexts[whole..], rest);
        }
        self.decode_rows(shape, groups, contexts, symbols);
    }

    /// Does the same as [`decode_strip`](Self::decode_strip), without a kernel.
    pub(super) fn decode_rows(&self, shape: Shape, groups: &mut [Group<'_>], contexts: &[u8], symbols: &mut [u8]) {
        for (contexts, symbols) in contexts.chunks(shape.row()).zip(symbols.chunks_mut(shape.row())) {
            let parts = contexts.chunks(shape.lanes).zip(symbols.chunks_mut(shape.lanes));
            for (group, (contexts, symbols)) in groups.iter_mut().zip(parts) {
                for (lane, (&context, symbol)) in contexts.iter().zip(symbols).enumerate() {
                    *symbol = self.step(group, lane, context);
                }
            }
        }
    }

    /// Decodes the next symbol of a lane.
    #[inline(always)]
    fn step(&self, group: &mut Group<'_>, lane: usize, context: u8) -> u8 {
        let x = group.states[lane % LANES];
        let slot = usize::from(context) << SCALE_BITS | (x & (SCALE - 1)) as usize;
        let entry = self.slots[slot % SLOTS];
        let x = (entry >> 8 & 0xfff).wrapping_mul(x >> SCALE_BITS).wrapping_add(entry >> 20);
        let word = u32::from(u16::from_le_bytes(group.words.get(group.position).copied().unwrap_or([0; 2])));
        let short = x < LOW;
        group.position += usize::from(short);
        group.states[lane % LANES] = if short { x << 16 | word } else { x };
        entry as u8
    }
}

/// Returns the frequency of symbol 0 in each table, if there are at most [`LANES`] tables and it is
/// the symbol of seven in eight slots, on average over the tables that have several symbols.
fn usual_zeros(tables: &[FrequencyTable]) -> Option<[u32; LANES]> {
    let mut zeros = [0; LANES];
    for (i, table) in tables.iter().enumerate() {
        *zeros.get_mut(i)? = u32::from(table.frequencies()[0]);
    }
    let open = || tables.iter().zip(zeros).filter(|(table, _)| table.certain().is_none());
    let usual = open().map(|(_, zero)| zero).sum::<u32>();
    (usual >= SCALE / 8 * 7 * open().count() as u32).then_some(zeros)
}

/// The most words that a kernel loads from a group's stream for a strip.
const AHEAD: usize = WORDS + kernels::BEYOND;

/// The decoding state of a group: its lanes, and its place in its stream.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(super) states: [u32; LANES],
    words: &'a [[u8; 2]],
    pub(super) position: usize,
    /// The last words, and [`AHEAD`] zeros: empty until a kernel needs them.
    tail: Vec<[u8; 2]>,
}

impl<'a> Group<'a> {
    /// Reads a group of a list of this shape from `stream`, which holds its words and then its
    /// states.
    ///
    /// # Errors
    /// `Corrupt` for a stream that is too short or not a whole number of words, or whose states are
    /// out of range.
    pub(crate) fn new(shape: Shape, stream: &'a [u8]) -> Result<Self> {
        let bad = || {
            let (expected, found) =
                (format!("words and {} valid states", shape.lanes), format!("{} bytes", stream.len()));
            Error::corrupt("a stream of symbols is damaged").figures(expected, found)
        };
        let words = stream.len().checked_sub(shape.lanes * 4).ok_or_else(bad)?;
        let (words, tail) = stream.split_at(words);
        let (words, []) = words.as_chunks::<2>() else { return Err(bad()) };
        let mut states = [LOW; LANES];
        for (state, bytes) in states.iter_mut().zip(tail.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
            if !(LOW..1 << 31).contains(state) {
                return Err(bad());
            }
        }
        Ok(Self { states, words, position: 0, tail: Vec::new() })
    }

    /// Returns `count` words from the next one on, at most [`AHEAD`]. Words past the last one are
    /// zeros.
    pub(super) fn ahead(&mut self, count: usize) -> &[[u8; 2]] {
        let end = self.words.len();
        if let Some(words) = self.words.get(self.position..).and_then(|words| words.get(..count)) {
            return words;
        }
        let start = end.saturating_sub(AHEAD);
        if self.tail.is_empty() {
            self.tail.extend_from_slice(&self.words[start..]);
            self.tail.resize(self.tail.len() + AHEAD, [0; 2]);
        }
        // A damaged stream may have been left: it continues with zeros.
        let place = self.position.min(end).max(start) - start;
        &self.tail[place..place + count]
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
