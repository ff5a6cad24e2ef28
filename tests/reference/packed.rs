//! Packed items: numbers whose scales and zero points are other items.

use super::base::Region;
use super::chunk::Coding;
use super::fields::Fields;
use super::grid::{class, fields_of, near, size};
use super::head::{Content, Head};
use super::levels::{
    bits, dynamic, exponent, factored, float, has_biases, has_groups, has_zeros, index, level, numbers, place_of_zero,
    stepped, stored, takes, zero,
};
use super::view::Partner;
use super::{Geometry, Result, cast, check};

/// An entry of the head.
pub struct Packed {
    pub item: usize,
    kind: u8,
    width: u64,
    rows: u64,
    columns: u64,
    scales: usize,
    zeros: Option<usize>,
    factor: Option<usize>,
    groups: Option<usize>,
    /// Offsets of nested scales, in target and base.
    offsets: [f32; 2],
}

impl Packed {
    /// Reads the entries of a head whose items are known.
    pub fn read_all(fields: &mut Fields, head: &Head) -> Result<Vec<Self>> {
        let count = fields.varint()?;
        check(count <= head.items.len() as u64, "too many packed items")?;
        let mut all: Vec<Self> = Vec::new();
        for _ in 0..count {
            let first = all.last().map_or(0, |last| last.item as u64 + 1);
            let item = first.checked_add(fields.varint()?).filter(|&item| item < head.items.len() as u64);
            let item = item.ok_or("number of a packed item")?;
            let kind = fields.byte()?;
            check(kind <= 29, "unknown packing")?;
            let (width, rows, columns) = (fields.varint()?, fields.varint()?, fields.varint()?);
            let distance = |field: u64| if field.is_multiple_of(2) { field / 2 } else { !(field / 2) };
            let mut companion = || Ok::<_, String>(item.wrapping_add(distance(fields.varint()?)) as usize);
            let scales = companion()?;
            let zeros = if has_zeros(kind) || has_biases(kind) || kind == 16 { Some(companion()?) } else { None };
            let factor = Some(companion()?).filter(|&factor| factor as u64 != item);
            let groups = if has_groups(kind) { Some(companion()?) } else { None };
            let mut offset = || {
                if kind == 16 {
                    Ok(f32::from_le_bytes(fields.take(4)?.try_into().unwrap()))
                } else {
                    Ok::<_, String>(0.0)
                }
            };
            let offsets = [offset()?, offset()?];
            let item = item as usize;
            let packed = Self { item, kind, width, rows, columns, scales, zeros, factor, groups, offsets };
            packed.check(head)?;
            all.push(packed);
        }
        let is_packed = |item: usize| all.iter().any(|packed| packed.item == item);
        check(!all.iter().flat_map(Self::companions).any(is_packed), "a companion that is packed")?;
        Ok(all)
    }

    pub fn companions(&self) -> Vec<usize> {
        [Some(self.scales), self.zeros, self.factor, self.groups].into_iter().flatten().collect()
    }

    /// Bits of a number.
    fn bits(&self) -> u32 {
        bits(self.kind)
    }

    fn numbers(&self, bytes: &[u8]) -> Vec<u8> {
        numbers(self.kind, bytes)
    }

