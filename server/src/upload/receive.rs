//! The receipt of a file's bytes, in one request or in several, by one server or by several. Once
//! all bytes are there, the file is restored.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bitx_store::{Digest, Form, Received, Transfer, UploadFile};
use headers::{ContentRange, HeaderMapExt};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, PART};
use super::sessions::{Session, Slot};
use super::{Found, restore};
use crate::auth::Access;
use crate::bodies::{self, Incoming};
use crate::errors::{Code, Failure, Result};
use crate::state::State;

/// The header with the number of bytes received so far, from which an upload continues.
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The number of parts of a file that the store takes, besides two for each part of full length.
/// All of them are listed for each request.
const MOST_PARTS: u64 = 10_000;

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
pub(super) struct Target {
    pub(super) state: Arc<State>,
    pub(super) access: Access,
    pub(super) session: Arc<Session>,
    pub(super) number: usize,
    pub(super) form: Form,
    /// The upload is published.
    is_answered: bool,
}

impl Target {
    async fn of(state: Arc<State>, headers: &HeaderMap, (id, number): (&str, &str), uri: &Uri) -> Result<Self> {
        let Found { access, session, is_answered } = Found::of(&state, headers, id).await?;
        let number = number.parse().ok().filter(|number| *number < session.slots.len());
        let number = number.ok_or_else(|| Failure::not_found("file of this number in the upload"))?;
        Ok(Self { state, access, session, number, form: form(uri)?, is_answered })
    }

    /// A file of an upload that is being published, as it was sent.
    pub(super) fn of_sent(
        state: Arc<State>,
        access: Access,
        session: Arc<Session>,
        number: usize,
        transfer: Transfer,
    ) -> Self {
        Self { state, access, session, number, form: transfer.form, is_answered: false }
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.session.slots[self.number]
    }

    pub(super) fn file(&self) -> &UploadFile {
        &self.session.upload.files[self.number]
    }

    /// The part of the file that the store has.
    async fn received(&self) -> Result<Received> {
        Ok(self.state.store.uploads().received(self.session.id, self.number).await?)
    }

    /// The maximum number of bytes that may be sent. An archive is at most a little larger than its
    /// file.
    fn most(&self) -> u64 {
        let length = self.file().length;
        match self.form {
            Form::Raw => length,
            Form::Archive(_) => length.saturating_add(length / 16 + (1 << 20)),
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

/// Answers with the number of bytes that the store has. A request that still receives bytes soon
/// stores them.
pub(crate) async fn head(
    Shared(state): Shared<Arc<State>>,
    Path((id, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let target = Target::of(state, &headers, (&id, &number), &uri).await?;
    if target.slot().work.try_lock().is_err() {
        target.slot().asked.notify_one();
    }
    let received = target.received().await?;
    let offset = match received.checked() {
        Some((transfer, _)) if transfer.form == target.form => transfer.total,
        Some(_) => 0,
        None => received.furthest(target.form),
    };
    Ok([(UPLOAD_OFFSET, offset)].into_response())
}

/// Receives a part of a file, and restores the file after the last part.
pub(crate) async fn put(
    Shared(state): Shared<Arc<State>>,
    Path((id, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let target = Target::of(state.clone(), &headers, (&id, &number), &uri).await?;
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
    let received = target.received().await?;
    if target.is_answered || target.file().known || received.checked().is_some() {
        while incoming.next().await?.is_some() {}
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (transfer, reaches) = match (part.start, part.total) {
        (Some(start), total) => take(target, &received, (start, total), &mut incoming, &superseded).await?,
        (None, total) => {
            let transfer = Transfer { form: target.form, total: total.unwrap_or(0) };
            (transfer, received.reaches(transfer))
        }
    };
    if reaches < transfer.total {
        return Ok((StatusCode::ACCEPTED, [(UPLOAD_OFFSET, reaches)]).into_response());
    }
    restore::complete(target, transfer).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Receives the bytes of a part that begins at `start`, and stores those that the store does not
/// have. Returns the transfer, and the number of its bytes that are there.
///
/// # Errors
/// `Conflict` with the offset to continue from, if bytes are missing before `start`.
async fn take(
    target: &Target,
    received: &Received,
    (start, total): (u64, Option<u64>),
    incoming: &mut Incoming,
    superseded: &CancellationToken,
) -> Result<(Transfer, u64)> {
    let transfer = total.map(|total| Transfer { form: target.form, total });
    let reaches = transfer.map_or(0, |transfer| received.reaches(transfer));
    if start > reaches {
        let message = format!("the part does not follow the {reaches} bytes received so far: continue from there");
        return Err(Failure::new(Code::Conflict, message).with(UPLOAD_OFFSET, reaches));
    }
    if reaches == 0 {
        check_base(target).await?;
    }
    if let Some(transfer) = transfer {
        // A file is sent in one form at a time, so that it takes no more than its room.
        target.state.store.uploads().forget(received, Some(transfer)).await?;
    }
    let parts = transfer.map_or(0, |transfer| received.parts(transfer));
    if parts > MOST_PARTS + 2 * (reaches / PART) {
        return Err(Failure::new(Code::TooLarge, "the file is sent in too many parts: begin again with longer ones"));
    }
    let intake = Intake::open(target, transfer, reaches).await?;
    intake.receive(incoming, reaches - start, superseded).await
}

/// Checks that the holder of the token may read the base of an archive.
///
/// # Errors
/// `NotFound`.
async fn check_base(target: &Target) -> Result<()> {
    let Form::Archive(Some(base)) = target.form else { return Ok(()) };
    let relations = target.state.relations().await?;
    let visible = relations.file(&base, |name| target.access.may_read(name));
    visible.map(drop).ok_or_else(|| Failure::not_found(format!("file {base}")))
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

pub(super) fn continued() -> Failure {
    Failure::new(Code::Conflict, "another request continues the upload of this file")
}
