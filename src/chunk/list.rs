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
        let tokens: Vec<u8> = numbers.iter().map(|&number| bins::token(u64::from(number))).collect();
        let width = usize::from(tokens.iter().copied().max().unwrap_or(0)) + 1;
        let mut histogram = vec![0; CONTEXTS * width];
        for (&context, &token) in contexts.iter().zip(&tokens) {
            histogram[usize::from(context) * width + usize::from(token)] += 1;
        }
        Self { contexts, numbers, tokens, clusters: cluster(&histogram, width) }
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
        for (&number, &token) in self.numbers.iter().zip(&self.tokens) {
            let (least, width) = BINS[usize::from(token)];
            extra.put(u32::from(number) - least as u32, width);
        }
        put_prefixed(payload, &extra.finish());
    }
}

/// Reads the list that [`List::write`] wrote with these contexts.
pub(super) fn read(payload: &mut ByteReader<'_>, mut contexts: Vec<u8>, scratch: &mut Scratch) -> Result<Vec<u16>> {
    if contexts.is_empty() {
        return Ok(Vec::new());
    }
    match payload.u8()? {
        CONSTANT => {
            let number = payload.u8()?;
            if u32::from(number) >= DIRECT {
                return Err(
                    Error::corrupt("a list's constant is too large").figures(format_args!("below {DIRECT}"), number)
                );
            }
            Ok(vec![number.into(); contexts.len()])
        }
        CODED => {
            let mut reader = TokenReader::new(payload, &mut scratch.decoder, bins::tokens(WIDTH))?;
            let mut extra = BitReader::new(payload.prefixed()?);
            let mut numbers = Vec::with_capacity(contexts.len());
            let mut tokens = [0; STRIP];
            for contexts in contexts.chunks_mut(STRIP) {
                let tokens = &mut tokens[..contexts.len()];
                reader.strip(contexts, tokens);
                numbers.extend(tokens.iter().map(|&token| {
                    let (least, width) = BINS[usize::from(token)];
                    (least + extra.get_any(width)) as u16
                }));
            }
            reader.finish()?;
            extra.finish()?;
            Ok(numbers)
        }
        other => Err(Error::unsupported(format!("lists of kind {other} are unknown"))),
    }
}
