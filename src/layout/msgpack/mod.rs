//! The layout of flax's files (`flax_model.msgpack`): MessagePack of nested maps, whose arrays are
//! extensions.
//!
//! Such a file has no magic, so a file that does not parse is not an error but a file of bytes. Only
//! the first bytes of items are read. An array is a region, with the keys that lead to it as its
//! name, joined by dots.

mod item;

use std::collections::HashSet;

use super::{Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use crate::steps;
use item::{Array, Content};

/// Bytes of a read. Arrays are skipped.
const STEP: u64 = 16 * 1024;

/// The longest beginning of an item: an extension with an array of as many extents as there may be.
const LONGEST: u64 = 1024;

/// The longest key, and the longest name.
const LONGEST_NAME: usize = 512;

/// Minimum length of a region in bytes; shorter arrays are cheaper as part of the bytes between.
const LEAST: u64 = 256;

/// Maximum number of arrays; those beyond it are ignored. An archive could not hold them as items.
const MAX_REGIONS: usize = 100_000;

/// Maximum number of maps and lists around an item.
const MAX_DEPTH: usize = 64;

/// The type of extensions that are arrays.
const ARRAY: u8 = 1;

/// Tells whether `head` can be the start of such a file: a map that is not empty, and a key.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    let is_text = |byte: Option<&u8>| matches!(byte, Some(0xa1..=0xbf | 0xd9));
    match head {
        [0x81..=0x8f, ..] => is_text(head.get(1)),
        [0xde, ..] => is_text(head.get(3)),
        _ => false,
    }
}

/// Walks through the items of a file of known length.
#[derive(Debug)]
pub(crate) struct Walker {
    file_length: u64,
    /// Offset of the next item.
    at: u64,
    wants: Option<Wanted>,
    /// The open maps and lists, outermost first.
    open: Vec<Open>,
    /// The keys that lead to the next item, joined by dots.
    path: String,
    regions: Vec<Region>,
    names: HashSet<String>,
}

/// A map or a list whose items have not all been read.
#[derive(Debug)]
struct Open {
    /// Number of items; keys are items as well.
    count: u64,
    /// Number of items that are left.
    left: u64,
    is_map: bool,
    /// Length of the path to it.
    path: usize,
}

/// The file is not one of flax.
struct NotFlax;

impl Walker {
    pub(crate) fn new(file_length: u64) -> Self {
        Self {
            file_length,
            at: 0,
            wants: Some(0..file_length.min(STEP)),
            open: Vec::new(),
            path: String::new(),
            regions: Vec::new(),
            names: HashSet::new(),
        }
    }

    /// The layout, if the file is whole and has arrays.
    pub(crate) fn finish(self) -> Option<Layout> {
        let (kind, regions, file_length) = (Kind::Places, self.regions, self.file_length);
        let is_whole = self.at == file_length && self.open.is_empty();
        (is_whole && !regions.is_empty()).then_some(Layout { kind, file_length, regions, ..Layout::default() })
    }

    /// Reads items for as long as `bytes`, which begin at offset `start`, hold their beginnings.
    /// Returns `false` behind the last one.
    fn walk(&mut self, start: u64, bytes: &[u8]) -> Result<bool, NotFlax> {
        loop {
            steps::add(1);
            while self.open.last().is_some_and(|open| open.left == 0) {
                self.open.pop();
            }
            if self.open.is_empty() && self.at > 0 {
                return Ok(false);
            }
            let Some(rest) = usize::try_from(self.at - start).ok().and_then(|skip| bytes.get(skip..)) else {
                return Ok(true);
            };
            // All of the file is at hand, or as much as an item needs.
            let is_enough = rest.len() as u64 >= LONGEST.min(self.file_length - self.at);
            if !is_enough {
                return Ok(true);
            }
            self.item(rest)?;
        }
    }

    /// Reads the item at the start of `rest`.
    fn item(&mut self, rest: &[u8]) -> Result<(), NotFlax> {
        let (first, content) = item::read(rest).ok().flatten().ok_or(NotFlax)?;
        let behind = &rest[first as usize..];
        let key = self.name_item();
        let left = self.file_length - self.at - first;
        let (skipped, items) = match content {
            Content::Text(length) if key => {
                self.key(behind.get(..usize::try_from(length).map_err(|_| NotFlax)?).ok_or(NotFlax)?)?;
                (length, None)
            }
            _ if key => return Err(NotFlax),
            Content::Skipped(length) | Content::Text(length) => (length, None),
            Content::Extension(kind, length) if length <= left => {
                let array = (kind == ARRAY).then(|| item::array(behind, length)).flatten();
                let region = array.and_then(|array| self.region(array, first, length));
                self.regions.extend(region);
                (length, None)
            }
            Content::Extension(..) => return Err(NotFlax),
            Content::List(count) => (0, Some((count, false))),
            // Each pair is two items.
            Content::Map(count) => (0, Some((2 * count, true))),
        };
        if skipped > left || items.is_some_and(|(count, _)| count > left || self.open.len() >= MAX_DEPTH) {
            return Err(NotFlax);
        }
        self.at += first + skipped;
        self.open.extend(items.map(|(count, is_map)| Open { count, left: count, is_map, path: self.path.len() }));
        Ok(())
    }

    /// Counts the next item of the innermost map or list. Returns `true` if it is a key; the path to
    /// an item of a list ends with its number.
    fn name_item(&mut self) -> bool {
        let Some(open) = self.open.last_mut() else { return false };
        open.left -= 1;
        if !open.is_map {
            self.path.truncate(open.path);
            push(&mut self.path, &(open.count - open.left - 1).to_string());
        }
        open.is_map && open.left % 2 == 1
    }

    fn key(&mut self, key: &[u8]) -> Result<(), NotFlax> {
        let key = std::str::from_utf8(key).ok().filter(|key| key.len() <= LONGEST_NAME).ok_or(NotFlax)?;
        self.path.truncate(self.open.last().map_or(0, |open| open.path));
        push(&mut self.path, key);
        Ok(())
    }

    /// The region of an array in the extension at this place, whose content begins `first` bytes behind
    /// it; `None` if it is short, or has no name of its own.
    fn region(&mut self, array: Array, first: u64, length: u64) -> Option<Region> {
        let (offset, length) = (self.at + first + array.start, length - array.start);
        let name = &self.path;
        let fits = length >= LEAST && name.len() <= LONGEST_NAME && self.regions.len() < MAX_REGIONS;
        let is_new = fits && self.names.insert(name.clone());
        is_new.then(|| Region { name: name.clone(), dtype: array.dtype, shape: array.shape, offset, length })
    }
}

fn push(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

impl Incremental for Walker {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes the bytes of the wanted range. It never fails: a file that does not parse is a file of
    /// bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.wants.take().map_or(0, |wanted| wanted.start);
        let more = self.walk(start, bytes);
        if matches!(more, Ok(true)) && self.at < self.file_length {
            self.wants = Some(self.at..(self.at + STEP).min(self.file_length));
        }
        if more.is_err() {
            self.regions.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
