//! The beginning of an upload. The client announces its files and learns which of them, and of
//! their tensors, are stored already, and which files may serve as bases. The answer considers only
//! models that the client may read.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bitx_store::{Announced, Digest, ModelName, Related, Relations, check_path};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sessions::{Session, Slot};
use crate::auth::Access;
use crate::bodies;
use crate::errors::{Failure, Result};
use crate::limits::Limits;
use crate::read::models::StoredFile;
use crate::state::State;

/// The maximum number of bases named for a file.
const BASES: usize = 8;

#[derive(Deserialize)]
struct Announcement {
    name: ModelName,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    length: u64,
    blake3: Digest,
    #[serde(default)]
    tensors: Vec<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    length: u64,
    blake3: Digest,
}

#[derive(Serialize)]
struct Plan {
    id: Uuid,
    files: Vec<Planned>,
}

#[derive(Serialize)]
struct Planned {
    path: String,
    known: bool,
    tensors: Vec<bool>,
    bases: Vec<Base>,
}

#[derive(Serialize)]
struct Base {
    #[serde(flatten)]
    file: StoredFile,
    equal: u64,
    alike: u64,
}

/// Begins an upload.
pub(crate) async fn begin(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Body) -> Result<Response> {
    let access = state.tokens.access(&headers)?;
    let announced: Announcement = bodies::json(body, &headers, &state.limits).await?;
    access.check_write(&announced.name)?;
    check(&announced, &state.limits)?;
    let relations = state.relations().await?;
    let planned: Vec<Planned> = announced.files.iter().map(|file| plan(&relations, &access, file)).collect();
    let id = Uuid::new_v4();
    let files = announced.files.into_iter().zip(&planned);
    let slots: Vec<Slot> = files.map(|(f, planned)| Slot::new(f.path, f.length, f.blake3, planned.known)).collect();
    let bytes = slots.iter().filter(|slot| !slot.known).map(|slot| slot.length).sum();
    let session = Session {
        id,
        owner: access.number(),
        name: announced.name,
        slots,
        folder: state.spool.folder().map_err(Failure::spool)?,
        bytes: AtomicU64::new(bytes),
        touched: Mutex::new(Instant::now()),
        ended: AtomicBool::new(false),
        published: Arc::default(),
    };
    let session = state.sessions.begin(session, &state.limits)?;
    tracing::info!(upload = %id, model = %session.name, by = access.name(), bytes, "an upload begins");
    Ok((StatusCode::CREATED, Json(Plan { id, files: planned })).into_response())
}

/// Checks the announced files against each other and against the limits.
fn check(announced: &Announcement, limits: &Limits) -> Result<()> {
    let files = &announced.files;
    if files.is_empty() {
        return Err(Failure::invalid("there are no files to upload"));
    }
    if files.len() > limits.files || files.iter().map(|file| file.tensors.len()).sum::<usize>() > limits.tensors {
        let (files, tensors) = (limits.files, limits.tensors);
        return Err(too_large(format!("an upload may have at most {files} files and {tensors} tensors")));
    }
    let mut paths = HashSet::new();
    for file in files {
        check_path(&file.path)?;
        if !paths.insert(file.path.as_str()) {
            return Err(Failure::invalid(format!("two files have the path {:?}", file.path)));
        }
        if file.length > limits.file {
            let (path, length, most) = (&file.path, file.length, limits.file);
            return Err(too_large(format!("the file {path:?} has {length} bytes, more than the permitted {most}")));
        }
        let tensors = file.tensors.iter().try_fold(0u64, |sum, tensor| sum.checked_add(tensor.length));
        if tensors.is_none_or(|tensors| tensors > file.length) {
            return Err(Failure::invalid(format!("the tensors of {:?} are longer than the file", file.path)));
        }
    }
    // A path cannot be both a file and a folder.
    let folders = |path: &'_ str| path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect::<Vec<_>>();
    match paths.iter().flat_map(|path| folders(path)).find(|folder| paths.contains(folder.as_str())) {
        Some(folder) => Err(Failure::invalid(format!("the path {folder:?} is both a file and a folder"))),
        None => Ok(()),
    }
}

fn too_large(message: String) -> Failure {
    Failure::new(crate::errors::Code::TooLarge, message)
}

/// Plans the upload of one file.
fn plan(relations: &Relations, access: &Access, file: &File) -> Planned {
    let visible = |name: &ModelName| access.may_read(name);
    let announced: Vec<Announced<'_>> = file.tensors.iter().map(Tensor::announced).collect();
    let base = |related: Related<'_>| Base { file: (&related).into(), equal: related.equal, alike: related.alike };
    Planned {
        path: file.path.clone(),
        known: relations.file(&file.blake3, visible).is_some_and(|(_, known)| known.length == file.length),
        tensors: relations.stored(&announced, visible),
        bases: relations.bases(&announced, visible).into_iter().take(BASES).map(base).collect(),
    }
}

impl Tensor {
    fn announced(&self) -> Announced<'_> {
        Announced { name: &self.name, dtype: &self.dtype, shape: &self.shape, length: self.length, digest: self.blake3 }
    }
}
