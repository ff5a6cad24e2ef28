//! Matrices of floats that are stored as several pieces, of which a part of a set may be a part.

use std::collections::HashMap;
use std::ops::Range;

use bitx::distance::{Sketch, weights};
use bitx::layout::Dtype;

use super::parts::elements;
use super::relatives::FLOATS;
use super::sets::Place;
use super::sketches::Sheet;
use super::values::{MOST, RELATED, blank, may_correlate, normalised, places};
use crate::codec::{Rectangle, Run};
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Item, PieceRef};

/// A tensor of floats, or a slice of a stack of them, in several pieces that are stored whole.
#[derive(Debug)]
pub(super) struct Matrix {
    dtype: Dtype,
    /// The number of weights in a row.
    columns: u64,
    pieces: Vec<PieceRef>,
    /// The weights of its sample.
    sample: Vec<f32>,
}

/// The matrices of a file by their number of weights.
pub(super) type Matrices = HashMap<u64, Vec<Matrix>>;

/// A part of a matrix, with its dtype and shape.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) run: Run,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
}

/// The matrices of a file, given the sketches of its pieces.
pub(super) fn of(manifest: &FileManifest, sketches: &HashMap<ObjectId, &Sketch>) -> Matrices {
    let mut matrices = Matrices::new();
    for item in manifest.items.iter().filter(|item| item.name.is_some() && FLOATS.contains(&item.dtype)) {
        for pieces in slices(item).filter(|pieces| pieces.len() > 1) {
            let length: u64 = pieces.iter().map(|piece| piece.length).sum();
            let samples = pieces.iter().map(|piece| sample(sketches.get(&piece.id)?));
            let sample: Option<Vec<Vec<f32>>> = samples.collect();
            let (Some(sample), Some(columns)) = (sample, item.shape.last()) else { continue };
            let (dtype, columns, sample) = (item.dtype, *columns, sample.concat());
            let matrix = Matrix { dtype, columns, pieces: pieces.to_vec(), sample };
            matrices.entry(elements(item.dtype, length)).or_default().push(matrix);
        }
    }
    matrices
}

/// The pieces of each slice of a stack, or all of a tensor.
fn slices(item: &Item) -> impl Iterator<Item = &[PieceRef]> {
    let pieces = &item.pieces[..];
    let slices = item.shape.first().filter(|_| item.shape.len() > 2);
    let slices = slices.and_then(|slices| usize::try_from(*slices).ok()).filter(|slices| *slices > 0);
    let of_slice = slices.filter(|slices| pieces.len().is_multiple_of(*slices)).map(|slices| pieces.len() / slices);
    pieces.chunks(of_slice.unwrap_or(pieces.len()).max(1))
}

/// The weights that the sketch of a piece holds at some places.
fn sample(sketch: &Sketch) -> Option<Vec<f32>> {
    let weight = |(at, _): (Range<usize>, u64)| weights(sketch.dtype(), sketch.bytes().get(at)?)?.first().copied();
    places(sketch).map(weight).collect()
}

/// The number in the matrix of each weight of a sample of pieces of these lengths.
fn sampled(dtype: Dtype, lengths: &[u64]) -> Option<Vec<u64>> {
    let (mut all, mut first) = (Vec::new(), 0);
    for length in lengths {
        all.extend(places(&blank(dtype, *length)?).map(|(_, number)| first + number));
        first += elements(dtype, *length);
    }
    Some(all)
}

/// The weights of a part of a set at the places of a sample that are in the part, with the numbers
/// of these places.
fn own(
    place: &Place,
    weights: impl Fn(&[u64]) -> Option<Vec<f32>>,
    (dtype, lengths): &(Dtype, Vec<u64>),
) -> Option<(Vec<usize>, Vec<f32>)> {
    let all = sampled(*dtype, lengths)?;
    let within: Vec<(usize, u64)> =
        all.iter().enumerate().filter_map(|(number, at)| Some((number, place.within(*at)?))).collect();
    let (numbers, places): (Vec<usize>, Vec<u64>) =
        within.iter().step_by(within.len().div_ceil(MOST).max(1)).copied().unzip();
    Some((numbers, normalised(weights(&places)?)?))
}

/// The part of a stored matrix that correlates most with the weights of a part of a set, of which
/// `weights` gives those at some places.
pub(super) fn closest<'s>(
    place: &Place,
    weights: impl Fn(&[u64]) -> Option<Vec<f32>>,
    sheets: impl Iterator<Item = &'s Sheet>,
) -> Option<Part> {
    let mut known = HashMap::new();
    let mut best: Option<(f32, &Matrix)> = None;
    for matrix in sheets.flat_map(|sheet| sheet.matrices(place.of)) {
        let of = (matrix.dtype, matrix.pieces.iter().map(|piece| piece.length).collect::<Vec<_>>());
        let own = known.entry(of).or_insert_with_key(|of| own(place, &weights, of));
        let Some((numbers, own)) = own else { continue };
        let others = numbers.iter().map(|number| matrix.sample.get(*number).copied()).collect::<Option<Vec<_>>>();
        let Some(others) = others.and_then(normalised).filter(|others| may_correlate(others, own)) else { continue };
        let correlation = others.iter().zip(&*own).map(|(a, b)| a * b).sum();
        if correlation >= RELATED && best.is_none_or(|(most, _)| correlation > most) {
            best = Some((correlation, matrix));
        }
    }
    best.map(|(_, matrix)| matrix.part(place))
}

impl Matrix {
    /// The pieces that hold the weights of a part of a set.
    fn part(&self, place: &Place) -> Part {
        let width = self.dtype.block().1;
        let [first, rows, distance, count] = place.rectangle();
        let mut part = Rectangle { skip: first * width, rows, distance: distance * width, width: count * width };
        let (mut pieces, mut start) = (Vec::new(), 0);
        let end = part.end();
        for piece in &self.pieces {
            let own = start..start + piece.length;
            start = own.end;
            if own.end <= first * width {
                part.skip -= piece.length;
            } else if end.is_some_and(|end| own.start < end) {
                pieces.push(piece.id);
            }
        }
        let shape = match (place.turned, count.is_multiple_of(self.columns)) {
            (Some(_), _) => vec![rows, count],
            (None, true) => vec![count / self.columns, self.columns],
            (None, false) => vec![count],
        };
        Part { run: Run { pieces, part }, dtype: self.dtype, shape }
    }
}
