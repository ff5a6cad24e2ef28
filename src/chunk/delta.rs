//! A chunk as deltas to its base: zigzag differences, binned, the bins coded in contexts.
//!
//! Payload: the context model; for scaled contexts the row and column scales, coded as tokens; the
//! tokens; the raw bits of the bins, to the end.

use super::tokens::{self, TokenReader};
use super::{Effort, Matrix, Scratch, scales};
use crate::bytes::ByteReader;
use crate::delta::context::{CONTEXTS, Model};
use crate::delta::scale::Scales;
use crate::delta::word::{self, Fields, Word};
use crate::entropy::bins::{self, BINS, DIRECT, TOKENS};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::rans::STRIP;
use crate::error::Result;

/// A candidate: a context model, the raw context of each element, and how these cluster.
struct Candidate {
    model: Model,
    raw: Vec<u8>,
    clusters: Clusters,
    bits: u64,
}

/// The elements of a chunk as the coder sees them.
struct Elements {
    deltas: Vec<u64>,
    tokens: Vec<u8>,
    exponents: Vec<u16>,
}

impl Elements {
    fn new<W: Word>(fields: Fields, base: &[u8], target: &[u8]) -> Self {
        let base: Vec<W> = base.chunks_exact(W::BYTES).map(W::load).collect();
        let pairs = base.iter().zip(target.chunks_exact(W::BYTES).map(W::load));
        let deltas: Vec<u64> = match fields {
            Fields::Float { .. } => pairs.map(|(&b, t)| W::float_delta(b, t).widen()).collect(),
            Fields::Integer => pairs.map(|(&b, t)| W::integer_delta(b, t).widen()).collect(),
        };
        let mut exponents = vec![0; base.len()];
        word::exponents(fields, &base, &mut exponents);
        let tokens = deltas.iter().map(|&delta| bins::token(delta).0).collect();
        Self { deltas, tokens, exponents }
    }
}

/// The payload of `target` against `base`, which have the same, positive length.
pub(super) fn encode<W: Word>(fields: Fields, matrix: Matrix, base: &[u8], target: &[u8], effort: Effort) -> Vec<u8> {
    write(fields, matrix, &Elements::new::<W>(fields, base, target), effort)
}

fn write(fields: Fields, matrix: Matrix, elements: &Elements, effort: Effort) -> Vec<u8> {
    let best = choose(fields, matrix, elements, effort);
    let mut payload = Vec::new();
    scales::write(&mut payload, &best.model);
    let map = tokens::table_of(&best.clusters);
    let tables: Vec<u8> = best.raw.iter().map(|&raw| map[usize::from(raw)]).collect();
    tokens::write(&mut payload, &best.clusters, &tables, &elements.tokens);
    let mut extra = BitWriter::default();
    for &delta in elements.deltas.iter().filter(|&&delta| delta >= u64::from(DIRECT)) {
        let (token, width) = bins::token(delta);
        extra.put_wide(delta - BINS[usize::from(token)].0, width);
    }
    payload.extend_from_slice(&extra.finish());
    payload
}

/// The candidate of the smallest estimate.
fn choose(fields: Fields, matrix: Matrix, elements: &Elements, effort: Effort) -> Candidate {
    if fields == Fields::Integer {
        return smaller(candidate(Model::Single, elements), candidate(Model::HighBits, elements));
    }
    let count = elements.deltas.len();
    let highest = u32::from(elements.exponents.iter().copied().max().unwrap_or(0));
    let first = (highest + 1).saturating_sub(CONTEXTS as u32);
    let best = candidate(Model::Exponent { first }, elements);
    if effort == Effort::Fast || matrix.columns < 2 || matrix.columns * 2 > count {
        return best;
    }
    let measured = Scales::measure(&elements.deltas, &elements.exponents, matrix.columns);
    let shifts: &[u32] = if effort == Effort::Max { &[3, 2] } else { &[3] };
    shifts.iter().fold(best, |best, &shift| {
        let model = Model::Scaled(scales::relative(&measured, shift, is_wide(fields)));
        smaller(best, candidate(model, elements))
    })
}

