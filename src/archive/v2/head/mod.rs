//! The head: the restored file as a sequence of items, and the view of the base that each is coded
//! against.

mod arranged;
mod derived;
mod item;
mod packed;
mod view;

pub(crate) use packed::Packed;
pub(crate) use view::{Merge, Origin, Run, View, units};

use std::collections::HashSet;

use super::{CHECKSUM, FRONT, MAGIC, MAX_BASES, MAX_CHUNKS, MAX_ITEMS, MAX_RUNS, MAX_USES, RECORD_HEAD, TRAILER};
use super::{checksum, most_head, most_weight};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::geometry;
use crate::entropy::zstd;
use crate::error::{Error, Result};
use crate::layout::{Dtype, Kind, Region};
use crate::pace::Pace;

/// zstd level of the head.
const LEVEL: i32 = 3;

/// The content of the head: the base files, and the items that make up the restored file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The base files.
    pub(crate) bases: Vec<BaseFile>,
    /// The file, front to back.
    pub(crate) items: Vec<Item>,
    /// The items of packed numbers, in the order of the items.
    pub(crate) packed: Vec<Packed>,
}

/// An archive's description of a base file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BaseFile {
    /// The file's length in bytes when the archive was made.
    pub(crate) length: u64,
    /// The kind of layout to read the file with.
    pub(crate) kind: Kind,
}

/// Consecutive bytes of the restored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Bytes that the head itself holds.
    Span(Vec<u8>),
    /// A region. Its offset is the end of the items before it.
    Region { region: Region, content: Content },
}

/// The source of a region's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Chunks of its own, with or without a base.
    Chunks(Option<Partner>),
    /// The index of an earlier item with the same bytes: a region of the same length that has
    /// chunks.
    Earlier(usize),
}

/// The base of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Partner {
    /// A word of the base for each word of the region.
    View(View),
    /// Bytes of a base file that the region's bytes resemble, at any place.
    Bytes(Stretch),
}

/// A range of bytes of a base file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Index of the base file.
    pub(crate) base: usize,
    /// Offset of the first byte.
    pub(crate) offset: u64,
    /// Number of bytes, at most [`MAX_STRETCH`].
    pub(crate) length: u64,
}

/// The part of an item's weight that all items have.
const ITEM_WEIGHT: u64 = 512;

/// The number of runs that a merge counts for: one for each factor.
const MERGE_RUNS: u64 = 2;

/// The fault of a head whose chunks need too many rectangles, or runs of weights.
const USES: &str = "chunks need too many rectangles or runs";

/// The feature of a head with packed items.
const PACKED: u64 = 1;

/// The bits of the features that a reader must know.
const FEATURES: u64 = PACKED;

impl Item {
    /// The item's length in the restored file, in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Span(bytes) => bytes.len() as u64,
            Self::Region { region, .. } => region.length,
        }
    }

    /// The bytes of memory that the item stands for, in plans and reports, besides its content: a
    /// few bytes of a head may be an item, an extent, a run or a chunk. `chunks` are those that
    /// restore the item.
    fn weight(&self, chunks: u64) -> u64 {
        let Self::Region { region, .. } = self else { return ITEM_WEIGHT };
        let (name, rank) = (region.name.len() as u64, region.shape.len() as u64);
        ITEM_WEIGHT + 4 * name + 32 * rank + 96 * self.runs() + 16 * chunks
    }

    /// The number of runs of the item's view, or of its origins if there are more, and those that a
    /// merge stands for.
    fn runs(&self) -> u64 {
        match self {
            Self::Region { content: Content::Chunks(Some(Partner::View(view))), .. } => {
                let merge = if view.merge.is_some() { MERGE_RUNS } else { 0 };
                view.count() + merge
            }
            _ => 0,
        }
    }

    /// The number of rectangles that the item's chunks need, if it is arranged, or of runs, if it is
    /// derived of several.
    fn uses(&self) -> u64 {
        let Self::Region { region, content: Content::Chunks(Some(Partner::View(view))) } = self else { return 0 };
        match (&view.arranged, &view.derived) {
            (Some(arranged), _) => arranged.uses(region),
            (None, Some(derived)) if !view.is_of_one(region, derived) => view.uses_of_runs(region, derived),
            _ => 0,
        }
    }
}

