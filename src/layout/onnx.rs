//! The ONNX layout: a protocol buffer whose graph's initializers hold tensors as raw bytes.
//!
//! Format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Nothing marks such a file, so whatever does not
//! parse is a file of bytes and no error. Only headers of fields are read: what is in a tensor, or belongs to other parts
//! of the model, is stepped over. Weights in typed fields (`float_data`), in subgraphs or in other files stay bytes.

use std::collections::HashSet;
use std::ops::Range;

use super::{Dtype, Kind, Layout, Region};
use crate::io::Wanted;

/// Bytes read at a time.
const STEP: u64 = 16 * 1024;

/// More regions than archives may have items are of no use.
const MAX_REGIONS: usize = 100_000;

/// Fields by their numbers: of `ModelProto`, `GraphProto` and `TensorProto`.
const IR_VERSION: u64 = 1;
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const DIMS: u64 = 1;
const DATA_TYPE: u64 = 2;
const NAME: u64 = 8;
const RAW_DATA: u64 = 9;

/// Longest name and longest list of packed extents that are looked at.
const LONGEST: u64 = 1024;

/// Whether a file may begin so: `ir_version` comes first, and is small.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=64, next, ..] if next & 7 == 2 || next & 7 == 0)
}

/// Why parsing ends early: the file is no ONNX model.
#[derive(Debug)]
struct NotOnnx;

/// Where a message is that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Tensor,
}

/// A tensor as far as it is read.
#[derive(Debug, Default)]
struct Tensor {
    name: String,
    kind: u64,
    shape: Vec<u64>,
    raw: Option<Range<u64>>,
}

/// Walks a file of known length.
#[derive(Debug)]
pub(crate) struct Walker {
    file_length: u64,
    /// Messages that are open, and their ends.
    open: Vec<(Message, u64)>,
    /// Of the next field.
    at: u64,
    wants: Option<Wanted>,
    tensor: Tensor,
    regions: Vec<Region>,
    names: HashSet<String>,
}

impl Walker {
    pub(crate) fn new(file_length: u64) -> Self {
        Self {
            file_length,
            open: vec![(Message::Model, file_length)],
            at: 0,
            wants: Some(0..file_length.min(STEP)),
            tensor: Tensor::default(),
            regions: Vec::new(),
            names: HashSet::new(),
        }
    }

    pub(crate) fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes the bytes of the range that it wants, or more of them.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let start = self.wants.as_ref().map_or(0, |range| range.start);
        if self.walk(start, bytes).is_err() {
            self.open.clear();
            self.regions.clear();
        }
        let next = self.at..(self.at + STEP).min(self.file_length);
        self.wants = (!self.open.is_empty()).then_some(next);
    }

    /// The layout, if the file is an ONNX model with tensors in it.
    pub(crate) fn finish(self) -> Option<Layout> {
        let kind = Kind::Places;
        let regions = self.regions;
        (!regions.is_empty()).then_some(Layout { kind, file_length: self.file_length, header_length: 0, regions })
    }

    /// Reads fields as long as `bytes`, which begin at `start`, hold their headers.
    fn walk(&mut self, start: u64, bytes: &[u8]) -> Result<(), NotOnnx> {
        while let Some(&(message, end)) = self.open.last() {
            if self.at == end {
                self.close(message);
                continue;
            }
            let rest = usize::try_from(self.at - start).ok().and_then(|skip| bytes.get(skip..)).unwrap_or_default();
            let left = end - self.at;
            match Field::read(rest, left)? {
                Some(field) => {
                    if !self.field(message, &field, rest)? {
                        return Ok(());
                    }
                }
                // A header that does not end within the bytes there are, though a whole step of them is there.
                None if rest.len() as u64 >= left.min(STEP) => return Err(NotOnnx),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads a field or steps into it; `false` if it does not end within the bytes there are, and has to come again.
    fn field(&mut self, message: Message, field: &Field, rest: &[u8]) -> Result<bool, NotOnnx> {
        let body = self.at + field.header;
        match (message, field.number, field.is_message) {
            (Message::Model, GRAPH, true) => self.enter(Message::Graph, body, field),
            (Message::Graph, INITIALIZER, true) => self.enter(Message::Tensor, body, field),
            (Message::Tensor, RAW_DATA, true) => {
                self.tensor.raw = Some(body..body + field.length);
                self.at = body + field.length;
            }
            (Message::Tensor, DIMS | DATA_TYPE | NAME, _) if field.length <= LONGEST => {
                let bytes = rest.get(field.header as usize..(field.header + field.length) as usize);
                let Some(bytes) = bytes else { return Ok(false) };
                self.tensor.take(field, bytes)?;
                self.at = body + field.length;
            }
            (Message::Model, IR_VERSION, true) => return Err(NotOnnx),
            _ => self.at = body + field.length,
        }
        Ok(true)
    }

    fn enter(&mut self, message: Message, body: u64, field: &Field) {
        self.open.push((message, body + field.length));
        self.at = body;
        self.tensor = Tensor::default();
    }

    fn close(&mut self, message: Message) {
        self.open.pop();
        if message == Message::Tensor
            && self.regions.len() < MAX_REGIONS
            && let Some(region) = std::mem::take(&mut self.tensor).region()
            && self.names.insert(region.name.clone())
        {
            self.regions.push(region);
        }
    }
}

impl Tensor {
    fn take(&mut self, field: &Field, bytes: &[u8]) -> Result<(), NotOnnx> {
        match (field.number, field.is_message) {
            (NAME, true) => self.name = String::from_utf8(bytes.to_vec()).map_err(|_| NotOnnx)?,
            (DATA_TYPE, false) => self.kind = field.value,
            (DIMS, false) => self.shape.push(field.value),
            (DIMS, true) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (extent, length) = varint(rest)?.ok_or(NotOnnx)?;
                    self.shape.push(extent);
                    rest = &rest[length..];
                }
            }
            _ => {}
        }
        // No tensor has so many; a forged file would.
        if self.shape.len() > 64 { Err(NotOnnx) } else { Ok(()) }
    }

    fn region(self) -> Option<Region> {
        let raw = self.raw.filter(|raw| !raw.is_empty() && !self.name.is_empty())?;
        let length = raw.end - raw.start;
        let typed = dtype(self.kind).filter(|dtype| dtype.tensor_bytes(&self.shape) == Some(length));
        let (dtype, shape) = typed.map_or((Dtype::U8, vec![length]), |dtype| (dtype, self.shape));
        Some(Region { name: self.name, dtype, shape, offset: raw.start, length })
    }
}

