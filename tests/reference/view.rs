//! Views: the base words of a region, which may come from several base regions.

use super::arranged::Arranged;
use super::base::{PLACES, Region};
use super::derived::Derived;
use super::fields::{Fields, text};
use super::head::{BITS, Head, LAST};
use super::merge::Merge;
use super::unpacked::Unpacked;
use super::{Result, cast, check, quant};

/// The base words of a region.
pub struct View {
    pub origins: Vec<Origin>,
    /// Units, and the number of an origin with the first unit there.
    pub runs: Vec<(usize, Option<(usize, usize)>)>,
    /// The adapter that moves the words.
    pub merge: Option<Merge>,
    /// Rows and columns of the base's matrices, which are transposed.
    pub matrices: Option<(usize, usize)>,
    /// The weights that the words were made from.
    pub derived: Option<Box<Derived>>,
    /// The packed numbers that the words are weights of.
    pub unpacked: Option<Box<Unpacked>>,
    /// The rectangles that the words come from.
    pub arranged: Option<Box<Arranged>>,
}

/// A region of a base file.
pub struct Origin {
    pub file: usize,
    pub name: String,
    pub dtype: u8,
}

/// A base file, its regions and its layout.
pub type Base<'a> = (&'a [u8], Vec<Region>, u8);

/// Bytes of a unit.
pub fn unit(dtype: u8) -> usize {
    match dtype {
        18 => 4,
        dtype if quant::format(dtype).is_some() => quant::format(dtype).map_or(1, |format| format.bytes),
        dtype => (BITS[usize::from(dtype)] as usize / 8).max(1),
    }
}

/// Weights of a unit, or 1.
fn weights(dtype: u8) -> usize {
    quant::format(dtype).map_or(1, |format| format.weights)
}

/// Units of the dtype `from` whose weights fill so many units of the dtype `to`.
fn taken(units: u64, from: u8, to: u8) -> Result<u64> {
    let all = units.checked_mul(weights(to) as u64).ok_or("length of a run")?;
    Ok(all.div_ceil(weights(from) as u64))
}

/// Tells whether a view of a region of the dtype `to` may take words of the dtype `from`.
fn fits(from: u8, to: u8) -> bool {
    let blocks = |dtype: u8| quant::format(dtype).is_some();
    let quantised = |dtype: u8| blocks(dtype) || is_integer(dtype);
    let evenly = weights(to).is_multiple_of(weights(from));
    from == to || cast::known(from) && cast::known(to) || quantised(to) && evenly && (blocks(from) || cast::known(from))
}

/// Tells whether words of the dtype may be quantised weights: `I8` and `U8`.
pub fn is_integer(dtype: u8) -> bool {
    dtype == 4 || dtype == 5
}

/// Tells whether scales of the dtype are powers of two: `U8` and `F8_E8M0`.
pub fn is_power(dtype: u8) -> bool {
    dtype == 4 || dtype == 8
}

/// The base of a region.
pub enum Partner {
    View(View),
    /// A base file, and a range of bytes there.
    Bytes(usize, std::ops::Range<usize>),
}

impl Partner {
    /// Reads the range of bytes that a region resembles.
    pub fn read_bytes(fields: &mut Fields, head: &Head) -> Result<Self> {
        let file = fields.varint()?;
        check(file < head.bases.len() as u64, "number of a base file")?;
        let (offset, length) = (fields.varint()?, fields.varint()?);
        check((1..=1 << 23).contains(&length), "length of a range of bytes")?;
        let end = offset.checked_add(length).ok_or("end of a range of bytes")?;
        Ok(Self::Bytes(file as usize, offset as usize..end as usize))
    }
}

impl View {
    /// The view of a region's partner.
    pub fn of_partner(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let (file, name) = read_name(fields, head, region)?;
        let units = region.length / unit(region.dtype);
        let runs = if units > 0 { vec![(units, Some((0, 0)))] } else { Vec::new() };
        Ok(Self {
            origins: vec![Origin { file, name, dtype: region.dtype }],
            runs,
            merge: None,
            matrices: None,
            derived: None,
            unpacked: None,
            arranged: None,
        })
    }

