//! Support for tests of the store: models, and a storage in which one call fails.

pub mod blocks;
#[path = "../../../../tests/common/mod.rs"]
pub mod common;
pub mod counted;
pub mod crowd;
pub mod faulty;
pub mod models;
pub mod packings;
pub mod short;
pub mod weights;

use std::path::Path;

use bitx_store::Store;

pub async fn open(root: &Path) -> Store {
    Store::open(root.to_str().unwrap(), 2).await.unwrap()
}
