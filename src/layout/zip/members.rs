//! The members of an archive, and the regions that they become.

use std::collections::HashMap;

use super::records::{self, Entry};
use crate::io::Wanted;
use crate::layout::floats::guess;
use crate::layout::torch::{self, MAX_PICKLE};
use crate::layout::{Dtype, Region, npy};

/// Bytes of a read of local headers. Small members follow each other within one read.
const STEP: u64 = 16 * 1024;

/// Bytes behind the begin of a local header that are looked at: the header, and the first bytes of
/// the data.
const SAMPLE: u64 = 8192;

/// Maximum number of pickles that are read. PyTorch's archives have at most two.
const MAX_PICKLES: usize = 4;

/// Minimum length of a region in bytes; shorter members are cheaper as part of the bytes between.
const LEAST: u64 = 256;

/// The pickles that describe storages, and the prefix of the names from each.
const PICKLES: [(&str, &str); 2] = [("data.pkl", ""), ("constants.pkl", "constants")];

/// The members of an archive.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// In the order of their offsets.
    entries: Vec<Entry>,
    /// Offset of the central directory, where the last member ends at the latest.
    end: u64,
    /// The members that are regions. Until the pickles have been read, their names are their paths.
    regions: Vec<Region>,
    /// The names of the tensors in the regions, as far as they are known.
    names: torch::Names,
    pickles: Vec<PickleMember>,
}

/// A pickle that describes storages.
#[derive(Debug)]
struct PickleMember {
    region: Region,
    /// Path of the folder of its storages, with a slash at the end.
    folder: String,
    prefix: &'static str,
}

impl Members {
    /// The members that `entries` describe, of an archive whose central directory is at `end`.
    pub(super) fn new(mut entries: Vec<Entry>, end: u64) -> Self {
        entries.sort_by_cached_key(|entry| entry.offset);
        Self { entries, end, ..Self::default() }
    }

    /// The first entry from the one at `first` on whose local header has to be read.
    pub(super) fn next_header(&self, first: usize) -> Option<usize> {
        (first..self.entries.len()).find(|&entry| self.is_wanted(entry))
    }

    /// The read of the local header of the entry at `first`, and of those that follow closely.
    pub(super) fn headers(&self, first: usize) -> Wanted {
        let start = self.entries[first].offset;
        start..(start + STEP).min(self.end)
    }

    /// The place of the pickle with this index; `None` behind the last one.
    pub(super) fn pickle(&self, index: usize) -> Option<Wanted> {
        Some(self.pickles.get(index)?.region.range())
    }

