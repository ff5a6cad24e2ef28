//! The parts of a local file, from which damaged pieces are repaired.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Ingest;
use super::local::{LocalFile, Source};
use super::parts::{self, Part};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// A part of a local file with the content of a piece.
#[derive(Debug)]
pub(crate) struct Copy {
    file: Arc<LocalFile>,
    part: Part,
    pub(crate) digest: Digest,
}

impl Copy {
    /// Reads the part. `None` if the file has changed.
    pub(crate) fn read(&self) -> Result<Option<Bytes>> {
        let bytes = self.file.read(self.part.range.clone())?;
        Ok((Digest::of(&bytes) == self.digest).then_some(bytes))
    }
}

impl Ingest<'_> {
    /// Reads the bytes in `range` of a local file. `None` if they have another digest, or if the file
    /// is too short.
    pub(crate) async fn excerpt(&self, source: &Source, range: Range<u64>, digest: Digest) -> Result<Option<Bytes>> {
        let path = source.file.clone();
        let read = self.store.compute(move || {
            let file = LocalFile::open(&path)?;
            if range.end > file.length() {
                return Ok(None);
            }
            file.read(range).map(|bytes| (Digest::of(&bytes) == digest).then_some(bytes))
        });
        read.await
    }

    /// Reads a local file, and returns its digest and its parts.
    pub(crate) async fn copies(&self, source: &Source) -> Result<(Digest, Vec<Copy>)> {
        let path = source.file.clone();
        let opened = self.store.compute(move || {
            let file = LocalFile::open(&path)?;
            let (items, parts) = parts::of(&file, &mut |_| {})?;
            Ok::<_, Error>((Arc::new(file), items, parts))
        });
        let (file, mut items, parts) = opened.await?;
        let (digest, surveyed) = self.survey(&file, parts, &mut items).await?;
        let copy = |part: super::file::Surveyed| Copy { file: file.clone(), part: part.part, digest: part.digest };
        Ok((digest, surveyed.into_iter().map(copy).collect()))
    }
}
