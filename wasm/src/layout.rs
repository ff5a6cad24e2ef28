//! The layout of a model, for callers that read its bytes themselves. Only the compressing builds
//! have it: restoring needs few of the core's parsers.

use serde::Serialize;
use wasm_bindgen::prelude::*;

use bitx::io::{Read, Source};
use bitx::layout::{ModelReader, Region};

use crate::convert::{self, ReadView, thrown, value};

/// A reader of a model's layout. Its host reads the ranges that it asks for.
#[wasm_bindgen]
pub struct Layout {
    reader: ModelReader,
}

#[wasm_bindgen]
impl Layout {
    /// Creates a reader of a model of `length` bytes.
    pub fn open(length: f64) -> Result<Layout, JsValue> {
        Ok(Self { reader: ModelReader::new(convert::length(length)?) })
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
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.reader.feed(bytes).map_err(thrown)
    }

    /// Frees the reader and returns the tensors of the model in the order of their places. A file
    /// of no known kind is one tensor without a name; a file that breaks the rules of its kind is
    /// refused, since it has none.
    pub fn tensors(self) -> Result<JsValue, JsValue> {
        let layout = self.finish()?;
        if let Some(fault) = layout.fault {
            return Err(thrown(fault));
        }
        value(&layout.regions.into_iter().map(RegionView::from).collect::<Vec<_>>())
    }
}

impl Layout {
    /// The layout, once the reader wants nothing.
    pub(crate) fn finish(self) -> Result<bitx::layout::Layout, JsValue> {
        self.reader.finish().map_err(thrown)
    }
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
