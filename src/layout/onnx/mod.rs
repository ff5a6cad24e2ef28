//! The ONNX layout: a protocol buffer that holds weights as *initializers* of its graph, and as
//! attributes of nodes such as `Constant`, in subgraphs (the branches of `If`, the body of `Loop`)
//! and in functions as well.
//!
//! Format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Such a file has no magic, so a
//! file that does not parse is not an error but a file of bytes. Only the headers of fields are
//! read: the data of tensors and the other parts of the model are skipped. Data is raw bytes or a
//! typed field: `float_data` and `double_data` hold their elements as files do, and the other
//! typed fields hold numbers of 7 bits per byte, which are regions of bytes. Large models keep
//! their weights in other files, as *external data*; a [`Graph`] gives the layouts of those files.

mod external;
mod field;
mod message;
mod tensor;

pub(crate) use external::{External, Graph};

use std::collections::HashSet;

use super::{Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use crate::steps;
use field::{Field, NotOnnx};
use message::{Message, Open, region_name};
use tensor::Tensor;

/// Bytes per read of a model with its weights, where tensors lie between the headers.
const STEP: u64 = 16 * 1024;

/// Bytes per read of a graph without its weights. Most graphs are shorter, and each read may be a
/// request.
const GRAPH_STEP: u64 = 4 << 20;

/// Maximum number of tensors; those beyond it are ignored. An archive could not hold them as items.
const MAX_REGIONS: usize = 100_000;

/// Minimum length in bytes of a region that is not an initializer of the model's graph. Most
/// constants are a few numbers, which are cheaper beside their nodes than as regions.
const LEAST: u64 = 256;

/// Maximum depth of nested messages: a subgraph is three levels below its graph. Deeper messages
/// are skipped.
const MAX_DEPTH: usize = 64;

/// Number of the field `ir_version` of `ModelProto`.
const IR_VERSION: u64 = 1;

/// Maximum length in bytes of the small fields of a message (a name, a location, packed extents);
/// longer ones are skipped.
const LONGEST: u64 = 1024;

/// Tells whether `head` can be the start of an ONNX model: its first field is a small `ir_version`.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=64, next, ..] if next & 7 == 2 || next & 7 == 0)
}

/// Walks through the fields of a file of known length.
#[derive(Debug)]
pub(crate) struct Walker {
    file_length: u64,
    step: u64,
    /// The open messages, outermost first.
    open: Vec<Open>,
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
            open: vec![Open::new(Message::Model, file_length, &[])],
            at: 0,
            wants: Some(0..file_length.min(step)),
            tensor: Tensor::default(),
            regions: Vec::new(),
            names: HashSet::new(),
            externals: Vec::new(),
        }
    }

    pub(crate) fn file_length(&self) -> u64 {
        self.file_length
    }

    /// The external data that the file describes; empty if it is not an ONNX model.
    pub(crate) fn graph(self) -> Graph {
        Graph::new(self.externals)
    }

    /// Reads fields for as long as `bytes`, which begin at offset `start`, hold their headers. The
    /// rest of a node that does not parse is skipped: nothing depends on it.
    fn walk(&mut self, start: u64, bytes: &[u8]) -> Result<(), NotOnnx> {
        loop {
            steps::add(1);
            match self.advance(start, bytes) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(NotOnnx) => self.leave_node()?,
            }
        }
    }

    /// Closes a message or reads a field. Returns `false` if there is no more, or if `bytes` does
    /// not hold all that has to be read.
    fn advance(&mut self, start: u64, bytes: &[u8]) -> Result<bool, NotOnnx> {
        let Some(&Open { message, end, .. }) = self.open.last() else { return Ok(false) };
        if self.at == end {
            self.close(message);
            return Ok(true);
        }
        let rest = usize::try_from(self.at - start).ok().and_then(|skip| bytes.get(skip..)).unwrap_or_default();
        let left = end - self.at;
        match Field::read(rest, left)? {
            Some(field) => self.field(message, &field, rest),
            // A whole step of bytes is at hand, and the header does not end within it.
            None if rest.len() as u64 >= left.min(STEP) => Err(NotOnnx),
            None => Ok(false),
        }
    }

    /// Goes to the end of the innermost node.
    fn leave_node(&mut self) -> Result<(), NotOnnx> {
        let node = self.open.iter().rposition(|open| open.message == Message::Node).ok_or(NotOnnx)?;
        self.at = self.open[node].end;
        self.open.truncate(node);
        Ok(())
    }

    /// Reads a field, enters it or skips it. Returns `false` if `rest` does not hold all of a field
    /// that has to be read: it is then wanted again.
    fn field(&mut self, message: Message, field: &Field, rest: &[u8]) -> Result<bool, NotOnnx> {
        let (body, end) = (self.at + field.header, self.at + field.header + field.length);
        if message == Message::Model && field.number == IR_VERSION && field.is_message {
            return Err(NotOnnx);
        }
        match message.child(field.number).filter(|_| field.is_message && self.open.len() < MAX_DEPTH) {
            Some(child) => {
                self.open.push(Open::new(child, end, &self.open));
                self.at = body;
                self.tensor = Tensor::default();
                return Ok(true);
            }
            None if message == Message::Tensor && field.is_message && tensor::is_data(field.number) => {
                self.tensor.take_data(field.number, body..end);
            }
            None if field.length <= LONGEST && self.is_small_part(message, field) => {
                let bytes = rest.get(field.header as usize..(field.header + field.length) as usize);
                let Some(bytes) = bytes else { return Ok(false) };
                self.take(message, field, bytes)?;
            }
            None => {}
        }
        self.at = end;
        Ok(true)
    }

    /// Tells whether a field is one of the small fields that are read.
    fn is_small_part(&self, message: Message, field: &Field) -> bool {
        let unnamed = self.open.last().is_some_and(|open| open.label.as_deref() == Some(""));
        (message == Message::Tensor && tensor::is_part(field.number))
            || (field.is_message && message.is_label(field.number) && unnamed)
    }

    /// Takes a small field whose content is `bytes`.
    fn take(&mut self, message: Message, field: &Field, bytes: &[u8]) -> Result<(), NotOnnx> {
        if message == Message::Tensor {
            return self.tensor.take(field, bytes);
        }
        if let Some(open) = self.open.last_mut() {
            open.label = Some(String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(())
    }

    fn close(&mut self, message: Message) {
        self.open.pop();
        if message != Message::Tensor || self.regions.len() + self.externals.len() >= MAX_REGIONS {
            return;
        }
        let mut tensor = std::mem::take(&mut self.tensor);
        let is_initializer = self.open.len() == 2 && self.open[1].message == Message::Graph;
        tensor.rename(|own| region_name(&self.open, own));
        if tensor.is_external() {
            self.externals.push(tensor.external());
        } else if let Some(region) = tensor.region().filter(|region| is_initializer || region.length >= LEAST)
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
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
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
        (!regions.is_empty()).then_some(Layout {
            kind,
            file_length: self.file_length,
            header_length: 0,
            regions,
            ..Layout::default()
        })
    }
}

#[cfg(test)]
mod tests;
