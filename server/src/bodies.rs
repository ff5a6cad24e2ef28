//! The bodies of requests, with limits on their length and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::errors::{Code, Failure, Result};
use crate::limits::Limits;

/// A request body that is being received.
pub(crate) struct Incoming {
    body: Body,
    stall: Duration,
    deadline: Instant,
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
        Ok(Self { body, stall: limits.stall, deadline: Instant::now() + limits.body, left: most })
    }

    /// Receives the next bytes. `None` at the end of the body.
    ///
    /// # Errors
    /// `TooLarge`; `Timeout`; `Invalid`, if the connection ends before the body does.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let until = self.deadline.min(Instant::now() + self.stall);
            let slow = |_| Failure::new(Code::Timeout, "the body arrived too slowly");
            let frame = tokio::time::timeout_at(until, self.body.frame()).await.map_err(slow)?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| Failure::invalid("the body ended early"))?;
            if let Ok(bytes) = frame.into_data() {
                let left = self.left.checked_sub(bytes.len() as u64);
                self.left = left.ok_or_else(|| Failure::new(Code::TooLarge, "the body is longer than permitted"))?;
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

/// Receives and parses a JSON body.
///
/// # Errors
/// Those of [`Incoming`]; `Invalid`, if the body does not parse.
pub(crate) async fn json<T: DeserializeOwned>(body: Body, headers: &HeaderMap, limits: &Limits) -> Result<T> {
    let mut incoming = Incoming::new(body, headers, limits.json, limits)?;
    let mut bytes = BytesMut::new();
    while let Some(part) = incoming.next().await? {
        bytes.extend_from_slice(&part);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::invalid(format!("the body is not the expected JSON: {error}")))
}
