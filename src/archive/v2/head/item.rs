//! The bytes of one item of the head.

use super::super::MAX_STRETCH;
use super::{Content, Head, Item, MERGE_RUNS, Merge, Origin, Partner, Stretch, View, read_dtype, text};
use crate::bytes::{ByteReader, put_prefixed, put_varint};
use crate::error::{Error, Result};
use crate::layout::{MAX_RANK, Region};

const SPAN: u8 = 0;
const ALONE: u8 = 1;
const PAIRED: u8 = 2;
const EARLIER: u8 = 3;
const VIEWED: u8 = 4;
const RESEMBLING: u8 = 5;
const MERGED: u8 = 6;
const TRANSPOSED: u8 = 7;
const DERIVED: u8 = 8;
const DEQUANTISED: u8 = 9;
const UNPACKED: u8 = 10;
const ARRANGED: u8 = 11;
const DERIVED_IN_RUNS: u8 = 12;
const DERIVED_OF_RUNS: u8 = 13;

impl Item {
    /// Appends the item to `raw`.
    pub(super) fn write(&self, raw: &mut Vec<u8>) {
        match self {
            Self::Span(bytes) => {
                raw.push(SPAN);
                put_prefixed(raw, bytes);
            }
            Self::Region { region, content } => write_region(raw, region, content),
        }
    }

    /// Reads the item at `offset` of the restored file, whose view has at most `runs` runs.
    pub(super) fn read(reader: &mut ByteReader<'_>, head: &Head, offset: u64, runs: u64) -> Result<Self> {
        let kind = reader.u8()?;
        if kind == SPAN {
            let bytes = reader.prefixed()?;
            if bytes.is_empty() {
                return Err(Error::corrupt("the head has an empty span"));
            }
            return Ok(Self::Span(bytes.to_vec()));
        }
        let name = text(reader.prefixed()?)?;
        let region = read_type(reader, name, offset)?;
        let content = read_content(reader, head, &region, kind, runs).map_err(|e| e.tensor(&region.name))?;
        Ok(Self::Region { region, content })
    }
}

fn write_region(raw: &mut Vec<u8>, region: &Region, content: &Content) {
    let whole = match content {
        Content::Chunks(Some(Partner::View(view))) => view.as_whole(region),
        _ => None,
    };
    raw.push(match (content, whole) {
        (Content::Chunks(None), _) => ALONE,
        (Content::Chunks(Some(_)), Some(_)) => PAIRED,
        (Content::Chunks(Some(Partner::View(view))), None) if view.merge.is_some() => MERGED,
        (Content::Chunks(Some(Partner::View(view))), None) if view.transposed.is_some() => TRANSPOSED,
        (Content::Chunks(Some(Partner::View(view @ View { derived: Some(derived), .. }))), None) => {
            if !view.is_of_one(region, derived) {
                DERIVED_OF_RUNS
            } else if derived.run == 1 {
                DERIVED
            } else {
                DERIVED_IN_RUNS
            }
        }
        (Content::Chunks(Some(Partner::View(view))), None) if view.unpacked.is_some() => UNPACKED,
        (Content::Chunks(Some(Partner::View(view))), None) if view.arranged.is_some() => ARRANGED,
        (Content::Chunks(Some(Partner::View(view))), None) if view.dequantises(region) => DEQUANTISED,
        (Content::Chunks(Some(Partner::View(_))), None) => VIEWED,
        (Content::Chunks(Some(Partner::Bytes(_))), None) => RESEMBLING,
        (Content::Earlier(_), _) => EARLIER,
    });
    put_prefixed(raw, region.name.as_bytes());
    raw.push(region.dtype.number());
    put_varint(raw, region.shape.len() as u64);
    region.shape.iter().for_each(|&extent| put_varint(raw, extent));
    match (content, whole) {
        (Content::Chunks(None), _) => {}
        (Content::Chunks(Some(_)), Some(origin)) => origin.write(raw, &region.name),
        (Content::Chunks(Some(Partner::View(view))), None) => write_view(raw, region, view),
        (Content::Chunks(Some(Partner::Bytes(stretch))), None) => stretch.write(raw),
        (Content::Earlier(index), _) => put_varint(raw, *index as u64),
    }
}

