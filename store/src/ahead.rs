//! Short runs of bytes in pieces that a reader comes back to, such as the scales of packed numbers
//! that are stored with them and lie far behind them in their file.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::manifest::PieceRef;

/// The maximum number of bytes that wait for a reader.
const MOST: u64 = 64 << 20;
/// The approximate memory of a run beside its bytes, in bytes.
const EACH: u64 = 256;
/// The maximum length of runs that are kept, as a divisor of their piece's.
const SHARE: u64 = 4;

/// Runs of bytes in a piece that are read at once.
pub(crate) type Runs = (PieceRef, Vec<Range<usize>>);

/// Runs of a piece, each with the number that it has among all.
type Numbered = Vec<(usize, Vec<Range<usize>>)>;

/// The short runs that are read later than others of the same piece. They are kept when the piece
/// is read first, as far as there is room.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// The numbers of these runs, by their piece and in their order, and the runs themselves.
    later: HashMap<PieceRef, Numbered>,
    kept: Mutex<Waiting>,
}

/// The runs that wait for their reader, and the room that is left.
#[derive(Debug)]
struct Waiting {
    /// The bytes of runs by their number.
    runs: HashMap<usize, Vec<Bytes>>,
    /// For each piece, the place of the first run that has not been looked at. A piece may have very
    /// many runs, and be read for most of them.
    next: HashMap<PieceRef, usize>,
    /// The largest number that has been asked for. Runs up to it are being read already.
    asked: usize,
    /// The number of bytes that may be kept besides.
    room: u64,
}

/// The memory that runs take, in bytes.
fn memory(runs: impl Iterator<Item = usize>) -> u64 {
    runs.map(|length| length as u64 + EACH).sum()
}

impl Ahead {
    /// The short runs that a reader of all these runs, in their order, comes back to.
    pub(crate) fn of(all: &[Runs]) -> Self {
        let mut later: HashMap<PieceRef, Numbered> = HashMap::new();
        for (number, (piece, runs)) in all.iter().enumerate() {
            let length: u64 = runs.iter().map(|run| run.len() as u64).sum();
            match later.get_mut(piece) {
                None => drop(later.insert(*piece, Vec::new())),
                Some(of_piece) if length <= piece.length / SHARE => of_piece.push((number, runs.clone())),
                Some(_) => {}
            }
        }
        later.retain(|_, runs| !runs.is_empty());
        let kept = Waiting { runs: HashMap::new(), next: HashMap::new(), asked: 0, room: MOST };
        Self { later, kept: Mutex::new(kept) }
    }

    /// Keeps the runs of a piece with these bytes that are read later than those of this number.
    pub(crate) fn keep(&self, number: usize, piece: &PieceRef, bytes: &Bytes) {
        let Some(later) = self.later.get(piece) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let next = kept.next.entry(*piece).or_default();
        let passed = number.max(kept.asked);
        *next = (*next).max(later.partition_point(|(later, _)| *later <= passed));
        for (later, runs) in &later[*next..] {
            let memory = memory(runs.iter().map(Range::len));
            if memory > kept.room {
                break;
            }
            kept.room -= memory;
            *next += 1;
            // Slices would keep all of the piece in memory.
            let copies = runs.iter().map(|run| Bytes::copy_from_slice(&bytes[run.clone()]));
            kept.runs.insert(*later, copies.collect());
        }
    }

    /// The bytes of the runs of this number, if they were kept.
    pub(crate) fn take(&self, number: usize) -> Option<Vec<Bytes>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked = kept.asked.max(number);
        let runs = kept.runs.remove(&number)?;
        kept.room += memory(runs.iter().map(Bytes::len));
        Some(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::keys::ObjectId;

    #[test]
    fn short_runs_are_kept_while_there_is_room() {
        let piece = |number: u8, length: u64| {
            let id = ObjectId { digest: Digest::of(&[number]), epoch: 0 };
            PieceRef { id, base: None, length }
        };
        let (one, huge) = (piece(0, 8 << 20), piece(1, 500 << 20));
        let runs = |piece: PieceRef, mib: &[[usize; 2]]| -> Runs {
            (piece, mib.iter().map(|[start, end]| start << 20..end << 20).collect())
        };
        let all = [
            runs(one, &[[0, 6]]),
            runs(huge, &[[0, 400]]),
            runs(one, &[[6, 7], [7, 8]]),
            runs(one, &[[0, 3]]),
            runs(huge, &[[400, 463]]),
        ];
        let ahead = Ahead::of(&all);
        let bytes: Bytes = (0..8u32 << 20).map(|at| (at >> 12) as u8).collect();
        ahead.keep(0, &one, &bytes);
        // There is room for less than 62 MiB more.
        ahead.keep(1, &huge, &bytes);
        let taken = ahead.take(2).unwrap();
        assert_eq!(taken, [bytes.slice(6 << 20..7 << 20), bytes.slice(7 << 20..8 << 20)]);
        assert!((0..5).all(|number| ahead.take(number).is_none()));
        // A piece that is read again keeps nothing that was read.
        ahead.keep(3, &one, &bytes);
        assert!(ahead.take(2).is_none());
        // Runs that are being read are not kept any more.
        let ahead = Ahead::of(&all);
        assert!(ahead.take(2).is_none());
        ahead.keep(0, &one, &bytes);
        assert!(ahead.take(2).is_none());
    }
}
