//! The encoder: the choice of a context model, and the payload.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod elements;

use super::{Base, Coding, loader, zero_token};
use crate::chunk::{Effort, Matrix, scales, tokens};
use crate::delta::context::Model;
use crate::delta::word::Word;
use crate::entropy::cluster::Clusters;
use crate::entropy::log2::{FRACTION, entropy};
use crate::entropy::rans::STRIP;
use crate::layout::dtype::Fields;
use elements::Elements;

/// Number of words that became 0 from which on their token is used.
const FEW: usize = 64;

/// Integers are coded with and without the token of zeros where one word in this many became 0: for
/// them, a difference often says as much.
const TRY_ZEROS: usize = 16;

/// A context model, the raw context of each element, and the clusters of these contexts.
struct Candidate {
    model: Model,
    raw: Vec<u8>,
    clusters: Clusters,
}

/// Calls [`encode`] for words of `width` bytes that have their own exponents.
pub(in crate::chunk) fn encode_any(
    (width, fields): (usize, Fields),
    matrix: Matrix,
    base: &[u8],
    target: &[u8],
    effort: Effort,
) -> Vec<u8> {
    let coding = Coding { fields, blocks: None };
    for_width!(width, self::encode(coding, matrix, base, target, effort))
}

/// Encodes `target` against `base` and returns the payload. Both have the same length, above 0.
pub(in crate::chunk) fn encode<W: Word>(
    coding: Coding<'_>,
    matrix: Matrix,
    base: &[u8],
    target: &[u8],
    effort: Effort,
) -> Vec<u8> {
    encode_moved(coding, matrix, &Base { fill: &loader::<W>(base), bytes: base }, target, effort)
}

/// Does the same as [`encode`], for a base that need not be in memory.
pub(in crate::chunk) fn encode_moved<W: Word>(
    coding: Coding<'_>,
    matrix: Matrix,
    base: &Base<'_, W>,
    target: &[u8],
    effort: Effort,
) -> Vec<u8> {
    let count = target.len() / W::BYTES;
    let matrix_like = matrix.columns > 1 && matrix.columns * 2 <= count;
    let scaled = coding.has_exponents() && effort != Effort::Fast && matrix_like;
    let elements = |zeros| Elements::new(coding, matrix, base, target, scaled, zeros);
    let plain = elements(false);
    let zeroed = plain.zeroed;
    if coding.fields != Fields::Integer {
        return write(coding, if zeroed >= FEW { elements(true) } else { plain }, effort);
    }
    let plain = write(coding, plain, effort);
    let other = (zeroed >= FEW.max(count / TRY_ZEROS)).then(|| write(coding, elements(true), effort));
    other.filter(|other| other.len() < plain.len()).unwrap_or(plain)
}

/// Calls [`estimate`] for words of `width` bytes.
pub(in crate::chunk) fn estimate_any((width, fields): (usize, Fields), base: &[u8], target: &[u8]) -> u64 {
    let coding = Coding { fields, blocks: None };
    for_width!(width, self::estimate(coding, base, target))
}

/// Returns the estimated bits of the deltas with the base's exponents as contexts, without the
/// frequency tables.
fn estimate<W: Word>(coding: Coding<'_>, base: &[u8], target: &[u8]) -> u64 {
    let base = &Base { fill: &loader::<W>(base), bytes: base };
    let elements = |zeros| Elements::new(coding, Matrix { columns: 1 }, base, target, false, zeros);
    let plain = elements(false);
    let zeros = coding.fields != Fields::Integer && plain.zeroed >= FEW;
    let elements = if zeros { elements(true) } else { plain };
    let (counts, width) = elements.histogram(&elements.exponent_model(), 1, None);
    let coded: u64 = counts.chunks_exact(width).map(entropy).sum();
    (coded >> FRACTION) + elements.extra.length()
}

/// Chooses a context model and returns the payload of `elements`.
fn write(coding: Coding<'_>, elements: Elements, effort: Effort) -> Vec<u8> {
    let best = choose(coding, &elements, effort);
    let mut payload = Vec::new();
    scales::write(&mut payload, &best.model);
    let map = tokens::table_of(&best.clusters);
    let mut tables = best.raw;
    map.map(&mut tables);
    tokens::write(&mut payload, &best.clusters, &tables, &elements.tokens);
    payload.extend_from_slice(&elements.extra.finish());
    payload
}

/// Returns the candidate with the smallest estimated size of all models that `effort` allows.
fn choose(coding: Coding<'_>, elements: &Elements, effort: Effort) -> Candidate {
    if !coding.has_exponents() {
        return smallest(vec![Model::Single, Model::HighBits], elements);
    }
    let mut models = vec![elements.exponent_model()];
    if let Some(scales) = &elements.scales {
        let shifts: &[u32] = if effort == Effort::Max { &[3, 2] } else { &[3] };
        models.extend(shifts.iter().map(|&shift| Model::Scaled(scales::relative(scales, shift, coding.unit()))));
    }
    smallest(models, elements)
}

/// Returns the candidate of the model with the smallest estimate. Large chunks are estimated from a
/// sample of their strips.
fn smallest(mut models: Vec<Model>, elements: &Elements) -> Candidate {
    let every = if elements.tokens.len() >= SAMPLED { SAMPLE_EVERY } else { 1 };
    let mut least = (u64::MAX, 0);
    if models.len() > 1 {
        for (i, model) in models.iter().enumerate() {
            let clusters = elements.clusters(model, every, None);
            least = least.min((clusters.bits * every as u64 + scales::cost(model), i));
        }
    }
    let model = models.swap_remove(least.1);
    let mut raw = Vec::with_capacity(elements.tokens.len());
    let clusters = elements.clusters(&model, 1, Some(&mut raw));
    Candidate { model, raw, clusters }
}

/// The number of elements from which on models are compared by a sample.
const SAMPLED: usize = 32 * STRIP;

/// A sample holds one of this many strips.
const SAMPLE_EVERY: usize = 8;
