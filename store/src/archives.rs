//! Archives of stored files against other stored files. They are made on demand and kept. Since
//! they can be made again, a collection removes an archive together with either of its files.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures::Stream;

use crate::digest::Digest;
use crate::error::Result;
use crate::keys::Kind;
use crate::store::Store;

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

    /// Stores the archive at `path`, which the caller has decoded and compared. Returns `false` if
    /// one is kept already.
    ///
    /// # Errors
    /// Those of the storage and of the file.
    pub async fn keep_archive(&self, target: &Digest, base: &Digest, path: &Path) -> Result<bool> {
        self.backend().create_from(&key(target, base), path).await
    }
}

fn key(target: &Digest, base: &Digest) -> String {
    format!("{}/{target}.{base}.bitx", Kind::Archives.folder())
}
