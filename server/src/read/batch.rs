//! Pieces of files in memory: as many at a time as there is memory for, each decoded once for all who read it at the
//! same time, and the next ones while the last are sent.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bitx_store::{FileManifest, ObjectId, PieceRef};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::errors::{Code, Failure, Result};
use crate::flights::Held;
use crate::state::State;

/// Small pieces are read together up to this many bytes, since each is a request to the storage.
const TOGETHER: u64 = 16 << 20;
/// Requests that are under way at a time for a batch.
const REQUESTS: usize = 8;
/// Bytes that are handed to a connection at a time: what it holds is not counted any more.
const SLICE: usize = 256 << 10;

/// The file, the number of the first piece, and how many they are.
pub(crate) type BatchKey = (ObjectId, usize, usize);

/// Decoded pieces.
pub(crate) struct Batch {
    pieces: Vec<Bytes>,
    _memory: OwnedSemaphorePermit,
}

/// Consecutive pieces of a file, and which bytes of each are wanted.
struct Wanted {
    first: usize,
    pieces: Vec<(PieceRef, Range<usize>)>,
}

/// `range` of a file. Its first bytes are there when this returns, so that what cannot be read is an error and no
/// answer that breaks off.
///
/// # Errors
/// Those of the store; `Busy`.
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
        let batch = taken.map_err(|_| Failure::busy("there is no memory for this file"))??;
        ready.push_back((batch, first));
    }
    if wanted.len() > 0 {
        let state = state.clone();
        tokio::spawn(async move {
            for wanted in wanted {
                // Room first: what is decoded and cannot be handed over would be held while others wait.
                let Ok(room) = sender.reserve().await else { return };
                let fetched = tokio::select! {
                    fetched = fetch(&state, file, &wanted) => fetched,
                    () = sender.closed() => return,
                };
                let failed = fetched.is_err();
                room.send(fetched.map(|batch| (batch, wanted)));
                if failed {
                    return;
                }
            }
        });
    }
    Ok(slices(ready, receiver))
}

type Fetched = (Held<Batch>, Wanted);

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

fn cut(batch: &Batch, wanted: Wanted) -> Vec<Bytes> {
    let parts = batch.pieces.iter().zip(wanted.pieces).map(|(piece, (_, part))| piece.slice(part));
    let cut = |part: Bytes| {
        let starts = (0..part.len()).step_by(SLICE);
        starts.map(move |start| part.slice(start..part.len().min(start + SLICE))).collect::<Vec<_>>()
    };
    parts.flat_map(cut).collect()
}

/// The pieces that `range` touches.
fn split(manifest: &FileManifest, range: Range<u64>) -> Vec<Wanted> {
    let (mut end, mut bytes) = (0, 0);
    let mut batches: Vec<Wanted> = Vec::new();
    for (number, piece) in manifest.pieces().enumerate() {
        let start = end;
        end += piece.length;
        let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
        if from == to {
            continue;
        }
        let part = (*piece, (from - start) as usize..(to - start) as usize);
        bytes += piece.length;
        match batches.last_mut() {
            Some(last) if bytes <= TOGETHER => last.pieces.push(part),
            _ => {
                batches.push(Wanted { first: number, pieces: vec![part] });
                bytes = piece.length;
            }
        }
    }
    batches
}

async fn fetch(state: &Arc<State>, file: ObjectId, wanted: &Wanted) -> Result<Held<Batch>> {
    let pieces: Vec<PieceRef> = wanted.pieces.iter().map(|(piece, _)| *piece).collect();
    let make = decode(state.clone(), pieces);
    state.batches.get(&state.tasks, (file, wanted.first, wanted.pieces.len()), make).await
}

async fn decode(state: Arc<State>, pieces: Vec<PieceRef>) -> Result<Batch> {
    let kib = |bytes: u64| bytes.div_ceil(1024).min(u64::from(u32::MAX)) as usize;
    let length = kib(pieces.iter().map(|piece| piece.length).sum());
    // While it is decoded there is its base as well. A batch that is larger than the memory has it to itself.
    let all = kib(state.limits.memory).max(1);
    let (whole, own) = ((2 * length).min(all), length.min(all));
    let memory = state.memory.clone().acquire_many_owned(whole as u32).await;
    let mut memory = memory.map_err(|_| Failure::new(Code::Busy, "the server is shutting down"))?;
    let read = pieces.into_iter().map(|piece| {
        let state = state.clone();
        async move { state.store.piece(&piece).await }
    });
    let pieces = stream::iter(read).buffered(REQUESTS).try_collect().await?;
    drop(memory.split(whole - own));
    Ok(Batch { pieces, _memory: memory })
}
