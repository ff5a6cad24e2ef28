//! The GGUF layout: a header of metadata and tensor infos, followed by the aligned tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 1 to 3,
//! little-endian. A tensor whose ggml type has a [`Dtype`] is a region of that dtype. Any other
//! tensor, usually one of quantised blocks, is a region of bytes that reaches up to the next
//! tensor: to store it, its blocks need not be understood.

use std::collections::HashSet;

use super::header::Parsed;
use super::{Dtype, Kind, Layout, Region, sniff};
use crate::bytes::ByteReader;
use crate::error::{Error, ErrorKind, Result};
use crate::pace::{Pace, Paced};

/// The first bytes of the file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// Maximum length of the header in bytes.
pub const MAX_HEADER: u64 = 256 << 20;

/// Alignment of tensors, in bytes, if the metadata does not state it.
const ALIGNMENT: u64 = 32;

/// Maximum depth of nested arrays in metadata values.
const MAX_DEPTH: u32 = 8;

/// Begins to parse the first bytes of a file of known length.
pub(super) fn parser(head: Vec<u8>, file_length: u64) -> Paced<Parsed> {
    Paced::new(async move {
        let parsed = parse(&head, file_length).await;
        parsed_or_more(head, file_length, parsed)
    })
}

/// Wants more if a header that was parsed ends too early, and the file does not.
fn parsed_or_more(mut head: Vec<u8>, file_length: u64, parsed: Result<Layout>) -> Result<Parsed> {
    let have = head.len() as u64;
    match parsed {
        Ok(layout) => {
            head.truncate(layout.header_length as usize);
            Ok(Parsed::Whole(head, layout))
        }
        Err(error) if error.kind() == ErrorKind::Truncated && have < file_length => {
            if have >= MAX_HEADER {
                return Err(Error::limit("the GGUF header is too long")
                    .figures(format_args!("at most {MAX_HEADER} bytes"), "more"));
            }
            Ok(Parsed::More(head, have..(have * 2).min(file_length)))
        }
        Err(error) => Err(error),
    }
}

/// The header's description of one tensor.
struct Info {
    name: String,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

async fn parse(head: &[u8], file_length: u64) -> Result<Layout> {
    let mut pace = Pace::default();
    let mut reader = Fields::of(head)?;
    let (tensors, entries) = (reader.size()?, reader.size()?);
    let mut alignment = ALIGNMENT;
    for _ in 0..entries {
        let key = reader.string()?;
        let kind = reader.u32()?;
        let value = reader.skip_value(kind, 0)?;
        if key == b"general.alignment" {
            alignment = value.filter(|n| n.is_power_of_two()).ok_or_else(|| {
                Error::corrupt("general.alignment is not an alignment")
                    .figures("a power of 2", format_args!("{value:?}"))
            })?;
        }
        pace.turn().await;
    }
    let (mut infos, mut names) = (Vec::new(), HashSet::new());
    for _ in 0..tensors {
        let info = reader.info()?;
        if !names.insert(info.name.clone()) {
            return Err(Error::corrupt("the tensor appears twice").tensor(&info.name));
        }
        infos.push(info);
        pace.turn().await;
    }
    pace.pause().await;
    let end = (head.len() - reader.bytes.rest().len()) as u64;
    let data = end.next_multiple_of(alignment).min(file_length);
    layout(infos, end, data, file_length)
}

/// Turns tensor infos into a layout. Their offsets count from `data`, an offset in the file.
fn layout(mut infos: Vec<Info>, header_length: u64, data: u64, file_length: u64) -> Result<Layout> {
    infos.sort_by_cached_key(|info| (info.offset, 0u64));
    let mut starts = Vec::with_capacity(infos.len() + 1);
    for info in &infos {
        let start = data.checked_add(info.offset).filter(|&start| start <= file_length);
        starts.push(start.ok_or_else(|| {
            Error::truncated("the file ends before this tensor begins")
                .tensor(&info.name)
                .figures(file_length, info.offset)
        })?);
    }
    starts.push(file_length);
    let mut regions: Vec<Region> = Vec::with_capacity(infos.len());
    for (info, place) in infos.into_iter().zip(starts.windows(2)) {
        let room = place[1] - place[0];
        let (dtype, shape, length) = match dtype(info.kind, &info.shape) {
            None => (Dtype::U8, vec![room], room),
            Some(dtype) => {
                let length = dtype.tensor_bytes(&info.shape).filter(|&length| length <= room);
                let length = length.ok_or_else(|| {
                    Error::corrupt("the tensor does not fit before the next one").tensor(&info.name).figures(
                        format_args!("at most {room} bytes"),
                        format_args!("{} {:?}", dtype.name(), info.shape),
                    )
                })?;
                (dtype, info.shape, length)
            }
        };
        let region = Region { name: info.name, dtype, shape, offset: place[0], length };
        regions.push(region.of_bounded_rank());
    }
    Ok(Layout { kind: Kind::Gguf, file_length, header_length, regions, ..Layout::default() })
}

/// The dtype of a tensor of that ggml type and shape; `None` if the type has none, or rows are not
/// whole blocks: such a tensor is bytes.
pub(super) fn dtype(kind: u32, shape: &[u64]) -> Option<Dtype> {
    let dtype = match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Q4_0,
        3 => Dtype::Q4_1,
        6 => Dtype::Q5_0,
        7 => Dtype::Q5_1,
        8 => Dtype::Q8_0,
        10 => Dtype::Q2_K,
        11 => Dtype::Q3_K,
        12 => Dtype::Q4_K,
        13 => Dtype::Q5_K,
        14 => Dtype::Q6_K,
        20 => Dtype::IQ4_NL,
        23 => Dtype::IQ4_XS,
        24 => Dtype::I8,
        25 => Dtype::I16,
        26 => Dtype::I32,
        27 => Dtype::I64,
        28 => Dtype::F64,
        30 => Dtype::BF16,
        _ => return None,
    };
    let whole = shape.last().is_some_and(|row| row.is_multiple_of(dtype.block().0));
    (!dtype.is_scaled() || whole).then_some(dtype)
}

