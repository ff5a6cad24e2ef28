//! Matrices with other columns than the base's of their name, or of the most similar one, or in
//! another order: of models whose layers were made narrower or wider, or whose heads were moved.
//!
//! The columns of the first rows are aligned. Of matrices that have other rows, too, all rows are
//! then aligned by the most columns that follow each other; otherwise, the rows are the base's.

use std::collections::{HashSet, VecDeque};

use super::whole::common_suffix;
use super::{Models, RowIndex, RowRun, Subject, align, bytes_of, columns, is_like, of_columns, of_row, weights};
use crate::arranged::{Arranged, Rectangle};
use crate::chunk::unit;
use crate::io::Read;
use crate::plan::Place;
use crate::steps;

/// Rows that the signature of a column is made of.
const ROWS: u64 = 64;

/// Maximum number of columns of a matrix, and of bytes of its first rows.
const COLUMNS: u64 = 1 << 15;
const READ: u64 = 8 << 20;

/// Words of a read of rows.
const STEP: u64 = 1 << 20;

/// Maximum number of columns that are aligned in all matrices.
const ALL_COLUMNS: u64 = 1 << 18;

/// Maximum number of rectangles of a matrix whose rows were aligned.
const RECTANGLES: usize = 1 << 12;

/// Bytes of all inputs for each of which another column may be aligned, beyond [`ALL_COLUMNS`] of
/// them.
const BYTES_PER_COLUMN: u64 = 1 << 10;

/// Bytes of names that are compared for the matrices of the target whose names the base does not
/// have.
const NAMES: usize = 1 << 24;

/// The search for the columns of matrices of the target in those of the base.
#[derive(Debug, Default)]
pub(crate) struct Crops {
    crops: Vec<Crop>,
    /// The number of reads that were taken. Each crop has one of the target and one of the base.
    taken: usize,
    /// The signatures of the target's columns.
    signatures: Vec<u64>,
    found: Vec<Found>,
    /// The matrices of all reads of rows that are queued: the index among those found, and of the
    /// model.
    queue: VecDeque<(usize, usize)>,
    /// The number of those found whose rows were wanted.
    asked: usize,
    /// The columns and rows that may still be aligned.
    left: u64,
}

/// A crop whose columns were found.
#[derive(Debug)]
struct Found {
    crop: Crop,
    /// Rows of the target's matrix, and of the base's.
    rows: [u64; 2],
    columns: Vec<RowRun>,
    /// The signatures of the rows of both, if these are aligned.
    signatures: [Vec<u64>; 2],
}

/// A matrix of the target, and the base's of the same name or the most similar one.
#[derive(Debug, Clone, Copy)]
struct Crop {
    region: usize,
    place: Place,
    /// Columns of the target's matrix, and of the base's.
    columns: [u64; 2],
}

