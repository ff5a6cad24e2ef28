//! Adding models: every file is read twice, first for digests and sketches, then for what is not stored yet.

mod file;
mod local;
mod parts;
mod sketches;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitx::Effort;
use object_store::PutPayload;

pub use local::{Source, sources};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, Model, ModelName, check_path};
use crate::run::Run;
use crate::store::Store;

/// What adding a model did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Added {
    /// The model was there already, file by file.
    pub unchanged: bool,
    /// Number of its files.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of pieces that were stored already.
    pub known_bytes: u64,
    /// Bytes that were written, manifests included.
    pub stored_bytes: u64,
    /// Bytes of pieces that were stored as deltas.
    pub delta_bytes: u64,
    /// Time in which nothing but the storage worked, summed over what went on at the same time.
    pub storage_ms: u64,
}

/// A file of a model that is stored already, in whatever model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it will be in the model, with `/`.
    pub path: String,
    /// Its BLAKE3.
    pub digest: Digest,
}

/// One model being added.
struct Ingest<'a> {
    store: &'a Store,
    run: &'a Run,
    effort: Effort,
    catalog: sketches::Catalog,
    counts: Counts,
    progress: &'a (dyn Fn(u64) + Sync),
}

#[derive(Debug, Default)]
struct Counts {
    known: AtomicU64,
    stored: AtomicU64,
    delta: AtomicU64,
    storage: Mutex<Duration>,
}

impl Store {
    /// Adds `files` as the model `name`, in place of what had that name. It is published when all of it is stored, decoded
    /// and compared; `progress` is told bytes of the files that are done.
    ///
    /// # Errors
    /// Files that cannot be read or are not what their names say; those of the storage. Nothing is published then.
    pub async fn add(
        &self,
        name: &ModelName,
        files: &[Source],
        effort: Effort,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Added> {
        self.add_with(name, files, &[], effort, progress).await
    }

    /// The same, of which some files are stored already and need not be at hand.
    ///
    /// # Errors
    /// Those of [`add`](Self::add); `NotFound` for a file that is not stored any more.
    pub async fn add_with(
        &self,
        name: &ModelName,
        files: &[Source],
        stored: &[Stored],
        effort: Effort,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Added> {
        self.state_format().await?;
        let run = Run::begin(self.backend(), name).await?;
        match self.ingest(&run, name, (files, stored), effort, progress).await {
            Ok((model, added)) => self.publish(run, &model, added).await,
            Err(error) => {
                // The first error says more than what may follow from it.
                let _ = run.end().await;
                Err(error)
            }
        }
    }

    async fn ingest(
        &self,
        run: &Run,
        name: &ModelName,
        (files, stored): (&[Source], &[Stored]),
        effort: Effort,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(Model, Added)> {
        let catalog = sketches::Catalog::load(self).await?;
        let ingest = Ingest { store: self, run, effort, catalog, counts: Counts::default(), progress };
        let mut entries = Vec::with_capacity(files.len() + stored.len());
        for stored in stored {
            entries.push(ingest.stored(stored).await?);
        }
        for source in files {
            entries.push(ingest.file(source).await?);
        }
        let model = Model::new(name.clone(), entries);
        let added = Added {
            unchanged: false,
            files: model.files.len() as u64,
            bytes: model.length(),
            known_bytes: ingest.counts.known.into_inner(),
            stored_bytes: ingest.counts.stored.into_inner(),
            delta_bytes: ingest.counts.delta.into_inner(),
            storage_ms: ingest.counts.storage.into_inner().unwrap_or_default().as_millis() as u64,
        };
        Ok((model, added))
    }

    async fn publish(&self, run: Run, model: &Model, added: Added) -> Result<Added> {
        let same = |there: &Model| {
            let digests =
                |model: &Model| -> Vec<_> { model.files.iter().map(|f| (f.path.clone(), f.id.digest)).collect() };
            digests(there) == digests(model)
        };
        let earlier = self.revisions(&model.name).await?;
        if let Some(key) = earlier.last()
            && self.published(key).await?.is_some_and(|there| same(&there))
        {
            run.end().await?;
            return Ok(Added { unchanged: true, ..added });
        }
        run.publish(model).await?;
        self.remove_replaced(&model.name).await?;
        Ok(added)
    }
}

impl Ingest<'_> {
    async fn stored(&self, stored: &Stored) -> Result<FileEntry> {
        check_path(&stored.path)?;
        let missing = || Error::NotFound(format!("stored file {} any more", stored.digest));
        let id = self.find_file(&stored.digest).await?.ok_or_else(missing)?;
        let length = self.store.file(&id).await?.length;
        self.counts.known.fetch_add(length, Ordering::Relaxed);
        (self.progress)(length);
        Ok(FileEntry { path: stored.path.clone(), length, id })
    }

    /// Writes an object unless it is there.
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
