//! Access to objects that are too large for memory, by parts and ranges.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::io::AsyncReadExt;

use super::{Backend, absent, failed};
use crate::error::{Error, Result};

/// The size of a read request in bytes. It is small, so that a slow reader occupies little memory.
const READ: u64 = 2 << 20;
/// The number of read requests in flight for one reader.
const AHEAD: usize = 2;
/// The maximum size of an object that is written by a single request, which creates it without ever
/// replacing one.
const AT_ONCE: u64 = 64 << 20;
/// The size of the parts of larger objects. Buckets accept up to 10,000 parts.
const PART: usize = 64 << 20;

impl Backend {
    /// The length of an object in bytes, or `None` if there is no such object.
    pub(crate) async fn length(&self, key: &str) -> Result<Option<u64>> {
        let found = absent(self.store().head(&Key::from(key)).await).map_err(|source| failed(&key, source))?;
        Ok(found.map(|meta| meta.size))
    }

    /// Streams the bytes in `range` of an existing object, in order.
    pub(crate) fn stream(&self, key: String, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let (store, end) = (self.store(), range.end);
        let parts = range.step_by(READ as usize).map(move |start| start..end.min(start + READ));
        let read = move |part: Range<u64>| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                let read = absent(store.get_range(&Key::from(key.as_str()), part).await);
                let read = read.map_err(|source| failed(&key, source))?;
                read.ok_or_else(|| Error::NotFound(format!("object {key}")))
            }
        };
        stream::iter(parts).map(read).buffered(AHEAD)
    }

    /// Writes a file as an object, or returns `false` if the object exists. If several writers
    /// create the same large object at the same moment, more than one may succeed, each replacing
    /// the one before.
    pub(crate) async fn create_from(&self, key: &str, path: &Path) -> Result<bool> {
        let length = tokio::fs::metadata(path).await.map_err(Error::file(path))?.len();
        if length <= AT_ONCE {
            let bytes = tokio::fs::read(path).await.map_err(Error::file(path))?;
            return self.create(key, bytes).await;
        }
        if self.length(key).await?.is_some() {
            return Ok(false);
        }
        let upload = self.store().put_multipart(&Key::from(key)).await.map_err(|source| failed(&key, source))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
        match send(path, &mut writer).await {
            Ok(()) => writer.finish().await.map(|_| true).map_err(|source| failed(&key, source)),
            Err(error) => {
                // A failure of the abort would only hide the first error.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }
}

/// Writes the content of a file in parts.
async fn send(path: &Path, writer: &mut WriteMultipart) -> Result<()> {
    let mut file = tokio::fs::File::open(path).await.map_err(Error::file(path))?;
    let mut buffer = vec![0; READ as usize];
    loop {
        let read = file.read(&mut buffer).await.map_err(Error::file(path))?;
        if read == 0 {
            return Ok(());
        }
        writer.wait_for_capacity(1).await.map_err(|source| failed(&path.display(), source))?;
        writer.write(&buffer[..read]);
    }
}
