//! A bucket of a real S3 server on a loopback address.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};

const BUCKET: &str = "models";
const KEY: &str = "a-key";
const SECRET: &str = "a-secret";

/// A bucket that is served for the lifetime of this value.
pub struct Bucket {
    address: SocketAddr,
    state: Arc<State>,
    _folder: tempfile::TempDir,
    _runtime: Runtime,
}

/// A runtime that can be dropped anywhere: it ends its threads without waiting for them.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct State {
    service: S3Service,
    /// Held during a write. The server checks if an object exists and then creates it, while S3
    /// does both in one step.
    puts: tokio::sync::Mutex<()>,
    /// The number of times that each object was written.
    written: Mutex<BTreeMap<String, u64>>,
    requests: AtomicU64,
}

impl Bucket {
    pub fn serve() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let (puts, written, requests) = Default::default();
        let state = Arc::new(State { service: builder.build(), puts, written, requests });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(listener, state.clone()));
        Self { address, state, _folder: folder, _runtime: Runtime(Some(runtime)) }
    }

    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/a/store")
    }

    /// The environment variables with which a process finds the bucket.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    pub fn storage(&self) -> Arc<dyn ObjectStore> {
        let builder = self.environment().into_iter().fold(AmazonS3Builder::new(), |builder, (name, value)| {
            builder.with_config(name.to_ascii_lowercase().parse().unwrap(), value)
        });
        let bucket = builder.with_bucket_name(BUCKET).build().unwrap();
        Arc::new(object_store::prefix::PrefixStore::new(bucket, "a/store"))
    }

    /// The number of requests since the last call.
    pub fn requests(&self) -> u64 {
        self.state.requests.swap(0, Ordering::SeqCst)
    }

    /// The number of times that each object was written.
    pub fn written(&self) -> BTreeMap<String, u64> {
        self.state.written.lock().unwrap().clone()
    }

    /// The keys of content-addressed objects that were written more than once.
    pub fn written_again(&self) -> Vec<String> {
        let again = self.written().into_iter().filter(|&(_, times)| times > 1).map(|(key, _)| key);
        let by_content = |key: &String| ["/pieces/", "/files/", "/sketches/"].iter().any(|kind| key.contains(kind));
        again.filter(by_content).collect()
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, state.clone()));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let answer = |request: Request<Incoming>| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    };
    // A killed client may leave its connection at any point.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> s3s::HttpResponse {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let put = (request.method() == Method::PUT).then(|| request.uri().path().to_owned());
        let _guard = match &put {
            Some(_) => Some(self.puts.lock().await),
            None => None,
        };
        let response = Service::call(&self.service, request).await.unwrap();
        if let Some(key) = put.filter(|_| response.status().is_success()) {
            *self.written.lock().unwrap().entry(key).or_default() += 1;
        }
        response
    }
}
