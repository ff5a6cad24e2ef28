//! External data: weights in other files than the graph's, and the layouts of those files.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout::{Dtype, Kind, Layout, Region};

/// The graph's description of a tensor whose data lies in another file.
#[derive(Debug, Default)]
pub(crate) struct External {
    pub(crate) name: Arc<str>,
    /// `None` for unknown types and those that pack several elements into a byte.
    pub(crate) dtype: Option<Dtype>,
    pub(crate) shape: Vec<u64>,
    /// Path of the file, relative to the graph's folder.
    pub(crate) location: Arc<str>,
    /// Offset in the file, in decimal digits; empty for 0.
    pub(crate) offset: String,
    /// Length in bytes, in decimal digits; empty if dtype and shape imply it.
    pub(crate) length: String,
}

/// All external data that a graph describes.
#[derive(Debug)]
pub(crate) struct Graph {
    externals: Vec<External>,
}

impl Graph {
    pub(crate) fn new(externals: Vec<External>) -> Self {
        Self { externals }
    }

    /// Tells whether the graph has no external data, or the file is not a graph.
    pub(crate) fn is_empty(&self) -> bool {
        self.externals.is_empty()
    }

    /// The first location, a path, whose last part is the name `file`.
    pub(crate) fn named(&self, file: &str) -> Option<&str> {
        let is_it = |location: &&str| {
            location.strip_suffix(file).is_some_and(|folder| folder.as_bytes().last().is_none_or(|&last| last == b'/'))
        };
        self.locations().find(is_it)
    }

    /// The location of all tensors; `None` if they have several or there are no tensors.
    pub(crate) fn only(&self) -> Option<&str> {
        let first = self.locations().next()?;
        self.locations().all(|location| location == first).then_some(first)
    }

    fn locations(&self) -> impl Iterator<Item = &str> {
        self.externals.iter().map(|external| &*external.location)
    }

    /// The layout of the file at `location`, which has `file_length` bytes. Tensors with the same
    /// bytes are one region. A tensor without a name, or with the name of an earlier one, is not a
    /// region.
    ///
    /// # Errors
    /// `Corrupt` if a tensor ends beyond the end of the file, overlaps another one, or does not
    /// have the length of its type.
    pub(crate) fn layout(&self, location: &str, file_length: u64) -> Result<Layout> {
        let mut found = Vec::new();
        for external in self.externals.iter().filter(|external| *external.location == *location) {
            found.push(external.region(file_length)?);
        }
        let (mut regions, mut names, mut last) = (Vec::new(), HashSet::new(), 0..0);
        found.sort_by_cached_key(|region| (region.offset, region.length));
        for region in found {
            if region.length == 0 || region.range() == last {
                continue;
            }
            if region.offset < last.end {
                return Err(Error::corrupt("the external data overlaps that of another tensor")
                    .tensor(&region.name)
                    .at(region.offset));
            }
            last = region.range();
            if !region.name.is_empty() && names.insert(region.name.clone()) {
                regions.push(region);
            }
        }
        Ok(Layout { kind: Kind::Places, file_length, regions, ..Layout::default() })
    }
}

impl External {
    fn region(&self, file_length: u64) -> Result<Region> {
        let wrong = |message: &str| Error::corrupt(message).tensor(&self.name);
        // A shape whose length overflows matches no length of data.
        let typed = self.dtype.map(|dtype| (dtype, dtype.tensor_bytes(&self.shape).unwrap_or(u64::MAX)));
        // Text that is not a number becomes one that does not fit.
        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
        let offset = if self.offset.is_empty() { 0 } else { number(&self.offset) };
        let length = match (self.length.as_str(), typed) {
            ("", Some((_, bytes))) => bytes,
            // An unknown type: the data reaches to the end of the file, as ONNX readers take it.
            ("", None) => file_length.saturating_sub(offset),
            (text, _) => number(text),
        };
        if let Some((_, bytes)) = typed.filter(|&(_, bytes)| bytes != length) {
            return Err(wrong("the external data does not have the length of its type").figures(bytes, length));
        }
        if offset.checked_add(length).is_none_or(|end| end > file_length) {
            let message = "the external data lies beyond the end of its file";
            return Err(wrong(message).at(offset).figures(file_length, offset.saturating_add(length)));
        }
        let (dtype, shape) = typed.map_or((Dtype::U8, vec![length]), |(dtype, _)| (dtype, self.shape.clone()));
        Ok(Region { name: self.name.to_string(), dtype, shape, offset, length })
    }
}
