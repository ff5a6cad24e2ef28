//! Adds models to the store. A file is read once for digests and sketches, and a second time to
//! store what is missing.

mod bases;
mod copies;
mod excerpts;
mod file;
mod fused;
mod index;
mod local;
mod matrices;
mod packs;
mod parts;
mod planning;
mod relatives;
mod search;
mod sets;
mod signature;
mod sketches;
mod values;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitx::Effort;
use object_store::PutPayload;

pub(crate) use copies::Copy;
pub use index::Indexed;
pub(crate) use index::check as check_signatures;
pub use local::Source;
pub(crate) use packs::{LONGEST as LONGEST_PACK, ranges};
pub(crate) use parts::shape;
pub(crate) use planning::{Kept, Local, Seen, Shelf};
pub(crate) use search::NEAR;
pub(crate) use signature::Signature;
pub(crate) use sketches::{LEAST as LEAST_SKETCHED, check as check_sketches};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, Model, ModelName, check_path, check_paths};
use crate::plan::SurveyedFile;
use crate::run::Run;
use crate::stop::until;
use crate::store::Store;

/// The time that a run which has failed takes to remove its record, at most.
const LONGEST_END: Duration = Duration::from_secs(1);

/// The result of adding a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Added {
    /// The model was published already, with the same files.
    pub unchanged: bool,
    /// The number of files.
    pub files: u64,
    /// The length of all files in bytes.
    pub bytes: u64,
    /// The bytes that were stored already.
    pub known_bytes: u64,
    /// The bytes written to the storage, including manifests.
    pub stored_bytes: u64,
    /// The bytes of new pieces that were stored as deltas, before coding.
    pub delta_bytes: u64,
    /// The time spent waiting for the storage to write, in milliseconds. Waits at the same time add
    /// up.
    pub storage_ms: u64,
    /// The models that are kept as bytes, each by its path and the reason.
    pub warnings: Vec<String>,
}

/// A file to add to a model, whose content is stored already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The path that the file will have in the model, with `/` as separator.
    pub path: String,
    /// The BLAKE3 digest of the file.
    pub digest: Digest,
}

/// A model to add, with all that is known about it.
pub struct Addition<'a> {
    /// The local files.
    pub files: &'a [Source],
    /// Further files, which are stored already.
    pub stored: &'a [Stored],
    /// Files that are likely bases. Others are looked for as well.
    pub bases: &'a [Digest],
    /// The files as a survey saw them. Nothing is published if one of them has changed.
    pub surveyed: &'a [SurveyedFile],
    /// The compression effort.
    pub effort: Effort,
    /// Receives the number of bytes of each part that is done.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Returns true once the work is to stop. Nothing is published then.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Addition<'a> {
    /// A model of these files, of which nothing else is known.
    pub fn of(files: &'a [Source]) -> Self {
        let (progress, stop) = (&|_| {}, &|| false);
        Self { files, stored: &[], bases: &[], surveyed: &[], effort: Effort::Default, progress, stop }
    }
}

/// The state of adding one model.
pub(crate) struct Ingest<'a> {
    store: &'a Store,
    run: &'a Run,
    effort: Effort,
    /// The search for bases, if they are wanted.
    search: Option<search::Search<'a>>,
    counts: Counts,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// The figures of [`Added`] that pieces contribute to.
#[derive(Debug, Default)]
struct Counts {
    known: AtomicU64,
    stored: AtomicU64,
    delta: AtomicU64,
    storage: Mutex<Duration>,
    warnings: Mutex<Vec<String>>,
}

impl Counts {
    /// Notes the warnings about the file at `path`.
    fn warn(&self, path: &str, warnings: Vec<String>) {
        if let Ok(mut all) = self.warnings.lock() {
            all.extend(warnings.into_iter().map(|warning| format!("{path}: {warning}")));
        }
    }
}

