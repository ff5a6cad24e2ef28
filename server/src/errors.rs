//! Failures of requests, as clients see them: a status, a stable code and a message.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bitx_store::Error as StoreError;
use serde_json::json;

/// The number of seconds after which a client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The maximum number of characters of a message that come from its beginning.
const BEGINNING: usize = 400;
/// The maximum number of characters of a message that come from its end.
const ENDING: usize = 200;

/// `Result` with [`Failure`].
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The kind of a failure. [`parts`](Self::parts) has the status and code of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unauthorized,
    Forbidden,
    NotFound,
    Method,
    Conflict,
    TooLarge,
    Range,
    Invalid,
    Mismatch,
    Busy,
    Timeout,
    /// An object of the store is missing or damaged, or the server has a fault.
    Damaged,
    /// The storage, or the disk for temporary files, has failed. It may work again later.
    Storage,
}

impl Code {
    /// The HTTP status, and the stable code in the body.
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "invalid"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Mismatch => (StatusCode::UNPROCESSABLE_ENTITY, "mismatch"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "storage"),
            Self::Storage => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
        }
    }
}

/// A failed request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    message: String,
    /// The error for the log, which clients do not see.
    cause: Option<String>,
    /// A header of the answer; boxed, since few failures have one.
    header: Option<Box<(header::HeaderName, HeaderValue)>>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: shortened(&message.into()), cause: None, header: None }
    }

    /// Adds a header to the answer.
    pub(crate) fn with(mut self, name: header::HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.header = Some(Box::new((name, value.into())));
        self
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    pub(crate) fn mismatch(message: impl Into<String>) -> Self {
        Self::new(Code::Mismatch, message)
    }

    pub(crate) fn busy(reason: &str) -> Self {
        Self::new(Code::Busy, format!("{reason}: try again in a moment"))
    }

    /// A failure that concerns the operator. Clients do not see the details.
    fn internal(code: Code, error: &dyn std::fmt::Display) -> Self {
        let message = match code {
            Code::Damaged => "the stored data is damaged, or the server has a fault; its log has the details",
            _ => "the storage of the server has failed; its log has the details",
        };
        Self { cause: Some(shortened(&error.to_string())), ..Self::new(code, message) }
    }

    /// Logs the cause of a failure that concerns the operator.
    pub(crate) fn log(&self) {
        if let Some(cause) = &self.cause {
            tracing::error!(error = cause, "a request failed");
        }
    }

    /// The failure of a temporary file.
    pub(crate) fn spool(error: impl std::fmt::Display) -> Self {
        Self::internal(Code::Storage, &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound(_) => Self::new(Code::NotFound, error.to_string()),
            StoreError::Argument(_) => Self::invalid(error.to_string()),
            StoreError::Damaged { .. } | StoreError::Unsupported(_) => Self::internal(Code::Damaged, &error),
            StoreError::Storage { .. } | StoreError::File { .. } | StoreError::Expired | StoreError::Stopped => {
                Self::internal(Code::Storage, &error)
            }
        }
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(Code::Damaged, &error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.log();
        let (status, code) = self.code.parts();
        metrics::counter!("bitx_failures_total", "code" => code).increment(1);
        let mut response =
            (status, Json(json!({ "error": { "code": code, "message": self.message } }))).into_response();
        let headers = response.headers_mut();
        match self.code {
            Code::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Code::Busy | Code::Storage => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            // The server does not wait for the rest of a body that is too slow or too long.
            Code::Timeout | Code::TooLarge => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        headers.extend(self.header.map(|header| *header));
        response
    }
}

/// The text, without its middle if it is long. Names and figures come from clients, who could make
/// answers and logs as large as they like.
pub(crate) fn shortened(text: &str) -> String {
    let begin = text.char_indices().nth(BEGINNING).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().rev().nth(ENDING - 1).map_or(0, |(at, _)| at);
    if begin >= end {
        return text.to_owned();
    }
    format!("{}…{}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_lose_their_middle() {
        for short in ["", "short", &"ü".repeat(BEGINNING + ENDING)] {
            assert_eq!(shortened(short), short);
        }
        let long = format!("begin {} end", "ü".repeat(1_000_000));
        let failure = Failure::invalid(long.clone());
        assert_eq!(failure.message.chars().count(), BEGINNING + ENDING + 1);
        assert!(failure.message.starts_with("begin ü") && failure.message.ends_with("ü end"));
        let cause = Failure::spool(long).cause.unwrap();
        assert_eq!(cause.chars().count(), BEGINNING + ENDING + 1);
    }
}
