//! The layout of PyTorch's older files: pickles one after the other, and behind them the storages.
//!
//! The pickles are a magic number, a version, the machine's properties, the saved object, and the
//! list of the storages' keys. In the order of that list, each storage is its number of elements in
//! 8 bytes, and its elements. A file whose storages do not end where it ends is a file of bytes.

use std::collections::HashMap;

use super::mentions::mentions;
use super::pickle::{End, Pickle, Value};
use super::{MAX_PICKLE, Names, describe, rename};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use crate::layout::reader::FIRST_READ;
use crate::layout::{Dtype, Kind, Layout, Region};

/// The pickle of the magic number.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Number of pickles, and the index of the saved object's.
const PICKLES: usize = 5;
const OBJECT: usize = 3;

/// Bytes of the number of elements before a storage.
const COUNT: u64 = 8;

/// Minimum length of a region in bytes; shorter storages are cheaper as part of the bytes between.
const LEAST: u64 = 256;

/// Maximum number of storages. An archive could not hold more as items.
const MAX_STORAGES: usize = 100_000;

/// Tells whether `head` is the start of such a file.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Parses the pickles of a file of known length from ever longer prefixes of the file.
#[derive(Debug)]
pub(crate) struct StreamReader {
    file_length: u64,
    head: Vec<u8>,
    wants: Option<Wanted>,
    regions: Vec<Region>,
}

impl StreamReader {
    pub(crate) fn new(file_length: u64) -> Self {
        let wants = Some(0..file_length.min(FIRST_READ));
        Self { file_length, head: Vec::new(), wants, regions: Vec::new() }
    }

    /// The layout, if the file is whole and has regions.
    pub(crate) fn finish(self) -> Option<Layout> {
        let (kind, regions, file_length) = (Kind::Places, self.regions, self.file_length);
        (!regions.is_empty()).then_some(Layout { kind, file_length, regions, ..Layout::default() })
    }
}

impl Incremental for StreamReader {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    /// Takes the bytes of the wanted range. It never fails: a file that does not parse is a file of
    /// bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.head.extend_from_slice(bytes);
        let have = self.head.len() as u64;
        let more = (have < self.file_length.min(MAX_PICKLE)).then(|| have..(have * 2).min(self.file_length));
        self.wants = match pickles(&self.head) {
            Ok(places) => {
                self.regions = regions(&self.head, &places, self.file_length).unwrap_or_default();
                None
            }
            Err(End::Short) => more,
            Err(_) => None,
        };
        Ok(())
    }
}

/// The begins of the pickles in `head`, and the end of the last one. If `head` does not hold them
/// in full, returns the reason.
fn pickles(head: &[u8]) -> Result<[usize; PICKLES + 1], End> {
    let mut places = [0; PICKLES + 1];
    for i in 0..PICKLES {
        match Pickle::read(&head[places[i]..]).end {
            End::Whole(length) => places[i + 1] = places[i] + length,
            end => return Err(end),
        }
    }
    Ok(places)
}

/// The regions of the storages behind the pickles; `None` if the storages do not fill the file.
fn regions(head: &[u8], places: &[usize; PICKLES + 1], file_length: u64) -> Option<Vec<Region>> {
    let [object, list] = [OBJECT, OBJECT + 1].map(|i| &head[places[i]..places[i + 1]]);
    let mut lengths = HashMap::new();
    mentions(&Pickle::read(object), "", |mention| {
        lengths.entry(mention.key.to_owned()).or_insert(mention.length);
    });
    let list = Pickle::read(list);
    let keys = list.items(*list.roots.first()?).filter(|keys| keys.len() <= MAX_STORAGES)?;
    let (mut storages, mut indices, mut end) = (Vec::new(), HashMap::new(), places[PICKLES] as u64);
    for key in keys {
        let &Value::Text(key) = key else { return None };
        let key = list.text(key)?;
        let (offset, length) = (end + COUNT, (*lengths.get(key)?)?);
        end = offset.checked_add(length).filter(|&end| end <= file_length)?;
        if length >= LEAST {
            indices.insert(key.to_owned(), storages.len());
            storages.push(Region { name: key.to_owned(), dtype: Dtype::U8, shape: vec![length], offset, length });
        }
    }
    let mut names = Names::new();
    describe(object, "", true, &indices, (&mut storages, &mut names));
    (end == file_length).then(|| rename(storages, names, str::to_owned))
}

#[cfg(test)]
mod tests;