/// A field's header, and its value if it is a number.
struct Field {
    number: u64,
    /// It is a message, a string or bytes.
    is_message: bool,
    /// Bytes of the header; of a number, all of it.
    header: u64,
    /// Bytes behind the header.
    length: u64,
    value: u64,
}

impl Field {
    /// The field that `bytes` begin with, of a message that goes on for `left`; `None` if its header is not all there.
    fn read(bytes: &[u8], left: u64) -> Result<Option<Self>, NotOnnx> {
        let Some((tag, tag_length)) = varint(bytes)? else { return Ok(None) };
        let (number, wire) = (tag >> 3, tag & 7);
        let (value, value_length) = match wire {
            0 | 2 => match varint(&bytes[tag_length..])? {
                Some(found) => found,
                None => return Ok(None),
            },
            1 => (0, 8),
            5 => (0, 4),
            _ => return Err(NotOnnx),
        };
        let header = (tag_length + value_length) as u64;
        let length = if wire == 2 { value } else { 0 };
        let fits = header.checked_add(length).is_some_and(|all| all <= left);
        if number == 0 || !fits {
            return Err(NotOnnx);
        }
        Ok(Some(Self { number, is_message: wire == 2, header, length, value }))
    }
}

/// A number of 7 bits per byte, and its length; `None` if it goes on behind `bytes`.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, NotOnnx> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() < 10 { Ok(None) } else { Err(NotOnnx) }
}

/// The dtype of a `TensorProto.DataType`; none of those that are packed more tightly than bytes.
fn dtype(kind: u64) -> Option<Dtype> {
    Some(match kind {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        4 => Dtype::U16,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        9 => Dtype::BOOL,
        10 => Dtype::F16,
        11 => Dtype::F64,
        12 => Dtype::U32,
        13 => Dtype::U64,
        14 => Dtype::C64,
        16 => Dtype::BF16,
        17 => Dtype::F8_E4M3,
        18 => Dtype::F8_E4M3FNUZ,
        19 => Dtype::F8_E5M2,
        20 => Dtype::F8_E5M2FNUZ,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = body.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(body);
        bytes
    }

    fn tensor(name: &str, kind: u8, dims: &[u8], raw: &[u8]) -> Vec<u8> {
        let dims = dims.iter().flat_map(|&dim| [0x08, dim]);
        [dims.collect(), vec![0x10, kind], field(8, name.as_bytes()), field(9, raw)].concat()
    }

    fn model(tensors: &[Vec<u8>]) -> Vec<u8> {
        let graph =
            [vec![field(1, &[0x0A, 1, b'x'])], tensors.iter().map(|tensor| field(5, tensor)).collect()].concat();
        [vec![0x08, 9], field(2, b"pytorch"), field(7, &graph.concat())].concat()
    }

    fn walk(bytes: &[u8], step: usize) -> Option<Layout> {
        let mut walker = Walker::new(bytes.len() as u64);
        while let Some(wanted) = walker.wants() {
            // As if reads were short: what does not fit comes again.
            let end = (wanted.start as usize + step).min(wanted.end as usize);
            walker.feed(&bytes[wanted.start as usize..end]);
        }
        walker.finish()
    }

    #[test]
    fn initializers_are_regions_and_the_rest_is_stepped_over() {
        let big = vec![7; 40_000];
        let tensors = [
            tensor("w", 16, &[2, 3], &[1; 12]),
            tensor("packed", 22, &[5], &[2; 3]),
            tensor("big", 2, &[], &big),
            tensor("w", 16, &[1], &[3; 2]),
        ];
        let bytes = model(&tensors);
        let layout = walk(&bytes, STEP as usize).unwrap();
        let found: Vec<_> =
            layout.regions.iter().map(|r| (r.name.as_str(), r.dtype, r.shape.clone(), r.length)).collect();
        let want = [
            ("w", Dtype::BF16, vec![2, 3], 12),
            ("packed", Dtype::U8, vec![3], 3),
            ("big", Dtype::U8, vec![40_000], 40_000),
        ];
        assert_eq!(found, want);
        let w = layout.regions[0].range();
        assert_eq!(bytes[w.start as usize..w.end as usize], [1; 12]);
        assert_eq!(layout.kind, Kind::Places);
    }

    #[test]
    fn what_does_not_parse_is_no_error() {
        let bytes = model(&[tensor("w", 1, &[2], &[0; 8])]);
        for end in 0..bytes.len() {
            assert!(walk(&bytes[..end], STEP as usize).is_none(), "{end}");
        }
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << bit;
                if let Some(layout) = walk(&flipped, STEP as usize) {
                    assert!(layout.regions.iter().all(|r| r.offset + r.length <= layout.file_length));
                }
            }
        }
        assert!(may_begin(&bytes) && !may_begin(b"GGUF") && !may_begin(b"\x08"));
    }
}
