//! Layouts of files: their tensor regions, and the bytes before, between and behind those.

pub(crate) mod dtype;
mod floats;
mod ggml;
mod gguf;
pub(crate) mod graph;
mod header;
mod inside;
mod model;
mod msgpack;
mod npy;
pub(crate) mod onnx;
pub(crate) mod reader;
pub(crate) mod safetensors;
pub(crate) mod sniff;
mod tar;
#[cfg(test)]
#[path = "../../tests/common/tar.rs"]
mod test_tar;
#[cfg(test)]
#[path = "../../tests/common/tflite.rs"]
mod test_tflite;
#[cfg(test)]
#[path = "../../tests/common/zip.rs"]
#[allow(dead_code)] // other tests use the rest
mod test_zip;
pub(crate) mod tflite;
mod torch;
mod zip;

pub use dtype::Dtype;
pub use model::ModelReader;

use std::ops::Range;

use crate::error::{Error, cut};

/// Maximum number of extents of a region. A tensor with more extents becomes a region of bytes.
pub(crate) const MAX_RANK: usize = 64;

/// The bytes of one tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The tensor's name, unique in its file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Region {
    /// Returns the region unchanged, or as bytes if it has more than [`MAX_RANK`] extents.
    pub(crate) fn of_bounded_rank(self) -> Self {
        if self.shape.len() <= MAX_RANK {
            return self;
        }
        Self { dtype: Dtype::U8, shape: vec![self.length], ..self }
    }

    /// The tensor's range of bytes in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }

    /// Dtype and shape in one short text, for messages: `BF16[384, 384]`.
    pub fn type_name(&self) -> String {
        cut(format_args!("{}{:?}", self.dtype.name(), self.shape))
    }
}

/// The kind of file that a layout was read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// A file of no known kind: one region of bytes.
    #[default]
    Bytes = 0,
    /// safetensors.
    Safetensors = 1,
    /// GGUF.
    Gguf = 2,
    /// A file whose regions archives name by offset (ONNX, TensorFlow Lite, PyTorch, zip, tar,
    /// floats of no known layout), so that finding them again needs no parser.
    Places = 3,
}

impl Kind {
    /// The kind that archives write as `number`, if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Bytes, Self::Safetensors, Self::Gguf, Self::Places].get(usize::from(number)).copied()
    }
}

/// A file as a header and regions: every byte belongs to the header, to one region, or to a hole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Kind of the file.
    pub kind: Kind,
    /// Length of the file in bytes.
    pub file_length: u64,
    /// Bytes before the data section.
    pub header_length: u64,
    /// Regions in file order; they do not overlap.
    pub regions: Vec<Region>,
    /// The rule that the file breaks, if it begins like a file of some kind but is kept as bytes, or
    /// as the floats in them.
    pub fault: Option<Error>,
    /// The file is of no known kind, and its regions are floats that were found in its bytes.
    pub is_guessed: bool,
}

impl Layout {
    /// A layout for tests, with these tensors, all at offset 0.
    #[cfg(test)]
    pub(crate) fn of_tensors(tensors: &[(&str, Dtype, &[u64])]) -> Self {
        let region = |&(name, dtype, shape): &(&str, Dtype, &[u64])| Region {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            offset: 0,
            length: dtype.tensor_bytes(shape).unwrap(),
        };
        Self { kind: Kind::Safetensors, regions: tensors.iter().map(region).collect(), ..Self::default() }
    }

    /// The layout of a file that consists of one unnamed tensor of `length` bytes.
    pub(crate) fn of_tensor(kind: Kind, dtype: Dtype, shape: &[u64], length: u64) -> Self {
        let region = Region { name: String::new(), dtype, shape: shape.to_vec(), offset: 0, length };
        let regions = if length > 0 { vec![region] } else { Vec::new() };
        Self { kind, file_length: length, header_length: 0, regions, ..Self::default() }
    }

    /// Returns true if nothing but the bytes tells what is in the file. Another file may describe
    /// it.
    pub fn is_opaque(&self) -> bool {
        self.kind == Kind::Bytes || self.is_guessed
    }

    /// End of the last region, or of the header if there are no regions; an offset in bytes.
    pub fn data_end(&self) -> u64 {
        self.regions.last().map_or(self.header_length, |r| r.offset + r.length)
    }

    /// The holes: ranges behind the header and before [`data_end`](Self::data_end) that no region
    /// covers.
    pub fn holes(&self) -> Vec<Range<u64>> {
        let starts = std::iter::once(self.header_length).chain(self.regions.iter().map(|r| r.offset + r.length));
        starts.zip(&self.regions).map(|(end, next)| end..next.offset).filter(|hole| !hole.is_empty()).collect()
    }
}

/// Checks that the regions of the file of these bytes follow each other within it, as long as their
/// types say and each under a name of its own.
#[cfg(test)]
fn assert_regular(layout: &Layout, bytes: &[u8]) {
    let mut end = 0;
    for region in &layout.regions {
        assert!(region.offset >= end && region.dtype.tensor_bytes(&region.shape) == Some(region.length));
        end = region.range().end;
    }
    let names: std::collections::HashSet<_> = layout.regions.iter().map(|region| &region.name).collect();
    assert!(end <= bytes.len() as u64 && names.len() == layout.regions.len());
}

/// Reads the layout of the file of these bytes, and holds every region to the file.
#[cfg(test)]
fn layout_of(bytes: &[u8]) -> Layout {
    use crate::io::Incremental;

    let mut reader = reader::LayoutReader::new(bytes.len() as u64, reader::Accept::Any);
    while let Some(range) = reader.wants() {
        reader.feed(&bytes[range.start as usize..range.end as usize]).unwrap();
    }
    let (layout, _) = reader.finish();
    assert_regular(&layout, bytes);
    layout
}

/// The names and types of all regions of the file of these bytes.
#[cfg(test)]
fn names_and_types(bytes: &[u8]) -> Vec<(String, String)> {
    layout_of(bytes).regions.iter().map(|region| (region.name.clone(), region.type_name())).collect()
}
