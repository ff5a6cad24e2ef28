//! The server: its connections, routes and middleware.

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
use crate::errors::{Code, Failure, shortened};
use crate::limits::Limits;
use crate::spool::Spool;
use crate::state::State;
use crate::{metrics, read, shutdown, upload};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The maximum length of a request's head, in bytes.
const HEAD: usize = 64 << 10;
/// The maximum length in bytes of an id that a request brings.
const LONGEST_ID: usize = 128;
/// The interval between rounds of upkeep.
const UPKEEP: Duration = Duration::from_secs(5);
/// The time for which browsers may cache the answer to a preflight request.
const PREFLIGHT: Duration = Duration::from_secs(3600);

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// The address and port to listen on. Port 0 picks a free one.
    pub listen: String,
    /// The tokens and their permissions.
    pub tokens: Tokens,
    /// The limits.
    pub limits: Limits,
    /// The folder for temporary files.
    pub spool: PathBuf,
    /// The number of threads that compress and decompress.
    pub threads: usize,
}

/// A server that listens on its address.
pub struct Server {
    state: Arc<State>,
    listener: TcpListener,
}

impl Server {
    /// Starts to listen. Requests are answered once the server [runs](Self::run).
    ///
    /// # Errors
    /// An address or a folder for temporary files that cannot be used.
    pub async fn bind(store: Store, options: Options) -> io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(io::Error::other)?;
        let listener = TcpListener::bind(&options.listen).await?;
        let spool = Spool::open(&options.spool)?;
        let state = Arc::new(State::new(store, options.tokens, options.limits, spool, pool));
        Ok(Self { state, listener })
    }

    /// The address that the server listens on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes. Running requests may then finish within the grace period of
    /// the limits.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { state, listener } = self;
        let service = router(state.clone());
        let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
        let slots = Arc::new(Semaphore::new(state.limits.connections.max(1)));
        let (mut stop, mut round) = (pin!(stop), tokio::time::interval(UPKEEP));
        loop {
            // At the limit, the next connection is accepted when another one has ended.
            let accept = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => break,
                _ = round.tick() => upkeep(&state),
                Some(_) = connections.join_next() => {}
                (slot, accepted) = accept => match accepted {
                    Ok((stream, _)) => {
                        let connection = graceful.watch(connection(&state.limits, stream, service.clone()));
                        connections.spawn(async move {
                            let _slot = slot;
                            // Clients that disconnect are normal, so this is logged only for
                            // debugging.
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, "a connection ended");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
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

/// Serves HTTP on an accepted connection.
fn connection(limits: &Limits, stream: TcpStream, service: Router) -> Connection {
    // Without this, the end of an answer may wait for an acknowledgement. A failure only makes
    // answers slower.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stall));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD);
    http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service))
}

/// Keeps up the open uploads, unless that is still going on, and lets the metrics recorder tidy up.
fn upkeep(state: &Arc<State>) {
    if let Ok(one) = state.upkeep.clone().try_lock_owned() {
        let state_of_task = state.clone();
        state.tasks.spawn(async move {
            upload::upkeep::round(&state_of_task).await;
            drop(one);
        });
    }
    if let Some(recorder) = metrics::recorder() {
        recorder.run_upkeep();
    }
}

fn router(state: Arc<State>) -> Router {
    let routes = Router::new()
        .route("/", get(about))
        .route("/healthz", get(healthz))
        .route("/metrics", get(show_metrics))
        .route("/api/models", get(read::models::list))
        .route("/api/models/{*name}", get(read::models::show))
        .route("/api/pull", post(read::pull::pull))
        .route("/models/{*path}", get(read::files::get))
        .route("/api/uploads", post(upload::plan::begin))
        .route("/api/uploads/{id}", axum::routing::delete(upload::cancel))
        .route("/api/uploads/{id}/files/{number}", put(upload::receive::put).head(upload::receive::head))
        .route("/api/uploads/{id}/publish", post(upload::publish::publish))
        .fallback(|| async { Failure::not_found("resource at this URL") })
        .method_not_allowed_fallback(|| async {
            Failure::new(Code::Method, "the resource at this URL does not support the method of the request")
        });
    metrics::recorder();
    // The last layer is the outermost.
    routes
        .layer(middleware::from_fn_with_state(state.clone(), metrics::admit))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Failure::new(Code::Damaged, "the server has a fault; its log has the details").into_response()
        }))
        .layer(cors())
        .layer(trace())
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(middleware::map_request(drop_long_id))
        .with_state(state)
}

/// Removes a request's own id if it is long, because the answer and each line of the log repeat it.
async fn drop_long_id(mut request: Request) -> Request {
    if request.headers().get(REQUEST_ID).is_some_and(|id| id.len() > LONGEST_ID) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

/// Says what the server is, to people who open its address.
async fn about() -> Response {
    const DOCUMENTATION: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/SERVER.md");
    let routes = ["/api/models", "/api/pull", "/api/uploads", "/models/NAME/files/PATH", "/healthz", "/metrics"];
    let about = serde_json::json!({
        "server": "bitx",
        "version": env!("CARGO_PKG_VERSION"),
        "routes": routes,
        "documentation": DOCUMENTATION,
    });
    axum::Json(about).into_response()
}

async fn healthz(Shared(state): Shared<Arc<State>>) -> Result<&'static str, Failure> {
    state.check_storage().await?;
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

/// Logs one line per request, with the id that the client also receives.
fn trace() -> Trace {
    fn span(request: &Request) -> Span {
        let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let (method, path) = (shortened(request.method().as_str()), shortened(request.uri().path()));
        tracing::info_span!("request", id, method, path)
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
