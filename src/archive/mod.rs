//! The containers of both versions: an archive's bytes, its index and its limits.

mod cursor;
pub mod v1;
pub mod v2;

use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};
use crate::layout::sniff;

/// Length of the magic in bytes: `BITXv` and three digits.
pub const MAGIC_LENGTH: usize = 8;

/// Reads the version from an archive's magic.
pub(crate) fn version(magic: &[u8]) -> Result<u32> {
    let digits = magic.get(..MAGIC_LENGTH).and_then(|m| m.strip_prefix(b"BITXv"));
    let digits = digits.filter(|d| d.iter().all(u8::is_ascii_digit));
    let version = digits.and_then(|d| std::str::from_utf8(d).ok()?.parse().ok());
    version.ok_or_else(|| Error::format(sniff::not_a(".bitx archive", magic)))
}

/// The directory of an archive of either version: everything but the coded tensors.
#[derive(Debug)]
pub(crate) enum Archive {
    V1(v1::Index),
    V2(v2::Directory),
}

/// Reads an [`Archive`]; the magic decides the version.
#[derive(Debug)]
pub(crate) enum ArchiveReader {
    Start { archive_length: u64 },
    V1(v1::IndexReader),
    V2(v2::DirectoryReader),
}

impl ArchiveReader {
    pub(crate) fn new(archive_length: u64) -> Self {
        Self::Start { archive_length }
    }

    /// The archive, once the reader wants nothing more; `None` before that.
    pub(crate) fn finish(self) -> Option<Archive> {
        match self {
            Self::Start { .. } => None,
            Self::V1(reader) => Some(Archive::V1(reader.finish())),
            Self::V2(reader) => Some(Archive::V2(reader.finish())),
        }
    }

    fn start(archive_length: u64, bytes: &[u8]) -> Result<Self> {
        match version(bytes)? {
            v1::VERSION => {
                let mut reader = v1::IndexReader::new(archive_length);
                reader.take(bytes)?;
                Ok(Self::V1(reader))
            }
            v2::VERSION => Ok(Self::V2(v2::DirectoryReader::new(archive_length, bytes)?)),
            version => Err(Error::unsupported("this version of the .bitx format needs a newer release of bitx")
                .figures("version 1 or 2", format_args!("version {version}"))),
        }
    }
}

impl Incremental for ArchiveReader {
    fn wants(&self) -> Option<Wanted> {
        match self {
            Self::Start { archive_length } => Some(0..(*archive_length).min(cursor::READ_AHEAD)),
            Self::V1(reader) => reader.wants(),
            Self::V2(reader) => reader.wants(),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Start { archive_length } => {
                *self = Self::start(*archive_length, bytes)?;
                Ok(())
            }
            Self::V1(reader) => reader.take(bytes),
            Self::V2(reader) => reader.take(bytes),
        }
    }

    fn advance(&mut self) -> Result<bool> {
        match self {
            Self::Start { .. } => Ok(false),
            Self::V1(reader) => reader.advance(),
            Self::V2(reader) => reader.advance(),
        }
    }
}
