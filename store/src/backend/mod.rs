//! The storage below: a folder or a bucket, through five requests.

mod large;
mod staging;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StorageError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use url::Url;

use crate::error::{Error, Result};

/// Requests that one who needs many has under way at a time.
pub(crate) const REQUESTS: usize = 16;

/// A folder or a bucket.
#[derive(Debug, Clone)]
pub struct Backend {
    store: Arc<dyn ObjectStore>,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
}

/// An object that exists.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Backend {
    /// Opens `root`: a folder's path (made if it is missing), or a URL (`file:`, `s3:`, `gs:`, `az:`), for which
    /// credentials come from the environment, as `object_store` names them.
    ///
    /// # Errors
    /// A URL that says nothing, a folder that cannot be made.
    pub fn open(root: &str) -> Result<Self> {
        match Url::parse(root) {
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| Error::Argument(format!("not a folder's URL: {root}")))?;
                Self::open_folder(path)
            }
            Ok(url) if url.scheme().len() > 1 => Self::open_bucket(&url),
            // A path; `C:` is a drive and no scheme.
            _ => Self::open_folder(PathBuf::from(root)),
        }
    }

    /// Any other storage.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, folder: None }
    }

    fn open_folder(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path).map_err(Error::file(&path))?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(|source| failed(&path.display(), source))?;
        // What has been published must survive a power cut, as it would in a bucket. Directories stay when they become empty:
        // another writer may just have found one there.
        let store = store.with_fsync(true);
        Ok(Self { store: Arc::new(store), folder: Some(path) })
    }

    fn open_bucket(url: &Url) -> Result<Self> {
        let environment = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, path) = object_store::parse_url_opts(url, environment).map_err(|source| failed(url, source))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        let store = if path.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, path)) };
        Ok(Self { store, folder: None })
    }

    /// The object's bytes; `None` where there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let got = async { self.store.get(&Path::from(key)).await?.bytes().await };
        absent(got.await).map_err(|source| failed(&key, source))
    }

    /// The first bytes of the object, at most so many.
    pub(crate) async fn head(&self, key: &str, bytes: u64) -> Result<Option<Bytes>> {
        let got = self.store.get_range(&Path::from(key), 0..bytes).await;
        absent(got).map_err(|source| failed(&key, source))
    }

    /// Writes the object, whatever was there.
    pub(crate) async fn put(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        let put = self.store.put(&Path::from(key), bytes.into()).await;
        put.map(drop).map_err(|source| failed(&key, source))
    }

    /// Writes the object unless there is one: `false` then. Of several that try, one succeeds.
    pub(crate) async fn create(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&Path::from(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(StorageError::AlreadyExists { .. } | StorageError::Precondition { .. }) => Ok(false),
            Err(source) => Err(failed(&key, source)),
        }
    }

    /// Removes the object, if it is there.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let deleted = absent(self.store.delete(&Path::from(key)).await);
        deleted.map(drop).map_err(|source| failed(&key, source))
    }

    /// All objects whose keys begin with `folder` and a slash. Any error ends it: half a listing is none.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        let objects: Vec<_> =
            self.store.list(Some(&Path::from(folder))).try_collect().await.map_err(|e| failed(&folder, e))?;
        let listed = objects.into_iter().map(|object| Listed {
            key: object.location.to_string(),
            bytes: object.size,
            modified: object.last_modified.into(),
        });
        Ok(listed.collect())
    }

    /// Removes what writers that were killed left half written, where the storage cannot do that itself.
    pub(crate) async fn remove_staged(&self, before: SystemTime) -> Result<u64> {
        match &self.folder {
            Some(folder) => staging::remove(folder.clone(), before).await,
            None => Ok(0),
        }
    }
}

pub(crate) fn failed(key: &dyn ToString, source: StorageError) -> Error {
    Error::Storage { key: key.to_string(), source }
}

fn absent<T>(result: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
