//! The alignment of the rows of two tensors: rows that were added, removed or moved.

use std::collections::HashMap;

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
        let last = runs.last_mut().filter(|run| run.target + run.count == row);
        if let Some(run) = last {
            let next = base.get((run.base + run.count) as usize).map(|next| (next ^ signature).count_ones());
            // A row that is less alike may follow by chance, where rows were moved.
            let follows = |differing: u32| differing <= SAME || index.find(signature).is_none();
            if next.is_some_and(|differing| differing <= FOLLOWS && follows(differing)) {
                run.count += 1;
                continue;
            }
        }
        // The first guess is the row of the same number, since most rows do not move.
        let own = base.get(row as usize).filter(|own| (**own ^ signature).count_ones() <= SAME).map(|_| row);
        if let Some(base) = own.or_else(|| index.find(signature)) {
            runs.push(RowRun { target: row, base, count: 1 });
        }
    }
    runs
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
    }

    #[test]
    fn equal_rows_do_not_make_it_slow() {
        assert_eq!(align(&vec![7; 10_000], &vec![7; 10_000]), [run(0, 0, 10_000)]);
    }
}