impl Head {
    /// Writes the front of an archive: the magic, the length, the head (a zstd frame) and its
    /// checksum.
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        self.check_limits()?;
        let raw = self.write_raw();
        let mut stored = Vec::new();
        put_varint(&mut stored, raw.len() as u64);
        stored.extend_from_slice(&zstd::encode(&raw, LEVEL)?);
        let most = most_head(stored.len() as u64);
        if raw.len() as u64 > most {
            return Err(Error::limit("the head is too long").figures(format_args!("at most {most} bytes"), raw.len()));
        }
        self.check_weight(raw.len() as u64, stored.len() as u64)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(stored.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&stored);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Ok(bytes)
    }

    /// Checks the limits that [`parse`](Self::parse) enforces, so that no unreadable archive is
    /// written.
    fn check_limits(&self) -> Result<()> {
        let counts = [
            ("too many base files", MAX_BASES as u64, self.bases.len() as u64),
            ("too many items", MAX_ITEMS, self.items.len() as u64),
            ("too many chunks", MAX_CHUNKS, self.chunk_counts().iter().sum()),
            ("too many runs in views", MAX_RUNS, self.items.iter().map(Item::runs).sum()),
            (USES, MAX_USES, self.items.iter().map(Item::uses).fold(0, u64::saturating_add)),
        ];
        match counts.into_iter().find(|(_, most, count)| count > most) {
            Some((what, most, count)) => Err(Error::limit(what).figures(format_args!("at most {most}"), count)),
            None => Ok(()),
        }
    }

    /// Checks the weight against the fewest bytes that the archive can have: its head, and the
    /// records of its chunks without their payloads.
    fn check_weight(&self, raw: u64, stored: u64) -> Result<()> {
        let counts = self.chunk_counts();
        let own = |(item, &count): (&Item, &u64)| match item {
            Item::Region { content: Content::Chunks(_), .. } => count,
            _ => 0,
        };
        let records: u64 = self.items.iter().zip(&counts).map(own).sum::<u64>() * (RECORD_HEAD + 2);
        let archive = FRONT + stored + records + TRAILER as u64;
        let weight = self.items.iter().zip(&counts).fold(2 * raw, |sum, (item, &count)| sum + item.weight(count));
        check_weight(weight, archive)
    }

    fn write_raw(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        put_varint(&mut raw, if self.packed.is_empty() { 0 } else { PACKED });
        put_varint(&mut raw, self.bases.len() as u64);
        for base in &self.bases {
            put_varint(&mut raw, base.length);
            raw.push(base.kind as u8);
        }
        put_varint(&mut raw, self.items.len() as u64);
        self.items.iter().for_each(|item| item.write(&mut raw));
        if !self.packed.is_empty() {
            put_varint(&mut raw, self.packed.len() as u64);
            let lasts = std::iter::once(0).chain(self.packed.iter().map(|packed| packed.item + 1));
            self.packed.iter().zip(lasts).for_each(|(packed, last)| packed.write(last, &mut raw));
        }
        raw
    }

    /// Parses the front of an archive of `archive` bytes, as [`write`](Self::write) writes it. What
    /// the head becomes in memory, its *weight*, is bounded by the archive's length.
    pub(crate) async fn parse(front: &[u8], archive: u64) -> Result<Self> {
        Self::parse_raw(&raw_of(front)?, archive).await
    }

    async fn parse_raw(raw: &[u8], archive: u64) -> Result<Self> {
        let mut pace = Pace::default();
        pace.pause().await;
        let mut reader = ByteReader::new(raw);
        let features = reader.varint()?;
        if features & !FEATURES != 0 {
            return Err(Error::unsupported("the archive needs a newer release of bitx")
                .figures(format_args!("features {FEATURES:#x}"), format_args!("{features:#x}")));
        }
        let count = reader.varint()?;
        if count > MAX_BASES as u64 {
            return Err(Error::limit("too many base files").figures(format_args!("at most {MAX_BASES}"), count));
        }
        let bases = (0..count).map(|_| read_base(&mut reader)).collect::<Result<Vec<_>>>()?;
        let count = reader.varint()?;
        if count > MAX_ITEMS {
            return Err(Error::limit("too many items").figures(format_args!("at most {MAX_ITEMS}"), count));
        }
        let mut head = Self { bases, ..Self::default() };
        let (mut offset, mut chunks, mut runs, mut uses) = (0u64, 0u64, 0u64, 0u64);
        let mut weight = 2 * raw.len() as u64;
        let mut counts = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..count {
            let item = Item::read(&mut reader, &head, offset, MAX_RUNS.saturating_sub(runs))?;
            runs += item.runs();
            uses = uses.saturating_add(item.uses());
            if uses > MAX_USES {
                return Err(Error::limit(USES).figures(format_args!("at most {MAX_USES}"), uses));
            }
            if let Item::Region { region, .. } = &item
                && !region.name.is_empty()
                && !names.insert(region.name.clone())
            {
                return Err(Error::corrupt("the tensor appears twice").tensor(&region.name));
            }
            let own = chunk_count(&item, &counts);
            counts.push(own);
            chunks = chunks.saturating_add(own);
            if chunks > MAX_CHUNKS {
                return Err(Error::limit("too many chunks").figures(format_args!("at most {MAX_CHUNKS}"), chunks));
            }
            weight += item.weight(own);
            check_weight(weight, archive)?;
            let end = offset.checked_add(item.length()).filter(|&end| end <= i64::MAX as u64);
            offset = end.ok_or_else(|| {
                Error::limit("the restored file is too long").figures(format_args!("at most {}", i64::MAX), "more")
            })?;
            head.items.push(item);
            pace.turn().await;
        }
        if features & PACKED != 0 {
            head.read_packed(&mut reader)?;
        }
        reader.finish()?;
        Ok(head)
    }

    /// Reads the packed items. A packed item is no companion of another one.
    fn read_packed(&mut self, reader: &mut ByteReader<'_>) -> Result<()> {
        let count = reader.varint()?;
        if count > self.items.len() as u64 {
            let most = self.items.len();
            return Err(Error::corrupt("too many packed items").figures(format_args!("at most {most}"), count));
        }
        for _ in 0..count {
            let last = self.packed.last().map_or(0, |packed| packed.item + 1);
            self.packed.push(Packed::read(reader, self, last)?);
        }
        let is_packed = |item: &usize| self.packed.binary_search_by_key(item, |packed| packed.item).is_ok();
        match self.packed.iter().flat_map(Packed::companions).find(is_packed) {
            Some(item) => Err(Error::corrupt("a packed item is the companion of another one").figures("others", item)),
            None => Ok(()),
        }
    }

    /// The number of chunks that restore each item.
    fn chunk_counts(&self) -> Vec<u64> {
        let mut counts = Vec::with_capacity(self.items.len());
        self.items.iter().for_each(|item| counts.push(chunk_count(item, &counts)));
        counts
    }

    /// Reads the index of a base file.
    fn read_base_index(&self, reader: &mut ByteReader<'_>) -> Result<usize> {
        let base = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        if base < self.bases.len() {
            return Ok(base);
        }
        Err(Error::corrupt("the tensor's base file does not exist")
            .figures(format_args!("a number below {}", self.bases.len()), base))
    }

    /// Checks the index of the item that a region equals.
    fn earlier(&self, index: u64, region: &Region) -> Result<usize> {
        let item = usize::try_from(index).ok().and_then(|i| self.items.get(i));
        match item {
            Some(Item::Region { region: other, content: Content::Chunks(_) }) if other.length == region.length => {
                Ok(index as usize)
            }
            _ => Err(Error::corrupt("the tensor equals an item that is not an earlier region of its length")
                .figures(region.length, index)),
        }
    }
}

