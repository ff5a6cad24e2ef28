//! Views of the base set: the base words that the words of a target region are coded against, as
//! runs that may come from several base regions.

use std::sync::Arc;

use super::{Head, read_dtype, text};
use crate::arranged::Arranged;
use crate::bytes::{ByteReader, put_varint};
use crate::cast::can_cast;
use crate::chunk::{is_integer, unit};
use crate::derived::Derived;
use crate::error::{Error, Result};
use crate::layout::{Dtype, Region};
use crate::merge::{Arithmetic, MAX_NUMBERS, MAX_RANK, Shape, is_factor};
use crate::transposed::Transposed;
use crate::unpacked::Unpacked;
use crate::view::{can_view, dequantises, origin_units};
use crate::zigzag::{unzigzag, zigzag};

/// The base words of a region, in the order of the region's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The base regions that the runs take their words from.
    pub(crate) origins: Vec<Origin>,
    /// The runs, which together are as long as the region.
    pub(crate) runs: Vec<Run>,
    /// The adapter that moves the words of the runs.
    pub(crate) merge: Option<Box<Merge>>,
    /// The matrices that the only origin consists of, if each of them is transposed.
    pub(crate) transposed: Option<Transposed>,
    /// The order of the weights that the words were made from: the runs are of weights then.
    pub(crate) derived: Option<Derived>,
    /// The order and the arithmetic of the weights, if the origins are packed numbers and their
    /// companions.
    pub(crate) unpacked: Option<Box<Unpacked>>,
    /// The rectangles of the region that are words of the origins.
    pub(crate) arranged: Option<Arc<Arranged>>,
}

/// The factors of an adapter, and the arithmetic by which their product moves a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merge {
    pub(crate) a: Origin,
    pub(crate) b: Origin,
    pub(crate) rank: u64,
    pub(crate) transposed: bool,
    pub(crate) arithmetic: Arithmetic,
}

/// A region of a base file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Index of the base file.
    pub(crate) base: usize,
    /// The region's name in that file; in one of [`Kind::Places`](crate::layout::Kind::Places), its
    /// offset in decimal digits.
    pub(crate) name: String,
    /// The region's dtype. Words of another dtype than the target's are cast.
    pub(crate) dtype: Dtype,
}

/// Consecutive units of a target region, and consecutive units of an origin.
///
/// A unit is a word, or a block of words with a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Number of units of the target, at least 1.
    pub(crate) units: u64,
    /// Index of the origin, and the unit of the origin that the run begins with; `None` if the run
    /// has no base, and its base words are zero.
    pub(crate) from: Option<(u32, u64)>,
}

impl Origin {
    /// The offset that the name states; `None` if it is not a number in its shortest form.
    pub(crate) fn place(&self) -> Option<u64> {
        let offset: u64 = self.name.parse().ok()?;
        (offset.to_string() == self.name).then_some(offset)
    }
}

/// The number of units of `region`.
pub(crate) fn units(region: &Region) -> u64 {
    region.length / unit(region.dtype).1
}

impl View {
    /// Creates the view of one base region from its first unit on, as long as the target's region.
    pub(crate) fn whole(region: &Region, origin: Origin) -> Self {
        let runs = match units(region) {
            0 => Vec::new(),
            units => vec![Run { units, from: Some((0, 0)) }],
        };
        Self { origins: vec![origin], runs, ..Self::default() }
    }

    /// Creates the view of the transposes of one base region's matrices.
    pub(crate) fn transposed(region: &Region, origin: Origin, transposed: Transposed) -> Self {
        Self { transposed: Some(transposed), ..Self::whole(region, origin) }
    }

    /// A view of the weights of packed numbers, the first of the origins.
    pub(crate) fn unpacked(region: &Region, origins: Vec<Origin>, unpacked: Unpacked) -> Self {
        let runs = match units(region) {
            0 => Vec::new(),
            units => vec![Run { units, from: Some((0, 0)) }],
        };
        Self { origins, runs, unpacked: Some(Box::new(unpacked)), ..Self::default() }
    }

