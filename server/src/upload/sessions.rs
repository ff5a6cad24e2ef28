//! Open uploads. They are kept in memory, with their bytes in temporary files, and nothing of them
//! is in the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitx_store::{Digest, ModelName};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::room::{self, Holding};
use crate::errors::{Failure, Result};
use crate::limits::Limits;
use crate::space::{Share, Space};

/// The time for which the answer of a published upload is kept, for clients that have missed it.
const ANSWER: Duration = Duration::from_secs(60);

/// All open uploads of a server.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Uuid, Arc<Session>>>);

/// An open upload.
#[derive(Debug)]
pub(crate) struct Session {
    /// The random id, which cannot be guessed.
    pub(crate) id: Uuid,
    /// The number of the token's entry that began the upload.
    pub(crate) owner: usize,
    pub(crate) name: ModelName,
    pub(crate) slots: Vec<Slot>,
    pub(crate) folder: TempDir,
    /// The space that its files take once they are restored.
    pub(crate) share: Mutex<Share>,
    /// The number of tensors in the files that were restored.
    pub(crate) tensors: Mutex<usize>,
    pub(crate) touched: Mutex<Instant>,
    /// Set once the upload is published. It is then kept only for clients that have missed the
    /// answer.
    pub(crate) ended: AtomicBool,
    /// The answer to the request that has published the upload.
    pub(crate) published: Arc<tokio::sync::Mutex<Option<Value>>>,
}

/// A file of an upload.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) path: String,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    /// Set if the file is stored already, in a model that the client may read.
    pub(crate) known: bool,
    pub(crate) progress: Mutex<Progress>,
    /// The space that the received archive takes. A file that is sent itself takes the space that
    /// the upload has for it.
    share: Mutex<Share>,
    /// Held by the request that works on the file.
    pub(crate) work: Arc<tokio::sync::Mutex<()>>,
    /// Cancels the latest request that sends bytes of the file.
    latest: Mutex<CancellationToken>,
}

/// The form in which a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The file itself.
    Raw,
    /// An archive of the file, against the base with this digest or against none.
    Archive(Option<Digest>),
}

/// The progress of receiving a file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) form: Option<Form>,
    pub(crate) received: u64,
    pub(crate) total: Option<u64>,
    /// Set once the file has been restored and checked.
    pub(crate) done: bool,
}

impl Slot {
    pub(crate) fn new(path: String, length: u64, digest: Digest, known: bool, share: Share) -> Self {
        let (progress, work, latest) = (Mutex::default(), Arc::default(), Mutex::default());
        Self { path, length, digest, known, progress, share: Mutex::new(share), work, latest }
    }

    /// The space that the received archive takes.
    pub(crate) fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the request that still receives bytes of this file, whose connection may be dead
    /// without the server knowing. Returns the token that ends the new request.
    pub(crate) fn supersede(&self) -> CancellationToken {
        let new = CancellationToken::new();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *latest, new.clone()).cancel();
        new
    }
}

impl Session {
    /// The path of the received bytes of a file. Without an extension, it cannot be that of a
    /// restored file.
    pub(crate) fn received(&self, number: usize) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    /// The path of a restored file. It keeps the extension, from which the store concludes the
    /// format of a model.
    pub(crate) fn restored(&self, number: usize) -> PathBuf {
        let extension = Path::new(&self.slots[number].path).extension().and_then(|extension| extension.to_str());
        let extension = extension.filter(|e| e.len() <= 16 && e.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        self.folder.path().join(format!("{number}.{}", extension.unwrap_or("file")))
    }
}

impl Session {
    /// The space that its restored files take.
    fn bytes(&self) -> u64 {
        self.share.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }

    /// The upload as one that holds this much room.
    fn holding(self: &Arc<Self>, room: u64) -> Holding {
        let touched = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        // A request that works on the upload holds a reference to it.
        let idle = (Arc::strong_count(self) == 1).then(|| touched.elapsed());
        Holding { id: self.id, owner: self.owner, room, idle }
    }
}

impl Sessions {
    /// Adds an upload. If there are too many, another one gives way.
    ///
    /// # Errors
    /// `Busy`, if none gives way.
    pub(crate) fn begin(&self, session: Session, limits: &Limits) -> Result<Arc<Session>> {
        let busy = || Failure::busy("the server has too many open uploads");
        while self.open() >= limits.uploads {
            self.give_way(session.owner, 1, |_| 1, limits).ok_or_else(busy)?;
        }
        let session = Arc::new(session);
        let mut sessions = self.lock();
        sessions.insert(session.id, session.clone());
        gauge(&sessions);
        Ok(session)
    }

    /// Takes space for a new upload of `owner`. If there is too little, other uploads give way.
    ///
    /// # Errors
    /// `Busy`, if none gives way.
    pub(crate) fn space(&self, owner: usize, bytes: u64, space: &Arc<Space>, limits: &Limits) -> Result<Share> {
        loop {
            match space.take(bytes) {
                Err(busy) => self.give_way(owner, bytes, Session::bytes, limits).ok_or(busy)?,
                taken => return taken,
            }
        }
    }

    /// Discards one upload, so that a new one of `owner` that holds `room` can begin.
    fn give_way(&self, owner: usize, room: u64, held: fn(&Session) -> u64, limits: &Limits) -> Option<()> {
        let mut sessions = self.lock();
        let open = sessions.values().filter(|session| !session.ended.load(Ordering::Relaxed));
        let holdings: Vec<Holding> = open.map(|session| session.holding(held(session))).collect();
        let id = room::gives_way(&holdings, owner, room, limits.stall)?;
        let discarded = sessions.remove(&id);
        gauge(&sessions);
        drop(sessions);
        tracing::info!(upload = %id, "an upload gives way to another one");
        // Its files are removed here, while others can use the uploads.
        drop(discarded);
        Some(())
    }

    /// The number of open uploads.
    fn open(&self) -> usize {
        self.lock().values().filter(|session| !session.ended.load(Ordering::Relaxed)).count()
    }

    /// The upload with this id. Its expiry begins anew.
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

    /// Discards uploads without a request for the time `expiry`.
    pub(crate) fn forget(&self, expiry: Duration) {
        let mut sessions = self.lock();
        sessions.retain(|_, session| {
            let touched = *session.touched.lock().unwrap_or_else(PoisonError::into_inner);
            let expiry = if session.ended.load(Ordering::Relaxed) { expiry.min(ANSWER) } else { expiry };
            // A request that works on the upload holds a reference to it.
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

/// Updates the metric of open uploads.
fn gauge(sessions: &HashMap<Uuid, Arc<Session>>) {
    metrics::gauge!("bitx_uploads_open").set(sessions.len() as f64);
}