/// Checks the front of an archive, and decodes the head.
fn raw_of(front: &[u8]) -> Result<Vec<u8>> {
    let truncated = || Error::truncated("the archive ends inside its head");
    let (covered, sum) = front.split_last_chunk::<CHECKSUM>().ok_or_else(truncated)?;
    let (sum, found) = (u64::from_le_bytes(*sum), checksum(covered));
    if sum != found {
        return Err(Error::corrupt("the checksum of the head does not match")
            .figures(format_args!("{sum:016x}"), format_args!("{found:016x}")));
    }
    let content = covered.get(FRONT as usize..).ok_or_else(truncated)?;
    let most = most_head(content.len() as u64);
    let mut stored = ByteReader::new(content);
    let length = stored.varint()?;
    if length > most {
        return Err(Error::limit("the head is too long").figures(format_args!("at most {most} bytes"), length));
    }
    let mut raw = Vec::new();
    zstd::Decoder::default().decode(stored.rest(), length as usize, &mut raw)?;
    Ok(raw)
}

/// Checks the weight of the head of an archive of at least `archive` bytes.
fn check_weight(weight: u64, archive: u64) -> Result<()> {
    let most = most_weight(archive);
    if weight > most {
        return Err(Error::limit("the head describes more than the length of the archive accounts for")
            .figures(format_args!("a weight of at most {most}"), weight));
    }
    Ok(())
}

/// The number of chunks that restore `item`: its own, or those of the earlier item that it equals.
/// `counts` has the numbers of all earlier items, so that each region's shape is looked at only
/// once, however many items equal it.
fn chunk_count(item: &Item, counts: &[u64]) -> u64 {
    match item {
        Item::Span(_) => 0,
        Item::Region { region, content: Content::Chunks(_) } => geometry::of(region).count(),
        Item::Region { content: Content::Earlier(earlier), .. } => counts.get(*earlier).copied().unwrap_or(0),
    }
}

fn read_base(reader: &mut ByteReader<'_>) -> Result<BaseFile> {
    let (length, number) = (reader.varint()?, reader.u8()?);
    let kind = Kind::from_number(number);
    let kind = kind.ok_or_else(|| Error::unsupported(format!("base files of kind {number} are unknown")))?;
    Ok(BaseFile { length, kind })
}

fn read_dtype(reader: &mut ByteReader<'_>) -> Result<Dtype> {
    let number = reader.u8()?;
    Dtype::from_number(number).ok_or_else(|| Error::unsupported(format!("dtype {number} is unknown")))
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::corrupt("a name is not UTF-8"))
}

#[cfg(test)]
mod tests;
