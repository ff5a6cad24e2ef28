//! Work that many ask for at the same time and that is done once: whoever comes while it is under way, or while somebody
//! still uses what came of it, shares it.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::errors::Result;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Flights<K, V>(Mutex<HashMap<K, Weak<OnceCell<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What came of the work, kept as long as somebody holds it.
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
    /// What `make` makes, unless it is there. Goes on when the caller gives up: others may wait for it.
    ///
    /// # Errors
    /// Those of `make`; the next in line tries again.
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
