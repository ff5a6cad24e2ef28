//! The head: the restored file as a sequence of items, and the base tensor that each is paired
//! with.

use std::collections::HashSet;

use super::{CHECKSUM, FRONT, MAGIC, MAX_BASES, MAX_CHUNKS, MAX_ITEMS, checksum, most_head};
use crate::bytes::{ByteReader, put_prefixed, put_varint};
use crate::chunk::geometry;
use crate::entropy::zstd;
use crate::error::{Error, Result};
use crate::layout::{Dtype, Kind, MAX_RANK, Region};

/// zstd level of the head.
const LEVEL: i32 = 3;

/// The content of the head: the base files, and the items that make up the restored file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The base files.
    pub(crate) bases: Vec<BaseFile>,
    /// The file, front to back.
    pub(crate) items: Vec<Item>,
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
    /// Chunks of its own, with or without a base region.
    Chunks(Option<Partner>),
    /// The index of an earlier item with the same bytes: a region of the same length that has
    /// chunks.
    Earlier(usize),
}

/// The region of a base file that a region of the target is paired with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partner {
    /// Index of the base file.
    pub(crate) base: usize,
    /// The region's name in that file; in one of [`Kind::Places`], its offset in decimal digits.
    pub(crate) name: String,
}

impl Partner {
    /// The offset that the name states; `None` if it is not a number in its shortest form.
    pub(crate) fn place(&self) -> Option<u64> {
        let offset: u64 = self.name.parse().ok()?;
        (offset.to_string() == self.name).then_some(offset)
    }
}

/// The bits of the features that a reader must know; none exist yet.
const FEATURES: u64 = 0;

const SPAN: u8 = 0;
const ALONE: u8 = 1;
const PAIRED: u8 = 2;
const EARLIER: u8 = 3;

