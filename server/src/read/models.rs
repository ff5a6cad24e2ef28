//! The routes that list models, files and tensors.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bitx_store::{Digest, Model, ModelName, Related};
use serde::{Deserialize, Serialize};

use super::files::{self, Options};
use crate::errors::{Failure, Result};
use crate::paths;
use crate::state::State;

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a ModelName,
    bytes: u64,
    files: usize,
}

#[derive(Serialize)]
pub(crate) struct Shown {
    name: ModelName,
    bytes: u64,
    files: Vec<ShownFile>,
}

#[derive(Serialize)]
struct ShownFile {
    path: String,
    length: u64,
    blake3: String,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    dtype: &'a str,
    shape: &'a [u64],
    length: u64,
}

/// A stored file, as answers name it.
#[derive(Serialize)]
pub(crate) struct StoredFile {
    blake3: Digest,
    length: u64,
    model: ModelName,
    path: String,
}

impl From<&Related<'_>> for StoredFile {
    fn from(related: &Related<'_>) -> Self {
        let Related { model, file, .. } = *related;
        Self { blake3: file.id.digest, length: file.length, model: model.clone(), path: file.path.clone() }
    }
}

impl From<Model> for Shown {
    fn from(model: Model) -> Self {
        let bytes = model.length();
        let file = |file: bitx_store::FileEntry| ShownFile {
            path: file.path,
            length: file.length,
            blake3: file.id.digest.to_string(),
        };
        Self { name: model.name, bytes, files: model.files.into_iter().map(file).collect() }
    }
}

/// The query parameters of a listing of models.
#[derive(Debug, Deserialize)]
struct Page {
    /// The name behind which the page begins.
    after: Option<ModelName>,
    /// The maximum number of models.
    limit: Option<usize>,
}

/// Lists the models that the request may read, or a page of them.
pub(crate) async fn list(Shared(state): Shared<Arc<State>>, uri: Uri, headers: HeaderMap) -> Result<Response> {
    let page: Query<Page> = Query::try_from_uri(&uri).map_err(|error| Failure::invalid(error.body_text()))?;
    let Page { after, limit } = page.0;
    let access = state.tokens.access(&headers)?;
    let relations = state.relations().await?;
    let listed = |model| {
        let Model { name, files, .. }: &Model = model;
        Listed { name, bytes: model.length(), files: files.len() }
    };
    let is_behind = |model: &&Model| after.as_ref().is_none_or(|after| model.name > *after);
    let visible = relations.models().filter(is_behind).filter(|model| access.may_read(&model.name));
    let models: Vec<_> = visible.take(limit.unwrap_or(usize::MAX)).map(listed).collect();
    Ok(Json(models).into_response())
}

/// Lists the files of a model, or with `?file=` the tensors of one of its files.
pub(crate) async fn show(Shared(state): Shared<Arc<State>>, uri: Uri, headers: HeaderMap) -> Result<Response> {
    let options = Options::of(&uri)?;
    let access = state.tokens.access(&headers)?;
    let segments = paths::segments(uri.path(), "/api/models/")?;
    let Some(path) = options.file else {
        let model = files::model(&state, &access, &paths::model(&segments)?).await?;
        return Ok(Json(Shown::from(model)).into_response());
    };
    let name = segments.split_last().filter(|(last, _)| *last == "tensors").map_or(&segments[..], |(_, name)| name);
    let entry = files::entry(&state, &access, &paths::model(name)?, &path).await?;
    let manifest = state.store.file(&entry.id).await?;
    let tensors = manifest.items.iter().filter_map(|item| {
        let name = item.name.as_deref()?;
        Some(Tensor { name, dtype: item.dtype.name(), shape: &item.shape, length: item.length() })
    });
    Ok(Json(tensors.collect::<Vec<_>>()).into_response())
}
