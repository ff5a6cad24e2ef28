//! The choice of a chunk's method: the one with the smallest payload of those that the effort
//! allows.

use super::{Effort, Ground, Matrix, Method, Side, is_integer};
use super::{blocks, delta, grid, narrow, nibbles, palette, patch, predicted, repeats, solo, sparse};
use crate::entropy::zstd;
use crate::error::Result;
use crate::layout::Dtype;
use crate::layout::dtype::Fields;
use crate::predict::fit::Fit;
use crate::quant::{BlockFormat, format_of};
use crate::view::Relation;

/// The inputs of an encoder besides the chunk's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Against<'a> {
    /// The base range of the chunk. Its length is the chunk's, if they are related as words.
    pub(crate) base: Option<&'a [u8]>,
    /// The relation of the base range to the chunk.
    pub(crate) relation: Relation,
    /// The prediction of the chunk's region.
    pub(crate) fit: Option<&'a Fit>,
    /// The tiles of packed numbers.
    pub(crate) side: Option<&'a Side>,
}

/// The smallest payload so far.
struct Best<'a> {
    target: &'a [u8],
    found: Option<(Method, Vec<u8>)>,
}

impl<'a> Best<'a> {
    fn new(target: &'a [u8]) -> Self {
        Self { target, found: None }
    }

    /// Returns the length that a payload must not reach.
    fn limit(&self) -> usize {
        self.found.as_ref().map_or(self.target.len(), |(_, payload)| payload.len())
    }

    fn offer(&mut self, method: Method, payload: Vec<u8>) {
        if payload.len() < self.limit() {
            self.found = Some((method, payload));
        }
    }

    /// Returns true while the payload takes more than half of the chunk's bytes.
    fn is_weak(&self) -> bool {
        self.limit() * 2 > self.target.len()
    }

    fn finish(self) -> (Method, Vec<u8>) {
        self.found.unwrap_or_else(|| (Method::Stored, self.target.to_vec()))
    }
}

/// Encodes `target` and returns the method with the smallest payload, and that payload.
///
/// A payload is never longer than `target`. The candidates depend on `effort`; most weaker methods
/// are skipped once a payload takes at most half of the chunk's bytes.
pub(crate) fn encode(
    dtype: Dtype,
    matrix: Matrix,
    against: Against<'_>,
    target: &[u8],
    effort: Effort,
) -> Result<(Method, Vec<u8>)> {
    let mut best = Best::new(target);
    if let Some(weights) = against.base.filter(|_| is_made_from_weights(against.relation, dtype)) {
        match (against.relation, against.side) {
            (Relation::Weights, _) => {
                best.offer(Method::Grid, grid::integers::encode(dtype, matrix, weights, target));
            }
            (_, Some(side)) => best.offer(Method::Grid, grid::packed::encode(side, Ground::Weights(weights), target)),
            (_, None) => {}
        }
        if effort == Effort::Max || best.is_weak() {
            let (method, alone) = encode(dtype, matrix, Against::default(), target, effort)?;
            best.offer(method, alone);
        }
        return Ok(best.finish());
    }
    let resembling = against.base;
    let against = if against.relation == Relation::Bytes { Against::default() } else { against };
    if !target.is_empty()
        && against.base != Some(target)
        && let Some(payload) = narrow::encode(dtype, matrix, against, target, effort)?
    {
        best.offer(Method::Narrow, payload);
    }
    if effort == Effort::Max || best.is_weak() {
        let (method, payload) = encode_plain(dtype, matrix, against, target, effort)?;
        best.offer(method, payload);
    }
    // Words that equal the base's are a copy. Bytes that equal all of those that they resemble are
    // a patch, as other ones are.
    if against.base != Some(target) && is_patchable(&best, dtype, resembling, effort) {
        // A deeper search finds more copies, but may end with a worse choice of them.
        let efforts = [Effort::Default, effort];
        let efforts = if effort == Effort::Max { &efforts[..] } else { &efforts[1..] };
        efforts.iter().for_each(|&effort| offer_copies(&mut best, resembling, effort));
    }
    Ok(best.finish())
}

