//! Weights of packed numbers of the base, as the words of floats: the reverse of what quantisers do.
//!
//! The numbers and their companions are regions of the base. The weights are cut into *elements* of
//! as many weights, whose matrices are transposed: quantisers pack the rows of a matrix in several
//! orders.

use std::ops::Range;

use crate::bytes::{ByteReader, put_varint};
use crate::cast::{can_cast, cast};
use crate::error::{Error, Result};
use crate::layout::dtype::Fields;
use crate::layout::{Dtype, Region};
use crate::merge::{is_factor, round};
use crate::quant::groups::Groups;
use crate::quant::packed::{Companions, NESTED, PACKINGS, Packing, Shifts, Tiles, Zeros, is_scale};
use crate::transposed::{MAX_MATRIX, Transposed};

/// Weights that are made at once.
const STEP: usize = 1 << 12;

/// The order of the weights of packed numbers, and the arithmetic that makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Index in [`PACKINGS`].
    pub(crate) packing: u8,
    pub(crate) tiles: Tiles,
    /// The base's matrices of elements.
    pub(crate) matrices: Transposed,
    /// Weights of an element.
    pub(crate) element: u64,
    /// The dtypes that the product of a level and a scale, and then the weight, are rounded to.
    pub(crate) rounded: [Dtype; 2],
    pub(crate) has_factor: bool,
    /// The bits of the number that is added to nested scales.
    pub(crate) offset: u32,
}

/// The meaning of one of the base's regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Numbers,
    Scales,
    /// Zero points, biases, or the scales of nested scales.
    Zeros,
    /// The one number that all scales are multiplied by.
    Factor,
    /// The row of tiles for each column of a tile in each row of numbers.
    Groups,
}

