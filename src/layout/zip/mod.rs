//! The layout of zip archives: PyTorch's models (`.bin`, `.pt`, `.pth`, TorchScript's `.jit`) and
//! NumPy's arrays (`.npz`).
//!
//! A member that is stored without compression is a region. Compressed members are bytes. The
//! pickles of PyTorch's archives say what the storages are: the name, dtype and shape of the tensor
//! are the region's. A `.npy` member says so in its header. The dtype of other members is guessed
//! from their first bytes; in those that are bytes, such as the HDF5 file in one of Keras, floats
//! are looked for.
//!
//! A file that is not an archive, or not a whole one, is no error but a file of bytes: archives
//! name base regions by offset, so that the decoder parses nothing. The reader asks for the end of
//! the file first, then for the central directory, the local headers and the pickles.

mod members;
mod npy;
mod records;

use std::collections::HashSet;

use super::floats::Finder;
use super::{Dtype, Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use members::Members;
use records::{Directory, LONGEST_END};

/// Maximum length of the central directory in bytes. A file with a longer one is a file of bytes.
const MAX_DIRECTORY: u64 = 32 << 20;

/// Maximum number of members; those beyond it are ignored. An archive could not hold them as items.
const MAX_MEMBERS: usize = 100_000;

/// The longest name in bytes of a member after which the floats in it are named.
const LONGEST_NAME: usize = 512;

/// Minimum length in bytes of a region of bytes in which floats are looked for.
const LEAST_SEARCHED: u64 = 64 * 1024;

/// Tells whether `head` is the start of an archive that begins with a member.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// Reads the members of a file of known length.
#[derive(Debug)]
pub(crate) struct ArchiveReader {
    file_length: u64,
    step: Step,
    members: Members,
    /// The regions of the members, once all that describes them has been read.
    regions: Vec<Region>,
}

/// The purpose of the next read.
#[derive(Debug)]
enum Step {
    End,
    Directory(Directory),
    /// Local headers, from that of the entry with this index.
    Headers(usize),
    /// The pickle with this index.
    Pickle(usize),
    /// Bytes in the region with this index, in which floats may be.
    Floats(usize, Box<Finder>),
    Done,
}

impl ArchiveReader {
    pub(crate) fn new(file_length: u64) -> Self {
        Self { file_length, step: Step::End, members: Members::default(), regions: Vec::new() }
    }

    /// The layout, if the file is an archive that has regions.
    pub(crate) fn finish(self) -> Option<Layout> {
        let regions = self.regions;
        let kind = Kind::Places;
        (!regions.is_empty()).then_some(Layout { kind, file_length: self.file_length, regions, ..Layout::default() })
    }

    /// The step that follows the end record.
    fn after_end(&mut self, tail: &[u8]) -> Step {
        let start = self.file_length - tail.len() as u64;
        match records::directory(tail, start) {
            Some(directory) if directory.range.end - directory.range.start > MAX_DIRECTORY => Step::Done,
            Some(Directory { range, shift }) if range.start >= start => {
                let bytes = &tail[(range.start - start) as usize..(range.end - start) as usize];
                self.after_directory(bytes, &Directory { range, shift })
            }
            Some(directory) => Step::Directory(directory),
            None => Step::Done,
        }
    }

    fn after_directory(&mut self, bytes: &[u8], directory: &Directory) -> Step {
        self.members = Members::new(records::entries(bytes, directory.shift, MAX_MEMBERS), directory.range.start);
        self.after_headers(0)
    }

    /// The step that follows the headers of the entries before `next`.
    fn after_headers(&mut self, next: usize) -> Step {
        match self.members.next_header(next) {
            Some(header) => Step::Headers(header),
            None => self.after_pickle(0),
        }
    }

    /// The step that follows the pickles before `next`.
    fn after_pickle(&mut self, next: usize) -> Step {
        if self.members.pickle(next).is_some() {
            return Step::Pickle(next);
        }
        self.regions = std::mem::take(&mut self.members).into_regions();
        self.after_floats(0)
    }

    /// The step that follows the search for floats in the regions before `next`.
    fn after_floats(&self, next: usize) -> Step {
        let may_have = |region: &Region| region.dtype == Dtype::U8 && region.length >= LEAST_SEARCHED;
        let index = (next..self.regions.len()).find(|&index| may_have(&self.regions[index]));
        index.map_or(Step::Done, |index| {
            let region = &self.regions[index];
            // Each run of floats has the name.
            let name = Some(region.name.as_str()).filter(|name| name.len() <= LONGEST_NAME).unwrap_or("floats");
            Step::Floats(index, Box::new(Finder::new(self.file_length, region.range(), name)))
        })
    }

    /// Takes the floats that were found in the region with this index in its place, if their names are
    /// new.
    fn split(&mut self, index: usize, floats: Vec<Region>) -> Step {
        let names: HashSet<&str> = floats.iter().map(|region| region.name.as_str()).collect();
        let is_new = !self.regions.iter().any(|region| names.contains(region.name.as_str()));
        let mut next = index + 1;
        if is_new && !floats.is_empty() && self.regions.len() + floats.len() <= MAX_MEMBERS {
            next = index + floats.len();
            self.regions.splice(index..=index, floats);
        }
        self.after_floats(next)
    }
}

impl Incremental for ArchiveReader {
    fn wants(&self) -> Option<Wanted> {
        match &self.step {
            Step::End => Some(self.file_length.saturating_sub(LONGEST_END)..self.file_length),
            Step::Directory(directory) => Some(directory.range.clone()),
            Step::Headers(first) => Some(self.members.headers(*first)),
            Step::Pickle(pickle) => self.members.pickle(*pickle),
            Step::Floats(_, finder) => finder.wants(),
            Step::Done => None,
        }
    }

    /// Takes the bytes of the wanted range. It never fails: a file that does not parse is a file of
    /// bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.step = match std::mem::replace(&mut self.step, Step::Done) {
            Step::End => self.after_end(bytes),
            Step::Directory(directory) => self.after_directory(bytes, &directory),
            Step::Headers(first) => {
                let next = self.members.read_headers(first, bytes);
                self.after_headers(next)
            }
            Step::Pickle(pickle) => {
                self.members.read_pickle(pickle, bytes);
                self.after_pickle(pickle + 1)
            }
            Step::Floats(index, mut finder) => {
                finder.take(bytes)?;
                match finder.wants() {
                    Some(_) => Step::Floats(index, finder),
                    None => self.split(index, finder.into_regions()),
                }
            }
            Step::Done => Step::Done,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
