//! Packed weights, as data: numbers of four or eight bits in a region of their own, whose scales and
//! zero points or biases are the words of other regions, its *companions*.
//!
//! The numbers of the region are a matrix that is cut into tiles of `rows` rows and `columns`
//! columns. A weight is `a * level[number] + c`, where `a` is the scale of its tile, and `c` is 0, or
//! minus the product of the scale and the zero point of the tile, or the bias of the tile.

use std::ops::Range;

use super::Levels;
use super::dynamic::number;
use super::formats::{E2M1, Float, NF4};
use crate::cast::{can_cast, singles};
use crate::layout::Dtype;

/// One way to pack weights.
#[derive(Debug)]
pub(crate) struct Packing {
    /// Bits of a number: 4 or 8. The low half of a byte comes first.
    pub(crate) bits: u32,
    pub(crate) levels: Levels,
    /// The relation of stored numbers to indices of levels.
    pub(crate) code: Code,
    pub(crate) order: Order,
    pub(crate) zeros: Zeros,
}

/// The companion that tells the weights of the level 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zeros {
    /// There is none: they are 0.
    None,
    /// A zero point for each tile, packed as the numbers are.
    Points,
    /// A bias for each tile: a word of the dtypes of scales.
    Biases,
    /// They are 0, and the scales are nested: each is a place in the [dynamic map](super::dynamic), whose
    /// number is multiplied by the scale of [`NESTED`] tiles; to the product an offset is added.
    Nested,
}

/// Tiles with one scale of their nested scales.
pub(crate) const NESTED: u64 = 256;

/// The order of numbers in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// That of their columns.
    Columns,
    /// In each eight of them, they are those of the columns 0, 2, 4, 6, 1, 3, 5, 7.
    Interleaved,
    /// That of their columns; but the weights of each two of them are in the other order.
    HighFirst,
}

/// The columns of eight interleaved numbers.
const INTERLEAVED: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

/// The relation of stored numbers to indices of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// They are the same.
    Plain,
    /// The highest bit of eight is inverted: numbers with a sign.
    Signed,
    /// The highest bit is a sign, and the others ascend away from 0.
    SignAndSize,
}

const fn uniform(bits: u32, zero: u8, code: Code, zeros: Zeros) -> Packing {
    let levels = Levels::Uniform { last: ((1u32 << bits) - 1) as u8, zero };
    Packing { bits, levels, code, order: Order::Columns, zeros }
}

const fn book(levels: &'static [f32; 16], code: Code) -> Packing {
    Packing { bits: 4, levels: Levels::Book(levels), code, order: Order::Columns, zeros: Zeros::None }
}

const fn float(mantissa: u32, last: u8) -> Packing {
    let levels = Levels::Float(Float { mantissa, last });
    Packing { bits: 8, levels, code: Code::SignAndSize, order: Order::Columns, zeros: Zeros::None }
}

/// The packings, by their numbers in the format.
pub(crate) static PACKINGS: [Packing; 17] = [
    // MatMulNBits and GPTQ without zero points.
    uniform(4, 8, Code::Plain, Zeros::None),
    // MLC.
    uniform(4, 7, Code::Plain, Zeros::None),
    // MatMulNBits with zero points.
    uniform(4, 0, Code::Plain, Zeros::Points),
    // GPTQ, which stores zero points less 1.
    uniform(4, 1, Code::Plain, Zeros::Points),
    // AWQ.
    Packing { order: Order::Interleaved, ..uniform(4, 0, Code::Plain, Zeros::Points) },
    // bitsandbytes.
    Packing { order: Order::HighFirst, ..book(&NF4, Code::Plain) },
    // MXFP4 and NVFP4.
    book(&E2M1, Code::SignAndSize),
    // Integers of 8 bits, without and with zero points.
    uniform(8, 128, Code::Signed, Zeros::None),
    uniform(8, 128, Code::Signed, Zeros::Points),
    uniform(8, 0, Code::Plain, Zeros::Points),
    // MatMulNBits and compressed-tensors of 8 bits without zero points.
    uniform(8, 128, Code::Plain, Zeros::None),
    // The floats of 8 bits.
    float(3, 0x7e),
    float(2, 0x7b),
    // MLX of 4 and of 8 bits.
    uniform(4, 0, Code::Plain, Zeros::Biases),
    uniform(8, 0, Code::Plain, Zeros::Biases),
    // GPTQ of 8 bits, which stores zero points less 1.
    uniform(8, 1, Code::Plain, Zeros::Points),
    // bitsandbytes with nested scales.
    Packing { order: Order::HighFirst, zeros: Zeros::Nested, ..book(&NF4, Code::Plain) },
];