fn write_view(raw: &mut Vec<u8>, region: &Region, view: &View) {
    match (view.transposed, view.derived, &view.unpacked, &view.arranged) {
        (Some(transposed), ..) => view.write_transposed(raw, region, transposed),
        (None, Some(derived), ..) if view.is_of_one(region, &derived) => view.write_derived(raw, region, derived),
        (None, Some(derived), ..) => view.write_derived_of(raw, region, derived),
        (None, None, Some(unpacked), _) => view.write_unpacked(raw, region, unpacked),
        (None, None, None, Some(arranged)) => view.write_arranged(raw, region, arranged),
        (None, None, None, None) => {
            view.write(raw, region);
            view.merge.iter().for_each(|merge| merge.write(raw, region));
        }
    }
}

fn read_content(reader: &mut ByteReader<'_>, head: &Head, region: &Region, kind: u8, runs: u64) -> Result<Content> {
    Ok(match kind {
        ALONE => Content::Chunks(None),
        PAIRED => {
            let (base, name) = Origin::read(reader, head, &region.name)?;
            let origin = Origin { base, name, dtype: region.dtype };
            Content::Chunks(Some(Partner::View(View::whole(region, origin))))
        }
        EARLIER => Content::Earlier(head.earlier(reader.varint()?, region)?),
        VIEWED => Content::Chunks(Some(Partner::View(View::read(reader, head, region, (runs, false))?))),
        MERGED => {
            let view = View::read(reader, head, region, (runs.saturating_sub(MERGE_RUNS), false))?;
            let merge = Some(Box::new(Merge::read(reader, head, region)?));
            Content::Chunks(Some(Partner::View(View { merge, ..view })))
        }
        TRANSPOSED => Content::Chunks(Some(Partner::View(View::read_transposed(reader, head, region)?))),
        DERIVED | DERIVED_IN_RUNS => {
            let in_runs = kind == DERIVED_IN_RUNS;
            Content::Chunks(Some(Partner::View(View::read_derived(reader, head, region, in_runs)?)))
        }
        DERIVED_OF_RUNS => Content::Chunks(Some(Partner::View(View::read_derived_of(reader, head, region, runs)?))),
        DEQUANTISED => Content::Chunks(Some(Partner::View(View::read(reader, head, region, (runs, true))?))),
        UNPACKED => Content::Chunks(Some(Partner::View(View::read_unpacked(reader, head, region)?))),
        ARRANGED => Content::Chunks(Some(Partner::View(View::read_arranged(reader, head, region, runs)?))),
        RESEMBLING => Content::Chunks(Some(Partner::Bytes(Stretch::read(reader, head)?))),
        other => return Err(Error::unsupported(format!("items of kind {other} are unknown"))),
    })
}

impl Stretch {
    fn write(&self, raw: &mut Vec<u8>) {
        put_varint(raw, self.base as u64);
        put_varint(raw, self.offset);
        put_varint(raw, self.length);
    }

    fn read(reader: &mut ByteReader<'_>, head: &Head) -> Result<Self> {
        let base = head.read_base_index(reader)?;
        let (offset, length) = (reader.varint()?, reader.varint()?);
        if length == 0 || length > MAX_STRETCH || offset.checked_add(length).is_none() {
            return Err(Error::limit("the range of base bytes is impossible")
                .figures(format_args!("1 to {MAX_STRETCH} bytes"), length));
        }
        Ok(Self { base, offset, length })
    }
}

/// Reads the dtype and the shape of the region `name` at `offset`.
fn read_type(reader: &mut ByteReader<'_>, name: String, offset: u64) -> Result<Region> {
    let dtype = read_dtype(reader).map_err(|e| e.tensor(&name))?;
    let rank = reader.varint()?;
    if rank > MAX_RANK as u64 {
        return Err(Error::limit("the tensor has too many extents")
            .tensor(&name)
            .figures(format_args!("at most {MAX_RANK}"), rank));
    }
    let shape = (0..rank).map(|_| reader.varint()).collect::<Result<Vec<_>>>()?;
    let length = dtype
        .tensor_bytes(&shape)
        .ok_or_else(|| Error::corrupt("the shape is not a whole number of bytes, or too large").tensor(&name))?;
    Ok(Region { name, dtype, shape, offset, length })
}
