//! Factors, and chunks that are predicted by them.

use super::cast::cast_word;
use super::chunk::Coding;
use super::fields::{Bits, Fields, unzigzag};
use super::quant::Format;
use super::words::{self, difference};
use super::{Result, check, grid, symbols};

/// The number of `F64`.
const F64: u8 = 19;

/// The factors of a region's columns.
pub struct Factors {
    pub rank: usize,
    step: f32,
    /// Component by component.
    v: Vec<i16>,
}

impl Factors {
    /// Those of a region of so many words.
    pub fn read(payload: &[u8], columns: usize, words: usize) -> Result<Self> {
        let mut fields = Fields::new(payload);
        let rank = usize::from(fields.byte()?);
        check((1..=64).contains(&rank) && rank <= columns && rank * columns <= words.min(1 << 22), "rank")?;
        let step = f32::from_bits(fields.u32()?);
        check(step > 0.0 && step < f32::INFINITY, "step")?;
        let shifts = fields.take(rank)?;
        check(shifts.iter().all(|&shift| shift <= 15), "shift")?;
        let numbers = integers(&mut fields, rank, columns)?;
        fields.finish()?;
        let shifted = |(i, n): (usize, i64)| i16::try_from(n << shifts[i / columns]).map_err(|e| e.to_string());
        let v = numbers.into_iter().enumerate().map(shifted).collect::<Result<_>>()?;
        Ok(Self { rank, step, v })
    }

    /// The bytes that the record's checksum covers.
    pub fn bytes(&self) -> Vec<u8> {
        self.v.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

/// Numbers of so many components, each of so many numbers.
fn integers(fields: &mut Fields, components: usize, length: usize) -> Result<Vec<i64>> {
    let contexts: Vec<usize> = (0..components * length).map(|i| i / length).collect();
    let symbols = symbols::read(fields, &contexts, 76)?;
    let mut raw = Bits::new(fields.string()?);
    let numbers = symbols.into_iter().map(|t| Ok(unzigzag(difference(t, &mut raw)?) as i64)).collect::<Result<_>>()?;
    raw.finish()?;
    Ok(numbers)
}

/// A predicted payload against its base range.
pub fn decode(dtype: u8, columns: usize, payload: &[u8], base: &[u8], factors: &Factors) -> Result<Vec<u8>> {
    let width = match dtype {
        13 | 14 => 2,
        17 => 4,
        19 => 8,
        _ => return Err("a type that is not predicted".to_owned()),
    };
    let mut fields = Fields::new(payload);
    let moved = moved_words((dtype, width), columns, &mut fields, base, factors)?;
    words::delta(Coding::of(dtype), columns, fields.rest(), &moved)
}

/// A payload of blocks against the blocks of its base range, whose weights are moved.
pub fn blocks(
    format: &'static Format,
    columns: usize,
    payload: &[u8],
    base: &[u8],
    factors: &Factors,
) -> Result<Vec<u8>> {
    let mut fields = Fields::new(payload);
    let moved = moved_words((17, 4), columns, &mut fields, &format.weights_of(base), factors)?;
    grid::moved(format, fields.rest(), base, &moved)
}

/// The words of the base range, moved by the numbers that begin the payload.
fn moved_words(
    (dtype, width): (u8, usize),
    columns: usize,
    fields: &mut Fields,
    base: &[u8],
    factors: &Factors,
) -> Result<Vec<u8>> {
    let rows = (base.len() / width).div_ceil(columns);
    let mut numbers = Fields::new(fields.string()?);
    let u = integers(&mut numbers, factors.rank, rows)?;
    numbers.finish()?;
    let sum = |i: usize| {
        let product = |k: usize| u[k * rows + i / columns] * i64::from(factors.v[k * columns + i % columns]);
        (0..factors.rank).map(product).sum::<i64>() as i32
    };
    Ok(base.chunks(width).enumerate().flat_map(|(i, word)| moved(dtype, word, sum(i), factors.step)).collect())
}

/// A word moved by a sum.
fn moved(dtype: u8, word: &[u8], sum: i32, step: f32) -> Vec<u8> {
    if sum == 0 {
        return word.to_vec();
    }
    let by = sum as f32 * step;
    match dtype {
        17 => {
            let value = f32::from_le_bytes(word.try_into().unwrap());
            if value.is_finite() { (value + by).to_le_bytes().to_vec() } else { word.to_vec() }
        }
        19 => {
            let value = f64::from_le_bytes(word.try_into().unwrap());
            if value.is_finite() { (value + f64::from(by)).to_le_bytes().to_vec() } else { word.to_vec() }
        }
        14 => {
            let bits = u32::from(u16::from_le_bytes([word[0], word[1]]));
            let value = f32::from_bits(bits << 16);
            let nearest = ((value + by).to_bits() + 0x8000) >> 16;
            if value.is_finite() { (nearest as u16).to_le_bytes().to_vec() } else { word.to_vec() }
        }
        _ => {
            let bits = u64::from(u16::from_le_bytes([word[0], word[1]]));
            let value = f64::from_bits(cast_word(bits, dtype, F64));
            let moved = f64::from(value as f32 + by);
            let nearest = cast_word(moved.to_bits(), F64, dtype) as u16;
            if value.is_finite() { nearest.to_le_bytes().to_vec() } else { word.to_vec() }
        }
    }
}
