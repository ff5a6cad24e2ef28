//! Runs: pieces that follow one another, of which a rectangle of bytes is the base of a set.
//!
//! The head of an object has the id of the first piece where others have that of their base. Then,
//! as LEB128: the number of further pieces, and behind their ids what is taken of all of them: the
//! bytes before the first row, the number of rows, the distance from one row to the next, and the
//! length of each.

use bytes::{Bytes, BytesMut};

use super::packed::{read, write};
use super::{CUT_HEAD, LONGEST_HEAD, Problem, SET_RUN, id_at};
use crate::keys::ObjectId;

/// The maximum number of pieces of a run.
pub(crate) const MOST_PIECES: usize = 64;
/// The length of an id in bytes.
const ID: usize = LONGEST_HEAD as usize - 1;
/// The length in bytes within which a head lists the pieces of a run.
pub(crate) const LONGEST_LIST: u64 = LONGEST_HEAD + 1 + (MOST_PIECES as u64 - 1) * ID as u64;
/// The maximum number of bytes that are taken of a run: the weights of a piece of 16 bits, in 32.
const MOST: u64 = 64 << 20;

const UNFIT: &str = "the pieces of the base do not have the bytes that the set takes of them";

/// Rows of bytes at even distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rectangle {
    /// The number of bytes before the first row.
    pub(crate) skip: u64,
    pub(crate) rows: u64,
    /// The number of bytes from the beginning of a row to that of the next one.
    pub(crate) distance: u64,
    /// The length of a row in bytes.
    pub(crate) width: u64,
}

/// The pieces of a run, and what is taken of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) pieces: Vec<ObjectId>,
    pub(crate) part: Rectangle,
}

impl Rectangle {
    /// The number of bytes in all rows, if they are not too many.
    fn length(&self) -> Option<u64> {
        self.rows.checked_mul(self.width).filter(|length| *length <= MOST)
    }

    /// The end of the last row.
    pub(crate) fn end(&self) -> Option<u64> {
        let last = self.rows.checked_sub(1)?.checked_mul(self.distance)?;
        self.skip.checked_add(last)?.checked_add(self.width)
    }

    /// Returns `true` if it has bytes, its rows do not overlap, and they are not too many.
    fn fits(&self) -> bool {
        self.end().is_some() && self.length().is_some_and(|length| length > 0) && self.width <= self.distance
    }
}

impl Run {
    /// Returns `true` if an object can name the run.
    pub(crate) fn fits(&self) -> bool {
        (1..=MOST_PIECES).contains(&self.pieces.len()) && self.part.fits()
    }

    /// The head of an object up to the tensors of the base.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![SET_RUN];
        for (number, piece) in self.pieces.iter().enumerate() {
            if number == 1 {
                write(self.pieces.len() as u64 - 1, &mut bytes);
            }
            bytes.extend_from_slice(piece.digest.as_bytes());
            bytes.extend_from_slice(&piece.epoch.to_le_bytes());
        }
        if let [_] = self.pieces[..] {
            write(0, &mut bytes);
        }
        let Rectangle { skip, rows, distance, width } = self.part;
        [skip, rows, distance, width].into_iter().for_each(|number| write(number, &mut bytes));
        bytes
    }

    /// Reads a run, and leaves the bytes behind it. `None` if it is cut, or no run.
    fn parse(object: &mut &[u8]) -> Option<Self> {
        let pieces = parse_pieces(object)?;
        let [skip, rows, distance, width] = [read(object)?, read(object)?, read(object)?, read(object)?];
        Some(Self { pieces, part: Rectangle { skip, rows, distance, width } }).filter(Self::fits)
    }
}

fn parse_pieces(object: &mut &[u8]) -> Option<Vec<ObjectId>> {
    let first = id_at(object.get(1..)?)?;
    *object = object.get(1 + ID..)?;
    let further = read(object).filter(|further| *further < MOST_PIECES as u64)?;
    let mut pieces = vec![first];
    for _ in 0..further {
        pieces.push(id_at(object)?);
        *object = &object[ID..];
    }
    Some(pieces)
}

/// Returns `true` if the base of an object is a part of a run.
pub(crate) fn is_of_run(head: &[u8]) -> bool {
    head.first() == Some(&SET_RUN)
}

/// The pieces of the run that the base of an object is a part of, from its first [`LONGEST_LIST`]
/// bytes.
pub(crate) fn pieces_of(mut head: &[u8]) -> Result<Vec<ObjectId>, Problem> {
    parse_pieces(&mut head).ok_or_else(|| CUT_HEAD.to_owned())
}

/// The run that is the base of an object, with the bytes behind it. `None` if its base is no run.
pub(crate) fn run_of(object: &[u8]) -> Result<Option<(Run, &[u8])>, Problem> {
    let mut rest = object;
    if !is_of_run(object) {
        return Ok(None);
    }
    let run = Run::parse(&mut rest).ok_or("the object names no run of pieces as its base")?;
    Ok(Some((run, rest)))
}

/// A base that is put together from the pieces of a run, one after the other.
#[derive(Debug)]
pub(crate) struct Gathered {
    part: Rectangle,
    bytes: BytesMut,
    /// The length of the pieces so far.
    end: u64,
}

