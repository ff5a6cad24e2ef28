//! Floats that are small integers times a scale, as weights are that were quantised once.
//!
//! A scale belongs to a tile of the chunk: so many rows by so many columns. A word is the product
//! of an integer and its tile's scale, rounded to the dtype; the least integer stands for -0.
//! The scales are coded as a chunk of floats of one column.

use super::{Effort, Matrix, Scratch, solo};
use crate::bytes::{ByteReader, put_prefixed, put_varint};
use crate::cast::cast;
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::layout::dtype::Fields;

/// The scales of a chunk.
#[derive(Debug)]
pub(super) struct Multiples {
    /// Rows and columns of a tile.
    tile: (usize, usize),
    /// Columns of the chunk.
    columns: usize,
    /// The scales of the tiles, row by row of tiles. Those of 16-bit floats and `F32` are singles.
    scales: Vec<f64>,
}

/// Number of words of a tile that suggest its scale; all words then confirm it.
const SAMPLE: usize = 2048;

/// Number of words of a few tiles that must have a scale before all words are looked at.
const GLANCE: usize = 256;

/// The largest integer that the smallest word of a tile is tried as.
const SMALLEST: u32 = 64;

impl Multiples {
    /// Returns true if words of `dtype` may be integers of `narrow` times a scale.
    pub(super) fn are(dtype: Dtype, narrow: Dtype) -> bool {
        match dtype {
            Dtype::F32 | Dtype::F64 => matches!(narrow, Dtype::I8 | Dtype::I16),
            Dtype::F16 | Dtype::BF16 => narrow == Dtype::I8,
            _ => false,
        }
    }

    /// Returns the index of the tile of word `i`.
    fn tile_of(&self, i: usize) -> usize {
        let (row, column) = (i / self.columns, i % self.columns);
        row / self.tile.0 * self.columns.div_ceil(self.tile.1) + column / self.tile.1
    }

    /// Calls `visit` with every stretch of words that share a scale, and the scale.
    fn for_each_stretch(&self, count: usize, mut visit: impl FnMut(std::ops::Range<usize>, f64)) {
        let mut start = 0;
        while start < count {
            let column = start % self.columns;
            let length = (self.tile.1 - column % self.tile.1).min(self.columns - column).min(count - start);
            visit(start..start + length, self.scales.get(self.tile_of(start)).copied().unwrap_or(1.0));
            start += length;
        }
    }

    /// Writes the words that the integers stand for.
    pub(super) fn restore(&self, (narrow, dtype): (Dtype, Dtype), integers: &[u8], target: &mut [u8]) {
        let (bytes, width) = (narrow.words().0, dtype.words().0);
        self.for_each_stretch(target.len() / width, |range, scale| {
            let integers = integers[range.start * bytes..range.end * bytes].chunks_exact(bytes);
            let words = target[range.start * width..range.end * width].chunks_exact_mut(width);
            words.zip(integers).for_each(|(word, integer)| product(dtype, load(integer), scale, word));
        });
    }

    /// Writes the integers whose products are nearest to the words of `source`.
    pub(super) fn divide(&self, (dtype, narrow): (Dtype, Dtype), source: &[u8], integers: &mut [u8]) {
        let (bytes, width) = (narrow.words().0, dtype.words().0);
        let most = (1i64 << (8 * bytes - 1)) - 1;
        self.for_each_stretch(source.len() / width, |range, scale| {
            let words = source[range.start * width..range.end * width].chunks_exact(width);
            let integers = integers[range.start * bytes..range.end * bytes].chunks_exact_mut(bytes);
            for (integer, word) in integers.zip(words) {
                let nearest = quotient(dtype, word, scale).clamp(-most, most);
                integer.copy_from_slice(&nearest.to_le_bytes()[..bytes]);
            }
        });
    }

    /// Appends the tile and the scales.
    pub(super) fn write(&self, dtype: Dtype, payload: &mut Vec<u8>) {
        put_varint(payload, self.tile.0 as u64);
        put_varint(payload, self.tile.1 as u64);
        let one = Matrix { columns: 1 };
        put_prefixed(
            payload,
            &match dtype {
                Dtype::F64 => {
                    solo::encode::<u64>(52, one, &bytes(self.scales.iter().map(|s| s.to_le_bytes())), Effort::Fast)
                }
                _ => solo::encode::<u32>(
                    23,
                    one,
                    &bytes(self.scales.iter().map(|s| (*s as f32).to_le_bytes())),
                    Effort::Fast,
                ),
            },
        );
    }

