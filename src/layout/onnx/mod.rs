//! The ONNX layout: a protocol buffer whose graph's initializers hold tensors as raw bytes.
//!
//! Format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Nothing marks such a file, so whatever does not
//! parse is a file of bytes and no error. Only headers of fields are read: what is in a tensor, or belongs to other parts
//! of the model, is stepped over. Weights in typed fields (`float_data`) or in subgraphs stay bytes. What is said of data in
//! other files makes the layout of those: [`Graph`].

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

/// Bytes read at a time, where tensors lie between what is wanted.
const STEP: u64 = 16 * 1024;

/// Bytes of a graph without its weights that are read at a time: most have fewer, and each read may be a request.
const GRAPH_STEP: u64 = 4 << 20;

/// More regions than archives may have items are of no use.
const MAX_REGIONS: usize = 100_000;

/// Fields by their numbers: of `ModelProto` and `GraphProto`.
const IR_VERSION: u64 = 1;
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;

/// Longest name, place and list of packed extents that are looked at.
const LONGEST: u64 = 1024;

/// Whether a file may begin so: `ir_version` comes first, and is small.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=64, next, ..] if next & 7 == 2 || next & 7 == 0)
}

/// Where a message is that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Tensor,
}

/// Walks a file of known length.
#[derive(Debug)]
pub(crate) struct Walker {
    file_length: u64,
    step: u64,
    /// Messages that are open, and their ends.
    open: Vec<(Message, u64)>,
    /// Of the next field.
    at: u64,
    wants: Option<Wanted>,
    tensor: Tensor,
    regions: Vec<Region>,
    names: HashSet<String>,
    externals: Vec<External>,
}

impl Walker {
    /// For a file that may be a model with its weights.
    pub(crate) fn of_model(file_length: u64) -> Self {
        Self::new(file_length, STEP)
    }

    /// For a graph whose weights lie elsewhere.
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

    /// What the file says of others; empty if it is no ONNX model.
    pub(crate) fn graph(self) -> Graph {
        Graph::new(self.externals)
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

    /// Takes bytes from where the wanted range begins: more than that, or fewer, for what is not all there comes again.
    /// It never fails: what does not parse is no ONNX model.
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
    /// The layout, if the file is an ONNX model with tensors in it.
    pub(crate) fn finish(self) -> Option<Layout> {
        let kind = Kind::Places;
        let regions = self.regions;
        (!regions.is_empty()).then_some(Layout { kind, file_length: self.file_length, header_length: 0, regions })
    }
}

#[cfg(test)]
mod tests;
