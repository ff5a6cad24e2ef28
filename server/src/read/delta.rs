//! Deltas on demand: archives of stored files against other stored files. An archive is made on the
//! first request, and then kept in the store if it is much smaller than its file.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use bitx_store::{Digest, Error as StoreError, FileEntry};
use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::range;
use crate::auth::Access;
use crate::errors::{Code, Failure, Result};
use crate::flights::Held;
use crate::jobs::{self, Expected};
use crate::space::Share;
use crate::state::{Restored, State};

/// The largest archive that is kept, as a divisor of the length of its file: one half.
const PAYS: u64 = 2;
/// The number of pairs of files that are remembered before all are forgotten.
const REMEMBERED: usize = 1 << 16;
/// The number of archives that are held if the store cannot be written.
const HELD: usize = 4;
/// The number of bytes of a temporary file that are read at a time.
const READ: u64 = 256 << 10;
const BUSY: &str = "the server is making many other archives";

/// A target and a base.
type Pair = (Digest, Digest);

/// The findings of this server about archives, which spare it work that it has done before.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The pairs whose archive is too large to be kept.
    useless: Mutex<HashSet<Pair>>,
    /// The kept archives that were read and found whole, with length and root digest.
    whole: Mutex<HashMap<Pair, (u64, Digest)>>,
    /// Held while room is made for a new archive.
    keeping: tokio::sync::Mutex<()>,
    /// The last archives that the store could not keep.
    unkept: Mutex<VecDeque<(Pair, Served)>>,
}

/// An archive that was made, which requests share.
pub(crate) type Served = Held<Option<Made>>;

impl Findings {
    /// Holds an archive that the store could not keep, so that a client can read it in ranges.
    fn hold(&self, pair: Pair, archive: Served) {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.retain(|(held, _)| *held != pair);
        unkept.truncate(HELD - 1);
        unkept.push_front((pair, archive));
    }

    /// Drops the archives that the store could not keep.
    pub(crate) fn clear(&self) {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn is_useless(&self, pair: &Pair) -> bool {
        self.useless.lock().unwrap_or_else(PoisonError::into_inner).contains(pair)
    }

    fn is_whole(&self, pair: &Pair, found: (u64, Digest)) -> bool {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).get(pair) == Some(&found)
    }

    fn add_useless(&self, pair: Pair) {
        let mut useless = self.useless.lock().unwrap_or_else(PoisonError::into_inner);
        if useless.len() >= REMEMBERED {
            useless.clear();
        }
        useless.insert(pair);
    }

    fn add_whole(&self, pair: Pair, found: (u64, Digest)) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.len() >= REMEMBERED {
            whole.clear();
        }
        whole.insert(pair, found);
    }
}

/// Serves the archive of `target` against the file with the digest `base`.
///
/// # Errors
/// `NotFound`, if a pull would not name the base, or if the archive is not much smaller than the
/// file.
pub(crate) async fn serve(
    state: &Arc<State>,
    access: &Access,
    (method, headers): (&Method, &HeaderMap),
    target: &FileEntry,
    base: Digest,
) -> Result<Response> {
    let relations = state.relations().await?;
    let known = relations.file(&base, |name| access.may_read(name)).is_some();
    if !known || !relations.is_relative(target, &base) {
        return Err(Failure::not_found(format!("delta of this file against the file {base}")));
    }
    let pair = (target.id.digest, base);
    let found = match kept(state, &pair).await? {
        Some(found) if method == Method::HEAD || state.findings.is_whole(&pair, found) => found,
        // Nothing is made for a request that wants no bytes. The length is not known.
        None if method == Method::HEAD => {
            return Ok(Body::from_stream(futures::stream::empty::<Result<bytes::Bytes>>()).into_response());
        }
        _ => {
            let made = make(state, access, target, base).await?;
            if let Some(archive) = &*made {
                let selected = range::select(headers, archive.length, &tag(&pair, &archive.root))?;
                let Some(range) = selected.range(method) else { return Ok(selected.respond(Body::empty())) };
                return Ok(selected.respond(Body::from_stream(read(made.clone(), range))));
            }
            let made = kept(state, &pair).await?;
            made.ok_or_else(|| Failure::busy("a collection has just removed the archive"))?
        }
    };
    let (length, root) = found;
    let selected = range::select(headers, length, &tag(&pair, &root))?;
    let Some(range) = selected.range(method) else { return Ok(selected.respond(Body::empty())) };
    let body = state.store.read_archive(&target.id.digest, &base, range);
    Ok(selected.respond(Body::from_stream(body)))
}