/// The tiles of a matrix of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    /// Columns of the matrix.
    pub(crate) width: u64,
    /// Rows of a tile.
    pub(crate) rows: u64,
    /// Columns of a tile.
    pub(crate) columns: u64,
}

impl Tiles {
    /// Tiles side by side.
    pub(crate) fn across(&self) -> u64 {
        self.width.div_ceil(self.columns)
    }

    /// All tiles of a matrix of `count` numbers, which are whole rows.
    pub(crate) fn count(&self, count: u64) -> u64 {
        count.div_ceil(self.width).div_ceil(self.rows).saturating_mul(self.across())
    }

    /// The tiles that a range of a matrix of `count` numbers needs: all of the rows of tiles that it
    /// touches, and those before and behind that share `run` numbers with them.
    pub(crate) fn of(&self, numbers: &Range<u64>, count: u64, run: u64) -> Range<u64> {
        let across = self.across();
        let first = numbers.start / self.width / self.rows * across;
        let last = numbers.end.div_ceil(self.width).div_ceil(self.rows) * across;
        first / run * run..last.div_ceil(run).saturating_mul(run).min(self.count(count))
    }
}

impl Packing {
    /// Writes the tile of each number from number `first` on, counted from tile `origin` on.
    pub(crate) fn tiles(&self, tiles: &Tiles, origin: u64, first: u64, found: &mut [u32]) {
        let across = tiles.across();
        let (mut row, mut column) = (first / tiles.width, first % tiles.width);
        for tile in found {
            let place = if self.is_interleaved() { self.weight(column as usize) as u64 } else { column };
            *tile = (row / tiles.rows * across + place / tiles.columns).wrapping_sub(origin) as u32;
            column += 1;
            if column == tiles.width {
                (row, column) = (row + 1, 0);
            }
        }
    }

    /// The index of the level of a stored number.
    #[inline(always)]
    pub(crate) fn index(&self, number: u8) -> u8 {
        match self.code {
            Code::Plain => number,
            Code::Signed => number ^ 0x80,
            Code::SignAndSize if number < self.half() => number + self.half(),
            Code::SignAndSize => self.mask() - number,
        }
    }

    /// The inverse of [`index`](Self::index).
    #[inline(always)]
    pub(crate) fn number(&self, index: u8) -> u8 {
        match self.code {
            Code::Plain => index,
            Code::Signed => index ^ 0x80,
            Code::SignAndSize if index >= self.half() => index - self.half(),
            Code::SignAndSize => self.mask() - index,
        }
    }

    /// Half of the numbers that there are.
    #[inline(always)]
    fn half(&self) -> u8 {
        1 << (self.bits - 1)
    }

    /// The dtype of a region of floats; `None` for integers.
    pub(crate) fn float(&self) -> Option<Dtype> {
        match self.levels {
            Levels::Float(Float { mantissa: 3, .. }) => Some(Dtype::F8_E4M3),
            Levels::Float(_) => Some(Dtype::F8_E5M2),
            _ => None,
        }
    }

    /// The place of the weight of a stored number, in the order of columns. Places change only
    /// within eight numbers.
    #[inline(always)]
    pub(crate) fn weight(&self, number: usize) -> usize {
        match self.order {
            Order::Columns => number,
            Order::Interleaved => number / 8 * 8 + INTERLEAVED[number % 8],
            Order::HighFirst => number ^ 1,
        }
    }

