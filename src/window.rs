//! Windows: runs of consecutive pieces, small enough to hold in memory, and large enough to keep
//! every thread busy.

use std::ops::Range;

use crate::steps;

/// Maximum number of bytes of the model in a window of v1, whose parts are large and uneven.
pub(crate) const LARGE: u64 = 32 << 20;

/// Maximum number of bytes of the model in a window of v2 that restores: a few chunks per thread.
pub(crate) const SMALL: u64 = 16 << 20;

/// Maximum number of bytes of the model in a window that one thread restores: a chunk or two, so
/// that jobs which share the windows end at about the same time.
pub(crate) const ONE_THREAD: u64 = 4 << 20;

/// Maximum number of bytes of the model in a window of v2 that compresses. A chunk then takes
/// several times its size in memory, and so does its base. There is room for four chunks of 2 MiB
/// and for short regions beside them, such as a header: without it these would cost a window, and
/// reading the window's share of the digests apart.
pub(crate) const COMPRESSED: u64 = (8 << 20) + (1 << 18);

/// Maximum number of pieces in a window: each piece takes memory of its own, however short it is.
const MOST_PIECES: usize = 4096;

/// Groups consecutive pieces of the given lengths into windows of at most `limit` bytes and
/// [`MOST_PIECES`] pieces. A larger piece has a window of its own.
pub(crate) fn group(limit: u64, lengths: impl IntoIterator<Item = u64>) -> Vec<Range<usize>> {
    let mut grouping = Grouping::new(limit);
    for length in lengths {
        steps::add(1);
        grouping.push(length);
    }
    grouping.windows
}

/// The windows of the pieces so far.
pub(crate) struct Grouping {
    limit: u64,
    pub(crate) windows: Vec<Range<usize>>,
    /// Bytes in the last window.
    filled: u64,
}

impl Grouping {
    /// Begins without pieces. Windows have at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, windows: Vec::new(), filled: 0 }
    }

    /// Adds the next piece, of `length` bytes.
    pub(crate) fn push(&mut self, length: u64) {
        let piece = self.windows.last().map_or(0, |window| window.end);
        match self.windows.last_mut() {
            Some(window) if self.filled.saturating_add(length) <= self.limit && window.len() < MOST_PIECES => {
                window.end += 1;
                self.filled += length;
            }
            _ => {
                self.windows.push(piece..piece + 1);
                self.filled = length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_windows_and_isolates_large_pieces() {
        let lengths = [50, 50, 1, 300, 0, 5];
        assert_eq!(group(100, lengths), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(group(100, []), []);
    }

    #[test]
    fn windows_of_tiny_pieces_are_short() {
        let lengths = vec![0; 2 * MOST_PIECES + 1];
        let most = MOST_PIECES;
        assert_eq!(group(100, lengths), [0..most, most..2 * most, 2 * most..2 * most + 1]);
    }
}
