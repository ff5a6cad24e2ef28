//! The routes of uploads. An upload is announced, received in parts, decoded and checked, and then
//! published.

pub(crate) mod plan;
pub(crate) mod publish;
pub(crate) mod receive;
mod room;
pub(crate) mod sessions;

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};

use crate::auth::Access;
use crate::errors::{Failure, Result};
use crate::state::State;
use sessions::Session;

/// The upload with this id, if it belongs to the holder of the request's token.
fn session(state: &State, headers: &HeaderMap, id: &str) -> Result<(Access, Arc<Session>)> {
    let access = state.tokens.access(headers)?;
    let found = id.parse().ok().and_then(|id| state.sessions.get(&id));
    let session = found.filter(|session| session.owner == access.number());
    let session = session.ok_or_else(|| Failure::not_found(format!("upload {id:?}")))?;
    access.check_write(&session.name)?;
    Ok((access, session))
}

/// Cancels an upload.
pub(crate) async fn cancel(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let (_, session) = session(&state, &headers, &id)?;
    state.sessions.remove(&session.id);
    session.slots.iter().for_each(|slot| drop(slot.supersede()));
    Ok(StatusCode::NO_CONTENT)
}
