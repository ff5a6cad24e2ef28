//! Opening a store. Only `add` and `init` make one.

use bitx_store::Store;

use super::credentials;
use crate::args::Global;
use crate::fault::Fault;

/// Returns `true` if there is a store at `root`.
pub async fn exists(root: &str) -> anyhow::Result<bool> {
    credentials::check(root)?;
    Ok(Store::exists(root).await?)
}

/// Opens the store at `root`, which must exist.
pub async fn existing(root: &str, global: &Global) -> anyhow::Result<Store> {
    let message = || format!("{root}: there is no store here; `bitx store init` and `bitx store add` make one");
    anyhow::ensure!(exists(root).await?, Fault::named("not-found", message()));
    Ok(Store::open(root, global.threads()).await?)
}

/// Opens the store at `root`, and makes it if there is none.
pub async fn made(root: &str, global: &Global) -> anyhow::Result<Store> {
    credentials::check(root)?;
    Ok(Store::init(root, global.threads()).await?)
}