/// Offers copies from the base, or from the target alone. A frame of zstd has tables for every 128
/// KiB, a patch fewer bits for what its tables know.
fn offer_copies(best: &mut Best<'_>, base: Option<&[u8]>, effort: Effort) {
    if let Some(base) = base {
        best.offer(Method::Patch, patch::encode(base, best.target, effort));
    }
    if base.is_none_or(|base| effort == Effort::Max && !repeats::shared(base, best.target)) {
        let (patch, frame) = patch::encode_alone(best.target, effort);
        best.offer(Method::Patch, patch);
        best.offer(Method::Zstd, frame);
    }
}

/// Returns true if a base range of this relation has the weights that integers stand for.
fn is_made_from_weights(relation: Relation, dtype: Dtype) -> bool {
    relation == Relation::Numbers || relation == Relation::Weights && is_integer(dtype)
}

/// Returns true if a patch is worth its time. Bytes are patched where they are like the base's, or
/// where a glance or a sample finds that they repeat themselves, and words where zstd made them the
/// smallest, but no packed numbers that their grid makes small: equal stretches cost it nothing. At
/// `max`, words are patched too that no other method makes small, or that zstd makes nearly as small.
fn is_patchable(best: &Best<'_>, dtype: Dtype, base: Option<&[u8]>, effort: Effort) -> bool {
    let target = best.target;
    if target.is_empty() || dtype.is_scaled() {
        return false;
    }
    let bytes = dtype.words() == (1, Fields::Integer);
    let repeats = matches!(&best.found, Some((Method::Zstd, frame)) if frame.len() * 4 < target.len() * 3);
    let alike = || base.is_some_and(|base| repeats::shared(base, target));
    let gridded = matches!(&best.found, Some((Method::Grid, payload)) if payload.len() * SMALL < target.len());
    if gridded && effort != Effort::Max {
        return false;
    }
    match effort {
        Effort::Fast => bytes && alike(),
        Effort::Default => {
            let pays = || patch::pays(target, best.limit()) || repeats::repeat(target, 1);
            repeats || bytes && (alike() || pays())
        }
        Effort::Max => bytes || repeats || best.is_weak() && alike() || is_near_zstd(best),
    }
}

/// Returns true if zstd's frame is small, and a better choice of copies might make it the smallest
/// payload: it may save a quarter.
fn is_near_zstd(best: &Best<'_>) -> bool {
    let frame = zstd::encode(best.target, *zstd::LEVELS.end());
    frame.is_ok_and(|frame| frame.len() * 4 < best.target.len() * 3 && frame.len() * 3 < best.limit() * 4)
}

/// Does the same as [`encode`], by the methods that may be within another one.
pub(super) fn encode_plain(
    dtype: Dtype,
    matrix: Matrix,
    Against { base, relation, fit, side }: Against<'_>,
    target: &[u8],
    effort: Effort,
) -> Result<(Method, Vec<u8>)> {
    if target.is_empty() {
        return Ok((Method::Stored, Vec::new()));
    }
    if base == Some(target) {
        return Ok((Method::Copy, Vec::new()));
    }
    if let (Some(base), Some(format)) = (base, format_of(dtype)) {
        return Ok(encode_blocks(format, matrix, (grid::Base::of(relation, base), fit), target, effort));
    }
    let (width, fields) = dtype.words();
    let mut best = Best::new(target);
    if let (Some(base), Some(side)) = (base, side) {
        best.offer(Method::Grid, grid::packed::encode(side, Ground::Numbers(base), target));
    }
    // Differences of words that pack several numbers say little. Half bytes are for rows in an
    // order that the scales do not follow.
    let packed = width > 1 && side.is_some_and(|side| side.bits() < 8);
    if let Some(base) = base.filter(|_| packed) {
        best.offer(Method::Nibbles, nibbles::encode(base, target));
    }
    if let Some(base) = base.filter(|_| !packed || best.is_weak()) {
        offer_deltas(&mut best, dtype, matrix, (base, fit), effort);
    }
    if !dtype.is_scaled()
        && (best.is_weak() || width > 1)
        && let Some(payload) = for_width!(width, palette::encode(matrix, base, target, effort, best.limit()))
    {
        best.offer(Method::Palette, payload);
    }
    match fields {
        Fields::Float { mantissa } if best.is_weak() => {
            best.offer(Method::Solo, for_width!(width, solo::encode(mantissa, matrix, target, effort)));
        }
        Fields::Integer if best.is_weak() && width > 1 => {
            let zeros = vec![0; target.len()];
            best.offer(Method::Solo, delta::encode_any((width, fields), matrix, &zeros, target, effort));
        }
        _ => {}
    }
    offer_zstd(&mut best, (width, fields), effort)?;
    Ok(best.finish())
}

