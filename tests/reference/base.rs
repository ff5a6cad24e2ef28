//! The regions of a base file.

use super::head::{bounded, length};
use super::json::{self, Value};
use super::{Result, check, gguf};

/// A tensor, or bytes that are none.
#[derive(Clone)]
pub struct Region {
    pub name: String,
    pub dtype: u8,
    pub shape: Vec<u64>,
    /// From the file's first byte; 0 in heads, which need none.
    pub offset: usize,
    pub length: usize,
}

/// The dtypes' names in safetensors, by number.
pub const NAMES: [&str; 22] = [
    "BOOL",
    "F4",
    "F6_E2M3",
    "F6_E3M2",
    "U8",
    "I8",
    "F8_E5M2",
    "F8_E4M3",
    "F8_E8M0",
    "F8_E4M3FNUZ",
    "F8_E5M2FNUZ",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
    "F32",
    "C64",
    "F64",
    "I64",
    "U64",
];

/// The layout of files whose regions are named by their offsets.
pub const PLACES: u8 = 3;

/// The regions of a base file, read as an archive's head says.
pub fn regions(file: &[u8], layout: u8) -> Result<Vec<Region>> {
    match layout {
        1 => return safetensors(file),
        2 => return gguf::regions(file),
        PLACES => return Ok(Vec::new()),
        _ => check(layout == 0, "unknown layout of a base file")?,
    }
    let whole = Region { name: String::new(), dtype: 4, shape: vec![file.len() as u64], offset: 0, length: file.len() };
    Ok(if file.is_empty() { Vec::new() } else { vec![whole] })
}

fn safetensors(file: &[u8]) -> Result<Vec<Region>> {
    let prefix = file.first_chunk().ok_or("no safetensors file")?;
    let json_length = u64::from_le_bytes(*prefix) as usize;
    check(json_length <= 100_000_000, "header length")?;
    let header = file.get(8..8 + json_length).ok_or("the file ends inside its header")?;
    let mut regions: Vec<Region> = Vec::new();
    for (name, entry) in json::object(header)? {
        if name == "__metadata__" {
            check(matches!(entry, Value::Object(_)), "metadata")?;
            continue;
        }
        regions.push(region(name, &entry, 8 + json_length, file.len())?);
    }
    let mut places: Vec<_> = regions.iter().map(|region| (region.offset, region.length)).collect();
    places.sort_unstable();
    check(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "tensors overlap")?;
    Ok(regions)
}

fn region(name: String, entry: &Value, data: usize, file_length: usize) -> Result<Region> {
    let dtype = match entry.get("dtype") {
        Some(Value::Text(dtype)) => NAMES.iter().position(|name| name == dtype).ok_or("unknown dtype")? as u8,
        _ => return Err("a tensor without dtype".to_owned()),
    };
    let shape = entry.numbers("shape")?;
    let offsets = entry.numbers("data_offsets")?;
    let [begin, end] = offsets[..] else { return Err("data_offsets".to_owned()) };
    check(begin <= end && end <= (file_length - data) as u64, "data_offsets")?;
    let length = length(dtype, &shape)?;
    let (dtype, shape) = bounded(dtype, shape, length);
    check(length as u64 == end - begin, "length of a tensor")?;
    Ok(Region { name, dtype, shape, offset: data + begin as usize, length })
}