impl Unpacked {
    pub(crate) fn packing(&self) -> &'static Packing {
        &PACKINGS[usize::from(self.packing)]
    }

    /// The regions of the base, in their order in the format.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let zeros = (self.packing().zeros != Zeros::None).then_some(Part::Zeros);
        let factor = self.has_factor.then_some(Part::Factor);
        let groups = self.packing().grouped.then_some(Part::Groups);
        [Part::Numbers, Part::Scales].into_iter().chain(zeros).chain(factor).chain(groups)
    }

    pub(crate) fn write(&self, raw: &mut Vec<u8>) {
        let Self { tiles: Tiles { width, rows, columns }, matrices, element, .. } = *self;
        raw.push(self.packing);
        let extents = [width, rows, columns, matrices.rows, matrices.columns, element];
        extents.into_iter().for_each(|number| put_varint(raw, number));
        raw.extend(self.rounded.map(Dtype::number));
        raw.push(u8::from(self.has_factor));
        if self.packing().zeros == Zeros::Nested {
            raw.extend_from_slice(&self.offset.to_le_bytes());
        }
    }

    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Self> {
        let packing = reader.u8()?;
        let Some(known) = PACKINGS.get(usize::from(packing)) else {
            return Err(Error::unsupported(format!("packings of kind {packing} are unknown")));
        };
        let tiles = Tiles { width: reader.varint()?, rows: reader.varint()?, columns: reader.varint()? };
        let matrices = Transposed { rows: reader.varint()?, columns: reader.varint()? };
        let element = reader.varint()?;
        let mut rounded = || {
            let dtype = Dtype::from_number(reader.u8()?).filter(|&dtype| is_factor(dtype));
            dtype.ok_or_else(|| Error::corrupt("weights are rounded to no dtype of floats"))
        };
        let rounded = [rounded()?, rounded()?];
        let has_factor = match reader.u8()? {
            flags @ (0 | 1) => flags == 1,
            flags => return Err(Error::unsupported(format!("packed numbers with the flags {flags:#x} are unknown"))),
        };
        let nested = known.zeros == Zeros::Nested;
        let offset = if nested { reader.take(4)?.first_chunk().copied().unwrap_or_default() } else { [0; 4] };
        Ok(Self { packing, tiles, matrices, element, rounded, has_factor, offset: u32::from_le_bytes(offset) })
    }

    /// Checks that regions of these dtypes can have the weights of `region`.
    ///
    /// # Errors
    /// `Corrupt` for other dtypes, and for matrices and tiles that do not fill the region; `Limit`
    /// for matrices above [`MAX_MATRIX`] bytes, and for too many tiles.
    pub(crate) fn check(&self, region: &Region, dtypes: &[Dtype]) -> Result<()> {
        let fits = |(part, &dtype): (Part, &Dtype)| self.takes(part, dtype);
        if !can_cast(region.dtype, Dtype::F32) || !self.parts().zip(dtypes).all(fits) {
            return Err(
                Error::corrupt("the words cannot be weights of packed numbers").figures("floats", region.dtype.name())
            );
        }
        let (packing, Tiles { width, rows, columns }) = (self.packing(), self.tiles);
        let count = region.length / region.dtype.words().0 as u64;
        let eights = !packing.is_interleaved() || width.is_multiple_of(8);
        let bytes = (count % 8 * u64::from(packing.bits)).is_multiple_of(8) && (!packing.grouped || columns <= width);
        if width == 0 || rows == 0 || columns == 0 || !count.is_multiple_of(width) || !eights || !bytes {
            return Err(Error::corrupt("the tiles are not those of a matrix")
                .figures(format_args!("{count} packed numbers"), format_args!("{width} columns")));
        }
        self.tiles.limited(packing, count, packing.bytes(count))?;
        let matrix = self.matrices.rows.checked_mul(self.matrices.columns);
        let matrix = matrix.and_then(|elements| elements.checked_mul(self.element));
        let matrix = matrix.filter(|weights| *weights <= packing.count(MAX_MATRIX)).ok_or_else(|| {
            Error::limit("the matrices of packed numbers are too large").figures(
                format_args!("at most {MAX_MATRIX} bytes"),
                format_args!("{} x {}", self.matrices.rows, self.matrices.columns),
            )
        })?;
        if matrix > 0 && count.is_multiple_of(matrix) {
            return Ok(());
        }
        Err(Error::corrupt("the matrices of packed numbers do not fill the tensor"))
    }

    fn takes(&self, part: Part, dtype: Dtype) -> bool {
        match (part, self.packing().zeros) {
            (Part::Numbers, _) | (Part::Zeros, Zeros::Points) => self.packing().takes(dtype),
            (Part::Scales, Zeros::Nested) => dtype == Dtype::U8,
            (Part::Scales | Part::Zeros | Part::Factor, _) => is_scale(dtype),
            (Part::Groups, _) => dtype.words() == (4, Fields::Integer),
        }
    }

    /// The words of the dtype `dtype` that a part needs for `count` weights.
    pub(crate) fn words(&self, part: Part, count: u64, dtype: Dtype) -> u64 {
        let numbers = |numbers: u64| self.packing().bytes(numbers).div_ceil(dtype.words().0 as u64);
        let tiles = self.tiles.count(count);
        match (part, self.packing().zeros) {
            (Part::Numbers, _) => numbers(count),
            (Part::Zeros, Zeros::Points) => numbers(tiles),
            (Part::Zeros, Zeros::Nested) => tiles.div_ceil(NESTED),
            (Part::Scales | Part::Zeros, _) => tiles,
            (Part::Factor, _) => 1,
            (Part::Groups, _) => count / self.tiles.width * self.tiles.columns,
        }
    }

    /// The packed numbers that a range of the region's `all` words needs: whole bytes, and whole
    /// eights.
    fn numbers(&self, words: &Range<u64>, all: u64) -> Range<u64> {
        let elements = words.start / self.element..words.end.div_ceil(self.element);
        let elements = self.matrices.matrices(&elements);
        elements.start * self.element / 8 * 8..(elements.end * self.element).next_multiple_of(8).min(all)
    }

    /// The tiles that packed numbers need: with groups, any.
    fn tiles(&self, numbers: &Range<u64>, all: u64) -> Range<u64> {
        if self.packing().grouped {
            0..self.tiles.count(all)
        } else {
            self.tiles.of(numbers, all, self.packing().run(&self.tiles))
        }
    }

    /// The range of bytes of each part, whose dtypes these are, that a range of the region's `all`
    /// words needs.
    pub(crate) fn needs(&self, words: &Range<u64>, all: u64, dtypes: &[Dtype]) -> Vec<Range<u64>> {
        let numbers = self.numbers(words, all);
        let tiles = self.tiles(&numbers, all);
        let packed = |numbers: &Range<u64>| self.packing().bytes(numbers.start)..self.packing().bytes(numbers.end);
        let needs = |(part, dtype): (Part, &Dtype)| {
            let width = dtype.words().0 as u64;
            let words = match (part, self.packing().zeros) {
                (Part::Numbers, _) => return packed(&numbers),
                (Part::Zeros, Zeros::Points) => return packed(&tiles),
                (Part::Zeros, Zeros::Nested) => tiles.start / NESTED..tiles.end.div_ceil(NESTED),
                (Part::Scales | Part::Zeros, _) => tiles.clone(),
                (Part::Factor, _) => 0..1,
                (Part::Groups, _) => Groups::of(self.tiles, &numbers),
            };
            words.start * width..words.end * width
        };
        self.parts().zip(dtypes).map(needs).collect()
    }

    /// The words of a range of the region's `all` words of `dtype`, given the bytes of the parts that
    /// they [need](Self::needs).
    pub(crate) fn take(&self, words: &Range<u64>, all: u64, parts: &[(Dtype, &[u8])], dtype: Dtype) -> Vec<u8> {
        let numbers = self.numbers(words, all);
        let (lines, tiles) = (Lines::new(self, (numbers.start, all), parts), self.tiles(&numbers, all));
        let places = Numbers { unpacked: self, lines: &lines, numbers, tiles, parts };
        let width = dtype.words().0;
        let mut taken = vec![0; (words.end - words.start) as usize * width];
        let steps = words.clone().step_by(STEP);
        let (mut weights, mut biases) = (Vec::with_capacity(STEP), Vec::new());
        for (start, taken) in steps.zip(taken.chunks_mut(STEP * width)) {
            weights.clear();
            biases.clear();
            places.products(&(start..start + (taken.len() / width) as u64), &mut weights, &mut biases);
            self.round(&mut weights, &biases);
            let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            cast(Dtype::F32, dtype, &bytes, taken);
        }
        taken
    }

    /// The weights at these places of a region of `all` words, given all bytes of the parts. Places
    /// behind the last one are left out.
    pub(crate) fn weights_at(&self, places: &[u64], all: u64, parts: &[(Dtype, &[u8])]) -> Vec<f32> {
        let lines = Lines::new(self, (0, all), parts);
        let (numbers, tiles) = (0..all, 0..self.tiles.count(all));
        let known = Numbers { unpacked: self, lines: &lines, numbers, tiles, parts };
        let (mut weights, mut biases) = (Vec::with_capacity(places.len()), Vec::new());
        for &place in places.iter().filter(|place| **place < all) {
            known.products(&(place..place + 1), &mut weights, &mut biases);
        }
        self.round(&mut weights, &biases);
        weights
    }

    /// Makes weights of products, to which biases are added if there are some.
    fn round(&self, weights: &mut [f32], biases: &[f32]) {
        let [product, weight] = self.rounded;
        round(product, weights);
        weights.iter_mut().zip(biases).for_each(|(weight, bias)| *weight += bias);
        round(weight, weights);
        without_nans(weights);
    }
}

