//! Models inside of files that hold others: members of zip archives and of tar files.
//!
//! A region of bytes is read as a file of its own. If it has a layout, its regions take the place
//! of the region, under the names that they have in the member.

use std::collections::HashSet;

use super::reader::LayoutReader;
use super::{Dtype, Layout, Region, floats};
use crate::error::Result;
use crate::io::{Incremental, Wanted};

/// Minimum length in bytes of a region that is looked into.
const LEAST: u64 = 64 * 1024;

/// The longest name in bytes of a member that becomes part of other names.
const LONGEST_NAME: usize = 512;

/// Maximum number of regions. An archive could not hold more as items.
pub(super) const MAX_REGIONS: usize = 100_000;

/// Files that are within each other at most: a tar file, a checkpoint in it, and a member of that.
const LEVELS: u8 = 2;

/// The search for models in the regions of a file that holds others.
#[derive(Debug)]
pub(super) struct Inside {
    regions: Vec<Region>,
    names: HashSet<String>,
    /// The number of files that this one is in.
    level: u8,
    /// Index of the next region to look into.
    next: usize,
    /// The reader of the region before that one.
    reader: Option<Box<LayoutReader>>,
}

impl Inside {
    /// Begins the search in the regions of a file that is in `level` others.
    pub(super) fn new(regions: Vec<Region>, level: u8) -> Self {
        let names = regions.iter().map(|region| region.name.clone()).collect();
        let mut inside = Self { regions, names, level, next: 0, reader: None };
        inside.go_on();
        inside
    }

    /// The regions, in file order.
    pub(super) fn into_regions(self) -> Vec<Region> {
        self.regions
    }

    /// Begins to read the next region that may be a model.
    fn go_on(&mut self) {
        let may_be = |region: &Region| region.dtype == Dtype::U8 && region.length >= LEAST;
        let rest = self.regions.iter().skip(self.next);
        let Some(skipped) = rest.take(MAX_REGIONS).position(may_be).filter(|_| self.level < LEVELS) else {
            self.reader = None;
            return;
        };
        let length = self.regions[self.next + skipped].length;
        self.next += skipped + 1;
        self.reader = Some(Box::new(LayoutReader::inside(length, self.level + 1)));
    }

    /// Puts the regions of a model into the place of the region that it is.
    fn put(&mut self, layout: Layout) {
        let index = self.next - 1;
        if layout.is_opaque() && !layout.is_guessed || self.regions.len() + layout.regions.len() > MAX_REGIONS {
            return;
        }
        let Some(found) = self.named(&self.regions[index], layout) else { return };
        self.names.extend(found.iter().map(|region| region.name.clone()));
        self.next = index + found.len();
        self.regions.splice(index..=index, found);
    }

    /// The regions of a model that is a region of this file; `None` if their names are taken.
    fn named(&self, outer: &Region, layout: Layout) -> Option<Vec<Region>> {
        let is_short = outer.name.len() <= LONGEST_NAME;
        let name = |inner: &Region| match inner.name.strip_prefix(floats::NAME) {
            Some(number) if layout.is_guessed && is_short => Some([&outer.name, number].concat()),
            _ if !self.names.contains(&inner.name) => Some(inner.name.clone()),
            _ if is_short => Some([&outer.name, "/", &inner.name].concat()),
            _ => None,
        };
        let mut names = HashSet::new();
        let moved = |inner: &Region| {
            let name = name(inner).filter(|name| !self.names.contains(name) && names.insert(name.clone()))?;
            Some(Region { name, offset: outer.offset + inner.offset, ..inner.clone() })
        };
        layout.regions.iter().map(moved).collect()
    }
}

impl Incremental for Inside {
    fn wants(&self) -> Option<Wanted> {
        let wanted = self.reader.as_ref()?.wants()?;
        let outer = self.regions[self.next - 1].offset;
        Some(outer + wanted.start..outer + wanted.end)
    }

    /// Takes the bytes of the wanted range. It never fails: a region that is no model stays bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        reader.feed(bytes)?;
        if reader.wants().is_some() {
            return Ok(());
        }
        if let Some(reader) = self.reader.take() {
            self.put(reader.finish().0);
        }
        self.go_on();
        Ok(())
    }
}