/// The entity tag of an archive. It includes the root digest, because different versions of the
/// codec make different archives.
fn tag((target, base): &Pair, root: &Digest) -> String {
    format!("{target}.{base}.{root}")
}

/// Streams the bytes in `range` of an archive that the store could not keep.
fn read(archive: Served, range: Range<u64>) -> impl Stream<Item = Result<Bytes>> + Send {
    futures::stream::try_unfold((archive, range), |(archive, mut range)| async move {
        let Some(Made { path, .. }) = archive.as_ref().filter(|_| !range.is_empty()) else { return Ok(None) };
        let mut file = tokio::fs::File::open(path).await.map_err(Failure::spool)?;
        file.seek(SeekFrom::Start(range.start)).await.map_err(Failure::spool)?;
        let mut bytes = vec![0; (range.end - range.start).min(READ) as usize];
        file.read_exact(&mut bytes).await.map_err(Failure::spool)?;
        range.start += bytes.len() as u64;
        Ok(Some((Bytes::from(bytes), (archive, range))))
    })
}

/// The length and the root digest of the kept archive, if there is one.
async fn kept(state: &State, (target, base): &Pair) -> Result<Option<(u64, Digest)>> {
    let Some(length) = state.store.archive(target, base).await? else { return Ok(None) };
    match state.store.archive_root(target, base, length).await {
        // An archive that is too short for a root digest is checked and made again under any root.
        Ok(root) => Ok(Some((length, root.unwrap_or(*target)))),
        // A collection has removed it meanwhile.
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes and keeps the archive, unless a whole one is kept already. Requests for the same archive
/// at the same time share the work. Returns the archive if the store cannot keep it.
async fn make(state: &Arc<State>, access: &Access, target: &FileEntry, base: Digest) -> Result<Served> {
    let pair = (target.id.digest, base);
    if state.findings.is_useless(&pair) {
        return Err(useless(&pair));
    }
    let _place = state.makings.place(BUSY)?;
    let making = making(state.clone(), access.clone(), target.clone(), base);
    // The work goes on if it takes longer than the request may wait.
    let made = tokio::time::timeout(state.limits.queue, state.archives.get(&state.tasks, pair, making)).await;
    let made = made.map_err(|_| Failure::busy("the archive is still being made"))??;
    if made.is_some() {
        state.findings.hold(pair, made.clone());
    }
    Ok(made)
}

/// Removes a damaged archive, so that it is made again.
async fn forget(state: &State, (target, base): &Pair) {
    tracing::warn!(%target, %base, "a damaged archive is made again");
    if let Err(error) = state.store.forget_archive(target, base).await {
        tracing::warn!(%error, "the damaged archive cannot be removed");
    }
}

async fn making(state: Arc<State>, access: Access, target: FileEntry, base: Digest) -> Result<Option<Made>> {
    let pair = (target.id.digest, base);
    let _turn = state.makings.wait(BUSY).await?;
    // Another server may have made the archive while this one waited.
    if let Some(found) = kept(&state, &pair).await? {
        match state.store.check_archive(&pair.0, &pair.1, found.0).await {
            Ok(true) => {
                state.findings.add_whole(pair, found);
                return Ok(None);
            }
            Ok(false) => forget(&state, &pair).await,
            // A collection has removed it meanwhile.
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let begun = Instant::now();
    // Space is taken before the files, so that a server without space does no work.
    let share = state.space.take(target.length / PAYS)?;
    let (base_file, target_file) = (state.restored(base, &access).await?, state.restored(pair.0, &access).await?);
    let expected = Expected { length: target.length, digest: target.id.digest };
    let archive = compress(&state, base_file, target_file, expected, share).await?;
    let too_large = || {
        state.findings.add_useless(pair);
        useless(&pair)
    };
    let archive = archive.ok_or_else(too_large)?;
    metrics::counter!("bitx_archives_made_total").increment(1);
    metrics::histogram!("bitx_archive_seconds").record(begun.elapsed().as_secs_f64());
    match keep(&state, &pair, &archive.path).await {
        Ok(true) => Ok(None),
        Ok(false) => Err(too_large()),
        Err(error) => {
            tracing::warn!(%error, "the store cannot keep an archive");
            Ok(Some(archive))
        }
    }
}

fn useless((_, base): &Pair) -> Failure {
    Failure::not_found(format!("delta of this file against the file {base} that is much smaller than the file"))
}

/// Keeps a new archive, and removes the oldest ones if all together are longer than permitted.
/// Returns `false` if the archive alone is too long.
async fn keep(state: &State, (target, base): &Pair, path: &std::path::Path) -> Result<bool> {
    let length = tokio::fs::metadata(path).await.map_err(Failure::spool)?.len();
    let Some(room) = state.limits.archives.checked_sub(length) else { return Ok(false) };
    let _one = state.findings.keeping.lock().await;
    let mut archives = state.store.archives().await?;
    archives.sort_by_key(|archive| archive.modified);
    let mut all: u64 = archives.iter().map(|archive| archive.length).sum();
    for archive in &archives {
        if all <= room {
            break;
        }
        state.store.remove_archive(archive).await?;
        all -= archive.length;
    }
    state.store.keep_archive(target, base, path).await?;
    if let Some(found) = kept(state, &(*target, *base)).await? {
        state.findings.add_whole((*target, *base), found);
    }
    Ok(true)
}

/// A new archive as a temporary file, with the space that it takes.
#[derive(Debug)]
pub(crate) struct Made {
    path: tempfile::TempPath,
    length: u64,
    root: Digest,
    _share: Share,
}

/// Compresses `target` against `base`, decodes the archive and checks the result. Returns `None` if
/// the archive is too large to be kept.
async fn compress(
    state: &Arc<State>,
    base: Restored,
    target: Restored,
    expected: Expected,
    share: Share,
) -> Result<Option<Made>> {
    let work = move |state: &State| {
        let (mut file, path) = state.spool.file().map_err(Failure::spool)?.into_parts();
        let stop = state.stop();
        if !jobs::compress(&base.path, &target.path, &mut file, expected.length / PAYS, &stop)? {
            return Ok(None);
        }
        let decoded = jobs::restore(Some(&base.path), &path, expected, &mut std::io::sink(), &stop);
        decoded.map_err(|error| match error.code {
            Code::Mismatch => Failure::spool(format!("a new archive does not restore the file: {error}")),
            _ => error,
        })?;
        let (length, root) = ending(&path).map_err(Failure::spool)?;
        Ok(Some(Made { path, length, root, _share: share }))
    };
    state.compute(work).await
}

/// The length of an archive and its root digest, with which it ends.
fn ending(path: &std::path::Path) -> std::io::Result<(u64, Digest)> {
    let (mut file, mut root) = (std::fs::File::open(path)?, [0; 32]);
    let start = std::io::Seek::seek(&mut file, SeekFrom::End(-(root.len() as i64)))?;
    std::io::Read::read_exact(&mut file, &mut root)?;
    Ok((start + root.len() as u64, Digest::from(root)))
}
