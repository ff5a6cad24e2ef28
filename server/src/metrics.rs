//! Metrics for Prometheus, and the middleware that admits, counts and times requests.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::errors::Failure;
use crate::state::State;

/// The upper bounds of histogram buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0, 600.0];

/// The recorder of this process. `None` if the program that embeds the server has installed another
/// one.
pub(crate) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS).ok()?;
        builder.install_recorder().ok()
    };
    RECORDER.get_or_init(install).as_ref()
}

/// A request in progress. It is counted, and holds its permit, until its answer is sent.
struct UnderWay(Option<tokio::sync::OwnedSemaphorePermit>);

impl UnderWay {
    fn new(permit: Option<tokio::sync::OwnedSemaphorePermit>) -> Self {
        metrics::gauge!("bitx_requests_under_way").increment(1);
        Self(permit)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.take();
        metrics::gauge!("bitx_requests_under_way").decrement(1);
    }
}

/// The method as a label. Clients may invent methods, and each label is kept for ever.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    const NAMES: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.iter().position(|known| known == method).map_or("other", |known| NAMES[known])
}

/// Middleware that refuses requests over the limit, and counts and times the others. Health checks
/// and metrics are never refused.
pub(crate) async fn admit(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let permit = match &*route {
        "/healthz" | "/metrics" => None,
        _ => match state.requests.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => return Failure::busy("the server handles too many requests").into_response(),
        },
    };
    let under_way = UnderWay::new(permit);
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::histogram!("bitx_request_seconds", "route" => route.clone()).record(begun.elapsed().as_secs_f64());
    metrics::counter!("bitx_requests_total", "method" => method, "route" => route, "status" => status).increment(1);
    let sent = metrics::counter!("bitx_sent_bytes_total");
    response.map(|body| Body::new(Counted { body, sent, _under_way: under_way }))
}

/// The body of an answer, which counts its bytes and keeps the request in progress until it is
/// sent.
struct Counted {
    body: Body,
    sent: metrics::Counter,
    _under_way: UnderWay,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.sent.increment(frame.data_ref().map_or(0, |bytes| bytes.len() as u64));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