    fn check(&self, head: &Head) -> Result<()> {
        let own = |item: usize| match head.items.get(item) {
            Some(Content::Chunks(region, None)) => Some(region),
            Some(Content::Chunks(region, Some(Partner::View(view))))
                if view.merge.is_none()
                    && view.matrices.is_none()
                    && view.arranged.is_none()
                    && !view.dequantises(region) =>
            {
                Some(region)
            }
            _ => None,
        };
        let packed = |region: &Region| takes(self.kind, region.dtype);
        let count = |region: &Region| region.length as u128 * 8 / u128::from(self.bits());
        let region = own(self.item).filter(|region| packed(region)).ok_or("a packed item of other words")?;
        check(self.width > 0 && self.rows > 0 && self.columns > 0, "extents of tiles")?;
        let numbers = count(region);
        check(numbers.is_multiple_of(self.width.into()), "numbers in no whole rows")?;
        check(self.kind != 4 || self.width.is_multiple_of(8), "rows of no whole eights")?;
        let whole = |range: std::ops::Range<usize>| range.len().is_multiple_of(self.bits() as usize);
        let in_part = !8u32.is_multiple_of(self.bits());
        check(!in_part || Geometry::new(region).chunks().all(whole), "chunks of no whole numbers")?;
        let across = self.width.div_ceil(self.columns);
        let tiles = (numbers / u128::from(self.width)).div_ceil(self.rows.into()) * u128::from(across);
        check(
            across <= if self.kind == 28 { 1 << 17 } else { 1 << 20 } && tiles <= (region.length as u128 / 4).max(1),
            "too many tiles",
        )?;
        check(!has_groups(self.kind) || tiles <= 1 << 22, "too many tiles for a chunk")?;
        let words = |item: usize, count: u128| {
            let scale = |region: &Region| matches!(region.dtype, 4 | 6 | 7 | 8 | 13 | 14 | 17);
            let words = |region: &Region| (region.length / Coding::of(region.dtype).bytes()) as u128;
            own(item).is_some_and(|region| scale(region) && words(region) == count)
        };
        check(words(self.scales, tiles), "the scales of tiles")?;
        check(self.factor.is_none_or(|factor| words(factor, 1)), "the factor of scales")?;
        let groups = |item: usize| {
            let count = numbers / u128::from(self.width) * u128::from(self.columns);
            let word = |region: &Region| region.dtype == 15 || region.dtype == 16;
            self.columns <= self.width && own(item).is_some_and(|r| word(r) && (r.length / 4) as u128 == count)
        };
        check(self.groups.is_none_or(groups), "the groups of rows")?;
        let zeros = |zeros| match self.kind {
            kind if has_biases(kind) => words(zeros, tiles),
            16 => words(zeros, tiles.div_ceil(256)) && own(self.scales).is_some_and(|region| region.dtype == 4),
            _ => own(zeros).is_some_and(|region| packed(region) && count(region) == tiles),
        };
        check(self.zeros.is_none_or(zeros), "the zero points of tiles")
    }

    /// The numbers a and c of all tiles, given the companions' bytes.
    fn affine(&self, head: &Head, bytes: &[Vec<u8>], offset: f32) -> Vec<(f32, f32)> {
        let scales = |item: usize, bytes: &[u8]| -> Vec<f32> {
            let Content::Chunks(region, _) = &head.items[item] else { return Vec::new() };
            match region.dtype {
                4 | 8 => bytes.iter().map(|&byte| f32::from_bits(u32::from(byte) << 23)).collect(),
                dtype => {
                    let words = cast::cast(bytes, dtype, 17);
                    words.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
                }
            }
        };
        let at = bytes.len() - 1 - usize::from(self.groups.is_some());
        let factor = self.factor.map_or(1.0, |factor| scales(factor, &bytes[at])[0]);
        let biases = self.zeros.filter(|_| has_biases(self.kind)).map(|biases| scales(biases, &bytes[1]));
        let nested = self.zeros.filter(|_| self.kind == 16).map(|nested| scales(nested, &bytes[1]));
        let zeros = self.zeros.filter(|_| has_zeros(self.kind)).map(|_| self.numbers(&bytes[1]));
        let affine = |(tile, scale): (usize, f32)| {
            let a = factored(self.kind, scale, factor);
            let a = if a.is_finite() { a } else { f32::NAN };
            if let Some(biases) = &biases {
                return (a, biases[tile]);
            }
            let place = place_of_zero(self.kind, tile, self.width.div_ceil(self.columns) as usize);
            let zero = |zeros: &Vec<u8>| match (self.kind, zeros.get(place).copied().unwrap_or(0)) {
                (8, zero) => f32::from(zero as i8),
                (_, zero) => f32::from(zero),
            };
            (a, zeros.as_ref().map_or(0.0, |zeros| -(a * zero(zeros))))
        };
        let scales = match nested {
            Some(nested) => {
                let places = bytes[0].iter().enumerate();
                places.map(|(tile, &place)| dynamic(place) * nested[tile / 256] + offset).collect()
            }
            None => scales(self.scales, &bytes[0]),
        };
        scales.into_iter().enumerate().map(affine).collect()
    }

