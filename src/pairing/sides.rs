//! Matrices that stand side by side in the columns of another one, as the parts of fused matrices
//! do where the columns are outputs, and the shards of matrices that were cut between columns.
//!
//! A matrix, the *whole*, may be one of a stack. Its *parts* are matrices of the other model, as
//! high as it is if they are taken as they are or transposed. They are next to each other, or have
//! their columns in turn. The corner of a part is looked for behind the part before it.

use std::collections::{HashMap, HashSet};

use super::corner::{LEAST, ROWS, SIDE, corner};
use super::found::{Found, Matrix, Part, arrangements};
use super::{Models, Signature, Stack, Subject, is_like};
use crate::arranged::Arranged;
use crate::chunk::unit;
use crate::io::Read;
use crate::plan::Place;
use crate::steps;

/// Maximum number of matrices whose rows are read.
const READS: usize = 1 << 16;

/// Maximum number of comparisons of signatures.
const COMPARISONS: u64 = 1 << 24;

/// Comparisons that the smallest models may take, and bytes of all inputs for each further one.
const FEW: u64 = 1 << 20;
const BYTES_PER_COMPARISON: u64 = 16;

/// Share of differing bits up to which no other part is looked for.
const SURE: f32 = 0.14;

/// Maximum number of parts whose columns are in turn.
pub(super) const IN_TURN: u64 = 64;

/// The purpose of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// The corner of a part, and the index of its model and of the part among those of its height.
    Part(Part, (usize, usize)),
    Whole(Matrix),
}

/// Parts with their corners by the rows that a whole of them has, the narrowest ones first.
type ByHeight = HashMap<u64, Vec<(Part, Signature)>>;

/// The columns of a whole in which a part is looked for.
struct Columns<'a> {
    models: &'a Models,
    whole: Matrix,
    /// The first rows of the whole.
    bytes: &'a [u8],
    /// The first column, and the distance of two if it is known.
    first: u64,
    step: Option<u64>,
    /// The corners of so many columns at such a distance.
    corners: HashMap<(u64, u64), Signature>,
}

/// The search for wholes of the target that consist of base matrices, and for parts of the target
/// in base matrices.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    /// The parts of the base, and those of the target.
    parts: [ByHeight; 2],
    wholes: Vec<(Subject, Stack)>,
    /// The part behind the last one that was found, by model and height. Parts often are in the
    /// order of their wholes.
    turns: HashMap<(usize, u64), usize>,
    /// Comparisons that are left.
    left: u64,
    found: Vec<Found>,
}

impl Sides {
    /// Plans the search for the regions of the target that are not like the base region of their
    /// pair.
    pub(crate) fn new(models: &Models, pairs: &[Option<Place>]) -> Self {
        let is_open = |target: &Subject| matches!(target, Subject::Target(i) if !is_like(models, *target, pairs[*i]));
        let targets: Vec<Subject> = models.targets().filter(is_open).collect();
        if targets.is_empty() {
            return Self::default();
        }
        let parts = [by_height(models, models.base_regions()), by_height(models, targets.iter().copied())];
        let wholes = targets.into_iter().chain(models.base_regions());
        let stacks =
            wholes.flat_map(|subject| Stack::cuts(models.region(subject).1).map(move |stack| (subject, stack)));
        let wholes: Vec<(Subject, Stack)> = stacks.filter(|whole| may_consist_of(models, *whole, &parts)).collect();
        let left = (FEW + models.bytes() / BYTES_PER_COMPARISON).min(COMPARISONS);
        Self { parts, wholes, left, ..Self::default() }
    }

    /// The reads of the rows that hold corners: those of all parts first.
    pub(crate) fn reads(&self, models: &Models) -> Vec<(Read, Rows)> {
        let all = self.wholes.iter().flat_map(|&(subject, stack)| Matrix::all(subject, stack));
        let wholes: Vec<Matrix> = all.take(READS).collect();
        let mut seen = HashSet::new();
        let heights = wholes.iter().map(|whole| (side(whole.subject), whole.stack.rows));
        let heights = heights.filter(|height| seen.insert(*height));
        let of_parts = heights.flat_map(|(side, height)| {
            let parts = self.parts[side].get(&height).into_iter().flatten().enumerate();
            parts.map(move |(i, (part, _))| (part.of.read(models), Rows::Part(*part, (side, i))))
        });
        let of_parts: Vec<(Read, Rows)> = of_parts.collect();
        let of_wholes = wholes.into_iter().map(|whole| (whole.read(models), Rows::Whole(whole)));
        of_parts.into_iter().chain(of_wholes).collect()
    }

    /// Takes the rows of a read.
    pub(crate) fn feed(&mut self, models: &Models, rows: Rows, bytes: &[u8]) {
        match rows {
            Rows::Part(part, (side, index)) => {
                let (high, wide) = (part.height().min(SIDE), part.width().min(SIDE));
                let columns = part.of.stack.columns;
                let place = |row: u64, column: u64| {
                    if part.transposed { column * columns + row } else { row * columns + column }
                };
                let places = (0..high).flat_map(|row| (0..wide).map(move |column| place(row, column)));
                let signature = corner(models, part.of.subject, bytes, places);
                let parts = self.parts[side].get_mut(&part.height()).and_then(|parts| parts.get_mut(index));
                parts.into_iter().for_each(|(_, own)| *own = signature);
            }
            Rows::Whole(whole) => self.follow(models, whole, bytes),
        }
    }

