//! A chunk as deltas to its base: zigzag differences, binned, the bins coded in contexts.
//!
//! Payload: the context model; for scaled contexts the row and column scales, coded as tokens; the
//! tokens; the raw bits of the bins, to the end.

use super::tokens::{self, TokenReader};
use super::{Effort, Matrix, Scratch};
use crate::bytes::ByteReader;
use crate::delta::context::{CONTEXTS, Model, Scaled, exponent, exponent_offset};
use crate::delta::scale::Scales;
use crate::delta::word::{Fields, Word};
use crate::entropy::bins::{self, BINS, DIRECT, TOKENS};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::{Clusters, cluster};
use crate::entropy::rans::BLOCK;
use crate::error::Result;

/// A candidate: a context model, the raw context of each element, and how these cluster.
struct Candidate {
    model: Model,
    raw: Vec<u8>,
    clusters: Clusters,
    bits: u64,
}

/// Raw contexts as they are, for the encoder to count.
const IDENTITY: [u8; 128] = {
    let mut map = [0; 128];
    let mut i = 0;
    while i < 128 {
        map[i] = i as u8;
        i += 1;
    }
    map
};

/// Appends the payload of `target` against `base`, which have the same, positive length.
pub(super) fn encode<W: Word>(fields: Fields, matrix: Matrix, base: &[u8], target: &[u8], effort: Effort) -> Vec<u8> {
    let base: Vec<W> = base.chunks_exact(W::BYTES).map(W::load).collect();
    let target = target.chunks_exact(W::BYTES).map(W::load);
    let deltas: Vec<W> = match fields {
        Fields::Float { .. } => base.iter().zip(target).map(|(&b, t)| W::float_delta(b, t)).collect(),
        Fields::Integer => base.iter().zip(target).map(|(&b, t)| W::integer_delta(b, t)).collect(),
    };
    let tokens: Vec<u8> = deltas.iter().map(|d| bins::token(d.widen()).0).collect();
    let best = choose(fields, matrix, &base, &deltas, &tokens, effort);
    let mut payload = Vec::new();
    best.model.write(&mut payload);
    if let Model::Scaled(scaled) = &best.model {
        write_scales(&mut payload, scaled);
    }
    let map = tokens::table_of(&best.clusters);
    let tables: Vec<u8> = best.raw.iter().map(|&raw| map[usize::from(raw)]).collect();
    tokens::write(&mut payload, &best.clusters, &tables, &tokens);
    let mut extra = BitWriter::default();
    for delta in deltas.iter().map(|d| d.widen()).filter(|&d| d >= u64::from(DIRECT)) {
        let (token, width) = bins::token(delta);
        extra.put_wide(delta - BINS[usize::from(token)].0, width);
    }
    payload.extend_from_slice(&extra.finish());
    payload
}

/// The candidate of the smallest estimate.
fn choose<W: Word>(
    fields: Fields,
    matrix: Matrix,
    base: &[W],
    deltas: &[W],
    tokens: &[u8],
    effort: Effort,
) -> Candidate {
    let Fields::Float { mantissa } = fields else {
        let single = candidate(fields, Model::Single, base, tokens);
        return smaller(single, candidate(fields, Model::HighBits, base, tokens));
    };
    let highest = base.iter().map(|&b| exponent(b, mantissa)).max().unwrap_or(0);
    let first = (highest + 1).saturating_sub(CONTEXTS as u32);
    let best = candidate(fields, Model::Exponent { first }, base, tokens);
    if effort == Effort::Fast || matrix.columns < 2 || matrix.columns * 2 > base.len() {
        return best;
    }
    let offset = exponent_offset::<W>();
    let exponents: Vec<u16> = base.iter().map(|&b| (exponent(b, mantissa) + offset) as u16).collect();
    let scales = Scales::measure(deltas, &exponents, matrix.columns);
    let shifts: &[u32] = if effort == Effort::Max { &[3, 2] } else { &[3] };
    shifts.iter().fold(best, |best, &shift| {
        let model = Model::Scaled(scaled(&scales, shift));
        smaller(best, candidate(fields, model, base, tokens))
    })
}

fn smaller(a: Candidate, b: Candidate) -> Candidate {
    if b.bits < a.bits { b } else { a }
}

