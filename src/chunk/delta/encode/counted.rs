//! Large chunks of floats that have a single context model: their tokens are counted by the
//! exponent of the base while they are made, and read once more only, when they are coded.

use super::elements::{Counter, Rest, read};
use super::{Base, Coding, zero_token};
use crate::chunk::tokens;
use crate::delta::context::{CONTEXTS, Model};
use crate::delta::word::Word;
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::rans::STRIP;
use crate::layout::dtype::Fields;

/// The number of exponents that fit into a byte.
const EXPONENTS: usize = 256;

/// The tokens of a chunk, and the numbers of their tables.
pub(super) struct Counted {
    pub(super) tokens: Vec<u8>,
    pub(super) tables: Vec<u8>,
    pub(super) clusters: Clusters,
    pub(super) model: Model,
    pub(super) rest: Rest,
}

impl Counted {
    /// Returns true if the exponents of the words fit into a byte, and there are enough of them for
    /// a large counter.
    pub(super) fn suits<W: Word>(coding: Coding<'_>, count: usize) -> bool {
        let is_float = matches!(coding.fields, Fields::Float { mantissa } if W::BITS - 1 - mantissa <= 8);
        is_float && coding.blocks.is_none() && count >= super::SAMPLED
    }

    /// Reads a chunk. `zeros` asks for the token of words that became 0.
    pub(super) fn new<W: Word>(coding: Coding<'_>, base: &Base<'_, W>, target: &[u8], zeros: bool) -> Self {
        let count = target.len() / W::BYTES;
        let (mut tokens, mut exponents) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut counter = Counter::new(EXPONENTS, zero_token::<W>() + 1);
        let mut narrow = [0; STRIP];
        let rest = read(coding, (base, target), None, zeros, &mut |own_tokens, own_exponents| {
            let narrow = &mut narrow[..own_exponents.len()];
            narrow.iter_mut().zip(own_exponents).for_each(|(narrow, &exponent)| *narrow = exponent as u8);
            counter.add(narrow, own_tokens);
            tokens.extend_from_slice(own_tokens);
            exponents.extend_from_slice(narrow);
        });
        let model = rest.exponent_model();
        let first = if let Model::Exponent { first } = &model { *first as u8 } else { 0 };
        let clusters = clusters(&counter, usize::from(rest.highest_token) + 1, first);
        let table_of = tokens::table_of(&clusters);
        for strip in exponents.chunks_mut(STRIP) {
            strip.iter_mut().for_each(|exponent| *exponent = context(*exponent, first));
            table_of.map(strip);
        }
        Self { tokens, tables: exponents, clusters, model, rest }
    }
}

/// Returns the context of a word whose base has this exponent.
fn context(exponent: u8, first: u8) -> u8 {
    exponent.saturating_sub(first).min(CONTEXTS as u8 - 1)
}

/// Clusters the contexts, given the counts of the tokens below `width` for each exponent.
fn clusters(counter: &Counter, width: usize, first: u8) -> Clusters {
    let mut counts = vec![0; CONTEXTS * width];
    for exponent in 0..EXPONENTS {
        let place = usize::from(context(exponent as u8, first)) * width;
        counts[place..place + width].iter_mut().zip(counter.counts_of(exponent, width)).for_each(|(a, b)| *a += b);
    }
    cluster(&counts, width)
}
