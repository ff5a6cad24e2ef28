//! Archives of files against other files, kept when they were made on demand. They can be made again: a collection
//! removes them with either of their files.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures::Stream;

use crate::digest::Digest;
use crate::error::Result;
use crate::keys::Kind;
use crate::store::Store;

impl Store {
    /// Length in bytes of the kept archive of the file `target` against the file `base`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn archive(&self, target: &Digest, base: &Digest) -> Result<Option<u64>> {
        self.backend().length(&key(target, base)).await
    }

    /// `range` of a kept archive, front to back.
    pub fn read_archive(
        &self,
        target: &Digest,
        base: &Digest,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        self.backend().stream(key(target, base), range)
    }

    /// Keeps the archive at `path`, which the caller has decoded and compared; `false` if there is one already.
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
