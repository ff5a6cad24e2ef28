//! Batches of decoded pieces, from which the bytes of files are sent.
//!
//! A batch waits until there is memory for it, and is shared by all requests that read it at the
//! same time. While one batch is sent, the next one is decoded.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bitx_store::{FileManifest, ObjectId, PieceRef};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::errors::{Code, Failure, Result};
use crate::flights::Held;
use crate::state::State;

/// The maximum length of a batch of several pieces, in bytes. Small pieces are read together, at
/// the same time.
const TOGETHER: u64 = 16 << 20;
/// The number of requests to the storage in flight for a batch.
const REQUESTS: usize = 8;
/// The number of bytes passed to a connection at a time. Bytes that a connection holds no longer
/// count as memory in use.
const SLICE: usize = 256 << 10;

/// The identity of a batch: the file, the number of its first run of bytes, and the number of runs.
pub(crate) type BatchKey = (ObjectId, usize, usize);

/// Decoded pieces, with the permits for their memory.
pub(crate) struct Batch {
    pieces: Vec<Bytes>,
    _memory: OwnedSemaphorePermit,
}

/// Consecutive runs of bytes of a file.
struct Wanted {
    first: usize,
    /// The pieces that the runs are in, each once.
    pieces: Vec<PieceRef>,
    /// For each run, the number of its piece and the range of bytes to send of that.
    runs: Vec<(usize, Range<usize>)>,
}

/// Streams the bytes in `range` of a file. The first batch is decoded before the function returns,
/// so that a damaged file leads to an error and not to an answer that breaks off.
///
/// # Errors
/// Those of the store; `Busy`, if there is no memory in time.
pub(crate) async fn read(
    state: &Arc<State>,
    file: ObjectId,
    manifest: &FileManifest,
    range: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes>> + Send + 'static> {
    let mut wanted = split(manifest, range).into_iter();
    let (sender, receiver) = mpsc::channel(1);
    let mut ready = VecDeque::new();
    if let Some(first) = wanted.next() {
        let taken = tokio::time::timeout(state.limits.queue, fetch(state, file, &first)).await;
        let batch = taken.map_err(|_| Failure::busy("the server has no memory for this file"))??;
        ready.push_back((batch, first));
    }
    if wanted.len() > 0 {
        let state = state.clone();
        tokio::spawn(async move {
            for wanted in wanted {
                // The channel is reserved first. A batch that was decoded earlier would hold memory
                // while other requests wait for it.
                let Ok(room) = sender.reserve().await else { return };
                let fetched = tokio::select! {
                    fetched = fetch(&state, file, &wanted) => fetched,
                    () = sender.closed() => return,
                };
                let failed = fetched.as_ref().inspect_err(|failure| failure.log()).is_err();
                room.send(fetched.map(|batch| (batch, wanted)));
                if failed {
                    return;
                }
            }
        });
    }
    Ok(slices(ready, receiver))
}

/// A batch that was decoded, and the bytes of it to send.
type Fetched = (Held<Batch>, Wanted);

/// The bytes of the batches in `ready`, and then of those from `receiver`, in slices.
fn slices(
    mut ready: VecDeque<Fetched>,
    mut receiver: mpsc::Receiver<Result<Fetched>>,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let batches = stream::poll_fn(move |context| match ready.pop_front() {
        Some(first) => std::task::Poll::Ready(Some(Ok(first))),
        None => receiver.poll_recv(context),
    });
    batches
        .map_ok(|(batch, wanted)| {
            stream::iter(cut(&batch, wanted)).map(move |slice| {
                let _until_it_is_sent = &batch;
                Ok(slice)
            })
        })
        .try_flatten()
}

/// Cuts the wanted bytes of a batch into slices.
fn cut(batch: &Batch, wanted: Wanted) -> Vec<Bytes> {
    let parts = wanted.runs.into_iter().filter_map(|(piece, part)| Some(batch.pieces.get(piece)?.slice(part)));
    let cut = |part: Bytes| {
        let starts = (0..part.len()).step_by(SLICE);
        starts.map(move |start| part.slice(start..part.len().min(start + SLICE))).collect::<Vec<_>>()
    };
    parts.flat_map(cut).collect()
}

/// Groups the runs of bytes in `range` into batches. A pack is read once for all its runs in a
/// batch.
fn split(manifest: &FileManifest, range: Range<u64>) -> Vec<Wanted> {
    let mut bytes = 0;
    let mut batches: Vec<Wanted> = Vec::new();
    // The numbers of the pieces of the last batch.
    let mut numbers: HashMap<PieceRef, usize> = HashMap::new();
    for (first, piece, range) in manifest.within(range) {
        let is_known = numbers.contains_key(&piece);
        bytes += if is_known { 0 } else { piece.length };
        if batches.is_empty() || !is_known && bytes > TOGETHER {
            batches.push(Wanted { first, pieces: Vec::new(), runs: Vec::new() });
            numbers.clear();
            bytes = piece.length;
        }
        let Some(last) = batches.last_mut() else { continue };
        let number = *numbers.entry(piece).or_insert(last.pieces.len());
        if number == last.pieces.len() {
            last.pieces.push(piece);
        }
        last.runs.push((number, range));
    }
    batches
}

/// Returns a batch, which is decoded unless another request has it.
async fn fetch(state: &Arc<State>, file: ObjectId, wanted: &Wanted) -> Result<Held<Batch>> {
    let make = decode(state.clone(), wanted.pieces.clone());
    state.batches.get(&state.tasks, (file, wanted.first, wanted.runs.len()), make).await
}

/// Waits for memory and decodes pieces.
async fn decode(state: Arc<State>, pieces: Vec<PieceRef>) -> Result<Batch> {
    let kib = |bytes: u64| bytes.div_ceil(1024).min(u64::from(u32::MAX)) as usize;
    let length = kib(pieces.iter().map(|piece| piece.length).sum());
    // Decoding needs memory for the base as well. A batch that is larger than all the memory waits
    // until it is alone.
    let all = kib(state.limits.memory).max(1);
    let (whole, own) = ((2 * length).min(all), length.min(all));
    let memory = state.memory.clone().acquire_many_owned(whole as u32).await;
    let mut memory = memory.map_err(|_| Failure::new(Code::Busy, "the server is shutting down"))?;
    let read = pieces.into_iter().map(|piece| {
        let state = state.clone();
        async move { state.store.kept_piece(&piece).await }
    });
    let pieces = stream::iter(read).buffered(REQUESTS).try_collect().await?;
    drop(memory.split(whole - own));
    Ok(Batch { pieces, _memory: memory })
}
