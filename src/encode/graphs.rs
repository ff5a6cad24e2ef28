//! The files that describe external data: `.onnx` graphs, and the JSON of shards.

use crate::error::{Error, Result};
use crate::io::{Incremental, Read, Source};
use crate::layout::Layout;
use crate::layout::graph::GraphReader;
use crate::layout::onnx::Graph;

/// The graph of the base and that of the target, or one graph for both; usually none.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    readers: Vec<GraphReader>,
    /// The names of the base files and then of the target, as far as they are known.
    names: Vec<String>,
}

impl Graphs {
    pub(super) fn new(lengths: &[u64], names: Vec<String>) -> Self {
        Self { readers: lengths.iter().map(|&length| GraphReader::new(length)).collect(), names }
    }

    pub(super) fn wants(&self) -> Option<Read> {
        let mut readers = self.readers.iter().enumerate();
        readers.find_map(|(i, reader)| Some(Read::new(Source::Graph(i), reader.wants()?)))
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let reader = self.readers.iter_mut().find(|reader| reader.wants().is_some());
        reader.map_or(Ok(()), |reader| reader.feed(bytes))
    }

    /// Gives files without a layout of their own the layout that their graph describes.
    pub(super) fn describe(self, bases: &mut [Layout], target: &mut Layout) -> Result<()> {
        let last = self.readers.len().saturating_sub(1);
        let mut graphs = self.readers.into_iter().map(GraphReader::graph);
        let Some(first) = graphs.next() else { return Ok(()) };
        let second = graphs.next();
        let (base_names, target_name) = self.names.split_at(self.names.len().min(bases.len()));
        let base = describe(&first, bases, base_names).map_err(|e| e.input(Source::Graph(0)));
        let target = describe(second.as_ref().unwrap_or(&first), std::slice::from_mut(target), target_name);
        let target = target.map_err(|e| e.input(Source::Graph(last)));
        match (base, target) {
            // A graph given for both sides may describe only one of them.
            (Ok(true), Err(_)) | (Err(_), Ok(true)) if last == 0 => Ok(()),
            (base, target) => base.and(target).map(drop),
        }
    }
}

/// Gives the files of one side their layouts. Returns `true` if the graph describes any of them.
fn describe(graph: &Graph, files: &mut [Layout], names: &[String]) -> Result<bool> {
    if graph.is_empty() {
        return Err(Error::format(
            "not an ONNX graph with external data, nor the JSON of shards of MLC or TensorFlow.js",
        ));
    }
    let opaque = |layout: &Layout| layout.is_opaque() && layout.file_length > 0;
    let count = files.iter().filter(|file| opaque(file)).count();
    let mut found = false;
    for (i, file) in files.iter_mut().enumerate().filter(|(_, file)| opaque(file)) {
        let named = names.get(i).and_then(|name| graph.named(name));
        let only = || graph.only().filter(|_| count == 1);
        if let Some(location) = named.or_else(only) {
            *file = graph.layout(location, file.file_length)?;
            found = true;
        }
    }
    if count > 0 && !found {
        return Err(Error::invalid_argument(
            "the graph's data lies in several files, and none of them has the name of this one",
        ));
    }
    Ok(found)
}
