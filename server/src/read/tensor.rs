//! The route of single tensors.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bitx_store::FileEntry;

use super::{batch, range};
use crate::errors::{Failure, Result};
use crate::state::State;

/// Serves the bytes of a tensor.
pub(crate) async fn serve(
    state: &Arc<State>,
    (method, headers): (&Method, &HeaderMap),
    file: &FileEntry,
    name: &str,
) -> Result<Response> {
    let manifest = state.store.file(&file.id).await?;
    let found =
        manifest.tensor(name).ok_or_else(|| Failure::not_found(format!("tensor {name:?} in {:?}", file.path)))?;
    let (start, length) = (found.1, found.0.length());
    // The digest of the file and the offset of the tensor identify its bytes.
    let selected = range::select(headers, length, &format!("{}.{start}", file.id.digest))?;
    let Some(range) = selected.range(method) else { return Ok(selected.respond(Body::empty())) };
    let body = batch::read(state, file.id, &manifest, start + range.start..start + range.end).await?;
    Ok(selected.respond(Body::from_stream(body)))
}
