//! The storage of a store: a folder or a bucket, which is used through a few kinds of requests.

mod large;
mod staging;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StorageError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use url::Url;

use crate::error::{Error, Result};

/// The number of requests in flight for an operation that needs many.
pub(crate) const REQUESTS: usize = 16;

/// The storage of a store: a folder, a bucket, or any other `object_store`.
#[derive(Debug, Clone)]
pub struct Backend {
    /// The opened storage. A folder that is missing is opened once it was made.
    opened: Arc<OnceLock<Arc<dyn ObjectStore>>>,
    /// The path of the folder, if the storage is one.
    folder: Option<PathBuf>,
}

/// An entry of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
    /// The storage's tag of the object as it is now. It changes whenever the object is written.
    pub(crate) tag: Option<String>,
}

impl Backend {
    /// Opens `root`: the path of a folder, or a URL (`file:`, `s3:`, `gs:`, `az:`). A folder that
    /// is missing is an empty storage, and stays missing until a model is added. The credentials of
    /// a bucket come from environment variables, with the names that `object_store` defines.
    ///
    /// # Errors
    /// A URL that cannot be used; a folder that cannot be opened.
    pub fn open(root: &str) -> Result<Self> {
        match Url::parse(root) {
            Ok(url) if url.scheme() == "file" => {
                let path =
                    url.to_file_path().map_err(|()| Error::Argument(format!("not the URL of a folder: {root}")))?;
                Self::open_folder(path)
            }
            Ok(url) if url.scheme().len() > 1 => Self::open_bucket(&url),
            // Anything else is a path. A scheme of one letter, as in `C:`, is a drive.
            _ => Self::open_folder(PathBuf::from(root)),
        }
    }

    /// Uses any other storage.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { opened: Arc::new(store.into()), folder: None }
    }

    fn open_folder(path: PathBuf) -> Result<Self> {
        let opened = OnceLock::new();
        if path.exists() {
            let _ = opened.set(folder(&path)?);
        }
        Ok(Self { opened: Arc::new(opened), folder: Some(path) })
    }

    /// Makes the folder, if the storage is one and it is missing.
    pub(crate) fn make(&self) -> Result<()> {
        if let (Some(path), None) = (&self.folder, self.opened.get()) {
            std::fs::create_dir_all(path).map_err(Error::file(path))?;
            let _ = self.opened.set(folder(path)?);
        }
        Ok(())
    }

    /// The folder, if the storage is one.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    /// The storage. An empty one stands for a folder that is missing.
    fn store(&self) -> Arc<dyn ObjectStore> {
        let open = || self.folder.as_ref().filter(|path| path.exists()).and_then(|path| folder(path).ok());
        let opened = self.opened.get().cloned().or_else(open);
        opened.unwrap_or_else(|| Arc::new(InMemory::new()))
    }

    fn open_bucket(url: &Url) -> Result<Self> {
        let environment = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, path) = object_store::parse_url_opts(url, environment).map_err(|source| failed(url, source))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        let store = if path.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, path)) };
        Ok(Self::over(store))
    }

    /// The bytes of an object, or `None` if there is no such object.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let got = async { self.store().get(&Path::from(key)).await?.bytes().await };
        absent(got.await).map_err(|source| failed(&key, source))
    }

    /// The first `bytes` bytes of an object, or all of a shorter one. `None` if there is no such
    /// object.
    pub(crate) async fn head(&self, key: &str, bytes: u64) -> Result<Option<Bytes>> {
        let got = self.store().get_range(&Path::from(key), 0..bytes).await;
        let got = absent(got).map_err(|source| failed(&key, source));
        // An empty object has no range of bytes.
        if got.is_err() && self.length(key).await? == Some(0) {
            return Ok(Some(Bytes::new()));
        }
        got
    }

    /// Writes an object, replacing an existing one.
    pub(crate) async fn put(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        let put = self.store().put(&Path::from(key), bytes.into()).await;
        put.map(drop).map_err(|source| failed(&key, source))
    }

    /// Creates an object, or returns `false` if it exists. If several writers create it at the same
    /// time, exactly one succeeds.
    pub(crate) async fn create(&self, key: &str, bytes: impl Into<PutPayload>) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        match self.store().put_opts(&Path::from(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(StorageError::AlreadyExists { .. } | StorageError::Precondition { .. }) => Ok(false),
            Err(source) => Err(failed(&key, source)),
        }
    }

    /// Removes an object, if it exists.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let deleted = absent(self.store().delete(&Path::from(key)).await);
        deleted.map(drop).map_err(|source| failed(&key, source))
    }

    /// Lists all objects in `folder` and its subfolders. An error at any point fails the whole
    /// listing, since callers rely on its being complete.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        self.listed(folder).try_collect().await
    }

    /// Lists up to `most` objects in `folder` and its subfolders. Callers must not rely on which.
    pub(crate) async fn list_some(&self, folder: &str, most: usize) -> Result<Vec<Listed>> {
        self.listed(folder).take(most).try_collect().await
    }

    /// Lists all objects in `folder` and its subfolders, a page at a time.
    pub(crate) fn listed(&self, folder: &str) -> BoxStream<'static, Result<Listed>> {
        let name = folder.to_owned();
        let listed = |object: ObjectMeta| Listed {
            key: object.location.to_string(),
            bytes: object.size,
            modified: object.last_modified.into(),
            tag: object.e_tag,
        };
        let objects = self.store().list(Some(&Path::from(folder)));
        objects.map_ok(listed).map_err(move |error| failed(&name, error)).boxed()
    }

    /// The names of the objects and folders at the top.
    pub(crate) async fn top(&self) -> Result<Vec<String>> {
        let listed = self.store().list_with_delimiter(None).await.map_err(|e| failed(&"", e))?;
        let objects = listed.objects.into_iter().map(|object| object.location);
        Ok(listed.common_prefixes.into_iter().chain(objects).map(|name| name.to_string()).collect())
    }

    /// Removes the files that killed writers left half-written before `before`, and returns their
    /// number. A bucket has no such files.
    pub(crate) async fn remove_staged(&self, before: SystemTime) -> Result<u64> {
        match &self.folder {
            Some(folder) if folder.exists() => staging::remove(folder.clone(), before).await,
            _ => Ok(0),
        }
    }
}

/// The storage in a folder.
fn folder(path: &std::path::Path) -> Result<Arc<dyn ObjectStore>> {
    let store = LocalFileSystem::new_with_prefix(path).map_err(|source| failed(&path.display(), source))?;
    // Published models must survive a power cut, as they do in a bucket. Empty folders are not
    // removed here, because another writer may be about to write into one.
    Ok(Arc::new(store.with_fsync(true)))
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
