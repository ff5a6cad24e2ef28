//! The end of uploads that nobody continues, and what collections must keep for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::OpenUpload;
use super::key::{self, PARTS, Part, Received};
use crate::backend::Listed;
use crate::digest::Digest;
use crate::error::Result;
use crate::gc::record;
use crate::store::Store;

/// Removes uploads that have expired and leftovers that are older than `grace`. Returns the number
/// of uploads that it has removed.
///
/// # Errors
/// Those of the storage.
pub(crate) async fn remove_expired(store: &Store, now: SystemTime, grace: Duration) -> Result<u64> {
    let uploads = store.uploads();
    let (mut open, mut removed) = (BTreeSet::new(), 0);
    for upload in uploads.list().await? {
        let expiry = match uploads.plan(upload.id).await {
            Ok(plan) => plan.map(|plan| plan.expiry()),
            Err(error) if error.is_of_object() => None,
            Err(error) => return Err(error),
        };
        if upload.is_over(now, expiry.unwrap_or(grace)) {
            uploads.remove(upload.id).await?;
            removed += 1;
            continue;
        }
        open.insert(upload.id);
        if upload.is_ahead(now) {
            uploads.beat(upload.id).await?;
        }
    }
    let mut leftovers: BTreeMap<Uuid, Vec<Listed>> = BTreeMap::new();
    for listed in store.backend().list(PARTS).await? {
        if let Some((id, _, _)) = Received::parse(&listed.key).filter(|(id, _, _)| !open.contains(id)) {
            leftovers.entry(id).or_default().push(listed);
        }
    }
    let is_old = |listed: &Listed| now.duration_since(listed.modified).is_ok_and(|age| age > grace);
    // An upload may have been opened after the listing.
    let old = leftovers.into_values().filter(|objects| objects.iter().all(is_old)).flatten();
    record::remove(store.backend(), old.map(|listed| listed.key)).await?;
    Ok(removed)
}

/// The digests of the files that open uploads need: those that they count as known, and the bases
/// of what was received.
///
/// # Errors
/// Those of the storage.
pub(crate) async fn needed(store: &Store) -> Result<BTreeSet<Digest>> {
    let (mut digests, mut open) = (BTreeSet::new(), BTreeSet::new());
    for OpenUpload { id, .. } in store.uploads().list().await?.into_iter().filter(OpenUpload::is_open) {
        // An upload whose plan cannot be read cannot be published.
        match store.uploads().plan(id).await {
            Ok(Some(plan)) => {
                digests.extend(plan.files.iter().filter(|file| file.known).map(|file| file.blake3));
                open.insert(id);
            }
            Ok(None) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    if open.is_empty() {
        return Ok(digests);
    }
    for listed in store.backend().list(PARTS).await? {
        if let Some((id, _, Received::Part(Part { transfer, .. }))) = key::Received::parse(&listed.key)
            && open.contains(&id)
            && let super::Form::Archive(Some(base)) = transfer.form
        {
            digests.insert(base);
        }
    }
    Ok(digests)
}
