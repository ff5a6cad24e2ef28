//! Objects that are too large for memory: written in parts, read by ranges.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::io::AsyncReadExt;

use super::{Backend, absent, failed};
use crate::error::{Error, Result};

/// Bytes of a request, so that few of them hold back a slow reader's memory.
const READ: u64 = 2 << 20;
/// Requests that are under way at a time for one reader.
const AHEAD: usize = 2;
/// Objects up to this are written by one request, which can be told to create and not to replace.
const AT_ONCE: u64 = 64 << 20;
/// Parts of larger ones: buckets take 10,000 of them.
const PART: usize = 64 << 20;

impl Backend {
    /// Length of the object in bytes; `None` where there is none.
    pub(crate) async fn length(&self, key: &str) -> Result<Option<u64>> {
        let found = absent(self.store.head(&Key::from(key)).await).map_err(|source| failed(&key, source))?;
        Ok(found.map(|meta| meta.size))
    }

    /// `range` of an object that is there, front to back.
    pub(crate) fn stream(&self, key: String, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let (store, end) = (self.store.clone(), range.end);
        let parts = range.step_by(READ as usize).map(move |start| start..end.min(start + READ));
        let read = move |part: Range<u64>| {
            let (store, key) = (store.clone(), key.clone());
            async move { store.get_range(&Key::from(key.as_str()), part).await.map_err(|source| failed(&key, source)) }
        };
        stream::iter(parts).map(read).buffered(AHEAD)
    }

    /// Writes a file as an object, unless there is one: `false` then. Of several that write a large one at the same
    /// moment, more than one may succeed, each in place of the one before.
    pub(crate) async fn create_from(&self, key: &str, path: &Path) -> Result<bool> {
        let length = tokio::fs::metadata(path).await.map_err(Error::file(path))?.len();
        if length <= AT_ONCE {
            let bytes = tokio::fs::read(path).await.map_err(Error::file(path))?;
            return self.create(key, bytes).await;
        }
        if self.length(key).await?.is_some() {
            return Ok(false);
        }
        let upload = self.store.put_multipart(&Key::from(key)).await.map_err(|source| failed(&key, source))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
        match send(path, &mut writer).await {
            Ok(()) => writer.finish().await.map(|_| true).map_err(|source| failed(&key, source)),
            Err(error) => {
                // The first error says more than what may follow from it.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }
}

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
