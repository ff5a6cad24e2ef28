//! The layout of models of TensorFlow Lite, which is called LiteRT today (`.tflite`): a FlatBuffer
//! of tensors, which name the buffers that hold their data.
//!
//! Schema: <https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs>.
//! Buffers lie within the FlatBuffer, or behind it in models that are too large for one. The scales
//! of a quantised tensor are a vector beside its description, and a region of their own. Archives
//! name regions by offset, so that the decoder parses nothing.

mod flatbuffer;
mod tensor;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::reader::FIRST_READ;
use super::{Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use flatbuffer::{File, Stop, Table, Vector, broken};
use tensor::{BUFFER, Tensor};

/// The ends of the names of a tensor's scales and of its zero point.
pub(crate) const SCALE: &str = ".quantization.scale";
pub(crate) const ZERO_POINT: &str = ".quantization.zero_point";

/// The identifier behind the first offset of a file.
const IDENTIFIER: &[u8] = b"TFL3";

/// Numbers of the fields of `Model`.
const SUBGRAPHS: usize = 2;
const BUFFERS: usize = 4;

/// Number of the field `tensors` of `SubGraph`.
const TENSORS: usize = 0;

/// Numbers of the fields of `Buffer`.
const DATA: usize = 0;
const OFFSET: usize = 1;
const SIZE: usize = 2;

/// Maximum number of buffers, and of tensors and graphs; those beyond it are ignored. Most tensors
/// have no data.
const MAX_BUFFERS: u64 = 1 << 18;
const MAX_TENSORS: usize = 1 << 18;

/// Maximum number of tensors that are regions. An archive could not hold more as items, with their
/// scales and zero points.
const MAX_REGIONS: usize = 32_768;

/// Minimum length in bytes of a region; shorter tensors are cheaper as part of the bytes between.
const LEAST: u64 = 256;

/// Tells whether `head` is the start of such a file.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    head.get(4..).is_some_and(|rest| rest.starts_with(IDENTIFIER))
}

/// The next table to read.
#[derive(Debug, Clone, Copy)]
enum Step {
    Model,
    Buffer(u64),
    Subgraph(u64),
    /// A tensor of a graph: the number of the graph, its tensors, and the number of the tensor.
    Tensor(u64, Vector, u64),
}

/// Walks through the tables of a file of known length.
#[derive(Debug)]
pub(crate) struct Walker {
    file: File,
    wants: Option<Wanted>,
    step: Option<Step>,
    subgraphs: Vector,
    buffers: Vector,
    /// The data of each buffer.
    data: Vec<Range<u64>>,
    /// Tensors and graphs that may still be read.
    left: usize,
    /// By their offsets.
    regions: BTreeMap<u64, Region>,
    companions: Vec<Region>,
    /// The offsets of tensors that are the scales of others, and their names as such.
    scales: Vec<(u64, String)>,
    names: HashSet<String>,
}

impl Walker {
    pub(crate) fn new(file_length: u64) -> Self {
        Self {
            file: File::new(file_length),
            wants: Some(0..file_length.min(FIRST_READ)),
            step: Some(Step::Model),
            subgraphs: Vector::default(),
            buffers: Vector::default(),
            data: Vec::new(),
            left: MAX_TENSORS,
            regions: BTreeMap::new(),
            companions: Vec::new(),
            scales: Vec::new(),
            names: HashSet::new(),
        }
    }

    /// The layout, if the model has tensors with data.
    pub(crate) fn finish(mut self) -> Option<Layout> {
        for (offset, name) in std::mem::take(&mut self.scales) {
            if let Some(region) = self.regions.get_mut(&offset)
                && self.names.insert(name.clone())
            {
                region.name = name;
            }
        }
        for companion in std::mem::take(&mut self.companions) {
            if self.is_free(&companion.range()) && self.names.insert(companion.name.clone()) {
                self.regions.insert(companion.offset, companion);
            }
        }
        let (kind, regions) = (Kind::Places, self.regions.into_values().collect::<Vec<_>>());
        let file_length = self.file.length;
        (!regions.is_empty()).then_some(Layout { kind, file_length, regions, ..Layout::default() })
    }

    /// Reads tables for as long as their bytes are at hand.
    fn walk(&mut self) -> Result<(), Stop> {
        while let Some(step) = self.step {
            self.step = self.next(step)?;
        }
        Ok(())
    }

