//! Opens an archive: reads its front and its tail, with one read each unless they are unusually
//! long.

use std::ops::Range;

use super::{CHECKSUM, FRONT, Head, Index, Item, MAX_HEAD, TRAILER};
use crate::archive::v2::Content;
use crate::bytes::ByteReader;
use crate::chunk::geometry::{self, Geometry};
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};
use crate::pace::Paced;

/// Bytes of the first read of the tail.
const TAIL: u64 = 64 * 1024;

/// Everything in an archive except its records.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) archive_length: u64,
    pub(crate) head: Head,
    pub(crate) index: Index,
    /// The bytes before the first record.
    pub(crate) front: Vec<u8>,
    /// The bytes between the last record and the root digest.
    pub(crate) back: Vec<u8>,
    /// The root digest: BLAKE3 of all bytes before it.
    pub(crate) root: [u8; 32],
}

impl Directory {
    /// The range of the records in the archive.
    pub(crate) fn records(&self) -> Range<u64> {
        self.front.len() as u64..self.archive_length - 32 - self.back.len() as u64
    }
}

/// Reads a [`Directory`] in a few ranged reads.
#[derive(Debug)]
pub(crate) struct DirectoryReader {
    directory: Directory,
    tail: Vec<u8>,
    wants: Option<Wanted>,
    state: State,
    /// The parser of the head or of the index, which adds it to the directory.
    parsing: Option<Paced<Directory>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Front,
    Tail,
    Index,
}

impl DirectoryReader {
    /// Creates a reader for an archive whose first bytes are `start`.
    pub(crate) fn new(archive_length: u64, start: &[u8]) -> Result<Self> {
        let directory = Directory { archive_length, ..Directory::default() };
        let mut reader = Self { directory, tail: Vec::new(), wants: None, state: State::Front, parsing: None };
        reader.front(start)?;
        Ok(reader)
    }

    /// The directory, once the reader wants nothing more.
    pub(crate) fn finish(self) -> Directory {
        self.directory
    }

    fn front(&mut self, bytes: &[u8]) -> Result<()> {
        let front = &mut self.directory.front;
        front.extend_from_slice(bytes);
        let mut fields = ByteReader::new(front);
        fields.take(8)?;
        let stored = fields.u64()?;
        if stored > MAX_HEAD {
            return Err(Error::limit("the head is too long")
                .figures(format_args!("at most {MAX_HEAD} bytes"), stored)
                .at(8));
        }
        let end = FRONT + stored + CHECKSUM as u64;
        let least = end + CHECKSUM as u64 + TRAILER as u64;
        if self.directory.archive_length < least {
            let found = self.directory.archive_length;
            return Err(
                Error::truncated("the archive ends too early").figures(format_args!("at least {least} bytes"), found)
            );
        }
        if (front.len() as u64) < end {
            self.wants = Some(front.len() as u64..end);
            return Ok(());
        }
        front.truncate(end as usize);
        self.wants = None;
        self.parsing = Some(Paced::new(std::mem::take(&mut self.directory).with_head()));
        Ok(())
    }

    fn tail(&mut self, bytes: &[u8]) -> Result<()> {
        self.tail = bytes.to_vec();
        let length = self.directory.archive_length;
        let split = bytes.split_last_chunk::<TRAILER>();
        let (_, trailer) = split.ok_or_else(|| Error::truncated("the archive ends inside its trailer"))?;
        let mut fields = ByteReader::new(trailer);
        let (offset, stored) = (fields.u64()?, fields.u64()?);
        self.directory.root = *trailer.last_chunk().unwrap_or(&[0; 32]);
        let end = length - TRAILER as u64;
        if offset < self.directory.front.len() as u64 || offset.checked_add(stored) != Some(end) {
            return Err(Error::corrupt(
                "the trailer contradicts the archive's length: the archive is cut short or damaged",
            )
            .at(end));
        }
        let head = &self.directory.head;
        let most = Index::most_bytes(geometries(head), head.bases.len());
        if stored > most {
            return Err(Error::corrupt("the index is too long")
                .figures(format_args!("at most {most} bytes"), stored)
                .at(end));
        }
        self.state = State::Index;
        let have = length - bytes.len() as u64;
        if offset < have {
            self.wants = Some(offset..have);
            return Ok(());
        }
        self.tail.drain(..(offset - have) as usize);
        self.index(&[]);
        Ok(())
    }

    fn index(&mut self, missing: &[u8]) {
        self.wants = None;
        let mut bytes = missing.to_vec();
        bytes.append(&mut self.tail);
        bytes.truncate(bytes.len() - 32);
        self.directory.back = bytes;
        self.parsing = Some(Paced::new(std::mem::take(&mut self.directory).with_index()));
    }
}

impl Directory {
    /// Adds the head, which is in the front.
    async fn with_head(self) -> Result<Self> {
        let head = Head::parse(&self.front, self.archive_length).await?;
        Ok(Self { head, ..self })
    }

    /// Adds the index, which is in the back.
    async fn with_index(self) -> Result<Self> {
        let bytes = &self.back[..self.back.len() + 32 - TRAILER];
        let index = Index::parse(bytes, geometries(&self.head), self.head.bases.len()).await?;
        let stored: u64 = index.regions.iter().map(|region| region.stored()).sum();
        let records = self.records();
        if stored != records.end - records.start {
            return Err(
                Error::corrupt("the chunks do not fill the archive").figures(records.end - records.start, stored)
            );
        }
        Ok(Self { index, ..self })
    }
}

impl Incremental for DirectoryReader {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self.state {
            State::Front => self.front(bytes),
            State::Tail => self.tail(bytes),
            State::Index => {
                self.index(bytes);
                Ok(())
            }
        }
    }

    fn advance(&mut self) -> Result<bool> {
        let Some(parsing) = &mut self.parsing else { return Ok(false) };
        let Some(directory) = parsing.advance()? else { return Ok(true) };
        self.directory = directory;
        self.parsing = None;
        if matches!(self.state, State::Front) {
            self.state = State::Tail;
            let (end, length) = (self.directory.front.len() as u64, self.directory.archive_length);
            self.wants = Some(length.saturating_sub(TAIL).max(end)..length);
        }
        Ok(false)
    }
}

/// The geometry of every region that has chunks of its own.
fn geometries(head: &Head) -> impl Iterator<Item = Geometry> {
    head.items.iter().filter_map(|item| match item {
        Item::Region { region, content: Content::Chunks(_) } => Some(geometry::of(region)),
        _ => None,
    })
}
