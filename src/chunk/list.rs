//! Lists of small numbers in contexts: each is a token and, from 32 on, raw bits.

use super::Scratch;
use super::tokens::{self, TokenReader};
use crate::bytes::{ByteReader, put_prefixed};
use crate::delta::context::CONTEXTS;
use crate::entropy::bins::{self, BINS, DIRECT};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::rans::STRIP;
use crate::error::{Error, Result};

/// Symbols of numbers of 16 bits.
const WIDTH: u32 = 16;

/// The mark of a list whose numbers are all the same, which the next byte states.
const CONSTANT: u8 = 0;

/// The mark of a list of coded tokens.
const CODED: u8 = 1;

/// A list of numbers with their contexts, which are below [`CONTEXTS`].
pub(super) struct List {
    contexts: Vec<u8>,
    numbers: Vec<u16>,
    tokens: Vec<u8>,
    clusters: Clusters,
}

impl List {
    /// Creates a list; both arguments have the same length.
    pub(super) fn new(numbers: Vec<u16>, contexts: Vec<u8>) -> Self {
        let tokens = tokens_of(&numbers);
        let histogram = Histogram::new(&contexts, &tokens);
        Self { contexts, numbers, tokens, clusters: histogram.cluster() }
    }

    /// Creates a list with these contexts, or with the contexts without their `low` bits if it takes
    /// no more bits; then the second result is true.
    pub(super) fn with_or_without(numbers: Vec<u16>, mut contexts: Vec<u8>, low: u32) -> (Self, bool) {
        let tokens = tokens_of(&numbers);
        let histogram = Histogram::new(&contexts, &tokens);
        let (with, without) = (histogram.cluster(), histogram.without(low).cluster());
        let shorter = without.bits <= with.bits;
        if shorter {
            contexts.iter_mut().for_each(|context| *context >>= low);
        }
        (Self { contexts, numbers, tokens, clusters: if shorter { without } else { with } }, shorter)
    }

    /// The estimated bits of the tokens and their tables.
    pub(super) fn bits(&self) -> u64 {
        self.clusters.bits
    }

    /// Appends the list to `payload`; an empty one takes no bytes.
    pub(super) fn write(mut self, payload: &mut Vec<u8>) {
        let Some(&first) = self.tokens.first() else { return };
        if u32::from(first) < DIRECT && self.tokens.iter().all(|&token| token == first) {
            payload.extend([CONSTANT, first]);
            return;
        }
        payload.push(CODED);
        tokens::table_of(&self.clusters).map(&mut self.contexts);
        tokens::write(payload, &self.clusters, &self.contexts, &self.tokens);
        let mut extra = BitWriter::default();
        bins::for_each_binned(&self.tokens, |i| {
            let (least, width) = BINS[usize::from(self.tokens[i])];
            extra.put(u32::from(self.numbers[i]) - least as u32, width);
        });
        put_prefixed(payload, &extra.finish());
    }
}

fn tokens_of(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().map(|&number| bins::token_narrow(number.into())).collect()
}

/// The counts of the tokens in each context.
struct Histogram {
    counts: Vec<u32>,
    /// Tokens of a context.
    width: usize,
}

impl Histogram {
    /// Counts successive tokens in two tables, since a count waits for the one before it.
    fn new(contexts: &[u8], tokens: &[u8]) -> Self {
        let width = usize::from(tokens.iter().copied().max().unwrap_or(0)) + 1;
        let [mut counts, mut others] = [vec![0; CONTEXTS * width], vec![0; CONTEXTS * width]];
        let place = |context: u8, token: u8| usize::from(context) * width + usize::from(token);
        let (contexts, last_context) = contexts.as_chunks();
        let (tokens, last_token) = tokens.as_chunks();
        for (&[context, other_context], &[token, other_token]) in contexts.iter().zip(tokens) {
            counts[place(context, token)] += 1;
            others[place(other_context, other_token)] += 1;
        }
        last_context.iter().zip(last_token).for_each(|(&context, &token)| counts[place(context, token)] += 1);
        counts.iter_mut().zip(others).for_each(|(count, other)| *count += other);
        Self { counts, width }
    }

    /// The counts in contexts that lack their `low` bits.
    fn without(&self, low: u32) -> Self {
        let mut counts = vec![0; self.counts.len()];
        for (context, own) in self.counts.chunks_exact(self.width).enumerate() {
            let sums = &mut counts[(context >> low) * self.width..];
            sums.iter_mut().zip(own).for_each(|(sum, count)| *sum += count);
        }
        Self { counts, width: self.width }
    }

    fn cluster(&self) -> Clusters {
        cluster(&self.counts, self.width)
    }
}

/// Reads the list that [`List::write`] wrote with these contexts.
pub(super) fn read(payload: &mut ByteReader<'_>, mut contexts: Vec<u8>, scratch: &mut Scratch) -> Result<Vec<u16>> {
    if contexts.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(payload, scratch)?;
    let mut numbers = vec![0; contexts.len()];
    contexts.chunks_mut(STRIP).zip(numbers.chunks_mut(STRIP)).for_each(|(strip, numbers)| reader.strip(strip, numbers));
    reader.finish()?;
    Ok(numbers)
}

/// A reader of the numbers of a list that is not empty, strip by strip.
pub(super) enum Reader<'d, 'b> {
    /// All numbers are this one.
    Constant(u16),
    Coded(Box<TokenReader<'d, 'b>>, BitReader<'b>),
}

impl<'d, 'b> Reader<'d, 'b> {
    pub(super) fn new(payload: &mut ByteReader<'b>, scratch: &'d mut Scratch) -> Result<Self> {
        match payload.u8()? {
            CONSTANT => match payload.u8()? {
                number if u32::from(number) < DIRECT => Ok(Self::Constant(number.into())),
                number => {
                    let expected = format_args!("below {DIRECT}").to_string();
                    Err(Error::corrupt("a list's constant is too large").figures(expected, number))
                }
            },
            CODED => {
                let reader = TokenReader::new(payload, &mut scratch.decoder, bins::tokens(WIDTH))?;
                Ok(Self::Coded(Box::new(reader), BitReader::new(payload.prefixed()?)))
            }
            other => Err(Error::unsupported(format!("lists of kind {other} are unknown"))),
        }
    }

    /// Reads the numbers of the next strip, whose `contexts` are not kept. Every strip but the last
    /// must be full.
    pub(super) fn strip(&mut self, contexts: &mut [u8], numbers: &mut [u16]) {
        let (reader, extra) = match self {
            Self::Constant(number) => return numbers.fill(*number),
            Self::Coded(reader, extra) => (reader, extra),
        };
        let mut tokens = [0; STRIP];
        let tokens = &mut tokens[..numbers.len()];
        reader.strip(contexts, tokens);
        numbers.iter_mut().zip(&*tokens).for_each(|(number, &token)| *number = token.into());
        bins::for_each_binned(tokens, |i| {
            let (least, width) = BINS[usize::from(tokens[i])];
            numbers[i] = (least + extra.get_any(width)) as u16;
        });
    }

    /// Checks that the list ended where its encoder began.
    pub(super) fn finish(self) -> Result<()> {
        let Self::Coded(reader, extra) = self else { return Ok(()) };
        reader.finish()?;
        extra.finish()
    }
}
