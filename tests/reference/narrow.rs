//! Narrow payloads: words in a narrower dtype, and the conversions between dtypes.

use super::cast::cast_word;
use super::chunk::{self, Coding};
use super::fields::Fields;
use super::predicted::Factors;
use super::{Result, check, words};

const I8: u8 = 5;
const F32: u8 = 17;
const F64: u8 = 19;

/// The dtypes that are narrower than another one.
fn narrower(dtype: u8) -> &'static [u8] {
    match dtype {
        19 => &[6, 7, 13, 14, 17],
        17 => &[6, 7, 13, 14],
        13 => &[6, 7, 14],
        14 => &[6, 7],
        20 | 21 => &[4, 5, 11, 12, 15, 16],
        15 | 16 => &[4, 5, 11, 12],
        11 | 12 => &[4, 5],
        _ => &[],
    }
}

/// The integers of which words are multiples.
fn multiples(dtype: u8) -> &'static [u8] {
    match dtype {
        17 | 19 => &[5, 11],
        13 | 14 => &[5],
        _ => &[],
    }
}

/// A chunk of `length` bytes from its payload.
pub fn decode(
    dtype: u8,
    columns: usize,
    payload: &[u8],
    base: Option<&[u8]>,
    factors: Option<&Factors>,
    length: usize,
) -> Result<Vec<u8>> {
    let mut fields = Fields::new(payload);
    let (narrow, method) = (fields.byte()?, fields.byte()?);
    check([0, 1, 2, 3, 4, 6, 8, 11].contains(&method), "a method within another one")?;
    let (width, bytes) = (Coding::of(dtype).bytes(), Coding::of(narrow).bytes());
    let count = length / width;
    let load = |words: &[u8], width: usize| words.chunks(width).map(number).collect::<Vec<u64>>();
    let store = |words: Vec<u64>, width: usize| -> Vec<u8> {
        words.into_iter().flat_map(|word| word.to_le_bytes().into_iter().take(width)).collect()
    };
    let inner = |fields: Fields, base: Option<Vec<u64>>| -> Result<Vec<u64>> {
        let base = base.map(|base| store(base, bytes));
        let words =
            chunk::decode(method, narrow, columns, fields.rest(), (base.as_deref(), false), factors, count * bytes)?;
        Ok(load(&words, bytes))
    };
    let base = base.map(|base| load(base, width));
    let restored = if narrower(dtype).contains(&narrow) {
        let base = base.map(|base| base.into_iter().map(|word| convert(dtype, narrow, word)).collect());
        inner(fields, base)?.into_iter().map(|word| convert(narrow, dtype, word)).collect()
    } else {
        check(multiples(dtype).contains(&narrow), "the dtype is not narrower")?;
        let scales = Scales::read(&mut fields, dtype, columns, count)?;
        let divided = |(i, word): (usize, u64)| divide(dtype, narrow, word, scales.of(i));
        let base = base.map(|base| base.into_iter().enumerate().map(divided).collect());
        let words = inner(fields, base)?.into_iter().enumerate();
        words.map(|(i, word)| multiply(narrow, dtype, word, scales.of(i))).collect()
    };
    Ok(store(restored, width))
}

fn number(word: &[u8]) -> u64 {
    word.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The scales of tiles.
struct Scales {
    rows: usize,
    columns: usize,
    across: usize,
    width: usize,
    scales: Vec<f64>,
}

impl Scales {
    fn read(fields: &mut Fields, dtype: u8, columns: usize, count: usize) -> Result<Self> {
        let extents = (fields.varint()? as usize, fields.varint()? as usize);
        let height = count.div_ceil(columns);
        check((1..=height).contains(&extents.0) && (1..=columns).contains(&extents.1), "a tile")?;
        let across = columns.div_ceil(extents.1);
        let tiles = height.div_ceil(extents.0) * across;
        let coding = Coding::of(if dtype == F64 { F64 } else { F32 });
        let words = words::solo(coding, 1, fields.string()?, tiles * coding.bytes())?;
        let value = |word: u64| {
            if dtype == F64 { f64::from_bits(word) } else { f64::from(f32::from_bits(word as u32)) }
        };
        let scales: Vec<f64> = words.chunks(coding.bytes()).map(|word| value(number(word))).collect();
        check(scales.iter().all(|&scale| scale > 0.0 && scale < f64::INFINITY), "a scale")?;
        Ok(Self { rows: extents.0, columns: extents.1, across, width: columns, scales })
    }

    /// The scale of a word.
    fn of(&self, i: usize) -> f64 {
        self.scales[i / self.width / self.rows * self.across + i % self.width / self.columns]
    }
}

/// The nearest integer to a word divided by a scale.
fn divide(dtype: u8, narrow: u8, word: u64, scale: f64) -> u64 {
    let value = f64::from_bits(cast_word(word, dtype, F64));
    let quotient =
        if dtype == F64 { (value / scale).round_ties_even() } else { f64::from(value as f32 / scale as f32) };
    let most = if narrow == I8 { 127.0 } else { 32767.0 };
    if quotient.is_nan() { 0 } else { quotient.round_ties_even().clamp(-most, most) as i64 as u64 }
}

/// An integer times a scale.
fn multiply(narrow: u8, dtype: u8, word: u64, scale: f64) -> u64 {
    let integer = if narrow == I8 { i16::from(word as i8) } else { word as i16 };
    if integer == if narrow == I8 { -128 } else { i16::MIN } {
        return 1 << (Coding::of(dtype).width - 1);
    }
    match dtype {
        F64 => (f64::from(integer) * scale).to_bits(),
        _ => convert(F32, dtype, u64::from((f32::from(integer) * scale as f32).to_bits())),
    }
}

/// A word in another dtype.
fn convert(from: u8, to: u8, word: u64) -> u64 {
    match Coding::of(to).mantissa {
        _ if from == to => word,
        Some(_) => cast_word(word, from, to),
        None => {
            let (old, new) = (Coding::of(from).width, Coding::of(to).width);
            let signed = |dtype: u8| [5, 11, 15, 20].contains(&dtype);
            let negative = signed(from) && word >> (old - 1) == 1;
            let value = i128::from(word) - if negative { 1 << old } else { 0 };
            let half = if signed(to) { 1i128 << (new - 1) } else { 0 };
            value.clamp(-half, (1 << new) - 1 - half) as u64
        }
    }
}
