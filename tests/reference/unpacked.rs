//! Views that give floats the weights of packed numbers.

use super::base::Region;
use super::chunk::Coding;
use super::fields::Fields;
use super::head::{Head, LAST};
use super::levels::{
    bits, bytes_of, dynamic, factored, has_biases, has_groups, has_zeros, index, level, numbers, place_of_zero, takes,
};
use super::merge::{factor, rounded};
use super::view::{Base, Origin, find, is_power, read_name, transposed, unit, without_nans};
use super::{Result, cast, check};

/// The order of the weights of packed numbers, and their arithmetic.
pub struct Unpacked {
    kind: u8,
    width: usize,
    rows: usize,
    columns: usize,
    matrices: (usize, usize),
    element: usize,
    product: u8,
    weight: u8,
    factor: bool,
    groups: bool,
    offset: f32,
}

/// Tells whether words of the dtype may be scales.
fn is_scale(dtype: u8) -> bool {
    is_power(dtype) || cast::known(dtype) && dtype != 19
}

impl Unpacked {
    pub fn read(region: &Region, fields: &mut Fields, head: &Head) -> Result<(Self, Vec<Origin>)> {
        let kind = fields.byte()?;
        check(kind <= 29, "unknown packing")?;
        let (width, rows, columns) = (fields.varint()?, fields.varint()?, fields.varint()?);
        let (down, across, element) = (fields.varint()?, fields.varint()?, fields.varint()?);
        let (product, weight) = (factor(fields)?, factor(fields)?);
        let flags = fields.byte()?;
        check(flags <= 1, "unknown flags")?;
        let (has_factor, groups) = (flags == 1, has_groups(kind));
        let offset = if kind == 16 { f32::from_le_bytes(fields.take(4)?.try_into().unwrap()) } else { 0.0 };
        let mut origins = Vec::new();
        let mut origin = |fits: &dyn Fn(u8) -> bool| {
            let (file, name) = read_name(fields, head, region)?;
            let dtype = fields.byte()?;
            check(dtype <= LAST, "unknown dtype")?;
            check(fits(dtype), "words that are no numbers or companions")?;
            origins.push(Origin { file, name, dtype });
            Ok::<_, String>(())
        };
        origin(&|dtype| takes(kind, dtype))?;
        origin(&|dtype| if kind == 16 { dtype == 4 } else { is_scale(dtype) })?;
        match kind {
            kind if has_zeros(kind) => origin(&|dtype| takes(kind, dtype))?,
            kind if has_biases(kind) || kind == 16 => origin(&is_scale)?,
            _ => {}
        }
        if has_factor {
            origin(&is_scale)?;
        }
        if groups {
            origin(&|dtype| dtype == 15 || dtype == 16)?;
        }
        check(cast::known(region.dtype), "weights without a cast")?;
        let count = (region.length / unit(region.dtype)) as u64;
        check(width > 0 && rows > 0 && columns > 0, "extents of tiles")?;
        check(count.is_multiple_of(width), "numbers in no whole rows")?;
        let bytes = bytes_of(kind, count as usize) as u64;
        check((count % 8 * u64::from(bits(kind))).is_multiple_of(8), "numbers in no whole bytes")?;
        check(kind != 4 || width.is_multiple_of(8), "rows of no whole eights")?;
        check(!groups || columns <= width, "groups of more than a row")?;
        let tiles = u128::from((count / width).div_ceil(rows)) * u128::from(width.div_ceil(columns));
        let most = u128::from(bytes / 4).max(1);
        let side = if kind == 28 { 1 << 17 } else { 1 << 20 };
        check(width.div_ceil(columns) <= side && tiles <= most, "too many tiles")?;
        check(!groups || tiles <= 1 << 22, "too many tiles for a chunk")?;
        let matrix = down.checked_mul(across).and_then(|n| n.checked_mul(element)).ok_or("a matrix")?;
        check(matrix <= (32 << 20) * 8 / u64::from(bits(kind)), "the size of a matrix")?;
        check(matrix > 0 && count.is_multiple_of(matrix), "matrices that do not fill the region")?;
        let unpacked = Self {
            kind,
            width: width as usize,
            rows: rows as usize,
            columns: columns as usize,
            matrices: (down as usize, across as usize),
            element: element as usize,
            product,
            weight,
            factor: has_factor,
            groups,
            offset,
        };
        Ok((unpacked, origins))
    }

