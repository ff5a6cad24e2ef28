//! A chunk as deltas to its base: zigzag differences are binned, and the bins are entropy coded in
//! contexts.
//!
//! The payload holds the context model, for scaled contexts the scales of rows and columns as
//! tokens, then the tokens of the deltas, and to its end the raw bits of the bins.
//!
//! The token behind those of the bins is a word that became 0, whatever its base: pruned weights
//! have no difference worth coding.

mod decode;
mod encode;

pub(super) use decode::{decode, decode_alone_any, decode_any, decode_moved};
pub(super) use encode::{encode, encode_any, encode_moved, estimate_any};

use crate::delta::context::Unit;
use crate::delta::prefetch::prefetch;
use crate::delta::word::{self, Word};
use crate::entropy::bins::{self, TOKENS};
use crate::entropy::rans::STRIP;
use crate::layout::dtype::Fields;

/// The fields of a chunk's words, and the source of the exponents that tell the size of their
/// steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding<'a> {
    pub(super) fields: Fields,
    /// The exponent of each run of [`BLOCK_WORDS`] words, in quarters of an octave (the low two
    /// bits are the top two of a mantissa). It replaces the exponents that the words themselves
    /// have.
    pub(super) blocks: Option<&'a [u16]>,
}

/// Returns the token of a word that became 0.
fn zero_token<W: Word>() -> usize {
    bins::tokens(W::BITS)
}

/// The words of a base, which need not be in memory.
pub(super) struct Base<'a, W> {
    /// A function that fills words from the word of the given number on.
    pub(super) fill: &'a dyn Fn(usize, &mut [W]),
    /// The bytes that the words are made of; none where they are made of nothing.
    pub(super) bytes: &'a [u8],
}

impl<W: Word> Base<'_, W> {
    /// Asks for a [part](prefetch()) of the bytes of the strip that starts with word `start`.
    fn prefetch(&self, start: usize, part: usize) {
        prefetch(self.bytes.get(start * W::BYTES..).unwrap_or_default(), STRIP * W::BYTES, part);
    }
}

/// Returns a function that fills words of `base` from the word of the given number on.
fn loader<W: Word>(base: &[u8]) -> impl Fn(usize, &mut [W]) {
    |start, words| {
        let start = start * W::BYTES;
        word::load(&base[start..start + size_of_val(words)], words);
    }
}

/// Words that share an exponent of [`Coding::blocks`]. A full strip is a whole number of such runs.
pub(super) const BLOCK_WORDS: usize = 32;

impl Coding<'_> {
    /// Returns true if the size of a step differs from word to word.
    fn has_exponents(&self) -> bool {
        self.fields != Fields::Integer || self.blocks.is_some()
    }

    /// Returns the unit of the exponents.
    fn unit(&self) -> Unit {
        match (self.blocks, self.fields) {
            (Some(_), _) => Unit::Quarter,
            (None, Fields::Float { mantissa: 52 }) => Unit::WideOctave,
            _ => Unit::Octave,
        }
    }

    /// Writes the exponents of `words`, of which the first is word `start` of the chunk.
    #[inline(always)]
    fn exponents<W: Word>(&self, words: &[W], start: usize, exponents: &mut [u16]) {
        let Some(blocks) = self.blocks else { return word::exponents(self.fields, words, exponents) };
        let runs = exponents.chunks_mut(BLOCK_WORDS).zip(&blocks[start / BLOCK_WORDS..]);
        runs.for_each(|(run, &exponent)| run.fill(exponent));
    }
}

const _: () = assert!(TOKENS < 256);
