//! The store: what is in it, and how objects are found.

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

/// A store of models in a folder or a bucket. Any number of processes may read and write the same one.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    /// One permit per core that may compute.
    cores: Arc<Semaphore>,
    threads: usize,
}

impl Store {
    /// Opens the store at `root` (see [`Backend::open`]) to compute on so many threads at a time.
    ///
    /// # Errors
    /// A root that cannot be opened, or that a later version has laid out.
    pub async fn open(root: &str, threads: usize) -> Result<Self> {
        Self::over(Backend::open(root)?, threads).await
    }

    /// The same over any storage.
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
                version => return Err(Error::Unsupported(format!("{FORMAT}: layout of version {version:?}"))),
            }
        }
        Ok(store)
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Pieces to have under way at a time: while some compute, others are read and written.
    pub(crate) fn width(&self) -> usize {
        self.threads * 2
    }

    /// States the layout's version, so that later ones know.
    pub(crate) async fn state_format(&self) -> Result<()> {
        if self.backend.get(FORMAT).await?.is_none() {
            self.backend.create(FORMAT, json(FORMAT, &BTreeMap::from([("version", VERSION)]))?).await?;
        }
        Ok(())
    }

    /// Computes on one of the store's threads.
    pub(crate) async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let cores = self.cores.clone();
        // In a task of its own: a turn that came while nobody polls whoever waits for it would be held, and not used.
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

    /// Whether the storage answers.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn ping(&self) -> Result<()> {
        self.backend.list(RUNS).await.map(drop)
    }

    /// All published models, by name.
    ///
    /// # Errors
    /// Anything that cannot be listed or read.
    pub async fn models(&self) -> Result<Vec<Model>> {
        let mut keys: Vec<String> = self.backend.list(MODELS).await?.into_iter().map(|listed| listed.key).collect();
        keys.sort();
        // All are read, whatever their size: what is short may be a tombstone, or a manifest that was cut off.
        let read = stream::iter(keys).map(|key| async move { self.published(&key).await }).buffered(REQUESTS);
        let read: Vec<Option<Model>> = read.try_collect().await?;
        // Runs are numbered in the order of time, so that later ones replace earlier ones.
        let latest: BTreeMap<_, _> = read.into_iter().flatten().map(|model| (model.name.clone(), model)).collect();
        Ok(latest.into_values().collect())
    }

    /// The model of that name.
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

    /// Removes the model of that name. Its bytes stay until a collection.
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

    /// Removes what was published under that name before the latest. Of several that publish at once, whoever is last
    /// sees them all, and may itself have been replaced.
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

    /// Keys of all that was published under that name, earliest first, tombstones of dead writers included.
    pub(crate) async fn revisions(&self, name: &ModelName) -> Result<Vec<String>> {
        let folder = format!("{MODELS}/{name}");
        let listed = self.backend.list(&folder).await?;
        // `org` may be a model, and a folder of models.
        let own = |key: &String| key.strip_prefix(&folder).is_some_and(|rest| rest.matches('/').count() == 1);
        let mut keys: Vec<String> = listed.into_iter().map(|listed| listed.key).filter(own).collect();
        keys.sort();
        Ok(keys)
    }

    pub(crate) async fn published(&self, key: &str) -> Result<Option<Model>> {
        // It may have been removed since it was listed.
        let Some(bytes) = self.backend.get(key).await? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(Published::Expired { .. }) => Ok(None),
            _ => Model::parse(key, &bytes).map(Some),
        }
    }

    /// How a file is made.
    ///
    /// # Errors
    /// `Damaged`, if it is not there or does not parse.
    pub async fn file(&self, id: &ObjectId) -> Result<FileManifest> {
        let key = Kind::Files.key(id);
        FileManifest::parse(&key, &self.object(&key).await?)
    }

    /// The object of that key, which must be there.
    pub(crate) async fn object(&self, key: &str) -> Result<Bytes> {
        self.backend.get(key).await?.ok_or_else(|| Error::damaged(key, "it is missing"))
    }

    /// The object that holds that content, if there is one that `run` may rely on.
    pub(crate) async fn find(&self, run: &Run, kind: Kind, digest: &Digest) -> Result<Option<ObjectId>> {
        let listed = self.backend.list(&kind.place(digest)).await?;
        let usable = listed.into_iter().filter(|object| !run.is_condemned(&object.key));
        Ok(usable.filter_map(|object| kind.parse(&object.key)).max())
    }

    /// The same for a piece, with its base, which must be there as well.
    pub(crate) async fn find_piece(&self, run: &Run, digest: &Digest) -> Result<Option<(ObjectId, Option<ObjectId>)>> {
        let Some(id) = self.find(run, Kind::Pieces, digest).await? else { return Ok(None) };
        let base = self.base_of(&id).await?;
        match base {
            Some(base) if !self.is_there(run, &base).await? => Ok(None),
            base => Ok(Some((id, base))),
        }
    }

    /// The base of a piece that is stored as a delta.
    pub(crate) async fn base_of(&self, id: &ObjectId) -> Result<Option<ObjectId>> {
        let key = Kind::Pieces.key(id);
        let head = self.backend.head(&key, codec::LONGEST_HEAD).await?;
        let head = head.ok_or_else(|| Error::damaged(&key, "it is missing"))?;
        codec::base_of(&head).map_err(|problem| Error::damaged(key, problem))
    }

    /// Whether that very object is there for `run` to rely on.
    pub(crate) async fn is_there(&self, run: &Run, id: &ObjectId) -> Result<bool> {
        let key = Kind::Pieces.key(id);
        Ok(!run.is_condemned(&key) && self.backend.head(&key, 1).await?.is_some())
    }
}
