//! The layout of zip archives: PyTorch's models (`.bin`, `.pt`, `.pth`, TorchScript's `.jit`) and
//! NumPy's arrays (`.npz`).
//!
//! A member that is stored without compression is a region. Compressed members are bytes. The
//! pickles of PyTorch's archives say what the storages are: the name, dtype and shape of the tensor
//! are the region's. A `.npy` member says so in its header. The dtype of other members is guessed
//! from their first bytes; those that are bytes, such as a safetensors file, or the HDF5 file in
//! one of Keras, are looked into as files of their own.
//!
//! A file that is not an archive, or not a whole one, is no error but a file of bytes: archives
//! name base regions by offset, so that the decoder parses nothing. The reader asks for the end of
//! the file first, then for the central directory, the local headers and the pickles.

mod members;
mod records;

use super::inside::Inside;
use super::{Kind, Layout};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use members::Members;
use records::{Directory, LONGEST_END};

/// Maximum length of the central directory in bytes. A file with a longer one is a file of bytes.
const MAX_DIRECTORY: u64 = 32 << 20;

/// Maximum number of members; those beyond it are ignored. An archive could not hold them as items.
const MAX_MEMBERS: usize = 100_000;

/// The first bytes of programs, behind which an archive may lie, as in a llamafile.
const PROGRAMS: [&[u8]; 2] = [b"MZ", b"\x7fELF"];

/// Tells whether `head` is the start of an archive that begins with a member.
pub(crate) fn begins(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// Tells whether `head` is the start of an archive, or of a program that may have one behind it.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    begins(head) || PROGRAMS.iter().any(|program| head.starts_with(program))
}

/// Reads the members of a file of known length.
#[derive(Debug)]
pub(crate) struct ArchiveReader {
    file_length: u64,
    /// The number of files that this one is in.
    level: u8,
    step: Step,
    members: Members,
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
    /// Bytes of members that may be models.
    Inside(Inside),
    /// Nothing: the file is not an archive.
    Done,
}

impl ArchiveReader {
    /// Creates a reader of a file that is in `level` others.
    pub(crate) fn new(file_length: u64, level: u8) -> Self {
        Self { file_length, level, step: Step::End, members: Members::default() }
    }

    /// The layout, if the file is an archive that has regions.
    pub(crate) fn finish(self) -> Option<Layout> {
        let Step::Inside(inside) = self.step else { return None };
        let (kind, regions) = (Kind::Places, inside.into_regions());
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
        Step::Inside(Inside::new(std::mem::take(&mut self.members).into_regions(), self.level))
    }
}

impl Incremental for ArchiveReader {
    fn wants(&self) -> Option<Wanted> {
        match &self.step {
            Step::End => Some(self.file_length.saturating_sub(LONGEST_END)..self.file_length),
            Step::Directory(directory) => Some(directory.range.clone()),
            Step::Headers(first) => Some(self.members.headers(*first)),
            Step::Pickle(pickle) => self.members.pickle(*pickle),
            Step::Inside(inside) => inside.wants(),
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
            Step::Inside(mut inside) => {
                inside.take(bytes)?;
                Step::Inside(inside)
            }
            Step::Done => Step::Done,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
