//! The uploads that this server works on: their temporary files, and the requests that are at work.
//! All that an upload consists of is in the store, so that another server can continue it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitx_store::{Transfer, Upload};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::errors::Result;
use crate::space::Share;
use crate::state::State;

/// The longest interval between signs of life of an upload that has requests.
const BEAT: Duration = Duration::from_secs(30);

/// The uploads that a server works on.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Uuid, Arc<Session>>>);

/// An upload that the server works on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) upload: Arc<Upload>,
    pub(crate) slots: Vec<Slot>,
    folder: TempDir,
    /// The space that its files take once they are restored.
    share: Mutex<Share>,
    touched: Mutex<Instant>,
    /// The time of the last sign of life that the server has written.
    beaten: Mutex<Instant>,
    /// Held by the request that publishes the upload.
    pub(crate) publishing: tokio::sync::Mutex<()>,
}

/// A file of an upload.
#[derive(Debug)]
pub(crate) struct Slot {
    local: Mutex<Local>,
    /// The space that the received archive takes. A file that is sent itself takes the space that
    /// the upload has for it.
    share: Mutex<Share>,
    /// Held by the request that works on the file.
    pub(crate) work: Arc<tokio::sync::Mutex<()>>,
    /// Asks the request that receives bytes to store them.
    pub(crate) asked: Notify,
    /// Cancels the latest request that sends bytes of the file.
    latest: Mutex<CancellationToken>,
}

/// The bytes of a file that are in temporary files of this server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Local {
    pub(crate) transfer: Option<Transfer>,
    /// The range of bytes of the transfer that are there and in the store.
    pub(crate) range: Range<u64>,
    /// The file is restored and checked.
    pub(crate) is_restored: bool,
}

impl Slot {
    fn new(share: Share) -> Self {
        let (local, work, asked, latest) = Default::default();
        Self { local, share: Mutex::new(share), work, asked, latest }
    }

    pub(crate) fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The space that the received archive takes.
    pub(crate) fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Prepares to work on an upload, whose temporary files have a folder and a share of the space.
    ///
    /// # Errors
    /// `Busy`, if there is no space.
    pub(crate) fn new(id: Uuid, upload: Arc<Upload>, (folder, share): (TempDir, Share), state: &State) -> Result<Self> {
        let slots = upload.files.iter().map(|_| state.space.take(0).map(Slot::new)).collect::<Result<_>>()?;
        let (share, publishing) = (Mutex::new(share), tokio::sync::Mutex::default());
        let [touched, beaten] = [Instant::now(); 2].map(Mutex::new);
        Ok(Self { id, upload, slots, folder, share, touched, beaten, publishing })
    }

    /// The path of the received bytes of a file. Without an extension, it cannot be that of a
    /// restored file.
    pub(crate) fn received(&self, number: usize) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    /// The path of a restored file. It keeps the extension, from which the store concludes the
    /// format of a model.
    pub(crate) fn restored(&self, number: usize) -> PathBuf {
        let extension = Path::new(&self.upload.files[number].path).extension().and_then(|extension| extension.to_str());
        let extension = extension.filter(|e| e.len() <= 16 && e.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        self.folder.path().join(format!("{number}.{}", extension.unwrap_or("file")))
    }

    /// Gives up the space of the restored files, after these have been removed.
    pub(crate) fn give_back(&self) {
        self.share.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Ends the requests that receive bytes of the upload.
    pub(crate) fn interrupt(&self) {
        self.slots.iter().for_each(|slot| drop(slot.supersede()));
    }

    /// Begins the expiry anew.
    fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The time since the last request; `None` if a request is at work.
    pub(crate) fn idle(self: &Arc<Self>) -> Option<Duration> {
        let touched = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        // A request that works on the upload holds a reference to it, and so does the caller.
        (Arc::strong_count(self) <= 2).then(|| touched.elapsed())
    }

    /// Returns `true` if the store must be told that the upload still has requests.
    pub(crate) fn needs_beat(self: &Arc<Self>) -> bool {
        let idle = self.idle();
        let since = self.beaten.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let expiry = self.upload.expiry();
        idle.is_none_or(|idle| idle < since.min(expiry)) && since >= BEAT.min(expiry / 4)
    }

    /// Notes that a sign of life has been written.
    pub(crate) fn beaten(&self) {
        *self.beaten.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Sessions {
    /// The upload with this id, if the server works on it. Its expiry begins anew.
    pub(crate) fn get(&self, id: &Uuid) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        session.touch();
        Some(session)
    }

    /// Adds an upload, and returns it. If the server works on it already, the earlier one counts.
    pub(crate) fn add(&self, session: Session) -> Arc<Session> {
        self.lock().entry(session.id).or_insert_with(|| Arc::new(session)).clone()
    }

    /// Ends the work on an upload. Its temporary files are removed.
    pub(crate) fn remove(&self, id: &Uuid) {
        let removed = self.lock().remove(id);
        // The files are removed here, while others can use the uploads.
        if let Some(session) = removed {
            session.interrupt();
        }
    }

    /// The upload with this id, if the server works on it. This is no request to it.
    pub(crate) fn peek(&self, id: &Uuid) -> Option<Arc<Session>> {
        self.lock().get(id).cloned()
    }

    /// The ids of all uploads that the server works on.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.lock().keys().copied().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
