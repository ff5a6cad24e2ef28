//! The head: what the target is made of.

use std::collections::HashSet;

use super::base::Region;
use super::chunk::Geometry;
use super::fields::Fields;
use super::merge::Merge;
use super::packed::Packed;
use super::view::{Partner, View};
use super::{Result, check, quant};

/// Widths of the dtypes in bits, by number, but for those of blocks.
pub const BITS: [u64; 22] = [8, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 32, 32, 32, 64, 64, 64, 64];

/// The number of `Q8_0`.
pub const Q8_0: u8 = 22;

/// The last number of a dtype.
pub const LAST: u8 = 33;

/// An item's bytes.
pub enum Content {
    Span(Vec<u8>),
    /// A region, and its base words.
    Chunks(Region, Option<Partner>),
    /// The number of an item that it equals.
    Earlier(Region, usize),
}

pub struct Head {
    /// Length and layout of each base file.
    pub bases: Vec<(u64, u8)>,
    pub items: Vec<Content>,
    pub packed: Vec<Packed>,
}

impl Head {
    pub fn read(content: &[u8]) -> Result<Self> {
        let mut fields = Fields::new(content);
        let features = fields.varint()?;
        check(features <= 1, "unknown features")?;
        let bases = fields.varint()?;
        check(bases <= 65_535, "too many base files")?;
        let bases = (0..bases).map(|_| Ok((fields.varint()?, fields.byte()?))).collect::<Result<Vec<_>>>()?;
        check(bases.iter().all(|base| base.1 <= 3), "unknown layout of a base file")?;
        let mut head = Self { bases, items: Vec::new(), packed: Vec::new() };
        let items = fields.varint()?;
        check(items <= 1 << 18, "too many items")?;
        for _ in 0..items {
            let item = head.read_item(&mut fields)?;
            head.items.push(item);
        }
        let uses = head.items.iter().map(|item| match item {
            Content::Chunks(_, Some(Partner::View(view))) => view.uses(),
            _ => 0,
        });
        check(uses.sum::<u128>() <= 1 << 22, "rectangles and runs that chunks need")?;
        check(unique(&head.items), "a name appears twice")?;
        if features == 1 {
            head.packed = Packed::read_all(&mut fields, &head)?;
        }
        fields.finish()?;
        Ok(head)
    }

    /// Number of chunks of each region that has some of its own.
    pub fn chunks(&self) -> impl Iterator<Item = usize> {
        self.items.iter().filter_map(|item| match item {
            Content::Chunks(region, _) => Some(Geometry::new(region).chunks().count()),
            _ => None,
        })
    }

    fn read_item(&self, fields: &mut Fields) -> Result<Content> {
        let kind = fields.byte()?;
        if kind == 0 {
            let bytes = fields.string()?;
            check(!bytes.is_empty(), "an empty span")?;
            return Ok(Content::Span(bytes.to_vec()));
        }
        let region = read_type(fields)?;
        match kind {
            1 => Ok(Content::Chunks(region, None)),
            2 => {
                let view = View::of_partner(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            4 => {
                let view = View::read(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            7 => {
                let view = View::read_transposed(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            8 | 12 => {
                let view = View::read_derived(&region, fields, self, kind == 12)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            13 => {
                let view = View::read_derived_of(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            9 => {
                check(super::cast::known(region.dtype), "weights of blocks as other words")?;
                let view = View::read_blocks(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            10 => {
                let view = View::read_unpacked(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            11 => {
                let view = View::read_arranged(&region, fields, self)?;
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            6 => {
                let mut view = View::read(&region, fields, self)?;
                view.merge = Some(Merge::read(&region, fields, self)?);
                Ok(Content::Chunks(region, Some(Partner::View(view))))
            }
            5 => {
                let bytes = Partner::read_bytes(fields, self)?;
                Ok(Content::Chunks(region, Some(bytes)))
            }
            3 => {
                let number = fields.varint()?;
                match usize::try_from(number).ok().and_then(|n| self.items.get(n)) {
                    Some(Content::Chunks(other, _)) if other.length == region.length => {
                        Ok(Content::Earlier(region, number as usize))
                    }
                    _ => Err("an earlier item that is none".to_owned()),
                }
            }
            _ => Err("unknown kind of item".to_owned()),
        }
    }
}

/// Returns `true` if no two regions have the same name, except for the empty one.
fn unique(items: &[Content]) -> bool {
    let mut names = HashSet::new();
    items.iter().all(|item| match item {
        Content::Span(_) => true,
        Content::Chunks(region, _) | Content::Earlier(region, _) => {
            region.name.is_empty() || names.insert(region.name.clone())
        }
    })
}

fn read_type(fields: &mut Fields) -> Result<Region> {
    let name = fields.name()?;
    let dtype = fields.byte()?;
    check(dtype <= LAST, "unknown dtype")?;
    let rank = fields.varint()?;
    check(rank <= MAX_RANK, "too many extents")?;
    let shape: Vec<u64> = (0..rank).map(|_| fields.varint()).collect::<Result<_>>()?;
    let length = length(dtype, &shape)?;
    Ok(Region { name, dtype, shape, offset: 0, length })
}

/// The most extents of a tensor.
const MAX_RANK: u64 = 64;

/// Dtype and shape of a region in a base's file: a tensor with too many extents is bytes.
pub fn bounded(dtype: u8, shape: Vec<u64>, length: usize) -> (u8, Vec<u64>) {
    if shape.len() as u64 > MAX_RANK { (4, vec![length as u64]) } else { (dtype, shape) }
}

/// Bytes of a region.
pub fn length(dtype: u8, shape: &[u64]) -> Result<usize> {
    let mut elements = 1u64;
    for &extent in shape {
        elements = elements.checked_mul(extent).ok_or("too many elements")?;
    }
    let blocks = quant::format(dtype);
    if let Some(format) = blocks {
        let whole = |extent: &u64| extent.is_multiple_of(format.weights as u64);
        check(shape.last().is_some_and(whole), "rows of no whole blocks")?;
    }
    let bits = match blocks {
        Some(format) => u128::from(elements) / format.weights as u128 * format.bytes as u128 * 8,
        None => u128::from(elements) * u128::from(BITS[usize::from(dtype)]),
    };
    check(bits % 8 == 0, "no whole number of bytes")?;
    check(bits / 8 <= u128::from(u64::MAX), "too many bytes")?;
    Ok((bits / 8) as usize)
}
