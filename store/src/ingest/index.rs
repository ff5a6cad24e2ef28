//! The index of a store that was made before files had signatures.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::file::signatures;
use super::parts::bulk;
use super::search::{self, MOST, MOST_SMALL};
use super::signature::Signature;
use super::sketches::LEAST;
use crate::error::{Error, Result};
use crate::keys::{self, COMPLETE, Kind, MODELS, ObjectId, SIGNATURES};
use crate::manifest::{FileManifest, Item, PieceRef};
use crate::run::Run;
use crate::store::Store;

/// The result of indexing a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Indexed {
    /// The number of files that were read.
    pub files: u64,
    /// The number of signatures that were written.
    pub signatures: u64,
    /// The number of registers that were written.
    pub registers: u64,
}

impl Store {
    /// Writes the signatures of all files that may have bases and have no signature yet. Then a
    /// writer finds bases by their keys, and no longer reads the sketches of all files. It reads
    /// the pieces that are stored whole. `progress` receives the number of bytes of each. Then it
    /// writes registers, as a collection does.
    ///
    /// # Errors
    /// Those of the storage. Damaged files and pieces are logged and left out.
    pub async fn index(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<Indexed> {
        let models = self.backend().list(MODELS).await?;
        let Some(name) = models.iter().find_map(|listed| keys::model_of(&listed.key)) else {
            return self.backend().create(COMPLETE, "").await.map(|_| Indexed::default());
        };
        // As that of a repair, this run keeps collections from removing what it reads and writes.
        let run = Run::begin(self.backend(), &name).await?;
        let indexed = self.index_files(&run, progress).await;
        let ended = run.end().await;
        let indexed = ended.and(indexed)?;
        Ok(Indexed { registers: self.write_registers().await? as u64, ..indexed })
    }

    async fn index_files(&self, run: &Run, progress: &(dyn Fn(u64) + Sync)) -> Result<Indexed> {
        let mut files: BTreeMap<ObjectId, bool> = BTreeMap::new();
        for model in self.models().await? {
            files.extend(model.files.iter().map(|file| (file.id, false)));
        }
        let mut signed = self.backend().listed(SIGNATURES);
        while let Some(object) = signed.try_next().await? {
            if let Some(file) = keys::hinted(&object.key).and_then(|file| files.get_mut(&file)) {
                *file = true;
            }
        }
        let mut indexed = Indexed::default();
        for (id, _) in files.into_iter().filter(|(_, is_signed)| !is_signed) {
            if run.is_condemned(&Kind::Files.key(&id)) {
                continue;
            }
            match self.file(&id).await {
                Ok(manifest) => indexed.signatures += self.index_file(&id, &manifest, progress).await? as u64,
                Err(error) if error.is_of_object() => tracing::warn!(%error, "a damaged file is not indexed"),
                Err(error) => return Err(error),
            }
            indexed.files += 1;
        }
        self.backend().create(COMPLETE, "").await?;
        Ok(indexed)
    }

    /// Writes the signatures of a file, and returns their number.
    async fn index_file(
        &self,
        id: &ObjectId,
        manifest: &FileManifest,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<usize> {
        let pieces = || manifest.items.iter().flat_map(|item| item.pieces.iter().map(move |piece| (item, *piece)));
        let is_large = |item: &Item, piece: &PieceRef| bulk(item.dtype, item.name.is_some(), piece.length) >= LEAST;
        let tensors = || manifest.items.iter().filter(|item| item.name.is_some());
        let has_large = tensors().any(|item| item.pieces.iter().any(|piece| is_large(item, piece)))
            || tensors().all(|item| item.length() == 0);
        let useful = pieces().filter(|(item, piece)| {
            piece.base.is_none() && (is_large(item, piece) || !has_large && item.name.is_some())
        });
        let read = |(item, piece): (&Item, PieceRef)| {
            let (dtype, is_tensor) = (item.dtype, item.name.is_some());
            async move {
                let Some(bytes) = self.if_sound(&piece, progress).await? else { return Ok(Vec::new()) };
                Ok::<_, Error>(signatures(dtype, is_tensor, &bytes))
            }
        };
        let read: Vec<_> = useful.map(read).collect();
        let signatures: Vec<Vec<Signature>> = stream::iter(read).buffered(self.width()).try_collect().await?;
        let mut signatures: Vec<Signature> = signatures.into_iter().flatten().collect();
        if !has_large {
            signatures.extend(self.packed_signatures(manifest, progress).await?);
        }
        signatures.sort_by_key(Signature::order);
        signatures.truncate(if has_large { MOST } else { MOST_SMALL });
        search::sign(self, id, signatures.into_iter()).await
    }

    /// The signatures of the tensors in packs that are stored whole.
    async fn packed_signatures(
        &self,
        manifest: &FileManifest,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Signature>> {
        let (mut places, mut signatures) = (manifest.packed().peekable(), Vec::new());
        for (number, pack) in manifest.packs.iter().enumerate() {
            let bytes = if pack.base.is_none() { self.if_sound(pack, progress).await? } else { None };
            while let Some(place) = places.next_if(|place| place.pack == number) {
                let own = place.range.start as usize..place.range.end as usize;
                let tensor = bytes.as_ref().filter(|_| place.item.name.is_some()).and_then(|bytes| bytes.get(own));
                signatures.extend(tensor.and_then(|bytes| Signature::of_tensor(place.item.dtype, bytes)));
            }
        }
        Ok(signatures)
    }

    /// Reads a piece, unless it is damaged.
    async fn if_sound(&self, piece: &PieceRef, progress: &(dyn Fn(u64) + Sync)) -> Result<Option<Bytes>> {
        let bytes = match self.piece(piece).await {
            Err(error) if error.is_of_object() => return Ok(None),
            bytes => bytes?,
        };
        progress(bytes.len() as u64);
        Ok(Some(bytes))
    }
}

/// Checks the signatures, which are empty objects. Returns the result for each that is not.
pub(crate) async fn check(store: &Store) -> Result<Vec<(String, Result<()>)>> {
    let mut listed = store.backend().listed(SIGNATURES);
    let mut checked = Vec::new();
    while let Some(object) = listed.try_next().await? {
        if object.bytes > 0 && keys::is_own(&object.key) {
            let damaged = Error::damaged(&object.key, "the object is not empty");
            checked.push((object.key, Err(damaged)));
        }
    }
    Ok(checked)
}