    /// Returns the origin if the view is that of [`whole`](Self::whole), and nothing changes its
    /// words.
    pub(super) fn as_whole(&self, region: &Region) -> Option<&Origin> {
        let [origin] = self.origins.as_slice() else { return None };
        let whole = |run: &Run| *run == Run { units: units(region), from: Some((0, 0)) };
        (self.is_runs() && origin.dtype == region.dtype && self.runs.iter().all(whole)).then_some(origin)
    }

    /// Returns true if the runs alone give the words: nothing merges, transposes, derives, unpacks
    /// or arranges them.
    pub(super) fn is_runs(&self) -> bool {
        let Self { merge, transposed, derived, unpacked, arranged, .. } = self;
        merge.is_none() && transposed.is_none() && derived.is_none() && unpacked.is_none() && arranged.is_none()
    }

    /// Appends the view of `region` to `raw`.
    pub(super) fn write(&self, raw: &mut Vec<u8>, region: &Region) {
        put_varint(raw, self.origins.len() as u64);
        self.origins.iter().for_each(|origin| origin.write_typed(raw, &region.name));
        put_varint(raw, self.runs.len() as u64);
        let mut ends = vec![0u64; self.origins.len()];
        for run in &self.runs {
            put_varint(raw, run.units);
            let Some((origin, start)) = run.from else {
                raw.push(0);
                continue;
            };
            put_varint(raw, u64::from(origin) + 1);
            put_varint(raw, zigzag(start.wrapping_sub(ends[origin as usize])));
            let taken = origin_units(run.units, self.origins[origin as usize].dtype, region.dtype);
            ends[origin as usize] = start + taken;
        }
    }

    /// Appends the only origin of a view that transposes it, and the extents of its matrices.
    pub(super) fn write_transposed(&self, raw: &mut Vec<u8>, region: &Region, transposed: Transposed) {
        self.origins.iter().for_each(|origin| origin.write_typed(raw, &region.name));
        put_varint(raw, transposed.rows);
        put_varint(raw, transposed.columns);
    }

    /// Writes a view of the weights of packed numbers, with its origins.
    pub(super) fn write_unpacked(&self, raw: &mut Vec<u8>, region: &Region, unpacked: &Unpacked) {
        unpacked.write(raw);
        self.origins.iter().for_each(|origin| origin.write_typed(raw, &region.name));
    }

    /// Reads what [`write_unpacked`](Self::write_unpacked) wrote.
    pub(super) fn read_unpacked(reader: &mut ByteReader<'_>, head: &Head, region: &Region) -> Result<Self> {
        let unpacked = Unpacked::read(reader)?;
        let origins = unpacked.parts().map(|_| Origin::read_typed(reader, head, &region.name));
        let origins = origins.collect::<Result<Vec<_>>>()?;
        let dtypes: Vec<Dtype> = origins.iter().map(|origin| origin.dtype).collect();
        unpacked.check(region, &dtypes)?;
        Ok(Self::unpacked(region, origins, unpacked))
    }

    /// Reads a view that transposes its only origin.
    pub(super) fn read_transposed(reader: &mut ByteReader<'_>, head: &Head, region: &Region) -> Result<Self> {
        let origin = Origin::read_typed(reader, head, &region.name)?;
        let transposed = Transposed { rows: reader.varint()?, columns: reader.varint()? };
        transposed.check(region, origin.dtype)?;
        Ok(Self::transposed(region, origin, transposed))
    }

    /// Returns true if words of `region` are weights of blocks.
    pub(super) fn dequantises(&self, region: &Region) -> bool {
        self.origins.iter().any(|origin| dequantises(origin.dtype, region.dtype))
    }

