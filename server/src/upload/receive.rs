//! The receipt of a file's bytes, in one request or in several. Once all bytes are there, the file
//! is restored and must be the one that was announced.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bitx_store::Digest;
use headers::{ContentRange, HeaderMapExt};
use tokio::io::{AsyncSeekExt, AsyncWriteExt, SeekFrom};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::session;
use super::sessions::{Form, Progress, Session};
use crate::auth::Access;
use crate::bodies::{self, Incoming};
use crate::errors::{Code, Failure, Result};
use crate::jobs::{self, Expected};
use crate::state::State;

/// The header with the number of bytes received so far, from which an upload continues.
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The range of bytes that a request sends.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// `None` if the request sends nothing and asks for the outcome of a complete upload.
    start: Option<u64>,
    end: Option<u64>,
    total: Option<u64>,
}

impl Part {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let declared = bodies::declared(headers);
        let range = headers
            .typed_try_get::<ContentRange>()
            .map_err(|_| Failure::invalid("the Content-Range header is invalid"))?;
        let Some(range) = range else { return Ok(Self { start: Some(0), end: declared, total: declared }) };
        let total = range
            .bytes_len()
            .ok_or_else(|| Failure::invalid("the Content-Range header does not state the total length"))?;
        let Some((first, last)) = range.bytes_range() else {
            return Ok(Self { start: None, end: None, total: Some(total) });
        };
        // The order of the comparisons keeps `last + 1` within 64 bits.
        let length = (first <= last && last < total).then(|| last - first + 1);
        if length.is_none() || declared.is_some_and(|declared| Some(declared) != length) {
            return Err(Failure::invalid("the Content-Range contradicts itself or the Content-Length"));
        }
        Ok(Self { start: Some(first), end: Some(last + 1), total: Some(total) })
    }
}

/// The target of a request: one file of an upload, and the form in which it is sent.
struct Target {
    state: Arc<State>,
    access: Access,
    session: Arc<Session>,
    number: usize,
    form: Form,
}

impl Target {
    fn of(state: Arc<State>, headers: &HeaderMap, (id, number): (&str, &str), uri: &Uri) -> Result<Self> {
        let (access, session) = session(&state, headers, id)?;
        let number = number.parse().ok().filter(|number| *number < session.slots.len());
        let number = number.ok_or_else(|| Failure::not_found("file of this number in the upload"))?;
        Ok(Self { state, access, session, number, form: form(uri)? })
    }

    fn slot(&self) -> &super::sessions::Slot {
        &self.session.slots[self.number]
    }

    /// The maximum number of bytes that may be sent. An archive is at most a little larger than its
    /// file.
    fn most(&self) -> u64 {
        let length = self.slot().length;
        match self.form {
            Form::Raw => length,
            Form::Archive(_) => length + length / 16 + (1 << 20),
        }
    }
}

/// The form that the query of a URL states.
fn form(uri: &Uri) -> Result<Form> {
    let query = uri.query().unwrap_or_default();
    match query.split_once('=') {
        None if query.is_empty() => Ok(Form::Archive(None)),
        Some(("base", digest)) => Ok(Form::Archive(Some(digest.parse::<Digest>().map_err(Failure::invalid)?))),
        None | Some(_) if query == "raw" || query == "raw=" => Ok(Form::Raw),
        _ => Err(Failure::invalid("the query of the URL must be ?base=BLAKE3, ?raw or empty")),
    }
}