/// Whether exponents can have more than eight bits.
fn is_wide(fields: Fields) -> bool {
    fields == Fields::Float { mantissa: 52 }
}

fn smaller(a: Candidate, b: Candidate) -> Candidate {
    if b.bits < a.bits { b } else { a }
}

fn candidate(model: Model, elements: &Elements) -> Candidate {
    let tokens = &elements.tokens;
    let mut raw = vec![0; tokens.len()];
    model.contexts(&elements.exponents, 0, &mut raw);
    let width = usize::from(tokens.iter().copied().max().unwrap_or(0)) + 1;
    let mut histogram = vec![0u32; CONTEXTS * width];
    for (&raw, &token) in raw.iter().zip(tokens) {
        histogram[usize::from(raw) * width + usize::from(token)] += 1;
    }
    let clusters = cluster(&histogram, width);
    let bits = clusters.bits + scales::cost(&model);
    Candidate { model, raw, clusters, bits }
}

/// Restores `target` from the payload that [`encode`] made of it and `base`.
pub(super) fn decode<W: Word>(
    fields: Fields,
    matrix: Matrix,
    payload: &[u8],
    base: &[u8],
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let count = target.len() / W::BYTES;
    let mut payload = ByteReader::new(payload);
    let model = scales::read(&mut payload, matrix, count, is_wide(fields), scratch)?;
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, count)?;
    let mut extra = BitReader::new(payload.rest());
    let (mut words, mut exponents) = ([W::default(); STRIP], [0; STRIP]);
    let (mut contexts, mut tokens) = ([0; STRIP], [0; STRIP]);
    let strips = base.chunks(STRIP * W::BYTES).zip(target.chunks_mut(STRIP * W::BYTES));
    for (i, (base, target)) in strips.enumerate() {
        let count = target.len() / W::BYTES;
        let (words, contexts, tokens) = (&mut words[..count], &mut contexts[..count], &mut tokens[..count]);
        words.iter_mut().zip(base.chunks_exact(W::BYTES)).for_each(|(word, bytes)| *word = W::load(bytes));
        word::exponents(fields, words, &mut exponents[..count]);
        model.contexts(&exponents[..count], i * STRIP, contexts);
        reader.map(contexts);
        reader.strip(contexts, tokens);
        apply(fields, words, tokens, &mut extra);
        words.iter().zip(target.chunks_exact_mut(W::BYTES)).for_each(|(word, bytes)| word.store(bytes));
    }
    reader.finish()?;
    extra.finish()
}

/// Moves `words` from the base's to the target's.
fn apply<W: Word>(fields: Fields, words: &mut [W], tokens: &[u8], extra: &mut BitReader<'_>) {
    let mut deltas = [W::default(); STRIP];
    let deltas = &mut deltas[..tokens.len()];
    deltas.iter_mut().zip(tokens).for_each(|(delta, &token)| *delta = W::truncate(u64::from(token)));
    // Binned tokens are listed without a branch: which they are is anyone's guess.
    let (mut binned, mut count) = ([0u16; STRIP], 0);
    for (i, &token) in tokens.iter().enumerate() {
        binned[count % STRIP] = i as u16;
        count += usize::from(u32::from(token) >= DIRECT);
    }
    for &i in &binned[..count] {
        let i = usize::from(i) % STRIP;
        let (least, width) = BINS[usize::from(tokens[i])];
        let rest = if W::BITS <= 32 { extra.get(width) } else { extra.get_wide(width) };
        deltas[i] = W::truncate(least.wrapping_add(rest));
    }
    match fields {
        Fields::Float { .. } => words.iter_mut().zip(deltas).for_each(|(w, d)| *w = W::float_apply(*w, *d)),
        Fields::Integer => words.iter_mut().zip(deltas).for_each(|(w, d)| *w = W::integer_apply(*w, *d)),
    }
}

const _: () = assert!(TOKENS <= 256);
