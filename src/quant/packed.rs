//! Packed weights, as data: numbers of two to eight bits in a region of their own, whose scales and
//! zero points or biases are the words of other regions, its *companions*.
//!
//! The numbers of the region are a matrix that is cut into tiles of `rows` rows and `columns`
//! columns. A weight is `a * level[number] + c`, where `a` is the scale of its tile, and `c` is 0, or
//! minus the product of the scale and the zero point of the tile, or the bias of the tile.

mod stored;
mod tiles;

pub(crate) use tiles::Tiles;

use super::Levels;
use super::dynamic::number;
use super::formats::{E2M1, Float, NF4};
use crate::cast::{can_cast, singles};
use crate::layout::Dtype;
use crate::layout::dtype::Fields;

/// One way to pack weights.
#[derive(Debug)]
pub(crate) struct Packing {
    /// Bits of a number, at most 8. The lowest bits of a byte come first, and numbers may go on in the
    /// next byte.
    pub(crate) bits: u32,
    pub(crate) levels: Levels,
    /// The relation of stored numbers to indices of levels.
    pub(crate) code: Code,
    pub(crate) order: Order,
    pub(crate) zeros: Zeros,
    /// A companion tells the [groups](super::groups::Groups) of rows.
    pub(crate) grouped: bool,
    /// The factor divides scales.
    pub(crate) divides: bool,
    /// Zero points follow each other by columns of tiles, in each [`DOWN`] rows of them.
    pub(crate) down: bool,
}

/// Rows of tiles whose zero points follow each other by columns.
const DOWN: u64 = 8;

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
    /// The highest bit is inverted: numbers with a sign.
    Signed,
    /// The highest bit is a sign, and the others ascend away from 0.
    SignAndSize,
}

const fn uniform(bits: u32, zero: u8, code: Code, zeros: Zeros) -> Packing {
    let levels = Levels::Uniform { last: ((1u32 << bits) - 1) as u8, zero };
    Packing { bits, levels, code, order: Order::Columns, zeros, grouped: false, divides: false, down: false }
}

const fn book(levels: &'static [f32; 16], code: Code) -> Packing {
    let (order, zeros) = (Order::Columns, Zeros::None);
    Packing { bits: 4, levels: Levels::Book(levels), code, order, zeros, grouped: false, divides: false, down: false }
}

const fn float(mantissa: u32, last: u8) -> Packing {
    let levels = Levels::Float(Float { mantissa, last });
    let (code, order, zeros) = (Code::SignAndSize, Order::Columns, Zeros::None);
    Packing { bits: 8, levels, code, order, zeros, grouped: false, divides: false, down: false }
}

/// The packings, by their numbers in the format.
pub(crate) static PACKINGS: [Packing; 30] = [
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
    // GPTQ of 4 and of 8 bits whose rows were sorted first.
    Packing { grouped: true, ..uniform(4, 1, Code::Plain, Zeros::Points) },
    Packing { grouped: true, ..uniform(8, 1, Code::Plain, Zeros::Points) },
    // MLX of 2, 3, 5 and 6 bits.
    uniform(2, 0, Code::Plain, Zeros::Biases),
    uniform(3, 0, Code::Plain, Zeros::Biases),
    uniform(5, 0, Code::Plain, Zeros::Biases),
    uniform(6, 0, Code::Plain, Zeros::Biases),
    // MatMulNBits of 2 bits, without and with zero points.
    uniform(2, 2, Code::Plain, Zeros::None),
    uniform(2, 0, Code::Plain, Zeros::Points),
    // GPTQ of 2 bits, also with rows that were sorted first.
    uniform(2, 1, Code::Plain, Zeros::Points),
    Packing { grouped: true, ..uniform(2, 1, Code::Plain, Zeros::Points) },
    // NVFP4 of compressed-tensors, whose factor is that of the scales before they were rounded.
    Packing { divides: true, ..book(&E2M1, Code::SignAndSize) },
    // compressed-tensors with zero points.
    Packing { down: true, ..uniform(4, 0, Code::Plain, Zeros::Points) },
    // TensorFlow Lite.
    uniform(4, 8, Code::Signed, Zeros::None),
];

impl Packing {
    /// Writes the tile of each number from number `first` on, counted from tile `origin` on.
    pub(crate) fn tiles(&self, tiles: &Tiles, origin: u64, first: u64, mut found: &mut [u32]) {
        let (mut row, mut column) = (first / tiles.width, first % tiles.width);
        while !found.is_empty() {
            let count = usize::try_from(tiles.width - column).map_or(found.len(), |count| count.min(found.len()));
            let (own, rest) = found.split_at_mut(count);
            let before = (row / tiles.rows * tiles.across()).wrapping_sub(origin);
            self.tiles_of_row(tiles.columns, before, column, own);
            (row, column, found) = (row + 1, 0, rest);
        }
    }

    /// Writes the tiles of numbers of a row from a column on, given the number of the row's first one.
    fn tiles_of_row(&self, columns: u64, before: u64, column: u64, found: &mut [u32]) {
        if self.is_interleaved() {
            // AWQ has a tile for each column. To divide each number's place would take a fifth of the
            // time.
            let tile = |place: u64| if columns == 1 { place } else { place / columns };
            for (found, column) in found.iter_mut().zip(column as usize..) {
                *found = before.wrapping_add(tile(self.weight(column) as u64)) as u32;
            }
            return;
        }
        let (mut tile, mut left) = (before.wrapping_add(column / columns), columns - column % columns);
        for found in found {
            *found = tile as u32;
            left -= 1;
            if left == 0 {
                (tile, left) = (tile.wrapping_add(1), columns);
            }
        }
    }