    pub fn read(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let view = Self::read_blocks(region, fields, head)?;
        let cast = |origin: &Origin| fits(origin.dtype, region.dtype);
        check(view.origins.iter().all(cast), "a cast of other dtypes")?;
        Ok(view)
    }

    /// A view that may give floats the weights of blocks.
    pub fn read_blocks(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let mut view = Self::of_origins(region, fields, head)?;
        let mut ends = vec![0u64; view.origins.len()];
        let mut left = (region.length / unit(region.dtype)) as u64;
        for _ in 0..count(fields)? {
            let units = fields.varint()?;
            check(units > 0 && units <= left, "length of a run")?;
            left -= units;
            let origin = fields.varint()? as usize;
            let from = if origin == 0 {
                None
            } else {
                let end = ends.get_mut(origin - 1).ok_or("number of an origin")?;
                let moved = fields.varint()?;
                let moved = if moved % 2 == 0 { moved / 2 } else { !(moved / 2) };
                let start = end.wrapping_add(moved);
                let dtype = view.origins[origin - 1].dtype;
                *end = start
                    .checked_add(taken(units, dtype, region.dtype)?)
                    .filter(|&end| end < 1 << 63)
                    .ok_or("place of a run")?;
                Some((origin - 1, start as usize))
            };
            view.runs.push((units as usize, from));
        }
        check(left == 0, "a view that is too short")?;
        Ok(view)
    }

    /// A view without runs, whose origins may be blocks if the region is of floats.
    fn of_origins(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let (merge, matrices, derived, unpacked, arranged) = (None, None, None, None, None);
        let (origins, runs) = (Vec::new(), Vec::new());
        let mut view = Self { origins, runs, merge, matrices, derived, unpacked, arranged };
        for _ in 0..count(fields)? {
            let (file, name) = read_name(fields, head, region)?;
            let dtype = fields.byte()?;
            check(dtype <= LAST, "unknown dtype")?;
            let blocks = quant::format(dtype).is_some() && cast::known(region.dtype);
            check(blocks || fits(dtype, region.dtype), "a cast of other dtypes")?;
            view.origins.push(Origin { file, name, dtype });
            let integers = view.origins.iter().filter(|origin| origin.dtype == region.dtype).count();
            let mixed = integers > 0 && integers < view.origins.len();
            check(!is_integer(region.dtype) || !mixed, "integers and weights")?;
        }
        Ok(view)
    }

    /// The view of a region that is arranged from rectangles.
    pub fn read_arranged(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let mut view = Self::of_origins(region, fields, head)?;
        view.arranged = Some(Box::new(Arranged::read(region, &view.origins, fields)?));
        Ok(view)
    }

    /// The view of a region whose matrices are the base's, transposed.
    pub fn read_transposed(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let mut view = Self::of_partner(region, fields, head)?;
        let dtype = fields.byte()?;
        check(dtype <= LAST, "unknown dtype")?;
        let blocks = quant::format(dtype).or(quant::format(region.dtype)).is_some();
        check(!blocks && fits(dtype, region.dtype), "a cast of other dtypes")?;
        view.origins[0].dtype = dtype;
        let (rows, columns) = (fields.varint()?, fields.varint()?);
        let words = rows.checked_mul(columns).ok_or("a matrix that is too large")?;
        check(words > 0 && words <= (32 << 20) / unit(dtype) as u64, "the size of a matrix")?;
        let units = (region.length / unit(region.dtype)) as u64;
        check(units.is_multiple_of(words), "matrices that do not fill the region")?;
        view.matrices = Some((rows as usize, columns as usize));
        Ok(view)
    }

