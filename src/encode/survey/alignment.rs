//! Matrices whose rows were added, removed, moved or mixed: their rows are read and aligned with
//! those of a pool, which is one matrix of the base or several.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::STEP;
use crate::archive::v2::View;
use crate::chunk::is_integer;
use crate::io::Read;
use crate::layout::{Dtype, Region};
use crate::pairing::{
    Joined, Likeness, MOVED, Models, RowIndex, RowRun, Signature, Subject, align, bytes_of, columns, of_row,
    rectangles, weights,
};
use crate::plan::Place;
use crate::quant::weights_per_unit;

/// Minimum number of columns of a row that can be recognised.
const LEAST: u64 = 32;

/// Maximum number of rows of a pool of several matrices. A row takes 8 bytes.
const POOLED: u64 = 1 << 20;

/// Bytes of all inputs for each of which another row may be aligned, beyond [`POOLED`] of them.
const BYTES_PER_ROW: u64 = 1 << 10;

/// The alignments that are under way. By default there is no room for any.
#[derive(Debug, Default)]
pub(super) struct Alignments {
    matrices: Vec<Matrix>,
    /// The pools, in the order of the matrices that are looked for in them.
    pools: Vec<Pool>,
    /// The rows that more matrices and pools may have.
    rows_left: u64,
    /// The rows of each queued read.
    queue: VecDeque<Rows>,
}

/// A matrix of the target, with the signatures of its rows.
#[derive(Debug)]
struct Matrix {
    region: usize,
    /// Index of the pool that its rows are looked for in.
    pool: usize,
    signatures: Vec<u64>,
}

/// Matrices of the base, with the signatures of their rows one after the other.
#[derive(Debug, Default)]
struct Pool {
    /// The matrices, and the row that each one begins with.
    places: Vec<(u64, Place)>,
    rows: u64,
    signatures: Vec<u64>,
}

/// Rows that one read holds.
#[derive(Debug)]
struct Rows {
    of: Owner,
    dtype: Dtype,
    /// Bytes of a row.
    bytes: usize,
}

/// The index of the matrix or of the pool that rows belong to.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Matrix(usize),
    Pool(usize),
}

/// The matrices that may share a pool: those of one dtype, with as many columns.
pub(super) type Group = (Dtype, u64);

