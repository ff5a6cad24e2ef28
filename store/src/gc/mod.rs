//! Collection: removes what nothing needs, safe beside writers, in two steps.
//!
//! First it *condemns*: it writes down every object that no published model needs. A writer that starts afterwards sees
//! that list and does not rely on what is on it. Then, once all writers have ended that may have started before, it looks
//! again at what is needed, which cannot grow any more for the condemned, and *removes* the rest. If writers run, removal
//! is left to the next collection.

pub(crate) mod record;
mod references;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

pub(crate) use references::needed;

use crate::backend::Listed;
use crate::error::Result;
use crate::keys::{Kind, MODELS};
use crate::run;
use crate::store::Store;

/// Objects by key, with their bytes.
pub(crate) type Objects = BTreeMap<String, u64>;

/// How a collection goes about it.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// A writer that gave no sign of life for so long is taken for dead, unless it is known to live or not.
    pub grace: Duration,
    /// Only report.
    pub dry_run: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self { grace: Duration::from_secs(3600), dry_run: false }
    }
}

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// Objects removed (or that would be).
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are not needed and wait for running writers to end.
    pub waiting: u64,
    /// Writers taken for dead.
    pub expired: u64,
}

impl Store {
    /// Removes what no published model needs. Safe at any time, beside writers, readers and other collections.
    ///
    /// # Errors
    /// Anything that cannot be listed or read, before anything is removed on the strength of it.
    pub async fn collect(&self, options: &GcOptions) -> Result<Collected> {
        let mut collected = Collected::default();
        if options.dry_run {
            let found = self.unneeded().await?;
            return Ok(Collected { objects: found.len() as u64, bytes: found.values().sum(), ..collected });
        }
        let now = run::now(self.backend()).await?;
        for running in run::list(self.backend()).await? {
            collected.expired += u64::from(run::expire_if_dead(self.backend(), &running, now, options.grace).await?);
        }
        collected.objects += self.backend().remove_staged(now - options.grace).await?;
        run::remove_tombstones(self.backend(), now - options.grace).await?;
        self.remove_all_replaced().await?;
        self.sweep(&mut collected).await?;
        let records = record::list(self.backend()).await?;
        if records.open().next().is_none() {
            let found = self.unneeded().await?;
            if !found.is_empty() && record::condemn(self.backend(), records.last() + 1, &found).await? {
                self.sweep(&mut collected).await?;
            }
        }
        record::forget_ended(self.backend()).await?;
        Ok(collected)
    }

    /// Removes what writers have replaced, and were killed before they could remove it.
    async fn remove_all_replaced(&self) -> Result<()> {
        let listed = self.backend().list(MODELS).await?;
        let name = |key: &str| Some(key.strip_prefix(MODELS)?.strip_prefix('/')?.rsplit_once('/')?.0.to_owned());
        let mut names: Vec<String> = listed.iter().filter_map(|listed| name(&listed.key)).collect();
        names.sort();
        let mut several: Vec<&String> = names.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
        several.dedup();
        for name in several {
            self.remove_replaced(&name.parse()?).await?;
        }
        Ok(())
    }

    /// Removes what was condemned, if every writer has ended that may rely on it.
    async fn sweep(&self, collected: &mut Collected) -> Result<()> {
        for seq in record::list(self.backend()).await?.open().collect::<Vec<_>>() {
            let waits = record::waits_for(self.backend(), seq).await?;
            let running: HashSet<_> = run::list(self.backend()).await?.into_iter().map(|run| run.id).collect();
            let condemned = record::condemned(self.backend(), seq).await?;
            if waits.iter().any(|run| running.contains(run)) {
                collected.waiting += condemned.len() as u64;
                continue;
            }
            let needed = needed(self).await?;
            let unneeded = condemned.into_iter().filter(|(key, _)| !needed.contains(key)).collect();
            let Some(removed) = record::decide(self.backend(), seq, unneeded).await? else { continue };
            collected.objects += removed.len() as u64;
            collected.bytes += removed.values().sum::<u64>();
            record::remove(self.backend(), removed.into_keys()).await?;
            record::finish(self.backend(), seq).await?;
        }
        Ok(())
    }

    /// Objects that no published model needs.
    async fn unneeded(&self) -> Result<Objects> {
        // The listing comes first: what is written meanwhile is not on it.
        let mut listed = Vec::new();
        for kind in Kind::ALL {
            listed.extend(self.backend().list(kind.folder()).await?);
        }
        // What writers at work have written since they began is theirs; who ends from here on, has published.
        let runs = run::list(self.backend()).await?;
        let begun = runs.iter().map(|run| run.begun).min();
        let needed = needed(self).await?;
        let theirs = |object: &Listed| begun.is_some_and(|begun| object.modified >= begun);
        listed.retain(|object| !needed.contains(&object.key) && !theirs(object));
        Ok(listed.into_iter().map(|object| (object.key, object.bytes)).collect())
    }
}