    /// The level of an index.
    fn level(&self, index: u8) -> f32 {
        level(self.kind, index)
    }

    /// The index of a stored number, or the number of an index: both maps are their own inverses
    /// but for those of floats.
    fn index(&self, number: u8) -> u8 {
        index(self.kind, number)
    }

    fn number(&self, index: u8) -> u8 {
        match self.kind {
            6 | 27 => {
                if index >= 8 {
                    index - 8
                } else {
                    15 - index
                }
            }
            11 | 12 if index >= 128 => index - 128,
            11 | 12 => 255 - index,
            _ => self.index(index),
        }
    }

    fn place(&self, y: f32) -> (i32, f32) {
        let last = (1 << self.bits()) - 1;
        if matches!(self.kind, 11 | 12) {
            let last = float(self.kind, if self.kind == 11 { 126 } else { 123 });
            let size = y.abs().min(last);
            // The greatest float that is not above the number, and the one behind it.
            let low = (0..=126).rev().find(|&magnitude| float(self.kind, magnitude) <= size).unwrap_or(0);
            let step = float(self.kind, low + 1) - float(self.kind, low);
            let (rounded, _) = near(size / step, (0, 1 << 20));
            let x = i32::from(low) + rounded - (float(self.kind, low) / step) as i32;
            let f = size / step - rounded as f32;
            return if y.is_sign_negative() { (127 - x, -f) } else { (128 + x, f) };
        }
        if !matches!(self.kind, 5 | 6 | 16 | 27) {
            let zero = i32::from(zero(self.kind));
            let (x, f) = near(y, (-zero, last - zero));
            return (x + zero, f);
        }
        let y = y.clamp(self.level(0), self.level(15));
        let low = (0..15).rev().find(|&i| self.level(i) <= y).unwrap_or(0);
        let (l, h) = (self.level(low), self.level(low + 1));
        let low = i32::from(low);
        if (y - l) * 2.0 <= h - l { (low, (y - l) / (h - l)) } else { (low + 1, (y - h) / (h - l)) }
    }

    /// The half octaves of an index's own step.
    fn own(&self, index: u8) -> i64 {
        match self.kind {
            11 | 12 => 2 * i64::from(exponent(self.kind, if index < 128 { 127 - index } else { index - 128 })),
            _ => 0,
        }
    }

    /// The place of a number's weight, in the order of columns.
    fn weight(&self, number: usize) -> usize {
        match self.kind {
            4 => number / 8 * 8 + [0, 2, 4, 6, 1, 3, 5, 7][number % 8],
            5 | 16 => number / 2 * 2 + 1 - number % 2,
            _ => number,
        }
    }

    /// The tile of a number, given the groups of all rows if there are some, and the number of tiles.
    fn tile(&self, number: usize, groups: Option<&Vec<u8>>, tiles: usize) -> usize {
        let (width, rows, columns) = (self.width as usize, self.rows as usize, self.columns as usize);
        let (row, column) = (number / width, number % width);
        if let Some(groups) = groups {
            let word = &groups[4 * (row * columns + column % columns)..][..4];
            let group = u32::from_le_bytes(word.try_into().unwrap()) as usize;
            let across = width.div_ceil(columns);
            return group.min(tiles / across - 1) * across + column / columns;
        }
        let column = if self.kind == 4 { column / 8 * 8 + [0, 2, 4, 6, 1, 3, 5, 7][column % 8] } else { column };
        row / rows * width.div_ceil(columns) + column / columns
    }

