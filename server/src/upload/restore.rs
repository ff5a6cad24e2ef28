//! The end of receiving a file: its parts are put together, the file is restored, and it must be the
//! one that was announced.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::pin;

use bitx_store::{Error as StoreError, Form, Received, Transfer};
use futures::StreamExt;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, SeekFrom};

use super::receive::Target;
use super::sessions::Local;
use crate::errors::{Code, Failure, Result};
use crate::jobs::{self, Expected};

/// Restores and checks a file of which all bytes are in the store. If it is not the announced one,
/// it must be sent again.
pub(super) async fn complete(target: &Target, transfer: Transfer) -> Result<()> {
    let (uploads, id, number) = (target.state.store.uploads(), target.session.id, target.number);
    let mut received = uploads.all_received(id).await?;
    let Some(own) = received.remove(&number).or_else(|| (transfer.total == 0).then(|| Received::none(id, number)))
    else {
        return Err(lost());
    };
    let others = received.values().filter_map(Received::checked).map(|(_, tensors)| tensors).sum();
    match restore(target, &own, transfer, others).await {
        Ok(tensors) => {
            *target.slot().local() = Local { is_restored: true, ..Local::default() };
            remove_received(target).await?;
            Ok(uploads.store_receipt(id, number, transfer, tensors).await?)
        }
        Err(error) if matches!(error.code, Code::Mismatch | Code::TooLarge) => {
            uploads.forget(&own, None).await?;
            remove(target.session.restored(number)).await?;
            remove_received(target).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Restores the file from its bytes, of which the store has those that no temporary file has. The
/// other files of the upload have so many tensors. Returns the number of its own.
async fn restore(target: &Target, received: &Received, transfer: Transfer, others: usize) -> Result<usize> {
    let (state, file) = (&target.state, target.file());
    let _turn = state.decodings.take("the server is decoding many other uploads").await?;
    gather(target, received, transfer).await?;
    // Whatever becomes of the temporary file, the store has its bytes.
    *target.slot().local() = Local::default();
    let (path, restored) = (target.session.received(target.number), target.session.restored(target.number));
    let expected = Expected { length: file.length, digest: file.blake3 };
    let base = match transfer.form {
        Form::Archive(Some(base)) => Some(state.base_of_upload(base, &target.access).await?),
        Form::Archive(None) | Form::Raw => None,
    };
    let raw = transfer.form == Form::Raw;
    let work = move |state: &crate::state::State| {
        if raw {
            jobs::check(&path, expected)?;
            std::fs::rename(path, &restored).map_err(Failure::spool)?;
        } else {
            let mut output = BufWriter::new(File::create(&restored).map_err(Failure::spool)?);
            let base = base.as_ref().map(|base| base.path.as_ref());
            jobs::restore(base, &path, expected, &mut output, &state.stop())?;
            output.into_inner().map_err(Failure::spool)?;
        }
        jobs::count_tensors(&restored, state.limits.tensors.saturating_sub(others))
    };
    state.compute(work).await
}

/// Fills the temporary file with the bytes of the transfer that only the store has.
async fn gather(target: &Target, received: &Received, transfer: Transfer) -> Result<()> {
    let local = target.slot().local().clone();
    let there = if local.transfer == Some(transfer) { local.range } else { 0..0 };
    if there.is_empty() {
        target.slot().share().clear();
    }
    let path = target.session.received(target.number);
    let file = tokio::fs::OpenOptions::new().create(true).write(true).truncate(false).open(path).await;
    let mut file = file.map_err(Failure::spool)?;
    file.set_len(transfer.total).await.map_err(Failure::spool)?;
    for missing in [0..there.start, there.end..transfer.total] {
        fetch(target, &mut file, received, transfer, missing).await?;
    }
    file.flush().await.map_err(Failure::spool)
}

/// Copies bytes from the store to the temporary file.
async fn fetch(
    target: &Target,
    file: &mut tokio::fs::File,
    received: &Received,
    transfer: Transfer,
    range: Range<u64>,
) -> Result<()> {
    if transfer.form != Form::Raw {
        target.slot().share().grow(range.end - range.start)?;
    }
    file.seek(SeekFrom::Start(range.start)).await.map_err(Failure::spool)?;
    let (mut at, end) = (range.start, range.end);
    let mut bytes = pin!(target.state.store.uploads().read(received, transfer, range));
    while let Some(part) = bytes.next().await {
        let part = part.map_err(|error| match error {
            StoreError::Damaged { .. } | StoreError::NotFound(_) => {
                tracing::error!(%error, "a part of an upload is lost");
                lost()
            }
            other => other.into(),
        })?;
        file.write_all(&part).await.map_err(Failure::spool)?;
        at += part.len() as u64;
    }
    if at < end { Err(lost()) } else { Ok(()) }
}

/// The failure if received bytes are damaged or gone. The client finds out by the offset which ones
/// it has to send again.
fn lost() -> Failure {
    Failure::new(Code::Storage, "the server has lost received bytes: continue from the Upload-Offset")
}

/// Removes the temporary file of received bytes.
async fn remove_received(target: &Target) -> Result<()> {
    remove(target.session.received(target.number)).await?;
    target.slot().share().clear();
    Ok(())
}

/// Removes a temporary file, if it exists.
pub(super) async fn remove(path: PathBuf) -> Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::spool(error)),
        _ => Ok(()),
    }
}
