//! The state of a server, which all requests share.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bitx_store::{Digest, FileEntry, ModelName, Relations, Store};
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Access, Tokens};
use crate::bodies;
use crate::errors::{Code, Failure, Result};
use crate::flights::Flights;
use crate::jobs::Stop;
use crate::limits::Limits;
use crate::read::batch::{Batch, BatchKey};
use crate::read::delta::{Findings, Made};
use crate::space::{Share, Space};
use crate::spool::Spool;
use crate::turns::Turns;
use crate::upload::Open;
use crate::upload::sessions::Sessions;

/// The maximum age of the relations, after which models that other servers publish are seen.
const FRESH: Duration = Duration::from_secs(1);

/// The number of downloads planned at a time, and of announcements compared with the stored files.
const PLANNINGS: usize = 2;

/// The state of a server.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) spool: Spool,
    /// The uploads that this server works on.
    pub(crate) sessions: Sessions,
    /// The open uploads of all servers.
    pub(crate) open: Open,
    /// Held by the round of upkeep that is at work.
    pub(crate) upkeep: Arc<tokio::sync::Mutex<()>>,
    /// Work that continues after its client has disconnected.
    pub(crate) tasks: TaskTracker,
    /// Cancels that work at the end of a shutdown.
    pub(crate) cancelled: CancellationToken,
    pub(crate) requests: Arc<Semaphore>,
    /// One permit per [`STEP`](bodies::STEP) of JSON bodies.
    pub(crate) json: Arc<Semaphore>,
    /// The space for temporary files.
    pub(crate) space: Arc<Space>,
    /// One permit per KiB of decoded pieces.
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) makings: Turns,
    pub(crate) decodings: Turns,
    /// The turns at planning downloads.
    pub(crate) pulls: Turns,
    /// The turns at comparing announced files with the stored ones.
    pub(crate) plannings: Turns,
    /// The findings about archives.
    pub(crate) findings: Findings,
    pub(crate) batches: Flights<BatchKey, Batch>,
    pub(crate) archives: Flights<(Digest, Digest), Option<Made>>,
    restored: Flights<Digest, RestoredFile>,
    pool: rayon::ThreadPool,
    relations: RwLock<(Arc<Relations>, Option<Instant>)>,
    refreshing: tokio::sync::Mutex<()>,
    /// The last check of the storage, and its result.
    checked: tokio::sync::Mutex<Option<(Instant, Result<()>)>>,
}

