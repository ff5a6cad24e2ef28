//! Verification of the stored models.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, stream};

use crate::backend::REQUESTS;
use crate::error::{Error, Result};
use crate::gc::record;
use crate::ingest;
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Model, ModelName, PieceRef};
use crate::run;
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
    /// A model that cannot be restored. Empty for an object that belongs to no model.
    pub model: String,
    /// The damaged file of the model, or the key of the object. Empty if the model itself cannot be
    /// read.
    pub path: String,
    /// The damage.
    pub problem: String,
}

impl Problem {
    /// The problem of a model as a whole.
    pub(crate) fn of_model(model: &ModelName, error: &Error) -> Self {
        Self { model: model.to_string(), path: String::new(), problem: error.to_string() }
    }

    /// The problem of an object that belongs to no model.
    pub(crate) fn of_object(key: &str, error: &Error) -> Self {
        Self { model: String::new(), path: key.to_owned(), problem: error.to_string() }
    }
}

/// The files of published models, equal ones once, each with a model to name if it is damaged.
type Files<'a> = BTreeMap<ObjectId, (&'a Model, &'a FileEntry)>;

impl Store {
    /// Checks all objects that published models need. `progress` receives the number of bytes of
    /// each part that was read.
    ///
    /// # Errors
    /// Those of the storage. Damage is not an error but a [`Problem`] in the result.
    pub async fn verify(&self, depth: VerifyDepth, progress: &(dyn Fn(u64) + Sync)) -> Result<Verified> {
        let listing = self.listing().await?;
        let models = listing.models;
        let mut files = Files::new();
        for model in &models {
            files.extend(model.files.iter().map(|file| (file.id, (model, file))));
        }
        let mut verified = Verified { models: models.len() as u64, files: files.len() as u64, ..Verified::default() };
        verified.problems = listing.problems;
        self.check_objects(&mut verified).await?;
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

    /// Checks the objects that no model refers to: sketches, and the records of runs and collections.
    async fn check_objects(&self, verified: &mut Verified) -> Result<()> {
        let listed = self.backend().list(Kind::Sketches.folder()).await?;
        let ids = listed.iter().filter_map(|object| Kind::Sketches.parse(&object.key));
        let sketches = stream::iter(ids).map(|id| async move {
            let key = Kind::Sketches.key(&id);
            let checked = check_sketches(self, &key, &id).await;
            (key, checked)
        });
        let mut checked: Vec<(String, Result<()>)> = sketches.buffer_unordered(REQUESTS).collect().await;
        checked.extend(run::check_all(self.backend()).await?);
        checked.extend(record::check_all(self.backend()).await?);
        for (key, result) in checked {
            match result {
                Err(error) if error.is_of_object() => verified.problems.push(Problem::of_object(&key, &error)),
                result => result?,
            }
        }
        Ok(())
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
        let now = self.listing().await?;
        let is_gone = |problem: &Problem| {
            let checked = models.iter().find(|model| model.name.as_str() == problem.model);
            checked.is_some_and(|model| !now.models.contains(model))
        };
        verified.problems.retain(|problem| !is_gone(problem));
        verified.problems.dedup();
        Ok(())
    }
}

/// Checks the sketches of a file, unless they or the file are gone.
async fn check_sketches(store: &Store, key: &str, file: &ObjectId) -> Result<()> {
    let Some(bytes) = store.backend().get(key).await? else { return Ok(()) };
    match store.file(file).await {
        Ok(manifest) => ingest::check_sketches(key, &manifest, &bytes).map(drop),
        // The manifest is damaged, which is another problem, or gone.
        Err(error) if error.is_of_object() => Ok(()),
        Err(error) => Err(error),
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
