//! The bodies of requests, with limits on their length and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::errors::{Code, Failure, Result};
use crate::limits::Limits;
use crate::state::State;

/// The number of bytes of JSON bodies that a permit stands for.
pub(crate) const STEP: usize = 4 << 10;

/// A request body that is being received.
pub(crate) struct Incoming {
    body: Body,
    stall: Duration,
    rate: u64,
    begun: Instant,
    deadline: Instant,
    taken: u64,
    left: u64,
}

impl Incoming {
    /// Begins to receive a body of at most `most` bytes.
    ///
    /// # Errors
    /// `TooLarge`, if the body declares more than `most` bytes.
    pub(crate) fn new(body: Body, headers: &HeaderMap, most: u64, limits: &Limits) -> Result<Self> {
        if declared(headers).is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        let (begun, stall, rate) = (Instant::now(), limits.stall, limits.rate);
        Ok(Self { body, stall, rate, begun, deadline: begun + limits.body, taken: 0, left: most })
    }

    /// Shortens the time to receive the body.
    fn within(mut self, time: Duration) -> Self {
        self.deadline = self.deadline.min(self.begun + time);
        self
    }

    /// The time at which the bytes received so far are too few: as long as they would take at the
    /// minimum rate, and a stall.
    fn patience(&self) -> Instant {
        let earned = Duration::from_secs(self.taken.checked_div(self.rate).unwrap_or(u64::from(u32::MAX)));
        self.begun + self.stall + earned.min(Duration::from_secs(u64::from(u32::MAX)))
    }

    /// Receives the next bytes. `None` at the end of the body.
    ///
    /// # Errors
    /// `TooLarge`; `Timeout`; `Invalid`, if the connection ends before the body does.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let until = self.deadline.min(Instant::now() + self.stall).min(self.patience());
            let slow = |_| Failure::new(Code::Timeout, "the body arrived too slowly");
            let frame = tokio::time::timeout_at(until, self.body.frame()).await.map_err(slow)?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| Failure::invalid("the body ended early"))?;
            if let Ok(bytes) = frame.into_data() {
                let left = self.left.checked_sub(bytes.len() as u64);
                self.left = left.ok_or_else(|| Failure::new(Code::TooLarge, "the body is longer than permitted"))?;
                self.taken += bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
    }
}

/// The length that the headers declare for the body.
pub(crate) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn too_large(most: u64) -> Failure {
    Failure::new(Code::TooLarge, format!("the body is longer than the permitted {most} bytes"))
}

/// The value of a JSON body. It counts towards the limit of all such bodies until it is dropped.
pub(crate) struct Parsed<T> {
    pub(crate) value: T,
    _memory: Vec<OwnedSemaphorePermit>,
}

/// Receives and parses a JSON body of at most `most` bytes.
///
/// # Errors
/// Those of [`Incoming`]; `Busy`, if all such bodies together are too long; `Invalid`, if the body
/// does not parse.
pub(crate) async fn json<T: DeserializeOwned + Send + 'static>(
    body: Body,
    headers: &HeaderMap,
    most: u64,
    state: &State,
) -> Result<Parsed<T>> {
    let limits = &state.limits;
    let mut incoming = Incoming::new(body, headers, most.min(limits.json), limits)?.within(limits.json_time);
    let (mut bytes, mut memory) = (BytesMut::new(), Vec::new());
    while let Some(part) = incoming.next().await? {
        while memory.len() * STEP < bytes.len() + part.len() {
            let permit = state.json.clone().try_acquire_owned();
            memory.push(permit.map_err(|_| Failure::busy("the server receives many other requests"))?);
        }
        bytes.extend_from_slice(&part);
    }
    // Parsing a long body would keep other requests from being answered.
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes)).await?;
    let value = parsed.map_err(|error| Failure::invalid(format!("the body is not the expected JSON: {error}")))?;
    Ok(Parsed { value, _memory: memory })
}
