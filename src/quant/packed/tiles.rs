//! Tiles of a matrix of packed numbers.

use std::ops::Range;

use super::{DOWN, Packing};
use crate::error::{Error, Result};

/// The largest number of tiles side by side.
const MAX_ACROSS: u64 = 1 << 20;

/// The most tiles of a packing with groups, all of which every chunk needs.
const MAX_GROUPED: u64 = 1 << 22;

/// The fewest bytes of a tile, so that companions are not larger than what they belong to.
const TILE: u64 = 4;

/// The tiles of a matrix of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    /// Columns of the matrix.
    pub(crate) width: u64,
    /// Rows of a tile.
    pub(crate) rows: u64,
    /// Columns of a tile.
    pub(crate) columns: u64,
}

impl Tiles {
    /// Tiles side by side.
    pub(crate) fn across(&self) -> u64 {
        self.width.div_ceil(self.columns)
    }

    /// All tiles of a matrix of `count` numbers, which are whole rows.
    pub(crate) fn count(&self, count: u64) -> u64 {
        count.div_ceil(self.width).div_ceil(self.rows).saturating_mul(self.across())
    }

    /// All tiles of a matrix of `count` numbers of a packing in `bytes` bytes.
    ///
    /// # Errors
    /// `Limit` for more of them than such a matrix may have.
    pub(crate) fn limited(&self, packing: &Packing, count: u64, bytes: u64) -> Result<u64> {
        let most = if packing.grouped { MAX_GROUPED } else { u64::MAX };
        let (tiles, most) = (self.count(count), (bytes / TILE).max(1).min(most));
        let rows = if packing.down { DOWN } else { 1 };
        if self.across().saturating_mul(rows) > MAX_ACROSS || tiles > most {
            return Err(Error::limit("there are too many tiles").figures(most, tiles));
        }
        Ok(tiles)
    }

    /// The tiles that a range of a matrix of `count` numbers needs: all of the rows of tiles that it
    /// touches, and those before and behind that share `run` numbers with them.
    pub(crate) fn of(&self, numbers: &Range<u64>, count: u64, run: u64) -> Range<u64> {
        let across = self.across();
        let first = numbers.start / self.width / self.rows * across;
        let last = numbers.end.div_ceil(self.width).div_ceil(self.rows) * across;
        first / run * run..last.div_ceil(run).saturating_mul(run).min(self.count(count))
    }
}