fn candidate<W: Word>(fields: Fields, model: Model, base: &[W], tokens: &[u8]) -> Candidate {
    let mut raw = vec![0; base.len()];
    for (i, (raw, base)) in raw.chunks_mut(BLOCK).zip(base.chunks(BLOCK)).enumerate() {
        model.contexts(fields, base, i * BLOCK, &IDENTITY, raw);
    }
    let width = usize::from(tokens.iter().copied().max().unwrap_or(0)) + 1;
    let mut histogram = vec![0u32; CONTEXTS * width];
    for (&raw, &token) in raw.iter().zip(tokens) {
        histogram[usize::from(raw) * width + usize::from(token)] += 1;
    }
    let clusters = cluster(&histogram, width);
    let side = match &model {
        Model::Scaled(scaled) => (scaled.rows.len() + scaled.columns.len()) as u64 * SCALE_BITS_ESTIMATE,
        _ => 0,
    };
    let bits = clusters.bits + side;
    Candidate { model, raw, clusters, bits }
}

/// What a row's or column's scale takes when coded, about.
const SCALE_BITS_ESTIMATE: u64 = 5;

/// `scales` relative to their floors, in bytes.
fn scaled(scales: &Scales, shift: u32) -> Scaled {
    let relative = |logarithms: &[i32]| {
        // What did not move at all must not stretch the range.
        let highest = logarithms.iter().copied().max().unwrap_or(0);
        let lowest = logarithms.iter().copied().filter(|&l| l > highest - 160).min().unwrap_or(highest);
        let bytes = logarithms.iter().map(|&l| (l - lowest).clamp(0, 255) as u8).collect();
        (lowest, bytes)
    };
    let (row_floor, rows) = relative(&scales.rows);
    let (column_floor, columns) = relative(&scales.columns);
    Scaled { shift, row_floor, column_floor, rows, columns }
}

fn write_scales(payload: &mut Vec<u8>, scaled: &Scaled) {
    for scales in [&scaled.rows, &scaled.columns] {
        let mut histogram = vec![0; 256];
        scales.iter().for_each(|&scale| histogram[usize::from(scale)] += 1);
        tokens::write(payload, &cluster(&histogram, 256), &vec![0; scales.len()], scales);
    }
}

fn read_scales(payload: &mut ByteReader<'_>, scratch: &mut Scratch, count: usize) -> Result<Vec<u8>> {
    let mut scales = vec![0; count];
    let mut reader = TokenReader::new(payload, &mut scratch.decoder, count)?;
    scales.chunks_mut(BLOCK).for_each(|block| reader.block(&[0; BLOCK][..block.len()], block));
    reader.finish()?;
    Ok(scales)
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
    let mut model = Model::read(&mut payload)?;
    if let Model::Scaled(scaled) = &mut model {
        scaled.rows = read_scales(&mut payload, scratch, count.div_ceil(matrix.columns))?;
        scaled.columns = read_scales(&mut payload, scratch, matrix.columns)?;
    }
    let mut reader = TokenReader::new(&mut payload, &mut scratch.decoder, count)?;
    let mut extra = BitReader::new(payload.rest());
    let (mut words, mut contexts, mut tokens) = ([W::default(); BLOCK], [0; BLOCK], [0; BLOCK]);
    let blocks = base.chunks(BLOCK * W::BYTES).zip(target.chunks_mut(BLOCK * W::BYTES));
    for (i, (base, target)) in blocks.enumerate() {
        let count = target.len() / W::BYTES;
        let (words, contexts, tokens) = (&mut words[..count], &mut contexts[..count], &mut tokens[..count]);
        words.iter_mut().zip(base.chunks_exact(W::BYTES)).for_each(|(word, bytes)| *word = W::load(bytes));
        model.contexts(fields, words, i * BLOCK, &reader.table_of, contexts);
        reader.block(contexts, tokens);
        apply(fields, words, tokens, &mut extra);
        words.iter().zip(target.chunks_exact_mut(W::BYTES)).for_each(|(word, bytes)| word.store(bytes));
    }
    reader.finish()?;
    extra.finish()
}

/// Moves `words` from the base's to the target's.
#[inline]
fn apply<W: Word>(fields: Fields, words: &mut [W], tokens: &[u8], extra: &mut BitReader<'_>) {
    let mut deltas = [W::default(); BLOCK];
    let deltas = &mut deltas[..tokens.len()];
    if tokens.iter().fold(0, |max, &t| max.max(t)) < DIRECT as u8 {
        deltas.iter_mut().zip(tokens).for_each(|(delta, &token)| *delta = W::truncate(u64::from(token)));
    } else {
        for (delta, &token) in deltas.iter_mut().zip(tokens) {
            let (least, width) = BINS[usize::from(token)];
            *delta = W::truncate(least.wrapping_add(extra.get_wide(width)));
        }
    }
    match fields {
        Fields::Float { .. } => words.iter_mut().zip(deltas).for_each(|(w, d)| *w = W::float_apply(*w, *d)),
        Fields::Integer => words.iter_mut().zip(deltas).for_each(|(w, d)| *w = W::integer_apply(*w, *d)),
    }
}

const _: () = assert!(TOKENS <= 256);
