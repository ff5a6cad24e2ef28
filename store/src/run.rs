//! A writer at work: what keeps collections from taking what it relies on.
//!
//! A run leaves a record before it looks at anything, and a sign of life from time to time. It ends by publishing its
//! model, under a key that only it uses and that can be created once. A collection that takes a run for dead creates that
//! same key first, as a tombstone; so a run is published or expired, never both, whatever the clocks say.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::Error as StorageError;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::backend::{self, Backend, Listed, REQUESTS};
use crate::error::{Error, Result};
use crate::gc::record;
use crate::keys::{GC, MODELS, ObjectId, RUNS};
use crate::manifest::{Model, ModelName};
use crate::process::Process;

/// A run gives a sign of life so often.
const BEAT: Duration = Duration::from_secs(30);

/// Manifests of models are longer.
const LONGEST_TOMBSTONE: u64 = 40;

/// What a run says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) model: ModelName,
    pub(crate) process: Process,
}

/// What a key of a published model holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Published {
    Expired {
        expired: bool,
        /// Its process was known to have ended: nothing but a request of it can still be on its way.
        #[serde(default)]
        ended: bool,
    },
    Model(Model),
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Run {
    backend: Backend,
    id: Uuid,
    model: ModelName,
    /// What this run writes belongs to this epoch.
    pub(crate) epoch: u32,
    /// What collections may remove: not to be relied on.
    condemned: Arc<HashSet<String>>,
    beat: JoinHandle<()>,
}

impl Run {
    pub(crate) async fn begin(backend: &Backend, model: &ModelName) -> Result<Self> {
        let id = Uuid::now_v7();
        let begun = Self::enter(backend, id, model).await;
        if begun.is_err() {
            // The record may be there all the same, and this process lives on.
            let _ = remove(backend, id).await;
        }
        begun
    }

    async fn enter(backend: &Backend, id: Uuid, model: &ModelName) -> Result<Self> {
        let record = Record { model: model.clone(), process: Process::this() };
        let key = record_key(id);
        backend.put(&key, json(&key, &record)?).await?;
        // Only now: a collection that this does not see will see this run.
        let records = record::list(backend).await?;
        let mut condemned = HashSet::new();
        for seq in records.open() {
            condemned.extend(record::condemned(backend, seq).await?.into_keys());
        }
        let beat = tokio::spawn(beat(backend.clone(), id));
        let (backend, model, condemned) = (backend.clone(), model.clone(), Arc::new(condemned));
        Ok(Self { backend, id, model, epoch: records.last(), condemned, beat })
    }

    /// Whether a collection may remove that object.
    pub(crate) fn is_condemned(&self, key: &str) -> bool {
        self.condemned.contains(key)
    }

    pub(crate) fn object(&self, digest: crate::Digest) -> ObjectId {
        ObjectId { digest, epoch: self.epoch }
    }

    /// Makes the model visible: everything that it needs is stored.
    ///
    /// # Errors
    /// `Expired`, if a collection was first.
    pub(crate) async fn publish(self, model: &Model) -> Result<String> {
        let key = published_key(&self.model, self.id);
        let manifest = json(&key, model)?;
        if !self.backend.create(&key, manifest.clone()).await? {
            // Our own request may have been repeated after its answer was lost.
            let there = self.backend.get(&key).await?.unwrap_or_default();
            if there != manifest {
                return Err(Error::Expired);
            }
        }
        self.end().await?;
        Ok(key)
    }

    /// Ends without a model, or after it.
    pub(crate) async fn end(self) -> Result<()> {
        self.beat.abort();
        remove(&self.backend, self.id).await
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

async fn beat(backend: Backend, id: Uuid) {
    loop {
        tokio::time::sleep(BEAT).await;
        // A beat that fails is a beat that is missing: the next may come through.
        if let Err(error) = backend.put(&beat_key(id), "alive").await {
            tracing::warn!(%error, "sign of life");
        }
    }
}

/// A run that has left a record.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: Uuid,
    /// When it left its record.
    pub(crate) begun: SystemTime,
    pub(crate) seen: SystemTime,
}

/// All runs that have left a record.
pub(crate) async fn list(backend: &Backend) -> Result<Vec<Running>> {
    let mut runs: Vec<Running> = Vec::new();
    for listed in backend.list(RUNS).await? {
        let name = listed.key.strip_prefix(RUNS).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let Some(id) = name.split('.').next().and_then(|id| Uuid::parse_str(id).ok()) else { continue };
        match runs.iter_mut().find(|run| run.id == id) {
            Some(run) => {
                run.begun = run.begun.min(listed.modified);
                run.seen = run.seen.max(listed.modified);
            }
            None => runs.push(Running { id, begun: listed.modified, seen: listed.modified }),
        }
    }
    Ok(runs)
}

/// Ends a run that is dead: it can no longer publish. Returns whether it was dead.
pub(crate) async fn expire_if_dead(backend: &Backend, run: &Running, now: SystemTime, grace: Duration) -> Result<bool> {
    let Some(bytes) = backend.get(&record_key(run.id)).await? else {
        // It ended since, or was killed while it removed its record.
        remove(backend, run.id).await?;
        return Ok(true);
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(record_key(run.id), e))?;
    let silent = now.duration_since(run.seen).unwrap_or_default() > grace;
    let ended = record.process.is_alive() == Some(false);
    if !silent && !ended {
        return Ok(false);
    }
    // A process that ended by itself has taken its record with it, since that was read.
    if ended && backend.get(&record_key(run.id)).await?.is_none() {
        return Ok(true);
    }
    let key = published_key(&record.model, run.id);
    if backend.create(&key, json(&key, &Published::Expired { expired: true, ended })?).await? {
        tracing::info!(model = %record.model, run = %run.id, "a writer was taken for dead");
    }
    remove(backend, run.id).await?;
    Ok(true)
}

/// Removes tombstones that are from before `before` and of writers that are known to have ended.
pub(crate) async fn remove_tombstones(backend: &Backend, before: SystemTime) -> Result<()> {
    let listed = backend.list(MODELS).await?.into_iter();
    let old = listed.filter(|listed| listed.bytes <= LONGEST_TOMBSTONE && listed.modified < before);
    let removals = stream::iter(old).map(|Listed { key, .. }| async move {
        let bytes = backend.get(&key).await?.unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(Published::Expired { ended: true, .. }) => backend.delete(&key).await,
            _ => Ok(()),
        }
    });
    removals.buffer_unordered(REQUESTS).try_collect().await
}

async fn remove(backend: &Backend, id: Uuid) -> Result<()> {
    backend.delete(&beat_key(id)).await?;
    backend.delete(&record_key(id)).await
}

fn record_key(id: Uuid) -> String {
    format!("{RUNS}/{id}.json")
}

fn beat_key(id: Uuid) -> String {
    format!("{RUNS}/{id}.beat")
}

fn published_key(model: &ModelName, id: Uuid) -> String {
    format!("{MODELS}/{model}/{id}.json")
}

/// The storage's own time, so that machines need not agree on theirs.
pub(crate) async fn now(backend: &Backend) -> Result<SystemTime> {
    let key = format!("{GC}/clock");
    backend.put(&key, "tick").await?;
    let clock = backend.list(GC).await?.into_iter().find(|listed| listed.key == key);
    clock.map(|clock| clock.modified).ok_or_else(|| Error::damaged(key, "it vanished as soon as it was written"))
}

/// What an object of that key is to hold.
///
/// # Errors
/// `Storage`: nothing may be written in its place.
pub(crate) fn json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| backend::failed(&key, StorageError::Generic { store: "JSON", source: error.into() }))
}