    /// Reads a table, and returns the next one.
    fn next(&mut self, step: Step) -> Result<Option<Step>, Stop> {
        Ok(Some(match step {
            Step::Model => {
                let model = self.file.table(0)?;
                self.subgraphs = self.file.vector(&model, SUBGRAPHS, 4)?;
                self.buffers = self.file.vector(&model, BUFFERS, 4)?;
                Step::Buffer(0)
            }
            Step::Buffer(index) if index < self.buffers.count.min(MAX_BUFFERS) => {
                let data = self.buffer(index)?;
                self.data.push(data);
                Step::Buffer(index + 1)
            }
            Step::Buffer(_) => Step::Subgraph(0),
            Step::Subgraph(index) if index < self.subgraphs.count && self.left > 0 => {
                let subgraph = self.file.element(self.subgraphs, index)?;
                let tensors = self.file.vector(&subgraph, TENSORS, 4)?;
                self.left -= 1;
                Step::Tensor(index, tensors, 0)
            }
            Step::Subgraph(_) => return Ok(None),
            Step::Tensor(graph, tensors, index) if index < tensors.count && self.left > 0 => {
                self.tensor(tensors, index)?;
                self.left -= 1;
                Step::Tensor(graph, tensors, index + 1)
            }
            Step::Tensor(graph, ..) => Step::Subgraph(graph + 1),
        }))
    }

    /// The data of a buffer.
    fn buffer(&mut self, index: u64) -> Result<Range<u64>, Stop> {
        let table = self.file.element(self.buffers, index)?;
        let (offset, size) = (self.file.field::<8>(&table, OFFSET)?, self.file.field::<8>(&table, SIZE)?);
        // Smaller numbers are those of buffers within the FlatBuffer.
        if offset > 1 && size > 1 {
            let end = offset.checked_add(size).filter(|end| *end <= self.file.length);
            return end
                .map(|end| offset..end)
                .ok_or_else(|| broken("a buffer ends behind the end of the file", offset));
        }
        let data = self.file.vector(&table, DATA, 1)?;
        Ok(data.at..data.at + data.count)
    }

    /// Reads the tensor at `index`, unless its data is short or that of a tensor before it.
    fn tensor(&mut self, tensors: Vector, index: u64) -> Result<(), Stop> {
        let table = self.file.element(tensors, index)?;
        let (buffer, data) = self.data_of(&table)?;
        let length = data.end - data.start;
        if length < LEAST || self.regions.len() >= MAX_REGIONS {
            return Ok(());
        }
        if self.regions.get(&data.start).is_some_and(|region| region.length == length) {
            return Ok(());
        }
        let mut tensor = Tensor::read(&mut self.file, &table, length)?;
        if tensor.name.is_empty() || self.names.contains(&tensor.name) {
            tensor.name = format!("buffers.{buffer}");
        }
        let scales = match tensor.blocks().filter(|scales| *scales < tensors.count) {
            Some(scales) => {
                let scales = self.file.element(tensors, scales)?;
                Some(self.data_of(&scales)?.1.start)
            }
            None => None,
        };
        if !self.is_free(&data) {
            return Err(broken("two buffers overlap", data.start));
        }
        if !self.names.insert(tensor.name.clone()) {
            self.data[buffer as usize] = 0..0;
            return Ok(());
        }
        self.scales.extend(scales.map(|at| (at, [&tensor.name, SCALE].concat())));
        let (region, companions) = tensor.regions(data.start, length);
        self.regions.insert(region.offset, region);
        self.companions.extend(companions);
        Ok(())
    }

    /// The number of a tensor's buffer, and the data in it.
    fn data_of(&mut self, tensor: &Table) -> Result<(u64, Range<u64>), Stop> {
        let buffer = self.file.field::<4>(tensor, BUFFER)?;
        if buffer > 0 && buffer >= self.buffers.count {
            return Err(broken("a tensor has a buffer that there is not", tensor.at));
        }
        Ok((buffer, self.data.get(buffer as usize).cloned().unwrap_or_default()))
    }

    /// Returns true if no region has bytes of a range.
    fn is_free(&self, range: &Range<u64>) -> bool {
        let before = self.regions.range(..range.end).next_back();
        before.is_none_or(|(_, region)| region.range().end <= range.start)
    }
}

impl Incremental for Walker {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes the bytes of the wanted range.
    ///
    /// # Errors
    /// `Corrupt` for a file that breaks a rule of FlatBuffers or of the schema.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.wants.take().map_or(0, |wanted| wanted.start);
        self.file.put(start, bytes);
        match self.walk() {
            Ok(()) => Ok(()),
            Err(Stop::Needs(wanted)) => {
                self.wants = Some(wanted);
                Ok(())
            }
            Err(Stop::Broken(fault)) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests;
