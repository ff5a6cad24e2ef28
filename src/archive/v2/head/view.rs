//! Views of the base set: the base words that the words of a target region are coded against, as
//! runs that may come from several base regions.

use super::{Head, read_dtype, text};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::unit;
use crate::error::{Error, Result};
use crate::layout::{Dtype, Region};
use crate::view::{can_view, units_per_unit};
use crate::zigzag::{unzigzag, zigzag};

/// The base words of a region, in the order of the region's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The base regions that the runs take their words from.
    pub(crate) origins: Vec<Origin>,
    /// The runs, which together are as long as the region.
    pub(crate) runs: Vec<Run>,
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
        Self { origins: vec![origin], runs }
    }

    /// Returns the origin if the view is that of [`whole`](Self::whole), without a cast.
    pub(super) fn as_whole(&self, region: &Region) -> Option<&Origin> {
        let [origin] = self.origins.as_slice() else { return None };
        let whole = |run: &Run| *run == Run { units: units(region), from: Some((0, 0)) };
        (origin.dtype == region.dtype && self.runs.iter().all(whole)).then_some(origin)
    }

    /// Appends the view of `region` to `raw`.
    pub(super) fn write(&self, raw: &mut Vec<u8>, region: &Region) {
        put_varint(raw, self.origins.len() as u64);
        for origin in &self.origins {
            origin.write(raw, &region.name);
            raw.push(origin.dtype.number());
        }
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
            let per_unit = units_per_unit(self.origins[origin as usize].dtype, region.dtype);
            ends[origin as usize] = start + run.units * per_unit;
        }
    }

    /// Reads the view of `region`, of which a head may have as many origins and runs as `most`.
    pub(super) fn read(reader: &mut ByteReader<'_>, head: &Head, region: &Region, most: u64) -> Result<Self> {
        let count = limited(reader.varint()?, most)?;
        let mut view = Self::default();
        for _ in 0..count {
            let (base, name) = Origin::read(reader, head, &region.name)?;
            let dtype = read_dtype(reader)?;
            if !can_view(dtype, region.dtype) {
                return Err(Error::corrupt("the view has words of a dtype that are not cast")
                    .figures(region.dtype.name(), dtype.name()));
            }
            view.origins.push(Origin { base, name, dtype });
        }
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
                    let taken = units.saturating_mul(units_per_unit(dtype, region.dtype));
                    Some(read_start(reader, origin, taken, &mut ends)?)
                }
            };
            view.runs.push(Run { units, from });
        }
        if left > 0 { Err(wrong_length()) } else { Ok(view) }
    }
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

fn limited(count: u64, most: u64) -> Result<u64> {
    if count <= most {
        return Ok(count);
    }
    Err(Error::limit("the views of the archive have too many runs").figures(format_args!("at most {most}"), count))
}

fn wrong_length() -> Error {
    Error::corrupt("the view is not as long as its tensor")
}