    /// The bits that a number may have.
    #[inline(always)]
    pub(crate) fn mask(&self) -> u8 {
        ((1u16 << self.bits) - 1) as u8
    }

    /// Returns true if rows are interleaved.
    pub(crate) fn is_interleaved(&self) -> bool {
        self.order == Order::Interleaved
    }

    /// Tiles that share words of a companion, from the first tile on.
    pub(crate) fn run(&self) -> u64 {
        if self.zeros == Zeros::Nested { NESTED } else { 8 }
    }

    /// Numbers in a byte.
    pub(crate) fn per_byte(&self) -> u64 {
        u64::from(8 / self.bits)
    }

    /// The stored numbers of bytes.
    pub(crate) fn numbers<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> {
        let halves = usize::from(self.bits == 4);
        (0..bytes.len() << halves).map(move |place| {
            let byte = bytes[place >> halves];
            if halves == 0 { byte } else { byte >> (place % 2 * 4) & 15 }
        })
    }

    /// The numbers `a` and `c` of tiles, given their companions. They are NaN where a scale is not
    /// finite.
    pub(crate) fn affine(&self, of: Companions<'_>) -> Vec<(f32, f32)> {
        let factor = of.factor.and_then(|factor| scales_of(factor).first().copied()).unwrap_or(1.0);
        let scales = match of.zeros {
            Some(nested) if self.zeros == Zeros::Nested => nested_scales(of.scales.1, &scales_of(nested), of.offset),
            _ => scales_of(of.scales),
        };
        let scales = scales.into_iter().map(|scale| scale * factor);
        let scales = scales.map(|scale| if scale.is_finite() { scale } else { f32::NAN });
        let zeros = match (of.zeros, self.zeros) {
            (Some(biases), Zeros::Biases) => return scales.zip(scales_of(biases)).collect(),
            (Some(zeros), Zeros::Points) => zeros,
            _ => return scales.map(|scale| (scale, 0.0)).collect(),
        };
        // Zero points follow each other as numbers do: interleaved, they belong to the columns 0, 2 and so on.
        let stored: Vec<u8> = self.numbers(zeros.1).collect();
        let zero = |tile: usize| {
            const PLACES: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];
            let place = if self.is_interleaved() { tile / 8 * 8 + PLACES[tile % 8] } else { tile };
            let number = stored.get(place).copied().unwrap_or(0);
            if self.code == Code::Signed { f32::from(number as i8) } else { f32::from(number) }
        };
        scales.enumerate().map(|(tile, scale)| (scale, -(scale * zero(tile)))).collect()
    }
}