/// Bytes of a chunk from which on a sparse payload is not compared with others at
/// [`Effort::Fast`].
const LARGE: usize = 1 << 16;

/// Offers the methods that code differences to the base.
fn offer_deltas(best: &mut Best<'_>, dtype: Dtype, matrix: Matrix, (base, fit): (&[u8], Option<&Fit>), effort: Effort) {
    let predicted = fit.and_then(|fit| predicted::encode(dtype, matrix, base, best.target, fit, effort));
    let skipped = predicted.is_some() && effort != Effort::Max;
    if let Some(payload) = predicted {
        best.offer(Method::Predicted, payload);
    }
    if skipped && !best.is_weak() {
        return;
    }
    if effort == Effort::Fast
        && let Some(payload) = sparse::encode_any(dtype.words(), base, best.target)
    {
        best.offer(Method::Sparse, payload);
        if best.target.len() >= LARGE {
            return;
        }
    }
    best.offer(Method::Delta, delta::encode_any(dtype.words(), matrix, base, best.target, effort));
    if dtype.words().1 == Fields::Integer {
        best.offer(Method::Nibbles, nibbles::encode(base, best.target));
    }
}

/// The share of a chunk below which a payload is so small that zstd is not considered for floats,
/// nor a patch for packed numbers: one part in so many. A glance at the target takes as long as a
/// twentieth of everything else.
const SMALL: usize = 4;

/// Offers zstd, unless it costs time and a glance tells that it cannot be smaller.
fn offer_zstd(best: &mut Best<'_>, (width, fields): (usize, Fields), effort: Effort) -> Result<()> {
    let worth = match effort {
        Effort::Max => true,
        Effort::Default if fields == Fields::Integer => true,
        Effort::Default => {
            best.limit() > best.target.len() / SMALL && repeats::promise(best.target, width, best.limit())
        }
        Effort::Fast => fields == Fields::Integer,
    };
    if worth {
        best.offer(Method::Zstd, zstd::encode(best.target, zstd::LEVEL)?);
    }
    if effort == Effort::Max {
        best.offer(Method::Zstd, zstd::encode(best.target, *zstd::LEVELS.end())?);
    }
    Ok(())
}

/// Encodes blocks against blocks of the same format, perhaps with a prediction, or against weights.
fn encode_blocks(
    format: &'static BlockFormat,
    matrix: Matrix,
    (ground, fit): (grid::Base<'_>, Option<&Fit>),
    target: &[u8],
    effort: Effort,
) -> (Method, Vec<u8>) {
    let mut best = Best::new(target);
    if let (grid::Base::Blocks(base), Some(fit)) = (ground, fit)
        && let Some(payload) = grid::moved::encode(format, base, target, fit)
    {
        best.offer(Method::Moved, payload);
    }
    let moved = best.found.is_some();
    best.offer(Method::Grid, grid::encode(format, ground, target));
    if let grid::Base::Blocks(base) = ground
        && format.dtype == Dtype::Q8_0
        && (effort == Effort::Max || !moved)
    {
        best.offer(Method::Delta, blocks::encode(matrix, base, target, effort));
    }
    best.finish()
}
