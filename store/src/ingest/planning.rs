//! The sight of local and stored files that a plan is made from.

use std::path::Path;
use std::sync::Arc;

use bitx::distance::Sketch;
use bitx::layout::Dtype;

use super::file::Surveyed;
use super::local::LocalFile;
use super::parts::{self, Part};
use super::search::Search;
use super::signature::Signature;
use super::sketches::{LEAST, Sheet};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::Item;
use crate::run::Run;
use crate::store::Store;

/// A part of a file as a survey sees it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) signature: Option<Signature>,
    pub(crate) sketch: Sketch,
}

/// A local file, cut into parts.
#[derive(Debug)]
pub(crate) struct Local {
    file: LocalFile,
    parts: Vec<Part>,
    is_tensor: Vec<bool>,
}

impl Local {
    /// Opens a file and reads its layout.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = LocalFile::open(path)?;
        let (items, parts) = parts::of(&file, &mut |_| {})?;
        let is_tensor = parts.iter().map(|part| items[part.item].name.is_some()).collect();
        Ok(Self { file, parts, is_tensor })
    }

    /// The length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.file.length()
    }

    /// The number, the dtype and the length of each part that may have a base.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, Dtype, u64)> + '_ {
        let parts = self.parts.iter().enumerate().zip(&self.is_tensor);
        let parts =
            parts.map(|((number, part), is_tensor)| (number, part, part.range.end - part.range.start, is_tensor));
        let useful = parts.filter(|(_, _, length, is_tensor)| **is_tensor || *length >= LEAST);
        useful.map(|(number, part, length, _)| (number, part.dtype, length))
    }

    /// Reads the whole file. Returns its digest, and each part that `is_wanted` says yes to by its
    /// number. `each` is called with the number of bytes of each part that was read, and its error
    /// ends the reading.
    pub(crate) fn read(
        &self,
        is_wanted: impl Fn(usize) -> bool,
        each: &dyn Fn(u64) -> Result<()>,
    ) -> Result<(Digest, Vec<Seen>)> {
        let (mut hasher, mut seen) = (blake3::Hasher::new(), Vec::new());
        for (number, part) in self.parts.iter().enumerate() {
            let bytes = self.file.read(part.range.clone())?;
            hasher.update(&bytes);
            if is_wanted(number) {
                let sketch = Sketch::of(part.dtype, &bytes);
                let signature = match self.is_tensor[number] {
                    true => Signature::of_tensor(part.dtype, &bytes),
                    false => Signature::of_bytes(&sketch),
                };
                seen.push(Seen { signature, sketch });
            }
            let length = bytes.len() as u64;
            self.file.give_back(bytes);
            each(length)?;
        }
        self.file.input().check_unchanged().map_err(Error::file(self.file.path()))?;
        Ok((hasher.finalize().into(), seen))
    }
}

/// A stored file with the sketches of its pieces.
#[derive(Debug, Clone)]
pub(crate) struct Kept(Arc<Sheet>);

impl Kept {
    /// The digest of the file.
    pub(crate) fn digest(&self) -> Digest {
        self.0.id.digest
    }

    /// The sketches of the pieces of this dtype and length.
    pub(crate) fn sketches(&self, dtype: Dtype, length: u64) -> impl Iterator<Item = &Sketch> {
        self.0.sketched(dtype, length).iter().map(|(_, sketch)| sketch)
    }
}

/// The stored files, as the search for bases finds them.
#[derive(Debug)]
pub(crate) struct Shelf<'a>(Search<'a>);

impl<'a> Shelf<'a> {
    pub(crate) async fn open(store: &'a Store, run: &'a Run) -> Result<Self> {
        Search::begin(store, run).await.map(Self)
    }

    /// The stored files that resemble a model with these parts.
    pub(crate) async fn near(&self, parts: &[&Seen]) -> Result<Vec<Kept>> {
        let (mut items, mut surveyed, mut end) = (Vec::new(), Vec::new(), 0u64);
        for (item, seen) in parts.iter().enumerate() {
            let (dtype, length) = (seen.sketch.dtype(), seen.sketch.length());
            let start = end;
            end = start.saturating_add(length);
            items.push(Item::new(None, dtype, Vec::new()));
            let part = Part { item, number: 0, dtype, shape: Vec::new(), range: start..end, first: length };
            let (sketch, digest) = (Some(seen.sketch.clone()), Digest::of(&[]));
            surveyed.push(Surveyed {
                part,
                is_tensor: true,
                digest,
                sketch,
                signatures: seen.signature.into_iter().collect(),
                column: None,
                weights: None,
            });
        }
        let near = self.0.near(&items, &surveyed).await?;
        Ok(near.into_iter().map(Kept).collect())
    }
}
