//! The store itself: opening it, its models, and the search for objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use crate::backend::{Backend, REQUESTS};
use crate::codec;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::{FORMAT, Kind, MODELS, ObjectId, RUNS};
use crate::manifest::{FileManifest, Model, ModelName, VERSION};
use crate::run::{Published, Run, json};

/// A store of models in a folder or a bucket. Any number of processes may read and write the same
/// one.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    /// One permit per thread that may compute.
    cores: Arc<Semaphore>,
    threads: usize,
}

impl Store {
    /// Opens the store at `root` (see [`Backend::open`]), which computes on up to `threads`
    /// threads.
    ///
    /// # Errors
    /// A root that cannot be opened, or a store that a later version has written.
    pub async fn open(root: &str, threads: usize) -> Result<Self> {
        Self::over(Backend::open(root)?, threads).await
    }

    /// Opens the store in any storage.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn over(backend: Backend, threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let store = Self { backend, cores: Arc::new(Semaphore::new(threads)), threads };
        if let Some(bytes) = store.backend.get(FORMAT).await? {
            let format: BTreeMap<String, u32> =
                serde_json::from_slice(&bytes).map_err(|e| Error::damaged(FORMAT, e))?;
            match format.get("version") {
                Some(&VERSION) => {}
                Some(version) => return Err(Error::unsupported(FORMAT, version)),
                None => return Err(Error::unsupported(FORMAT, "unknown")),
            }
        }
        Ok(store)
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The number of pieces to process at a time. It is twice that of threads, so that while some
    /// pieces are computed, others are read and written.
    pub(crate) fn width(&self) -> usize {
        self.threads * 2
    }

    /// Writes the version of the layout, unless it is there.
    pub(crate) async fn state_format(&self) -> Result<()> {
        if self.backend.get(FORMAT).await?.is_none() {
            self.backend.create(FORMAT, json(FORMAT, &BTreeMap::from([("version", VERSION)]))?).await?;
        }
        Ok(())
    }

    /// Calls `work` on a thread of its own, once one of the store's permits is free.
    pub(crate) async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let cores = self.cores.clone();
        // A separate task takes the permit. If the caller's future took it, it would hold the
        // permit without using it whenever that future is not polled.
        let done = tokio::spawn(async move {
            let permit = cores.acquire_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work()
            });
            work.await
        });
        match done.await.flatten() {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Checks that the storage answers.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn ping(&self) -> Result<()> {
        self.backend.list(RUNS).await.map(drop)
    }

    /// All published models, ordered by name.
    ///
    /// # Errors
    /// Models that cannot be listed or read.
    pub async fn models(&self) -> Result<Vec<Model>> {
        let mut keys: Vec<String> = self.backend.list(MODELS).await?.into_iter().map(|listed| listed.key).collect();
        keys.sort();
        // Even short objects are read, since a short one may be a tombstone or a damaged manifest.
        let read = stream::iter(keys).map(|key| async move { self.published(&key).await }).buffered(REQUESTS);
        let read: Vec<Option<Model>> = read.try_collect().await?;
        // The ids of runs are ordered by time, so that later models replace earlier ones.
        let latest: BTreeMap<_, _> = read.into_iter().flatten().map(|model| (model.name.clone(), model)).collect();
        Ok(latest.into_values().collect())
    }

    /// The published model of this name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn model(&self, name: &ModelName) -> Result<Model> {
        let mut keys = self.revisions(name).await?;
        while let Some(key) = keys.pop() {
            if let Some(model) = self.published(&key).await? {
                return Ok(model);
            }
        }
        Err(Error::NotFound(format!("model {name}")))
    }

    /// Removes the model of this name. Its bytes stay until the next collection.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove(&self, name: &ModelName) -> Result<()> {
        self.model(name).await?;
        for key in self.revisions(name).await? {
            if self.published(&key).await?.is_some() {
                self.backend.delete(&key).await?;
            }
        }
        Ok(())
    }

    /// Removes all models of this name but the latest. Of several writers that publish at the same
    /// time, the last one sees all the models, and may have to remove its own.
    pub(crate) async fn remove_replaced(&self, name: &ModelName) -> Result<()> {
        let mut published = Vec::new();
        for key in self.revisions(name).await? {
            if self.published(&key).await?.is_some() {
                published.push(key);
            }
        }
        published.pop();
        for old in published {
            self.backend().delete(&old).await?;
        }
        Ok(())
    }

    /// The keys of all models of this name, oldest first, including tombstones of dead writers.
    pub(crate) async fn revisions(&self, name: &ModelName) -> Result<Vec<String>> {
        let folder = format!("{MODELS}/{name}");
        let listed = self.backend.list(&folder).await?;
        // A name such as `org` may be both a model and a folder of models.
        let own = |key: &String| key.strip_prefix(&folder).is_some_and(|rest| rest.matches('/').count() == 1);
        let mut keys: Vec<String> = listed.into_iter().map(|listed| listed.key).filter(own).collect();
        keys.sort();
        Ok(keys)
    }

    /// The model under this key, or `None` for a tombstone.
    pub(crate) async fn published(&self, key: &str) -> Result<Option<Model>> {
        // The object may have been removed since it was listed.
        let Some(bytes) = self.backend.get(key).await? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(Published::Expired { .. }) => Ok(None),
            _ => Model::parse(key, &bytes).map(Some),
        }
    }

    /// The manifest of a file, which lists its tensors and pieces.
    ///
    /// # Errors
    /// `Damaged`, if it is missing or does not parse.
    pub async fn file(&self, id: &ObjectId) -> Result<FileManifest> {
        let key = Kind::Files.key(id);
        FileManifest::parse(&key, &self.object(&key).await?)
    }

    /// The object of this key, which must exist.
    pub(crate) async fn object(&self, key: &str) -> Result<Bytes> {
        self.backend.get(key).await?.ok_or_else(|| Error::damaged(key, "the object is missing"))
    }

    /// An object with this content, if there is one that `run` may rely on.
    pub(crate) async fn find(&self, run: &Run, kind: Kind, digest: &Digest) -> Result<Option<ObjectId>> {
        let listed = self.backend.list(&kind.place(digest)).await?;
        let usable = listed.into_iter().filter(|object| !run.is_condemned(&object.key));
        Ok(usable.filter_map(|object| kind.parse(&object.key)).max())
    }

    /// A piece with this content and its base, if `run` may rely on both.
    pub(crate) async fn find_piece(&self, run: &Run, digest: &Digest) -> Result<Option<(ObjectId, Option<ObjectId>)>> {
        let Some(id) = self.find(run, Kind::Pieces, digest).await? else { return Ok(None) };
        let base = self.base_of(&id).await?;
        match base {
            Some(base) if !self.is_there(run, &base).await? => Ok(None),
            base => Ok(Some((id, base))),
        }
    }

    /// The base of a piece, or `None` if it is not stored as a delta.
    pub(crate) async fn base_of(&self, id: &ObjectId) -> Result<Option<ObjectId>> {
        let key = Kind::Pieces.key(id);
        let head = self.backend.head(&key, codec::LONGEST_HEAD).await?;
        let head = head.ok_or_else(|| Error::damaged(&key, "the object is missing"))?;
        codec::base_of(&head).map_err(|problem| Error::damaged(key, problem))
    }

    /// Returns `true` if this piece exists and `run` may rely on it.
    pub(crate) async fn is_there(&self, run: &Run, id: &ObjectId) -> Result<bool> {
        let key = Kind::Pieces.key(id);
        Ok(!run.is_condemned(&key) && self.backend.head(&key, 1).await?.is_some())
    }
}