/// The fields of a header.
struct Fields<'a> {
    bytes: ByteReader<'a>,
    /// Version 1 has numbers of 4 bytes where later versions have 8.
    narrow: bool,
}

impl<'a> Fields<'a> {
    /// Reads magic and version.
    fn of(head: &'a [u8]) -> Result<Self> {
        let mut bytes = ByteReader::new(head);
        if bytes.take(4)? != MAGIC {
            return Err(Error::format(sniff::not_a("GGUF model", head)));
        }
        let mut fields = Self { bytes, narrow: false };
        match fields.u32()? {
            version @ 1..=3 => Ok(Self { narrow: version == 1, ..fields }),
            version => {
                let error = Error::unsupported("this version of GGUF is unknown");
                Err(error.figures("1, 2 or 3, little-endian", version))
            }
        }
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(self.bytes.take(4)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }

    /// Reads a length, a count or an extent.
    fn size(&mut self) -> Result<u64> {
        if self.narrow { self.u32().map(u64::from) } else { self.bytes.u64() }
    }

    /// Reads a string. Tokens of vocabularies are strings of any bytes.
    fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.size()?;
        self.bytes.take(length)
    }

    fn info(&mut self) -> Result<Info> {
        let name = std::str::from_utf8(self.string()?).map_err(|_| Error::corrupt("a tensor's name is not UTF-8"))?;
        let rank = self.u32()?;
        // GGUF lists the innermost extent first.
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(self.size()?);
        }
        shape.reverse();
        Ok(Info { name: name.to_owned(), shape, kind: self.u32()?, offset: self.bytes.u64()? })
    }

    /// Skips a metadata value, and returns it if it is an unsigned integer of 32 or 64 bits.
    fn skip_value(&mut self, kind: u32, depth: u32) -> Result<Option<u64>> {
        match kind {
            0 | 1 | 7 => drop(self.bytes.take(1)?),
            2 | 3 => drop(self.bytes.take(2)?),
            4 => return self.u32().map(|n| Some(u64::from(n))),
            5 | 6 => drop(self.bytes.take(4)?),
            8 => drop(self.string()?),
            9 if depth < MAX_DEPTH => {
                let (kind, count) = (self.u32()?, self.size()?);
                for _ in 0..count {
                    self.skip_value(kind, depth + 1)?;
                }
            }
            10 => return self.bytes.u64().map(Some),
            11 | 12 => drop(self.bytes.take(8)?),
            other => return Err(Error::corrupt("the type of a metadata value is unknown").figures("0 to 12", other)),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Incremental;
    use crate::layout::header::HeaderReader;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    /// Builds a file with some metadata, tensors of `(name, dims, ggml type, offset)`, and `data`
    /// bytes in its data section.
    fn file(tensors: &[(&str, &[u64], u32, u64)], data: usize) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &3u32.to_le_bytes()].concat();
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend(2u64.to_le_bytes());
        text(&mut bytes, "general.alignment");
        bytes.extend([4u32.to_le_bytes(), 64u32.to_le_bytes()].concat());
        text(&mut bytes, "tokens");
        bytes.extend([&9u32.to_le_bytes()[..], &8u32.to_le_bytes(), &2u64.to_le_bytes()].concat());
        text(&mut bytes, "a");
        text(&mut bytes, &"b".repeat(70_000));
        for (name, dims, kind, offset) in tensors {
            text(&mut bytes, name);
            bytes.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(64) + data, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Layout> {
        let mut reader = HeaderReader::new(bytes.len() as u64, parser);
        while let Some(range) = reader.wants() {
            reader.feed(&bytes[range.start as usize..range.end as usize])?;
        }
        Ok(reader.finish().0)
    }

    #[test]
    fn tensors_become_regions_in_file_order() {
        let bytes = file(&[("q", &[64, 3], 12, 64), ("w", &[4, 2], 30, 0), ("last", &[2], 0, 192)], 200);
        let layout = read(&bytes).unwrap();
        let start = layout.regions[0].offset;
        let rows: Vec<_> =
            layout.regions.iter().map(|r| (r.name.as_str(), r.type_name(), r.offset - start, r.length)).collect();
        let row = |name, kind: &str, offset, length| (name, kind.to_owned(), offset, length);
        assert_eq!(rows, [row("w", "BF16[2, 4]", 0, 16), row("q", "U8[128]", 64, 128), row("last", "F32[2]", 192, 8)]);
        assert_eq!(start % 64, 0);
        assert_eq!(layout.file_length, start + 200);
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        let bytes = file(&[("w", &[4, 2], 30, 0)], 16);
        let header = bytes.len() - 16 - 64;
        (0..header).step_by(997).chain([header - 1]).for_each(|end| drop(read(&bytes[..end]).unwrap_err()));
        for (tensors, data) in [
            (("w", &[4, 2][..], 30, 8), 16),
            (("w", &[u64::MAX, 2][..], 30, 0), 16),
            (("w", &[4, 2][..], 30, u64::MAX), 16),
        ] {
            read(&file(&[tensors], data)).unwrap_err();
        }
        let mut version = bytes.clone();
        version[4] = 9;
        assert_eq!(read(&version).unwrap_err().kind(), ErrorKind::Unsupported);
        let mut count = bytes;
        count[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        read(&count).unwrap_err();
    }
}