/// Replaces weights that are no numbers by 0: the bits of a NaN depend on the processor.
pub(crate) fn without_nans(weights: &mut [f32]) {
    weights.iter_mut().filter(|weight| weight.is_nan()).for_each(|weight| *weight = 0.0);
}

/// The companions of tiles as numbers.
struct Lines {
    scales: Vec<f32>,
    shifts: Shifts,
    groups: Option<Groups>,
    /// The level of each stored number.
    levels: [f32; 256],
}

impl Lines {
    /// The companions of numbers from `first` on, of which the region has `all`.
    fn new(unpacked: &Unpacked, (first, all): (u64, u64), parts: &[(Dtype, &[u8])]) -> Self {
        let part = |wanted: Part| {
            let found = unpacked.parts().zip(parts).find(|(part, _)| *part == wanted);
            found.map(|(_, (dtype, bytes))| (*dtype, *bytes))
        };
        let offset = f32::from_bits(unpacked.offset);
        let scales = part(Part::Scales).unwrap_or((Dtype::F32, &[]));
        let of = Companions { scales, zeros: part(Part::Zeros), factor: part(Part::Factor), offset };
        let groups = part(Part::Groups).map(|(_, bytes)| Groups::new(unpacked.tiles, all, first, bytes));
        let packing = unpacked.packing();
        let level = |number: usize| packing.levels.value(packing.index(number as u8 & packing.mask()));
        let levels = std::array::from_fn(level);
        Self { scales: packing.scales(of), shifts: packing.shifts(&unpacked.tiles, of), groups, levels }
    }
}

