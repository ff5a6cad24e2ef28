//! The end of an upload: all of its files are published as a model, in one step.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bitx::Effort;
use bitx_store::{Error as StoreError, Source, Stored};
use serde_json::{Value, json};

use super::session;
use super::sessions::Session;
use crate::auth::Access;
use crate::errors::{Code, Failure, Result};
use crate::state::State;

/// Publishes an upload.
pub(crate) async fn publish(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let (access, session) = session(&state, &headers, &id)?;
    // The work continues if the client disconnects. A repeated request then returns its result.
    let published = state.tasks.spawn(once(state.clone(), access, session)).await??;
    Ok((StatusCode::CREATED, Json(published)).into_response())
}

/// Publishes the upload once, and returns the answer. A repeated request returns the same answer.
async fn once(state: Arc<State>, access: Access, session: Arc<Session>) -> Result<Value> {
    let mut published = session.published.clone().lock_owned().await;
    if let Some(published) = &*published {
        return Ok(published.clone());
    }
    let (sources, stored) = parts(&session)?;
    let _turn = state.decodings.take("the server is publishing many other models").await?;
    let (store, name, files, time) = (state.store.clone(), session.name.clone(), sources.clone(), state.limits.work);
    // The future of `add_with` cannot move between threads, so it runs on a thread of its own.
    let add = move || {
        let add = store.add_with(&name, &files, &stored, Effort::Default, &|_| {});
        tokio::runtime::Handle::current().block_on(async { tokio::time::timeout(time, add).await })
    };
    let added = tokio::task::spawn_blocking(add).await?.map_err(|_| Failure::busy("publishing takes too long"))?;
    let added = added.map_err(explain)?;
    state.outdate();
    metrics::counter!("bitx_models_published_total").increment(1);
    tracing::info!(upload = %session.id, model = %session.name, by = access.name(), ?added, "published");
    // The answer is restricted, because `unchanged` would reveal something about a model that the
    // token may not read.
    let mut answer = json!({ "name": session.name, "files": added.files, "bytes": added.bytes });
    if access.may_read(&session.name) {
        answer["unchanged"] = added.unchanged.into();
    }
    *published = Some(answer.clone());
    session.ended.store(true, Ordering::Relaxed);
    for source in sources {
        tokio::fs::remove_file(&source.file).await.map_err(Failure::spool)?;
    }
    session.share.lock().unwrap_or_else(PoisonError::into_inner).clear();
    Ok(answer)
}

/// The files that were uploaded, and those that are stored already.
fn parts(session: &Session) -> Result<(Vec<Source>, Vec<Stored>)> {
    let (mut sources, mut stored) = (Vec::new(), Vec::new());
    for (number, slot) in session.slots.iter().enumerate() {
        if slot.known {
            stored.push(Stored { path: slot.path.clone(), digest: slot.digest });
        } else if slot.progress().done {
            sources.push(Source { path: slot.path.clone(), file: session.restored(number) });
        } else {
            return Err(Failure::new(Code::Conflict, format!("{:?} has not been uploaded", slot.path)));
        }
    }
    Ok((sources, stored))
}

/// Converts an error of the store into terms of the upload.
fn explain(error: StoreError) -> Failure {
    match error {
        StoreError::NotFound(what) => {
            Failure::new(Code::Conflict, format!("there is no {what}: begin the upload again"))
        }
        other => other.into(),
    }
}
