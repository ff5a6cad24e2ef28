//! Matrices that stand side by side in the columns of another one, as the parts of fused matrices
//! do where the columns are outputs, and the shards of matrices that were cut between columns.
//!
//! A matrix, the *whole*, may be one of a stack. Its *parts* are matrices of the other model, as
//! high as it is if they are taken as they are or transposed. They are next to each other, or have
//! their columns in turn. The corner of a part is looked for behind the part before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Models, Signature, Stack, Subject, is_like};
use crate::arranged::{Arranged, Rectangle};
use crate::chunk::unit;
use crate::io::Read;
use crate::plan::Place;
use crate::steps;
use crate::transposed::can_transpose;

/// Rows and columns of a corner.
const SIDE: u64 = 16;

/// Minimum number of words of a corner.
const LEAST: u64 = 64;

/// Maximum number of bytes of the rows that hold the corners of a matrix.
const ROWS: u64 = 4 << 20;

/// Maximum number of matrices whose rows are read.
const READS: usize = 1 << 16;

/// Maximum number of comparisons of signatures.
const COMPARISONS: u64 = 1 << 26;

/// Comparisons that the smallest models may take, and bytes of all inputs for each further one.
const FEW: u64 = 1 << 20;
const BYTES_PER_COMPARISON: u64 = 16;

/// Share of differing bits up to which no other part is looked for.
const SURE: f32 = 0.14;

/// Maximum number of parts whose columns are in turn.
const IN_TURN: u64 = 64;

/// A matrix of a region that is seen as a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Matrix {
    subject: Subject,
    stack: Stack,
    /// Its number in the stack.
    number: u64,
}

/// A matrix that may be a part of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    of: Matrix,
    /// Its columns are the rows of the whole.
    transposed: bool,
}

/// The purpose of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    Part(Part),
    Whole(Matrix),
}

/// A part that was found in a whole.
#[derive(Debug, Clone, Copy)]
struct Found {
    whole: Matrix,
    part: Part,
    /// The first column in the whole, and the distance of two.
    column: u64,
    step: u64,
    /// The share of differing bits.
    share: f32,
}

/// Parts by the rows that a whole of them has, the narrowest ones first.
type ByHeight = HashMap<u64, Vec<Part>>;