/// The companions of tiles, as bytes with their dtype.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Companions<'a> {
    pub(crate) scales: (Dtype, &'a [u8]),
    /// Zero points, biases, or the scales of scales.
    pub(crate) zeros: Option<(Dtype, &'a [u8])>,
    /// The one number that all scales are multiplied by.
    pub(crate) factor: Option<(Dtype, &'a [u8])>,
    /// The number that is added to nested scales.
    pub(crate) offset: f32,
}

/// Nested scales, given their places in the dynamic map and the scales of them.
fn nested_scales(places: &[u8], scales: &[f32], offset: f32) -> Vec<f32> {
    let runs = places.chunks(NESTED as usize).zip(scales);
    runs.flat_map(|(places, scale)| places.iter().map(move |&place| number(place) * scale + offset)).collect()
}

/// Returns true if words of `dtype` may be scales.
pub(crate) fn is_scale(dtype: Dtype) -> bool {
    is_power(dtype) || dtype != Dtype::F64 && can_cast(dtype, Dtype::F32)
}

/// Returns true if scales of `dtype` are powers of two.
pub(crate) fn is_power(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8_E8M0 | Dtype::U8)
}

/// Scales as numbers. Those of `F8_E8M0`, which often are called `U8`, are powers of two.
fn scales_of((dtype, bytes): (Dtype, &[u8])) -> Vec<f32> {
    if is_power(dtype) {
        // The exponent of a single; the least and the greatest one have no power of their own.
        return bytes.iter().map(|&byte| f32::from_bits(u32::from(byte) << 23)).collect();
    }
    singles(dtype, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_indices_ascend() {
        for packing in &PACKINGS {
            let all: Vec<u8> = (0..1u32 << packing.bits).map(|number| number as u8).collect();
            let mut indices: Vec<u8> = all.iter().map(|&number| packing.index(number)).collect();
            assert!(all.iter().all(|&number| packing.number(packing.index(number)) == number));
            indices.sort_unstable();
            assert!(
                indices == all && indices.is_sorted_by(|a, b| packing.levels.value(*a) <= packing.levels.value(*b))
            );
        }
    }

    #[test]
    fn tiles_follow_rows_and_columns() {
        let tiles = Tiles { width: 16, rows: 2, columns: 4 };
        let found = |packing: &Packing, start: u64, first: u64, count: usize| {
            let mut found = vec![0; count];
            packing.tiles(&tiles, start, first, &mut found);
            found
        };
        assert_eq!(found(&PACKINGS[0], 0, 6, 4), [1, 1, 2, 2]);
        assert_eq!(found(&PACKINGS[0], 4, 62, 3), [3, 3, 4]);
        assert_eq!(found(&PACKINGS[4], 0, 8, 8), [2, 2, 3, 3, 2, 2, 3, 3]);
        assert_eq!((tiles.count(64), tiles.count(80), tiles.of(&(40..62), 64, 8)), (8, 12, 0..8));
    }

    #[test]
    fn zero_points_belong_to_the_columns_of_their_numbers() {
        let scales: Vec<u8> = (0..8).flat_map(|_| 1f32.to_le_bytes()).collect();
        // The numbers 0 to 7 in stored order are zero points of the columns 0, 2, 4, 6, 1, 3, 5, 7.
        let zeros = |packing: &Packing| {
            let zeros = Some((Dtype::U8, &[0x10, 0x32, 0x54, 0x76][..]));
            let affine = packing.affine(Companions { zeros, ..plain(&scales) });
            affine.iter().map(|(_, c)| -c as u8).collect::<Vec<_>>()
        };
        assert_eq!(zeros(&PACKINGS[4]), [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(zeros(&PACKINGS[2]), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    fn plain(scales: &[u8]) -> Companions<'_> {
        Companions { scales: (Dtype::F32, scales), zeros: None, factor: None, offset: 0.0 }
    }

    #[test]
    fn nested_scales_have_a_scale_for_256_of_them() {
        let places: Vec<u8> = (0..300).map(|i| if i < 256 { 255 } else { 127 }).collect();
        let nested: Vec<u8> = [0.5f32, 0.25].into_iter().flat_map(f32::to_le_bytes).collect();
        let (scales, zeros) = ((Dtype::U8, &places[..]), Some((Dtype::F32, &nested[..])));
        let affine = PACKINGS[16].affine(Companions { scales, zeros, factor: None, offset: 2.0 });
        assert!(affine.len() == 300 && affine[255] == (2.5, 0.0) && affine[256] == (2.0, 0.0));
    }

    #[test]
    fn biases_are_words_and_are_not_multiplied() {
        let words = |words: [f32; 2]| words.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>();
        let (scales, biases, factor) = (words([0.5, f32::INFINITY]), words([-3.0, 1.0]), 2f32.to_le_bytes());
        let factor = Some((Dtype::F32, &factor[..]));
        let zeros = Some((Dtype::F32, &biases[..]));
        let affine = PACKINGS[13].affine(Companions { zeros, factor, ..plain(&scales) });
        assert!(affine[0] == (1.0, -3.0) && affine[1].0.is_nan() && affine[1].1 == 1.0);
    }
}
