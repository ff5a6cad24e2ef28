//! Ranges and conditional requests: the part of a resource that an answer contains.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headers::{ContentLength, ContentRange, ETag, HeaderMapExt, IfNoneMatch};
use http_range_header::StartPosition;

use crate::errors::{Code, Failure, Result};

/// The caching policy. Caches must revalidate, since a model may get other files under the same
/// names.
const CACHING: HeaderValue = HeaderValue::from_static("no-cache");

/// The part of a resource that an answer will contain.
pub(crate) struct Selected {
    length: u64,
    etag: ETag,
    /// `None` if the client has the resource already.
    range: Option<Range<u64>>,
    partial: bool,
}

/// Selects the part of a resource that a request asks for. `tag` is the entity tag, without quotes.
///
/// # Errors
/// `Range`, if the range is not within the resource.
pub(crate) fn select(headers: &HeaderMap, length: u64, tag: &str) -> Result<Selected> {
    let etag: ETag = format!("\"{tag}\"").parse().map_err(|_| Failure::invalid("the entity tag is invalid"))?;
    let selected = |range, partial| Ok(Selected { length, etag: etag.clone(), range, partial });
    if headers.typed_get::<IfNoneMatch>().is_some_and(|condition| !condition.precondition_passes(&etag)) {
        return selected(None, false);
    }
    // A range of another version would be useless, so that the whole is sent. Dates never match,
    // since there are none here.
    let same =
        headers.get(header::IF_RANGE).is_none_or(|condition| condition.as_bytes() == format!("\"{tag}\"").as_bytes());
    let range = headers.get(header::RANGE).filter(|_| same).and_then(|range| range.to_str().ok());
    if range.is_some_and(is_nothing) {
        return Err(outside(length));
    }
    match range.and_then(|range| http_range_header::parse_range_header(range).ok()) {
        // Invalid headers and several ranges may be ignored, and the whole is sent.
        Some(ranges) if ranges.ranges.len() == 1 => match ranges.validate(length).as_deref() {
            // A suffix longer than the resource is the whole resource.
            _ if length > 0 && matches!(ranges.ranges[0].start, StartPosition::FromLast(last) if last > length) => {
                selected(Some(0..length), true)
            }
            // The parser accepts ranges of an empty resource, which has none.
            Ok([range]) if range.start() <= range.end() && *range.end() < length => {
                selected(Some(*range.start()..range.end() + 1), true)
            }
            _ => Err(outside(length)),
        },
        _ => selected(Some(0..length), false),
    }
}

/// Returns `true` for a range of the last 0 bytes, which the parser takes for an invalid header.
fn is_nothing(range: &str) -> bool {
    let last = range.trim().strip_prefix("bytes=").and_then(|range| range.trim().strip_prefix('-'));
    last.is_some_and(|last| !last.is_empty() && last.bytes().all(|digit| digit == b'0'))
}

fn outside(length: u64) -> Failure {
    let message = format!("the range is not within {length} bytes");
    Failure::new(Code::Range, message).with(header::CONTENT_RANGE, unsatisfied(length))
}

fn unsatisfied(length: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("bytes */{length}")).unwrap_or(HeaderValue::from_static("bytes */*"))
}

impl Selected {
    /// The range of bytes to send. `None` for an answer without a body.
    pub(crate) fn range(&self, method: &Method) -> Option<Range<u64>> {
        self.range.clone().filter(|range| method != Method::HEAD && !range.is_empty())
    }

    /// The answer with this body.
    pub(crate) fn respond(self, body: Body) -> Response {
        let status = match &self.range {
            None => StatusCode::NOT_MODIFIED,
            Some(_) if self.partial => StatusCode::PARTIAL_CONTENT,
            Some(_) => StatusCode::OK,
        };
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.typed_insert(self.etag);
        headers.insert(header::CACHE_CONTROL, CACHING);
        // Browsers must never run an uploaded file as a page of this origin.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(range) = self.range {
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.typed_insert(ContentLength(range.end - range.start));
            if self.partial {
                headers.extend(ContentRange::bytes(range, self.length).ok().into_iter().flat_map(|content| {
                    let mut one = HeaderMap::new();
                    one.typed_insert(content);
                    one
                }));
            }
        }
        response
    }
}
