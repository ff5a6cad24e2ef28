//! The alignment of the rows of two tensors: rows that were added, removed or moved.

use std::collections::HashMap;

use crate::arranged::{Arranged, Rectangle};

/// Differing bits of two rows up to which the second may follow its predecessor.
const FOLLOWS: u32 = 22;

/// Differing bits of two rows up to which one is taken to be the other, wherever it is.
const SAME: u32 = 14;

/// Rows that share a band of bits and are compared; more of them are alike and tell nothing.
const COMPARED: usize = 8;

/// Rows of the target that are rows of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRun {
    /// The first row of the target.
    pub(crate) target: u64,
    /// The first row of the base.
    pub(crate) base: u64,
    /// Number of rows.
    pub(crate) count: u64,
}

/// Aligns rows by their signatures. The runs are in the order of the target, and leave out the rows
/// that have no counterpart.
pub(crate) fn align(target: &[u64], index: &RowIndex) -> Vec<RowRun> {
    let base = index.rows.as_slice();
    let mut runs: Vec<RowRun> = Vec::new();
    for (row, &signature) in target.iter().enumerate() {
        let row = row as u64;
        let differing = |row: u64| base.get(row as usize).map(|other| (other ^ signature).count_ones());
        let last = runs.last_mut().filter(|run| run.target + run.count == row);
        if let Some(run) = last {
            let next = differing(run.base + run.count);
            // A row that is less alike may follow by chance, where rows were moved.
            let follows = |differing: u32| differing <= SAME || index.find(signature).is_none();
            if next.is_some_and(|differing| differing <= FOLLOWS && follows(differing)) {
                run.count += 1;
                continue;
            }
        }
        // The row of the same number is as good as any that is as much alike, since most rows do
        // not move.
        let own = Some(row).filter(|row| differing(*row).is_some_and(|own| own <= SAME));
        let found = index.find(signature).filter(|found| own.is_none_or(|own| differing(*found) < differing(own)));
        if let Some(base) = found.or(own) {
            runs.push(RowRun { target: row, base, count: 1 });
        }
    }
    runs
}

/// Rows of the target that may take turns, as the halves of rotary heads do.
const TURNS: [usize; 2] = [1, 2];

/// Runs of rows for which a rectangle must stand at least.
const RUNS: usize = 4;

/// The aligned rows of a matrix of so many rows and columns as rectangles, if these are much fewer
/// than the runs: rows of the base at even distances, as those of permuted heads are.
pub(crate) fn rectangles(runs: &[RowRun], rows: u64, columns: u64) -> Option<Arranged> {
    let mut bases = vec![None; rows as usize];
    for run in runs {
        (0..run.count).for_each(|i| bases[(run.target + i) as usize] = Some(run.base + i));
    }
    let may = TURNS.into_iter().filter(|&turns| bases.len().is_multiple_of(turns));
    let all = may.filter_map(|turns| in_turns(&in_order(&bases, turns), turns, columns, runs.len() / RUNS));
    all.min_by_key(|arranged| arranged.rectangles.len())
}

/// The rows, where every so many are in one order: a row between others at even distances is the
/// one between theirs, whatever its signature tells.
fn in_order(bases: &[Option<u64>], turns: usize) -> Vec<Option<u64>> {
    let base = |row: Option<usize>| row.and_then(|row| *bases.get(row)?);
    let step = |from: Option<u64>, to: Option<u64>| to?.checked_sub(from?);
    let between = |row: usize| {
        let [far, near] = [2 * turns, turns].map(|rows| base(row.checked_sub(rows)));
        let [next, last] = [turns, 2 * turns].map(|rows| base(row.checked_add(rows)));
        let both = step(near, next).filter(|both| both.is_multiple_of(2))?;
        let is_even = [step(far, near), step(next, last)].contains(&Some(both / 2));
        near.filter(|_| is_even).map(|near| near + both / 2)
    };
    bases.iter().enumerate().map(|(row, base)| between(row).or(*base)).collect()
}

/// The rows as at most `most` rectangles in a matrix that has so many of them side by side in each
/// row.
fn in_turns(bases: &[Option<u64>], turns: usize, columns: u64, most: usize) -> Option<Arranged> {
    let mut rectangles: Vec<Rectangle> = Vec::new();
    // The rectangles from here on go on.
    let mut open = 0;
    for (row, bases) in bases.chunks_exact(turns).enumerate() {
        let found = bases.iter().enumerate();
        let found = found.filter_map(|(turn, base)| Some((turn as u64 * columns, (*base)? * columns)));
        let found: Vec<(u64, u64)> = found.collect();
        let downs = rectangles[open..].iter().zip(&found).map(|(rectangle, next)| down_to(rectangle, *next));
        let downs: Option<Vec<u64>> = downs.collect();
        if let Some(downs) = downs.filter(|downs| !downs.is_empty() && found.len() == rectangles.len() - open) {
            for (rectangle, down) in rectangles[open..].iter_mut().zip(downs) {
                (rectangle.rows, rectangle.down) = (rectangle.rows + 1, down);
            }
            continue;
        }
        open = rectangles.len();
        let single = Rectangle { rows: 1, columns, step: 1, across: 1, ..Rectangle::default() };
        let rectangle = |(column, start)| Rectangle { row: row as u64, column, start, ..single };
        rectangles.extend(found.into_iter().map(rectangle));
        if rectangles.len() > most {
            return None;
        }
    }
    Some(Arranged { columns: turns as u64 * columns, rectangles })
}

