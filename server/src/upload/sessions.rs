//! Uploads that are under way: in memory, with their bytes in temporary files. Nothing of them is in the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitx_store::{Digest, ModelName};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::errors::{Failure, Result};
use crate::limits::Limits;

/// How long a client may ask again what became of its upload.
const ANSWER: Duration = Duration::from_secs(60);

/// All uploads of a server.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Uuid, Arc<Session>>>);

/// One upload.
#[derive(Debug)]
pub(crate) struct Session {
    /// Not to be guessed.
    pub(crate) id: Uuid,
    /// Number of the entry of tokens that it is by.
    pub(crate) owner: usize,
    pub(crate) name: ModelName,
    pub(crate) slots: Vec<Slot>,
    pub(crate) folder: TempDir,
    /// What its files may take on the disk.
    pub(crate) bytes: AtomicU64,
    pub(crate) touched: Mutex<Instant>,
    /// It is published: kept only for a client that lost the answer.
    pub(crate) ended: AtomicBool,
    /// The answer, once it is published.
    pub(crate) published: Arc<tokio::sync::Mutex<Option<Value>>>,
}

/// A file of an upload.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) path: String,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    /// It is stored, in a model that whoever uploads may read.
    pub(crate) known: bool,
    pub(crate) progress: Mutex<Progress>,
    /// Held by the one request that works on it.
    pub(crate) work: Arc<tokio::sync::Mutex<()>>,
    latest: Mutex<CancellationToken>,
}

/// What is sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Raw,
    /// An archive, against a base.
    Archive(Option<Digest>),
}

/// How much of a file has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) form: Option<Form>,
    pub(crate) received: u64,
    pub(crate) total: Option<u64>,
    /// It was restored, and is what was announced.
    pub(crate) done: bool,
}

impl Slot {
    pub(crate) fn new(path: String, length: u64, digest: Digest, known: bool) -> Self {
        Self { path, length, digest, known, progress: Mutex::default(), work: Arc::default(), latest: Mutex::default() }
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the request that still waits for bytes of this file: its connection may be dead, which only its client knows.
    pub(crate) fn supersede(&self) -> CancellationToken {
        let new = CancellationToken::new();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *latest, new.clone()).cancel();
        new
    }
}

impl Session {
    /// Where the bytes that come of a file are kept.
    pub(crate) fn received(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{number}.part"))
    }

    /// Where a restored file is. It ends as its name does, which says what it should be.
    pub(crate) fn restored(&self, number: usize) -> PathBuf {
        let extension = Path::new(&self.slots[number].path).extension().and_then(|extension| extension.to_str());
        let extension = extension.filter(|e| e.len() <= 16 && e.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        self.folder.path().join(format!("{number}.{}", extension.unwrap_or("file")))
    }
}

impl Sessions {
    /// # Errors
    /// `Busy`, at the limits.
    pub(crate) fn begin(&self, session: Session, limits: &Limits) -> Result<Arc<Session>> {
        let mut sessions = self.lock();
        let bytes = |session: &Session| session.bytes.load(Ordering::Relaxed);
        let open = sessions.values().filter(|session| !session.ended.load(Ordering::Relaxed)).count();
        if open >= limits.uploads {
            return Err(Failure::busy("as many uploads as there may be are under way"));
        }
        if sessions.values().map(|session| bytes(session)).sum::<u64>().saturating_add(bytes(&session)) > limits.spool {
            return Err(Failure::busy("uploads that are under way need all the space"));
        }
        let session = Arc::new(session);
        sessions.insert(session.id, session.clone());
        gauge(&sessions);
        Ok(session)
    }

    pub(crate) fn get(&self, id: &Uuid) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        *session.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Some(session)
    }

    pub(crate) fn remove(&self, id: &Uuid) {
        let mut sessions = self.lock();
        sessions.remove(id);
        gauge(&sessions);
    }

    /// Forgets uploads that nobody has touched for so long.
    pub(crate) fn forget(&self, expiry: Duration) {
        let mut sessions = self.lock();
        sessions.retain(|_, session| {
            let touched = *session.touched.lock().unwrap_or_else(PoisonError::into_inner);
            let expiry = if session.ended.load(Ordering::Relaxed) { expiry.min(ANSWER) } else { expiry };
            // A request that works on it holds it.
            Arc::strong_count(session) > 1 || touched.elapsed() < expiry
        });
        gauge(&sessions);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(sessions: &HashMap<Uuid, Arc<Session>>) {
    metrics::gauge!("bitx_uploads_open").set(sessions.len() as f64);
}
