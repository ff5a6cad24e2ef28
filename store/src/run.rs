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
use crate::gc::{record, room};
use crate::keys::{self, GC, MODELS, ObjectId, RUNS};
use crate::manifest::{Model, ModelName};
use crate::process::Process;
use crate::sealed;

/// The interval between signs of life.
const BEAT: Duration = Duration::from_secs(30);

/// The content of a sign of life.
pub(crate) const ALIVE: &str = "alive";

/// The maximum length of a tombstone in bytes. Every manifest of a model is longer.
const LONGEST_TOMBSTONE: u64 = 40;

/// The record of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) model: ModelName,
    pub(crate) process: Process,
}

impl Record {
    fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(&sealed::body(key, bytes)?).map_err(|e| Error::damaged(key, e))
    }
}

/// A tombstone, which a collection leaves under the key that a run publishes to, if it takes the
/// run for dead.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tombstone {
    expired: bool,
    /// The process of the run is known to have ended. At most a last request of it can still
    /// arrive.
    #[serde(default)]
    ended: bool,
}

impl Tombstone {
    /// Parses a tombstone. `None` for any other object.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Replaces a damaged object that a run has published by a tombstone, since the run must not
/// publish once more.
pub(crate) async fn bury(backend: &Backend, key: &str) -> Result<()> {
    backend.put(key, json(key, &Tombstone { expired: true, ended: true })?).await
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
    /// The last collection whose list of condemned objects is damaged. It may have condemned any
    /// object of an earlier epoch.
    unknown: u32,
    beat: JoinHandle<()>,
}

impl Run {
    /// Begins a run that will publish `model`.
    pub(crate) async fn begin(backend: &Backend, model: &ModelName) -> Result<Self> {
        let id = next_id(backend, model).await?;
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
        backend.put(&key, sealed::json(&key, &record)?).await?;
        // Collections are listed after the record was written: one that this listing misses will
        // see the record.
        let records = record::list(backend).await?;
        let (mut condemned, mut unknown) = (HashSet::new(), 0);
        for seq in records.open() {
            match record::condemned(backend, seq).await {
                Ok(objects) => condemned.extend(objects.into_keys()),
                Err(error) if error.is_of_object() => unknown = unknown.max(seq),
                Err(error) => return Err(error),
            }
        }
        let beat = tokio::spawn(beat(backend.clone(), id));
        let (backend, model, condemned) = (backend.clone(), model.clone(), Arc::new(condemned));
        Ok(Self { backend, id, model, epoch: records.last(), condemned, unknown, beat })
    }

