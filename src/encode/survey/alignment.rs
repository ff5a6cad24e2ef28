//! Matrices whose rows were added, removed or moved: their rows are read and aligned.

use std::collections::{HashMap, VecDeque};

use super::STEP;
use crate::archive::v2::Run;
use crate::io::Read;
use crate::layout::Dtype;
use crate::pairing::{Models, RowRun, Signature, Subject, align, bytes_of, columns, of_row, weights};
use crate::plan::Place;
use crate::quant::weights_per_unit;

/// Minimum number of columns of a row that can be recognised.
const LEAST: u64 = 32;

/// The alignments that are under way.
#[derive(Debug, Default)]
pub(super) struct Alignments {
    matrices: Vec<Matrices>,
    /// The rows of each queued read.
    queue: VecDeque<Rows>,
}

/// A matrix of the target and one of the base, with the signatures of their rows.
#[derive(Debug)]
struct Matrices {
    region: usize,
    place: Place,
    rows: u64,
    /// Units of a row of the target, and of the base.
    units: [u64; 2],
    target: Vec<u64>,
    base: Vec<u64>,
}

/// Rows that one read holds.
#[derive(Debug)]
struct Rows {
    matrices: usize,
    of_base: bool,
    dtype: Dtype,
    /// Bytes of a row.
    bytes: usize,
}

impl Alignments {
    /// Plans to align each matrix of the target that has other rows than the base's of its name,
    /// or whose first rows, or those in `second_rows`, are unrelated to its partner's; but only the
    /// regions that are open.
    pub(super) fn plan(
        &mut self,
        models: &Models,
        pairs: &[Option<Place>],
        second_rows: &HashMap<Subject, Signature>,
        is_open: impl Fn(usize) -> bool,
    ) -> Vec<Read> {
        let mut reads = Vec::new();
        for (region, pair) in pairs.iter().enumerate().filter(|(region, _)| is_open(*region)) {
            let Some((place, columns)) = candidate(models, region, *pair, second_rows) else { continue };
            let target = &models.target.regions[region];
            let rows = weights(target) / columns;
            let units = [target, models.bases.region(place)].map(|region| columns / weights_per_unit(region.dtype));
            let (target, base) = (Vec::new(), Vec::new());
            self.matrices.push(Matrices { region, place, rows, units, target, base });
            self.read(models, Subject::Target(region), columns, &mut reads);
            self.read(models, Subject::Base(place), columns, &mut reads);
        }
        reads
    }

    fn read(&mut self, models: &Models, subject: Subject, columns: u64, reads: &mut Vec<Read>) {
        let (source, region) = models.region(subject);
        let Some(row) = bytes_of(region, columns) else { return };
        let step = STEP / row * row;
        for start in region.range().step_by(step as usize) {
            reads.push(Read::new(source, start..(start + step).min(region.range().end)));
            self.queue.push_back(Rows {
                matrices: self.matrices.len() - 1,
                of_base: matches!(subject, Subject::Base(_)),
                dtype: region.dtype,
                bytes: row as usize,
            });
        }
    }

    /// Takes the bytes of the next read.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Some(rows) = self.queue.pop_front() else { return };
        let matrices = &mut self.matrices[rows.matrices];
        let signatures = if rows.of_base { &mut matrices.base } else { &mut matrices.target };
        signatures.extend(bytes.chunks_exact(rows.bytes).map(|row| of_row(rows.dtype, row)));
    }

    /// Returns each region of the target, the base region, and the runs of the view that aligns
    /// their rows.
    pub(super) fn finish(self) -> impl Iterator<Item = (usize, Place, Vec<Run>)> {
        self.matrices.into_iter().map(|matrices| {
            let runs = align(&matrices.target, &matrices.base);
            (matrices.region, matrices.place, runs_of(&runs, matrices.rows, matrices.units))
        })
    }
}

/// The base matrix to align with a region of the target, and the columns of both.
fn candidate(
    models: &Models,
    region: usize,
    pair: Option<Place>,
    second_rows: &HashMap<Subject, Signature>,
) -> Option<(Place, u64)> {
    let target = &models.target.regions[region];
    let columns = columns(target).filter(|&columns| columns >= LEAST)?;
    let fits = |place: &Place| {
        let base = models.bases.region(*place);
        let pairs = models.may_pair(Subject::Target(region), Subject::Base(*place));
        let short = |region| bytes_of(region, columns).is_some_and(|row| row <= STEP);
        pairs && self::columns(base) == Some(columns) && short(base) && short(target)
    };
    let unrelated = |signatures: &HashMap<Subject, Signature>, place| {
        let both = [Subject::Target(region), Subject::Base(place)].map(|subject| signatures.get(&subject));
        matches!(both, [Some(target), Some(base)] if target.likeness(base).is_unrelated())
    };
    if let Some(pair) = pair.filter(|&pair| unrelated(second_rows, pair)) {
        return fits(&pair).then_some((pair, columns));
    }
    let place = models.bases.named(&target.name).iter().copied().find(fits)?;
    let differs = pair.is_none_or(|pair| pair == place && unrelated(&models.starts, place));
    differs.then_some((place, columns))
}

/// The runs of a view of `rows` rows that are aligned like this; `units` are those of a row of the
/// target and of the base.
fn runs_of(aligned: &[RowRun], rows: u64, [units, base_units]: [u64; 2]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut end = 0;
    for run in aligned {
        if run.target > end {
            runs.push(Run { units: (run.target - end) * units, from: None });
        }
        runs.push(Run { units: run.count * units, from: Some((0, run.base * base_units)) });
        end = run.target + run.count;
    }
    if rows > end {
        runs.push(Run { units: (rows - end) * units, from: None });
    }
    runs
}
