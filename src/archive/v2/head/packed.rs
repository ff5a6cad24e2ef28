//! Packed items: regions of packed numbers whose scales and zero points are other regions.

use super::{Content, Head, Item, Partner};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::geometry;
use crate::error::{Error, Result};
use crate::layout::dtype::Fields;
use crate::layout::{Dtype, Region};
use crate::quant::packed::{NESTED, PACKINGS, Packing, Tiles, Zeros, is_scale};
use crate::zigzag::{unzigzag, zigzag};

/// A region of packed numbers. All items are indices in [`Head::items`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) item: usize,
    /// Index in [`PACKINGS`].
    pub(crate) packing: u8,
    pub(crate) tiles: Tiles,
    /// The region with a scale for each tile.
    pub(crate) scales: usize,
    /// The region with a zero point or a bias for each tile, or with the scales of nested scales, in a
    /// packing that has them.
    pub(crate) zeros: Option<usize>,
    /// The region of the one number that all scales are multiplied by.
    pub(crate) factor: Option<usize>,
    /// The region with the groups of rows.
    pub(crate) groups: Option<usize>,
    /// The bits of the offsets of nested scales, in target and base; 0 in other packings.
    pub(crate) offsets: [u32; 2],
}

impl Packed {
    pub(crate) fn packing(&self) -> &'static Packing {
        &PACKINGS[usize::from(self.packing)]
    }

    /// The companions that there are.
    pub(crate) fn companions(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.scales).chain(self.zeros).chain(self.factor).chain(self.groups)
    }

    /// Appends the entry; `last` is the item of the entry before it, plus 1.
    pub(super) fn write(&self, last: usize, raw: &mut Vec<u8>) {
        put_varint(raw, (self.item - last) as u64);
        raw.push(self.packing);
        [self.tiles.width, self.tiles.rows, self.tiles.columns].into_iter().for_each(|extent| put_varint(raw, extent));
        let distance = |item: usize| zigzag((item as u64).wrapping_sub(self.item as u64));
        put_varint(raw, distance(self.scales));
        self.zeros.iter().for_each(|&zeros| put_varint(raw, distance(zeros)));
        put_varint(raw, self.factor.map_or(0, distance));
        self.groups.iter().for_each(|&groups| put_varint(raw, distance(groups)));
        if self.packing().zeros == Zeros::Nested {
            self.offsets.iter().for_each(|offset| raw.extend_from_slice(&offset.to_le_bytes()));
        }
    }

    /// Reads an entry of a head whose items are all known.
    pub(super) fn read(reader: &mut ByteReader<'_>, head: &Head, last: usize) -> Result<Self> {
        let item = usize::try_from(reader.varint()?).ok().and_then(|skipped| last.checked_add(skipped));
        let item = item.filter(|&item| item < head.items.len()).ok_or_else(no_region)?;
        let packing = reader.u8()?;
        let Some(known) = PACKINGS.get(usize::from(packing)) else {
            return Err(Error::unsupported(format!("packings of kind {packing} are unknown")));
        };
        let tiles = Tiles { width: reader.varint()?, rows: reader.varint()?, columns: reader.varint()? };
        let mut companion =
            || Ok::<_, Error>(unzigzag(reader.varint()?)).map(|distance| (item as u64).wrapping_add(distance) as usize);
        let scales = companion()?;
        let zeros = if known.zeros == Zeros::None { None } else { Some(companion()?) };
        let factor = Some(companion()?).filter(|&factor| factor != item);
        let groups = if known.grouped { Some(companion()?) } else { None };
        let mut offsets = [0; 2];
        if known.zeros == Zeros::Nested {
            for offset in &mut offsets {
                *offset = reader.take(4)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            }
        }
        let packed = Self { item, packing, tiles, scales, zeros, factor, groups, offsets };
        packed.check(head)?;
        Ok(packed)
    }

    /// Checks that the companions are what the tiles need.
    pub(crate) fn check(&self, head: &Head) -> Result<()> {
        let (packing, Tiles { width, rows, columns }) = (self.packing(), self.tiles);
        let region = own(head, self.item).ok_or_else(no_region)?;
        let count = numbers(packing, region);
        let even = width > 0 && rows > 0 && columns > 0 && count.is_multiple_of(width);
        let even = even && geometry::of(region).is_cut_by(packing.whole_bytes());
        if !even || !packing.takes(region.dtype) || packing.is_interleaved() && !width.is_multiple_of(8) {
            let error = Error::corrupt("the tiles are not those of a matrix").tensor(&region.name);
            return Err(error.figures(format_args!("{count} packed numbers"), format_args!("{width} columns")));
        }
        let tiles = self.tiles.limited(packing, count, region.length).map_err(|error| error.tensor(&region.name))?;
        let fits = |item: usize, fits: &dyn Fn(&Region) -> bool| own(head, item).is_some_and(fits);
        let words = |region: &Region| region.length / region.dtype.words().0 as u64;
        let scales = |item: usize, count: u64| fits(item, &|region| is_scale(region.dtype) && words(region) == count);
        let zeros = self.zeros.is_none_or(|zeros| match packing.zeros {
            Zeros::Biases => scales(zeros, tiles),
            Zeros::Nested => {
                scales(zeros, tiles.div_ceil(NESTED)) && fits(self.scales, &|region| region.dtype == Dtype::U8)
            }
            Zeros::Points | Zeros::None => {
                fits(zeros, &|region| packing.takes(region.dtype) && numbers(packing, region) == tiles)
            }
        });
        let factor = self.factor.is_none_or(|factor| scales(factor, 1));
        let is_group = |region: &Region| {
            let is_word = region.dtype.words() == (4, Fields::Integer);
            is_word && columns <= width && words(region) == count / width * columns
        };
        let groups =
            self.groups.is_none_or(|groups| fits(groups, &is_group)) && self.groups.is_some() == packing.grouped;
        if scales(self.scales, tiles) && zeros && factor && groups {
            return Ok(());
        }
        Err(Error::corrupt("a companion is no region of a number for each tile")
            .tensor(&region.name)
            .figures(tiles, "others"))
    }
}

/// A region with chunks of its own whose view is only runs of words, or derived; `None` for any
/// other item.
fn own(head: &Head, item: usize) -> Option<&Region> {
    match head.items.get(item)? {
        Item::Region { region, content: Content::Chunks(Some(Partner::View(view))) }
            if !view.is_runs() && view.derived.is_none() || view.dequantises(region) =>
        {
            None
        }
        Item::Region { region, content: Content::Chunks(None | Some(Partner::View(_))) } => Some(region),
        _ => None,
    }
}

/// The packed numbers in a region.
fn numbers(packing: &Packing, region: &Region) -> u64 {
    packing.count(region.length)
}

fn no_region() -> Error {
    Error::corrupt("a packed item is no region of chunks")
}