    /// The scale and the bias of a tile before they were rounded, if the chunk has all its weights, which
    /// are those from number `first` on.
    fn line(&self, tile: usize, (a, c): (f32, f32), first: usize, weights: &[u8]) -> (f32, f32) {
        let width = self.width as usize;
        let Some(start) = (tile * width).checked_sub(first) else { return (a, c) };
        let Some(own) = weights.get(4 * start..4 * (start + width)) else { return (a, c) };
        let own: Vec<f32> = own.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
        let ([slope, bias], part) = match self.kind {
            16 => ([super::derived::largest(&own), 0.0], 16.0),
            _ => (super::derived::line(&own, ((1u32 << self.bits()) - 1) as f32), 256.0),
        };
        let near = |x: f32, y: f32| (x - y).abs() <= y.abs() / part;
        if near(slope, a) && near(bias, c) { (slope, bias) } else { (a, c) }
    }

    /// A chunk of `length` bytes from its payload, its base range, which may have weights, and its
    /// place in the region. The companions of base and target are whole.
    pub fn decode(
        &self,
        head: &Head,
        payload: &[u8],
        (base, start, weights): (&[u8], usize, bool),
        length: usize,
        companions: [&[Vec<u8>]; 2],
    ) -> Result<Vec<u8>> {
        let [of_target, of_base] = self.offsets;
        let from = self.affine(head, companions[0], of_base);
        let to = self.affine(head, companions[1], of_target);
        let mut fields = Fields::new(payload);
        let model = fields.byte()?;
        let has_lines =
            weights && (has_biases(self.kind) || self.kind == 16) && self.rows == 1 && self.columns == self.width;
        check(model <= 3 || model == 4 && has_lines, "an unknown model of indices")?;
        let middle = if model % 2 == 1 { fields.varint()?.min(65_535) as i64 } else { 0 };
        let first = start * 8 / self.bits() as usize;
        let groups = self.groups.and(companions[1].last());
        let to: Vec<(f32, f32)> = match model {
            4 => to.iter().enumerate().map(|(tile, &line)| self.line(tile, line, first, base)).collect(),
            _ => to,
        };
        let own = if weights { Vec::new() } else { self.numbers(base) };
        let expect = |i: usize| {
            let tile = self.tile(first + i, groups, to.len());
            let ((from_a, from_c), (a, c)) = (from[tile], to[tile]);
            let q = 1.0 / a;
            let y = if weights {
                let weight = &base[4 * self.weight(i)..][..4];
                (f32::from_le_bytes(weight.try_into().unwrap()) - c) * q
            } else {
                let index = self.index(own[i]);
                let (scale, shift) = (from_a * q, (from_c - c) * q);
                if from_a == a && from_c == c || !scale.is_finite() || !shift.is_finite() {
                    let context = if model == 3 { stepped(0.0, a, self.own(index), middle) } else { 0 };
                    return (i32::from(index), 1, context);
                }
                self.level(index) * scale + shift
            };
            if !y.is_finite() {
                let zero = match self.kind {
                    5 | 6 | 16 | 27 => 8,
                    11 | 12 => 128,
                    kind => i32::from(zero(kind)),
                };
                return (zero, 1, 0);
            }
            let (x, f) = self.place(y);
            let context = match model {
                0 => class(f),
                1 => 8 * class(f) + (size(a) + self.own(x as u8) - middle + 4).clamp(0, 7) as usize,
                3 => stepped(f, a, self.own(x as u8), middle),
                _ => (252 - size((0.5 - f.abs()).max(0.0))).clamp(0, 23) as usize,
            };
            (x, if f < 0.0 { -1 } else { 1 }, context)
        };
        let expected: Vec<_> = (0..length * 8 / self.bits() as usize).map(expect).collect();
        let indices = fields_of(&mut fields, &expected)?;
        fields.finish()?;
        let mask = (1 << self.bits()) - 1;
        let numbers: Vec<u8> = indices.into_iter().map(|index| self.number((index & mask) as u8)).collect();
        Ok(stored(self.kind, &numbers))
    }
}
