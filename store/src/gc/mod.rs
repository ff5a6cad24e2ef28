//! Garbage collection: removes the objects that no published model needs, in two steps that are
//! safe beside writers.
//!
//! First, a collection *condemns* objects: it stores a list of all objects that no published model
//! needs. A writer that starts later reads the list and does not rely on these objects. Once all
//! writers that may have started earlier have ended, no further model can come to need a condemned
//! object. The collection then checks again which of them are needed, and *removes* the others.
//! While such writers run, the removal is left to a later collection.

pub(crate) mod record;
mod references;
pub(crate) mod room;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::TryStreamExt;
pub(crate) use references::needed;

use crate::backend::Listed;
use crate::error::Result;
use crate::keys::{self, GC, MODELS};
use crate::manifest::ModelName;
use crate::part::Part;
use crate::run;
use crate::store::Store;
use crate::uploads;
use crate::verify::Problem;

/// The keys of objects with their sizes in bytes.
pub(crate) type Objects = BTreeMap<String, u64>;

/// The options of a collection.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// The time after which a writer without a sign of life is taken for dead. A writer whose
    /// process is known to have ended is dead at once.
    pub grace: Duration,
    /// Report what would be removed, and remove nothing.
    pub dry_run: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self { grace: Duration::from_secs(3600), dry_run: false }
    }
}

/// The result of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// The number of objects that were removed, or would be.
    pub objects: u64,
    /// The bytes of these objects.
    pub bytes: u64,
    /// The number of objects that can be removed once running writers have ended.
    pub waiting: u64,
    /// The number of writers that were taken for dead.
    pub expired: u64,
    /// The number of uploads that were removed, because nobody continued them.
    pub uploads: u64,
    /// The damage that was met. Whatever was stored before a manifest that cannot be read was
    /// published is kept.
    pub problems: Vec<Problem>,
}

impl Store {
    /// Removes the objects that no published model needs. This is safe at any time, beside writers,
    /// readers and other collections.
    ///
    /// # Errors
    /// Objects that cannot be listed or read. Nothing is removed on the basis of an incomplete
    /// listing.
    pub async fn collect(&self, options: &GcOptions) -> Result<Collected> {
        self.collect_part(Part::default(), options).await
    }