    /// Finds the parts of a whole, one after the other.
    fn follow(&mut self, models: &Models, whole: Matrix, bytes: &[u8]) {
        let mut columns = Columns { models, whole, bytes, first: 0, step: None, corners: HashMap::new() };
        while let Some(found) = self.next(&mut columns) {
            columns.first += if found.step == 1 { found.part.width() } else { 1 };
            columns.step = Some(found.step);
            columns.corners.clear();
            self.found.push(found);
        }
    }

    /// Finds the part that begins at the first column.
    fn next(&mut self, columns: &mut Columns<'_>) -> Option<Found> {
        let (side, stack) = (side(columns.whole.subject), columns.whole.stack);
        let parts = self.parts[side].get(&stack.rows)?;
        let narrow = parts.partition_point(|(part, _)| part.width() <= stack.columns);
        let turn = self.turns.entry((side, stack.rows)).or_default();
        let first = (*turn).min(narrow);
        let mut best: Option<Found> = None;
        for index in (first..narrow).chain(0..first) {
            if self.left == 0 || best.is_some_and(|best| best.share <= SURE) {
                break;
            }
            steps::add(1);
            self.left -= 1;
            let found = columns.compare(parts[index]);
            if let Some(found) = found.filter(|found| best.is_none_or(|best| found.share < best.share)) {
                (*turn, best) = (index + 1, Some(found));
            }
        }
        best
    }

    /// The regions of the target that were found, with the base regions that their rectangles are
    /// of.
    pub(crate) fn finish(self) -> Vec<(usize, Vec<Place>, Arranged)> {
        arrangements(self.found)
    }
}

impl Columns<'_> {
    /// Compares the corner of a part with that of the columns which it would have.
    fn compare(&mut self, (part, corner): (Part, Signature)) -> Option<Found> {
        let (whole, column) = (self.whole, self.first);
        if !part.fits(whole.stack) || !self.models.may_transpose(whole.subject, part.of.subject) {
            return None;
        }
        let within = |step: &u64| column + (part.width() - 1) * step < whole.stack.columns;
        let found = part.steps(whole.stack.columns, self.step).filter(within).filter_map(|step| {
            let share = corner.likeness(&self.corner(part.width().min(SIDE), step)).related_share()?;
            Some(Found { whole, part, column, step, share })
        });
        found.min_by(|a, b| a.share.total_cmp(&b.share))
    }

    /// The signature of so many columns at this distance.
    fn corner(&mut self, wide: u64, step: u64) -> Signature {
        let Self { models, whole, bytes, first, .. } = *self;
        *self.corners.entry((wide, step)).or_insert_with(|| {
            let rows = 0..whole.stack.rows.min(SIDE);
            let places = rows.flat_map(|row| (0..wide).map(move |i| row * whole.stack.columns + first + i * step));
            corner(models, whole.subject, bytes, places)
        })
    }
}

/// The regions that are matrices with a corner, as they are and transposed, by the height of their
/// wholes.
fn by_height(models: &Models, subjects: impl Iterator<Item = Subject>) -> ByHeight {
    let mut parts = ByHeight::new();
    let stacks = subjects.flat_map(|subject| Stack::cuts(models.region(subject).1).map(move |stack| (subject, stack)));
    let stacks = stacks.filter(|(subject, stack)| has_corner(models, *subject, *stack));
    for of in stacks.flat_map(|(subject, stack)| Matrix::all(subject, stack)).take(READS) {
        for transposed in [false, true] {
            let part = Part { of, transposed };
            parts.entry(part.height()).or_default().push((part, Signature::default()));
        }
    }
    parts
        .values_mut()
        .for_each(|parts| parts.sort_by_cached_key(|(part, _)| (part.width(), u64::from(!part.transposed))));
    parts
}

/// The index of the model that the parts of a whole are in.
fn side(whole: Subject) -> usize {
    usize::from(matches!(whole, Subject::Base(_)))
}

/// Returns true if some part of the other model is as high as the matrices of the stack.
fn may_consist_of(models: &Models, (subject, stack): (Subject, Stack), parts: &[ByHeight; 2]) -> bool {
    let narrowest = parts[side(subject)].get(&stack.rows).and_then(|parts| parts.first());
    has_corner(models, subject, stack) && narrowest.is_some_and(|(part, _)| part.fits(stack))
}

/// Returns true for matrices whose corner is large enough to tell them apart, and quick to read.
fn has_corner(models: &Models, subject: Subject, stack: Stack) -> bool {
    let Stack { count, rows, columns } = stack;
    let width = unit(models.region(subject).1.dtype).1;
    let short = columns.checked_mul(rows.min(SIDE) * width).is_some_and(|bytes| bytes <= ROWS);
    count > 0 && rows > 1 && columns > 1 && short && rows.min(SIDE) * columns.min(SIDE) >= LEAST
}
