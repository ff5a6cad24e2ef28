//! Contexts: what the decoder knows of a delta before it reads it.
//!
//! A step (ulp) doubles with each exponent, so the base weight's exponent tells the size of its delta
//! in steps; taken relative to the mean change of its row and its column, it tells more.

use super::scale::STEPS;
use crate::bytes::{ByteReader, put_varint};
use crate::error::{Error, Result};
use crate::zigzag::{unzigzag, zigzag};

/// Number of raw contexts of any model.
pub(crate) const CONTEXTS: usize = 96;

/// The largest exponent that any element has: those of `F64` are 11 bits.
const MAX_EXPONENT: u64 = 2047;

/// The raw context of a weight whose step is as large as its expected change.
const CENTER: i32 = 48;

/// How the raw context of an element follows from its base and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Model {
    /// One context for all.
    Single,
    /// The base's exponent, counted from `first`.
    Exponent { first: u32 },
    /// The base's exponent relative to the scales of its row and column.
    Scaled(Scaled),
    /// The base's high bits: for integers.
    HighBits,
}

/// See [`Model::Scaled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// Contexts per octave: 16 >> `shift`.
    pub(crate) shift: u32,
    /// Logarithm that `rows` are relative to.
    pub(crate) row_floor: i32,
    /// Logarithm that `columns` are relative to.
    pub(crate) column_floor: i32,
    /// Logarithms per row.
    pub(crate) rows: Vec<u8>,
    /// Logarithms per column.
    pub(crate) columns: Vec<u8>,
    /// What exponents count.
    pub(crate) unit: Unit,
}

/// What the exponents of elements count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Octaves, in eight bits at most.
    Octave,
    /// Octaves, in more bits than that.
    WideOctave,
    /// Quarters of an octave, in eight bits at most.
    Quarter,
}

impl Unit {
    /// Steps of a scaled context that it takes, before the shift.
    fn steps(self) -> i16 {
        match self {
            Self::Octave | Self::WideOctave => 2 * STEPS as i16,
            Self::Quarter => STEPS as i16 / 2,
        }
    }
}

impl Model {
    /// Writes the raw contexts of the elements from number `start` on, whose exponents (or, of integers,
    /// high bits) are given.
    pub(crate) fn contexts(&self, exponents: &[u16], start: usize, contexts: &mut [u8]) {
        let pairs = contexts.iter_mut().zip(exponents);
        match self {
            Self::Single => contexts.fill(0),
            Self::HighBits => pairs.for_each(|(context, &bits)| *context = bits as u8 & 127),
            Self::Exponent { first } => {
                let first = *first as u16;
                pairs.for_each(|(context, &e)| *context = e.saturating_sub(first).min(CONTEXTS as u16 - 1) as u8);
            }
            Self::Scaled(scaled) => scaled.contexts(exponents, start, contexts),
        }
    }

    /// Writes the model, but for the scales themselves.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Single => bytes.push(0),
            Self::Exponent { first } => {
                bytes.push(1);
                put_varint(bytes, u64::from(*first));
            }
            Self::Scaled(scaled) => {
                bytes.push(2);
                bytes.push(scaled.shift as u8);
                for number in [scaled.row_floor, scaled.column_floor] {
                    put_varint(bytes, u64::from(zigzag(number as u32)));
                }
            }
            Self::HighBits => bytes.push(3),
        }
    }

    /// Reads what [`write`](Self::write) wrote, all but the scales of [`Scaled`] and their unit.
    pub(crate) fn read(bytes: &mut ByteReader<'_>) -> Result<Self> {
        match bytes.u8()? {
            0 => Ok(Self::Single),
            1 => match bytes.varint()? {
                first @ ..=MAX_EXPONENT => Ok(Self::Exponent { first: first as u32 }),
                first => Err(Error::corrupt("first exponent").figures(format_args!("{MAX_EXPONENT} at most"), first)),
            },
            2 => {
                let shift = u32::from(bytes.u8()?);
                if shift > 4 {
                    return Err(Error::corrupt("context width").figures("at most 4", shift));
                }
                let mut floor = || bytes.varint().and_then(small).map(|n| unzigzag(n) as i32);
                let (row_floor, column_floor) = (floor()?, floor()?);
                let (rows, columns, unit) = (Vec::new(), Vec::new(), Unit::Octave);
                Ok(Self::Scaled(Scaled { shift, row_floor, column_floor, rows, columns, unit }))
            }
            3 => Ok(Self::HighBits),
            other => Err(Error::unsupported(format!("unknown context model {other}"))),
        }
    }
}

/// A number that fits the arithmetic of contexts with room to spare.
fn small(number: u64) -> Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|&n| n < 1 << 20)
        .ok_or_else(|| Error::corrupt("an impossible exponent").figures("below 2^20", number))
}

impl Scaled {
    fn contexts(&self, exponents: &[u16], start: usize, contexts: &mut [u8]) {
        let width = self.columns.len();
        let (mut row, mut column, mut done) = (start / width, start % width, 0);
        while done < contexts.len() {
            let count = (width - column).min(contexts.len() - done);
            let floor = self.row_floor + self.column_floor + i32::from(self.rows.get(row).copied().unwrap_or(0));
            let here = (1 << self.shift >> 1) + (CENTER << self.shift) - floor;
            let range = done..done + count;
            let columns = &self.columns[column..column + count];
            self.row_contexts(here, &exponents[range.clone()], columns, &mut contexts[range]);
            (row, column, done) = (row + 1, 0, done + count);
        }
    }

    /// The contexts of a stretch of a row, in 16 bits, which vectorise best, where the exponents allow it.
    fn row_contexts(&self, here: i32, exponents: &[u16], columns: &[u8], contexts: &mut [u8]) {
        const LAST: i32 = CONTEXTS as i32 - 1;
        let step = self.unit.steps();
        let elements = contexts.iter_mut().zip(exponents.iter().zip(columns));
        if self.unit == Unit::WideOctave {
            for (context, (&exponent, &scale)) in elements {
                let raw = here + i32::from(step) * i32::from(exponent) - i32::from(scale);
                *context = (raw >> self.shift).clamp(0, LAST) as u8;
            }
            return;
        }
        // Beyond these bounds every context is the first or the last one anyway.
        let here = here.clamp(-8192, 8192) as i16;
        for (context, (&exponent, &scale)) in elements {
            let raw = here + step * (exponent & 0xff) as i16 - i16::from(scale);
            *context = (raw >> self.shift).clamp(0, LAST as i16) as u8;
        }
    }
}