    /// Removes the objects of a part of the store that no published model needs, as
    /// [`collect`](Self::collect) does. Parts may be collected at the same time and in any order.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    pub async fn collect_part(&self, part: Part, options: &GcOptions) -> Result<Collected> {
        let mut collected = Collected::default();
        if options.dry_run {
            let found = self.unneeded(part, &mut collected).await?;
            return Ok(Collected { objects: found.len() as u64, bytes: found.values().sum(), ..collected });
        }
        let now = run::now(self.backend()).await?;
        for running in run::list(self.backend()).await? {
            collected.expired += u64::from(run::expire_if_dead(self.backend(), &running, now, options.grace).await?);
        }
        if part.is_first() {
            collected.objects += self.backend().remove_staged(now - options.grace).await?;
            run::remove_tombstones(self.backend(), now - options.grace).await?;
            self.remove_all_replaced().await?;
            collected.uploads += uploads::remove_expired(self, now, options.grace).await?;
        }
        self.sweep(part, &mut collected).await?;
        // On a full disk, each round removes some of the objects.
        while self.condemn(part, &mut collected).await? {}
        room::reserve(self.backend()).await?;
        if part.is_first() {
            match self.write_registers().await {
                Err(error) if error.is_full() => tracing::warn!(%error, "there is no room for registers"),
                written => _ = written?,
            }
        }
        Ok(collected)
    }

    /// Condemns what is not needed of a part, unless a collection of it has not ended, and removes
    /// it. Returns `true` if it had to leave something for want of space, and has removed the rest.
    async fn condemn(&self, part: Part, collected: &mut Collected) -> Result<bool> {
        let mut left = false;
        if self.collections_of(part).await?.is_empty() {
            let (mut found, removed) = (self.unneeded(part, collected).await?, collected.objects);
            let all = found.len();
            if all > 0
                && let Some(condemned) = self.condemn_all(part, &mut found).await?
            {
                self.sweep(part, collected).await?;
                left = condemned < all && collected.objects > removed;
            }
        }
        record::forget_ended(self.backend()).await?;
        Ok(left)
    }

    /// Condemns objects of a part, unless another process has done that. Collections of other parts
    /// that begin at the same time take numbers of their own.
    async fn condemn_all(&self, part: Part, objects: &mut Objects) -> Result<Option<usize>> {
        loop {
            let next = record::list(self.backend()).await?.next()?;
            if !self.collections_of(part).await?.is_empty() {
                return Ok(None);
            }
            if let Some(condemned) = record::condemn(self.backend(), next, objects).await? {
                return Ok(Some(condemned));
            }
        }
    }

    /// The collections that have not ended, and have condemned objects of this part. One whose list
    /// is damaged may have condemned any object.
    async fn collections_of(&self, part: Part) -> Result<Vec<u32>> {
        let mut open = Vec::new();
        for seq in record::list(self.backend()).await?.open() {
            let is_of_part = part.is_whole()
                || match record::condemned(self.backend(), seq).await {
                    Ok(condemned) => condemned.keys().any(|key| part.covers(key)),
                    Err(error) if error.is_of_object() => true,
                    Err(error) => return Err(error),
                };
            if is_of_part {
                open.push(seq);
            }
        }
        Ok(open)
    }

    /// Removes replaced models whose writers were killed before they could remove them.
    async fn remove_all_replaced(&self) -> Result<()> {
        let listed = self.backend().list(MODELS).await?;
        let mut names: Vec<ModelName> = listed.iter().filter_map(|listed| keys::model_of(&listed.key)).collect();
        names.sort();
        let mut several: Vec<&ModelName> = names.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
        several.dedup();
        for name in several {
            self.remove_replaced(name).await?;
        }
        Ok(())
    }

    /// Removes objects that collections of a part have condemned, if all writers that may rely on
    /// them have ended.
    pub(crate) async fn sweep(&self, part: Part, collected: &mut Collected) -> Result<()> {
        for seq in self.collections_of(part).await? {
            let waits = record::waits_for(self.backend(), seq).await?;
            let running: HashSet<_> = run::list(self.backend()).await?.into_iter().map(|run| run.id).collect();
            let condemned = match record::condemned(self.backend(), seq).await {
                Err(error) if error.is_of_object() => {
                    collected.problems.push(Problem::of_object(GC, &error));
                    self.abandon(seq, collected).await?;
                    continue;
                }
                condemned => condemned?,
            };
            if waits.iter().any(|run| running.contains(run)) {
                collected.waiting += condemned.len() as u64;
                continue;
            }
            // The collection may be that of a larger part, or of the whole store.
            let is_covered = condemned.keys().all(|key| part.covers(key));
            let needed = needed(self, if is_covered { part } else { Part::default() }).await?;
            let unneeded = condemned.into_iter().filter(|(key, _)| !needed.has(key)).collect();
            let Some(removed) = record::decide(self.backend(), seq, unneeded).await? else { continue };
            self.finish(seq, removed, collected).await?;
        }
        Ok(())
    }

    /// Ends a collection whose list of condemned objects is damaged, unless its decision is damaged
    /// as well.
    async fn abandon(&self, seq: u32, collected: &mut Collected) -> Result<()> {
        match record::abandon(self.backend(), seq).await {
            Err(error) if error.is_of_object() => collected.problems.push(Problem::of_object(GC, &error)),
            Err(error) => return Err(error),
            Ok(Some(removed)) => self.finish(seq, removed, collected).await?,
            Ok(None) => {}
        }
        Ok(())
    }

    /// Removes the objects that a collection has decided on, and ends it. A key that the store does
    /// not give to such objects is left alone.
    async fn finish(&self, seq: u32, mut removed: Objects, collected: &mut Collected) -> Result<()> {
        removed.retain(|key, _| keys::is_collectable(key));
        collected.objects += removed.len() as u64;
        collected.bytes += removed.values().sum::<u64>();
        record::remove(self.backend(), removed.into_keys()).await?;
        record::finish(self.backend(), seq).await
    }

    /// The objects of a part that no published model needs and no running writer has written.
    async fn unneeded(&self, part: Part, collected: &mut Collected) -> Result<Objects> {
        // The listing comes first, so that objects written meanwhile are not in it.
        let mut listed = self.collectable(part).await?;
        // Objects written since the oldest running writer began may belong to a writer. If a writer
        // ends after this point, its model is published and its objects are needed.
        let runs = run::list(self.backend()).await?;
        let begun = runs.iter().map(|run| run.begun).min();
        let mut needed = needed(self, part).await?;
        collected.problems.append(&mut needed.problems);
        let theirs = |object: &Listed| begun.is_some_and(|begun| object.modified >= begun);
        listed.retain(|object| !needed.has(&object.key) && !theirs(object));
        Ok(listed.into_iter().map(|object| (object.key, object.bytes)).collect())
    }

    /// Lists the objects of a part that collections may remove.
    pub(super) async fn collectable(&self, part: Part) -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        for folder in keys::collectable().flat_map(|folder| part.folders(folder)) {
            let mut listed = self.backend().listed(&folder);
            while let Some(object) = listed.try_next().await? {
                found.extend(Some(object).filter(|object| part.covers(&object.key)));
            }
        }
        Ok(found)
    }
}