    /// Reads the view of `region`, of which a head may have as many origins and runs as `most`. Only
    /// with `blocks` may words be weights of blocks.
    pub(super) fn read(
        reader: &mut ByteReader<'_>,
        head: &Head,
        region: &Region,
        (most, blocks): (u64, bool),
    ) -> Result<Self> {
        if blocks && !can_cast(region.dtype, Dtype::F32) {
            return Err(Error::corrupt("weights of blocks are words of a dtype that is not cast")
                .figures("floats", region.dtype.name()));
        }
        let mut view = Self { origins: read_origins(reader, head, region, (most, blocks))?, ..Self::default() };
        let count = limited(reader.varint()?, most)?;
        let mut ends = vec![0u64; view.origins.len()];
        let mut left = units(region);
        for _ in 0..count {
            let units = reader.varint()?;
            left = left.checked_sub(units).filter(|_| units > 0).ok_or_else(wrong_length)?;
            let from = match reader.varint()?.checked_sub(1) {
                None => None,
                Some(origin) => {
                    let dtype = view.origins.get(origin as usize).map_or(region.dtype, |origin| origin.dtype);
                    Some(read_start(reader, origin, origin_units(units, dtype, region.dtype), &mut ends)?)
                }
            };
            view.runs.push(Run { units, from });
        }
        if left > 0 { Err(wrong_length()) } else { Ok(view) }
    }
}

impl Merge {
    /// Reads the merge of `region`.
    pub(super) fn read(reader: &mut ByteReader<'_>, head: &Head, region: &Region) -> Result<Self> {
        let rank = reader.varint()?;
        let scale = reader.take(4)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if !f32::from_bits(scale).is_finite() {
            return Err(Error::corrupt("the scale of the merge is not a finite number"));
        }
        let transposed = match reader.u8()? {
            order @ (0 | 1) => order == 1,
            order => return Err(Error::unsupported(format!("merges of the order {order} are unknown"))),
        };
        let arithmetic = Arithmetic { scale, product: read_factor(reader)?, change: read_factor(reader)? };
        let mut factor = || -> Result<Origin> {
            let (base, name) = Origin::read(reader, head, &region.name)?;
            Ok(Origin { base, name, dtype: read_factor(reader)? })
        };
        let merge = Self { a: factor()?, b: factor()?, rank, transposed, arithmetic };
        merge.shape(region).map(|_| merge)
    }

    /// Appends the merge of `region` to `raw`.
    pub(super) fn write(&self, raw: &mut Vec<u8>, region: &Region) {
        put_varint(raw, self.rank);
        raw.extend_from_slice(&self.arithmetic.scale.to_le_bytes());
        raw.push(u8::from(self.transposed));
        raw.extend([self.arithmetic.product.number(), self.arithmetic.change.number()]);
        for factor in [&self.a, &self.b] {
            factor.write_typed(raw, &region.name);
        }
    }

    /// The shape of the merge of `region`.
    ///
    /// # Errors
    /// `Corrupt` for a region that cannot be merged, `Limit` for factors that are too large.
    pub(crate) fn shape(&self, region: &Region) -> Result<Shape> {
        let [rows, columns] = region.shape[..] else {
            return Err(Error::corrupt("a merged tensor is no matrix").figures("2 extents", region.shape.len()));
        };
        if !is_factor(region.dtype) || region.length == 0 {
            let error = Error::corrupt("a merged tensor has a wrong dtype or no words");
            return Err(error.figures("F32, F16 or BF16", region.type_name()));
        }
        let fits = |extent: u64| extent.checked_mul(self.rank).is_some_and(|numbers| numbers <= MAX_NUMBERS);
        if self.rank == 0 || self.rank > MAX_RANK || !fits(rows) || !fits(columns) {
            let most = format_args!("a rank of 1 to {MAX_RANK}, and at most {MAX_NUMBERS} numbers").to_string();
            return Err(Error::limit("the factors of the merge are too large").figures(most, self.rank));
        }
        let (rows, columns, rank) = (rows as usize, columns as usize, self.rank as usize);
        Ok(Shape { rows, columns, rank, transposed: self.transposed })
    }
}

