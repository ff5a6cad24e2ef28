//! Pairs of matrices one of which is the other one transposed, as the weights of linear layers are
//! in other frameworks.
//!
//! The extents must be the same in the other order. The corner of the first matrices tells whether
//! the numbers are the same.

use std::collections::HashMap;

use super::{Models, Signature, Subject};
use crate::chunk::unit;
use crate::io::{Read, Source};
use crate::layout::Region;
use crate::plan::Place;
use crate::transposed::{MAX_MATRIX, Transposed, can_transpose};

/// Rows and columns of a corner, which together are as many words as a signature has.
const SIDE: u64 = 16;

/// Maximum number of bytes of the rows that hold a corner.
const ROWS: u64 = 4 << 20;

/// Maximum number of regions of the base, with the extents of one of the target, that are compared.
const CANDIDATES: usize = 1024;

/// Maximum number of pairs that are compared.
const COMPARISONS: usize = 1 << 22;

/// The number of matrices of a stack, and their rows and columns.
type Extents = (u64, u64, u64);

/// The search for the regions of the target that are transposed regions of the base.
#[derive(Debug, Default)]
pub(crate) struct Corners {
    /// The regions of the target, each with the base regions that it may be.
    searched: Vec<(usize, Vec<Place>)>,
    /// The signature of each region's corner, in the target's order of words.
    corners: HashMap<Subject, Signature>,
}

impl Corners {
    /// Plans the search for the regions of the target that are not like the base region of their
    /// pair.
    pub(crate) fn new(models: &Models, pairs: &[Option<Place>]) -> Self {
        let mut by_extents: HashMap<Extents, Vec<Place>> = HashMap::new();
        for subject in models.base_regions() {
            if let (Subject::Base(place), Some((count, rows, columns))) = (subject, extents(models.region(subject).1)) {
                by_extents.entry((count, columns, rows)).or_default().push(place);
            }
        }
        let mut left = COMPARISONS;
        let mut searched = Vec::new();
        for (region, pair) in pairs.iter().enumerate() {
            let target = Subject::Target(region);
            let found = extents(models.region(target).1).filter(|_| !is_like(models, target, *pair));
            let Some(places) = found.and_then(|extents| by_extents.get(&extents)) else { continue };
            let places: Vec<Place> = places.iter().copied().filter(|place| fits(models, region, *place)).collect();
            if places.is_empty() || places.len() > CANDIDATES.min(left) {
                continue;
            }
            left -= places.len();
            searched.push((region, places));
        }
        Self { searched, corners: HashMap::new() }
    }

    /// The reads of the rows that hold the corners, with their regions.
    pub(crate) fn reads(&self, models: &Models) -> Vec<(Read, Subject)> {
        let targets = self.searched.iter().map(|(region, _)| Subject::Target(*region));
        let bases = self.searched.iter().flat_map(|(_, places)| places.iter().map(|place| Subject::Base(*place)));
        let mut seen = std::collections::HashSet::new();
        let subjects = targets.chain(bases).filter(|subject| seen.insert(*subject));
        subjects.filter_map(|subject| Some((rows_of_corner(models.region(subject))?, subject))).collect()
    }

    /// Takes the rows that hold the corner of a region.
    pub(crate) fn feed(&mut self, models: &Models, subject: Subject, rows: &[u8]) {
        let region = models.region(subject).1;
        let Some((_, _, columns)) = extents(region) else { return };
        let width = unit(region.dtype).1 as usize;
        let word = |row: u64, column: u64| {
            let start = (row * columns + column) as usize * width;
            rows.get(start..start + width).unwrap_or_default()
        };
        let places = (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column)));
        let corner: Vec<u8> = match subject {
            Subject::Target(_) => places.flat_map(|(row, column)| word(row, column)).copied().collect(),
            Subject::Base(_) => places.flat_map(|(row, column)| word(column, row)).copied().collect(),
        };
        self.corners.insert(subject, Signature::of(region.dtype, &corner));
    }

    /// The regions of the target that are transposed regions of the base, with their matrices.
    pub(crate) fn finish(self, models: &Models) -> Vec<(usize, Place, Transposed)> {
        let Self { searched, corners } = self;
        let corner = |subject| corners.get(&subject).copied().unwrap_or_default();
        let pair = |(region, places): (usize, Vec<Place>)| {
            let target = corner(Subject::Target(region));
            let related = |place: Place| Some((target.likeness(&corner(Subject::Base(place))).related_share()?, place));
            let (_, place) = places.into_iter().filter_map(related).min_by(|a, b| a.0.total_cmp(&b.0))?;
            let (_, rows, columns) = extents(models.bases.region(place))?;
            Some((region, place, Transposed { rows, columns }))
        };
        searched.into_iter().filter_map(pair).collect()
    }
}

/// The extents of a stack of matrices that have a corner; `None` for other regions.
fn extents(region: &Region) -> Option<Extents> {
    let mut shape = region.shape.iter().copied().filter(|&extent| extent != 1);
    let (last, before, first) = match (shape.next(), shape.next(), shape.next(), shape.next()) {
        (Some(rows), Some(columns), None, None) => (columns, rows, 1),
        (Some(count), Some(rows), Some(columns), None) => (columns, rows, count),
        _ => return None,
    };
    let words = before.checked_mul(last)?;
    let width = unit(region.dtype).1;
    let has_corner = last >= SIDE && before >= SIDE && !region.dtype.is_scaled();
    // The extent of a matrix without words may be any number, but has no corner.
    let is_short = || words <= MAX_MATRIX / width && SIDE * last * width <= ROWS;
    (has_corner && is_short()).then_some((first, before, last))
}

/// Returns true if the region's start is like that of its pair.
fn is_like(models: &Models, target: Subject, pair: Option<Place>) -> bool {
    let start = models.start(target);
    pair.is_some_and(|place| !start.likeness(&models.start(Subject::Base(place))).is_unrelated())
}

fn fits(models: &Models, region: usize, place: Place) -> bool {
    can_transpose(models.bases.region(place).dtype, models.target.regions[region].dtype)
}

fn rows_of_corner((source, region): (Source, &Region)) -> Option<Read> {
    let (_, _, columns) = extents(region)?;
    Some(Read::new(source, region.offset..region.offset + SIDE * columns * unit(region.dtype).1))
}