impl Store {
    /// Adds `files` as the model `name`, replacing the model of that name. The model is published
    /// when all of its pieces have been stored, decoded and compared. `progress` receives the
    /// number of bytes of each part that is done.
    ///
    /// # Errors
    /// Files that cannot be read; those of the storage. Nothing is published then.
    pub async fn add(
        &self,
        name: &ModelName,
        files: &[Source],
        effort: Effort,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Added> {
        self.add_with(name, files, &[], effort, progress).await
    }

    /// Adds a model as [`add`](Self::add) does, with further files that are `stored` already.
    ///
    /// # Errors
    /// Those of [`add`](Self::add); `NotFound` for a file of `stored` that is no longer stored.
    pub async fn add_with(
        &self,
        name: &ModelName,
        files: &[Source],
        stored: &[Stored],
        effort: Effort,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Added> {
        self.add_as(name, &Addition { stored, effort, progress, ..Addition::of(files) }).await
    }

    /// Adds a model as [`add`](Self::add) does, with all that is known about it.
    ///
    /// # Errors
    /// Those of [`add_with`](Self::add_with); `Stopped`; `File` for a file that has changed since
    /// it was surveyed.
    pub async fn add_as(&self, name: &ModelName, what: &Addition<'_>) -> Result<Added> {
        let files = what.files.iter().map(|file| file.path.as_str());
        check_paths(files.chain(what.stored.iter().map(|file| file.path.as_str())))?;
        until(self.mark(), what.stop).await?;
        let run = self.begin(name, what.stop).await?;
        match until(self.ingest(&run, name, what), what.stop).await {
            Ok((model, added)) => self.publish(run, &model, added).await,
            Err(error) => {
                // A failure to end the run would only hide the first error.
                let _ = tokio::time::timeout(LONGEST_END, run.end()).await;
                Err(error)
            }
        }
    }

    /// Begins a run. One that is stopped while it begins is ended, so that no record stays.
    async fn begin(&self, name: &ModelName, stop: &(dyn Fn() -> bool + Sync)) -> Result<Run> {
        let (backend, name) = (self.backend().clone(), name.clone());
        let mut begun = tokio::spawn(async move { Run::begin(&backend, &name).await });
        let joined = async { (&mut begun).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) };
        let run = until(joined, stop).await;
        if let Err(Error::Stopped) = run
            && let Ok(Ok(Ok(run))) = tokio::time::timeout(LONGEST_END, begun).await
        {
            let _ = tokio::time::timeout(LONGEST_END, run.end()).await;
        }
        run
    }

    /// Stores all files, and returns the manifest of the model.
    async fn ingest(
        &self,
        run: &Run,
        name: &ModelName,
        &Addition { files, stored, bases, surveyed, effort, progress, .. }: &Addition<'_>,
    ) -> Result<(Model, Added)> {
        let search = Some(search::Search::begin(self, run).await?.suggest(bases).await?);
        let ingest = Ingest { store: self, run, effort, search, counts: Counts::default(), progress };
        let mut entries = Vec::with_capacity(files.len() + stored.len());
        for stored in stored {
            entries.push(ingest.stored(stored).await?);
        }
        for source in files {
            entries.push(ingest.file(source).await?);
        }
        let model = Model::new(name.clone(), entries);
        surveyed.iter().try_for_each(|file| file.check(&model))?;
        let added = Added {
            unchanged: false,
            files: model.files.len() as u64,
            bytes: model.length(),
            known_bytes: ingest.counts.known.into_inner(),
            stored_bytes: ingest.counts.stored.into_inner(),
            delta_bytes: ingest.counts.delta.into_inner(),
            storage_ms: ingest.counts.storage.into_inner().unwrap_or_default().as_millis() as u64,
            warnings: ingest.counts.warnings.into_inner().unwrap_or_default(),
        };
        Ok((model, added))
    }

    /// Publishes the model, unless the latest model of its name has the same files.
    async fn publish(&self, run: Run, model: &Model, added: Added) -> Result<Added> {
        let same = |there: &Model| {
            // Equal content under another id was stored again, because the earlier object was lost.
            there.files == model.files
        };
        let earlier = self.revisions(&model.name).await?;
        let there = match earlier.last() {
            Some(key) => self.published(key).await,
            None => Ok(None),
        };
        let there = match there {
            Err(error) if error.is_of_object() => None,
            there => there?,
        };
        if there.is_some_and(|there| same(&there)) {
            run.end().await?;
            return Ok(Added { unchanged: true, ..added });
        }
        run.publish(model).await?;
        self.remove_replaced(&model.name).await?;
        Ok(added)
    }
}

impl<'a> Ingest<'a> {
    /// The state of adding files beside the stored ones, without looking for bases.
    pub(crate) fn of(store: &'a Store, run: &'a Run, effort: Effort, progress: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { store, run, effort, search: None, counts: Counts::default(), progress }
    }

    /// Returns the entry of a file whose content is stored already.
    async fn stored(&self, stored: &Stored) -> Result<FileEntry> {
        check_path(&stored.path)?;
        let missing = || Error::NotFound(format!("stored file {} any longer", stored.digest));
        let id = self.find_file(&stored.digest).await?.ok_or_else(missing)?;
        let length = self.store.file(&id).await?.length;
        self.counts.known.fetch_add(length, Ordering::Relaxed);
        (self.progress)(length);
        Ok(FileEntry { path: stored.path.clone(), length, id })
    }

    /// Replaces a damaged object and counts its bytes.
    async fn replace(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        let bytes = bytes.into();
        let length = bytes.content_length() as u64;
        self.store.backend().put(key, bytes).await?;
        self.counts.stored.fetch_add(length, Ordering::Relaxed);
        tracing::info!(key, "a damaged object was replaced");
        Ok(())
    }

    /// Creates an object and counts its bytes, or returns `false` if it exists.
    async fn create(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<bool> {
        let (bytes, begun) = (bytes.into(), Instant::now());
        let length = bytes.content_length() as u64;
        let created = self.store.backend().create(key, bytes).await?;
        self.counts.stored.fetch_add(if created { length } else { 0 }, Ordering::Relaxed);
        if let Ok(mut storage) = self.counts.storage.lock() {
            *storage += begun.elapsed();
        }
        Ok(created)
    }
}
