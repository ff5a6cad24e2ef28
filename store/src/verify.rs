//! Verification of the stored models.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, stream};

use crate::backend::REQUESTS;
use crate::error::{Error, Result};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Model, PieceRef};
use crate::store::Store;

/// The depth of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VerifyDepth {
    /// Checks that all needed objects exist and all manifests parse.
    Presence,
    /// Also decodes a share of the pieces, from 0 to 1, and compares their digests. Each check
    /// chooses other pieces.
    Sample(f64),
    /// Also restores every file and compares its digest.
    ReadData,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// The number of models checked.
    pub models: u64,
    /// The number of files checked; equal files count once.
    pub files: u64,
    /// The number of pieces checked; equal pieces count once.
    pub pieces: u64,
    /// The number of bytes that were decoded and compared with a digest.
    pub bytes_read: u64,
    /// The problems found.
    pub problems: Vec<Problem>,
}

/// A problem that a check has found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// A model that cannot be restored.
    pub model: String,
    /// The damaged file of the model.
    pub path: String,
    /// The damage.
    pub problem: String,
}

/// The files of published models, equal ones once, each with a model to name if it is damaged.
type Files<'a> = BTreeMap<ObjectId, (&'a Model, &'a FileEntry)>;

impl Store {
    /// Checks all objects that published models need. `progress` receives the number of bytes of
    /// each part that was read.
    ///
    /// # Errors
    /// Objects that cannot be listed, and manifests of models that cannot be read. Any other damage
    /// is not an error but a [`Problem`] in the result.
    pub async fn verify(&self, depth: VerifyDepth, progress: &(dyn Fn(u64) + Sync)) -> Result<Verified> {
        let models = self.models().await?;
        let mut files = Files::new();
        for model in &models {
            files.extend(model.files.iter().map(|file| (file.id, (model, file))));
        }
        let mut verified = Verified { models: models.len() as u64, files: files.len() as u64, ..Verified::default() };
        let pieces = self.check_presence(&files, &mut verified).await?;
        verified.pieces = pieces.len() as u64;
        match depth {
            VerifyDepth::Presence => {}
            VerifyDepth::Sample(share) => self.check_sample(pieces, share, &mut verified, progress).await,
            VerifyDepth::ReadData => self.check_data(&files, &mut verified, progress).await,
        }
        self.forgive_removed(&models, &mut verified).await?;
        Ok(verified)
    }

    /// Checks that all needed objects exist, and returns the pieces.
    async fn check_presence<'a>(
        &self,
        files: &Files<'a>,
        verified: &mut Verified,
    ) -> Result<HashMap<ObjectId, (PieceRef, (&'a Model, &'a FileEntry))>> {
        let listed = self.backend().list(Kind::Pieces.folder()).await?;
        let there: HashSet<ObjectId> = listed.iter().filter_map(|object| Kind::Pieces.parse(&object.key)).collect();
        let manifests = stream::iter(files).map(|(id, file)| async move { (*file, self.file(id).await) });
        let mut manifests = manifests.buffered(REQUESTS);
        let mut pieces = HashMap::new();
        while let Some((file, manifest)) = manifests.next().await {
            match manifest.and_then(|manifest| check_manifest(&manifest, file.1, &there).map(|()| manifest)) {
                Ok(manifest) => pieces.extend(manifest.pieces().map(|piece| (piece.id, (*piece, file)))),
                Err(error) => verified.problems.push(problem(file, &error)),
            }
        }
        Ok(pieces)
    }

    /// Decodes a random share of the pieces.
    async fn check_sample(
        &self,
        pieces: HashMap<ObjectId, (PieceRef, (&Model, &FileEntry))>,
        share: f64,
        verified: &mut Verified,
        progress: &(dyn Fn(u64) + Sync),
    ) {
        let salt = uuid::Uuid::new_v4();
        let chosen = |id: &ObjectId| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(salt.as_bytes()).update(id.digest.as_bytes());
            let first = hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            f64::from(first) < share * 2f64.powi(32)
        };
        let sample = pieces.into_iter().filter(|(id, _)| chosen(id)).map(|(_, piece)| piece);
        let checked = stream::iter(sample).map(|(piece, file)| async move { (file, self.piece(&piece).await) });
        let mut checked = checked.buffer_unordered(self.width());
        while let Some((file, bytes)) = checked.next().await {
            match bytes {
                Ok(bytes) => {
                    verified.bytes_read += bytes.len() as u64;
                    progress(bytes.len() as u64);
                }
                Err(error) => verified.problems.push(problem(file, &error)),
            }
        }
    }

    /// Restores every file.
    async fn check_data(&self, files: &Files<'_>, verified: &mut Verified, progress: &(dyn Fn(u64) + Sync)) {
        for &file in files.values() {
            let discard = |part: bytes::Bytes| {
                progress(part.len() as u64);
                std::future::ready(Ok(()))
            };
            match self.restore(file.1, discard).await {
                Ok(()) => verified.bytes_read += file.1.length,
                Err(error) => verified.problems.push(problem(file, &error)),
            }
        }
    }

    /// Drops the problems of models that were removed during the check.
    async fn forgive_removed(&self, models: &[Model], verified: &mut Verified) -> Result<()> {
        if verified.problems.is_empty() {
            return Ok(());
        }
        let now = self.models().await?;
        let still: HashSet<&str> =
            models.iter().filter(|model| now.contains(model)).map(|model| model.name.as_str()).collect();
        verified.problems.retain(|problem| still.contains(problem.model.as_str()));
        verified.problems.dedup();
        Ok(())
    }
}

fn check_manifest(manifest: &FileManifest, file: &FileEntry, there: &HashSet<ObjectId>) -> Result<()> {
    let key = || Kind::Files.key(&file.id);
    if manifest.length != file.length {
        let problem = format!("the manifest states {} bytes, but its model {}", manifest.length, file.length);
        return Err(Error::damaged(key(), problem));
    }
    let needed = manifest.pieces().flat_map(|piece| [Some(piece.id), piece.base]).flatten();
    match needed.into_iter().find(|id| !there.contains(id)) {
        Some(id) => Err(Error::damaged(Kind::Pieces.key(&id), "the object is missing")),
        None => Ok(()),
    }
}

fn problem((model, file): (&Model, &FileEntry), error: &Error) -> Problem {
    Problem { model: model.name.to_string(), path: file.path.clone(), problem: error.to_string() }
}
