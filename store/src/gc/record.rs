//! The records of collections: the objects that each has condemned, the runs that it must wait for,
//! and its end.
//!
//! Collections are numbered in order. The last number is the epoch of the objects that writers
//! write from then on.

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backend::{Backend, REQUESTS};
use crate::error::{Error, Result};
use crate::gc::{Objects, room};
use crate::keys::{self, GC};
use crate::sealed;

/// The numbers of the collections that have records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    condemned: Vec<u32>,
    done: Vec<u32>,
}

impl Records {
    /// The number of the last collection; 0 before the first.
    pub(crate) fn last(&self) -> u32 {
        self.condemned.iter().chain(&self.done).copied().max().unwrap_or(0)
    }

    /// The number of the next collection.
    ///
    /// # Errors
    /// `Damaged`, if there is no higher number.
    pub(crate) fn next(&self) -> Result<u32> {
        self.last().checked_add(1).ok_or_else(|| Error::damaged(GC, "the numbers of collections are used up"))
    }

    /// The collections that have not ended, whose condemned objects may still exist.
    pub(crate) fn open(&self) -> impl Iterator<Item = u32> {
        self.condemned.iter().copied().filter(|seq| !self.done.contains(seq))
    }
}

/// Lists the records of all collections.
pub(crate) async fn list(backend: &Backend) -> Result<Records> {
    let mut records = Records::default();
    for listed in backend.list(GC).await? {
        match parse(&listed.key) {
            Some((seq, "condemned.json")) => records.condemned.push(seq),
            Some((seq, "done")) => records.done.push(seq),
            _ => {}
        }
    }
    Ok(records)
}

/// The objects that a collection has condemned. Empty if it has ended meanwhile.
pub(crate) async fn condemned(backend: &Backend, seq: u32) -> Result<Objects> {
    Ok(read(backend, &key(seq, "condemned.json")).await?.unwrap_or_default())
}

/// Begins the collection `seq` by condemning objects; on a full disk, only the largest of them.
/// Returns the number of condemned objects, or `None` if another process has taken this number.
pub(crate) async fn condemn(backend: &Backend, seq: u32, objects: &mut Objects) -> Result<Option<usize>> {
    let key = key(seq, "condemned.json");
    if objects.len() > 1 && room::is_short(backend).await? {
        // The decision has to fit as well.
        *objects = room::largest(std::mem::take(objects));
    }
    loop {
        match backend.create(&key, sealed::json(&key, &objects)?).await {
            Err(error) if error.is_full() && objects.len() > 1 => *objects = room::largest(std::mem::take(objects)),
            created => return Ok(created?.then_some(objects.len())),
        }
    }
}

/// The runs that a collection waits for, as they are stored.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Waits {
    Sealed(Runs),
    /// A list without a digest, as earlier collections stored it.
    Bare(Vec<Uuid>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    runs: Vec<Uuid>,
}

impl Waits {
    fn into_runs(self) -> Vec<Uuid> {
        match self {
            Self::Sealed(Runs { runs }) | Self::Bare(runs) => runs,
        }
    }
}

fn waits(key: &str, runs: &[Uuid]) -> Result<Vec<u8>> {
    sealed::json(key, &Runs { runs: runs.to_vec() })
}

/// The runs that a collection must wait for: all that had a record after it had condemned its
/// objects.
pub(crate) async fn waits_for(backend: &Backend, seq: u32) -> Result<Vec<Uuid>> {
    let key = key(seq, "waits.json");
    let stored = read::<Waits>(backend, &key).await;
    if let Ok(Some(waits)) = stored {
        return Ok(waits.into_runs());
    }
    let runs: Vec<Uuid> = crate::run::list(backend).await?.into_iter().map(|run| run.id).collect();
    match stored {
        // Of the runs in a damaged list, those that are still at work have records now.
        Err(error) if error.is_of_object() => backend.put(&key, waits(&key, &runs)?).await.map(|()| runs),
        Err(error) => Err(error),
        Ok(_) if backend.create(&key, waits(&key, &runs)?).await? => Ok(runs),
        Ok(_) => Ok(read(backend, &key).await?.map_or(runs, Waits::into_runs)),
    }
}