/// Answers with the number of bytes received so far.
pub(crate) async fn head(
    Shared(state): Shared<Arc<State>>,
    Path((id, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let target = Target::of(state, &headers, (&id, &number), &uri)?;
    let progress = *target.slot().progress();
    let same = progress.form == Some(target.form);
    Ok([(UPLOAD_OFFSET, if same { progress.received } else { 0 })].into_response())
}

/// Receives a part of a file, and restores the file after the last part.
pub(crate) async fn put(
    Shared(state): Shared<Arc<State>>,
    Path((id, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let target = Target::of(state.clone(), &headers, (&id, &number), &uri)?;
    let part = Part::of(&headers)?;
    let most = target.most().saturating_sub(part.start.unwrap_or(0));
    if part.total.is_some_and(|total| total > target.most()) {
        return Err(bodies::too_large(target.most()));
    }
    let most = part.end.zip(part.start).map_or(most, |(end, start)| end - start);
    let incoming = Incoming::new(body, &headers, most, &state.limits)?;
    // If the client disconnects, received bytes are kept and decoding continues.
    state.tasks.spawn(async move { receive(&target, part, incoming).await }).await?
}

async fn receive(target: &Target, part: Part, mut incoming: Incoming) -> Result<Response> {
    let superseded = target.slot().supersede();
    let _one = alone(target, &superseded).await?;
    if target.slot().known || target.slot().progress().done {
        while incoming.next().await?.is_some() {}
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if let Form::Archive(Some(base)) = target.form {
        let visible = target.state.relations().await?;
        if visible.file(&base, |name| target.access.may_read(name)).is_none() {
            return Err(Failure::not_found(format!("file {base}")));
        }
    }
    if let Some(start) = part.start {
        let progress = rewind(target, part, start)?;
        store(target, progress, &mut incoming, &superseded).await?;
    }
    let progress = *target.slot().progress();
    // If no total length is stated, the file ends with the body.
    let total = part.total.unwrap_or(progress.received);
    if progress.form != Some(target.form) || progress.received < total {
        return Ok((StatusCode::ACCEPTED, [(UPLOAD_OFFSET, progress.received)]).into_response());
    }
    complete(target).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Waits until no other request works on the file. A later request ends the wait.
///
/// # Errors
/// `Busy`, if it takes too long or too many requests wait; `Conflict`, if a later request comes.
async fn alone(target: &Target, superseded: &CancellationToken) -> Result<OwnedMutexGuard<()>> {
    const BUSY: &str = "the server still works on this file";
    let work = target.slot().work.clone();
    if let Ok(one) = work.clone().try_lock_owned() {
        return Ok(one);
    }
    let _place = target.state.decodings.place(BUSY)?;
    tokio::select! {
        one = tokio::time::timeout(target.state.limits.queue, work.lock_owned()) => one.map_err(|_| Failure::busy(BUSY)),
        () = superseded.cancelled() => Err(continued()),
    }
}

fn continued() -> Failure {
    Failure::new(Code::Conflict, "another request continues the upload of this file")
}

/// Sets the progress of the file back to `start`, where `part` begins, so that repeated bytes
/// replace those received before.
///
/// # Errors
/// `Conflict` with the offset to continue from, if bytes are missing before `start` or the total
/// length differs.
fn rewind(target: &Target, part: Part, start: u64) -> Result<Progress> {
    let mut progress = target.slot().progress();
    let received = if progress.form == Some(target.form) { progress.received } else { 0 };
    let other = start > 0 && progress.total.is_some() && progress.total != part.total;
    if start > received || other {
        let message = format!("the part does not follow the {received} bytes received so far: continue from there");
        return Err(Failure::new(Code::Conflict, message).with(UPLOAD_OFFSET, received));
    }
    *progress = Progress { form: Some(target.form), received: start, total: part.total, done: false };
    Ok(*progress)
}

/// Appends the bytes of a request to the file, until they end or another request takes over.
async fn store(
    target: &Target,
    mut progress: Progress,
    incoming: &mut Incoming,
    superseded: &CancellationToken,
) -> Result<()> {
    let path = target.session.received(target.number);
    let file = tokio::fs::OpenOptions::new().create(true).write(true).truncate(false).open(path).await;
    let mut file = file.map_err(Failure::spool)?;
    file.set_len(progress.received).await.map_err(Failure::spool)?;
    file.seek(SeekFrom::Start(progress.received)).await.map_err(Failure::spool)?;
    let is_archive = target.form != Form::Raw;
    {
        let mut share = target.slot().share();
        share.clear();
        share.grow(if is_archive { progress.received } else { 0 })?;
    }
    let taken = metrics::counter!("bitx_received_bytes_total");
    loop {
        let bytes = tokio::select! {
            bytes = incoming.next() => bytes?,
            () = superseded.cancelled() => {
                return Err(continued());
            }
        };
        let Some(bytes) = bytes else { return Ok(()) };
        if is_archive {
            target.slot().share().grow(bytes.len() as u64)?;
        }
        file.write_all(&bytes).await.map_err(Failure::spool)?;
        file.flush().await.map_err(Failure::spool)?;
        taken.increment(bytes.len() as u64);
        progress.received += bytes.len() as u64;
        *target.slot().progress() = progress;
    }
}

/// Restores and checks a file that was received completely. If it is not the announced one, it must
/// be sent again.
async fn complete(target: &Target) -> Result<()> {
    let done = restore(target).await;
    match &done {
        Ok(()) => target.slot().progress().done = true,
        Err(error) if matches!(error.code, Code::Mismatch | Code::TooLarge) => {
            *target.slot().progress() = Progress::default();
            remove(target.session.restored(target.number)).await?;
        }
        Err(_) => return done,
    }
    remove(target.session.received(target.number)).await?;
    target.slot().share().clear();
    done
}

/// Removes a temporary file, if it exists.
async fn remove(path: PathBuf) -> Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::spool(error)),
        _ => Ok(()),
    }
}

/// Restores the received bytes to a file, and checks it.
async fn restore(target: &Target) -> Result<()> {
    let (state, slot) = (&target.state, target.slot());
    let _turn = state.decodings.take("the server is decoding many other uploads").await?;
    let (received, restored) = (target.session.received(target.number), target.session.restored(target.number));
    let expected = Expected { length: slot.length, digest: slot.digest };
    let base = match target.form {
        Form::Archive(Some(base)) => Some(state.restored(base, &target.access).await?),
        Form::Archive(None) | Form::Raw => None,
    };
    let (raw, session) = (target.form == Form::Raw, target.session.clone());
    let work = move |state: &State| {
        if raw {
            jobs::check(&received, expected)?;
            std::fs::rename(received, &restored).map_err(Failure::spool)?;
        } else {
            let mut output = BufWriter::new(File::create(&restored).map_err(Failure::spool)?);
            let base = base.as_ref().map(|base| base.path.as_ref());
            jobs::restore(base, &received, expected, &mut output, &state.stop())?;
            output.into_inner().map_err(Failure::spool)?;
        }
        let mut tensors = session.tensors.lock().unwrap_or_else(PoisonError::into_inner);
        *tensors += jobs::count_tensors(&restored, state.limits.tensors.saturating_sub(*tensors))?;
        Ok(())
    };
    state.compute(work).await
}
