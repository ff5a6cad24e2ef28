//! The routes under `/models/`: restored files, deltas of files, and single tensors.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use bitx_store::{Digest, FileEntry, Model, ModelName};
use serde::Deserialize;

use super::{batch, delta, range, tensor};
use crate::auth::Access;
use crate::errors::{Failure, Result};
use crate::paths;
use crate::state::State;

/// The query parameters of a URL.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Options {
    pub(crate) base: Option<String>,
    pub(crate) file: Option<String>,
}

impl Options {
    pub(crate) fn of(uri: &Uri) -> Result<Self> {
        let query = Query::try_from_uri(uri).map_err(|error| Failure::invalid(error.body_text()))?;
        Ok(query.0)
    }
}

/// Finds the file that a URL names, and serves it, a delta of it, or one of its tensors.
pub(crate) async fn get(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let options = Options::of(&uri)?;
    let access = state.tokens.access(&headers)?;
    let segments = paths::segments(uri.path(), "/models/")?;
    let is = |place: usize, word: &str| segments.get(place).is_some_and(|segment| segment == word);
    // A model may be called `files` or `tensors`, so a URL may be ambiguous. Both readings are
    // tried.
    for place in [1, 2] {
        if is(place, "files") && segments.len() > place + 1 {
            let name = paths::model(&segments[..place])?;
            let path = paths::file(&segments[place + 1..])?;
            match entry(&state, &access, &name, &path).await {
                Err(error) if place == 1 && is(2, "files") && is_absent(&error) => {}
                entry => return serve(&state, &access, (&method, &headers), &entry?, options).await,
            }
        } else if is(place, "tensors") && segments.len() > place + 1 {
            let name = paths::model(&segments[..place])?;
            let path = options
                .file
                .as_deref()
                .ok_or_else(|| Failure::invalid("the URL names no file of the model: add ?file=PATH"))?;
            let entry = entry(&state, &access, &name, path).await?;
            return tensor::serve(&state, (&method, &headers), &entry, &segments[place + 1..].join("/")).await;
        }
    }
    Err(Failure::not_found("resource at this URL"))
}

fn is_absent(error: &Failure) -> bool {
    error.code == crate::errors::Code::NotFound
}

/// The model of this name. For `access`, a model that it may not read does not exist.
pub(crate) async fn model(state: &State, access: &Access, name: &ModelName) -> Result<Model> {
    if !access.may_read(name) {
        return Err(Failure::not_found(format!("model {name}")));
    }
    Ok(state.store.model(name).await?)
}

/// The entry of a file in a model that `access` may read.
pub(crate) async fn entry(state: &State, access: &Access, name: &ModelName, path: &str) -> Result<FileEntry> {
    Ok(model(state, access, name).await?.file(path)?.clone())
}

/// Serves a file, or a delta of it if the options name a base.
async fn serve(
    state: &Arc<State>,
    access: &Access,
    (method, headers): (&Method, &HeaderMap),
    entry: &FileEntry,
    options: Options,
) -> Result<Response> {
    if let Some(base) = options.base {
        let base: Digest = base.parse().map_err(Failure::invalid)?;
        return delta::serve(state, access, (method, headers), entry, base).await;
    }
    let selected = range::select(headers, entry.length, &entry.id.digest.to_string())?;
    let Some(range) = selected.range(method) else { return Ok(selected.respond(Body::empty())) };
    let manifest = state.store.file(&entry.id).await?;
    let body = batch::read(state, entry.id, &manifest, range).await?;
    Ok(selected.respond(Body::from_stream(body)))
}