/// The search for wholes of the target that consist of base matrices, and for parts of the target
/// in base matrices.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    /// The parts of the base, and those of the target.
    parts: [ByHeight; 2],
    wholes: Vec<(Subject, Stack)>,
    corners: HashMap<Part, Signature>,
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
        let parts = heights.flat_map(|(side, height)| self.parts[side].get(&height).into_iter().flatten());
        let parts: Vec<Part> = parts.copied().collect();
        let of_parts = parts.into_iter().map(|part| (part.of.read(models), Rows::Part(part)));
        let of_wholes = wholes.into_iter().map(|whole| (whole.read(models), Rows::Whole(whole)));
        of_parts.chain(of_wholes).collect()
    }

    /// Takes the rows of a read.
    pub(crate) fn feed(&mut self, models: &Models, rows: Rows, bytes: &[u8]) {
        match rows {
            Rows::Part(part) => {
                let (high, wide) = (part.height().min(SIDE), part.width().min(SIDE));
                let columns = part.of.stack.columns;
                let place = |row: u64, column: u64| {
                    if part.transposed { column * columns + row } else { row * columns + column }
                };
                let places = (0..high).flat_map(|row| (0..wide).map(move |column| place(row, column)));
                self.corners.insert(part, corner(models, part.of.subject, bytes, places));
            }
            Rows::Whole(whole) => self.follow(models, whole, bytes),
        }
    }

    /// Finds the parts of a whole, one after the other.
    fn follow(&mut self, models: &Models, whole: Matrix, bytes: &[u8]) {
        let (mut column, mut step) = (0, None);
        while let Some(found) = self.next(models, whole, bytes, (column, step)) {
            column += if found.step == 1 { found.part.width() } else { 1 };
            step = Some(found.step);
            self.found.push(found);
        }
    }

    /// Finds the part that begins at this column. The distance of its columns is the given one, if
    /// a part was found before it.
    fn next(
        &mut self,
        models: &Models,
        whole: Matrix,
        bytes: &[u8],
        (column, step): (u64, Option<u64>),
    ) -> Option<Found> {
        let columns = whole.stack.columns;
        let mut signatures: HashMap<(u64, u64), Signature> = HashMap::new();
        let mut best: Option<Found> = None;
        let mut compared = 0;
        for &part in self.candidates(whole.subject, whole.stack) {
            steps::add(1);
            compared += 1;
            if compared > self.left || best.is_some_and(|best| best.share <= SURE) {
                break;
            }
            for of in part.steps(columns, step) {
                let last = column + (part.width() - 1) * of;
                if last >= columns || !fits(models, whole, part) {
                    continue;
                }
                let wide = part.width().min(SIDE);
                let signature = *signatures.entry((wide, of)).or_insert_with(|| {
                    let rows = 0..whole.stack.rows.min(SIDE);
                    let places = rows.flat_map(|row| (0..wide).map(move |i| row * columns + column + i * of));
                    corner(models, whole.subject, bytes, places)
                });
                let own = self.corners.get(&part).copied().unwrap_or_default();
                if let Some(share) = own.likeness(&signature).related_share()
                    && best.is_none_or(|best| share < best.share)
                {
                    best = Some(Found { whole, part, column, step: of, share });
                }
            }
        }
        self.left = self.left.saturating_sub(compared);
        best
    }

    /// The parts of the other model that a whole of this one may have.
    fn candidates(&self, whole: Subject, stack: Stack) -> impl Iterator<Item = &Part> {
        let parts = self.parts[side(whole)].get(&stack.rows).into_iter().flatten();
        parts.take_while(move |part| part.width() <= stack.columns).filter(move |part| part.fits(stack))
    }

    /// The regions of the target that were found, with the base regions that their rectangles are
    /// of.
    pub(crate) fn finish(self) -> Vec<(usize, Vec<Place>, Arranged)> {
        let mut arrangements: BTreeMap<(usize, bool, Stack), Arrangement> = BTreeMap::new();
        for found in self.best_found() {
            let (Subject::Target(region), Subject::Base(place)) = found.subjects() else { continue };
            let of = found.of_target();
            let key = (region, of == found.part.of, of.stack);
            let empty = || Arrangement::new(of.stack.columns);
            arrangements.entry(key).or_insert_with(empty).add(place, &found);
        }
        let mut best: BTreeMap<usize, Arrangement> = BTreeMap::new();
        for ((region, ..), arrangement) in arrangements {
            if best.get(&region).is_none_or(|best| best.area() < arrangement.area()) {
                best.insert(region, arrangement);
            }
        }
        best.into_iter().map(|(region, Arrangement { places, arranged })| (region, places, arranged)).collect()
    }

    /// What was found, in the order of the rows of the target's regions. Of the wholes that have
    /// the same part, the one that is most like it stays.
    fn best_found(self) -> Vec<Found> {
        let mut found = self.found;
        let key = |found: &Found| (found.of_target().number, found.column);
        let is_part = |found: &Found| matches!(found.part.of.subject, Subject::Target(_));
        found.sort_by(|a, b| key(a).cmp(&key(b)).then(a.share.total_cmp(&b.share)));
        let mut best: HashMap<Matrix, f32> = HashMap::new();
        for found in found.iter().filter(|found| is_part(found)) {
            let least = best.entry(found.part.of).or_insert(found.share);
            *least = least.min(found.share);
        }
        found.retain(|found| {
            let Some(&least) = best.get(&found.part.of).filter(|_| is_part(found)) else { return true };
            let first = found.share <= least;
            if first {
                best.insert(found.part.of, -1.0);
            }
            first
        });
        found
    }
}

/// The rectangles of a region of the target.
#[derive(Debug)]
struct Arrangement {
    places: Vec<Place>,
    arranged: Arranged,
}

impl Arrangement {
    fn new(columns: u64) -> Self {
        Self { places: Vec::new(), arranged: Arranged { columns, rectangles: Vec::new() } }
    }

    fn add(&mut self, place: Place, found: &Found) {
        let known = self.places.iter().rposition(|known| *known == place);
        let origin = known.unwrap_or(self.places.len());
        self.places.extend(known.is_none().then_some(place));
        self.arranged.rectangles.push(found.rectangle(origin as u32));
    }

    fn area(&self) -> u64 {
        self.arranged.rectangles.iter().map(|rectangle| rectangle.rows * rectangle.columns).sum()
    }
}

impl Found {
    /// The region of the target, and that of the base.
    fn subjects(&self) -> (Subject, Subject) {
        let [whole, part] = [self.whole.subject, self.part.of.subject];
        if let Subject::Target(_) = whole { (whole, part) } else { (part, whole) }
    }

    /// The matrix of the target.
    fn of_target(&self) -> Matrix {
        if let Subject::Target(_) = self.whole.subject { self.whole } else { self.part.of }
    }

