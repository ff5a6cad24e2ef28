//! Work that is shared between requests. If several requests need the same result at the same time,
//! it is made once. A request that comes while the result is being made, or is still in use, shares
//! it.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::errors::Result;

/// The results that are being made or are in use, by key.
#[derive(Debug)]
pub(crate) struct Flights<K, V>(Mutex<HashMap<K, Weak<OnceCell<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A shared result. It is dropped with its last holder.
#[derive(Debug)]
pub(crate) struct Held<V> {
    cell: Arc<OnceCell<V>>,
}

impl<V> Clone for Held<V> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

impl<V> Deref for Held<V> {
    type Target = V;

    fn deref(&self) -> &V {
        match self.cell.get() {
            Some(value) => value,
            None => unreachable!("held only once it is set"),
        }
    }
}

impl<K: Hash + Eq, V: Send + Sync + 'static> Flights<K, V> {
    /// Returns the result under `key`, which `make` makes if it does not exist yet. The work
    /// continues if the caller gives up, because others may wait for it.
    ///
    /// # Errors
    /// Those of `make`. The next request that waits then tries again.
    pub(crate) async fn get(
        &self,
        tasks: &TaskTracker,
        key: K,
        make: impl Future<Output = Result<V>> + Send + 'static,
    ) -> Result<Held<V>> {
        let cell = self.cell(key);
        if !cell.initialized() {
            let cell = cell.clone();
            tasks.spawn(async move { cell.get_or_try_init(|| make).await.map(drop) }).await??;
        }
        Ok(Held { cell })
    }

    /// The cell under `key`, which is created if it does not exist. Cells without holders are
    /// removed now and then.
    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(&key).and_then(Weak::upgrade) {
            return cell;
        }
        if cells.len() == cells.capacity() {
            cells.retain(|_, cell| cell.strong_count() > 0);
        }
        let cell = Arc::new(OnceCell::new());
        cells.insert(key, Arc::downgrade(&cell));
        cell
    }
}
