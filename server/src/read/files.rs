//! The routes under `/models/`: restored files, deltas of files, and single tensors.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use bitx_store::{Digest, FileEntry, Model, ModelName};
use serde::Deserialize;

use super::{batch, delta, range, tensor};
use crate::auth::Access;
use crate::errors::{Code, Failure, Result};
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
                entry => return serve(&state, &access, (&method, &headers), (&name, &entry?), options).await,
            }
        } else if is(place, "tensors") && segments.len() > place + 1 {
            let name = paths::model(&segments[..place])?;
            let path = options
                .file
                .as_deref()
                .ok_or_else(|| Failure::invalid("the URL names no file of the model: add ?file=PATH"))?;
            let entry = entry(&state, &access, &name, path).await?;
            let tensor = segments[place + 1..].join("/");
            let served = tensor::serve(&state, (&method, &headers), &entry, &tensor).await;
            return match served {
                Err(error) => Err(state.unless_gone(&name, &entry, error).await),
                served => served,
            };
        }
    }
    Err(Failure::not_found("resource at this URL"))
}

fn is_absent(error: &Failure) -> bool {
    error.code == Code::NotFound
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
    (name, entry): (&ModelName, &FileEntry),
    options: Options,
) -> Result<Response> {
    if let Some(base) = options.base {
        let base: Digest = base.parse().map_err(Failure::invalid)?;
        return delta::serve(state, access, (method, headers), entry, base).await;
    }
    let selected = range::select(headers, entry.length, &entry.id.digest.to_string())?;
    let Some(range) = selected.range(method) else { return Ok(selected.respond(Body::empty())) };
    match body(state, entry, range).await {
        Ok(body) => Ok(selected.respond(body)),
        Err(error) => Err(state.unless_gone(name, entry, error).await),
    }
}

/// The bytes in `range` of a file.
async fn body(state: &Arc<State>, entry: &FileEntry, range: Range<u64>) -> Result<Body> {
    let manifest = state.store.file(&entry.id).await?;
    Ok(Body::from_stream(batch::read(state, entry.id, &manifest, range).await?))
}
