//! The share of each file that a window hashes.

use std::ops::Range;

use super::piece::{Piece, Work};
use crate::window;

/// The shares that the windows hash. Those of all windows cover a file front to back.
///
/// A window's share is where its chunks are, so that the window reads little else. Where the chunks
/// are uneven, all shares are equal.
#[derive(Debug)]
pub(super) struct Shares {
    /// The start of each window's share, and the end of the last one.
    starts: Vec<u64>,
    /// The length of the file that these places are in. In other files they are in proportion.
    whole: u64,
}

/// The maximum number of bytes of a share that follows the chunks. Two windows of them are read at
/// a time.
const MOST: u64 = 2 * window::COMPRESSED;

impl Shares {
    /// Divides a target of `length` bytes. The longest file has `longest` bytes.
    pub(super) fn new(pieces: &[Piece], windows: &[Range<usize>], length: u64, longest: u64) -> Self {
        let first = |window: &Range<usize>| pieces[window.clone()].iter().find_map(place);
        let mut starts: Vec<u64> = windows.iter().map(|window| first(window).unwrap_or(length)).collect();
        starts[0] = 0;
        starts.push(length);
        let fits = |share: &[u64]| {
            let bytes = share[1].checked_sub(share[0]);
            bytes.is_some_and(|bytes| scaled(longest, bytes, length) <= MOST)
        };
        if length > 0 && starts.windows(2).all(fits) {
            return Self { starts, whole: length };
        }
        let count = windows.len() as u64;
        Self { starts: (0..=count).collect(), whole: count }
    }

    /// The share of `window` of a file of `length` bytes.
    pub(super) fn of(&self, length: u64, window: usize) -> Range<u64> {
        self.start(length, window)..self.start(length, window + 1)
    }

    /// The start of that share, or the end of the last one for the number of windows.
    pub(super) fn start(&self, length: u64, window: usize) -> u64 {
        scaled(length, self.starts[window], self.whole)
    }
}

/// The place of a chunk in the target.
fn place(piece: &Piece) -> Option<u64> {
    match &piece.work {
        Work::Chunk(range) => Some(piece.target(range).start),
        Work::Factors { .. } => None,
    }
}

/// Returns `length * part / whole`.
fn scaled(length: u64, part: u64, whole: u64) -> u64 {
    (u128::from(length) * u128::from(part) / u128::from(whole)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Matrix;
    use crate::layout::Dtype;

    const MIB: u64 = 1 << 20;

    /// A piece with these bytes of the target.
    fn piece(range: Range<u64>) -> Piece {
        let (matrix, work) = (Matrix { columns: 1 }, Work::Chunk(0..range.end - range.start));
        Piece { region: 0, dtype: Dtype::U8, matrix, offset: range.start, view: None, packed: None, work }
    }

    /// The shares of a target of `length` bytes whose windows have one piece each.
    fn shares(pieces: &[Range<u64>], length: u64, longest: u64) -> (Shares, usize) {
        let pieces: Vec<Piece> = pieces.iter().cloned().map(piece).collect();
        let windows: Vec<Range<usize>> = (0..pieces.len().max(1)).map(|i| i..(i + 1).min(pieces.len())).collect();
        (Shares::new(&pieces, &windows, length, longest), windows.len())
    }

    #[test]
    fn shares_are_where_the_chunks_are() {
        let (shares, _) = shares(&[9..5 * MIB, 5 * MIB..7 * MIB, 7 * MIB..8 * MIB], 8 * MIB + 3, 16 * MIB + 6);
        let target: Vec<Range<u64>> = (0..3).map(|window| shares.of(8 * MIB + 3, window)).collect();
        assert_eq!(target, [0..5 * MIB, 5 * MIB..7 * MIB, 7 * MIB..8 * MIB + 3]);
        assert_eq!(shares.of(16 * MIB + 6, 1), 10 * MIB..14 * MIB);
    }

    /// A long run without chunks, a base that is much longer, and chunks in another order than that
    /// of the file.
    #[test]
    fn uneven_shares_are_made_equal() {
        let uneven = [
            shares(&[0..MIB, 90 * MIB..91 * MIB], 100 * MIB, 100 * MIB),
            shares(&[0..MIB, MIB..4 * MIB], 4 * MIB, 400 * MIB),
            shares(&[0..MIB, 3 * MIB..4 * MIB, MIB..3 * MIB], 4 * MIB, 4 * MIB),
            shares(&[], 0, 7),
        ];
        for (shares, windows) in uneven {
            for length in [0, 7, 1000] {
                let of = |window: usize| shares.of(length, window);
                let equal = |window: usize| length * window as u64 / windows as u64;
                assert!((0..windows).all(|window| of(window) == (equal(window)..equal(window + 1))));
                assert_eq!(shares.start(length, windows), length);
            }
        }
    }
}
