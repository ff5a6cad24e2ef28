//! The way of a request's bytes into the store: they are written to a temporary file, and stored
//! from there as parts.

use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

use bitx_store::{Digest, Form, Transfer};
use bytes::Bytes;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, SeekFrom};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::receive::{Target, continued};
use super::sessions::Local;
use crate::bodies::Incoming;
use crate::errors::{Failure, Result};

/// The maximum length of a part in bytes, which is that of the parts that clients send.
const PART: u64 = 8 << 20;
/// The time after which received bytes are stored even if they make no whole part.
const PATIENCE: Duration = Duration::from_secs(30);
/// The least time between two parts that are stored because a client has asked for the offset.
const SOON: Duration = Duration::from_millis(500);

/// The bytes of a request that is being received.
pub(super) struct Intake<'a> {
    target: &'a Target,
    file: tokio::fs::File,
    /// `None` until the length of the file is known, which ends with the body.
    transfer: Option<Transfer>,
    /// The offset of the first byte in the temporary file that belongs to the transfer.
    first: u64,
    /// The offset behind the last byte in the temporary file.
    received: u64,
    /// The offset behind the last byte in the store.
    stored: u64,
    last: Instant,
    due: Instant,
}

impl<'a> Intake<'a> {
    /// Prepares to receive bytes of a transfer of which the store has the first `stored`.
    pub(super) async fn open(target: &'a Target, transfer: Option<Transfer>, stored: u64) -> Result<Self> {
        let path = target.session.received(target.number);
        let file = tokio::fs::OpenOptions::new().create(true).write(true).truncate(false).open(path).await;
        let mut file = file.map_err(Failure::spool)?;
        let local = target.slot().local().clone();
        let goes_on = transfer.is_some() && local.transfer == transfer && local.range.end == stored;
        let first = if goes_on { local.range.start } else { stored };
        if !goes_on {
            file.set_len(0).await.map_err(Failure::spool)?;
        }
        file.set_len(stored).await.map_err(Failure::spool)?;
        file.seek(SeekFrom::Start(stored)).await.map_err(Failure::spool)?;
        {
            let mut share = target.slot().share();
            share.clear();
            share.grow(if target.form == Form::Raw { 0 } else { stored - first })?;
        }
        let now = Instant::now();
        let intake = Self { target, file, transfer, first, received: stored, stored, last: now, due: now + PATIENCE };
        intake.note();
        Ok(intake)
    }

    /// Receives the bytes of a request but for the first `skipped`, until they end or another request
    /// takes over, and stores them. Returns the transfer and the number of its bytes in the store.
    pub(super) async fn receive(
        mut self,
        incoming: &mut Incoming,
        skipped: u64,
        superseded: &CancellationToken,
    ) -> Result<(Transfer, u64)> {
        let received = self.receive_all(incoming, skipped, superseded).await;
        if self.transfer.is_none() && received.is_ok() {
            self.measure().await?;
        }
        // Bytes are kept even if the request fails.
        let stored = self.store().await;
        received.and(stored)?;
        let unmeasured = Transfer { form: self.target.form, total: self.received };
        Ok((self.transfer.unwrap_or(unmeasured), self.stored))
    }

    async fn receive_all(
        &mut self,
        incoming: &mut Incoming,
        mut skipped: u64,
        superseded: &CancellationToken,
    ) -> Result<()> {
        loop {
            let Some(bytes) = self.next(incoming, superseded).await? else { return Ok(()) };
            let known = skipped.min(bytes.len() as u64);
            skipped -= known;
            self.write(bytes.slice(known as usize..)).await?;
            if self.received - self.stored >= PART {
                self.store().await?;
            }
        }
    }

    /// Waits for the next bytes, and stores earlier ones meanwhile if it is time.
    async fn next(&mut self, incoming: &mut Incoming, superseded: &CancellationToken) -> Result<Option<Bytes>> {
        let target = self.target;
        let mut next = std::pin::pin!(incoming.next());
        loop {
            tokio::select! {
                bytes = &mut next => return bytes,
                () = superseded.cancelled() => return Err(continued()),
                () = target.slot().asked.notified() => self.due = self.due.min(self.last + SOON),
                () = sleep_until(self.due) => self.store().await?,
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.target.form != Form::Raw {
            self.target.slot().share().grow(bytes.len() as u64)?;
        }
        self.file.write_all(&bytes).await.map_err(Failure::spool)?;
        self.received += bytes.len() as u64;
        metrics::counter!("bitx_received_bytes_total").increment(bytes.len() as u64);
        Ok(())
    }

    /// Ends a body whose length was not stated. The store may have its first bytes already.
    async fn measure(&mut self) -> Result<()> {
        let Target { state, session, number, form, .. } = self.target;
        let transfer = Transfer { form: *form, total: self.received };
        let uploads = state.store.uploads();
        let received = uploads.received(session.id, *number).await?;
        uploads.forget(&received, Some(transfer)).await?;
        self.transfer = Some(transfer);
        self.stored = received.reaches(transfer);
        self.first = self.stored;
        Ok(())
    }

    /// Stores the bytes that are not in the store yet.
    async fn store(&mut self) -> Result<()> {
        (self.last, self.due) = (Instant::now(), Instant::now() + PATIENCE);
        let Some(transfer) = self.transfer else { return Ok(()) };
        self.file.flush().await.map_err(Failure::spool)?;
        let Target { state, session, number, .. } = self.target;
        while self.stored < self.received {
            let end = self.received.min(self.stored + PART);
            let (start, path) = (self.stored, session.received(*number));
            let all = (state.limits.memory >> 10).clamp(1, u64::from(u32::MAX)) as u32;
            let memory = state.memory.clone().acquire_many_owned(all.min((PART >> 10) as u32)).await;
            let _memory = memory.map_err(|_| Failure::busy("the server is shutting down"))?;
            let read = move || read(&path, start, (end - start) as usize).map(|bytes| (Digest::of(&bytes), bytes));
            let (digest, bytes) = tokio::task::spawn_blocking(read).await?.map_err(Failure::spool)?;
            state.store.uploads().store_part(session.id, *number, transfer, start, digest, bytes).await?;
            self.stored = end;
            self.note();
        }
        Ok(())
    }

    /// Notes which bytes the temporary file and the store have.
    fn note(&self) {
        let local = Local { transfer: self.transfer, range: self.first..self.stored, is_restored: false };
        *self.target.slot().local() = local;
    }
}

/// Reads a range of a file.
fn read(path: &Path, start: u64, length: usize) -> io::Result<Bytes> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}
