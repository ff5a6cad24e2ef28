//! The check of uploads, and the repair of damaged ones.

use futures::{StreamExt, TryStreamExt, stream};

use super::key::{OPEN, PARTS, Received, Record};
use super::received::read_part;
use crate::backend::{Listed, REQUESTS};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::run::ALIVE;
use crate::store::Store;

/// Checks the objects of all uploads, and reads those parts whose digests `is_read` chooses. Returns
/// the result for each key.
pub(crate) async fn check_all(store: &Store, is_read: impl Fn(&Digest) -> bool) -> Result<Vec<(String, Result<()>)>> {
    let mut checked = Vec::new();
    for Listed { key, .. } in store.backend().list(OPEN).await? {
        let result = check_record(store, &key).await;
        checked.push((key, result));
    }
    let listed = store.backend().listed(PARTS);
    let is_read = &is_read;
    let parts = listed.map_ok(|listed| async move {
        let result = check_received(store, &listed, is_read).await;
        Ok((listed.key, result))
    });
    checked.extend(parts.try_buffer_unordered(REQUESTS).try_collect::<Vec<_>>().await?);
    Ok(checked)
}

/// Checks a record of an upload, unless it is gone.
async fn check_record(store: &Store, key: &str) -> Result<()> {
    match Record::parse(key) {
        Some((id, Record::Plan)) => store.uploads().plan(id).await.map(drop),
        Some((id, Record::Answer)) => store.uploads().answer(id).await.map(drop),
        Some((_, Record::Beat)) => match store.backend().get(key).await? {
            Some(bytes) if bytes != ALIVE => Err(Error::damaged(key, "this is no sign of life")),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

/// Checks an object that was received for an upload, unless it is gone.
async fn check_received(store: &Store, listed: &Listed, is_read: &impl Fn(&Digest) -> bool) -> Result<()> {
    let Some((_, _, received)) = Received::parse(&listed.key) else { return Ok(()) };
    match received {
        Received::Part(part) if is_read(&part.digest) => read_part(store.backend(), &listed.key, &part).await.map(drop),
        Received::Part(part) if listed.bytes != part.end - part.start => {
            Err(Error::damaged(&listed.key, format!("the part has {} bytes", listed.bytes)))
        }
        Received::Receipt(_) if listed.bytes > 0 => Err(Error::damaged(&listed.key, "the object is not empty")),
        Received::Part(_) | Received::Receipt(_) => Ok(()),
    }
}

/// Repairs the uploads that have damaged objects under these keys. Received bytes are removed, so
/// that they are sent again, and an upload whose plan cannot be read ends.
pub(crate) async fn repair<'a>(store: &Store, keys: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let repairs = keys.into_iter().map(|key| async move {
        match (Record::parse(key), Received::parse(key)) {
            (Some((id, Record::Plan)), _) => store.uploads().remove(id).await,
            (Some((id, Record::Beat)), _) => store.uploads().beat(id).await,
            (Some((_, Record::Answer)), _) | (_, Some(_)) => store.backend().delete(key).await,
            (None, None) => Ok(()),
        }
    });
    stream::iter(repairs).buffer_unordered(REQUESTS).try_collect().await
}
