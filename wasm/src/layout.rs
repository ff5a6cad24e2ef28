//! The layouts of models, for callers that read their bytes themselves. Only the compressing builds
//! have them: restoring needs few of the core's parsers.

use bitx::Merge;
use bitx::folder::{Graphs, Models, archive_paths, check_paths, counterpart};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use bitx::io::{Read, Source};
use bitx::layout::{ModelReader, Region};

use crate::convert::{self, ReadView, thrown, value};

/// A reader of a model's layout, or of those of a folder's files one after the other, and then of
/// the graphs among them. Its host reads the ranges that it asks for.
#[wasm_bindgen]
pub struct Layout {
    reader: ModelReader,
    /// The paths and the layouts of the files before.
    files: Vec<(String, bitx::layout::Layout)>,
    /// The number of the base's files, and the graphs, once the layouts of all files are known.
    graphs: Option<(usize, Graphs)>,
}

#[wasm_bindgen]
impl Layout {
    /// Creates a reader of a model of `length` bytes.
    pub fn open(length: f64) -> Result<Layout, JsValue> {
        Ok(Self { reader: ModelReader::new(convert::length(length)?), files: Vec::new(), graphs: None })
    }

    /// The range to read and pass to `feed` next, or `undefined` once the layout is known.
    pub fn wants(&self) -> Result<JsValue, JsValue> {
        let read = |range: std::ops::Range<u64>| Read {
            source: Source::Target,
            offset: range.start,
            length: range.end - range.start,
        };
        let wanted = self.graphs.as_ref().map_or_else(|| self.reader.wants(), |(_, graphs)| graphs.wants());
        wanted.map_or(Ok(JsValue::UNDEFINED), |range| value(&ReadView::from(read(range))))
    }

    /// Takes the bytes of the range that `wants` returned.
    pub fn take(&mut self, bytes: &js_sys::Uint8Array) -> Result<(), JsValue> {
        match &mut self.graphs {
            Some((_, graphs)) => {
                graphs.feed(&bytes.to_vec());
                Ok(())
            }
            None => self.reader.feed(&bytes.to_vec()).map_err(thrown),
        }
    }

    /// Returns `false`: `take` leaves nothing to go on with.
    pub fn advance(&self) -> bool {
        false
    }

    /// Frees the reader and returns the tensors of the model in the order of their places. A file
    /// of no known kind is one tensor without a name; a file that breaks the rules of its kind is
    /// refused, since it has none.
    pub fn tensors(self) -> Result<JsValue, JsValue> {
        let layout = self.reader.finish().map_err(thrown)?;
        if let Some(fault) = layout.fault {
            return Err(thrown(fault));
        }
        value(&layout.regions.into_iter().map(RegionView::from).collect::<Vec<_>>())
    }

    /// Keeps the layout of the file at `path`, and goes on with a file of `length` bytes.
    pub fn next(&mut self, path: String, length: f64) -> Result<(), JsValue> {
        let next = ModelReader::new(convert::length(length)?);
        let layout = std::mem::replace(&mut self.reader, next).finish().map_err(thrown)?;
        self.files.push((path, layout));
        Ok(())
    }

    /// Ends the layouts of a folder's files, of which the first `bases` are the base's. Returns the
    /// numbers of the files to read as graphs.
    #[wasm_bindgen(js_name = graphsOf)]
    pub fn graphs_of(&mut self, bases: usize) -> Result<JsValue, JsValue> {
        let paths: Vec<&str> = self.files.iter().map(|(path, _)| path.as_str()).collect();
        let graphs = Graphs::new(&paths, bases);
        let candidates = graphs.candidates();
        self.graphs = Some((bases, graphs));
        value(&candidates)
    }

    /// Goes on with a graph, the file with this number and `length` bytes.
    #[wasm_bindgen(js_name = openGraph)]
    pub fn open_graph(&mut self, file: usize, length: f64) -> Result<(), JsValue> {
        let length = convert::length(length)?;
        self.graphs.iter_mut().for_each(|(_, graphs)| graphs.open(file, length));
        Ok(())
    }

    /// Tells whether a file has the tensors of an adapter.
    #[wasm_bindgen(js_name = isAdapter)]
    pub fn is_adapter(&self, file: usize) -> bool {
        self.files.get(file).is_some_and(|(_, layout)| Merge::is_adapter(layout))
    }

    /// Tells whether the adapter in a file can be merged, given its configuration.
    #[wasm_bindgen(js_name = canMerge)]
    pub fn can_merge(&self, file: usize, config: &js_sys::Uint8Array) -> bool {
        self.files.get(file).is_some_and(|(_, layout)| Merge::check(&config.to_vec(), layout).is_ok())
    }

    /// Frees the reader and plans the compression of a folder.
    pub fn plan(self) -> Result<JsValue, JsValue> {
        let Some((bases, graphs)) = self.graphs else { return Err(convert::misuse("the layouts have not ended")) };
        let paths: Vec<&str> = self.files.iter().map(|(path, _)| path.as_str()).collect();
        let (base, targets) = paths.split_at(bases.min(paths.len()));
        check_paths(targets.iter().copied()).map_err(thrown)?;
        let models = Models::new(self.files[..base.len()].iter().map(|(_, layout)| layout.clone()));
        let serve = |(path, layout): &(String, bitx::layout::Layout)| models.serving(layout, counterpart(base, path));
        let serving: Vec<Vec<usize>> = self.files[base.len()..].iter().map(serve).collect();
        let graphs = serving.iter().zip(base.len()..).map(|(serving, target)| graphs.of(&self.files, serving, target));
        value(&PlanView { archives: archive_paths(targets), graphs: graphs.collect(), serving })
    }
}

/// The way in which the files of a folder are compressed.
#[derive(Serialize)]
struct PlanView {
    /// The path of each file's archive.
    archives: Vec<String>,
    /// The numbers of the base files that each file is compressed against.
    serving: Vec<Vec<usize>>,
    /// The numbers of the files that are the graphs of each file's compression.
    graphs: Vec<Vec<usize>>,
}

#[derive(Serialize)]
struct RegionView {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    offset: u64,
    length: u64,
}

impl From<Region> for RegionView {
    fn from(Region { name, dtype, shape, offset, length }: Region) -> Self {
        Self { name, dtype: dtype.name(), shape, offset, length }
    }
}
