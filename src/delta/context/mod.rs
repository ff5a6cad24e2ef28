//! Contexts: the decoder's knowledge of a delta before it reads the delta.
//!
//! A step (ulp) doubles with each exponent, so the base weight's exponent tells how large its delta
//! is likely to be, in steps. The exponent relative to the mean change of the row and the column
//! tells more.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use super::scale::STEPS;
use crate::bytes::{ByteReader, put_varint};
use crate::error::{Error, Result};
use crate::zigzag::{unzigzag, zigzag};

/// The number of raw contexts: those of every model that the encoder writes are below it.
pub(crate) const CONTEXTS: usize = 96;

/// The largest exponent of any element: those of `F64` have 11 bits.
const MAX_EXPONENT: u64 = 2047;

/// The raw context of a weight whose step is as large as its expected change.
const CENTER: i32 = 48;

/// A rule that gives an element its raw context, from its base and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Model {
    /// All elements have context 0.
    Single,
    /// The context is the base's exponent, counted from `first`.
    Exponent { first: u32 },
    /// The context is the base's exponent relative to the scales of its row and its column.
    Scaled(Scaled),
    /// The context is the base's four high bits; this is the model of integers.
    HighBits,
}

/// The parameters and scales of [`Model::Scaled`].
///
/// A logarithm is in steps of an eighth of an octave, as in [`Scales`](super::scale::Scales).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// The width of a context: there are 16 >> `shift` contexts per octave.
    pub(crate) shift: u32,
    /// The logarithm that `rows` are relative to.
    pub(crate) row_floor: i32,
    /// The logarithm that `columns` are relative to.
    pub(crate) column_floor: i32,
    /// The logarithm of each row's mean change, relative to `row_floor`.
    pub(crate) rows: Vec<u8>,
    /// The logarithm of each column's mean change, relative to `column_floor`.
    pub(crate) columns: Vec<u8>,
    /// The unit of exponents.
    pub(crate) unit: Unit,
}

/// The unit of the exponents of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Exponents count octaves and have at most eight bits.
    Octave,
    /// Exponents count octaves and have more than eight bits.
    WideOctave,
    /// Exponents count quarters of an octave and have at most eight bits.
    Quarter,
}

impl Unit {
    /// Returns the number of raw contexts that one unit spans, before the shift.
    fn steps(self) -> i16 {
        match self {
            Self::Octave | Self::WideOctave => 2 * STEPS as i16,
            Self::Quarter => STEPS as i16 / 2,
        }
    }
}

impl Model {
    /// Writes the raw contexts of the elements from number `start` of the chunk on. `exponents`
    /// holds their exponents, or the high bits of integers.
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

    /// Writes the model without its scales.
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

    /// Reads a model that [`write`](Self::write) wrote. The caller sets the scales of [`Scaled`],
    /// which are empty, and its unit.
    ///
    /// # Errors
    /// `Unsupported` for an unknown model; `Corrupt` or `Truncated` for damaged parameters.
    pub(crate) fn read(bytes: &mut ByteReader<'_>) -> Result<Self> {
        match bytes.u8()? {
            0 => Ok(Self::Single),
            1 => match bytes.varint()? {
                first @ ..=MAX_EXPONENT => Ok(Self::Exponent { first: first as u32 }),
                first => {
                    let expected = format_args!("{MAX_EXPONENT} at most");
                    Err(Error::corrupt("the first exponent of a context model is too large").figures(expected, first))
                }
            },
            2 => {
                let shift = u32::from(bytes.u8()?);
                if shift > 4 {
                    return Err(Error::corrupt("the shift of a context model is too large").figures("at most 4", shift));
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

/// Returns `number` if it is below 2^20, so that the arithmetic of contexts cannot overflow.
fn small(number: u64) -> Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|&n| n < 1 << 20)
        .ok_or_else(|| Error::corrupt("the floor of a context model is too large").figures("below 2^20", number))
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

    /// Writes the contexts of a stretch of one row. Where the exponents allow it, the arithmetic is
    /// in 16 bits, which vectorise best. `here` is the part of the sum that all elements share.
    fn row_contexts(&self, here: i32, exponents: &[u16], columns: &[u8], contexts: &mut [u8]) {
        let step = self.unit.steps();
        if self.unit == Unit::WideOctave {
            for (context, (&exponent, &scale)) in contexts.iter_mut().zip(exponents.iter().zip(columns)) {
                let raw = here + i32::from(step) * i32::from(exponent) - i32::from(scale);
                *context = (raw >> self.shift).clamp(0, CONTEXTS as i32 - 1) as u8;
            }
            return;
        }
        // Outside of these bounds every context is the first or the last one, so clamping changes
        // none.
        let rule = Rule { here: here.clamp(-8192, 8192) as i16, step, shift: self.shift };
        rule.contexts(exponents, columns, contexts);
    }
}

/// The contexts of a stretch of a row in 16 bits: (`here` + `step` * exponent - scale) >> `shift`.
#[derive(Clone, Copy)]
struct Rule {
    here: i16,
    step: i16,
    shift: u32,
}

impl Rule {
    fn contexts(self, exponents: &[u16], columns: &[u8], contexts: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if avx2::contexts(self, exponents, columns, contexts) {
            return;
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let (exponents, columns, contexts) = simd128::contexts(self, exponents, columns, contexts);
        self.contexts_portably(exponents, columns, contexts);
    }

    #[inline(always)]
    fn contexts_portably(self, exponents: &[u16], columns: &[u8], contexts: &mut [u8]) {
        for (context, (&exponent, &scale)) in contexts.iter_mut().zip(exponents.iter().zip(columns)) {
            let raw = self.here + self.step * (exponent & 0xff) as i16 - i16::from(scale);
            *context = (raw >> self.shift).clamp(0, CONTEXTS as i16 - 1) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_agree() {
        for (here, step, shift) in [(-8192, 16, 0), (8192, 16, 4), (-1500, 16, 3), (-400, 4, 2)] {
            for length in [0, 1, 15, 16, 31, 32, 33, 1000] {
                let exponents: Vec<u16> = (0..length).map(|i| (i * i % 1009) as u16).collect();
                let columns: Vec<u8> = (0..length).map(|i| (i * 37 % 256) as u8).collect();
                let rule = Rule { here, step, shift };
                let (mut fast, mut portable) = (vec![200; length], vec![100; length]);
                rule.contexts(&exponents, &columns, &mut fast);
                rule.contexts_portably(&exponents, &columns, &mut portable);
                assert_eq!(fast, portable, "{here} {length}");
            }
        }
    }
}