/// The numbers of a range of words.
struct Numbers<'a> {
    unpacked: &'a Unpacked,
    lines: &'a Lines,
    numbers: Range<u64>,
    tiles: Range<u64>,
    parts: &'a [(Dtype, &'a [u8])],
}

impl Numbers<'_> {
    /// Appends the products of a range of words, and their biases if there are some.
    fn products(&self, words: &Range<u64>, products: &mut Vec<f32>, biases: &mut Vec<f32>) {
        let Unpacked { matrices: Transposed { rows, columns }, element, .. } = *self.unpacked;
        let in_order = rows == 1 || columns == 1;
        let mut word = words.start;
        while word < words.end {
            let (place, within) = (word / element, word % element);
            let of_matrix = place % (rows * columns);
            let from = place - of_matrix + of_matrix % rows * columns + of_matrix / rows;
            let end = if in_order { words.end } else { (word - within + element).min(words.end) };
            let from = if in_order { word } else { from * element + within };
            self.run(from..from + end - word, products, biases);
            word = end;
        }
    }

    /// Appends the products of weights that follow each other.
    fn run(&self, mut weights: Range<u64>, products: &mut Vec<f32>, biases: &mut Vec<f32>) {
        let Tiles { width, rows, columns } = self.unpacked.tiles;
        let across = self.unpacked.tiles.across();
        while !weights.is_empty() {
            let (row, column) = (weights.start / width, weights.start % width);
            let (tile, most) = match &self.lines.groups {
                Some(groups) => (groups.tile(weights.start), 1),
                None => (row / rows * across + column / columns, columns - column % columns),
            };
            let tile = tile.wrapping_sub(self.tiles.start) as usize;
            let end = weights.end.min(weights.start + most.min(width - column));
            self.tile(weights.start..end, tile, products, biases);
            weights.start = end;
        }
    }

    /// Appends the products of weights of one tile.
    fn tile(&self, weights: Range<u64>, tile: usize, products: &mut Vec<f32>, biases: &mut Vec<f32>) {
        let packing = self.unpacked.packing();
        let bytes = self.parts.first().map_or(&[][..], |(_, bytes)| *bytes);
        let scale = self.lines.scales.get(tile).copied().unwrap_or(0.0);
        let number = |weight: u64| {
            let place = (packing.place(weight as usize) as u64).wrapping_sub(self.numbers.start) as usize;
            packing.number_at(bytes, place)
        };
        let levels = weights.clone().map(|weight| self.lines.levels[usize::from(number(weight))]);
        match &self.lines.shifts {
            Shifts::Points(zeros) => {
                let zero = zeros.get(tile).copied().unwrap_or(0.0);
                products.extend(levels.map(|level| scale * (level - zero)));
            }
            _ => products.extend(levels.map(|level| scale * level)),
        }
        if let Shifts::Biases(all) = &self.lines.shifts {
            let bias = all.get(tile).copied().unwrap_or(0.0);
            biases.extend(weights.map(|_| bias));
        }
    }
}
