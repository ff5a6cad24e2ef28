//! The safetensors layout: 8 bytes of header length (little-endian), a JSON header, and the data
//! section.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The parser is strict, except that
//! it allows holes between tensors and bytes behind the last one: such files exist. A format that
//! cannot hold those bytes refuses them with an error of its own.

use std::collections::HashSet;

use super::header::Parsed;
use super::{Dtype, Kind, Layout, Region, sniff};
use crate::error::{Error, Result, cut};
use crate::json::Json;
use crate::pace::{Pace, Paced};
use crate::quoted::Quoted;
use crate::steps;

/// Maximum length in bytes of the JSON header, which safetensors sets.
pub const MAX_HEADER: u64 = 100_000_000;

/// Bytes of the header length, which precede the JSON.
const PREFIX: u64 = 8;

/// Begins to parse the first bytes of a file of known length.
pub(super) fn parser(mut head: Vec<u8>, file_length: u64) -> Paced<Parsed> {
    Paced::new(async move {
        let (have, end) = (head.len() as u64, PREFIX + json_length(&head, file_length)?);
        if have < end {
            return Ok(Parsed::More(head, have..end));
        }
        head.truncate(end as usize);
        let (layout, head) = parse(head, Some(file_length)).await?;
        Ok(Parsed::Whole(head, layout))
    })
}

/// Reads the length of the JSON and checks it against the limit and the length of the file.
fn json_length(head: &[u8], file_length: u64) -> Result<u64> {
    let not_safetensors = || Error::format(sniff::not_a("safetensors model", head));
    let Some(prefix) = head.first_chunk::<8>() else {
        return Err(not_safetensors().figures("at least 8 bytes", file_length));
    };
    let length = u64::from_le_bytes(*prefix);
    if length > MAX_HEADER {
        return Err(match sniff::mistaken_for(head) {
            Some(_) => not_safetensors(),
            None => Error::format("not a safetensors model: the header length is impossible")
                .figures(format_args!("at most {MAX_HEADER}"), length),
        });
    }
    if head.get(8).is_some_and(|&byte| byte != b'{') {
        return Err(Error::format("not a safetensors model: the header is not a JSON object").at(PREFIX));
    }
    if file_length - PREFIX < length {
        return Err(Error::truncated("the file ends inside its header").figures(PREFIX + length, file_length));
    }
    Ok(length)
}

/// Parses a header: the length prefix and the JSON together. Returns the header as well.
///
/// `file_length` is the length that the regions must fit. With `None`, the file ends with its last
/// region: in BITXv001, the header is all that is stored.
pub(crate) async fn parse(header: Vec<u8>, file_length: Option<u64>) -> Result<(Layout, Vec<u8>)> {
    let header_length = header.len() as u64;
    let declared = json_length(&header, file_length.unwrap_or(header_length))?;
    if declared + PREFIX != header_length {
        return Err(Error::corrupt("the length of the header does not match").figures(declared + PREFIX, header_length));
    }
    let json = std::str::from_utf8(&header[PREFIX as usize..])
        .map_err(|e| Error::corrupt("the header is not UTF-8").at(PREFIX + e.valid_up_to() as u64))?;
    let (mut pace, mut entries) = (Pace::default(), Entries::new(json)?);
    let mut regions = Vec::new();
    while let Some((name, entry)) = entries.next()? {
        steps::add(entry.shape.len());
        let region = entry.region(&name, header_length, file_length).map_err(|e| e.tensor(&name))?;
        regions.push(Region { name, ..region }.of_bounded_rank());
        pace.turn().await;
    }
    drop(entries);
    pace.pause().await;
    regions.sort_by_cached_key(|region| (region.offset, region.length));
    pace.pause().await;
    check_overlap(&regions)?;
    let mut layout = Layout { kind: Kind::Safetensors, header_length, regions, ..Layout::default() };
    layout.file_length = file_length.unwrap_or_else(|| layout.data_end());
    Ok((layout, header))
}

fn check_overlap(regions: &[Region]) -> Result<()> {
    for pair in regions.windows(2) {
        let end = pair[0].offset + pair[0].length;
        if pair[1].offset < end {
            let other = cut(&pair[0].name);
            return Err(Error::corrupt(format!("the tensor overlaps tensor {}", Quoted(&other)))
                .tensor(&pair[1].name)
                .figures(format_args!("start at {end} or later"), pair[1].offset));
        }
    }
    Ok(())
}

