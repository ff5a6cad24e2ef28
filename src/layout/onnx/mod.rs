//! The ONNX layout: a protocol buffer whose graph holds its weights as *initializers*, tensors of
//! raw bytes.
//!
//! Format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Such a file has no magic, so a
//! file that does not parse is not an error but a file of bytes. Only the headers of fields are
//! read: the data of tensors and the other parts of the model are skipped. Weights in typed fields
//! (`float_data`) or in subgraphs stay bytes. Large models keep their weights in other files, as
//! *external data*; a [`Graph`] gives the layouts of those files.

mod external;
mod field;
mod tensor;

pub(crate) use external::Graph;

use std::collections::HashSet;

use super::{Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use external::External;
use field::{Field, NotOnnx};
use tensor::{DATA_LOCATION, DATA_TYPE, DIMS, EXTERNAL_DATA, NAME, RAW_DATA, Tensor};

/// Bytes per read of a model with its weights, where tensors lie between the headers.
const STEP: u64 = 16 * 1024;

/// Bytes per read of a graph without its weights. Most graphs are shorter, and each read may be a
/// request.
const GRAPH_STEP: u64 = 4 << 20;

/// Maximum number of tensors; those beyond it are ignored. An archive could not hold them as items.
const MAX_REGIONS: usize = 100_000;

/// Numbers of the fields of `ModelProto` (`ir_version`, `graph`) and `GraphProto` (`initializer`).
const IR_VERSION: u64 = 1;
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;

/// Maximum length in bytes of a tensor's small fields (its name, its location, packed extents);
/// longer ones are skipped.
const LONGEST: u64 = 1024;

/// Tells whether `head` can be the start of an ONNX model: its first field is a small `ir_version`.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=64, next, ..] if next & 7 == 2 || next & 7 == 0)
}

/// The kinds of message that the walker enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Tensor,
}

/// Walks through the fields of a file of known length.
#[derive(Debug)]
pub(crate) struct Walker {
    file_length: u64,
    step: u64,
    /// The open messages, outermost first, and the offsets of their ends.
    open: Vec<(Message, u64)>,
    /// Offset of the next field.
    at: u64,
    wants: Option<Wanted>,
    tensor: Tensor,
    regions: Vec<Region>,
    names: HashSet<String>,
    externals: Vec<External>,
}

impl Walker {
    /// Creates a walker for a file that may be a model with its weights.
    pub(crate) fn of_model(file_length: u64) -> Self {
        Self::new(file_length, STEP)
    }

    /// Creates a walker for a graph whose weights lie in other files.
    pub(crate) fn of_graph(file_length: u64) -> Self {
        Self::new(file_length, GRAPH_STEP)
    }

    fn new(file_length: u64, step: u64) -> Self {
        Self {
            file_length,
            step,
            open: vec![(Message::Model, file_length)],
            at: 0,
            wants: Some(0..file_length.min(step)),
            tensor: Tensor::default(),
            regions: Vec::new(),
            names: HashSet::new(),
            externals: Vec::new(),
        }
    }

    /// The external data that the file describes; empty if it is not an ONNX model.
    pub(crate) fn graph(self) -> Graph {
        Graph::new(self.externals)
    }

    /// Reads fields for as long as `bytes`, which begin at offset `start`, hold their headers.
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
                // A whole step of bytes is at hand, and the header does not end within it.
                None if rest.len() as u64 >= left.min(STEP) => return Err(NotOnnx),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads a field, enters it or skips it. Returns `false` if `rest` does not hold all of a field
    /// that has to be read: it is then wanted again.
    fn field(&mut self, message: Message, field: &Field, rest: &[u8]) -> Result<bool, NotOnnx> {
        let body = self.at + field.header;
        match (message, field.number, field.is_message) {
            (Message::Model, GRAPH, true) => self.enter(Message::Graph, body, field),
            (Message::Graph, INITIALIZER, true) => self.enter(Message::Tensor, body, field),
            (Message::Tensor, RAW_DATA, true) => {
                self.tensor.raw = Some(body..body + field.length);
                self.at = body + field.length;
            }
            (Message::Tensor, DIMS | DATA_TYPE | NAME | EXTERNAL_DATA | DATA_LOCATION, _)
                if field.length <= LONGEST =>
            {
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
        if message != Message::Tensor || self.regions.len() + self.externals.len() >= MAX_REGIONS {
            return;
        }
        let tensor = std::mem::take(&mut self.tensor);
        if tensor.is_external() {
            self.externals.push(tensor.external());
        } else if let Some(region) = tensor.region()
            && self.names.insert(region.name.clone())
        {
            self.regions.push(region);
        }
    }
}

impl Incremental for Walker {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes bytes that begin where the wanted range begins. There may be fewer or more of them
    /// than wanted: a field that they do not hold in full is wanted again. It never fails: a file
    /// that does not parse is not an ONNX model.
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.wants.as_ref().map_or(0, |range| range.start);
        if self.walk(start, bytes).is_err() {
            self.open.clear();
            self.regions.clear();
            self.externals.clear();
        }
        let next = self.at..(self.at + self.step).min(self.file_length);
        self.wants = (!self.open.is_empty()).then_some(next);
        Ok(())
    }
}

impl Walker {
    /// The layout, if the file is an ONNX model that holds tensors.
    pub(crate) fn finish(self) -> Option<Layout> {
        let kind = Kind::Places;
        let regions = self.regions;
        (!regions.is_empty()).then_some(Layout { kind, file_length: self.file_length, header_length: 0, regions })
    }
}

#[cfg(test)]
mod tests;
