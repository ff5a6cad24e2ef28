//! Tests of limits, slow clients and the shutdown.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bitx::Effort;
use bitx_server::Limits;
use bitx_store::Source;
use serde_json::{Value, json};

use crate::support::{ALL, Hub, ORG, WRITER, announce, assert_failed, digest, limits, name};

const LARGE: &str = "/models/open/large/files/large.bin";
const LENGTH: usize = 80 << 20;

fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\n{more}\r\n")
}

/// Adds a file that is larger than the buffers of a socket.
async fn add_large(hub: &Hub) {
    std::fs::write(hub.models.path("large.bin"), vec![7; LENGTH]).unwrap();
    let source = Source { path: "large.bin".into(), file: hub.models.path("large.bin") };
    hub.store.add(&name("open/large"), &[source], Effort::Fast, &|_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_slow_bodies_and_idle_connections_time_out() {
    let hub = Hub::start().await;
    for request in ["GET /healthz HTT".to_owned(), String::new(), head("GET", "/healthz", "")] {
        let begun = Instant::now();
        let answer = hub.raw(request.clone()).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{request:?}");
        assert_eq!(answer.ends_with("ok"), request.ends_with("\r\n\r\n"), "{answer}");
    }
    for (path, more) in [("/api/uploads", "Content-Length: 100\r\n"), ("/api/pull", "Transfer-Encoding: chunked\r\n")] {
        let begun = Instant::now();
        let answer = hub.raw(head("POST", path, more) + "1").await;
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"timeout\""), "{answer}");
    }
    // A body that arrives steadily but too slowly times out as well.
    let hub = Hub::empty(Limits { body: Duration::from_secs(1), stall: Duration::from_secs(60), ..limits() }).await;
    let mut stream = TcpStream::connect(hub.address).unwrap();
    stream.write_all(head("POST", "/api/pull", "Content-Length: 1000\r\n").as_bytes()).unwrap();
    let dripping = tokio::task::spawn_blocking(move || {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    tokio::time::timeout(Duration::from_secs(20), dripping).await.unwrap().unwrap();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_disconnected_and_blocks_nobody() {
    let hub = Hub::empty(Limits { requests: 1, memory: 1 << 20, queue: Duration::from_secs(5), ..limits() }).await;
    add_large(&hub).await;
    let mut stuck = TcpStream::connect(hub.address).unwrap();
    stuck.write_all(head("GET", LARGE, "").as_bytes()).unwrap();
    let mut first = [0; 12];
    stuck.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let busy = hub.get("/api/models").send().await.unwrap();
    assert_eq!(busy.headers()["retry-after"], "2");
    assert_failed(busy, 503, "busy").await;
    assert_eq!(hub.get("/healthz").send().await.unwrap().status(), 200);
    let begun = Instant::now();
    while hub.get("/api/models").send().await.unwrap().status() != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A piece that is larger than the permitted memory is decoded alone.
    let whole = hub.get(LARGE).send().await.unwrap().bytes().await.unwrap();
    assert!(whole.len() == LENGTH && whole.iter().all(|&byte| byte == 7));
    let mut rest = Vec::new();
    let _ = stuck.read_to_end(&mut rest);
    assert!(rest.len() < LENGTH);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_limited_and_expire() {
    let stall = Duration::from_secs(60);
    let small = Limits { json: 20_000, file: 5000, spool: 8000, files: 2, tensors: 3, uploads: 3, stall, ..limits() };
    let hub = Hub::empty(Limits { expiry: Duration::from_millis(100), ..small }).await;
    let send = |body: Value| {
        let request = hub.post("/api/uploads", &body);
        async move { request.send().await.unwrap() }
    };
    let file = |path: &str, length: u64, tensors: usize| {
        let tensor = json!({ "name": "t", "dtype": "F32", "shape": [1], "length": 4, "blake3": digest(b"") });
        json!({ "path": path, "length": length, "blake3": digest(b""), "tensors": vec![tensor; tensors] })
    };
    let model = |files: Vec<Value>| json!({ "name": "org/new", "files": files });
    assert_failed(send(announce(&"x".repeat(30_000), "a", b"")).await, 413, "too-large").await;
    assert_failed(send(model(vec![file("a", 5001, 0)])).await, 413, "too-large").await;
    assert_failed(send(model(vec![file("a", 1, 0), file("b", 1, 0), file("c", 1, 0)])).await, 413, "too-large").await;
    assert_failed(send(model(vec![file("a", 100, 4)])).await, 413, "too-large").await;
    assert_failed(send(model(vec![])).await, 400, "invalid").await;
    assert_failed(send(json!({ "name": "org/new" })).await, 400, "invalid").await;
    let first = send(model(vec![file("a", 5000, 0)])).await.json::<Value>().await.unwrap();
    assert_failed(send(model(vec![file("a", 5000, 0)])).await, 503, "busy").await;
    assert_eq!(send(model(vec![file("a", 1, 0)])).await.status(), 201);
    assert_eq!(send(model(vec![file("a", 1, 0)])).await.status(), 201);
    assert_failed(send(model(vec![file("a", 1, 0)])).await, 503, "busy").await;
    // An upload without requests is discarded with its files.
    let path = format!("/api/uploads/{}/files/0?raw", first["id"].as_str().unwrap());
    assert_eq!(
        hub.put(&path, vec![0; 100]).header("content-range", "bytes 0-99/5000").send().await.unwrap().status(),
        202
    );
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_failed(hub.put(&path, Vec::new()).send().await.unwrap(), 404, "not-found").await;
    let own = std::fs::read_dir(hub.spool.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(own).unwrap().count(), 1, "only the lock remains");
    hub.stop().await;
}

/// A token that opens uploads without end, or for more space than there is, keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_the_token_that_holds_most_give_way() {
    let hub = Hub::empty(Limits { spool: 8000, uploads: 3, stall: Duration::from_secs(60), ..limits() }).await;
    let begin = async |token: &str, length: usize| {
        let announced = announce("org/new", "a", &vec![0; length]);
        hub.client.post(hub.url("/api/uploads")).bearer_auth(token).json(&announced).send().await.unwrap()
    };
    let id = async |answer: reqwest::Response| answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let offset = async |token: &str, id: &str| {
        let head = hub.client.head(hub.url(&format!("/api/uploads/{id}/files/0?raw"))).bearer_auth(token);
        head.send().await.unwrap().status().as_u16()
    };
    let mut greedy = Vec::new();
    for _ in 0..3 {
        greedy.push(id(begin(WRITER, 1).await).await);
    }
    assert_failed(begin(WRITER, 1).await, 503, "busy").await;
    let modest = id(begin(ORG, 1).await).await;
    assert_eq!((offset(WRITER, &greedy[0]).await, offset(WRITER, &greedy[1]).await), (404, 200));
    // Whoever holds as much gains no more room, whether of uploads or of bytes.
    assert_failed(begin(ORG, 1).await, 503, "busy").await;
    hub.client.delete(hub.url(&format!("/api/uploads/{}", greedy[1]))).bearer_auth(WRITER).send().await.unwrap();
    let large = id(begin(WRITER, 7000).await).await;
    hub.client.delete(hub.url(&format!("/api/uploads/{}", greedy[2]))).bearer_auth(WRITER).send().await.unwrap();
    assert_failed(begin(ORG, 7500).await, 503, "busy").await;
    assert_eq!(begin(ORG, 2000).await.status(), 201);
    assert_eq!((offset(WRITER, &large).await, offset(ORG, &modest).await), (404, 200));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_running_requests_finish() {
    let mut hub = Hub::empty(limits()).await;
    add_large(&hub).await;
    let id = hub.begin("open/new", b"bytes").await;
    let idle = TcpStream::connect(hub.address).unwrap();
    let mut reader = hub.get(LARGE).send().await.unwrap();
    let mut writer = TcpStream::connect(hub.address).unwrap();
    let path = format!("/api/uploads/{id}/files/0?raw");
    writer.write_all((head("PUT", &path, "Content-Length: 5\r\n") + "by").as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    hub.begin_to_stop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(hub.address).is_err(), "a new connection was accepted");
    writer.write_all(b"tes").unwrap();
    let mut answer = String::new();
    writer.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let mut length = 0;
    while let Some(part) = reader.chunk().await.unwrap() {
        length += part.len();
    }
    assert_eq!(length, LENGTH);
    hub.stop().await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_after_the_grace_period() {
    let mut hub =
        Hub::empty(Limits { grace: Duration::from_secs(1), stall: Duration::from_secs(60), ..limits() }).await;
    add_large(&hub).await;
    let reader = hub.get(LARGE).send().await.unwrap();
    let begun = Instant::now();
    hub.begin_to_stop();
    hub.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(reader.bytes().await.is_err(), "an answer that was cut off looks complete");
}
