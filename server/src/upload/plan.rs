//! The beginning of an upload. The client announces its files and learns which of them, and of
//! their tensors, are stored already, and which files may serve as bases. The answer considers only
//! models that the client may read.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bitx_store::{Announced, Digest, ModelName, Related, Relations, Upload, UploadFile, check_path};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::sessions::Session;
use crate::auth::Access;
use crate::bodies::{self, Parsed};
use crate::errors::{Failure, Result};
use crate::limits::Limits;
use crate::read::models::StoredFile;
use crate::state::State;

/// The maximum number of bases named for a file.
const BASES: usize = 8;
/// The maximum number of comparisons of announced with stored tensors in the search for bases.
const STEPS: usize = 1 << 26;
/// The maximum number of extents of a tensor's shape.
const RANK: usize = 64;

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
    #[serde(deserialize_with = "shape")]
    shape: Vec<u64>,
    length: u64,
    blake3: Digest,
}

/// Reads a shape. One of too many extents ends the reading before it takes memory.
fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Extents;
    impl<'de> Visitor<'de> for Extents {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a shape of at most {RANK} extents")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut extents: A) -> Result<Vec<u64>, A::Error> {
            let mut shape = Vec::new();
            while let Some(extent) = extents.next_element()? {
                if shape.len() == RANK {
                    return Err(serde::de::Error::invalid_length(RANK + 1, &self));
                }
                shape.push(extent);
            }
            Ok(shape)
        }
    }
    deserializer.deserialize_seq(Extents)
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
    let body = bodies::json::<Announcement>(body, &headers, u64::MAX, &state).await?;
    access.check_write(&body.value.name)?;
    check(&body.value, &state.limits)?;
    let relations = state.relations().await?;
    let _turn = state.plannings.take("the server compares many other announcements").await?;
    let (files, reader) = (body, access.clone());
    let compare = move || {
        let mut steps = STEPS;
        let planned = files.value.files.iter().map(|file| plan(&relations, &reader, file, &mut steps));
        (planned.collect::<Vec<Planned>>(), files)
    };
    let (mut planned, Parsed { value: announced, .. }) = tokio::task::spawn_blocking(compare).await?;
    let file = |(f, planned): (File, &Planned)| UploadFile {
        path: f.path,
        length: f.length,
        blake3: f.blake3,
        known: planned.known,
    };
    let files = announced.files.into_iter().zip(&planned).map(file).collect();
    let upload = Upload::new(announced.name, access.owner(), state.limits.expiry, files);
    let session = open(&state, upload).await?;
    let Session { id, upload, .. } = &*session;
    planned.iter_mut().zip(&upload.files).for_each(|(planned, file)| planned.known = file.known);
    let bytes = upload.bytes();
    tracing::info!(upload = %id, model = %upload.name, by = access.name(), bytes, "an upload begins");
    Ok((StatusCode::CREATED, Json(Plan { id: *id, files: planned })).into_response())
}

/// Makes room for an upload, and opens it.
async fn open(state: &State, mut upload: Upload) -> Result<Arc<Session>> {
    let mut open = state.open.lock().await;
    let share = open.admit(state, upload.owner, upload.bytes()).await?;
    let folder = state.spool.folder().map_err(Failure::spool)?;
    let id = state.store.uploads().open(&mut upload).await?;
    let upload = Arc::new(upload);
    open.add(state, id, upload.clone()).await?;
    Ok(state.sessions.add(Session::new(id, upload, (folder, share), state)?))
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
fn plan(relations: &Relations, access: &Access, file: &File, steps: &mut usize) -> Planned {
    let visible = |name: &ModelName| access.may_read(name);
    let announced: Vec<Announced<'_>> = file.tensors.iter().map(Tensor::announced).collect();
    let base = |related: Related<'_>| Base { file: (&related).into(), equal: related.equal, alike: related.alike };
    Planned {
        path: file.path.clone(),
        known: relations.file(&file.blake3, visible).is_some_and(|(_, known)| known.length == file.length),
        tensors: relations.stored(&announced, visible),
        bases: relations.bases(&announced, visible, steps).into_iter().take(BASES).map(base).collect(),
    }
}

impl Tensor {
    fn announced(&self) -> Announced<'_> {
        Announced { name: &self.name, dtype: &self.dtype, shape: &self.shape, length: self.length, digest: self.blake3 }
    }
}
