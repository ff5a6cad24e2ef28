//! Verification of the stored models.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::archives;
use crate::backend::REQUESTS;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::gc::{record, room};
use crate::ingest;
use crate::keys::{self, Kind, ObjectId};
use crate::manifest::{FileEntry, FileManifest, Model, ModelName, PieceRef};
use crate::part::Part;
use crate::registers;
use crate::run;
use crate::store::Store;
use crate::uploads;

/// The depth of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VerifyDepth {
    /// Checks that all needed objects exist and all manifests parse.
    Presence,
    /// Also decodes a share of the pieces, from 0 to 1, and compares their digests, and reads that
    /// share of the kept archives. Each check chooses other ones.
    Sample(f64),
    /// Also restores every file and compares its digest, and reads the kept archives.
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
    /// The key of the object that is damaged or missing.
    pub key: String,
    /// The damage.
    pub problem: String,
}

impl Problem {
    /// The problem of a model as a whole.
    pub(crate) fn of_model(model: &ModelName, error: &Error) -> Self {
        Self { model: model.to_string(), path: String::new(), key: key_of(error), problem: error.to_string() }
    }

    /// The problem of an object that belongs to no model.
    pub(crate) fn of_object(key: &str, error: &Error) -> Self {
        Self { model: String::new(), path: key.to_owned(), key: key_of(error), problem: error.to_string() }
    }
}

/// A random share of all digests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    share: f64,
    salt: uuid::Uuid,
}

impl Sample {
    /// The share that a check of this depth reads. Each check chooses other digests.
    pub(crate) fn of(depth: VerifyDepth) -> Self {
        let share = match depth {
            VerifyDepth::Presence => 0.0,
            VerifyDepth::Sample(share) => share,
            VerifyDepth::ReadData => 1.0,
        };
        Self { share, salt: uuid::Uuid::new_v4() }
    }