/// The JSON entry of one tensor.
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    /// Reads an entry. Fields of other names are skipped.
    fn read(json: &mut Json<'_>) -> Result<Self> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        json.object(|json, field| {
            let before = match &*field {
                "dtype" => dtype.replace(json.string()?).is_some(),
                "shape" => shape.replace(json.numbers()?).is_some(),
                "data_offsets" => offsets.replace(json.numbers()?).is_some(),
                _ => json.skip().map(|()| false)?,
            };
            if before { Err(json.fault(&format!("the field {field} once"))) } else { Ok(()) }
        })?;
        let dtype = dtype.ok_or_else(|| json.fault("the field dtype"))?;
        let shape = shape.ok_or_else(|| json.fault("the field shape"))?;
        let Some(&[begin, end]) = offsets.as_deref() else {
            return Err(json.fault("the field data_offsets, which has two numbers"));
        };
        Ok(Self { dtype: dtype.into_owned(), shape, data_offsets: (begin, end) })
    }

    /// Checks the entry and returns its region, with an empty name.
    fn region(self, name: &str, header_length: u64, file_length: Option<u64>) -> Result<Region> {
        let Self { dtype, shape, data_offsets: (begin, end) } = self;
        let dtype = Dtype::from_name(&dtype)
            .ok_or_else(|| Error::unsupported(cut(format_args!("dtype {} is unknown", Quoted(&dtype)))))?;
        let length = end
            .checked_sub(begin)
            .ok_or_else(|| Error::corrupt("data_offsets run backwards").figures(format_args!(">= {begin}"), end))?;
        let stop = end
            .checked_add(header_length)
            .ok_or_else(|| Error::corrupt("data_offsets overflow").figures("a sum below 2^64", end))?;
        if let Some(file_length) = file_length.filter(|&n| stop > n) {
            return Err(Error::truncated("the file ends before this tensor does").figures(stop, file_length));
        }
        match dtype.tensor_bytes(&shape) {
            Some(bytes) if bytes == length => {}
            Some(bytes) => {
                let shape = cut(format_args!("{shape:?}"));
                return Err(Error::corrupt(format!("{}{shape} does not fill its range", dtype.name()))
                    .figures(format_args!("{bytes} bytes"), length));
            }
            None => {
                let shape = cut(format_args!("{shape:?}"));
                let message = format!("{}{shape} is not a whole number of bytes, or too large", dtype.name());
                return Err(Error::corrupt(message).tensor(name));
            }
        }
        Ok(Region { name: String::new(), dtype, shape, offset: header_length + begin, length })
    }
}

/// The entries of the JSON object in its order, each with its tensor's name.
struct Entries<'a> {
    json: Json<'a>,
    names: HashSet<String>,
    first: bool,
}

