//! Support for tests that run the store in real processes: model files, places for stores, and
//! `bitx store` commands.

mod bucket;
#[path = "../../../../tests/common/mod.rs"]
pub mod common;
#[path = "../../../../store/tests/store/support/models.rs"]
pub mod models;
#[cfg(unix)]
pub mod served;
#[allow(dead_code)] // the tests of the store use all of it
#[path = "../../../../store/tests/store/support/weights.rs"]
pub mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bitx_store::{Backend, Store};
pub use bucket::Bucket;
use futures::TryStreamExt;
use object_store::ObjectStore;

/// The place of a store.
pub enum Place {
    Folder(tempfile::TempDir),
    Bucket(Bucket),
}

impl Place {
    /// An empty store in a folder.
    pub fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap()).init()
    }

    /// An empty store in a bucket.
    pub fn bucket() -> Self {
        Self::Bucket(Bucket::serve()).init()
    }

    fn init(self) -> Self {
        assert!(self.bitx(&["init"]).status().unwrap().success());
        self
    }

    /// A `bitx store` command on this store, ready to be spawned.
    pub fn bitx(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("bitx"));
        match self {
            Self::Folder(folder) => command.env("BITX_STORE", folder.path()),
            Self::Bucket(bucket) => command.envs(bucket.environment()).env("BITX_STORE", bucket.url()),
        };
        command.arg("store").args(args).args(["-q", "-j", "1"]).stdin(Stdio::null());
        command
    }

    /// Direct access to the objects of the store.
    pub fn storage(&self) -> std::sync::Arc<dyn ObjectStore> {
        match self {
            Self::Folder(folder) => {
                std::sync::Arc::new(object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap())
            }
            Self::Bucket(bucket) => bucket.storage(),
        }
    }

    pub async fn store(&self) -> Store {
        Store::over(Backend::over(self.storage()), 2).await.unwrap()
    }

    /// The content-addressed objects: their number and bytes, by the key without its epoch.
    pub async fn content(&self) -> BTreeMap<String, (usize, u64)> {
        let mut content: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        for (key, bytes) in self.objects().await {
            if key.starts_with("pieces/") || key.starts_with("files/") || key.starts_with("sketches/") {
                // The size of a manifest depends on the number of digits in its epochs, so it is
                // not compared.
                let bytes = if key.starts_with("files/") { 0 } else { bytes };
                let entry = content.entry(key.rsplit_once('/').unwrap().0.to_owned()).or_default();
                *entry = (entry.0 + 1, entry.1 + bytes);
            }
        }
        content
    }

    /// The keys of all other objects: models, and records of writers and collections.
    pub async fn records(&self) -> Vec<String> {
        let objects = self.objects().await.into_iter().map(|(key, _)| key);
        objects.filter(|key| key.starts_with("runs/") || key.starts_with("gc/") || key.starts_with("models/")).collect()
    }

    async fn objects(&self) -> Vec<(String, u64)> {
        let objects: Vec<_> = self.storage().list(None).try_collect().await.unwrap();
        objects.into_iter().map(|object| (object.location.to_string(), object.size)).collect()
    }

    /// The half-written files of a folder, which listings of the store do not show.
    pub fn hidden(&self) -> Vec<PathBuf> {
        match self {
            Self::Folder(folder) => {
                walk(folder.path()).into_iter().filter(|p| p.to_string_lossy().contains('#')).collect()
            }
            Self::Bucket(_) => Vec::new(),
        }
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