impl Item {
    /// The item's length in the restored file, in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Span(bytes) => bytes.len() as u64,
            Self::Region { region, .. } => region.length,
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
        ];
        match counts.into_iter().find(|(_, most, count)| count > most) {
            Some((what, most, count)) => Err(Error::limit(what).figures(format_args!("at most {most}"), count)),
            None => Ok(()),
        }
    }

    fn write_raw(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        put_varint(&mut raw, FEATURES);
        put_varint(&mut raw, self.bases.len() as u64);
        for base in &self.bases {
            put_varint(&mut raw, base.length);
            raw.push(base.kind as u8);
        }
        put_varint(&mut raw, self.items.len() as u64);
        self.items.iter().for_each(|item| write_item(&mut raw, item));
        raw
    }

    /// Parses the front of an archive, as [`write`](Self::write) writes it.
    pub(crate) fn parse(front: &[u8]) -> Result<Self> {
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
        Self::parse_raw(&raw)
    }

    fn parse_raw(raw: &[u8]) -> Result<Self> {
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
        let mut head = Self { bases, items: Vec::new() };
        let (mut offset, mut chunks) = (0u64, 0u64);
        let mut counts = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..count {
            let item = head.read_item(&mut reader, offset)?;
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
            let end = offset.checked_add(item.length()).filter(|&end| end <= i64::MAX as u64);
            offset = end.ok_or_else(|| {
                Error::limit("the restored file is too long").figures(format_args!("at most {}", i64::MAX), "more")
            })?;
            head.items.push(item);
        }
        reader.finish()?;
        Ok(head)
    }

    fn read_item(&self, reader: &mut ByteReader<'_>, offset: u64) -> Result<Item> {
        let kind = reader.u8()?;
        if kind == SPAN {
            let bytes = reader.prefixed()?;
            if bytes.is_empty() {
                return Err(Error::corrupt("the head has an empty span"));
            }
            return Ok(Item::Span(bytes.to_vec()));
        }
        let name = text(reader.prefixed()?)?;
        let region = read_type(reader, &name, offset).map_err(|e| e.tensor(&name))?;
        let content = match kind {
            ALONE => Content::Chunks(None),
            PAIRED => {
                let base = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
                if base >= self.bases.len() {
                    return Err(Error::corrupt("the tensor's base file does not exist")
                        .tensor(&name)
                        .figures(format_args!("a number below {}", self.bases.len()), base));
                }
                // 0 stands for the same name; any other number is the length of the name plus 1.
                let other = match reader.varint()?.checked_sub(1) {
                    None => name.clone(),
                    Some(length) => text(reader.take(length)?)?,
                };
                Content::Chunks(Some(Partner { base, name: other }))
            }
            EARLIER => Content::Earlier(self.earlier(reader.varint()?, &region).map_err(|e| e.tensor(&name))?),
            other => return Err(Error::unsupported(format!("items of kind {other} are unknown")).tensor(&name)),
        };
        Ok(Item::Region { region: Region { name, ..region }, content })
    }

    /// The number of chunks that restore each item.
    fn chunk_counts(&self) -> Vec<u64> {
        let mut counts = Vec::with_capacity(self.items.len());
        self.items.iter().for_each(|item| counts.push(chunk_count(item, &counts)));
        counts
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

fn write_item(raw: &mut Vec<u8>, item: &Item) {
    let Item::Region { region, content } = item else {
        if let Item::Span(bytes) = item {
            raw.push(SPAN);
            put_prefixed(raw, bytes);
        }
        return;
    };
    raw.push(match content {
        Content::Chunks(None) => ALONE,
        Content::Chunks(Some(_)) => PAIRED,
        Content::Earlier(_) => EARLIER,
    });
    put_prefixed(raw, region.name.as_bytes());
    raw.push(region.dtype.number());
    put_varint(raw, region.shape.len() as u64);
    region.shape.iter().for_each(|&extent| put_varint(raw, extent));
    match content {
        Content::Chunks(None) => {}
        Content::Chunks(Some(partner)) => {
            put_varint(raw, partner.base as u64);
            if partner.name == region.name {
                put_varint(raw, 0);
            } else {
                put_varint(raw, partner.name.len() as u64 + 1);
                raw.extend_from_slice(partner.name.as_bytes());
            }
        }
        Content::Earlier(index) => put_varint(raw, *index as u64),
    }
}

fn read_base(reader: &mut ByteReader<'_>) -> Result<BaseFile> {
    let (length, number) = (reader.varint()?, reader.u8()?);
    let kind = Kind::from_number(number);
    let kind = kind.ok_or_else(|| Error::unsupported(format!("base files of kind {number} are unknown")))?;
    Ok(BaseFile { length, kind })
}

/// Reads dtype and shape, and returns them as a region without a name.
fn read_type(reader: &mut ByteReader<'_>, name: &str, offset: u64) -> Result<Region> {
    let number = reader.u8()?;
    let dtype = Dtype::from_number(number).ok_or_else(|| Error::unsupported(format!("dtype {number} is unknown")))?;
    let rank = reader.varint()?;
    if rank > MAX_RANK as u64 {
        return Err(Error::limit("the tensor has too many extents")
            .tensor(name)
            .figures(format_args!("at most {MAX_RANK}"), rank));
    }
    let shape = (0..rank).map(|_| reader.varint()).collect::<Result<Vec<_>>>()?;
    let length = dtype
        .tensor_bytes(&shape)
        .ok_or_else(|| Error::corrupt("the shape is not a whole number of bytes, or too large").tensor(name))?;
    Ok(Region { name: String::new(), dtype, shape, offset, length })
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::corrupt("a name is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn head() -> Head {
        let region = |name: &str, offset, dtype: Dtype, shape: &[u64]| Region {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            offset,
            length: dtype.tensor_bytes(shape).unwrap(),
        };
        let partner = |base, name: &str| Content::Chunks(Some(Partner { base, name: name.into() }));
        Head {
            bases: vec![BaseFile { length: 1000, kind: Kind::Safetensors }, BaseFile { length: 7, kind: Kind::Bytes }],
            items: vec![
                Item::Span(b"header".to_vec()),
                Item::Region { region: region("a", 6, Dtype::BF16, &[3, 2]), content: partner(0, "a") },
                Item::Region { region: region("b", 18, Dtype::BF16, &[6]), content: partner(1, "other") },
                Item::Region { region: region("c", 30, Dtype::F32, &[3]), content: Content::Earlier(1) },
                Item::Region { region: region("", 42, Dtype::U8, &[0]), content: Content::Chunks(None) },
                Item::Region { region: region("d", 42, Dtype::U8, &[2]), content: partner(1, "") },
            ],
        }
    }

    #[test]
    fn heads_survive_a_round_trip() {
        assert_eq!(Head::parse(&head().write().unwrap()).unwrap(), head());
        assert_eq!(Head::parse(&Head::default().write().unwrap()).unwrap(), Head::default());
    }

    /// The writer refuses to make an archive that no reader accepts.
    #[test]
    fn heads_beyond_the_limits_are_not_written() {
        let kind = |head: Head| head.write().unwrap_err().kind();
        let items = vec![Item::Span(vec![0]); MAX_ITEMS as usize + 1];
        assert_eq!(kind(Head { bases: Vec::new(), items }), ErrorKind::Limit);
        let bases = vec![BaseFile { length: 0, kind: Kind::Bytes }; MAX_BASES + 1];
        assert_eq!(kind(Head { bases, items: Vec::new() }), ErrorKind::Limit);
        let shape = vec![(MAX_CHUNKS + 1) << 20];
        let region = Region { name: "w".into(), dtype: Dtype::U8, offset: 0, length: shape[0], shape };
        let items = vec![Item::Region { region, content: Content::Chunks(None) }];
        assert_eq!(kind(Head { bases: Vec::new(), items }), ErrorKind::Limit);
    }

    #[test]
    fn any_flip_is_noticed() {
        let bytes = head().write().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            Head::parse(&flipped).unwrap_err();
        }
    }

    #[test]
    fn forged_heads_are_refused() {
        let forged = |change: fn(&mut Head)| {
            let mut head = head();
            change(&mut head);
            Head::parse_raw(&head.write_raw()).unwrap_err().kind()
        };
        assert_eq!(forged(|h| h.bases.truncate(1)), ErrorKind::Corrupt);
        assert_eq!(forged(|h| h.items.push(h.items[5].clone())), ErrorKind::Corrupt);
        assert_eq!(forged(|h| h.items.swap(1, 3)), ErrorKind::Corrupt);
        assert_eq!(forged(|h| drop(h.items.drain(1..3))), ErrorKind::Corrupt);
        let raw = head().write_raw();
        let unknown = |at: usize, number| Head::parse_raw(&[&raw[..at], &[number], &raw[at + 1..]].concat());
        for (at, number) in [(0, 1), (4, 4)] {
            assert_eq!(unknown(at, number).unwrap_err().kind(), ErrorKind::Unsupported);
        }
        (0..raw.len()).for_each(|end| drop(Head::parse_raw(&raw[..end]).unwrap_err()));
    }
}
