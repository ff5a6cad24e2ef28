//! Support for the tests: a server over a store of small models, on a free port.

#[path = "../../../store/tests/store/support/blocks.rs"]
#[allow(dead_code)] // the tests of the store use the rest
mod blocks;
#[path = "../../../tests/common/mod.rs"]
mod common;
#[path = "../../../store/tests/store/support/models.rs"]
mod models;
#[path = "../../../store/tests/store/support/packings.rs"]
#[allow(dead_code)]
mod packings;
#[path = "../../../store/tests/store/support/weights.rs"]
#[allow(dead_code)]
mod weights;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitx::drive::{self, Sources};
use bitx::parallel::Sequential;
use bitx::{Compress, Format};
use bitx_server::{Limits, Options, Server, Tokens};
use bitx_store::{Digest, Store};
pub use common::model as safetensors;
pub use models::{Models, name};
pub use packings::{PACKINGS, packed};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
pub use weights::{Random, Weights};

/// A token that may read and write everything.
pub const ALL: &str = "all-token";
/// A token that may read `org` and `open`, and write `org`.
pub const ORG: &str = "org-token";
/// A token that may read `org`.
pub const READER: &str = "reader-token";
/// A token that may write `org` and read nothing.
pub const WRITER: &str = "writer-token";

/// The tokens of the server. Models in `open` may be read without one.
pub fn tokens() -> Tokens {
    let entry = |token: &str, read: &[&str], write: &[&str]| json!({ "blake3": Digest::of(token.as_bytes()), "name": token, "read": read, "write": write });
    let entries = json!([
        { "read": ["open/*"] },
        entry(ALL, &["*"], &["*"]),
        entry(ORG, &["org/*", "open/*"], &["org/*"]),
        entry(READER, &["org/*"], &[]),
        entry(WRITER, &[], &["org/*"]),
    ]);
    Tokens::parse(entries.to_string().as_bytes()).unwrap()
}

/// Limits with short timeouts, so that tests do not take long.
pub fn limits() -> Limits {
    let seconds = Duration::from_secs;
    Limits { head: seconds(1), stall: seconds(1), grace: seconds(20), ..Limits::default() }
}

/// A running server with its store, and a client for requests to it.
pub struct Hub {
    pub models: Arc<Models>,
    pub root: Arc<tempfile::TempDir>,
    pub spool: tempfile::TempDir,
    pub store: Store,
    pub address: SocketAddr,
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Hub {
    /// Starts a server whose store has the base `open/base` and its fine-tune `org/tuned`.
    pub async fn start() -> Self {
        let hub = Self::empty(limits()).await;
        hub.models.add(&hub.store, "open/base", "base-bf16").await;
        hub.models.add(&hub.store, "org/tuned", "sft-bf16").await;
        hub
    }

    /// Starts a server with an empty store.
    pub async fn empty(limits: Limits) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self::over(Arc::new(Models::new()), Arc::new(root), limits).await
    }

    /// Starts another server over the same store.
    pub async fn second(&self) -> Self {
        Self::over(self.models.clone(), self.root.clone(), limits()).await
    }

    pub async fn over(models: Arc<Models>, root: Arc<tempfile::TempDir>, limits: Limits) -> Self {
        let store = Store::open(root.path().to_str().unwrap(), 2).await.unwrap();
        Self::of(models, root, store, limits).await
    }

    /// Starts a server over `store`, which is in `root`.
    pub async fn of(models: Arc<Models>, root: Arc<tempfile::TempDir>, store: Store, limits: Limits) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let options = Options {
            listen: "127.0.0.1:0".into(),
            tokens: tokens(),
            limits,
            spool: spool.path().to_owned(),
            threads: 2,
        };
        let server = Server::bind(store.clone(), options).await.unwrap();
        // The server ends idle connections so early that they are not worth keeping.
        let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let (address, (stop, stopped)) = (server.address().unwrap(), oneshot::channel());
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { models, root, spool, store, address, client, stop: Some(stop), running }
    }

    /// Stops the server as a signal does, waits for its end, and asserts that no temporary files
    /// remain.
    pub async fn stop(mut self) {
        self.begin_to_stop();
        self.running.await.unwrap();
        let left: Vec<_> = std::fs::read_dir(self.spool.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    pub fn begin_to_stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(ALL)
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(ALL).json(body)
    }

    pub fn put(&self, path: &str, body: Vec<u8>) -> RequestBuilder {
        self.client.put(self.url(path)).bearer_auth(ALL).body(body)
    }

    pub fn bytes(&self, model: &str) -> Vec<u8> {
        std::fs::read(self.models.path(model)).unwrap()
    }

    /// Begins an upload of one file, and returns its id.
    pub async fn begin(&self, name: &str, bytes: &[u8]) -> String {
        let begun = self.post("/api/uploads", &announce(name, "model.safetensors", bytes)).send().await.unwrap();
        assert_eq!(begun.status(), 201);
        begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Sends the bytes of a request, and returns everything that the server sends until the
    /// connection ends.
    pub async fn raw(&self, request: impl Into<Vec<u8>>) -> String {
        let (address, request) = (self.address, request.into());
        let talk = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(&request).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }

    /// The paths of all objects in the store.
    pub fn objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.root.path(), &mut found);
        found
    }
}

pub fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
}

pub fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// The announcement of a model of one file.
pub fn announce(name: &str, path: &str, bytes: &[u8]) -> Value {
    json!({ "name": name, "files": [{ "path": path, "length": bytes.len(), "blake3": digest(bytes) }] })
}

/// Asserts the status and the code of a failed request, and returns its body.
pub async fn assert_failed(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status, "{:?}", response.headers());
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], code, "{body}");
    assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    body
}

pub fn compress(base: Option<&[u8]>, target: &[u8]) -> Vec<u8> {
    let lengths: Vec<u64> = base.iter().map(|base| base.len() as u64).collect();
    let mut job = Compress::new(&lengths, target.len() as u64, Format::default()).unwrap().job();
    let base: Vec<&dyn bitx::io::ReadAt> = base.iter().map(|b| b as &dyn bitx::io::ReadAt).collect();
    let sources = Sources { base: &base, target: Some(&target), ..Sources::default() };
    let mut archive = Vec::new();
    drive::open(&mut job, &sources).unwrap();
    drive::drive(&mut job, &sources, &Sequential, &mut archive, &mut |_| {}).unwrap();
    archive
}

pub fn restore(base: &[u8], archive: &[u8]) -> Vec<u8> {
    common::restore(base, archive).unwrap()
}

/// The status of a response, and one of its headers as text.
pub fn status_and<'a>(response: &'a Response, header: &str) -> (u16, &'a str) {
    let value = response.headers().get(header).map(|value| value.to_str().unwrap());
    (response.status().as_u16(), value.unwrap_or_default())
}