/// Decides which objects a collection removes, and returns them, or `None` if it has ended.
///
/// On a full disk, it decides on the largest objects only, and another collection removes the rest.
///
/// The first process to decide wins: if several processes work on the same collection, all remove
/// the objects that the first one has found. A later process could find more objects, on which
/// writers rely that began after the end of the collection.
pub(crate) async fn decide(backend: &Backend, seq: u32, mut objects: Objects) -> Result<Option<Objects>> {
    let key = key(seq, "removes.json");
    let created = loop {
        match backend.create(&key, sealed::json(&key, &objects)?).await {
            Err(error) if error.is_full() && objects.len() > 1 => objects = room::largest(objects),
            created => break created?,
        }
    };
    if !created {
        match read(backend, &key).await {
            // While a collection has not ended, nothing comes to need an object that it condemned.
            // So whatever the damaged decision held is among these objects.
            Err(error) if error.is_of_object() => backend.put(&key, sealed::json(&key, &objects)?).await?,
            decided => return decided,
        }
    }
    // A process that has ended the collection removes its decision last, so this one may have been
    // stored too late.
    if list(backend).await?.open().any(|open| open == seq) {
        return Ok(Some(objects));
    }
    backend.delete(&key).await?;
    Ok(None)
}

/// Ends a collection whose list of condemned objects is damaged. It removes what was decided before
/// and nothing else. Returns the objects that are to be removed, or `None` if it has ended.
pub(crate) async fn abandon(backend: &Backend, seq: u32) -> Result<Option<Objects>> {
    let key = key(seq, "removes.json");
    if backend.create(&key, sealed::json(&key, &Objects::new())?).await? {
        return Ok(Some(Objects::new()));
    }
    read(backend, &key).await
}

/// Ends a collection whose objects have been removed.
pub(crate) async fn finish(backend: &Backend, seq: u32) -> Result<()> {
    backend.put(&key(seq, "done"), "").await
}

/// Empties the ends of collections that are not empty.
pub(crate) async fn repair_ends(backend: &Backend) -> Result<()> {
    for listed in backend.list(GC).await? {
        if let Some((seq, "done")) = parse(&listed.key)
            && listed.bytes > 0
        {
            finish(backend, seq).await?;
        }
    }
    Ok(())
}

/// Removes the records of collections that have ended, whichever others have not. The last one that
/// has ended keeps its `done` record, which holds its number.
pub(crate) async fn forget_ended(backend: &Backend) -> Result<()> {
    let mut keys: Vec<String> = backend.list(GC).await?.into_iter().map(|listed| listed.key).collect();
    // In this order, the condemned objects of a collection are removed before its `done`, and its
    // decision after.
    keys.sort();
    let numbers = |wanted: &str| {
        let records = keys.iter().filter_map(|key| parse(key)).filter(move |&(_, what)| what == wanted);
        records.map(|(seq, _)| seq).collect::<Vec<_>>()
    };
    let records = Records { condemned: numbers("condemned.json"), done: numbers("done") };
    let (last, open) = (records.done.iter().max().copied(), records.open().collect::<Vec<_>>());
    let has_ended = |seq: u32| Some(seq) <= last && !open.contains(&seq);
    let ended =
        |key: &String| parse(key).is_some_and(|(seq, what)| has_ended(seq) && (Some(seq) < last || what != "done"));
    for key in keys.iter().filter(|key| ended(key)) {
        backend.delete(key).await?;
    }
    Ok(())
}

/// Removes objects, several at a time.
pub(crate) async fn remove(backend: &Backend, keys: impl IntoIterator<Item = String>) -> Result<()> {
    let deletes = stream::iter(keys).map(|key| async move { backend.delete(&key).await });
    deletes.buffer_unordered(REQUESTS).try_collect().await
}

/// Checks all records of collections that have not ended, and the ends of the others. Returns the
/// result for each key.
pub(crate) async fn check_all(backend: &Backend) -> Result<Vec<(String, Result<()>)>> {
    let mut checked = Vec::new();
    let records = list(backend).await?;
    for seq in records.open() {
        for what in ["condemned.json", "removes.json"] {
            let key = key(seq, what);
            let result = read::<Objects>(backend, &key).await.map(drop);
            checked.push((key, result));
        }
        let waits = key(seq, "waits.json");
        let result = read::<Waits>(backend, &waits).await.map(drop);
        checked.push((waits, result));
    }
    for seq in records.done {
        let done = key(seq, "done");
        let intact = backend.get(&done).await?.is_none_or(|bytes| bytes.is_empty());
        let result = if intact { Ok(()) } else { Err(Error::damaged(&done, "the object is not empty")) };
        checked.push((done, result));
    }
    Ok(checked)
}

async fn read<T: serde::de::DeserializeOwned>(backend: &Backend, key: &str) -> Result<Option<T>> {
    let bytes = backend.get(key).await?;
    let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|e| Error::damaged(key, e));
    bytes.map(|bytes| parse(&sealed::body(key, &bytes)?)).transpose()
}

fn key(seq: u32, what: &str) -> String {
    format!("{GC}/{seq:010}.{what}")
}

fn parse(key: &str) -> Option<(u32, &str)> {
    let (seq, what) = key.strip_prefix(GC)?.strip_prefix('/').filter(|_| keys::is_own(key))?.split_once('.')?;
    Some((seq.parse().ok()?, what))
}