    /// The view of a region whose words were made from weights, `in_runs` if several words are made together.
    pub fn read_derived(region: &Region, fields: &mut Fields, head: &Head, in_runs: bool) -> Result<Self> {
        let mut weights = Self::of_partner(region, fields, head)?;
        let dtype = fields.byte()?;
        check(dtype <= LAST, "unknown dtype")?;
        weights.origins[0].dtype = dtype;
        let derived = Derived::read(fields, in_runs.then_some(2))?;
        let all = derived.check(region, dtype)?;
        weights.runs = if all > 0 { vec![(all as usize, Some((0, 0)))] } else { Vec::new() };
        Ok(Self::of_weights(Derived { weights, all, ..derived }))
    }

    /// The view of a region whose words were made from runs of weights.
    pub fn read_derived_of(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let derived = Derived::read(fields, Some(1))?;
        let all = derived.count(region).filter(|all| *all < 1 << 61).ok_or("all weights")?;
        let weights = Self::read(&floats(&region.name, all), fields, head)?;
        check(!weights.origins.is_empty(), "weights of no base")?;
        for origin in &weights.origins {
            derived.check(region, origin.dtype)?;
        }
        let uses = derived.uses(region, &weights);
        Ok(Self::of_weights(Derived { weights, all, uses, ..derived }))
    }

    fn of_weights(derived: Derived) -> Self {
        Self { derived: Some(Box::new(derived)), ..Self::nothing() }
    }

    /// A view that gives no words.
    pub fn nothing() -> Self {
        let (merge, matrices, derived, unpacked, arranged) = (None, None, None, None, None);
        Self { origins: Vec::new(), runs: Vec::new(), merge, matrices, derived, unpacked, arranged }
    }

    /// The view of a region whose words are weights of packed numbers.
    pub fn read_unpacked(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let (unpacked, origins) = Unpacked::read(region, fields, head)?;
        let (merge, matrices, derived, arranged) = (None, None, None, None);
        Ok(Self { origins, runs: Vec::new(), merge, matrices, derived, unpacked: Some(Box::new(unpacked)), arranged })
    }

    /// The rectangles or runs of weights that the chunks of a region need together.
    pub fn uses(&self) -> u128 {
        let runs = self.derived.as_ref().map_or(0, |derived| derived.uses);
        self.arranged.as_ref().map_or(runs, |arranged| arranged.uses)
    }

    /// Tells whether the words of the region are weights of blocks or of packed numbers.
    pub fn dequantises(&self, region: &Region) -> bool {
        let blocks = |origin: &Origin| quant::format(origin.dtype).is_some();
        self.unpacked.is_some() || cast::known(region.dtype) && self.origins.iter().any(blocks)
    }

    /// The weights that the words of a derived region were made from.
    pub fn weights(&self, region: &Region) -> u128 {
        let words = (region.length / unit(region.dtype)) as u128;
        self.derived.as_ref().map_or(0, |derived| words / u128::from(derived.run) * u128::from(derived.per_run))
    }

    /// The weights of a run and its words, if the view gives weights for packed numbers.
    pub fn numbers_per_run(&self) -> Option<(usize, usize)> {
        let derived = self.derived.as_ref().filter(|derived| derived.span == 0);
        derived.map(|derived| (derived.per_run as usize, derived.run as usize))
    }

    /// Tells whether the view gives the weights of blocks, or of integers.
    pub fn gives_weights(&self, region: &Region) -> bool {
        let quantised = quant::format(region.dtype).is_some() || is_integer(region.dtype);
        quantised && self.derived.is_none() && self.origins.iter().any(|origin| origin.dtype != region.dtype)
    }

