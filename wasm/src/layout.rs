//! The layouts of models, for callers that read their bytes themselves. Only the compressing builds
//! have them: restoring needs few of the core's parsers.

use bitx::folder::{Models, archive_paths, check_paths, counterpart};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use bitx::io::{Read, Source};
use bitx::layout::{ModelReader, Region};

use crate::convert::{self, ReadView, thrown, value};

/// A reader of a model's layout, or of those of a folder's files one after the other. Its host reads
/// the ranges that it asks for.
#[wasm_bindgen]
pub struct Layout {
    reader: ModelReader,
    /// The paths and the layouts of the files before.
    files: Vec<(String, bitx::layout::Layout)>,
}

#[wasm_bindgen]
impl Layout {
    /// Creates a reader of a model of `length` bytes.
    pub fn open(length: f64) -> Result<Layout, JsValue> {
        Ok(Self { reader: ModelReader::new(convert::length(length)?), files: Vec::new() })
    }

    /// The range to read and pass to `feed` next, or `undefined` once the layout is known.
    pub fn wants(&self) -> Result<JsValue, JsValue> {
        let read = |range: std::ops::Range<u64>| Read {
            source: Source::Target,
            offset: range.start,
            length: range.end - range.start,
        };
        self.reader.wants().map_or(Ok(JsValue::UNDEFINED), |range| value(&ReadView::from(read(range))))
    }

    /// Takes the bytes of the range that `wants` returned.
    pub fn take(&mut self, bytes: &js_sys::Uint8Array) -> Result<(), JsValue> {
        self.reader.feed(&bytes.to_vec()).map_err(thrown)
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

    /// Frees the reader and plans the compression of a folder. The first `bases` of the files are the
    /// base's, and the others the target's.
    pub fn plan(self, bases: usize) -> Result<JsValue, JsValue> {
        let (paths, mut layouts): (Vec<String>, Vec<_>) = self.files.into_iter().unzip();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let (base, targets) = paths.split_at(bases.min(paths.len()));
        check_paths(targets.iter().copied()).map_err(thrown)?;
        let models = Models::new(layouts.drain(..base.len()));
        let serve = |(path, layout)| models.serving(layout, counterpart(base, path));
        let serving = targets.iter().copied().zip(&layouts).map(serve).collect();
        value(&PlanView { archives: archive_paths(targets), serving })
    }
}

/// The way in which the files of a folder are compressed.
#[derive(Serialize)]
struct PlanView {
    /// The path of each file's archive.
    archives: Vec<String>,
    /// The numbers of the base files that each file is compressed against.
    serving: Vec<Vec<usize>>,
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
