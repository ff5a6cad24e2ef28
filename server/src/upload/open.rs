//! The open uploads of all servers, as the store lists them, and the room for further ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitx_store::{Digest, OpenUpload, Upload};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::plan;
use super::room::{self, Holding};
use crate::errors::{Failure, Result};
use crate::space::Share;
use crate::state::State;

/// The maximum age of the listing, after which uploads that other servers begin are seen.
const FRESH: Duration = Duration::from_secs(1);

/// The open uploads, which one request or round of upkeep at a time looks at and changes.
#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<Listing>);

/// The uploads of the last listing, and the changes that this server has made since.
#[derive(Debug, Default)]
pub(super) struct Listing {
    listed: Option<Instant>,
    uploads: HashMap<Uuid, Known>,
}

/// An upload of the listing.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) listed: OpenUpload,
    /// `None` if it cannot be read, or is gone.
    pub(super) plan: Option<Arc<Upload>>,
}

/// The uploads that may give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    AllServers,
    /// The uploads that this server works on, whose temporary files take its space.
    ThisServer,
}

impl Open {
    pub(super) async fn lock(&self) -> MutexGuard<'_, Listing> {
        self.0.lock().await
    }
}

impl Listing {
    /// Lists the uploads, unless the last listing is younger than `age`.
    pub(super) async fn refresh(&mut self, state: &State, age: Duration) -> Result<()> {
        if self.listed.is_some_and(|listed| listed.elapsed() < age) {
            return Ok(());
        }
        let begun = Instant::now();
        let mut earlier = std::mem::take(&mut self.uploads);
        for listed in state.store.uploads().list().await? {
            // A plan never changes.
            let plan = match earlier.remove(&listed.id).and_then(|known| known.plan) {
                Some(plan) => Some(plan),
                None => plan(state, listed.id).await?.map(Arc::new),
            };
            self.uploads.insert(listed.id, Known { listed, plan });
        }
        self.listed = Some(begun);
        self.gauge();
        Ok(())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Known> {
        self.uploads.values()
    }

    /// Makes room for a new upload of `owner`, whose files have so many bytes. Returns the space
    /// for its temporary files.
    ///
    /// # Errors
    /// `Busy`, if no upload gives way.
    pub(super) async fn admit(&mut self, state: &State, owner: Digest, bytes: u64) -> Result<Share> {
        self.refresh(state, FRESH).await?;
        let limits = &state.limits;
        loop {
            let open: Vec<u64> = self.open().map(|(_, upload)| upload.bytes()).collect();
            let held = open.iter().fold(bytes, |sum, bytes| sum.saturating_add(*bytes));
            let (busy, given) = if open.len() >= limits.uploads {
                let busy = Failure::busy("the server has too many open uploads");
                (busy, self.gives_way(state, owner, 1, |_| 1, Scope::AllServers).await?)
            } else if held > limits.spool {
                let busy = Failure::busy("the server has no space for further files");
                // Nothing helps an upload that is too large by itself.
                let given = match bytes > limits.spool {
                    true => None,
                    false => self.gives_way(state, owner, bytes, Upload::bytes, Scope::AllServers).await?,
                };
                (busy, given)
            } else {
                match state.space.take(bytes) {
                    Ok(share) => return Ok(share),
                    Err(busy) => (busy, self.gives_way(state, owner, bytes, Upload::bytes, Scope::ThisServer).await?),
                }
            };
            let given = given.ok_or(busy)?;
            tracing::info!(upload = %given, "an upload gives way to another one");
            self.discard(state, given).await?;
        }
    }

    /// Adds an upload that this server has opened.
    pub(super) async fn add(&mut self, state: &State, id: Uuid, plan: Arc<Upload>) -> Result<()> {
        if let Some(listed) = state.store.uploads().find(id).await? {
            self.uploads.insert(id, Known { listed, plan: Some(plan) });
        }
        self.gauge();
        Ok(())
    }

    /// Notes that this server has published an upload.
    pub(super) fn answered(&mut self, id: &Uuid) {
        if let Some(known) = self.uploads.get_mut(id) {
            known.listed.is_answered = true;
        }
        self.gauge();
    }

    /// Ends an upload, and removes all that was received for it.
    pub(super) async fn discard(&mut self, state: &State, id: Uuid) -> Result<()> {
        state.sessions.remove(&id);
        state.store.uploads().remove(id).await?;
        self.uploads.remove(&id);
        self.gauge();
        Ok(())
    }

    /// The open uploads and their plans.
    fn open(&self) -> impl Iterator<Item = (&OpenUpload, &Upload)> {
        let open = self.uploads.values().filter(|known| known.listed.is_open());
        open.filter_map(|known| Some((&known.listed, known.plan.as_deref()?)))
    }

    /// The upload that gives way to a new one of `owner`, which holds `room`.
    async fn gives_way(
        &self,
        state: &State,
        owner: Digest,
        room: u64,
        held: fn(&Upload) -> u64,
        scope: Scope,
    ) -> Result<Option<Uuid>> {
        let now = state.store.uploads().now().await?;
        let holding = |(listed, upload): (&OpenUpload, &Upload)| {
            let idle = match state.sessions.peek(&listed.id) {
                // A request at work keeps the upload, and one to another server counts as well.
                Some(session) => session.idle().map(|idle| idle.min(listed.idle(now))),
                None => Some(listed.idle(now)).filter(|_| scope == Scope::AllServers),
            };
            Holding { id: listed.id, owner: upload.owner, room: held(upload), idle }
        };
        let holdings: Vec<Holding> = self.open().map(holding).collect();
        Ok(room::gives_way(&holdings, owner, room, state.limits.stall))
    }

    /// Updates the metric of open uploads.
    fn gauge(&self) {
        metrics::gauge!("bitx_uploads_open").set(self.open().count() as f64);
    }
}