    fn has(&self, digest: &Digest) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.salt.as_bytes()).update(digest.as_bytes());
        let first = hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        f64::from(first) < self.share * 2f64.powi(32)
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
        self.verify_part(Part::default(), depth, progress).await
    }

    /// Checks a part of the store as [`verify`](Self::verify) does: the models whose names, and the
    /// files whose contents, have digests in the part, with all that these files need. Each problem
    /// is found by the check of one part.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify).
    pub async fn verify_part(
        &self,
        part: Part,
        depth: VerifyDepth,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Verified> {
        let listing = self.original_listing().await?;
        let models = listing.models;
        let mut files = Files::new();
        for model in &models {
            let own = model.files.iter().filter(|file| part.has(&file.id.digest));
            files.extend(own.map(|file| (file.id, (model, file))));
        }
        let has = |name: &str| part.has(&Digest::of(name.as_bytes()));
        let own = models.iter().filter(|model| has(model.name.as_str())).count();
        let mut verified = Verified { models: own as u64, files: files.len() as u64, ..Verified::default() };
        verified.problems = listing.problems;
        verified.problems.retain(|problem| has(&problem.model));
        let sample = Sample::of(depth);
        self.check_objects(part, sample, &mut verified.problems).await?;
        let pieces = self.check_presence(&files, &mut verified).await?;
        verified.pieces = pieces.len() as u64;
        self.check_archives(part, sample, &mut verified.problems).await?;
        match depth {
            VerifyDepth::Presence => {}
            VerifyDepth::Sample(_) => self.check_sample(pieces, sample, &mut verified, progress).await,
            VerifyDepth::ReadData => self.check_data(&files, &mut verified, progress).await,
        }
        self.forgive_removed(&models, &mut verified).await?;
        Ok(verified)
    }

    /// Checks the objects of a part that no model refers to: sketches, signatures and registers,
    /// and with the first part the mark of the store, the records of runs and collections, and
    /// uploads, of whose received bytes it reads a share.
    pub(crate) async fn check_objects(&self, part: Part, sample: Sample, problems: &mut Vec<Problem>) -> Result<()> {
        let mut listed = Vec::new();
        for folder in part.folders(Kind::Sketches.folder()) {
            listed.extend(self.backend().list(&folder).await?);
        }
        let own = listed.iter().filter(|object| part.covers(&object.key));
        let ids = own.filter_map(|object| Kind::Sketches.parse(&object.key));
        let sketches = stream::iter(ids).map(|id| async move {
            let key = Kind::Sketches.key(&id);
            let checked = check_sketches(self, &key, &id).await;
            (key, checked)
        });
        let mut checked: Vec<(String, Result<()>)> = sketches.buffer_unordered(REQUESTS).collect().await;
        checked.extend(registers::check(self, part).await?);
        let is_own = |key: &str| part.covers(key) || part.is_first() && !keys::is_collectable(key);
        checked.extend(ingest::check_signatures(self).await?.into_iter().filter(|(key, _)| is_own(key)));
        if part.is_first() {
            problems.extend(self.check_mark().await?);
            checked.extend(self.check_records(sample).await?);
        }
        note(problems, checked)
    }

    /// Checks the records of runs and collections, and uploads. Returns the result for each key.
    async fn check_records(&self, sample: Sample) -> Result<Vec<(String, Result<()>)>> {
        let mut checked = run::check_all(self.backend()).await?;
        checked.extend(room::check(self.backend()).await?);
        checked.extend(record::check_all(self.backend()).await?);
        checked.extend(uploads::check_all(self, |part| sample.has(part)).await?);
        Ok(checked)
    }

    /// Reads a share of the kept archives, each of which has a digest of all its bytes.
    async fn check_archives(&self, part: Part, sample: Sample, problems: &mut Vec<Problem>) -> Result<()> {
        let mut listed = self.backend().list(Kind::Archives.folder()).await?;
        listed.retain(|object| part.covers(&object.key));
        let pairs = listed.into_iter().filter_map(|object| Some((keys::archive(&object.key)?, object.key)));
        let chosen = pairs.filter(|((target, _), _)| sample.has(target));
        let checked = stream::iter(chosen).map(|((target, base), key)| async move {
            let checked = archives::check(self, &target, &base).await;
            checked.map(|result| (key, result))
        });
        let checked: Vec<_> = checked.buffer_unordered(self.width()).try_collect().await?;
        note(problems, checked)
    }

    /// Checks that all needed objects exist, and returns the pieces.
    async fn check_presence<'a>(
        &self,
        files: &Files<'a>,
        verified: &mut Verified,
    ) -> Result<HashMap<ObjectId, (PieceRef, (&'a Model, &'a FileEntry))>> {
        let manifests = stream::iter(files).map(|(id, file)| async move { (*file, self.file(id).await) });
        let mut manifests = manifests.buffered(REQUESTS);
        let mut read = Vec::new();
        while let Some((file, manifest)) = manifests.next().await {
            match manifest.and_then(|manifest| check_length(&manifest, file.1).map(|()| manifest)) {
                Ok(manifest) => {
                    let pieces: Vec<PieceRef> = manifest.pieces().copied().collect();
                    read.push((file, pieces, manifest.all_further().collect::<Vec<ObjectId>>()));
                }
                Err(error) => verified.problems.push(problem(file, &error)),
            }
        }
        drop(manifests);
        // Of the listing, which may be much longer, nothing is kept.
        let mut missing: HashSet<ObjectId> =
            read.iter().flat_map(|(_, pieces, further)| needed(pieces, further)).collect();
        let mut listed = self.backend().listed(Kind::Pieces.folder());
        while let Some(object) = listed.try_next().await? {
            if let Some(id) = Kind::Pieces.parse(&object.key) {
                missing.remove(&id);
            }
        }
        let mut there = HashMap::new();
        for (file, pieces, further) in read {
            let lost = needed(&pieces, &further).find(|id| missing.contains(id));
            match lost {
                None => there.extend(pieces.into_iter().map(|piece| (piece.id, (piece, file)))),
                Some(id) => {
                    let error = Error::damaged(Kind::Pieces.key(&id), "the object is missing");
                    verified.problems.push(problem(file, &error));
                }
            }
        }
        Ok(there)
    }

    /// Decodes a random share of the pieces.
    async fn check_sample(
        &self,
        pieces: HashMap<ObjectId, (PieceRef, (&Model, &FileEntry))>,
        sample: Sample,
        verified: &mut Verified,
        progress: &(dyn Fn(u64) + Sync),
    ) {
        let chosen = pieces.into_iter().filter(|(id, _)| sample.has(&id.digest)).map(|(_, piece)| piece);
        let fresh = &self.with_none_kept();
        let checked = stream::iter(chosen).map(|(piece, file)| async move { (file, fresh.piece(&piece).await) });
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
        let now = self.original_listing().await?;
        let is_gone = |problem: &Problem| {
            let checked = models.iter().find(|model| model.name.as_str() == problem.model);
            checked.is_some_and(|model| !now.models.contains(model))
        };
        verified.problems.retain(|problem| !is_gone(problem));
        verified.problems.dedup();
        Ok(())
    }
}

/// Adds the damage among these results to `problems`.
fn note(problems: &mut Vec<Problem>, checked: Vec<(String, Result<()>)>) -> Result<()> {
    for (key, result) in checked {
        match result {
            Err(error) if error.is_of_object() => problems.push(Problem::of_object(&key, &error)),
            result => result?,
        }
    }
    Ok(())
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

fn check_length(manifest: &FileManifest, file: &FileEntry) -> Result<()> {
    if manifest.length == file.length {
        return Ok(());
    }
    let problem = format!("the manifest states {} bytes, but its model {}", manifest.length, file.length);
    Err(Error::damaged(Kind::Files.key(&file.id), problem))
}

/// The pieces and their bases, with the further pieces of bases.
fn needed<'a>(pieces: &'a [PieceRef], further: &'a [ObjectId]) -> impl Iterator<Item = ObjectId> + 'a {
    pieces.iter().flat_map(|piece| [Some(piece.id), piece.base]).flatten().chain(further.iter().copied())
}

fn problem((model, file): (&Model, &FileEntry), error: &Error) -> Problem {
    Problem { path: file.path.clone(), ..Problem::of_model(&model.name, error) }
}

/// The key of the object that an error is about. Empty if the error names none.
fn key_of(error: &Error) -> String {
    if let Error::Damaged { key, .. } = error { key.clone() } else { String::new() }
}
