//! Floats of the base that packed numbers were quantised from: those of one region, or runs of
//! several.

use std::ops::Range;

use crate::archive::v2::{Run, View, units};
use crate::chunk::unit;
use crate::derived::Derived;
use crate::io::{Read, Source};
use crate::layout::Region;
use crate::pairing::{Models, weights};
use crate::plan::Place;

/// Weights of a base region, from the weight `from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) from: u64,
    pub(super) count: u64,
}

/// The floats of a region of packed numbers.
#[derive(Debug, Clone)]
pub(super) struct Floats {
    /// The floats as a region: that of the base, or one that the pieces would be together.
    pub(super) region: Region,
    pieces: Vec<Piece>,
}

impl Floats {
    /// The floats of a whole base region.
    pub(super) fn whole(models: &Models, place: Place) -> Self {
        let region = models.bases.region(place).clone();
        let pieces = vec![Piece { place, from: 0, count: weights(&region) }];
        Self { region, pieces }
    }

    /// The floats of consecutive pieces of one dtype; `None` for others. They are a matrix if all
    /// pieces are whole rows of as many columns.
    pub(super) fn joined(models: &Models, pieces: Vec<Piece>) -> Option<Self> {
        let regions = || pieces.iter().map(|piece| models.bases.region(piece.place));
        let first = regions().next()?;
        let count: u64 = pieces.iter().map(|piece| piece.count).sum();
        let length = count.checked_mul(unit(first.dtype).1)?;
        let columns = first.shape.last().copied().filter(|&columns| columns > 0 && first.shape.len() > 1);
        let is_row = |columns: &u64| {
            let whole = pieces.iter().all(|piece| (piece.from | piece.count) % columns == 0);
            whole && regions().all(|region| region.shape.len() > 1 && region.shape.last() == Some(columns))
        };
        let shape = columns.filter(is_row).map_or(vec![count], |columns| vec![count / columns, columns]);
        if regions().any(|region| region.dtype != first.dtype) {
            return None;
        }
        let region = Region { name: String::new(), dtype: first.dtype, shape, offset: 0, length };
        Some(Self { region, pieces })
    }

    /// The base region that the floats are, if it is one.
    pub(super) fn place(&self) -> Option<Place> {
        match self.pieces[..] {
            [Piece { place, from: 0, .. }] => Some(place),
            _ => None,
        }
    }

    /// The number of floats in the first piece.
    pub(super) fn first(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.count)
    }

    /// The view of words that were made from the first of the floats in this order; `None` if there
    /// are too few.
    pub(super) fn derived(&self, models: &Models, target: &Region, derived: Derived) -> Option<View> {
        if let Some(place) = self.place() {
            return Some(View::derived(target, models.bases.origin(place), derived));
        }
        let (mut view, mut left) = (self.runs(models), derived.weights_of(units(target))?);
        for run in &mut view.runs {
            run.units = run.units.min(left);
            left -= run.units;
        }
        view.runs.retain(|run| run.units > 0);
        (left == 0).then_some(View { derived: Some(derived), ..view })
    }

    /// The view of integers of 8 bits whose weights the floats are.
    pub(super) fn runs(&self, models: &Models) -> View {
        let mut view = View::default();
        for piece in &self.pieces {
            let origin = models.bases.origin(piece.place);
            let known = view.origins.iter().position(|other| *other == origin);
            let number = known.unwrap_or(view.origins.len());
            view.origins.extend(known.is_none().then_some(origin));
            view.runs.push(Run { units: piece.count, from: Some((number as u32, piece.from)) });
        }
        view
    }

    /// The read of a range of the floats, if they are in one piece.
    pub(super) fn read(&self, models: &Models, floats: &Range<u64>) -> Option<Read> {
        let mut start = 0;
        for piece in &self.pieces {
            if (start..start + piece.count).contains(&floats.start) {
                let region = models.bases.region(piece.place);
                let place = |float: u64| region.offset + (piece.from + float - start) * unit(region.dtype).1;
                let read = Read::new(Source::Base(piece.place.base), place(floats.start)..place(floats.end));
                return (floats.end <= start + piece.count).then_some(read);
            }
            start += piece.count;
        }
        None
    }
}
