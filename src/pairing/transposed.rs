//! Pairs of matrices one of which is the other one transposed, as the weights of linear layers are
//! in other frameworks.
//!
//! The extents must be the same in the other order; neighbouring ones may be joined, as they are in
//! the kernels of convolutions and of attention. The corner of the first matrices tells whether the
//! numbers are the same.

use std::collections::{HashMap, HashSet};

use super::corner::{LEAST, ROWS, SIDE, corner};
use super::{Models, Signature, Subject, is_like};
use crate::archive::v2::units;
use crate::arranged::{Arranged, MAX_MEAN, MAX_SPAN, Rectangle};
use crate::chunk::{CHUNK, unit};
use crate::io::Read;
use crate::layout::Region;
use crate::plan::Place;
use crate::transposed::{MAX_MATRIX, Transposed};

/// Maximum number of extents, but for those of 1, that are joined.
const EXTENTS: usize = 5;

/// Maximum number of regions of the base, with the extents of one of the target, that are compared.
const CANDIDATES: usize = 1024;

/// Maximum number of pairs that are compared.
const COMPARISONS: usize = 1 << 22;

/// A region of the target, seen as a stack of so many matrices of so many rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stack {
    pub(super) count: u64,
    pub(super) rows: u64,
    pub(super) columns: u64,
}

/// A base region that a region of the target may be when both are seen as such stacks.
type Candidate = (Place, Stack);

/// The search for the regions of the target that are transposed regions of the base.
#[derive(Debug, Default)]
pub(crate) struct Corners {
    /// The regions of the target, each with the base regions that it may be.
    searched: Vec<(usize, Vec<Candidate>)>,
    /// The signature of each region's corner, in the target's order of words.
    corners: HashMap<(Subject, Stack), Signature>,
}

impl Corners {
    /// Plans the search for the regions of the target that are not like the base region of their
    /// pair.
    pub(crate) fn new(models: &Models, pairs: &[Option<Place>]) -> Self {
        let mut by_stack: HashMap<Stack, Vec<Place>> = HashMap::new();
        for subject in models.base_regions() {
            let Subject::Base(place) = subject else { continue };
            for stack in Stack::all(models.region(subject).1) {
                by_stack.entry(stack.transposed()).or_default().push(place);
            }
        }
        let mut left = COMPARISONS;
        let mut searched = Vec::new();
        for (region, pair) in pairs.iter().enumerate() {
            let target = Subject::Target(region);
            if is_like(models, target, *pair) {
                continue;
            }
            let stacks = Stack::all(models.region(target).1);
            let with_places = stacks.filter_map(|stack| Some((stack, by_stack.get(&stack)?)));
            let found = with_places.flat_map(|(stack, places)| places.iter().map(move |&place| (place, stack)));
            let found: Vec<Candidate> =
                found.filter(|(place, _)| models.may_transpose(target, Subject::Base(*place))).collect();
            if found.is_empty() || found.len() > CANDIDATES.min(left) {
                continue;
            }
            left -= found.len();
            searched.push((region, found));
        }
        Self { searched, corners: HashMap::new() }
    }

    /// The reads of the rows that hold the corners, with their regions and stacks.
    pub(crate) fn reads(&self, models: &Models) -> Vec<(Read, Subject, Stack)> {
        let both = |(region, candidates): &(usize, Vec<Candidate>)| {
            let target = Subject::Target(*region);
            let pair = |&(place, stack): &Candidate| [(target, stack), (Subject::Base(place), stack)];
            candidates.iter().flat_map(pair).collect::<Vec<_>>()
        };
        let mut seen = HashSet::new();
        let wanted = self.searched.iter().flat_map(both).filter(|wanted| seen.insert(*wanted));
        let read = |(subject, stack): (Subject, Stack)| {
            let (rows, columns) = stack.rows_of_corner(subject);
            (models.words(subject, 0..rows * columns), subject, stack)
        };
        wanted.map(read).collect()
    }

    /// Takes the rows that hold the corner of a region.
    pub(crate) fn feed(&mut self, models: &Models, (subject, stack): (Subject, Stack), rows: &[u8]) {
        let ((down, across), (_, columns)) = (stack.corner(), stack.rows_of_corner(subject));
        let place = |row: u64, column: u64| match subject {
            Subject::Target(_) => row * columns + column,
            Subject::Base(_) => column * columns + row,
        };
        let places = (0..down).flat_map(|row| (0..across).map(move |column| place(row, column)));
        self.corners.insert((subject, stack), corner(models, subject, rows, places));
    }

    /// The regions of the target that are transposed regions of the base, with their matrices.
    pub(crate) fn finish(self) -> Vec<(usize, Place, Transposed)> {
        let Self { searched, corners } = self;
        let corner = |subject, stack| corners.get(&(subject, stack)).copied().unwrap_or_default();
        let pair = |(region, candidates): (usize, Vec<Candidate>)| {
            let share = |(place, stack): Candidate| {
                let target = corner(Subject::Target(region), stack);
                Some((target.likeness(&corner(Subject::Base(place), stack)).related_share()?, place, stack))
            };
            let (_, place, stack) = candidates.into_iter().filter_map(share).min_by(|a, b| a.0.total_cmp(&b.0))?;
            Some((region, place, Transposed { rows: stack.columns, columns: stack.rows }))
        };
        searched.into_iter().filter_map(pair).collect()
    }
}

