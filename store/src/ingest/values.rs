//! Bases of other dtypes, found by the weights that both tensors stand for: the floats of a
//! quantised tensor, or a tensor under another name whose rows lie in another order.
//!
//! The sketch of a stored piece holds a sample of its weights. The weights at the same places of a
//! new tensor correlate with them if both tensors stand for the same weights, or for those of a
//! fine-tune, whatever their dtypes, scales and names.

use std::collections::HashMap;
use std::ops::Range;

use bitx::distance::{Sketch, weights};
use bitx::layout::Dtype;

use super::parts::{Part, elements, is_blocks};
use super::relatives::{Chosen, FLOATS};
use super::sketches::Sheet;
use crate::codec::Form;
use crate::keys::ObjectId;

/// The maximum number of weights of a sample that are compared.
pub(super) const MOST: usize = 64;
/// The least number.
const LEAST: usize = 12;
/// The least correlation of the weights of related tensors.
pub(super) const RELATED: f32 = 0.85;
/// The share of differing signs up to which weights may correlate so, as a divisor.
const SIGNS: u32 = 3;
/// The maximum number of pieces that are compared in each other order than their own.
const MOST_PIECES: usize = 1024;
/// The numbers of rows of a head, in models whose rows GGUF stores in another order than others.
const HEADS: [u64; 11] = [32, 48, 64, 80, 96, 112, 120, 128, 160, 192, 256];

/// The weights that a sketch holds, centred and scaled, so that a sum of products is a correlation.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) piece: ObjectId,
    dtype: Dtype,
    length: u64,
    weights: Vec<f32>,
}

/// The order of the weights of a stored tensor in a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Same,
    /// Each head of this number of rows has the rows of both its halves by turns, as in GGUF.
    Woven(u64),
    /// The reverse.
    Unwoven(u64),
    /// The matrix is transposed.
    Transposed,
}

impl Sample {
    /// The sample that a sketch holds. `None` if it holds too few weights, or they do not differ.
    pub(super) fn of(piece: ObjectId, sketch: &Sketch) -> Option<Self> {
        let dtype = if sketch.dtype() == Dtype::Q8_0 { Dtype::I8 } else { sketch.dtype() };
        let weight = |(at, _): (Range<usize>, u64)| weights(dtype, sketch.bytes().get(at)?)?.first().copied();
        let weights = normalised(places(sketch).map(weight).collect::<Option<_>>()?)?;
        Some(Self { piece, dtype: sketch.dtype(), length: sketch.length(), weights })
    }

    fn correlation(&self, weights: &[f32]) -> f32 {
        self.weights.iter().zip(weights).map(|(a, b)| a * b).sum()
    }
}

/// The places in a sketch of the weights that are compared, each with the number of the weight in
/// the tensor. Of blocks, the sketches of Q8_0 alone hold weights, up to the scales of their
/// blocks.
pub(super) fn places(sketch: &Sketch) -> impl Iterator<Item = (Range<usize>, u64)> + '_ {
    let width = sketch.places().next().map_or(1, |place| place.end - place.start);
    let step = (sketch.bytes().len() / width as usize).div_ceil(MOST).max(1);
    let number = move |place: &Range<u64>| match sketch.dtype() {
        Dtype::Q8_0 => Some(place.start / 34 * 32 + (place.start % 34).checked_sub(2)?),
        _ => Some(place.start / width),
    };
    let all = sketch.places().enumerate().step_by(step);
    all.filter_map(move |(at, place)| {
        let start = at * width as usize;
        Some((start..start + width as usize, number(&place)?))
    })
}

/// The weights less their mean, with a sum of squares of 1. `None` if they are too few, not finite,
/// or equal.
pub(super) fn normalised(mut weights: Vec<f32>) -> Option<Vec<f32>> {
    if weights.len() < LEAST {
        return None;
    }
    let mean = weights.iter().sum::<f32>() / weights.len() as f32;
    weights.iter_mut().for_each(|weight| *weight -= mean);
    let length = weights.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
    weights.iter_mut().for_each(|weight| *weight /= length);
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

/// Returns `true` if pieces of this dtype may be bases of tensors of other dtypes.
pub(super) fn may_give(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::Q8_0)
}

/// The dtype and the length in bytes of a piece.
type Measure = (Dtype, u64);

/// The stored piece whose weights correlate most with those of a part.
pub(super) fn closest<'s>(part: &Part, bytes: &[u8], sheets: impl Iterator<Item = &'s Sheet>) -> Option<Chosen> {
    let count = elements(part.dtype, part.range.end - part.range.start);
    let found: Vec<(&Sheet, &Sample)> =
        sheets.flat_map(|sheet| sheet.samples(count).iter().map(move |sample| (sheet, sample))).collect();
    let same = |sample: &Sample| sample.dtype == part.dtype;
    let mut best: Option<(f32, Order, &Sheet, &Sample)> = None;
    for order in orders(&part.shape) {
        // A sketch of the same dtype has told already that the weights in the same order differ.
        let differs = |sample: &Sample| order != Order::Same || !same(sample);
        // Blocks of Q8_0 are no words of floats, nor of integers.
        let serves = |sample: &Sample| sample.dtype != Dtype::Q8_0 || is_blocks(part.dtype);
        let most = if order == Order::Same { usize::MAX } else { MOST_PIECES };
        let usable = found.iter().filter(|(_, sample)| differs(sample) && serves(sample)).take(most);
        let mut known: Option<(Measure, Option<Vec<f32>>)> = None;
        for &(sheet, sample) in usable {
            let of = (sample.dtype, sample.length);
            if known.as_ref().is_none_or(|(other, _)| *other != of) {
                known = Some((of, own(part, bytes, of, order)));
            }
            let Some((_, Some(own))) = &known else { continue };
            let correlation = if may_correlate(&sample.weights, own) { sample.correlation(own) } else { 0.0 };
            if correlation >= RELATED && best.is_none_or(|(most, ..)| correlation > most) {
                best = Some((correlation, order, sheet, sample));
            }
        }
        if best.is_some() {
            break;
        }
    }
    let (_, order, sheet, sample) = best?;
    let form = sheet.form(&sample.piece, order == Order::Same)?;
    Some(Chosen { base: sample.piece, form: Some(form) })
}

