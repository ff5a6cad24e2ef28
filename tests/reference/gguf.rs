//! The regions of a GGUF file.

use std::collections::HashSet;

use super::base::Region;
use super::fields::Fields;
use super::head::{Q8_0, bounded, length};
use super::{Result, check, quant};

/// A tensor as the header describes it.
struct Info {
    name: String,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

pub fn regions(file: &[u8]) -> Result<Vec<Region>> {
    let mut fields = Fields::new(file);
    check(fields.take(4)? == b"GGUF", "magic of a base file")?;
    let version = fields.u32()?;
    check((1..=3).contains(&version), "version")?;
    let narrow = version == 1;
    let (tensors, entries) = (size(&mut fields, narrow)?, size(&mut fields, narrow)?);
    let mut alignment = 32;
    for _ in 0..entries {
        let key = string(&mut fields, narrow)?;
        let kind = fields.u32()?;
        let value = value(&mut fields, narrow, kind, 0)?;
        if key == b"general.alignment" {
            alignment = value.filter(|value| value.is_power_of_two()).ok_or("alignment")? as usize;
        }
    }
    let mut infos = (0..tensors).map(|_| info(&mut fields, narrow)).collect::<Result<Vec<_>>>()?;
    let names: HashSet<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    check(names.len() == infos.len(), "a name appears twice")?;
    infos.sort_by_key(|info| info.offset);
    let header = file.len() - fields.rest().len();
    let data = header.next_multiple_of(alignment).min(file.len());
    let left = (file.len() - data) as u64;
    let mut regions = Vec::new();
    for (i, info) in infos.iter().enumerate() {
        let end = infos.get(i + 1).map_or(left, |next| next.offset);
        check(info.offset <= end && end <= left, "a tensor beyond the end")?;
        regions.push(region(info, data + info.offset as usize, (end - info.offset) as usize)?);
    }
    Ok(regions)
}

/// The region of a tensor that begins at `offset` and has so much room.
fn region(info: &Info, offset: usize, room: usize) -> Result<Region> {
    let words = [(0, 17), (1, 13), (24, 5), (25, 11), (26, 15), (27, 20), (28, 19), (30, 14)];
    let blocks = [2, 3, 6, 7, 10, 11, 12, 13, 14, 20, 23].into_iter().zip(23..);
    let mut kinds = words.into_iter().chain([(8, Q8_0)]).chain(blocks);
    let name = info.name.clone();
    let whole = |dtype: u8| {
        let even = |weights: usize| info.shape.last().is_some_and(|extent| extent % weights as u64 == 0);
        quant::format(dtype).is_none_or(|format| even(format.weights))
    };
    let Some((_, dtype)) = kinds.find(|(kind, dtype)| *kind == info.kind && whole(*dtype)) else {
        return Ok(Region { name, dtype: 4, shape: vec![room as u64], offset, length: room });
    };
    let length = length(dtype, &info.shape)?;
    let (dtype, shape) = bounded(dtype, info.shape.clone(), length);
    check(length <= room, "a tensor without room")?;
    Ok(Region { name, dtype, shape, offset, length })
}

fn info(fields: &mut Fields, narrow: bool) -> Result<Info> {
    let name = String::from_utf8(string(fields, narrow)?).map_err(|e| e.to_string())?;
    let rank = fields.u32()?;
    let mut shape = (0..rank).map(|_| size(fields, narrow)).collect::<Result<Vec<_>>>()?;
    shape.reverse();
    Ok(Info { name, shape, kind: fields.u32()?, offset: fields.u64()? })
}

/// A length, a count or an extent: in version 1 it has 4 bytes.
fn size(fields: &mut Fields, narrow: bool) -> Result<u64> {
    if narrow { fields.u32().map(u64::from) } else { fields.u64() }
}

fn string(fields: &mut Fields, narrow: bool) -> Result<Vec<u8>> {
    let length = size(fields, narrow)?;
    Ok(fields.take(usize::try_from(length).map_err(|e| e.to_string())?)?.to_vec())
}

/// Passes over a value; returns one of type 4 or 10.
fn value(fields: &mut Fields, narrow: bool, kind: u32, depth: u32) -> Result<Option<u64>> {
    let bytes = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4 => return fields.u32().map(|value| Some(value.into())),
        10 => return fields.u64().map(Some),
        5 | 6 => 4,
        11 | 12 => 8,
        8 => return string(fields, narrow).map(|_| None),
        9 => {
            check(depth < 8, "arrays are nested too deep")?;
            let (kind, count) = (fields.u32()?, size(fields, narrow)?);
            return (0..count).try_for_each(|_| value(fields, narrow, kind, depth + 1).map(drop)).map(|()| None);
        }
        _ => return Err("type of a value".to_owned()),
    };
    fields.take(bytes)?;
    Ok(None)
}