impl Alignments {
    pub(super) fn new(models: &Models) -> Self {
        Self { rows_left: most_rows(models), ..Self::default() }
    }

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
            let rows = [Subject::Target(region), Subject::Base(place)].map(|subject| rows(models, subject, columns));
            if self.take(rows[0].saturating_add(rows[1])) {
                self.add_matrix(models, region, columns, &mut reads);
                self.pools.push(Pool::default());
                self.add_to_pool(models, place, columns, &mut reads);
            }
        }
        reads
    }

    /// Plans to align the matrices of `groups` that have no partner, and are not planned yet, with
    /// all matrices of the base that are nobody's partner; but only the regions that are open.
    pub(super) fn plan_pools(
        &mut self,
        models: &Models,
        pairs: &[Option<Place>],
        groups: &HashSet<Group>,
        is_open: impl Fn(usize) -> bool,
    ) -> Vec<Read> {
        let planned: HashSet<usize> = self.matrices.iter().map(|matrix| matrix.region).collect();
        let taken: HashSet<Place> = pairs.iter().flatten().copied().collect();
        let mut open: BTreeMap<(u8, u64), Vec<usize>> = BTreeMap::new();
        let is_open = |&region: &usize| pairs[region].is_none() && !planned.contains(&region) && is_open(region);
        for region in (0..pairs.len()).filter(is_open) {
            let group = group(models, Subject::Target(region)).filter(|group| groups.contains(group));
            if let Some((dtype, columns)) = group {
                open.entry((dtype.number(), columns)).or_default().push(region);
            }
        }
        let mut reads = Vec::new();
        for ((_, columns), regions) in open {
            let places = pooled(models, regions[0], columns, &taken);
            let pool = places.iter().map(|&place| rows(models, Subject::Base(place), columns)).sum();
            if places.is_empty() || !self.take(pool) {
                continue;
            }
            for region in regions {
                if self.take(rows(models, Subject::Target(region), columns)) {
                    self.add_matrix(models, region, columns, &mut reads);
                }
            }
            self.pools.push(Pool::default());
            places.into_iter().for_each(|place| self.add_to_pool(models, place, columns, &mut reads));
        }
        reads
    }

    /// Takes room for so many rows; returns `false` if there is not enough.
    fn take(&mut self, rows: u64) -> bool {
        let left = self.rows_left.checked_sub(rows);
        self.rows_left = left.unwrap_or(self.rows_left);
        left.is_some()
    }

    /// Adds a matrix of the target whose rows are looked for in the pool that is added next.
    fn add_matrix(&mut self, models: &Models, region: usize, columns: u64, reads: &mut Vec<Read>) {
        self.matrices.push(Matrix { region, pool: self.pools.len(), signatures: Vec::new() });
        self.read(models, Subject::Target(region), columns, Owner::Matrix(self.matrices.len() - 1), reads);
    }

    /// Adds a matrix of the base to the last pool.
    fn add_to_pool(&mut self, models: &Models, place: Place, columns: u64, reads: &mut Vec<Read>) {
        let last = self.pools.len() - 1;
        let pool = &mut self.pools[last];
        pool.places.push((pool.rows, place));
        pool.rows += rows(models, Subject::Base(place), columns);
        self.read(models, Subject::Base(place), columns, Owner::Pool(last), reads);
    }

    fn read(&mut self, models: &Models, subject: Subject, columns: u64, of: Owner, reads: &mut Vec<Read>) {
        let (source, region) = models.region(subject);
        let Some(row) = bytes_of(region, columns) else { return };
        let step = STEP / row * row;
        for start in region.range().step_by(step as usize) {
            reads.push(Read::new(source, start..(start + step).min(region.range().end)));
            self.queue.push_back(Rows { of, dtype: region.dtype, bytes: row as usize });
        }
    }

    /// Takes the bytes of the next read.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Some(rows) = self.queue.pop_front() else { return };
        let signatures = match rows.of {
            Owner::Matrix(matrix) => &mut self.matrices[matrix].signatures,
            Owner::Pool(pool) => &mut self.pools[pool].signatures,
        };
        signatures.extend(bytes.chunks_exact(rows.bytes).map(|row| of_row(rows.dtype, row)));
    }

    /// Returns the regions of the target whose rows were found, with their views. A few rows of
    /// many are no counterpart in a pool of several matrices, where some are alike by chance. A
    /// pair stays as it is if few of its rows have moved.
    pub(super) fn finish(self, models: &Models, pairs: &[Option<Place>]) -> Vec<(usize, View)> {
        let Self { matrices, pools, .. } = self;
        let mut matrices = matrices.into_iter().peekable();
        let mut views = Vec::new();
        for (number, mut pool) in pools.into_iter().enumerate() {
            // An index takes much more memory than its rows, and is there for one pool at a time.
            let index = RowIndex::new(std::mem::take(&mut pool.signatures));
            while let Some(matrix) = matrices.next_if(|matrix| matrix.pool == number) {
                let aligned = align(&matrix.signatures, &index);
                let found: u64 = aligned.iter().map(|run| run.count).sum();
                let rows = matrix.signatures.len() as u64;
                let moved: u64 = aligned.iter().filter(|run| run.target != run.base).map(|run| run.count).sum();
                if pairs[matrix.region].is_some() && moved < rows / MOVED {
                    continue;
                }
                if pool.places.len() == 1 || found * 2 >= rows {
                    let arranged = pool.arranged(models, matrix.region, rows, &aligned);
                    let view = arranged.unwrap_or_else(|| pool.view(models, matrix.region, rows, &aligned));
                    views.push((matrix.region, view));
                }
            }
        }
        views
    }
}

impl Pool {
    /// The view of a region as rectangles, if the rows of its only matrix are at even distances.
    fn arranged(&self, models: &Models, region: usize, rows: u64, aligned: &[RowRun]) -> Option<View> {
        let [(_, place)] = self.places[..] else { return None };
        let target = &models.target.regions[region];
        let arranged = rectangles(aligned, rows, weights(target) / rows.max(1))?;
        let origin = models.bases.origin(place);
        arranged.check(target, &[origin.dtype]).ok()?;
        Some(View::arranged(target, vec![origin], arranged))
    }

    /// The view of a region of `rows` rows that are aligned with the pool's like this.
    fn view(&self, models: &Models, region: usize, rows: u64, aligned: &[RowRun]) -> View {
        let target = &models.target.regions[region];
        let columns = weights(target) / rows.max(1);
        let units = |dtype: Dtype| columns / weights_per_unit(dtype);
        let mut joined = Joined::default();
        for run in aligned {
            joined.skip_to(run.target * units(target.dtype));
            for (place, first, count) in self.split(run) {
                let first = first * units(models.bases.region(place).dtype);
                joined.add(models, place, first, count * units(target.dtype));
            }
        }
        joined.finish(rows * units(target.dtype))
    }

    /// The matrices that a run goes through, each with its first row and its number of rows.
    fn split(&self, run: &RowRun) -> Vec<(Place, u64, u64)> {
        let end = run.base + run.count;
        let first = self.places.partition_point(|&(start, _)| start <= run.base).saturating_sub(1);
        let ends = self.places.iter().skip(1).map(|&(start, _)| start).chain([self.rows]);
        let matrices = self.places.iter().zip(ends).skip(first).take_while(|&(&(start, _), _)| start < end);
        let part = |(&(start, place), behind): (&(u64, Place), u64)| {
            let from = run.base.max(start);
            (place, from - start, end.min(behind) - from)
        };
        matrices.map(part).filter(|&(_, _, count)| count > 0).collect()
    }
}

/// The most rows that may be aligned in all matrices and pools of these models.
fn most_rows(models: &Models) -> u64 {
    POOLED + models.bytes() / BYTES_PER_ROW
}

