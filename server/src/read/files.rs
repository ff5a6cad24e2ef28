//! Restored files, deltas of them, and single tensors: everything under `/models/`.

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

/// What may follow an address.
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
    // `files` and `tensors` may be a model's name as well, so that an address may be read in two ways.
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
            let path = options.file.as_deref().ok_or_else(|| Failure::invalid("which file? add ?file=PATH"))?;
            let entry = entry(&state, &access, &name, path).await?;
            return tensor::serve(&state, (&method, &headers), &entry, &segments[place + 1..].join("/")).await;
        }
    }
    Err(Failure::not_found("such address"))
}

fn is_absent(error: &Failure) -> bool {
    error.code == crate::errors::Code::NotFound
}

/// The model of that name, if `access` may read it: what it may not read does not exist for it.
pub(crate) async fn model(state: &State, access: &Access, name: &ModelName) -> Result<Model> {
    if !access.may_read(name) {
        return Err(Failure::not_found(format!("model {name}")));
    }
    Ok(state.store.model(name).await?)
}

pub(crate) async fn entry(state: &State, access: &Access, name: &ModelName, path: &str) -> Result<FileEntry> {
    Ok(model(state, access, name).await?.file(path)?.clone())
}

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