/// The stored floats that correlate most with `count` weights, of which `weights` gives those at
/// some places. They are in the same order.
pub(super) fn closest_floats<'s>(
    count: u64,
    weights: impl Fn(&[u64]) -> Option<Vec<f32>>,
    sheets: impl Iterator<Item = &'s Sheet>,
) -> Option<(ObjectId, Form)> {
    let mut known: HashMap<Measure, Option<Vec<f32>>> = HashMap::new();
    let mut best: Option<(f32, &Sheet, &Sample)> = None;
    for (sheet, sample) in sheets.flat_map(|sheet| sheet.samples(count).iter().map(move |sample| (sheet, sample))) {
        let own = known.entry((sample.dtype, sample.length)).or_insert_with(|| {
            let places: Vec<u64> = places(&blank(sample.dtype, sample.length)?).map(|(_, number)| number).collect();
            normalised(weights(&places)?)
        });
        let Some(own) = own.as_ref().filter(|own| may_correlate(&sample.weights, own)) else { continue };
        let correlation = sample.correlation(own);
        let is_better = best.is_none_or(|(most, ..)| correlation > most);
        if correlation >= RELATED && is_better && FLOATS.contains(&sample.dtype) {
            best = Some((correlation, sheet, sample));
        }
    }
    let (_, sheet, sample) = best?;
    Some((sample.piece, sheet.form(&sample.piece, true)?))
}

/// A sketch of a tensor of zeros.
pub(super) fn blank(dtype: Dtype, length: u64) -> Option<Sketch> {
    Sketch::from_bytes(dtype, length, vec![0; Sketch::size(dtype, length)]).ok()
}

/// A quick test that spares most sums.
pub(super) fn may_correlate(one: &[f32], other: &[f32]) -> bool {
    let differing = one.iter().zip(other).filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count();
    differing * SIGNS as usize <= one.len()
}

/// The orders to try for a part of this shape.
fn orders(shape: &[u64]) -> Vec<Order> {
    let mut orders = vec![Order::Same];
    if let &[rows, _] = shape {
        let heads = || HEADS.into_iter().filter(|head| rows.is_multiple_of(*head));
        orders.extend(heads().map(Order::Woven));
        orders.extend(heads().map(Order::Unwoven));
        orders.push(Order::Transposed);
    }
    orders
}

/// The weights of a part at the places of a sketch of such a tensor, if the part is in `order`.
fn own(part: &Part, bytes: &[u8], (dtype, length): (Dtype, u64), order: Order) -> Option<Vec<f32>> {
    let blank = blank(dtype, length)?;
    let rows_columns = match part.shape[..] {
        [rows, columns] => (rows, columns),
        _ => (1, elements(part.dtype, bytes.len() as u64)),
    };
    let (unit, width) = part.dtype.block();
    let weight = |(_, number)| {
        let number = placed(number, rows_columns, order);
        let block = (number / unit) as usize * width as usize;
        let block = weights(part.dtype, bytes.get(block..block + width as usize)?)?;
        block.get((number % unit) as usize).copied()
    };
    normalised(places(&blank).map(weight).collect::<Option<_>>()?)
}

/// The number, in a matrix of this size, of the weight that has `number` in the stored tensor.
fn placed(number: u64, (rows, columns): (u64, u64), order: Order) -> u64 {
    let (row, column) = (number / columns, number % columns);
    let within = |head: u64, at: u64| (row - row % head + at) * columns + column;
    match order {
        Order::Same => number,
        Order::Woven(head) => within(head, row % head % (head / 2) * 2 + row % head / (head / 2)),
        Order::Unwoven(head) => within(head, row % head % 2 * (head / 2) + row % head / 2),
        Order::Transposed => number % rows * columns + number / rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations_and_weaving_is_undone() {
        let size = (96, 5);
        for order in orders(&[size.0, size.1]) {
            let mut all: Vec<u64> = (0..96 * 5).map(|number| placed(number, size, order)).collect();
            if let Order::Woven(head) = order {
                let back = |number| placed(placed(number, size, order), size, Order::Unwoven(head));
                assert!((0..96 * 5).all(|number| back(number) == number), "{order:?}");
            }
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..96 * 5), "{order:?}");
        }
        // Row 1 of a head is the first of its second half, and row 2 the second of its first.
        assert_eq!(placed(16 * 5, size, Order::Woven(32)), 5);
        assert_eq!(placed(5, size, Order::Woven(32)), 10);
        assert_eq!(placed(1, size, Order::Transposed), 5);
    }
}
