//! Archives of stored files against other stored files. They are made on demand and kept. Since
//! they can be made again, a collection removes an archive together with either of its files.

use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::Kind;
use crate::store::Store;

/// The first bytes of an archive.
const MAGIC: &[u8] = b"BITXv002";

/// The length in bytes of the root digest, with which an archive ends.
const ROOT: u64 = 32;

/// A kept archive.
#[derive(Debug, Clone)]
pub struct KeptArchive {
    key: String,
    /// Its length in bytes.
    pub length: u64,
    /// The time at which it was written.
    pub modified: SystemTime,
}

impl Store {
    /// The length in bytes of the archive of the file `target` against the file `base`, or `None`
    /// if none is kept.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn archive(&self, target: &Digest, base: &Digest) -> Result<Option<u64>> {
        self.backend().length(&key(target, base)).await
    }

    /// Streams the bytes in `range` of a kept archive, in order.
    pub fn read_archive(
        &self,
        target: &Digest,
        base: &Digest,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        self.backend().stream(key(target, base), range)
    }

    /// The root digest that a kept archive of this length states, or `None` if it is too short for
    /// one.
    ///
    /// # Errors
    /// `NotFound`, if a collection has removed the archive; those of the storage.
    pub async fn archive_root(&self, target: &Digest, base: &Digest, length: u64) -> Result<Option<Digest>> {
        let Some(start) = length.checked_sub(ROOT) else { return Ok(None) };
        let root: BytesMut = self.read_archive(target, base, start..length).try_collect().await?;
        Ok(<[u8; ROOT as usize]>::try_from(&root[..]).ok().map(Digest::from))
    }

    /// Reads a kept archive of this length, and returns `true` if it has the magic of an archive
    /// and the root digest that it states.
    ///
    /// # Errors
    /// `NotFound`, if a collection has removed the archive; those of the storage.
    pub async fn check_archive(&self, target: &Digest, base: &Digest, length: u64) -> Result<bool> {
        let Some(root) = self.archive_root(target, base, length).await? else { return Ok(false) };
        let (mut hasher, mut magic) = (blake3::Hasher::new(), Vec::<u8>::new());
        let mut bytes = pin!(self.read_archive(target, base, 0..length - ROOT));
        while let Some(part) = bytes.next().await {
            let part = part?;
            magic.extend(part.iter().copied().take(MAGIC.len() - magic.len()));
            hasher.update(&part);
        }
        Ok(magic == MAGIC && Digest::from(hasher.finalize()) == root)
    }

    /// The kept archives of all files.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn archives(&self) -> Result<Vec<KeptArchive>> {
        let listed = self.backend().list(Kind::Archives.folder()).await?;
        let archive = |listed: crate::backend::Listed| KeptArchive {
            key: listed.key,
            length: listed.bytes,
            modified: listed.modified,
        };
        Ok(listed.into_iter().map(archive).collect())
    }

    /// Removes a kept archive, which can be made again.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remove_archive(&self, archive: &KeptArchive) -> Result<()> {
        self.backend().delete(&archive.key).await
    }

    /// Removes the kept archive of the file `target` against the file `base`, if there is one.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn forget_archive(&self, target: &Digest, base: &Digest) -> Result<()> {
        self.backend().delete(&key(target, base)).await
    }

    /// Stores the archive at `path`, which the caller has decoded and compared. Returns `false` if
    /// one is kept already.
    ///
    /// # Errors
    /// Those of the storage and of the file.
    pub async fn keep_archive(&self, target: &Digest, base: &Digest, path: &Path) -> Result<bool> {
        self.backend().create_from(&key(target, base), path).await
    }
}

/// Checks a kept archive. The outer result is that of the storage, the inner one that of the check.
pub(crate) async fn check(store: &Store, target: &Digest, base: &Digest) -> Result<Result<()>> {
    let Some(length) = store.archive(target, base).await? else { return Ok(Ok(())) };
    match store.check_archive(target, base, length).await {
        Ok(true) | Err(Error::NotFound(_)) => return Ok(Ok(())),
        checked => checked?,
    };
    // The archive may have been made again meanwhile, with another length.
    let same = store.archive(target, base).await? == Some(length);
    let damaged = || Error::damaged(key(target, base), "the archive does not match its digest");
    Ok(if same { Err(damaged()) } else { Ok(()) })
}

fn key(target: &Digest, base: &Digest) -> String {
    format!("{}/{target}.{base}.bitx", Kind::Archives.folder())
}
