//! The roots of stores: the object that marks a store, and opening and making one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::gc::room;
use crate::keys::{FORMAT, Kind};
use crate::manifest::VERSION;
use crate::sealed;
use crate::store::Store;
use crate::verify::Problem;

/// The number of bytes that may differ in a mark without a store around it, for it to be a damaged
/// one and not another program's file.
const MOST_DAMAGED: usize = 8;

/// The content of a root.
#[derive(Debug)]
enum Root {
    /// A store of this version.
    Store,
    /// A store whose mark is damaged or missing.
    Unmarked(Error),
    Empty,
    /// Something that is no store.
    Other,
}

impl Store {
    /// Returns `true` if there is a store at `root`, even one whose mark is damaged. A folder that
    /// is missing stays missing.
    ///
    /// # Errors
    /// A root that cannot be opened; a store that a later version has written.
    pub async fn exists(root: &str) -> Result<bool> {
        Ok(matches!(look(&Backend::open(root)?).await?, Root::Store | Root::Unmarked(_)))
    }

    /// Opens the store at `root` (see [`Backend::open`]), which computes on up to `threads`
    /// threads. A root that is empty or missing is an empty store, which `add` makes and marks.
    ///
    /// # Errors
    /// A root that is neither empty nor a store; a store that a later version has written.
    pub async fn open(root: &str, threads: usize) -> Result<Self> {
        Self::over(Backend::open(root)?, threads).await
    }

    /// Opens the store in any storage.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn over(backend: Backend, threads: usize) -> Result<Self> {
        match look(&backend).await? {
            Root::Store | Root::Empty => {}
            Root::Unmarked(error) => tracing::warn!(%error, "the mark of the store is to be repaired"),
            Root::Other => return Err(Error::Argument("the root is neither empty nor a store".to_owned())),
        }
        Ok(Self::of(backend, threads))
    }

    /// Opens the store at `root`, and makes an empty one if there is none.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); a folder or a mark that cannot be made.
    pub async fn init(root: &str, threads: usize) -> Result<Self> {
        let store = Self::open(root, threads).await?;
        store.mark().await?;
        Ok(store)
    }

    /// Makes the folder of the store, writes the mark with the version of the layout, and makes a
    /// reserve of space, unless they are there and intact.
    pub(crate) async fn mark(&self) -> Result<()> {
        self.backend().make()?;
        self.write_mark().await?;
        room::reserve(self.backend()).await
    }

    async fn write_mark(&self) -> Result<()> {
        let bytes = mark()?;
        match self.backend().get(FORMAT).await? {
            None => self.backend().create(FORMAT, bytes).await.map(drop),
            Some(there) => match parse(&there) {
                Err(Error::Damaged { .. }) => self.backend().put(FORMAT, bytes).await,
                parsed => parsed,
            },
        }
    }

    /// The problem of the mark, if it is damaged, or missing in a store with models.
    pub(crate) async fn check_mark(&self) -> Result<Option<Problem>> {
        match look(self.backend()).await? {
            Root::Unmarked(error) => Ok(Some(Problem::of_object(FORMAT, &error))),
            _ => Ok(None),
        }
    }
}

/// Finds out what is at the root of a storage. A root that seems to be no store, or a store without
/// its mark, is looked at twice: another process may have made the store after the mark was asked
/// for and before the root was listed.
async fn look(backend: &Backend) -> Result<Root> {
    match look_once(backend).await? {
        Root::Other | Root::Unmarked(_) => look_once(backend).await,
        root => Ok(root),
    }
}

async fn look_once(backend: &Backend) -> Result<Root> {
    let mark = backend.get(FORMAT).await?;
    let error = match mark.as_ref().map(|bytes| parse(bytes)) {
        Some(Ok(())) => return Ok(Root::Store),
        Some(Err(error @ Error::Damaged { .. })) => error,
        Some(Err(error)) => return Err(error),
        None => Error::damaged(FORMAT, "the object is missing"),
    };
    let top = backend.top().await?;
    let has = |kind: Kind| top.iter().any(|name| name == kind.folder());
    if has(Kind::Files) && has(Kind::Pieces) {
        return Ok(Root::Unmarked(error));
    }
    match mark {
        None if top.is_empty() => Ok(Root::Empty),
        Some(bytes) if resembles(&bytes)? => Ok(Root::Unmarked(error)),
        _ => Ok(Root::Other),
    }
}

fn mark() -> Result<Vec<u8>> {
    sealed::json(FORMAT, &BTreeMap::from([("version", VERSION)]))
}

/// Checks a mark.
///
/// # Errors
/// `Damaged`; `Unsupported` for that of a later version.
fn parse(bytes: &[u8]) -> Result<()> {
    let body = sealed::body(FORMAT, bytes)?;
    let stated: BTreeMap<String, Value> = serde_json::from_slice(&body).map_err(|e| Error::damaged(FORMAT, e))?;
    let is_sealed = body.len() < bytes.len();
    match stated.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) && stated.len() == 1 => Ok(()),
        Some(version) if version == u64::from(VERSION) && is_sealed => {
            Err(Error::unsupported(FORMAT, "with features that are unknown"))
        }
        Some(version) if version > u64::from(VERSION) && (is_sealed || stated.len() == 1) => {
            Err(Error::unsupported(FORMAT, version))
        }
        _ => Err(Error::damaged(FORMAT, "the object does not state a version")),
    }
}

/// Returns `true` if this may be a damaged mark.
fn resembles(bytes: &[u8]) -> Result<bool> {
    let mark = mark()?;
    let differing = bytes.iter().zip(&mark).filter(|(a, b)| a != b).count();
    Ok(bytes.len() <= mark.len() && differing <= MOST_DAMAGED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_is_noticed_and_later_versions_are_not_damaged() {
        let good = mark().unwrap();
        parse(&good).unwrap();
        parse(br#"{"version":1}"#).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut flipped = good.clone();
                flipped[at] ^= 1 << bit;
                assert!(matches!(parse(&flipped), Err(Error::Damaged { .. })), "byte {at}, bit {bit}");
                assert!(resembles(&flipped).unwrap());
            }
        }
        let later = sealed::json(FORMAT, &BTreeMap::from([("version", 2)])).unwrap();
        let with_features = sealed::json(FORMAT, &BTreeMap::from([("version", 1), ("packs", 1)])).unwrap();
        for later in [&later[..], &with_features, br#"{"version":2}"#] {
            assert!(matches!(parse(later), Err(Error::Unsupported(_))));
        }
        assert!(!resembles(br#"{"name":"another program's file"}"#).unwrap());
        assert!(resembles(b"").unwrap());
    }
}
