//! The plan of a pull: the files of a model, which of them the client has, and the bases against
//! which deltas are small.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bitx_store::{Digest, FileEntry, ModelName, Related, Relations};
use serde::{Deserialize, Serialize};

use super::files;
use super::models::StoredFile;
use crate::auth::Access;
use crate::bodies;
use crate::errors::Result;
use crate::state::State;

/// The maximum number of bases named for a file.
const BASES: usize = 16;

/// The maximum length of the body in bytes, which is enough for 15,000 digests.
const LONGEST: u64 = 1 << 20;

/// The body of the request: the model, and the digests of the files that the client has.
#[derive(Deserialize)]
struct Wanted {
    name: ModelName,
    #[serde(default)]
    have: HashSet<Digest>,
}

#[derive(Serialize)]
struct Plan {
    name: ModelName,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    length: u64,
    blake3: Digest,
    have: bool,
    bases: Vec<Base>,
}

#[derive(Serialize)]
struct Base {
    #[serde(flatten)]
    file: StoredFile,
    have: bool,
}

/// Plans the pull of a model.
pub(crate) async fn pull(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Body) -> Result<Response> {
    let access = state.tokens.access(&headers)?;
    let body = bodies::json::<Wanted>(body, &headers, LONGEST, &state).await?;
    let model = files::model(&state, &access, &body.value.name).await?;
    let relations = state.relations().await?;
    let _turn = state.pulls.take("the server plans many other downloads").await?;
    let plan = move || {
        let have = &body.value.have;
        let file = |entry: &FileEntry| File {
            path: entry.path.clone(),
            length: entry.length,
            blake3: entry.id.digest,
            have: have.contains(&entry.id.digest),
            bases: bases(&relations, &access, entry, have),
        };
        let files = model.files.iter().map(file).collect();
        Plan { name: model.name, files }
    };
    Ok(Json(tokio::task::spawn_blocking(plan).await?).into_response())
}

/// The bases for a file, best first. Files that the client has come before all others.
fn bases(relations: &Relations, access: &Access, file: &FileEntry, have: &HashSet<Digest>) -> Vec<Base> {
    let mut related = relations.relatives(file, |name| access.may_read(name));
    related.sort_by_key(|related| !have.contains(&related.file.id.digest));
    let base = |related: Related<'_>| Base { file: (&related).into(), have: have.contains(&related.file.id.digest) };
    related.into_iter().take(BASES).map(base).collect()
}