impl Crops {
    /// Plans to align the regions of the target that are not like the base region of their pair.
    pub(crate) fn new(models: &Models, pairs: &[Option<Place>]) -> Self {
        let mut left = ALL_COLUMNS + models.bytes() / BYTES_PER_COLUMN;
        let is_open = |region: &usize| !is_like(models, Subject::Target(*region), pairs[*region]);
        let mut names = Names::new(models, pairs);
        let crops =
            (0..pairs.len()).filter(is_open).filter_map(|region| crop(models, region, pairs[region], &mut names));
        let within = crops.take_while(|crop| {
            let rest = left.checked_sub(crop.columns[0] + crop.columns[1]);
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        let crops = within.collect();
        Self { crops, left, ..Self::default() }
    }

    /// The reads of the first rows of all matrices.
    pub(crate) fn reads(&self, models: &Models) -> Vec<Read> {
        let both = |crop: &Crop| crop.subjects().map(|(subject, columns)| models.words(subject, 0..ROWS * columns));
        self.crops.iter().flat_map(both).collect()
    }

    /// Takes the rows of the next read.
    pub(crate) fn feed(&mut self, models: &Models, rows: &[u8]) {
        let Some(&crop) = self.crops.get(self.taken / 2) else { return };
        let (subject, columns) = crop.subjects()[self.taken % 2];
        let signatures = of_columns(models.region(subject).1.dtype, rows, columns as usize);
        if self.taken.is_multiple_of(2) {
            self.signatures = signatures;
        } else {
            self.found.extend(crop.found(models, &self.signatures, signatures));
        }
        self.taken += 1;
    }

    /// The reads of all rows of the matrices that were found since this was called, if both have
    /// others.
    pub(crate) fn wanted_rows(&mut self, models: &Models) -> Vec<Read> {
        let mut reads = Vec::new();
        for (index, found) in self.found.iter().enumerate().skip(self.asked) {
            let rows = found.rows[0] + found.rows[1];
            if !found.has_other_rows() || self.left < rows {
                continue;
            }
            self.left -= rows;
            for (side, (subject, columns)) in found.crop.subjects().into_iter().enumerate() {
                let step = (STEP / columns).max(1) * columns;
                let words = found.rows[side] * columns;
                let starts = (0..words).step_by(step as usize);
                reads.extend(starts.clone().map(|at| models.words(subject, at..(at + step).min(words))));
                self.queue.extend(starts.map(|_| (index, side)));
            }
        }
        self.asked = self.found.len();
        reads
    }

    /// Takes the rows of the next read of all rows.
    pub(crate) fn feed_rows(&mut self, models: &Models, bytes: &[u8]) {
        let Some((found, side)) = self.queue.pop_front() else { return };
        let found = &mut self.found[found];
        let (subject, columns) = found.crop.subjects()[side];
        let dtype = models.region(subject).1.dtype;
        let (width, columns) = (unit(dtype).1 as usize, columns as usize);
        let Some(run) = longest(&found.columns) else { return };
        let first = if side == 0 { run.target } else { run.base } as usize * width;
        let rows = bytes.chunks_exact(columns * width);
        found.signatures[side].extend(rows.map(|row| of_row(dtype, &row[first..][..run.count as usize * width])));
    }

    /// The regions of the target that were found, with the base regions that their rectangles are
    /// of.
    pub(crate) fn finish(self) -> Vec<(usize, Vec<Place>, Arranged)> {
        let arranged = |mut found: Found| (found.crop.region, vec![found.crop.place], found.arranged());
        self.found.into_iter().map(arranged).collect()
    }
}

impl Found {
    /// Returns true if both have other rows, which the longest run of columns may tell.
    fn has_other_rows(&self) -> bool {
        self.rows[0] != self.rows[1] && longest(&self.columns).is_some_and(|run| run.count >= ROWS)
    }

    /// The rectangles of all columns and rows that are alike.
    fn arranged(&mut self) -> Arranged {
        let [target, base] = std::mem::take(&mut self.signatures);
        let same = RowRun { target: 0, base: 0, count: self.rows[0].min(self.rows[1]) };
        let aligned = align(&target, &RowIndex::new(base));
        let rows: u64 = aligned.iter().map(|run| run.count).sum();
        let most = rows * 2 >= same.count && aligned.len() * self.columns.len() <= RECTANGLES;
        let rows = if most { aligned } else { vec![same] };
        let [own, others] = self.crop.columns;
        let rectangle = |rows: &RowRun, columns: &RowRun| Rectangle {
            origin: 0,
            row: rows.target,
            rows: rows.count,
            column: columns.target,
            columns: columns.count,
            step: 1,
            start: rows.base * others + columns.base,
            down: others,
            across: 1,
        };
        let of_rows = |rows: &RowRun| self.columns.iter().map(|columns| rectangle(rows, columns)).collect::<Vec<_>>();
        Arranged { columns: own, rectangles: rows.iter().flat_map(of_rows).collect() }
    }
}

impl Crop {
    /// Both matrices, with their columns.
    fn subjects(&self) -> [(Subject, u64); 2] {
        [(Subject::Target(self.region), self.columns[0]), (Subject::Base(self.place), self.columns[1])]
    }

    /// The columns that are alike, if these are most of all.
    fn found(self, models: &Models, target: &[u64], base: Vec<u64>) -> Option<Found> {
        let [own, others] = self.columns;
        let rows = self.subjects().map(|(subject, columns)| weights(models.region(subject).1) / columns);
        let columns = align(target, &RowIndex::new(base));
        let found: u64 = columns.iter().map(|run| run.count).sum();
        let signatures = [Vec::new(), Vec::new()];
        let moved = own != others || columns.len() > 1;
        (moved && found * 4 >= own.min(others) * 3).then_some(Found { crop: self, rows, columns, signatures })
    }
}

/// The most columns that follow each other.
fn longest(columns: &[RowRun]) -> Option<&RowRun> {
    columns.iter().max_by_key(|run| run.count)
}

/// The base regions whose names no region of the target has.
struct Names {
    free: Vec<Place>,
    left: usize,
}

impl Names {
    fn new(models: &Models, pairs: &[Option<Place>]) -> Self {
        let taken: HashSet<Place> = pairs.iter().flatten().copied().collect();
        let names: HashSet<&str> = models.target.regions.iter().map(|region| region.name.as_str()).collect();
        let is_free = |place: &Place| !taken.contains(place) && !names.contains(&*models.bases.region(*place).name);
        let places = models.base_regions().filter_map(|subject| match subject {
            Subject::Base(place) => Some(place),
            Subject::Target(_) => None,
        });
        Self { free: places.filter(is_free).collect(), left: NAMES }
    }

    /// The region whose name has the longest ending in common with this one.
    fn like(&mut self, models: &Models, name: &str) -> Option<Place> {
        let bytes = self.free.len().checked_mul(name.len())?;
        self.left = self.left.checked_sub(bytes)?;
        steps::add(bytes);
        let common = |place: &Place| common_suffix(name, &models.bases.region(*place).name);
        let (suffix, place) =
            self.free.iter().map(|place| (common(place), *place)).max_by_key(|(length, _)| *length)?;
        (suffix > 0).then_some(place)
    }
}

/// The base matrix of a region's name, or of the most similar one, if it has other columns or is
/// the region's pair, and both have enough rows.
fn crop(models: &Models, region: usize, pair: Option<Place>, names: &mut Names) -> Option<Crop> {
    let target = &models.target.regions[region];
    let long = |subject: Subject| {
        let region = models.region(subject).1;
        let columns = columns(region).filter(|&columns| columns <= COLUMNS)?;
        let is_short = bytes_of(region, ROWS * columns).is_some_and(|bytes| bytes <= READ);
        (weights(region) / columns >= ROWS && is_short).then_some(columns)
    };
    let own = long(Subject::Target(region))?;
    let crop = |&place: &Place| {
        let others = long(Subject::Base(place)).filter(|&others| others != own || pair == Some(place))?;
        let fits = models.may_transpose(Subject::Target(region), Subject::Base(place));
        fits.then_some(Crop { region, place, columns: [own, others] })
    };
    let named = models.bases.named(&target.name);
    if named.is_empty() { crop(&names.like(models, &target.name)?) } else { named.iter().find_map(crop) }
}