    /// Reads what [`write`](Self::write) appended for a chunk of `count` words.
    pub(super) fn read(
        dtype: Dtype,
        matrix: Matrix,
        count: usize,
        payload: &mut ByteReader<'_>,
        scratch: &mut Scratch,
    ) -> Result<Self> {
        let columns = matrix.columns;
        let rows = count.div_ceil(columns);
        let mut extent = |most: usize| match payload.varint()? {
            0 => Err(Error::corrupt("a tile of scales is empty")),
            extent if extent > most as u64 => {
                Err(Error::corrupt("a tile of scales is larger than the chunk").figures(most, extent))
            }
            extent => Ok(extent as usize),
        };
        let tile = (extent(rows)?, extent(columns)?);
        let tiles = rows.div_ceil(tile.0) * columns.div_ceil(tile.1);
        let (one, payload) = (Matrix { columns: 1 }, payload.prefixed()?);
        let scales: Vec<f64> = if dtype == Dtype::F64 {
            let mut bytes = vec![0; tiles * 8];
            solo::decode::<u64>(one, payload, &mut bytes, scratch)?;
            bytes.as_chunks().0.iter().map(|word| f64::from_le_bytes(*word)).collect()
        } else {
            let mut bytes = vec![0; tiles * 4];
            solo::decode::<u32>(one, payload, &mut bytes, scratch)?;
            bytes.as_chunks().0.iter().map(|word| f64::from(f32::from_le_bytes(*word))).collect()
        };
        if !scales.iter().all(|&scale| scale > 0.0 && scale.is_finite()) {
            return Err(Error::corrupt("a scale is not positive and finite"));
        }
        Ok(Self { tile, columns, scales })
    }
}

fn bytes<const WIDTH: usize>(words: impl Iterator<Item = [u8; WIDTH]>) -> Vec<u8> {
    words.flatten().collect()
}

/// Reads a signed integer of one or two bytes; `None` for the least one.
fn load(integer: &[u8]) -> Option<i16> {
    match *integer {
        [byte] => Some(i16::from(byte as i8)).filter(|&n| n != -128),
        [low, high] => Some(i16::from_le_bytes([low, high])).filter(|&n| n != i16::MIN),
        _ => None,
    }
}

/// Writes `integer * scale` as a word of `dtype`; -0 for `None`.
#[inline(always)]
fn product(dtype: Dtype, integer: Option<i16>, scale: f64, word: &mut [u8]) {
    let Some(integer) = integer else {
        word.fill(0);
        return word.iter_mut().last().map_or((), |high| *high = 0x80);
    };
    if dtype == Dtype::F64 {
        return word.copy_from_slice(&(f64::from(integer) * scale).to_le_bytes());
    }
    cast(Dtype::F32, dtype, &(f32::from(integer) * scale as f32).to_le_bytes(), word);
}

/// Returns the quotient of a word and a scale, rounded to the nearest integer, ties to even; 0 for
/// a NaN.
fn quotient(dtype: Dtype, word: &[u8], scale: f64) -> i64 {
    if dtype == Dtype::F64 {
        return (value(dtype, word) / scale).round_ties_even() as i64;
    }
    (value(dtype, word) as f32 / scale as f32).round_ties_even() as i64
}

/// The value of a word.
fn value(dtype: Dtype, word: &[u8]) -> f64 {
    let mut wide = [0; 8];
    cast(dtype, Dtype::F64, word, &mut wide);
    f64::from_le_bytes(wide)
}

/// The search for scales.
struct Finder<'a> {
    dtype: Dtype,
    target: &'a [u8],
    columns: usize,
    /// Half of the distance between neighbouring words, relative to the power of two below them.
    error: f64,
    /// Half of the distance between the smallest words.
    least_error: f64,
}

impl Multiples {
    /// Finds scales with which all words of `target` are multiples. Returns the narrowest dtype of
    /// the integers, and the integers.
    pub(super) fn find(dtype: Dtype, matrix: Matrix, target: &[u8]) -> Option<(Dtype, Vec<u8>, Self)> {
        let (width, Fields::Float { mantissa }) = dtype.words() else { return None };
        if !Self::are(dtype, Dtype::I8) {
            return None;
        }
        let columns = matrix.columns;
        let rows = (target.len() / width).div_ceil(columns);
        let least_error = value(dtype, &1u64.to_le_bytes()[..width]) / 2.0;
        let finder = Finder { dtype, target, columns, error: 0.5 / (1u64 << mantissa) as f64, least_error };
        let groups = [256, 128, 64, 32].into_iter().filter(|&group| columns > group && columns.is_multiple_of(group));
        let tiles = [(rows, columns), (1, columns), (rows, 1)].into_iter().chain(groups.map(|group| (1, group)));
        tiles.into_iter().filter(|tile| tile.0 * tile.1 >= 16).find_map(|tile| finder.with_tile(tile, rows))
    }
}

