//! Windows: runs of pieces small enough to hold in memory, large enough to keep every thread busy.

use std::ops::Range;

/// Bytes of the model that one window covers at most, unless a single piece is larger.
pub(crate) const WINDOW: u64 = 32 << 20;

/// Groups consecutive pieces of the given lengths into windows.
pub(crate) fn group(lengths: impl IntoIterator<Item = u64>) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut filled = 0u64;
    for (piece, length) in lengths.into_iter().enumerate() {
        match windows.last_mut() {
            Some(window) if filled + length <= WINDOW => {
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
        let lengths = [WINDOW / 2, WINDOW / 2, 1, WINDOW * 3, 0, 5];
        assert_eq!(group(lengths), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(group([]), []);
    }
}
