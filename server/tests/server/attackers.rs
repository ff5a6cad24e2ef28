//! A test of clients that pull and push while attackers of each kind are at work beside them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitx_server::Limits;
use futures::future::join_all;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::support::{ALL, Hub, WRITER, announce, compress, digest, restore};

const TUNED: &str = "/models/org/tuned/files/model.safetensors";

/// A crowd of clients and attackers, and how long they go on.
struct Crowd {
    hub: Hub,
    until: Instant,
    over: AtomicBool,
    done: AtomicU64,
}

impl Crowd {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Sends a request again as long as the server is busy. Any other failure ends the test.
    async fn insist(&self, request: impl Fn() -> RequestBuilder) -> Response {
        loop {
            let answer = request().send().await.unwrap();
            if answer.status() != 503 {
                return answer;
            }
            assert_eq!(answer.headers()["retry-after"], "2");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn pull(&self) {
        let (base, tuned) = (self.hub.bytes("base-bf16"), self.hub.bytes("sft-bf16"));
        let wanted = json!({ "name": "org/tuned", "have": [digest(&base)] });
        while self.goes_on() {
            let plan = self.insist(|| self.hub.post("/api/pull", &wanted)).await;
            let plan: Value = plan.json().await.unwrap();
            assert_eq!(plan["files"][0]["bases"][0]["have"], true, "{plan}");
            let delta = self.insist(|| self.hub.get(&format!("{TUNED}?base={}", digest(&base)))).await;
            let delta = delta.bytes().await.unwrap();
            assert!(block_in_place(|| restore(&base, &delta)) == tuned);
            let whole = self.insist(|| self.hub.get(TUNED)).await;
            assert!(whole.bytes().await.unwrap() == tuned);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn push(&self, number: usize) {
        let base = self.hub.bytes("base-bf16");
        let mut model = self.hub.bytes("rl-bf16");
        let mut round = 0u32;
        while self.goes_on() {
            // Each version differs in the last bytes of a tensor.
            let at = model.len() - 8;
            model[at..at + 4].copy_from_slice(&round.to_le_bytes());
            round += 1;
            let announced = announce(&format!("org/pushed-{number}"), "model.safetensors", &model);
            let begun = self.insist(|| self.hub.post("/api/uploads", &announced)).await;
            let id = begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
            let path = format!("/api/uploads/{id}/files/0?base={}", digest(&base));
            let archive = block_in_place(|| compress(Some(&base), &model));
            assert!(matches!(self.insist(|| self.hub.put(&path, archive.clone())).await.status().as_u16(), 204));
            let publish = format!("/api/uploads/{id}/publish");
            assert_eq!(self.insist(|| self.hub.post(&publish, &json!({}))).await.status(), 201);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what takes more than its share, and ignores the answers but for their size.
    async fn attack(&self, kind: usize) {
        let (long, base) = ("N".repeat(30_000), digest(&self.hub.bytes("stranger")));
        while self.goes_on() {
            let request = match kind {
                0 => self.hub.client.head(self.hub.url(&format!("{TUNED}?base={base}"))).bearer_auth(ALL),
                1 => self.hub.get(&format!("{TUNED}?base={base}")),
                2 => self.hub.get(&format!("/models/{long}/files/a")),
                3 => self.hub.client.request(long[..200].parse().unwrap(), self.hub.url("/api/models")),
                4 => self.hub.client.post(self.hub.url("/api/uploads")).bearer_auth(WRITER).json(&many_tensors()),
                5 => self.hub.post("/api/pull", &json!({ "name": long, "have": vec![digest(b""); 20_000] })),
                _ => {
                    self.lie().await;
                    continue;
                }
            };
            if let Ok(answer) = request.send().await
                && !answer.status().is_success()
            {
                assert!(answer.bytes().await.unwrap().len() < 4096);
            }
        }
    }

    /// Announces a file, sends another one, and goes away.
    async fn lie(&self) {
        let zeros = vec![0; 1 << 20];
        let begun = self.hub.post("/api/uploads", &announce("open/lie", "a", &vec![1; 1 << 20])).send().await.unwrap();
        let Some(id) = begun.json::<Value>().await.unwrap()["id"].as_str().map(str::to_owned) else { return };
        let path = format!("/api/uploads/{id}/files/0");
        if let Ok(answer) = self.hub.put(&path, compress(None, &zeros)).send().await {
            assert!(matches!(answer.status().as_u16(), 422 | 503));
        }
        let _ = self.hub.client.delete(self.hub.url(&format!("/api/uploads/{id}"))).bearer_auth(ALL).send().await;
    }
}

/// An announcement of many tensors.
fn many_tensors() -> Value {
    let tensor = |n: u32| json!({ "name": format!("t{n}"), "dtype": "F32", "shape": [1], "length": 0, "blake3": digest(&n.to_le_bytes()) });
    let mut announced = announce("org/many", "a.safetensors", b"x");
    announced["files"][0]["tensors"] = (0..2000).map(tensor).collect();
    announced
}

/// Opens connections that send a body slowly, or do not read what they ask for.
fn hold(address: SocketAddr, crowd: &Crowd) {
    let drip = "POST /api/pull HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{".to_string();
    let deaf = format!("GET {TUNED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\n\r\n").repeat(20);
    while !crowd.over.load(Ordering::Relaxed) {
        let open = |request: &String| -> std::io::Result<TcpStream> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_millis(1)))?;
            stream.write_all(request.as_bytes())?;
            Ok(stream)
        };
        let streams: Vec<_> = [&drip, &deaf].into_iter().cycle().take(16).map(open).collect();
        for mut stream in streams.into_iter().flatten() {
            let _ = stream.write_all(b" ").and_then(|()| stream.read(&mut [0; 1]));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lets clients and attackers work for some time, and checks what is left of the attacks.
async fn beside(pulling: usize, pushing: usize, time: Duration) {
    // The clients share the machine with the server: its times are those that it has by default.
    let hub = Hub::empty(Limits { spool: 1 << 30, archives: 1 << 30, ..Limits::default() }).await;
    hub.models.add(&hub.store, "open/base", "base-bf16").await;
    hub.models.add(&hub.store, "org/tuned", "sft-bf16").await;
    hub.models.add(&hub.store, "open/stranger", "stranger").await;
    let address = hub.address;
    let (over, done) = (AtomicBool::default(), AtomicU64::default());
    let crowd = Arc::new(Crowd { hub, until: Instant::now() + time, over, done });
    let holder = tokio::task::spawn_blocking({
        let crowd = crowd.clone();
        move || hold(address, &crowd)
    });
    let (pulls, pushes) = ((0..pulling).map(|_| crowd.pull()), (0..pushing).map(|number| crowd.push(number)));
    let attacks = (0..7).map(|kind| crowd.attack(kind));
    tokio::join!(join_all(pulls), join_all(pushes), join_all(attacks));
    crowd.over.store(true, Ordering::Relaxed);
    holder.await.unwrap();
    let crowd = Arc::into_inner(crowd).unwrap();
    assert!(crowd.done.into_inner() > 0);
    let kept = crowd.hub.objects().into_iter().filter(|object| object.ends_with(".bitx")).count();
    assert_eq!(kept, 1, "only the delta that was pulled is kept");
    let metrics = crowd.hub.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.len() < 1 << 17, "{}", metrics.len());
    crowd.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_served_beside_attackers() {
    beside(6, 2, Duration::from_secs(4)).await;
}

/// The full length: `cargo test --release -p bitx-server --test server -- --ignored ten_minutes`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn clients_are_served_beside_attackers_for_ten_minutes() {
    beside(64, 16, Duration::from_secs(600)).await;
}