impl Finder<'_> {
    fn with_tile(&self, tile: (usize, usize), rows: usize) -> Option<(Dtype, Vec<u8>, Multiples)> {
        let across = self.columns.div_ceil(tile.1);
        let tiles = rows.div_ceil(tile.0) * across;
        let scale = |i: usize, most: usize| {
            let place = (i / across * tile.0, i % across * tile.1);
            self.scale(self.values(tile, place, most))
        };
        // A few tiles tell for nearly every chunk that there are no scales.
        if ![tiles / 2, tiles / 3, 0].into_iter().all(|i| scale(i, GLANCE).is_some()) {
            return None;
        }
        let scales = (0..tiles).map(|i| scale(i, usize::MAX)).collect::<Option<Vec<f64>>>()?;
        let multiples = Multiples { tile, columns: self.columns, scales };
        let width = self.dtype.words().0;
        [Dtype::I8, Dtype::I16]
            .into_iter()
            .filter(|&narrow| Multiples::are(self.dtype, narrow))
            .find_map(|narrow| {
                let mut integers = vec![0; self.target.len() / width * narrow.words().0];
                multiples.divide((self.dtype, narrow), self.target, &mut integers);
                self.mark_negative_zeros(narrow, &mut integers);
                let mut restored = vec![0; self.target.len()];
                multiples.restore((narrow, self.dtype), &integers, &mut restored);
                (restored == self.target).then_some((narrow, integers))
            })
            .map(|(narrow, integers)| (narrow, integers, multiples))
    }

    /// Writes the least integer where the target's word is -0.
    fn mark_negative_zeros(&self, narrow: Dtype, integers: &mut [u8]) {
        let words = self.target.chunks_exact(self.dtype.words().0);
        for (integer, word) in integers.chunks_exact_mut(narrow.words().0).zip(words) {
            if let Some((0x80, rest)) = word.split_last()
                && rest.iter().all(|&byte| byte == 0)
                && let Some(high) = integer.last_mut()
            {
                *high = 0x80;
            }
        }
    }

    /// Returns the magnitudes of a tile that are not 0, those of about `most` of its words.
    fn values(&self, tile: (usize, usize), place: (usize, usize), most: usize) -> Vec<f64> {
        let width = self.dtype.words().0;
        let across = tile.1.min(self.columns - place.1);
        let down = tile.0.min((self.target.len() / width).div_ceil(self.columns) - place.0);
        let every = ((down * across) / most).max(1);
        let words = (0..down * across).step_by(every).filter_map(|i| {
            let word = (place.0 + i / across) * self.columns + place.1 + i % across;
            self.target.get(word * width..(word + 1) * width)
        });
        words.map(|word| value(self.dtype, word).abs()).filter(|&value| value != 0.0).collect()
    }

    /// Returns a scale of which all values are multiples after rounding; `None` if there is none.
    fn scale(&self, values: Vec<f64>) -> Option<f64> {
        let every = values.len().div_ceil(SAMPLE).max(1);
        let mut sample: Vec<f64> = values.iter().step_by(every).copied().collect();
        sample.sort_by(f64::total_cmp);
        sample.dedup();
        let Some(&least) = sample.first() else { return Some(1.0) };
        if !sample.last().is_some_and(|last| last.is_finite()) {
            return None;
        }
        (1..=SMALLEST).find_map(|smallest| {
            let (low, high) = self.around(least);
            let quotient = f64::from(smallest);
            let range = self.narrowed((low / quotient, high / quotient), sample.iter())?;
            let (low, high) = self.narrowed(range, values.iter())?;
            let middle = (low + high) / 2.0;
            let scale = if self.dtype == Dtype::F64 { middle } else { f64::from(middle as f32) };
            (scale > 0.0 && scale.is_finite()).then_some(scale)
        })
    }

    /// Returns the range of numbers that are rounded to a word.
    fn around(&self, value: f64) -> (f64, f64) {
        const FRACTION: u64 = (1 << 52) - 1;
        let power = f64::from_bits(value.to_bits() & !FRACTION);
        let above = (power * self.error).max(self.least_error);
        // Words below a power of two are twice as close.
        let below = if power == value { (above / 2.0).max(self.least_error) } else { above };
        (value - below, value + above)
    }

    /// Returns the part of a range of scales with which all values are multiples; `None` if there
    /// is none, or if a value would be a multiple too large.
    fn narrowed<'v>(
        &self,
        (mut low, mut high): (f64, f64),
        values: impl Iterator<Item = &'v f64>,
    ) -> Option<(f64, f64)> {
        let most = if self.dtype.words().0 == 2 { 127.0 } else { 32767.0 };
        for value in values {
            let quotient = (value / ((low + high) / 2.0)).round_ties_even();
            if quotient > most || quotient == 0.0 {
                return None;
            }
            let around = self.around(*value);
            (low, high) = (low.max(around.0 / quotient), high.min(around.1 / quotient));
            if low > high {
                return None;
            }
        }
        Some((low, high))
    }
}
