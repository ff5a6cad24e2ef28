//! The encoder: the choice of a context model, and the payload.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod counted;
mod elements;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use super::{Base, Coding, loader, zero_token};
use crate::chunk::{Effort, Matrix, scales, tokens};
use crate::delta::context::Model;
use crate::delta::word::Word;
use crate::entropy::cluster::Clusters;
use crate::entropy::log2::{FRACTION, entropy};
use crate::entropy::rans::STRIP;
use crate::layout::dtype::Fields;
use counted::Counted;
use elements::{Elements, Rest};

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
    if !scaled && Counted::suits::<W>(coding, count) {
        return write_counted(coding, base, target);
    }
    let elements = |zeros| Elements::new(coding, matrix, base, target, scaled, zeros);
    let plain = elements(false);
    let zeroed = plain.rest.zeroed;
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
    let zeros = coding.fields != Fields::Integer && plain.rest.zeroed >= FEW;
    let elements = if zeros { elements(true) } else { plain };
    let (counts, width) = elements.histogram(&elements.rest.exponent_model(), 1, None);
    let coded: u64 = counts.chunks_exact(width).map(entropy).sum();
    (coded >> FRACTION) + elements.rest.extra.length()
}

/// Chooses a context model and returns the payload of `elements`.
fn write(coding: Coding<'_>, elements: Elements, effort: Effort) -> Vec<u8> {
    let best = choose(coding, &elements, effort);
    let map = tokens::table_of(&best.clusters);
    let mut tables = best.raw;
    map.map(&mut tables);
    payload(&best.model, (&best.clusters, &tables, &elements.tokens), elements.rest)
}

/// Returns the payload of a chunk that is [`Counted`].
fn write_counted<W: Word>(coding: Coding<'_>, base: &Base<'_, W>, target: &[u8]) -> Vec<u8> {
    let mut counted = Counted::new(coding, base, target, false);
    if counted.rest.zeroed >= FEW {
        counted = Counted::new(coding, base, target, true);
    }
    payload(&counted.model, (&counted.clusters, &counted.tables, &counted.tokens), counted.rest)
}

/// Returns the payload of these tokens, given the numbers of their tables.
fn payload(model: &Model, (clusters, tables, tokens): (&Clusters, &[u8], &[u8]), rest: Rest) -> Vec<u8> {
    let mut payload = Vec::new();
    scales::write(&mut payload, model);
    tokens::write(&mut payload, clusters, tables, tokens);
    payload.extend_from_slice(&rest.extra.finish());
    payload
}

/// Returns the candidate with the smallest estimated size of all models that `effort` allows.
fn choose(coding: Coding<'_>, elements: &Elements, effort: Effort) -> Candidate {
    if !coding.has_exponents() {
        return smallest(vec![Model::Single, Model::HighBits], elements);
    }
    let mut models = vec![elements.rest.exponent_model()];
    if let Some(scales) = &elements.rest.scales {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk that is counted has the payload of one that is not.
    fn payloads_agree<W: Word>(mantissa: u32) {
        let coding = Coding { fields: Fields::Float { mantissa }, blocks: None };
        for (zeroed, moved) in [(0, 9), (FEW, 90), (5000, 1)] {
            let mut seed = mantissa as u64;
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed >> 16
            };
            let words: Vec<u64> = (0..SAMPLED + 77).map(|_| next() | 1).collect();
            let change = |i: usize, word: u64| match i % 100 {
                _ if i < zeroed => 0,
                place if place < moved => word.wrapping_add(1 << (i % 20)),
                _ => word,
            };
            let bytes =
                |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()[..W::BYTES].to_vec()).collect::<Vec<u8>>();
            let target: Vec<u64> = words.iter().enumerate().map(|(i, &word)| change(i, word)).collect();
            let (base, target) = (bytes(&words), bytes(&target));
            let base = &Base { fill: &loader::<W>(&base), bytes: &base };
            assert!(Counted::suits::<W>(coding, words.len()));
            let elements = Elements::new(coding, Matrix { columns: 7 }, base, &target, false, zeroed >= FEW);
            assert!(
                write_counted(coding, base, &target) == write(coding, elements, Effort::Fast),
                "{mantissa}, {zeroed}"
            );
        }
    }

    #[test]
    fn counted_chunks_have_the_same_payload() {
        payloads_agree::<u8>(3);
        payloads_agree::<u16>(7);
        payloads_agree::<u16>(10);
        payloads_agree::<u32>(23);
    }
}