/// The transposed matrices of a region as rectangles: strips of columns whose words in the base are
/// near each other, as those of matrices that are too large for a transposed view are not.
pub(crate) fn strips(transposed: Transposed, target: &Region, width: u64) -> Option<Arranged> {
    let Transposed { rows: wide, columns: high } = transposed;
    let most = (MAX_SPAN / width).checked_sub(CHUNK / wide + 2)? / high;
    let count = units(target) / (wide * high);
    let of_matrix = |matrix: u64| {
        (0..wide).step_by(usize::try_from(most.max(1)).unwrap_or(usize::MAX)).map(move |column| Rectangle {
            origin: 0,
            row: matrix * high,
            rows: high,
            column,
            columns: most.min(wide - column),
            step: 1,
            start: (matrix * wide + column) * high,
            down: 1,
            across: high,
        })
    };
    (most > 0 && wide * high > MAX_MATRIX / width)
        .then(|| Arranged { columns: wide, rectangles: (0..count).flat_map(of_matrix).collect() })
}

impl Stack {
    /// All ways to see a region as a stack of matrices that have a corner.
    fn all(region: &Region) -> impl Iterator<Item = Self> {
        let width = unit(region.dtype).1;
        Self::cuts(region).filter(move |stack| stack.has_corner(width))
    }

    /// All ways to see a region as a stack of matrices.
    pub(super) fn cuts(region: &Region) -> impl Iterator<Item = Self> + use<> {
        let shape: Vec<u64> = region.shape.iter().copied().filter(|&extent| extent != 1).collect();
        let words = units(region);
        let extents = if region.dtype.is_scaled() || shape.len() > EXTENTS { 0 } else { shape.len() };
        let cuts = (0..extents).flat_map(move |first| (first + 1..extents).map(move |second| (first, second)));
        cuts.filter_map(move |(first, second)| {
            let joined = |extents: &[u64]| extents.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent));
            let stack = Self {
                count: joined(&shape[..first])?,
                rows: joined(&shape[first..second])?,
                columns: joined(&shape[second..])?,
            };
            // Units of several numbers, and numbers of several units, are no words of a matrix.
            let all = joined(&[stack.count, stack.rows, stack.columns]);
            (all == Some(words)).then_some(stack)
        })
    }

    /// The stack with the rows and columns of its matrices exchanged.
    fn transposed(self) -> Self {
        Self { count: self.count, rows: self.columns, columns: self.rows }
    }

    /// Rows and columns of the corner. A matrix with fewer of the ones has more of the others in it.
    fn corner(self) -> (u64, u64) {
        let of = |extent: u64, other: u64| extent.min(SIDE * SIDE / other.clamp(1, SIDE));
        (of(self.rows, self.columns), of(self.columns, self.rows))
    }

    /// The rows of a subject's matrices that hold the corner, and the columns of these rows.
    fn rows_of_corner(self, subject: Subject) -> (u64, u64) {
        let (down, across) = self.corner();
        match subject {
            Subject::Target(_) => (down, self.columns),
            Subject::Base(_) => (across, self.rows),
        }
    }

    /// Returns true for matrices with a corner, in this order and in the other one, that is quick to
    /// read. A matrix without words may have any extents, but has no corner.
    fn has_corner(self, width: u64) -> bool {
        let is_short = || {
            let words = self.rows.checked_mul(self.columns);
            words.is_some_and(|words| words <= MAX_MEAN / width) && {
                let (down, across) = self.corner();
                down * across >= LEAST && (down * self.columns).max(across * self.rows) * width <= ROWS
            }
        };
        self.count > 0 && self.rows > 1 && self.columns > 1 && is_short()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;

    /// The strips of so many matrices of so many rows and columns, if a view may have them.
    fn checked(count: u64, rows: u64, columns: u64, dtype: Dtype) -> Option<Arranged> {
        let shape = vec![count, columns, rows];
        let length = dtype.tensor_bytes(&shape).unwrap();
        let region = Region { name: "w".into(), dtype, shape, offset: 0, length };
        let arranged = strips(Transposed { rows, columns }, &region, unit(dtype).1)?;
        arranged.check(&region, &[dtype]).ok().map(|()| arranged)
    }

    #[test]
    fn large_matrices_are_strips_of_columns() {
        let strips = checked(3, 4096, 14336, Dtype::F16).unwrap();
        let row: u64 = strips.rectangles.iter().filter(|strip| strip.row == 14336).map(|strip| strip.columns).sum();
        assert_eq!((strips.columns, row, strips.rectangles.len()), (4096, 4096, 12));
        assert!(checked(1, 28672, 8192, Dtype::F16).is_none());
        assert!(checked(1, 2, 1 << 25, Dtype::F16).is_none());
        // Those that a transposed view may have.
        assert!(checked(1 << 20, 4, 4, Dtype::F16).is_none());
    }
}
