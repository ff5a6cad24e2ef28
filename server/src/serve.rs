//! Routes, and connections.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use bitx_store::Store;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::Span;

use crate::auth::Tokens;
use crate::errors::{Code, Failure};
use crate::limits::Limits;
use crate::spool::Spool;
use crate::state::State;
use crate::{metrics, read, shutdown, upload};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a request's head.
const HEAD: usize = 64 << 10;
/// How often the server looks after itself.
const ROUND: Duration = Duration::from_secs(5);
/// How long a browser need not ask again whether it may.
const PREFLIGHT: Duration = Duration::from_secs(3600);

/// How to serve.
#[derive(Debug)]
pub struct Options {
    /// Address and port; port 0 for any.
    pub listen: String,
    /// Who may read and write what.
    pub tokens: Tokens,
    /// What to take on.
    pub limits: Limits,
    /// Folder for temporary files.
    pub spool: PathBuf,
    /// Threads that compress and decompress.
    pub threads: usize,
}

/// A server that listens.
pub struct Server {
    state: Arc<State>,
    listener: TcpListener,
}

impl Server {
    /// Listens. Requests are answered once it [runs](Self::run).
    ///
    /// # Errors
    /// An address or a folder that cannot be used.
    pub async fn bind(store: Store, options: Options) -> io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(io::Error::other)?;
        let listener = TcpListener::bind(&options.listen).await?;
        let spool = Spool::open(&options.spool)?;
        let state = Arc::new(State::new(store, options.tokens, options.limits, spool, pool));
        Ok(Self { state, listener })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then for as long as requests are under way, up to the limit.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { state, listener } = self;
        let service = router(state.clone());
        let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
        let slots = Arc::new(Semaphore::new(state.limits.connections.max(1)));
        let (mut stop, mut round) = (pin!(stop), tokio::time::interval(ROUND));
        loop {
            // One that ends makes room for one that waits.
            let accept = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => break,
                _ = round.tick() => look_after(&state),
                Some(_) = connections.join_next() => {}
                (slot, accepted) = accept => match accepted {
                    Ok((stream, _)) => {
                        let connection = graceful.watch(connection(&state.limits, stream, service.clone()));
                        connections.spawn(async move {
                            let _slot = slot;
                            // A client that goes away in the middle is no news.
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, "a connection ended");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listener);
        shutdown::finish(&state, graceful, connections).await;
    }
}

type Connection = hyper::server::conn::http1::Connection<
    TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>,
    TowerToHyperService<Router>,
>;

fn connection(limits: &Limits, stream: TcpStream, service: Router) -> Connection {
    // Ends of answers must not wait for an acknowledgement; where this fails, they do.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stall));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD);
    http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service))
}

fn look_after(state: &Arc<State>) {
    state.sessions.forget(state.limits.expiry);
    if let Some(recorder) = metrics::recorder() {
        recorder.run_upkeep();
    }
}

fn router(state: Arc<State>) -> Router {
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(show_metrics))
        .route("/api/models", get(read::models::list))
        .route("/api/models/{*name}", get(read::models::show))
        .route("/api/pull", post(read::pull::pull))
        .route("/models/{*path}", get(read::files::get))
        .route("/api/uploads", post(upload::plan::begin))
        .route("/api/uploads/{id}", axum::routing::delete(upload::give_up))
        .route("/api/uploads/{id}/files/{number}", put(upload::receive::put).head(upload::receive::head))
        .route("/api/uploads/{id}/publish", post(upload::publish::publish))
        .fallback(|| async { Failure::not_found("such address") })
        .method_not_allowed_fallback(|| async { Failure::new(Code::Method, "not a method of this address") });
    metrics::recorder();
    // The last is the outermost.
    routes
        .layer(middleware::from_fn_with_state(state.clone(), metrics::admit))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Failure::new(Code::Damaged, "a fault in the server: its log says more").into_response()
        }))
        .layer(cors())
        .layer(trace())
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .with_state(state)
}

async fn healthz(Shared(state): Shared<Arc<State>>) -> Result<&'static str, Failure> {
    state.store.ping().await?;
    Ok("ok")
}

async fn show_metrics() -> Response {
    let text = metrics::recorder().map(|recorder| recorder.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn cors() -> CorsLayer {
    let exposed = [
        header::ACCEPT_RANGES,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ETAG,
        header::RETRY_AFTER,
        upload::receive::UPLOAD_OFFSET,
        REQUEST_ID,
    ];
    let allowed = [
        header::AUTHORIZATION,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::RANGE,
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(allowed)
        .expose_headers(exposed)
        .max_age(PREFLIGHT)
}

type Trace = TraceLayer<
    tower_http::classify::SharedClassifier<tower_http::classify::ServerErrorsAsFailures>,
    fn(&Request) -> Span,
    (),
    fn(&Response, Duration, &Span),
    (),
    (),
    (),
>;

/// One line for each request, with its number, which the client has as well.
fn trace() -> Trace {
    fn span(request: &Request) -> Span {
        let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
    }
    fn answered(response: &Response, latency: Duration, _: &Span) {
        tracing::info!(status = response.status().as_u16(), ms = latency.as_millis() as u64, "answered");
    }
    TraceLayer::new_for_http()
        .make_span_with(span as fn(&Request) -> Span)
        .on_request(())
        .on_response(answered as fn(&Response, Duration, &Span))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}
