//! The end of an upload: all of its files are published as a model, in one step.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bitx::Effort;
use bitx_store::{Answer, Error as StoreError, Received, Source, Stored};
use serde_json::{Value, json};

use super::receive::Target;
use super::sessions::Session;
use super::{Found, restore};
use crate::auth::Access;
use crate::errors::{Code, Failure, Result};
use crate::state::State;

/// Publishes an upload.
pub(crate) async fn publish(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let Found { access, session, .. } = Found::of(&state, &headers, &id).await?;
    // The work continues if the client disconnects. A repeated request then returns its result.
    let published = state.tasks.spawn(once(state.clone(), access, session)).await??;
    Ok((StatusCode::CREATED, Json(published)).into_response())
}

/// Publishes the upload, unless it is published, and returns the answer. If requests to several
/// servers publish it, all of them return the same answer.
async fn once(state: Arc<State>, access: Access, session: Arc<Session>) -> Result<Value> {
    let _one = session.publishing.lock().await;
    let uploads = state.store.uploads();
    let answer = match uploads.answer(session.id).await? {
        Some(answer) => answer,
        None => match add(&state, &access, &session).await {
            Ok(added) => uploads.end(session.id, added).await?,
            // Another server removes the received bytes once it has published the upload.
            Err(error) => uploads.answer(session.id).await?.ok_or(error)?,
        },
    };
    state.outdate();
    state.open.lock().await.answered(&session.id);
    for number in 0..session.slots.len() {
        restore::remove(session.restored(number)).await?;
    }
    session.give_back();
    // The answer is restricted, because `unchanged` would reveal something about a model that the
    // token may not read.
    let Answer { files, bytes, unchanged } = answer;
    let mut answer = json!({ "name": session.upload.name, "files": files, "bytes": bytes });
    if access.may_read(&session.upload.name) {
        answer["unchanged"] = unchanged.into();
    }
    Ok(answer)
}

/// Adds the model to the store.
async fn add(state: &Arc<State>, access: &Access, session: &Arc<Session>) -> Result<Answer> {
    let (files, stored) = parts(state, access, session).await?;
    let _turn = state.decodings.take("the server is publishing many other models").await?;
    let (store, name, time) = (state.store.clone(), session.upload.name.clone(), state.limits.work);
    // The future of `add_with` cannot move between threads, so it runs on a thread of its own.
    let add = move || {
        let add = store.add_with(&name, &files, &stored, Effort::Default, &|_| {});
        tokio::runtime::Handle::current().block_on(async { tokio::time::timeout(time, add).await })
    };
    let added = tokio::task::spawn_blocking(add).await?.map_err(|_| Failure::busy("publishing takes too long"))?;
    let added = added.map_err(explain)?;
    metrics::counter!("bitx_models_published_total").increment(1);
    tracing::info!(upload = %session.id, model = %session.upload.name, by = access.name(), ?added, "published");
    Ok(Answer { files: added.files, bytes: added.bytes, unchanged: added.unchanged })
}

/// The files that were uploaded, and those that are stored already. A file that another server has
/// restored is restored again.
async fn parts(state: &Arc<State>, access: &Access, session: &Arc<Session>) -> Result<(Vec<Source>, Vec<Stored>)> {
    let received = state.store.uploads().all_received(session.id).await?;
    let (mut sources, mut stored) = (Vec::new(), Vec::new());
    for (number, file) in session.upload.files.iter().enumerate() {
        if file.known {
            stored.push(Stored { path: file.path.clone(), digest: file.blake3 });
            continue;
        }
        let checked = received.get(&number).and_then(Received::checked);
        let missing = || Failure::new(Code::Conflict, format!("{:?} has not been uploaded", file.path));
        let (transfer, _) = checked.ok_or_else(missing)?;
        let slot = &session.slots[number];
        let _one = slot.work.lock().await;
        if !slot.local().is_restored {
            let target = Target::of_sent(state.clone(), access.clone(), session.clone(), number, transfer);
            restore::complete(&target, transfer).await?;
        }
        sources.push(Source { path: file.path.clone(), file: session.restored(number) });
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