    /// The rectangle of the target's region.
    fn rectangle(&self, origin: u32) -> Rectangle {
        let Self { whole, part, column, step, .. } = *self;
        let (row, stack) = (self.of_target().number * self.of_target().stack.rows, part.of.stack);
        if let Subject::Target(_) = whole.subject {
            let (down, across) = if part.transposed { (1, stack.columns) } else { (stack.columns, 1) };
            let (rows, columns, start) = (part.height(), part.width(), part.of.start());
            return Rectangle { origin, row, rows, column, columns, step, start, down, across };
        }
        let (down, across) = if part.transposed { (step, whole.stack.columns) } else { (whole.stack.columns, step) };
        let (Stack { rows, columns, .. }, start) = (stack, whole.start() + column);
        Rectangle { origin, row, rows, column: 0, columns, step: 1, start, down, across }
    }
}

impl Part {
    /// Rows of a whole of which it is a part.
    fn height(self) -> u64 {
        if self.transposed { self.of.stack.columns } else { self.of.stack.rows }
    }

    /// Columns that it takes in its whole.
    fn width(self) -> u64 {
        if self.transposed { self.of.stack.rows } else { self.of.stack.columns }
    }

    /// Returns true if the part is narrower than its whole, or is one of several matrices that are
    /// transposed: others are pairs or chains.
    fn fits(self, stack: Stack) -> bool {
        self.width() < stack.columns || self.width() == stack.columns && self.transposed && stack.count > 1
    }

    /// The distances that its columns may have in a whole of so many: the given one, if it is
    /// known.
    fn steps(self, columns: u64, known: Option<u64>) -> impl Iterator<Item = u64> {
        let in_turn = columns / self.width();
        let may = (2..=IN_TURN).contains(&in_turn) && columns.is_multiple_of(self.width());
        let all = [Some(1), may.then_some(in_turn)].into_iter().flatten();
        all.filter(move |step| known.is_none_or(|known| known == *step))
    }
}

impl Matrix {
    /// The matrices of a stack.
    fn all(subject: Subject, stack: Stack) -> impl Iterator<Item = Self> {
        (0..stack.count).map(move |number| Self { subject, stack, number })
    }

    /// The first word of the matrix in its region.
    fn start(self) -> u64 {
        self.number * self.stack.rows * self.stack.columns
    }

    /// The read of the rows that hold its corners.
    fn read(self, models: &Models) -> Read {
        let rows = self.stack.rows.min(SIDE);
        models.words(self.subject, self.start()..self.start() + rows * self.stack.columns)
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
            parts.entry(part.height()).or_default().push(part);
        }
    }
    parts.values_mut().for_each(|parts| parts.sort_by_key(|part| (part.width(), !part.transposed)));
    parts
}

/// The index of the model that the parts of a whole are in.
fn side(whole: Subject) -> usize {
    usize::from(matches!(whole, Subject::Base(_)))
}

/// Returns true if some part of the other model is as high as the matrices of the stack.
fn may_consist_of(models: &Models, (subject, stack): (Subject, Stack), parts: &[ByHeight; 2]) -> bool {
    let narrowest = parts[side(subject)].get(&stack.rows).and_then(|parts| parts.first());
    has_corner(models, subject, stack) && narrowest.is_some_and(|part| part.fits(stack))
}

/// Returns true for matrices whose corner is large enough to tell them apart, and quick to read.
fn has_corner(models: &Models, subject: Subject, stack: Stack) -> bool {
    let Stack { count, rows, columns } = stack;
    let width = unit(models.region(subject).1.dtype).1;
    let short = columns.checked_mul(rows.min(SIDE) * width).is_some_and(|bytes| bytes <= ROWS);
    count > 0 && rows > 1 && columns > 1 && short && rows.min(SIDE) * columns.min(SIDE) >= LEAST
}

/// Returns true if words of one of them may serve the other one.
fn fits(models: &Models, whole: Matrix, part: Part) -> bool {
    let dtypes = [whole.subject, part.of.subject].map(|subject| models.region(subject).1.dtype);
    match whole.subject {
        Subject::Target(_) => can_transpose(dtypes[1], dtypes[0]),
        Subject::Base(_) => can_transpose(dtypes[0], dtypes[1]),
    }
}

/// The signature of the words at some places of a region's rows.
fn corner(models: &Models, subject: Subject, rows: &[u8], places: impl Iterator<Item = u64>) -> Signature {
    let dtype = models.region(subject).1.dtype;
    let width = unit(dtype).1 as usize;
    let word = |place: u64| rows.get(place as usize * width..(place as usize + 1) * width).unwrap_or_default();
    let words: Vec<u8> = places.flat_map(word).copied().collect();
    Signature::of(dtype, &words)
}
