//! The parts of a local file, from which damaged pieces are repaired.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::local::{LocalFile, Source};
use super::{Ingest, packs, parts, sets};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// A part of a local file, or several, with the content of a piece.
#[derive(Debug)]
pub(crate) struct Copy {
    file: Arc<LocalFile>,
    ranges: Vec<Range<u64>>,
    pub(crate) digest: Digest,
}

impl Copy {
    /// Reads the parts. `None` if the file has changed.
    pub(crate) fn read(&self) -> Result<Option<Bytes>> {
        let bytes = packs::gather(&self.file, &self.ranges)?;
        Ok((Digest::of(&bytes) == self.digest).then_some(bytes))
    }
}

impl Ingest<'_> {
    /// Reads the bytes in `ranges` of a local file. `None` if they have another digest, or if the
    /// file is too short.
    pub(crate) async fn excerpt(
        &self,
        source: &Source,
        ranges: Vec<Range<u64>>,
        digest: Digest,
    ) -> Result<Option<Bytes>> {
        let path = source.file.clone();
        let read = self.store.compute(move || {
            let file = LocalFile::open(&path)?;
            if ranges.iter().any(|range| range.end > file.length()) {
                return Ok(None);
            }
            packs::gather(&file, &ranges).map(|bytes| (Digest::of(&bytes) == digest).then_some(bytes))
        });
        read.await
    }

    /// Reads a local file, and returns its digest, its parts, its packs and its sets.
    pub(crate) async fn copies(&self, source: &Source) -> Result<(Digest, Vec<Copy>)> {
        let path = source.file.clone();
        let opened = self.store.compute(move || {
            let file = LocalFile::open(&path)?;
            let (items, parts) = parts::of(&file, &mut |_| {})?;
            Ok::<_, Error>((Arc::new(file), items, parts))
        });
        let (file, mut items, parts) = opened.await?;
        let (digest, surveyed) = self.survey(&file, parts, &mut items).await?;
        let of_packs = file.clone();
        let found = self.store.compute(move || {
            let parts = surveyed.iter().map(|part| (vec![part.part.range.clone()], part.digest)).collect::<Vec<_>>();
            let packs = packs::copies(&of_packs, &items, &surveyed)?;
            sets::copies(&of_packs, &items, &surveyed).map(|sets| [parts, packs, sets].concat())
        });
        let copy = |(ranges, digest)| Copy { file: file.clone(), ranges, digest };
        Ok((digest, found.await?.into_iter().map(copy).collect()))
    }
}