    /// The folder of the storages that the entry at `index` describes, and the prefix of their
    /// names, if the entry is a pickle that does.
    fn storages(&self, index: usize) -> Option<(String, &'static str)> {
        let path = &self.entries[index].path;
        let (name, prefix) = PICKLES.iter().find(|(name, _)| path.ends_with(name))?;
        let folder = &path[..path.len() - name.len()];
        let stem = name.strip_suffix(".pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then(|| (format!("{folder}{stem}/"), *prefix))
    }

    /// Tells whether the local header of the entry at `index` has to be read.
    fn is_wanted(&self, index: usize) -> bool {
        let entry = &self.entries[index];
        let is_long = entry.length >= LEAST || (entry.length > 0 && self.storages(index).is_some());
        entry.is_plain && entry.offset < self.end && is_long
    }

    /// Reads the local headers from that of the entry at `first` on, with which `bytes` begin.
    /// Returns the index of the first entry that is not looked at: `bytes` hold too little of it.
    pub(super) fn read_headers(&mut self, first: usize, bytes: &[u8]) -> usize {
        let start = self.entries[first].offset;
        for index in first..self.entries.len() {
            if !self.is_wanted(index) {
                continue;
            }
            let offset = self.entries[index].offset;
            let most = SAMPLE.min(self.end - offset);
            let skip = usize::try_from(offset - start).unwrap_or(usize::MAX);
            let Some(sample) = bytes.get(skip..).and_then(|rest| rest.get(..most as usize)) else { return index };
            self.read_header(index, sample);
        }
        self.entries.len()
    }

    /// Makes a region of the entry at `index`, whose local header is at the start of `sample`. Data
    /// that reaches into the next member, or beyond the last one's end, stays bytes.
    fn read_header(&mut self, index: usize, sample: &[u8]) {
        let entry = &self.entries[index];
        let limit = self.entries.get(index + 1).map_or(self.end, |next| next.offset.min(self.end));
        let Some(header) = records::local_length(sample) else { return };
        let offset = entry.offset + header;
        if offset.checked_add(entry.length).is_none_or(|end| end > limit) {
            return;
        }
        let data = sample.get(header as usize..).unwrap_or_default();
        let data = &data[..data.len().min(usize::try_from(entry.length).unwrap_or(usize::MAX))];
        let region = typed(entry, offset, data);
        if let Some((folder, prefix)) = self.storages(index)
            && region.length <= MAX_PICKLE
            && self.pickles.len() < MAX_PICKLES
        {
            self.pickles.push(PickleMember { region: region.clone(), folder, prefix });
        }
        if region.length >= LEAST {
            self.regions.push(region);
        }
    }

    /// Gives the storages that a pickle mentions their names, dtypes and shapes.
    pub(super) fn read_pickle(&mut self, pickle: usize, bytes: &[u8]) {
        let PickleMember { folder, prefix, .. } = &self.pickles[pickle];
        let mut places = HashMap::new();
        for (i, region) in self.regions.iter().enumerate() {
            if let Some(key) = region.name.strip_prefix(folder.as_str()) {
                places.insert(key.to_owned(), i);
            }
        }
        let typed = !self.is_big_endian();
        torch::describe(bytes, prefix, typed, &places, (&mut self.regions, &mut self.names));
    }

    /// Tells whether the archive's storages are big-endian: the member `byteorder` is then the word
    /// `big`, and else `little`.
    fn is_big_endian(&self) -> bool {
        self.entries.iter().any(|entry| entry.path.ends_with("/byteorder") && entry.length == 3)
    }

    /// The regions with unique names: that of the tensor, or else the path of the member below the
    /// folder that holds all members.
    pub(super) fn into_regions(self) -> Vec<Region> {
        let folder = self.folder().to_owned();
        let path = |path: &str| path.strip_prefix(&folder).unwrap_or_default().to_owned();
        torch::rename(self.regions, self.names, path)
    }

    /// The folder that holds all members, with a slash at the end; empty if there is none.
    fn folder(&self) -> &str {
        let first = self.entries.first().map_or("", |entry| entry.path.as_str());
        let folder = first.find('/').map_or("", |slash| &first[..=slash]);
        if self.entries.iter().all(|entry| entry.path.starts_with(folder)) { folder } else { "" }
    }
}

/// The region of a member whose data is at `offset` and begins with `data`, named by its path.
fn typed(entry: &Entry, offset: u64, data: &[u8]) -> Region {
    let region =
        Region { name: entry.path.clone(), dtype: Dtype::U8, shape: vec![entry.length], offset, length: entry.length };
    if let Some(name) = entry.path.strip_suffix(".npy") {
        let array = npy::header(data).and_then(|array| {
            let length = array.dtype.tensor_bytes(&array.shape)?;
            (array.length.checked_add(length)? == entry.length).then_some((array, length))
        });
        if let Some((array, length)) = array {
            let (dtype, shape, offset) = (array.dtype, array.shape, offset + array.length);
            return Region { name: name.to_owned(), dtype, shape, offset, length };
        }
        return region;
    }
    match guess::dtype(data) {
        Some(dtype) if entry.length.is_multiple_of(dtype.block().1) => {
            Region { dtype, shape: vec![entry.length / dtype.block().1], ..region }
        }
        _ => region,
    }
}