/// The rows of a matrix of so many columns.
fn rows(models: &Models, subject: Subject, columns: u64) -> u64 {
    models.measure(subject).1 / columns
}

/// The group of a tensor whose rows can be recognised. The leading extents are joined, since
/// experts are stacked in them.
pub(super) fn group(models: &Models, subject: Subject) -> Option<Group> {
    let region = models.region(subject).1;
    let columns = shortest_row(region).filter(|&columns| is_row(region, columns))?;
    Some((region.dtype, columns))
}

/// The shortest row of a region that can be recognised, in weights: its last extents joined.
fn shortest_row(region: &Region) -> Option<u64> {
    // The product of all of them is known to fit.
    columns(region)?;
    let mut joined = region.shape[1..].iter().rev().scan(1, |row, &extent| {
        *row *= extent;
        Some(*row)
    });
    joined.find(|&row| row >= LEAST)
}

/// Returns `true` if rows of so many columns can be recognised in a region, and read at once.
fn is_row(region: &Region, columns: u64) -> bool {
    columns >= LEAST && bytes_of(region, columns).is_some_and(|row| row <= STEP)
}

/// The matrices of the base that may hold rows of the target's `region`, except for those taken.
fn pooled(models: &Models, region: usize, columns: u64, taken: &HashSet<Place>) -> Vec<Place> {
    let target = models.target.regions[region].dtype;
    let mut pooled = 0;
    let fits = |subject: Subject| {
        let Subject::Base(place) = subject else { return None };
        let (dtype, others) = group(models, subject)?;
        let same = others == columns && (dtype == target || !is_integer(target));
        let free = !taken.contains(&place) && models.may_pair(Subject::Target(region), subject);
        (same && free).then_some(place)
    };
    let places = models.base_regions().filter_map(fits);
    let within = places.take_while(|&place| {
        pooled += rows(models, Subject::Base(place), columns);
        pooled <= POOLED
    });
    within.collect()
}

/// The base matrix to align with a region of the target, and the columns of both.
fn candidate(
    models: &Models,
    region: usize,
    pair: Option<Place>,
    second_rows: &HashMap<Subject, Signature>,
) -> Option<(Place, u64)> {
    let target = &models.target.regions[region];
    let columns_of_row = columns(target).filter(|&columns| is_row(target, columns))?;
    let fits = |place: &Place| {
        let base = models.bases.region(*place);
        let pairs = models.may_pair(Subject::Target(region), Subject::Base(*place));
        pairs && columns(base) == Some(columns_of_row) && is_row(base, columns_of_row)
    };
    let likeness = |signatures: &HashMap<Subject, Signature>, place| {
        let both = [Subject::Target(region), Subject::Base(place)].map(|subject| signatures.get(&subject));
        if let [Some(target), Some(base)] = both { target.likeness(base) } else { Likeness::Unknown }
    };
    // All rows are compared then, so that few words may tell.
    let moved = |pair: &Place| likeness(second_rows, *pair).is_unlike();
    if let Some(pair) = pair.filter(moved) {
        return fits(&pair).then_some((pair, columns_of_row));
    }
    let place = models.bases.named(&target.name).iter().copied().find(fits)?;
    let differs = pair.is_none_or(|pair| pair == place && likeness(&models.starts, place).is_unrelated());
    differs.then_some((place, columns_of_row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Kind, Layout};
    use crate::plan::BaseSet;

    /// A file of matrices of so many rows of 32 bytes.
    fn file(matrices: u64, rows: u64) -> Layout {
        let length = rows * LEAST;
        let region = |i: u64| Region {
            name: format!("w{i}"),
            dtype: Dtype::U8,
            shape: vec![rows, LEAST],
            offset: i * length,
            length,
        };
        let regions = (0..matrices).map(region).collect();
        Layout { kind: Kind::Safetensors, file_length: matrices * length, regions, ..Layout::default() }
    }

    /// Rows may be so short that their signatures are a quarter of them.
    #[test]
    fn the_rows_of_all_matrices_have_a_limit() {
        let (matrices, rows) = (64, 1 << 15);
        let (target, bases) = (file(matrices, rows + 1), BaseSet::new(vec![file(matrices, rows)]));
        let models = Models { target, bases, starts: HashMap::new() };
        let pairs = vec![None; matrices as usize];
        let planned = |reads: Vec<Read>| reads.iter().map(|read| read.length).sum::<u64>() / LEAST;
        let most = most_rows(&models);
        let by_name = planned(Alignments::new(&models).plan(&models, &pairs, &HashMap::new(), |_| true));
        let groups = HashSet::from([(Dtype::U8, LEAST)]);
        let pooled = planned(Alignments::new(&models).plan_pools(&models, &pairs, &groups, |_| true));
        assert!(most < 2 * POOLED && (most - 2 * rows..=most).contains(&by_name), "{by_name} of {most}");
        assert!((most - 2 * rows..=most).contains(&pooled), "{pooled} of {most}");
    }
}
