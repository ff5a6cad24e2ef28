//! Runs: the records of writers, which keep collections from removing objects that a writer relies
//! on.
//!
//! A run writes its record before it reads anything from the store, and a sign of life at
//! intervals. It ends by publishing its model, under a key that no other run uses and that can be
//! created only once. A collection that takes a run for dead first creates the same key, as a
//! tombstone. So a run is either published or expired, never both, even if clocks are wrong.

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

/// The interval between signs of life.
const BEAT: Duration = Duration::from_secs(30);

/// The maximum length of a tombstone in bytes. Every manifest of a model is longer.
const LONGEST_TOMBSTONE: u64 = 40;

/// The record of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) model: ModelName,
    pub(crate) process: Process,
}

/// The object under the key that a run publishes to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Published {
    /// A tombstone, which a collection has left for a run that it took for dead.
    Expired {
        expired: bool,
        /// The process of the run is known to have ended. At most a last request of it can still
        /// arrive.
        #[serde(default)]
        ended: bool,
    },
    /// A published model.
    Model(Model),
}

/// The run of this writer, from its record to the published model.
#[derive(Debug)]
pub(crate) struct Run {
    backend: Backend,
    id: Uuid,
    model: ModelName,
    /// The epoch of the objects that this run writes.
    pub(crate) epoch: u32,
    /// The keys of objects that a collection may remove, and that this run must not rely on.
    condemned: Arc<HashSet<String>>,
    beat: JoinHandle<()>,
}

impl Run {
    /// Begins a run that will publish `model`.
    pub(crate) async fn begin(backend: &Backend, model: &ModelName) -> Result<Self> {
        let id = Uuid::now_v7();
        let begun = Self::enter(backend, id, model).await;
        if begun.is_err() {
            // The record may have been written all the same. While this process lives, nobody else
            // would remove it.
            let _ = remove(backend, id).await;
        }
        begun
    }

    async fn enter(backend: &Backend, id: Uuid, model: &ModelName) -> Result<Self> {
        let record = Record { model: model.clone(), process: Process::this() };
        let key = record_key(id);
        backend.put(&key, json(&key, &record)?).await?;
        // Collections are listed after the record was written: one that this listing misses will
        // see the record.
        let records = record::list(backend).await?;
        let mut condemned = HashSet::new();
        for seq in records.open() {
            condemned.extend(record::condemned(backend, seq).await?.into_keys());
        }
        let beat = tokio::spawn(beat(backend.clone(), id));
        let (backend, model, condemned) = (backend.clone(), model.clone(), Arc::new(condemned));
        Ok(Self { backend, id, model, epoch: records.last(), condemned, beat })
    }

    /// Returns `true` if a collection may remove the object.
    pub(crate) fn is_condemned(&self, key: &str) -> bool {
        self.condemned.contains(key)
    }

    /// The id of an object that this run writes.
    pub(crate) fn object(&self, digest: crate::Digest) -> ObjectId {
        ObjectId { digest, epoch: self.epoch }
    }

    /// Publishes the model, of which all objects must be stored. Returns its key.
    ///
    /// # Errors
    /// `Expired`, if a collection has taken this run for dead.
    pub(crate) async fn publish(self, model: &Model) -> Result<String> {
        let key = published_key(&self.model, self.id);
        let manifest = json(&key, model)?;
        if !self.backend.create(&key, manifest.clone()).await? {
            // The object may be ours, if the answer to the request was lost and the request was
            // sent again.
            let there = self.backend.get(&key).await?.unwrap_or_default();
            if there != manifest {
                return Err(Error::Expired);
            }
        }
        self.end().await?;
        Ok(key)
    }

    /// Ends the run by removing its record.
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

/// Writes signs of life until it is aborted.
async fn beat(backend: Backend, id: Uuid) {
    loop {
        tokio::time::sleep(BEAT).await;
        // A failure is not fatal, since the next sign of life may succeed.
        if let Err(error) = backend.put(&beat_key(id), "alive").await {
            tracing::warn!(%error, "a writer's sign of life could not be stored");
        }
    }
}

/// A run that has a record in the store.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: Uuid,
    /// The time at which it wrote its record.
    pub(crate) begun: SystemTime,
    /// The time of its last sign of life.
    pub(crate) seen: SystemTime,
}

/// Lists all runs that have a record.
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

/// Expires a run if its process has ended or it has been silent for longer than `grace`, so that it
/// can no longer publish. Returns `true` if the run is over.
pub(crate) async fn expire_if_dead(backend: &Backend, run: &Running, now: SystemTime, grace: Duration) -> Result<bool> {
    let Some(bytes) = backend.get(&record_key(run.id)).await? else {
        // The run has ended meanwhile, or was killed while it removed its record.
        remove(backend, run.id).await?;
        return Ok(true);
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(record_key(run.id), e))?;
    let silent = now.duration_since(run.seen).unwrap_or_default() > grace;
    let ended = record.process.is_alive() == Some(false);
    if !silent && !ended {
        return Ok(false);
    }
    // If the process ended regularly after its record was read, the record is gone.
    if ended && backend.get(&record_key(run.id)).await?.is_none() {
        return Ok(true);
    }
    let key = published_key(&record.model, run.id);
    if backend.create(&key, json(&key, &Published::Expired { expired: true, ended })?).await? {
        tracing::info!(model = %record.model, run = %run.id, "a dead writer was ended");
    }
    remove(backend, run.id).await?;
    Ok(true)
}

/// Removes the tombstones of writers that are known to have ended, if they are older than `before`.
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

/// The current time by the storage's clock, since the clocks of machines may differ.
pub(crate) async fn now(backend: &Backend) -> Result<SystemTime> {
    let key = format!("{GC}/clock");
    backend.put(&key, "tick").await?;
    let clock = backend.list(GC).await?.into_iter().find(|listed| listed.key == key);
    clock
        .map(|clock| clock.modified)
        .ok_or_else(|| Error::damaged(key, "the object is missing, though it was just written"))
}

/// Serializes `value` for the object `key`.
///
/// # Errors
/// `Storage`, if the value cannot be serialized.
pub(crate) fn json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| backend::failed(&key, StorageError::Generic { store: "JSON", source: error.into() }))
}