impl<'a> Entries<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let mut json = Json::new("the header", text, PREFIX);
        json.begin_object()?;
        Ok(Self { json, names: HashSet::new(), first: true })
    }

    fn next(&mut self) -> Result<Option<(String, Entry)>> {
        let Self { json, names, first } = self;
        while let Some(name) = json.member(std::mem::take(first))? {
            if !names.insert(name.to_string()) {
                return Err(Error::corrupt("the header is not valid: the tensor appears twice").tensor(&name));
            }
            if name != "__metadata__" {
                let entry = Entry::read(json).map_err(|e| e.tensor(&name))?;
                return Ok(Some((name.into_owned(), entry)));
            }
            // Its values should be strings; there are trainers that write numbers, and loaders that
            // take them. Nothing of it is kept, since the bytes of the header are.
            json.skip_object()?;
        }
        json.end()?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::io::Incremental;
    use crate::layout::header::HeaderReader;

    fn file(json: &str, data: usize) -> Vec<u8> {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Layout> {
        let mut reader = HeaderReader::new(bytes.len() as u64, parser);
        while let Some(range) = reader.wants() {
            reader.feed(&bytes[range.start as usize..range.end as usize])?;
        }
        Ok(reader.finish().0)
    }

    fn fails(json: &str, data: usize) -> Error {
        read(&file(json, data)).expect_err(json)
    }

    #[test]
    fn reads_regions_in_file_order_with_holes() {
        let json = r#"{"b":{"dtype":"F32","shape":[],"data_offsets":[6,10]},"__metadata__":{"format":"pt"},
            "a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},"e":{"dtype":"F64","shape":[0],"data_offsets":[4,4]}}"#;
        let layout = read(&file(json, 12)).unwrap();
        let names: Vec<_> = layout.regions.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["a", "e", "b"]);
        let start = layout.header_length;
        assert_eq!(layout.holes().first(), Some(&(start + 4..start + 6)));
        assert_eq!((layout.data_end(), layout.file_length), (start + 10, start + 12));
    }

    #[test]
    fn metadata_may_hold_numbers() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for value in ["3", "null", r#"{"a":[1.5,true]}"#, &deep] {
            let json =
                format!(r#"{{"__metadata__":{{"n":{value}}},"w":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
            assert_eq!(read(&file(&json, 1)).unwrap().regions.len(), 1);
        }
    }

    #[test]
    fn a_long_header_takes_two_reads() {
        let json = format!(r#"{{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#, "x".repeat(100_000));
        assert_eq!(read(&file(&json, 1)).unwrap().regions[0].name.len(), 100_000);
    }

    #[test]
    fn refuses_every_prefix() {
        let bytes = file(r#"{"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}"#, 4);
        for length in 0..bytes.len() {
            read(&bytes[..length]).expect_err("a prefix");
        }
    }

    #[test]
    fn refuses_contradictions_by_name() {
        let one = |entry: &str| format!(r#"{{"t":{entry}}}"#);
        let cases = [
            (one(r#"{"dtype":"BF16","shape":[2],"data_offsets":[4,0]}"#), ErrorKind::Corrupt, "backwards"),
            (one(r#"{"dtype":"BF16","shape":[3],"data_offsets":[0,4]}"#), ErrorKind::Corrupt, "does not fill"),
            (one(r#"{"dtype":"F4","shape":[3],"data_offsets":[0,1]}"#), ErrorKind::Corrupt, "whole number"),
            (one(r#"{"dtype":"Q9","shape":[4],"data_offsets":[0,4]}"#), ErrorKind::Unsupported, "Q9"),
            (one(r#"{"dtype":"U8","shape":[9],"data_offsets":[0,9]}"#), ErrorKind::Truncated, "ends before"),
            (
                one(r#"{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}"#),
                ErrorKind::Corrupt,
                "overflow",
            ),
            (one(r#"{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}"#), ErrorKind::Corrupt, "not valid"),
            (one(r#"{"dtype":"U8","data_offsets":[0,1]}"#), ErrorKind::Corrupt, "shape"),
            (r#"{"__metadata__":[1]}"#.into(), ErrorKind::Corrupt, "not valid"),
            (r#"{"__metadata__":{"a":}}"#.into(), ErrorKind::Corrupt, "not valid"),
            (format!("{}1{}", r#"{"t":"#.repeat(500), "}".repeat(500)), ErrorKind::Corrupt, "not valid"),
        ];
        for (json, kind, word) in cases {
            let error = fails(&json, 4);
            assert_eq!(error.kind(), kind, "{json}: {error}");
            assert!(error.to_string().contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn refuses_duplicates_and_overlap() {
        let entry = r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#;
        assert!(fails(&format!(r#"{{"a":{entry},"a":{entry}}}"#), 4).to_string().contains("twice"));
        assert!(fails(&format!(r#"{{"a":{entry},"b":{entry}}}"#), 4).to_string().contains("overlaps"));
    }

    #[test]
    fn refuses_files_that_are_not_models() {
        for (bytes, word) in [
            (&b"<!DOCTYPE html><html>"[..], "HTML"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
            (b"", "not a safetensors"),
            (b"\x02\0\0\0\0\0\0\0[]", "JSON object"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff{", "header length"),
        ] {
            let error = read(bytes).expect_err(word);
            assert_eq!(error.kind(), ErrorKind::Format, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        let mut latin = file("{\"t\":1}", 0);
        latin[10] = 0xff;
        assert_eq!(read(&latin).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