    /// Reads the indices of the levels of stored numbers, 0 behind the last one.
    pub(crate) fn indices(&self, bytes: &[u8], indices: &mut [u8]) {
        self.unpack(bytes, indices);
        match self.code {
            Code::Plain => {}
            _ => indices.iter_mut().for_each(|number| *number = self.index(*number)),
        }
    }

    /// The index of the level of a stored number.
    #[inline(always)]
    pub(crate) fn index(&self, number: u8) -> u8 {
        match self.code {
            Code::Plain => number,
            Code::Signed => number ^ self.half(),
            Code::SignAndSize if number < self.half() => number + self.half(),
            Code::SignAndSize => self.mask() - number,
        }
    }

    /// The inverse of [`index`](Self::index).
    #[inline(always)]
    pub(crate) fn number(&self, index: u8) -> u8 {
        match self.code {
            Code::Plain => index,
            Code::Signed => index ^ self.half(),
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

    /// Returns true if a region of `dtype` may have the numbers.
    pub(crate) fn takes(&self, dtype: Dtype) -> bool {
        match self.float() {
            Some(float) => dtype == float,
            None => dtype.words().1 == Fields::Integer && !dtype.is_scaled(),
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

    /// The place of a weight's stored number, given the place of the weight: the inverse of
    /// [`weight`](Self::weight).
    #[inline(always)]
    pub(crate) fn place(&self, weight: usize) -> usize {
        const PLACES: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];
        match self.order {
            Order::Columns => weight,
            Order::Interleaved => weight / 8 * 8 + PLACES[weight % 8],
            Order::HighFirst => weight ^ 1,
        }
    }

    /// The bits that a number may have.
    #[inline(always)]
    pub(crate) fn mask(&self) -> u8 {
        ((1u16 << self.bits) - 1) as u8
    }

    /// Returns true if tiles have biases.
    pub(crate) fn has_biases(&self) -> bool {
        self.zeros == Zeros::Biases
    }

    /// Returns true if rows are interleaved.
    pub(crate) fn is_interleaved(&self) -> bool {
        self.order == Order::Interleaved
    }

    /// Those of the tiles that share words of a companion, from the first tile on.
    pub(crate) fn run(&self, tiles: &Tiles) -> u64 {
        match self.zeros {
            Zeros::Nested => NESTED,
            _ if self.down => DOWN.saturating_mul(tiles.across()),
            _ => 8,
        }
    }

    /// The numbers `a` and `c` of tiles, given their companions. They are NaN where a scale is not
    /// finite.
    pub(crate) fn affine(&self, tiles: &Tiles, of: Companions<'_>) -> Vec<(f32, f32)> {
        let scales = self.scales(of);
        match self.shifts(tiles, of) {
            Shifts::None => scales.into_iter().map(|scale| (scale, 0.0)).collect(),
            Shifts::Biases(biases) => scales.into_iter().zip(biases).collect(),
            Shifts::Points(zeros) => scales.into_iter().zip(zeros).map(|(a, zero)| (a, -(a * zero))).collect(),
        }
    }

    /// The scales of tiles, given their companions. They are NaN where they are not finite.
    pub(crate) fn scales(&self, of: Companions<'_>) -> Vec<f32> {
        let factor = of.factor.and_then(|factor| scales_of(factor).first().copied()).unwrap_or(1.0);
        let scales = match of.zeros {
            Some(nested) if self.zeros == Zeros::Nested => nested_scales(of.scales.1, &scales_of(nested), of.offset),
            _ => scales_of(of.scales),
        };
        let scales = scales.into_iter().map(|scale| if self.divides { scale / factor } else { scale * factor });
        scales.map(|scale| if scale.is_finite() { scale } else { f32::NAN }).collect()
    }

    /// The numbers of tiles that tell the weights of the level 0, a whole [`run`](Self::run) of tiles
    /// behind the first one.
    pub(crate) fn shifts(&self, tiles: &Tiles, of: Companions<'_>) -> Shifts {
        let zeros = match (of.zeros, self.zeros) {
            (Some(biases), Zeros::Biases) => return Shifts::Biases(scales_of(biases)),
            (Some(zeros), Zeros::Points) => zeros,
            _ => return Shifts::None,
        };
        let stored = self.numbers(zeros.1);
        let across = usize::try_from(tiles.across()).unwrap_or(usize::MAX);
        let zero = |tile: usize| {
            // Zero points follow each other as numbers do: interleaved, or each in its column.
            let place = match (self.down, self.is_interleaved()) {
                (true, _) => down(tile, across),
                (_, true) => self.place(tile),
                _ => tile,
            };
            let number = stored.get(place).copied().unwrap_or(0);
            if self.code == Code::Signed { f32::from(number as i8) } else { f32::from(number) }
        };
        let count = of.scales.1.len() / of.scales.0.words().0;
        Shifts::Points((0..count).map(zero).collect())
    }
}

/// The place of a tile, of which so many are side by side, among those in order of columns.
fn down(tile: usize, across: usize) -> usize {
    let (rows, row, column) = (DOWN as usize, tile / across, tile % across);
    (row / rows * across + column) * rows + row % rows
}

/// The numbers of tiles that tell the weights of the level 0.
#[derive(Debug)]
pub(crate) enum Shifts {
    /// There are none: these weights are 0.
    None,
    /// These weights themselves.
    Biases(Vec<f32>),
    /// The levels whose weights are 0.
    Points(Vec<f32>),
}

/// The companions of tiles, as bytes with their dtype.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Companions<'a> {
    pub(crate) scales: (Dtype, &'a [u8]),
    /// Zero points, biases, or the scales of scales.
    pub(crate) zeros: Option<(Dtype, &'a [u8])>,
    /// The one number that all scales are multiplied by, or divided by.
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
mod tests;
