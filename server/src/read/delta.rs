//! Deltas on demand: archives of stored files against other stored files. An archive is made on the
//! first request, and then kept in the store.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bitx_store::{Digest, FileEntry};

use super::range;
use crate::auth::Access;
use crate::errors::{Code, Failure, Result};
use crate::jobs::{self, Expected};
use crate::state::{Restored, State};

/// Serves the archive of `target` against the file with the digest `base`.
pub(crate) async fn serve(
    state: &Arc<State>,
    access: &Access,
    (method, headers): (&Method, &HeaderMap),
    target: &FileEntry,
    base: Digest,
) -> Result<Response> {
    let relations = state.relations().await?;
    if relations.file(&base, |name| access.may_read(name)).is_none() {
        return Err(Failure::not_found(format!("file {base}")));
    }
    let length = match state.store.archive(&target.id.digest, &base).await? {
        Some(length) => length,
        None => {
            make(state, access, target, base).await?;
            let made = state.store.archive(&target.id.digest, &base).await?;
            made.ok_or_else(|| Failure::busy("a collection has just removed the archive"))?
        }
    };
    // The tag includes the length, because different versions of the codec make different archives.
    let selected = range::select(headers, length, &format!("{}.{base}.{length:x}", target.id.digest))?;
    let Some(range) = selected.range(method) else { return Ok(selected.respond(Body::empty())) };
    let body = state.store.read_archive(&target.id.digest, &base, range);
    Ok(selected.respond(Body::from_stream(body)))
}

/// Makes and keeps the archive. Requests for the same archive at the same time share the work.
async fn make(state: &Arc<State>, access: &Access, target: &FileEntry, base: Digest) -> Result<()> {
    let (key, target) = ((target.id.digest, base), target.clone());
    let (shared, access) = (state.clone(), access.clone());
    let making = async move {
        let state = shared;
        let turn = tokio::time::timeout(state.limits.queue, state.makings.clone().acquire_owned()).await;
        let _turn = turn.map_err(|_| Failure::busy("the server is making many other archives"))?;
        // Another server may have made the archive while this one waited.
        if state.store.archive(&target.id.digest, &base).await?.is_some() {
            return Ok(());
        }
        let (base_file, target_file) =
            (state.restored(base, &access).await?, state.restored(target.id.digest, &access).await?);
        let begun = Instant::now();
        let expected = Expected { length: target.length, digest: target.id.digest };
        let archive = compress(&state, base_file, target_file, expected).await?;
        state.store.keep_archive(&target.id.digest, &base, &archive).await?;
        metrics::counter!("bitx_archives_made_total").increment(1);
        metrics::histogram!("bitx_archive_seconds").record(begun.elapsed().as_secs_f64());
        Ok(())
    };
    state.archives.get(&state.tasks, key, making).await.map(drop)
}

/// Compresses `target` against `base`, decodes the archive and checks the result. Returns the
/// archive as a temporary file.
async fn compress(
    state: &Arc<State>,
    base: Restored,
    target: Restored,
    expected: Expected,
) -> Result<tempfile::TempPath> {
    let work = move |state: &State| {
        let (mut file, archive) = state.spool.file().map_err(Failure::spool)?.into_parts();
        jobs::compress(&base, &target, &mut file, &state.stop)?;
        let decoded = jobs::restore(Some(&base), &archive, expected, &mut std::io::sink(), &state.stop);
        decoded.map_err(|error| match error.code {
            Code::Mismatch => Failure::spool(format!("a new archive does not restore the file: {error}")),
            _ => error,
        })?;
        Ok(archive)
    };
    state.compute(work).await
}
