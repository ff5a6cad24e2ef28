//! The routes of uploads. An upload is announced, received in parts, decoded and checked, and then
//! published. Its state is in the store, so that any server can answer the next request.

mod intake;
mod open;
pub(crate) mod plan;
pub(crate) mod publish;
pub(crate) mod receive;
mod restore;
mod room;
pub(crate) mod sessions;
pub(crate) mod upkeep;

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use bitx_store::Upload;
use uuid::Uuid;

pub(crate) use open::Open;

use crate::auth::Access;
use crate::errors::{Code, Failure, Result};
use crate::state::State;
use sessions::Session;

/// An upload that a request is about.
struct Found {
    access: Access,
    session: Arc<Session>,
    /// The upload is published.
    is_answered: bool,
}

impl Found {
    /// The upload with this id, if it belongs to the holder of the request's token.
    async fn of(state: &State, headers: &HeaderMap, id: &str) -> Result<Self> {
        let access = state.tokens.access(headers)?;
        let missing = || Failure::not_found(format!("upload {id:?}"));
        let id: Uuid = id.parse().map_err(|_| missing())?;
        let Some(found) = state.store.uploads().find(id).await? else {
            state.sessions.remove(&id);
            return Err(missing());
        };
        let local = state.sessions.get(&id);
        let upload = match &local {
            Some(session) => session.upload.clone(),
            None => Arc::new(plan(state, id).await?.ok_or_else(missing)?),
        };
        if upload.owner != access.owner() {
            return Err(missing());
        }
        access.check_write(&upload.name)?;
        let session = match local {
            Some(session) => session,
            None => {
                let share = state.space.take(upload.bytes())?;
                let folder = state.spool.folder().map_err(Failure::spool)?;
                tracing::info!(upload = %id, model = %upload.name, "an upload that another server began goes on");
                state.sessions.add(Session::new(id, upload, (folder, share), state)?)
            }
        };
        Ok(Self { access, session, is_answered: found.is_answered })
    }
}

/// The announced upload with this id. One whose plan is damaged cannot be continued: the client has
/// to begin again.
async fn plan(state: &State, id: Uuid) -> Result<Option<Upload>> {
    match state.store.uploads().plan(id).await.map_err(Failure::from) {
        Err(failure) if failure.code == Code::Damaged => {
            failure.log();
            Ok(None)
        }
        plan => plan,
    }
}

/// Cancels an upload.
pub(crate) async fn cancel(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let found = Found::of(&state, &headers, &id).await?;
    state.open.lock().await.discard(&state, found.session.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
