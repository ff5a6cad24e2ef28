//! The upkeep of open uploads: signs of life of those that have requests, and the end of those that
//! have none.

use std::time::Duration;

use uuid::Uuid;

use crate::errors::Result;
use crate::state::State;

/// The maximum age of the listing of uploads if this server works on none.
const SELDOM: Duration = Duration::from_secs(60);

/// One round of upkeep. A failure ends it, and the next round tries again.
pub(crate) async fn round(state: &State) {
    let done = async {
        beat(state).await?;
        expire(state).await?;
        forget(state).await
    };
    if let Err(failure) = done.await {
        failure.log();
    }
}

/// Writes signs of life of the uploads that have had requests.
async fn beat(state: &State) -> Result<()> {
    for id in state.sessions.ids() {
        if !state.sessions.peek(&id).is_some_and(|session| session.needs_beat()) {
            continue;
        }
        state.store.uploads().beat(id).await?;
        if let Some(session) = state.sessions.peek(&id) {
            session.beaten();
        }
    }
    Ok(())
}

/// Removes the uploads that have expired, whichever server began them.
async fn expire(state: &State) -> Result<()> {
    let mut open = state.open.lock().await;
    let age = if state.sessions.ids().is_empty() { SELDOM } else { Duration::ZERO };
    open.refresh(state, age).await?;
    if open.all().next().is_none() {
        return Ok(());
    }
    let (uploads, mut over) = (state.store.uploads(), Vec::new());
    let now = uploads.now().await?;
    for known in open.all() {
        let id = known.listed.id;
        let expiry = known.plan.as_ref().map_or(state.limits.expiry, |plan| plan.expiry());
        let is_at_work = state.sessions.peek(&id).is_some_and(|session| session.idle().is_none());
        if known.listed.is_over(now, expiry) && !is_at_work {
            over.push(id);
        } else if known.listed.is_ahead(now) {
            uploads.beat(id).await?;
        }
    }
    for id in over {
        tracing::info!(upload = %id, "an upload has expired");
        open.discard(state, id).await?;
    }
    Ok(())
}

/// Ends the work on uploads that other servers have removed, and removes what was received for them
/// since.
async fn forget(state: &State) -> Result<()> {
    for id in state.sessions.ids() {
        if is_gone(state, id).await? {
            state.sessions.remove(&id);
            state.store.uploads().remove(id).await?;
        }
    }
    Ok(())
}

/// Returns `true` if the upload is not in the last listing, and not in the store either.
async fn is_gone(state: &State, id: Uuid) -> Result<bool> {
    let is_listed = state.open.lock().await.all().any(|known| known.listed.id == id);
    Ok(!is_listed && state.store.uploads().find(id).await?.is_none())
}