    /// The words of a whole region.
    pub fn words(&self, origins: &[Origin], region: &Region, bases: &[Base<'_>]) -> Result<Vec<u8>> {
        let count = region.length / unit(region.dtype);
        let tiles = (count / self.width).div_ceil(self.rows) * self.width.div_ceil(self.columns);
        let mut next = origins.iter();
        // The words of the next origin, as many as there are bytes or words.
        let mut bytes = |length: usize, is_words: bool| {
            let Origin { file, name, dtype } = next.next().ok_or("an origin that is missing")?;
            let width = Coding::of(*dtype).bytes();
            let length = if is_words { length * width } else { length.div_ceil(width) * width };
            Ok::<_, String>((*dtype, find(&bases[*file], name, *dtype, length)?))
        };
        let stored = numbers(self.kind, bytes(bytes_of(self.kind, count), false)?.1);
        let scales = bytes(tiles, true)?;
        let zeros = match self.kind {
            kind if has_zeros(kind) => Some(bytes(bytes_of(kind, tiles), false)?),
            kind if has_biases(kind) => Some(bytes(tiles, true)?),
            16 => Some(bytes(tiles.div_ceil(256), true)?),
            _ => None,
        };
        let factor = if self.factor { singles(bytes(1, true)?)[0] } else { 1.0 };
        let groups = if self.groups { Some(bytes(count / self.width * self.columns, true)?.1) } else { None };
        let scales: Vec<f32> = match zeros {
            Some(nested) if self.kind == 16 => {
                let nested = singles(nested);
                let scale = |(tile, &place): (usize, &u8)| dynamic(place) * nested[tile / 256] + self.offset;
                scales.1.iter().enumerate().map(scale).collect()
            }
            _ => singles(scales),
        };
        let is_bias = has_biases(self.kind);
        let biases = zeros.filter(|_| is_bias).map(singles);
        let points = zeros.filter(|_| !is_bias && self.kind != 16).map(|(_, zeros)| numbers(self.kind, zeros));
        let weight = |place: usize| {
            let tile = self.tile(place, count, groups);
            let scale = factored(self.kind, scales[tile], factor);
            let scale = if scale.is_finite() { scale } else { f32::NAN };
            let level = level(self.kind, index(self.kind, stored[self.number(place)]));
            let product = match &points {
                Some(zeros) => {
                    let at = place_of_zero(self.kind, tile, self.width.div_ceil(self.columns));
                    let zero = zeros.get(at).copied().unwrap_or(0);
                    let zero = if self.kind == 8 { f32::from(zero as i8) } else { f32::from(zero) };
                    scale * (level - zero)
                }
                None => scale * level,
            };
            let product = rounded(product, self.product);
            rounded(biases.as_ref().map_or(product, |biases| product + biases[tile]), self.weight)
        };
        let weights: Vec<u8> = (0..count).flat_map(|place| weight(place).to_le_bytes()).collect();
        let (rows, columns) = self.matrices;
        let weights = transposed(&without_nans(&weights), rows, columns, 4 * self.element);
        Ok(cast::cast(&weights, 17, region.dtype))
    }

    /// The place of a weight's number.
    fn number(&self, weight: usize) -> usize {
        match self.kind {
            4 => weight / 8 * 8 + [0, 4, 1, 5, 2, 6, 3, 7][weight % 8],
            5 | 16 => weight / 2 * 2 + 1 - weight % 2,
            _ => weight,
        }
    }

    fn tile(&self, weight: usize, count: usize, groups: Option<&[u8]>) -> usize {
        let (row, column) = (weight / self.width, weight % self.width);
        let down = match groups {
            Some(groups) => {
                let word = &groups[4 * (row * self.columns + column % self.columns)..][..4];
                let last = (count / self.width).div_ceil(self.rows) - 1;
                (u32::from_le_bytes(word.try_into().unwrap()) as usize).min(last)
            }
            None => row / self.rows,
        };
        down * self.width.div_ceil(self.columns) + column / self.columns
    }
}

/// Scales as numbers.
fn singles((dtype, bytes): (u8, &[u8])) -> Vec<f32> {
    if is_power(dtype) {
        return bytes.iter().map(|&byte| f32::from_bits(u32::from(byte) << 23)).collect();
    }
    let words = cast::cast(bytes, dtype, 17);
    words.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
}