impl Gathered {
    pub(crate) fn new(part: Rectangle) -> Self {
        // Memory is taken for each piece that there is, as far as it is needed.
        Self { part, bytes: BytesMut::new(), end: 0 }
    }

    /// Adds what is taken of the next piece.
    ///
    /// # Errors
    /// More bytes than a run may have.
    pub(crate) fn add(&mut self, piece: &[u8]) -> Result<(), Problem> {
        let start = self.end;
        self.end = start.checked_add(piece.len() as u64).ok_or(UNFIT)?;
        let Rectangle { skip, rows, distance, width } = self.part;
        loop {
            let (row, within) = (self.bytes.len() as u64 / width, self.bytes.len() as u64 % width);
            let from = if row < rows { skip + row * distance + within } else { self.end };
            if from >= self.end {
                return Ok(());
            }
            // What is before the piece was in the pieces before it.
            let from = from.checked_sub(start).ok_or(UNFIT)? as usize;
            let to = (from as u64 + width - within).min(piece.len() as u64) as usize;
            self.bytes.extend_from_slice(&piece[from..to]);
        }
    }

    /// The bytes of the base.
    ///
    /// # Errors
    /// Pieces that are too short.
    pub(crate) fn finish(self) -> Result<Bytes, Problem> {
        let is_whole = self.part.length() == Some(self.bytes.len() as u64);
        if is_whole { Ok(self.bytes.freeze()) } else { Err(UNFIT.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn id(number: u8) -> ObjectId {
        ObjectId { digest: Digest::of(&[number]), epoch: number.into() }
    }

    fn gathered(part: Rectangle, pieces: &[&[u8]]) -> Result<Bytes, Problem> {
        let mut gathered = Gathered::new(part);
        pieces.iter().try_for_each(|piece| gathered.add(piece))?;
        gathered.finish()
    }

    #[test]
    fn rows_are_taken_across_the_bounds_of_pieces() {
        let all: Vec<u8> = (0..60).collect();
        for cuts in [[0, 60], [25, 31], [9, 10], [0, 1], [59, 60], [30, 30]] {
            let pieces = [&all[..cuts[0]], &all[cuts[0]..cuts[1]], &all[cuts[1]..]];
            for (skip, rows, distance, width) in [(2, 5, 12, 3), (0, 1, 60, 60), (6, 6, 9, 9), (59, 1, 1, 1)] {
                let part = Rectangle { skip, rows, distance, width };
                let row = |row: u64| &all[(skip + row * distance) as usize..][..width as usize];
                let expected: Vec<u8> = (0..rows).flat_map(row).copied().collect();
                assert_eq!(gathered(part, &pieces), Ok(expected.into()), "{part:?} {cuts:?}");
            }
            let short = Rectangle { skip: 0, rows: 6, distance: 11, width: 6 };
            assert_eq!(gathered(short, &pieces), Err(UNFIT.to_owned()));
        }
    }

    #[test]
    fn heads_are_read_as_they_are_written() {
        let part = Rectangle { skip: 1 << 20, rows: 300, distance: 8192, width: 4096 };
        for count in [1, 2, MOST_PIECES as u8] {
            let run = Run { pieces: (0..count).map(id).collect(), part };
            assert!(run.fits());
            let head = run.to_bytes();
            let object = [&head[..], b"rest"].concat();
            assert_eq!(run_of(&object), Ok(Some((run.clone(), &b"rest"[..]))));
            assert_eq!(pieces_of(&head[..head.len().min(LONGEST_LIST as usize)]), Ok(run.pieces.clone()));
            assert!((1..head.len()).all(|end| run_of(&head[..end]).is_err()));
            for bit in 8..head.len() * 8 {
                let mut flipped = object.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(run_of(&flipped), Ok(Some((run.clone(), &b"rest"[..]))), "bit {bit}");
            }
        }
        assert_eq!(run_of(&[7; 40]), Ok(None));
    }

    #[test]
    fn forged_runs_are_refused() {
        let fine = Run { pieces: vec![id(0)], part: Rectangle { skip: 0, rows: 2, distance: 10, width: 10 } };
        let part =
            |skip, rows, distance, width| Run { part: Rectangle { skip, rows, distance, width }, ..fine.clone() };
        for run in [
            Run { pieces: (0..=MOST_PIECES as u8).map(id).collect(), ..fine.clone() },
            part(0, 0, 10, 10),
            part(0, 10, 10, 0),
            part(0, 2, 9, 10),
            part(0, MOST + 1, 1, 1),
            part(0, 1 << 40, 1 << 40, 1 << 40),
            part(0, 5, 1 << 62, 10),
            part(u64::MAX - 5, 2, 10, 10),
        ] {
            assert!(!run.fits() && run_of(&run.to_bytes()).is_err(), "{run:?}");
        }
        // A run that states more than its pieces have takes no more memory than these.
        let huge = Rectangle { skip: 0, rows: 1, distance: MOST, width: MOST };
        assert_eq!(gathered(huge, &[&[1; 100]]), Err(UNFIT.to_owned()));
        let far = Rectangle { skip: u64::MAX - 8, rows: 1, distance: 8, width: 8 };
        assert_eq!(gathered(far, &[&[1; 100], &[2; 100]]), Err(UNFIT.to_owned()));
    }
}
