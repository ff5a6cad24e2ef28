//! Stores that exist, and the making of new ones.

use std::path::PathBuf;

use url::Url;

use crate::backend::Backend;
use crate::error::Result;
use crate::keys::FORMAT;
use crate::store::Store;

impl Store {
    /// Returns `true` if there is a store at `root`, which means that its format is stated. A
    /// folder that is missing stays missing.
    ///
    /// # Errors
    /// A root that cannot be opened.
    pub async fn exists(root: &str) -> Result<bool> {
        match folder(root) {
            Some(folder) => Ok(folder.join(FORMAT).exists()),
            None => Ok(Backend::open(root)?.get(FORMAT).await?.is_some()),
        }
    }

    /// Opens the store at `root`, and makes an empty one if there is none.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); a format that cannot be stated.
    pub async fn init(root: &str, threads: usize) -> Result<Self> {
        let store = Self::open(root, threads).await?;
        store.state_format().await?;
        Ok(store)
    }
}

/// The path of a root that is a folder.
fn folder(root: &str) -> Option<PathBuf> {
    match Url::parse(root) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        Ok(url) if url.scheme().len() > 1 => None,
        _ => Some(PathBuf::from(root)),
    }
}
