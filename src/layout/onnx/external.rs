//! Data in other files than the graph's: which file, and the layout of that.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::layout::{Dtype, Kind, Layout, Region};

/// A tensor whose data lies in another file, as the graph says it.
#[derive(Debug, Default)]
pub(super) struct External {
    pub(super) name: String,
    /// None of those that are packed more tightly than bytes.
    pub(super) dtype: Option<Dtype>,
    pub(super) shape: Vec<u64>,
    /// Path of the file, relative to the graph's folder.
    pub(super) location: String,
    /// Decimal digits; empty for 0.
    pub(super) offset: String,
    /// Decimal digits; empty where dtype and shape say it.
    pub(super) length: String,
}

/// What a graph says of its external data.
#[derive(Debug)]
pub(crate) struct Graph {
    externals: Vec<External>,
}

impl Graph {
    pub(super) fn new(externals: Vec<External>) -> Self {
        Self { externals }
    }

    /// Whether it has no external data, or is no graph.
    pub(crate) fn is_empty(&self) -> bool {
        self.externals.is_empty()
    }

    /// The location that is the file of that name.
    pub(crate) fn named(&self, file: &str) -> Option<&str> {
        let is_it = |location: &&str| {
            location.strip_suffix(file).is_some_and(|folder| folder.as_bytes().last().is_none_or(|&last| last == b'/'))
        };
        self.locations().find(is_it)
    }

    /// The location of all tensors, if it is the same one.
    pub(crate) fn only(&self) -> Option<&str> {
        let first = self.locations().next()?;
        self.locations().all(|location| location == first).then_some(first)
    }

    fn locations(&self) -> impl Iterator<Item = &str> {
        self.externals.iter().map(|external| external.location.as_str())
    }

    /// The layout of the file of `file_length` bytes that is at `location`. Tensors with the same bytes are one region;
    /// what has no name is none, nor is what has the name of another.
    ///
    /// # Errors
    /// `Corrupt` where a tensor lies beyond the end of the file, across another one, or has another length than its type.
    pub(crate) fn layout(&self, location: &str, file_length: u64) -> Result<Layout> {
        let mut found = Vec::new();
        for external in self.externals.iter().filter(|external| external.location == location) {
            found.push(external.region(file_length)?);
        }
        let (mut regions, mut names, mut last) = (Vec::new(), HashSet::new(), 0..0);
        found.sort_by_cached_key(|region| (region.offset, region.length));
        for region in found {
            if region.length == 0 || region.range() == last {
                continue;
            }
            if region.offset < last.end {
                return Err(Error::corrupt("external data lies across other data")
                    .tensor(&region.name)
                    .at(region.offset));
            }
            last = region.range();
            if !region.name.is_empty() && names.insert(region.name.clone()) {
                regions.push(region);
            }
        }
        Ok(Layout { kind: Kind::Places, file_length, header_length: 0, regions })
    }
}

impl External {
    fn region(&self, file_length: u64) -> Result<Region> {
        let wrong = |message: &str| Error::corrupt(message).tensor(&self.name);
        // A shape of too many bytes is no length that data has.
        let typed = self.dtype.map(|dtype| (dtype, dtype.tensor_bytes(&self.shape).unwrap_or(u64::MAX)));
        // What is no number is none that fits.
        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
        let offset = if self.offset.is_empty() { 0 } else { number(&self.offset) };
        let length = match (self.length.as_str(), typed) {
            ("", Some((_, bytes))) => bytes,
            // Of a type that is not known here: all that follows, as readers take it.
            ("", None) => file_length.saturating_sub(offset),
            (text, _) => number(text),
        };
        if let Some((_, bytes)) = typed.filter(|&(_, bytes)| bytes != length) {
            return Err(wrong("external data has another length than its type").figures(bytes, length));
        }
        if offset.checked_add(length).is_none_or(|end| end > file_length) {
            let message = "external data lies beyond the end of its file";
            return Err(wrong(message).at(offset).figures(file_length, offset.saturating_add(length)));
        }
        let (dtype, shape) = typed.map_or((Dtype::U8, vec![length]), |(dtype, _)| (dtype, self.shape.clone()));
        Ok(Region { name: self.name.clone(), dtype, shape, offset, length })
    }
}