impl State {
    pub(crate) fn new(store: Store, tokens: Tokens, limits: Limits, spool: Spool, pool: rayon::ThreadPool) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.max(1)));
        let permits = |bytes: u64| bytes.min(Semaphore::MAX_PERMITS as u64) as usize;
        let turns = |most: usize| Turns::new(most, limits.requests, limits.queue);
        Self {
            requests: semaphore(limits.requests),
            json: semaphore(permits(limits.json_total / bodies::STEP as u64)),
            space: Space::new(limits.spool),
            memory: semaphore(permits(limits.memory >> 10)),
            makings: turns(limits.makings),
            decodings: turns(limits.decodings),
            pulls: turns(PLANNINGS),
            plannings: turns(PLANNINGS),
            findings: Findings::default(),
            sessions: Sessions::default(),
            open: Open::default(),
            upkeep: Arc::default(),
            tasks: TaskTracker::new(),
            cancelled: CancellationToken::new(),
            batches: Flights::default(),
            archives: Flights::default(),
            restored: Flights::default(),
            relations: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
            checked: tokio::sync::Mutex::default(),
            store,
            tokens,
            limits,
            spool,
            pool,
        }
    }

    /// The relations of the published models, at most a second old and never older than the last
    /// call of [`outdate`](Self::outdate).
    pub(crate) async fn relations(&self) -> Result<Arc<Relations>> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let _one = self.refreshing.lock().await;
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let (begun, known) = (Instant::now(), self.read_relations().0);
        let new = known.refresh(&self.store).await?.map_or(known, Arc::new);
        *self.relations.write().unwrap_or_else(PoisonError::into_inner) = (new.clone(), Some(begun));
        Ok(new)
    }

    /// Checks that the storage can be listed, at most once a second.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn check_storage(&self) -> Result<()> {
        let mut last = self.checked.lock().await;
        if let Some((_, result)) = last.as_ref().filter(|(begun, _)| begun.elapsed() < FRESH) {
            return result.clone();
        }
        let begun = Instant::now();
        let result = self.store.ping().await.map_err(Failure::from);
        *last = Some((begun, result.clone()));
        result
    }

    fn fresh(&self) -> Option<Arc<Relations>> {
        let (relations, listed) = self.read_relations();
        listed.filter(|listed| listed.elapsed() < FRESH).map(|_| relations)
    }

    fn read_relations(&self) -> (Arc<Relations>, Option<Instant>) {
        self.relations.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks the relations as outdated, after this server has published a model.
    pub(crate) fn outdate(&self) {
        self.relations.write().unwrap_or_else(PoisonError::into_inner).1 = None;
    }

    /// The end of a job that begins now.
    pub(crate) fn stop(&self) -> Stop {
        Stop { token: self.cancelled.clone(), until: Instant::now() + self.limits.work }
    }

    /// Calls `work` on the threads of the codec.
    pub(crate) async fn compute<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let state = self.clone();
        tokio::task::spawn_blocking(move || state.pool.install(|| work(&state))).await?
    }

    /// Restores the file with this digest to a temporary file, which requests share.
    ///
    /// # Errors
    /// `NotFound`, if no model that `access` may read has the file.
    pub(crate) async fn restored(self: &Arc<Self>, digest: Digest, access: &Access) -> Result<Restored> {
        let relations = self.relations().await?;
        let (name, file) = relations
            .file(&digest, |name: &ModelName| access.may_read(name))
            .ok_or_else(|| Failure::not_found(format!("file {digest}")))?;
        let (state, name, file) = (self.clone(), name.clone(), file.clone());
        let restore = async move {
            match state.restore(&file).await {
                Err(error) => Err(state.unless_gone(&name, &file, error).await),
                restored => restored,
            }
        };
        self.restored.get(&self.tasks, digest, restore).await
    }

    /// Restores the base of an upload to a temporary file. If no model has it any longer, the store
    /// still has it, since the upload needs it.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn base_of_upload(self: &Arc<Self>, digest: Digest, access: &Access) -> Result<Restored> {
        let gone = match self.restored(digest, access).await {
            Err(error) if error.code == Code::NotFound => error,
            restored => return restored,
        };
        let file = self.store.stored_file(&digest).await?.ok_or(gone)?;
        let state = self.clone();
        self.restored.get(&self.tasks, digest, async move { state.restore(&file).await }).await
    }

    /// Restores a file of the store to a temporary file.
    async fn restore(&self, file: &FileEntry) -> Result<RestoredFile> {
        let share = self.space.take(file.length)?;
        let (handle, path) = self.spool.file().map(NamedTempFile::into_parts).map_err(Failure::spool)?;
        let output = tokio::sync::Mutex::new(tokio::fs::File::from_std(handle));
        let write = |part: bytes::Bytes| {
            let (output, path) = (&output, &path);
            async move {
                let written = output.lock().await.write_all(&part).await;
                written.map_err(|source| bitx_store::Error::File { path: path.to_path_buf(), source })
            }
        };
        let restored = tokio::time::timeout(self.limits.work, self.store.restore(file, write)).await;
        restored.map_err(|_| Failure::busy("restoring a file takes too long"))??;
        output.into_inner().flush().await.map_err(Failure::spool)?;
        Ok(RestoredFile { path, _share: share })
    }

    /// The failure of reading `file`. If the model has been removed or replaced while it was read,
    /// a missing object is no damage, and the file is not there any longer.
    pub(crate) async fn unless_gone(&self, name: &ModelName, file: &FileEntry, error: Failure) -> Failure {
        if error.code != Code::Damaged {
            return error;
        }
        match self.store.model(name).await {
            Err(bitx_store::Error::NotFound(_)) => Failure::not_found(format!("model {name}")),
            Ok(model) if !model.files.iter().any(|other| other.id == file.id) => {
                Failure::not_found(format!("file {:?} of this version of {name}", file.path))
            }
            _ => error,
        }
    }
}

/// A file of the store, restored to a temporary file. Requests that use it at the same time share
/// it.
pub(crate) type Restored = crate::flights::Held<RestoredFile>;

/// A temporary file, with the space that it takes.
pub(crate) struct RestoredFile {
    pub(crate) path: TempPath,
    _share: Share,
}