    /// Returns `true` if a collection may remove the object.
    pub(crate) fn is_condemned(&self, key: &str) -> bool {
        let is_earlier = || key.rsplit('/').next().and_then(|epoch| epoch.parse().ok()) < Some(self.unknown);
        self.condemned.contains(key) || self.unknown > 0 && is_earlier()
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
        let manifest = sealed::json(&key, model)?;
        if !self.backend.create(&key, manifest.clone()).await? {
            // The object may be ours, if the answer to the request was lost and the request was
            // sent again.
            let there = self.backend.get(&key).await?.unwrap_or_default();
            if there != manifest {
                return Err(Error::Expired);
            }
        }
        // A collection that cannot read the record of a silent run removes it without a tombstone.
        if self.backend.get(&record_key(self.id)).await?.is_none() {
            self.backend.delete(&key).await?;
            return Err(Error::Expired);
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

/// A new id for a run that will publish `model`: behind those of all runs that have published it or
/// are at work, even if the clock of one of their machines is ahead.
async fn next_id(backend: &Backend, model: &ModelName) -> Result<Uuid> {
    let keys = backend.list(&format!("{MODELS}/{model}")).await?.into_iter().map(|listed| listed.key);
    let own = keys.filter(|key| keys::model_of(key).as_ref() == Some(model));
    let published = own.filter_map(|key| Uuid::parse_str(key.rsplit('/').next()?.strip_suffix(".json")?).ok());
    let running = list(backend).await?.into_iter().map(|run| run.id);
    let (now, highest) = (Uuid::now_v7(), published.chain(running).max());
    match highest {
        Some(highest) if highest >= now => behind(highest, now),
        _ => Ok(now),
    }
}

/// The id `now` with a time one millisecond behind that of `highest`.
fn behind(highest: Uuid, now: Uuid) -> Result<Uuid> {
    let time = (highest.as_u128() >> TIME) + 1;
    if time >> (128 - TIME) != 0 {
        return Err(Error::damaged(format!("{RUNS}/{highest}"), "no run can be later than this one"));
    }
    Ok(Uuid::from_u128(time << TIME | now.as_u128() & ((1 << TIME) - 1)))
}

/// The number of bits behind the time in the id of a run.
const TIME: u32 = 80;

/// Writes signs of life until it is aborted.
async fn beat(backend: Backend, id: Uuid) {
    loop {
        tokio::time::sleep(BEAT).await;
        // A failure is not fatal, since the next sign of life may succeed.
        if let Err(error) = backend.put(&beat_key(id), ALIVE).await {
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

/// Checks the records of all runs, and their signs of life. Returns the result for each key.
pub(crate) async fn check_all(backend: &Backend) -> Result<Vec<(String, Result<()>)>> {
    let mut checked = Vec::new();
    for run in list(backend).await? {
        let (record, beat) = (record_key(run.id), beat_key(run.id));
        // A run may have ended meanwhile.
        if let Some(bytes) = backend.get(&record).await? {
            let result = Record::parse(&record, &bytes).map(drop);
            checked.push((record, result));
        }
        if let Some(bytes) = backend.get(&beat).await? {
            let result = if bytes == ALIVE { Ok(()) } else { Err(Error::damaged(&beat, "this is no sign of life")) };
            checked.push((beat, result));
        }
    }
    Ok(checked)
}

/// Repairs the records of runs. A damaged sign of life is written again. A damaged record is
/// removed, after which its run can no longer publish.
pub(crate) async fn repair_all(backend: &Backend) -> Result<()> {
    for (key, result) in check_all(backend).await? {
        match result {
            Err(Error::Damaged { .. }) if key.ends_with(".beat") => backend.put(&key, ALIVE).await?,
            Err(Error::Damaged { .. }) => backend.delete(&key).await?,
            result => result?,
        }
    }
    Ok(())
}

/// Expires a run if its process has ended or it has been silent for longer than `grace`, so that it
/// can no longer publish. Returns `true` if the run is over.
pub(crate) async fn expire_if_dead(backend: &Backend, run: &Running, now: SystemTime, grace: Duration) -> Result<bool> {
    let Some(bytes) = backend.get(&record_key(run.id)).await? else {
        // The run has ended meanwhile, or was killed while it removed its record.
        remove(backend, run.id).await?;
        return Ok(true);
    };
    // A damaged record does not say where a tombstone belongs. The run itself looks for its record
    // after it has published.
    let record = Record::parse(&record_key(run.id), &bytes).ok();
    let silent = now.duration_since(run.seen).unwrap_or_default() > grace;
    let ended = record.as_ref().is_some_and(|record| record.process.is_alive() == Some(false));
    if !silent && !ended {
        return Ok(false);
    }
    // If the process ended regularly after its record was read, the record is gone.
    if ended && backend.get(&record_key(run.id)).await?.is_none() {
        return Ok(true);
    }
    if let Some(record) = record {
        let key = published_key(&record.model, run.id);
        if backend.create(&key, json(&key, &Tombstone { expired: true, ended })?).await? {
            tracing::info!(model = %record.model, run = %run.id, "a dead writer was ended");
        }
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
        match Tombstone::parse(&bytes) {
            Some(Tombstone { ended: true, .. }) => backend.delete(&key).await,
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
    room::tick(backend).await?;
    let key = room::clock();
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
