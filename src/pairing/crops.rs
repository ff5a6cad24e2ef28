//! Matrices that have other columns than the base's of their name: of models whose layers were made
//! narrower or wider.
//!
//! The columns of the first rows are aligned. The rows are taken to be those of the base, from the
//! first one on.

use super::{Models, RowIndex, Subject, align, columns, is_like, of_columns, weights};
use crate::arranged::{Arranged, Rectangle};
use crate::io::Read;
use crate::plan::Place;
use crate::transposed::can_transpose;

/// Rows that the signature of a column is made of.
const ROWS: u64 = 64;

/// Maximum number of columns of a matrix.
const COLUMNS: u64 = 1 << 15;

/// Maximum number of columns that are aligned in all matrices.
const ALL_COLUMNS: u64 = 1 << 18;

/// Bytes of all inputs for each of which another column may be aligned, beyond [`ALL_COLUMNS`] of
/// them.
const BYTES_PER_COLUMN: u64 = 1 << 10;

/// The search for the columns of matrices of the target in those of the base.
#[derive(Debug, Default)]
pub(crate) struct Crops {
    crops: Vec<Crop>,
    /// The number of reads that were taken. Each crop has one of the target and one of the base.
    taken: usize,
    /// The signatures of the target's columns.
    signatures: Vec<u64>,
    found: Vec<(usize, Vec<Place>, Arranged)>,
}

/// A matrix of the target, and the base's of the same name.
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
        let crops = (0..pairs.len()).filter(is_open).filter_map(|region| crop(models, region));
        let within = crops.take_while(|crop| {
            let rest = left.checked_sub(crop.columns[0] + crop.columns[1]);
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        Self { crops: within.collect(), ..Self::default() }
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
            let arranged = crop.arranged(models, &self.signatures, signatures);
            self.found.extend(arranged.map(|arranged| (crop.region, vec![crop.place], arranged)));
        }
        self.taken += 1;
    }

    /// The regions of the target that were found, with the base regions that their rectangles are
    /// of.
    pub(crate) fn finish(self) -> Vec<(usize, Vec<Place>, Arranged)> {
        self.found
    }
}

impl Crop {
    /// Both matrices, with their columns.
    fn subjects(&self) -> [(Subject, u64); 2] {
        [(Subject::Target(self.region), self.columns[0]), (Subject::Base(self.place), self.columns[1])]
    }

    /// The rectangles of columns that are alike, if these are most of all.
    fn arranged(&self, models: &Models, target: &[u64], base: Vec<u64>) -> Option<Arranged> {
        let [own, others] = self.columns;
        let rows = self.subjects().map(|(subject, columns)| weights(models.region(subject).1) / columns);
        let runs = align(target, &RowIndex::new(base));
        let rectangles = runs.iter().map(|run| Rectangle {
            origin: 0,
            row: 0,
            rows: rows[0].min(rows[1]),
            column: run.target,
            columns: run.count,
            step: 1,
            start: run.base,
            down: others,
            across: 1,
        });
        let found: u64 = runs.iter().map(|run| run.count).sum();
        (found * 4 >= own.min(others) * 3).then(|| Arranged { columns: own, rectangles: rectangles.collect() })
    }
}

/// The base matrix of a region's name, if it has other columns and both have enough rows.
fn crop(models: &Models, region: usize) -> Option<Crop> {
    let target = &models.target.regions[region];
    let long = |subject: Subject| {
        let region = models.region(subject).1;
        let columns = columns(region).filter(|&columns| columns <= COLUMNS)?;
        (weights(region) / columns >= ROWS).then_some(columns)
    };
    let own = long(Subject::Target(region))?;
    let crop = |&place: &Place| {
        let others = long(Subject::Base(place)).filter(|&others| others != own)?;
        let fits = can_transpose(models.bases.region(place).dtype, target.dtype);
        fits.then_some(Crop { region, place, columns: [own, others] })
    };
    models.bases.named(&target.name).iter().find_map(crop)
}
