//! Matrices, and the places at which others were found in them.

use std::collections::{BTreeMap, HashMap};

use super::corner::SIDE;
use super::sides::IN_TURN;
use super::{Models, Stack, Subject};
use crate::arranged::{Arranged, Rectangle};
use crate::io::Read;
use crate::plan::Place;

/// A matrix of a region that is seen as a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Matrix {
    pub(super) subject: Subject,
    pub(super) stack: Stack,
    /// Its number in the stack.
    pub(super) number: u64,
}

/// A matrix that may be a part of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    pub(super) of: Matrix,
    /// Its columns are the rows of the whole.
    pub(super) transposed: bool,
}

/// A part that was found in a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) whole: Matrix,
    pub(super) part: Part,
    /// The first column in the whole, and the distance of two.
    pub(super) column: u64,
    pub(super) step: u64,
    /// The share of differing bits.
    pub(super) share: f32,
}

/// The regions of the target whose matrices were found, with the base regions that their rectangles
/// are of.
pub(super) fn arrangements(found: Vec<Found>) -> Vec<(usize, Vec<Place>, Arranged)> {
    let mut arrangements: BTreeMap<(usize, bool, Stack), Arrangement> = BTreeMap::new();
    for found in best_of(found) {
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

/// The parts that were found, in the order of the rows of the target's regions. Of wholes that have
/// the same part, the one that is most like it stays.
fn best_of(mut found: Vec<Found>) -> Vec<Found> {
    let key = |found: &Found| (found.of_target().number, found.column);
    let is_part = |found: &Found| matches!(found.part.of.subject, Subject::Target(_));
    // Shares are not negative, so that their bits have the order of the numbers.
    found.sort_by_cached_key(|found| (u64::from(found.share.to_bits()), 0u64));
    found.sort_by_cached_key(key);
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
    pub(super) fn height(self) -> u64 {
        if self.transposed { self.of.stack.columns } else { self.of.stack.rows }
    }

    /// Columns that it takes in its whole.
    pub(super) fn width(self) -> u64 {
        if self.transposed { self.of.stack.rows } else { self.of.stack.columns }
    }

    /// Returns true if the part is narrower than its whole, or is one of several matrices that are
    /// transposed: others are pairs or chains.
    pub(super) fn fits(self, stack: Stack) -> bool {
        self.width() < stack.columns || self.width() == stack.columns && self.transposed && stack.count > 1
    }

    /// The distances that its columns may have in a whole of so many: the given one, if it is
    /// known.
    pub(super) fn steps(self, columns: u64, known: Option<u64>) -> impl Iterator<Item = u64> {
        let in_turn = columns / self.width();
        let may = (2..=IN_TURN).contains(&in_turn) && columns.is_multiple_of(self.width());
        let all = [Some(1), may.then_some(in_turn)].into_iter().flatten();
        all.filter(move |step| known.is_none_or(|known| known == *step))
    }
}

impl Matrix {
    /// The matrices of a stack.
    pub(super) fn all(subject: Subject, stack: Stack) -> impl Iterator<Item = Self> {
        (0..stack.count).map(move |number| Self { subject, stack, number })
    }

    /// The first word of the matrix in its region.
    pub(super) fn start(self) -> u64 {
        self.number * self.stack.rows * self.stack.columns
    }

    /// The read of the rows that hold its corners.
    pub(super) fn read(self, models: &Models) -> Read {
        let rows = self.stack.rows.min(SIDE);
        models.words(self.subject, self.start()..self.start() + rows * self.stack.columns)
    }
}
