//! Sketches of stored pieces, by which the base of a new tensor is found, whatever its name.
//!
//! The sketches of a file are one object. It lists the pieces of the file that may serve as bases:
//! the number of the piece in the file as a little-endian `u32`, and its sketch, whose size follows
//! from dtype and length. The BLAKE3 digest of all of this is at the end.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bitx::distance::{Sketch, predict};
use futures::{StreamExt, TryStreamExt, stream};

use super::relatives::Relatives;
use crate::backend::REQUESTS;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileManifest, PieceRef};
use crate::store::Store;

/// The minimum length in bytes of a piece with a sketch. Shorter pieces take the base that the rest
/// of the file suggests.
pub(super) const LEAST: u64 = 64 << 10;

/// The number of closest bases for which the size of a delta is predicted.
const CLOSEST: usize = 4;

/// The sketches of one file, with its manifest.
#[derive(Debug)]
pub(super) struct Sheet {
    manifest: FileManifest,
    sketches: Vec<(PieceRef, Sketch)>,
}

/// The sheets of all files in the store, and of those that were just added.
#[derive(Debug, Default)]
pub(super) struct Catalog(RwLock<Vec<Sheet>>);

/// A base that was found: the number of its sheet in the catalog, and its piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) sheet: usize,
    pub(super) base: ObjectId,
}

impl Catalog {
    /// Reads all sketches of the store.
    pub(super) async fn load(store: &Store) -> Result<Self> {
        let listed = store.backend().list(Kind::Sketches.folder()).await?;
        let ids = listed.into_iter().filter_map(|object| Kind::Sketches.parse(&object.key));
        let sheets = stream::iter(ids).map(|id| Sheet::load(store, id)).buffered(REQUESTS);
        let sheets: Vec<Sheet> = sheets.try_filter_map(|sheet| async { Ok(sheet) }).try_collect().await?;
        Ok(Self(RwLock::new(sheets)))
    }

    /// Adds the sheet of a file that was just stored, so that later files of the same model find
    /// their bases in it.
    pub(super) fn add<'s>(&self, manifest: FileManifest, sketches: impl Iterator<Item = (usize, &'s Sketch)>) {
        let pieces: Vec<PieceRef> = manifest.pieces().copied().collect();
        let sketches = sketches.filter_map(|(number, sketch)| Some((*pieces.get(number)?, sketch.clone())));
        let sketches = sketches.collect();
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(Sheet { manifest, sketches });
    }

    /// The sheets of all files.
    pub(super) fn sheets(&self) -> RwLockReadGuard<'_, Vec<Sheet>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` if a sheet has a sketch of this piece.
    pub(super) fn has(&self, id: &ObjectId) -> bool {
        self.sheets().iter().any(|sheet| sheet.sketches.iter().any(|(piece, _)| piece.id == *id))
    }

    /// The piece against which the smallest delta is predicted, or `None` if no delta is predicted
    /// to be useful.
    pub(super) fn closest(&self, sketch: &Sketch) -> Option<Found> {
        let (sheets, mut near) = (self.sheets(), Vec::<(f64, Found, &Sketch)>::new());
        for (sheet, (piece, other)) in
            sheets.iter().enumerate().flat_map(|(i, s)| s.sketches.iter().map(move |p| (i, p)))
        {
            let Ok(distance) = sketch.distance(other) else { continue };
            near.push((distance.per_word(), Found { sheet, base: piece.id }, other));
        }
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let predicted = near.into_iter().take(CLOSEST).filter_map(|(_, found, other)| {
            let predicted = predict(other, sketch).ok().filter(|predicted| predicted.delta_pays())?;
            Some((predicted.delta_ratio, found))
        });
        predicted.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, found)| found)
    }
}

impl Sheet {
    /// The items of the file.
    pub(super) fn relatives(&self) -> Relatives<'_> {
        Relatives::of(&self.manifest)
    }

    /// Reads the sketches of a file, which are only a hint. `None` if they or the manifest of the
    /// file are damaged or gone.
    async fn load(store: &Store, id: ObjectId) -> Result<Option<Self>> {
        let (key, file) = (Kind::Sketches.key(&id), Kind::Files.key(&id));
        let (Some(bytes), Some(manifest)) = (store.backend().get(&key).await?, store.backend().get(&file).await?)
        else {
            return Ok(None);
        };
        let sheet = FileManifest::parse(&file, &manifest).and_then(|manifest| {
            let sketches = check(&key, &manifest, &bytes)?;
            Ok(Self { manifest, sketches })
        });
        Ok(sheet.inspect_err(|error| tracing::warn!(%error, "damaged sketches are left out")).ok())
    }
}

/// Parses the sketches of a file.
///
/// # Errors
/// `Damaged`.
pub(crate) fn check(key: &str, manifest: &FileManifest, bytes: &[u8]) -> Result<Vec<(PieceRef, Sketch)>> {
    let sketches = intact(bytes).ok_or_else(|| Error::damaged(key, "the sketches do not match their digest"))?;
    parse(manifest, sketches).ok_or_else(|| Error::damaged(key, "the sketches do not fit the file"))
}

/// Returns `true` if the sketches match their digest.
pub(super) fn is_intact(bytes: &[u8]) -> bool {
    intact(bytes).is_some()
}

/// The sketches without their digest, or `None` if they do not match it.
fn intact(bytes: &[u8]) -> Option<&[u8]> {
    let (sketches, digest) = bytes.split_last_chunk::<32>()?;
    (Digest::of(sketches).as_bytes() == digest).then_some(sketches)
}

fn parse(manifest: &FileManifest, mut bytes: &[u8]) -> Option<Vec<(PieceRef, Sketch)>> {
    let pieces: Vec<_> = manifest.items.iter().flat_map(|item| item.pieces.iter().map(|p| (item.dtype, *p))).collect();
    let mut sketches = Vec::new();
    while let Some((number, rest)) = bytes.split_first_chunk() {
        let &(dtype, piece) = pieces.get(u32::from_le_bytes(*number) as usize)?;
        let (sketch, rest) = rest.split_at_checked(Sketch::size(dtype, piece.length))?;
        sketches.push((piece, Sketch::from_bytes(dtype, piece.length, sketch.to_vec()).ok()?));
        bytes = rest;
    }
    bytes.is_empty().then_some(sketches)
}

/// Serializes sketches, given with the numbers of their pieces in the file, and their digest.
/// Empty if there are none.
pub(super) fn write<'a>(sketches: impl IntoIterator<Item = (usize, &'a Sketch)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, sketch) in sketches {
        bytes.extend_from_slice(&(number as u32).to_le_bytes());
        bytes.extend_from_slice(sketch.bytes());
    }
    if !bytes.is_empty() {
        let digest = Digest::of(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
    }
    bytes
}
