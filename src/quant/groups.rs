//! Groups: the rows of tiles of packed numbers whose rows were sorted before they were quantised.

use std::ops::Range;

use super::packed::Tiles;

/// The rows of tiles that numbers belong to, where these are no runs of rows of numbers. There is one
/// for each row of numbers and each column of a tile.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: Vec<u32>,
    tiles: Tiles,
    /// The row of numbers of the first groups.
    first: u64,
}

impl Groups {
    /// The groups of the rows of some of the `count` numbers that a region has, from number `first` on.
    pub(crate) fn new(tiles: Tiles, count: u64, first: u64, words: &[u8]) -> Self {
        // A group behind the last one counts as that.
        let last = count.div_ceil(tiles.width).div_ceil(tiles.rows).saturating_sub(1);
        let groups = words.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        let groups = groups.map(|group| u64::from(group).min(last) as u32).collect();
        Self { groups, tiles, first: first / tiles.width }
    }

    /// The groups that a range of numbers needs.
    pub(crate) fn of(tiles: Tiles, numbers: &Range<u64>) -> Range<u64> {
        numbers.start / tiles.width * tiles.columns..numbers.end.div_ceil(tiles.width) * tiles.columns
    }

    /// The tile of a number.
    pub(crate) fn tile(&self, number: u64) -> u64 {
        let Tiles { width, columns, .. } = self.tiles;
        let (row, column) = (number / width - self.first, number % width);
        let group = self.groups.get((row * columns + column % columns) as usize).copied().unwrap_or(0);
        u64::from(group) * self.tiles.across() + column / columns
    }
}