    /// The base words of a whole region, and for each byte whether it has a base.
    pub fn words(&self, region: &Region, bases: &[Base<'_>]) -> Result<(Vec<u8>, Vec<bool>)> {
        if let Some(derived) = &self.derived {
            let (weights, _) = derived.weights.words(&floats(&region.name, derived.all), bases)?;
            let words = derived.words(&weights, region);
            let known = vec![true; words.len()];
            return Ok((words, known));
        }
        if let Some(unpacked) = &self.unpacked {
            let words = unpacked.words(&self.origins, region, bases)?;
            let known = vec![true; words.len()];
            return Ok((words, known));
        }
        let of_weights = self.gives_weights(region);
        let given = if of_weights { 4 * weights(region.dtype) } else { unit(region.dtype) };
        if let Some(arranged) = &self.arranged {
            let words = arranged.words((region, of_weights), given, &self.origins, bases)?;
            let known = vec![true; words.len()];
            return Ok((words, known));
        }
        let (mut words, mut known) = (Vec::new(), Vec::new());
        for &(units, from) in &self.runs {
            match from {
                None => words.resize(words.len() + units * given, 0),
                Some((origin, start)) => {
                    let Origin { file, name, dtype } = &self.origins[origin];
                    let width = unit(*dtype);
                    let taken = taken(units as u64, *dtype, region.dtype)? as usize;
                    let end = start.checked_add(taken).and_then(|end| end.checked_mul(width)).ok_or("an end")?;
                    let found = &find(&bases[*file], name, *dtype, end)?[start * width..end];
                    words.extend(match quant::format(*dtype) {
                        Some(format) if of_weights => format.weights_of(found),
                        None if of_weights => cast::cast(found, *dtype, 17),
                        _ if *dtype == region.dtype => found.to_vec(),
                        Some(format) => {
                            let weights = without_nans(&format.weights_of(found)[..4 * units]);
                            cast::cast(&weights, 17, region.dtype)
                        }
                        _ => cast::cast(found, *dtype, region.dtype),
                    });
                }
            }
            known.resize(words.len(), from.is_some());
        }
        if let Some((rows, columns)) = self.matrices {
            words = transposed(&words, rows, columns, given);
        }
        if let Some(merge) = &self.merge {
            merge.apply(region, bases, &mut words)?;
        }
        Ok((words, known))
    }
}

/// So many singles as a region.
fn floats(name: &str, count: u64) -> Region {
    Region { name: name.to_owned(), dtype: 17, shape: vec![count], offset: 0, length: 4 * count as usize }
}

/// Weights as singles, with 0 for those that are no numbers.
pub fn without_nans(weights: &[u8]) -> Vec<u8> {
    let number = |word: &[u8]| {
        let number = f32::from_le_bytes(word.try_into().unwrap());
        if number.is_nan() { 0f32.to_le_bytes() } else { number.to_le_bytes() }
    };
    weights.chunks(4).flat_map(number).collect()
}

/// Transposes each matrix of words of `width` bytes.
pub fn transposed(words: &[u8], rows: usize, columns: usize, width: usize) -> Vec<u8> {
    let word = |matrix: usize, place: usize| &words[(matrix * rows * columns + place) * width..][..width];
    let matrices = words.len() / (rows * columns * width);
    let places = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    (0..matrices).flat_map(|matrix| places.clone().flat_map(move |place| word(matrix, place)).copied()).collect()
}

fn count(fields: &mut Fields) -> Result<u64> {
    let count = fields.varint()?;
    check(count <= 1 << 18, "too many runs")?;
    Ok(count)
}

pub fn read_name(fields: &mut Fields, head: &Head, region: &Region) -> Result<(usize, String)> {
    let file = fields.varint()?;
    check(file < head.bases.len() as u64, "number of a base file")?;
    let name = match fields.varint()? {
        0 => region.name.clone(),
        length => text(fields.take(length as usize - 1)?)?,
    };
    Ok((file as usize, name))
}

/// The first `length` bytes of the region called `name`.
pub fn find<'a>((file, regions, layout): &Base<'a>, name: &str, dtype: u8, length: usize) -> Result<&'a [u8]> {
    if *layout == PLACES {
        let offset: usize = name.parse().map_err(|_| "no offset")?;
        check(offset.to_string() == name, "an offset that is written in another way")?;
        let end = offset.checked_add(length).ok_or("an offset past the end")?;
        return file.get(offset..end).ok_or("the base is too short".to_owned());
    }
    let found = regions.iter().find(|region| region.name == name).ok_or("the base has no such tensor")?;
    check(found.dtype == dtype && found.length >= length, "the base's tensor is of another type")?;
    Ok(&file[found.offset..found.offset + length])
}
