//! Windows: runs of consecutive pieces, small enough to hold in memory, and large enough to keep
//! every thread busy.

use std::ops::Range;

use crate::steps;

/// Maximum number of bytes of the model in a window of v1, whose parts are large and uneven.
pub(crate) const LARGE: u64 = 32 << 20;

/// Maximum number of bytes of the model in a window of v2 that restores: a few chunks per thread.
pub(crate) const SMALL: u64 = 16 << 20;

/// Maximum number of bytes of the model in a window that several jobs share, each with one thread:
/// a chunk or two, so that all jobs end at about the same time.
pub(crate) const SHARED: u64 = 4 << 20;

/// Maximum number of bytes of the model in a window of v2 that compresses. A chunk then takes
/// several times its size in memory, and so does its base.
pub(crate) const COMPRESSED: u64 = 8 << 20;

/// Maximum number of pieces in a window: each piece takes memory of its own, however short it is.
const MOST_PIECES: usize = 4096;

/// Groups consecutive pieces of the given lengths into windows of at most `limit` bytes and
/// [`MOST_PIECES`] pieces. A larger piece has a window of its own.
pub(crate) fn group(limit: u64, lengths: impl IntoIterator<Item = u64>) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut filled = 0u64;
    for (piece, length) in lengths.into_iter().enumerate() {
        steps::add(1);
        match windows.last_mut() {
            Some(window) if filled.saturating_add(length) <= limit && window.len() < MOST_PIECES => {
                window.end = piece + 1;
                filled += length;
            }
            _ => {
                windows.push(piece..piece + 1);
                filled = length;
            }
        }
    }
    windows
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
