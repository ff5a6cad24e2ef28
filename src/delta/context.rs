//! Contexts: what the decoder knows of a delta before it reads it.
//!
//! A step (ulp) doubles with each exponent, so the base weight's exponent tells the size of its delta
//! in steps; taken relative to the mean change of its row and its column, it tells more.

use super::scale::STEPS;
use super::word::{Fields, Word};
use crate::bytes::{ByteReader, put_varint};
use crate::error::{Error, Result};

/// Number of raw contexts of any model.
pub(crate) const CONTEXTS: usize = 96;

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
}

/// Exponents are raised by this where they are narrower than a double's, as scales count them.
pub(crate) fn exponent_offset<W: Word>() -> u32 {
    if W::BITS == 64 { 0 } else { 512 }
}

/// The exponent field of a float.
#[inline(always)]
pub(crate) fn exponent<W: Word>(word: W, mantissa: u32) -> u32 {
    ((word.widen() & ((1 << (W::BITS - 1)) - 1)) >> mantissa) as u32
}

impl Model {
    /// Writes the tables of the contexts from element `start` on: `table_of` maps raw contexts.
    pub(crate) fn contexts<W: Word>(
        &self,
        fields: Fields,
        base: &[W],
        start: usize,
        table_of: &[u8; 128],
        contexts: &mut [u8],
    ) {
        let mantissa = match fields {
            Fields::Float { mantissa } => mantissa,
            Fields::Integer => 0,
        };
        let table = |raw: i32| table_of[raw.clamp(0, CONTEXTS as i32 - 1) as usize & 127];
        match self {
            Self::Single => contexts.fill(table(0)),
            Self::Exponent { first } => {
                for (context, &word) in contexts.iter_mut().zip(base) {
                    *context = table(exponent(word, mantissa) as i32 - *first as i32);
                }
            }
            Self::HighBits => {
                for (context, &word) in contexts.iter_mut().zip(base) {
                    *context = table((word.widen() >> (W::BITS - 4)) as i32);
                }
            }
            Self::Scaled(scaled) => scaled.contexts(mantissa, base, start, table, contexts),
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
                    put_varint(bytes, number as u64);
                }
            }
            Self::HighBits => bytes.push(3),
        }
    }

    /// Reads what [`write`](Self::write) wrote; the scales of [`Scaled`] are left empty.
    pub(crate) fn read(bytes: &mut ByteReader<'_>) -> Result<Self> {
        match bytes.u8()? {
            0 => Ok(Self::Single),
            1 => Ok(Self::Exponent { first: small(bytes.varint()?)? as u32 }),
            2 => {
                let shift = u32::from(bytes.u8()?);
                if shift > 4 {
                    return Err(Error::corrupt("context width").figures("at most 4", shift));
                }
                let (row_floor, column_floor) = (small(bytes.varint()?)?, small(bytes.varint()?)?);
                Ok(Self::Scaled(Scaled { shift, row_floor, column_floor, rows: Vec::new(), columns: Vec::new() }))
            }
            3 => Ok(Self::HighBits),
            other => Err(Error::unsupported(format!("unknown context model {other}"))),
        }
    }
}

/// A number that fits the arithmetic of contexts with room to spare.
fn small(number: u64) -> Result<i32> {
    i32::try_from(number)
        .ok()
        .filter(|&n| n < 1 << 20)
        .ok_or_else(|| Error::corrupt("an impossible exponent").figures("below 2^20", number))
}

impl Scaled {
    fn contexts<W: Word>(
        &self,
        mantissa: u32,
        base: &[W],
        start: usize,
        table: impl Fn(i32) -> u8,
        contexts: &mut [u8],
    ) {
        let width = self.columns.len();
        let offset = exponent_offset::<W>() as i32;
        let (mut row, mut column, mut done) = (start / width, start % width, 0);
        while done < contexts.len() {
            let count = (width - column).min(contexts.len() - done);
            let floor = self.row_floor + self.column_floor + i32::from(self.rows.get(row).copied().unwrap_or(0));
            let here = 2 * STEPS * offset - floor + (1 << self.shift >> 1) + (CENTER << self.shift);
            let words = base[done..done + count].iter().zip(&self.columns[column..column + count]);
            for (context, (&word, &scale)) in contexts[done..done + count].iter_mut().zip(words) {
                let raw = here + 2 * STEPS * exponent(word, mantissa) as i32 - i32::from(scale);
                *context = table(raw >> self.shift);
            }
            (row, column, done) = (row + 1, 0, done + count);
        }
    }
}