/// The words of the base from a row to the next one, with which a rectangle goes on at this column
/// and this word of the base.
fn down_to(rectangle: &Rectangle, (column, start): (u64, u64)) -> Option<u64> {
    let words = start.checked_sub(rectangle.start)?;
    let down = words / rectangle.rows;
    let is_even = down * rectangle.rows == words && (rectangle.rows == 1 || down == rectangle.down);
    (rectangle.column == column && is_even).then_some(down)
}

/// The signatures of a base's rows, which are found by each 16 bits of them.
#[derive(Debug)]
pub(crate) struct RowIndex {
    rows: Vec<u64>,
    bands: HashMap<(u8, u16), Vec<u32>>,
}

impl RowIndex {
    pub(crate) fn new(rows: Vec<u64>) -> Self {
        let mut bands: HashMap<(u8, u16), Vec<u32>> = HashMap::new();
        for (row, &signature) in rows.iter().enumerate() {
            for band in bands_of(signature) {
                let rows = bands.entry(band).or_default();
                if rows.len() < COMPARED {
                    rows.push(row as u32);
                }
            }
        }
        Self { rows, bands }
    }

    /// Finds the row whose signature differs least.
    fn find(&self, signature: u64) -> Option<u64> {
        let known = bands_of(signature).filter_map(|band| self.bands.get(&band)).flatten();
        let differing = |&row: &u32| ((self.rows[row as usize] ^ signature).count_ones(), row);
        let (least, row) = known.map(differing).min()?;
        (least <= SAME).then_some(u64::from(row))
    }
}

fn bands_of(signature: u64) -> impl Iterator<Item = (u8, u16)> {
    (0..4u8).map(move |band| (band, (signature >> (16 * band)) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> Vec<u64> {
        (1..=count)
            .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9))
            .collect()
    }

    fn run(target: u64, base: u64, count: u64) -> RowRun {
        RowRun { target, base, count }
    }

    fn align(target: &[u64], base: &[u64]) -> Vec<RowRun> {
        super::align(target, &RowIndex::new(base.to_vec()))
    }

    #[test]
    fn added_removed_and_moved_rows_are_found() {
        let base = rows(100);
        let tuned: Vec<u64> = base.iter().map(|row| row ^ 0x0100_0000_0010_0001).collect();
        let grown = [&tuned[..40], &[1, 2, 3], &tuned[40..]].concat();
        assert_eq!(align(&grown, &base), [run(0, 0, 40), run(43, 40, 60)]);
        let moved = [&tuned[50..], &tuned[..20]].concat();
        assert_eq!(align(&moved, &base), [run(0, 50, 50), run(50, 0, 20)]);
        assert_eq!(align(&[5, 6, 7], &base), []);
        // The row of the same number is alike, and another one more so.
        assert_eq!(align(&[base[5]], &[&[base[5] ^ 0x3ff], &base[1..]].concat()), [run(0, 5, 1)]);
    }

    /// The base rows of all target rows that rectangles of one column name.
    fn placed(arranged: &Arranged, rows: u64) -> Vec<Option<u64>> {
        let mut placed = vec![None; rows as usize];
        for rectangle in &arranged.rectangles {
            for i in 0..rectangle.rows {
                let row = (rectangle.row + i) * arranged.columns + rectangle.column;
                assert!(placed[row as usize].replace(rectangle.start + i * rectangle.down).is_none());
            }
        }
        placed
    }

    #[test]
    fn rows_at_even_distances_are_rectangles() {
        let (rows, head) = (256, 32);
        let halves = |row: u64| row / head * head + row % 2 * (head / 2) + row % head / 2;
        let interleaved = |row: u64| row / head * head + row % (head / 2) * 2 + row % head / (head / 2);
        for place in [&halves as &dyn Fn(u64) -> u64, &interleaved] {
            // A row is not found, or is taken for another one.
            for wrong in [None, Some(3)] {
                let found = |row: u64| if row == 100 { wrong } else { Some(place(row)) };
                let runs: Vec<RowRun> = (0..rows).filter_map(|row| Some(run(row, found(row)?, 1))).collect();
                let found = rectangles(&runs, rows, 1).unwrap();
                assert!(found.rectangles.len() <= 16, "{}", found.rectangles.len());
                let bases: Vec<_> = (0..rows).map(|row| Some(place(row))).collect();
                assert_eq!(placed(&found, rows), bases);
            }
        }
        // Long runs, and rows without an order, are not.
        assert_eq!(rectangles(&[run(0, 50, 50), run(50, 0, 50)], 100, 1), None);
        let mixed: Vec<RowRun> = (0..101).map(|row| run(row, row * row % 101, 1)).collect();
        assert_eq!(rectangles(&mixed, 101, 1), None);
        assert_eq!(rectangles(&[], 100, 1).map_or(0, |found| found.rectangles.len()), 0);
    }

    #[test]
    fn equal_rows_do_not_make_it_slow() {
        assert_eq!(align(&vec![7; 10_000], &vec![7; 10_000]), [run(0, 0, 10_000)]);
    }
}