/// Reads the dtype of a factor or of a rounding.
fn read_factor(reader: &mut ByteReader<'_>) -> Result<Dtype> {
    let dtype = read_dtype(reader)?;
    if is_factor(dtype) {
        return Ok(dtype);
    }
    Err(Error::corrupt("a factor of the merge has a wrong dtype").figures("F32, F16 or BF16", dtype.name()))
}

impl Origin {
    /// Appends the base file and the name of the region, which often is that of the `target`.
    pub(super) fn write(&self, raw: &mut Vec<u8>, target: &str) {
        put_varint(raw, self.base as u64);
        if self.name == target {
            put_varint(raw, 0);
        } else {
            put_varint(raw, self.name.len() as u64 + 1);
            raw.extend_from_slice(self.name.as_bytes());
        }
    }

    /// Appends the origin with its dtype.
    pub(super) fn write_typed(&self, raw: &mut Vec<u8>, target: &str) {
        self.write(raw, target);
        raw.push(self.dtype.number());
    }

    /// Reads what [`write_typed`](Self::write_typed) wrote.
    pub(super) fn read_typed(reader: &mut ByteReader<'_>, head: &Head, target: &str) -> Result<Self> {
        let (base, name) = Self::read(reader, head, target)?;
        Ok(Self { base, name, dtype: read_dtype(reader)? })
    }

    /// Reads the base file and the name of the region.
    pub(super) fn read(reader: &mut ByteReader<'_>, head: &Head, target: &str) -> Result<(usize, String)> {
        let base = head.read_base_index(reader)?;
        // 0 stands for the same name; any other number is the length of the name plus 1.
        let name = match reader.varint()?.checked_sub(1) {
            None => target.to_owned(),
            Some(length) => text(reader.take(length)?)?,
        };
        Ok((base, name))
    }
}

/// Reads the start of a run of `units` in an origin; `ends` are the ends of each origin's last run.
fn read_start(reader: &mut ByteReader<'_>, origin: u64, units: u64, ends: &mut [u64]) -> Result<(u32, u64)> {
    let number = usize::try_from(origin).unwrap_or(usize::MAX);
    let end = ends
        .get_mut(number)
        .ok_or_else(|| Error::corrupt("the view takes words from an origin that it does not have"))?;
    let start = end.wrapping_add(unzigzag(reader.varint()?));
    let last = start.checked_add(units).filter(|&last| last <= i64::MAX as u64);
    *end = last.ok_or_else(|| Error::corrupt("the view takes words from outside of a base region"))?;
    Ok((number as u32, start))
}

/// Reads the origins of the view of `region`, of which there may be `most`. Only with `blocks` may
/// they be blocks whose weights are cast.
pub(super) fn read_origins(
    reader: &mut ByteReader<'_>,
    head: &Head,
    region: &Region,
    (most, blocks): (u64, bool),
) -> Result<Vec<Origin>> {
    let count = limited(reader.varint()?, most)?;
    let mut origins: Vec<Origin> = Vec::new();
    for _ in 0..count {
        let origin = Origin::read_typed(reader, head, &region.name)?;
        let dtype = origin.dtype;
        if !can_view(dtype, region.dtype) || dequantises(dtype, region.dtype) && !blocks {
            return Err(Error::corrupt("the view has words of a dtype that are not cast")
                .figures(region.dtype.name(), dtype.name()));
        }
        let first = origins.first().map_or(dtype, |first| first.dtype);
        if is_integer(region.dtype) && (first == region.dtype) != (dtype == region.dtype) {
            return Err(Error::corrupt("the view has integers and weights").figures(first.name(), dtype.name()));
        }
        origins.push(origin);
    }
    Ok(origins)
}

fn limited(count: u64, most: u64) -> Result<u64> {
    if count <= most {
        return Ok(count);
    }
    Err(Error::limit("the views of the archive have too many runs").figures(format_args!("at most {most}"), count))
}

fn wrong_length() -> Error {
    Error::corrupt("the view is not as long as its tensor")
}
