//! Tests of requests that would take more than their share: deltas that do not pay, answers that
//! grow with the request, requests that wait, and disks that fill.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bitx_server::Limits;
use bitx_store::GcOptions;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{ALL, Hub, announce, assert_failed, compress, digest, limits, name, restore, safetensors};

const TUNED: &str = "/models/org/tuned/files/model.safetensors";

/// The kept archives.
fn kept(hub: &Hub) -> Vec<String> {
    hub.objects().into_iter().filter(|object| object.ends_with(".bitx")).collect()
}

/// The temporary files of uploads.
fn spooled(hub: &Hub) -> Vec<String> {
    let mut found = Vec::new();
    crate::support::walk(hub.spool.path(), &mut found);
    found.retain(|path| !path.ends_with("lock"));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_made_only_against_bases_that_a_pull_names() {
    let hub = Hub::start().await;
    hub.models.add(&hub.store, "open/stranger", "stranger").await;
    for base in ["stranger", "sft-bf16"] {
        let delta = format!("{TUNED}?base={}", digest(&hub.bytes(base)));
        assert_failed(hub.get(&delta).send().await.unwrap(), 404, "not-found").await;
    }
    assert_eq!(kept(&hub), [""; 0]);
    // A request for no bytes makes nothing, but tells of an archive that is kept.
    let delta = format!("{TUNED}?base={}", digest(&hub.bytes("base-bf16")));
    let head = || async { hub.client.head(hub.url(&delta)).bearer_auth(ALL).send().await.unwrap() };
    let early = head().await;
    assert_eq!((early.status().as_u16(), early.headers().get("etag")), (200, None));
    assert_eq!(kept(&hub), [""; 0]);
    let got = hub.get(&delta).send().await.unwrap();
    assert_eq!(head().await.headers()["etag"], got.headers()["etag"]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_deltas_are_limited() {
    let hub = Hub::empty(Limits { archives: 0, ..limits() }).await;
    hub.models.add(&hub.store, "open/base", "base-bf16").await;
    hub.models.add(&hub.store, "org/tuned", "sft-bf16").await;
    hub.models.add(&hub.store, "org/other", "rl-bf16").await;
    let base = digest(&hub.bytes("base-bf16"));
    let delta = |model: &str| hub.get(&format!("/models/org/{model}/files/model.safetensors?base={base}"));
    for _ in 0..2 {
        assert_failed(delta("tuned").send().await.unwrap(), 404, "not-found").await;
    }
    assert_eq!(kept(&hub), [""; 0]);
    // With room for one archive, the older one gives way.
    let roomy = hub.second().await;
    let path = |model: &str| roomy.get(&format!("/models/org/{model}/files/model.safetensors?base={base}"));
    let mut lengths = Vec::new();
    for model in ["tuned", "other"] {
        lengths.push(path(model).send().await.unwrap().bytes().await.unwrap().len() as u64);
    }
    let one = Limits { archives: lengths[0].max(lengths[1]), ..limits() };
    for archive in kept(&roomy) {
        std::fs::remove_file(archive).unwrap();
    }
    let narrow = Hub::over(hub.models.clone(), hub.root.clone(), one).await;
    for model in ["tuned", "other", "tuned"] {
        let path = format!("/models/org/{model}/files/model.safetensors?base={base}");
        assert_eq!(narrow.get(&path).send().await.unwrap().status(), 200);
        assert_eq!(kept(&narrow).len(), 1);
        // The clock of another server is off.
        let archive = std::fs::File::options().write(true).open(&kept(&narrow)[0]).unwrap();
        archive.set_modified(std::time::SystemTime::now() + Duration::from_secs(1 << 30)).unwrap();
    }
    narrow.stop().await;
    roomy.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_kept_deltas_are_made_again() {
    let hub = Hub::start().await;
    let base = hub.bytes("base-bf16");
    let delta = format!("{TUNED}?base={}", digest(&base));
    let good = hub.get(&delta).send().await.unwrap();
    let (tag, good) = (good.headers()["etag"].clone(), good.bytes().await.unwrap());
    let path = kept(&hub).remove(0);
    let mut flipped = good.to_vec();
    flipped[40] ^= 1;
    for bad in [b"15 bytes of junk".to_vec(), Vec::new(), good[..good.len() - 1].to_vec(), flipped] {
        std::fs::write(&path, &bad).unwrap();
        // A server that has not seen the archive whole reads it first.
        let other = hub.second().await;
        let served = other.get(&delta).send().await.unwrap();
        assert_eq!((served.status().as_u16(), &served.headers()["etag"]), (200, &tag));
        assert_eq!(restore(&base, &served.bytes().await.unwrap()), hub.bytes("sft-bf16"));
        other.stop().await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_mistakes_are_small() {
    let hub = Hub::start().await;
    let long = "N".repeat(50_000);
    let get = |path: String| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nConnection: close\r\n")
    };
    let requests = [
        get(format!("/models/org/tuned/files/{long}")),
        get(format!("/models/org/tuned/tensors/{long}?file=model.safetensors")),
        get(format!("/models/org/tuned/tensors/t?file={long}")),
        get(format!("{TUNED}?base={long}")),
        get(format!("/models/{long}/files/a")),
        get(format!("/api/models/{long}")),
        get(format!("/{long}")),
        get("/api/models".into()) + &format!("X-Request-Id: {long}\r\n"),
        get("/api/models".into()).replace("GET", &long),
        get("/api/models".into()).replace(ALL, &long),
        get(TUNED.into()) + &format!("Range: bytes={long}-5000000000\r\n") + "If-None-Match: \"" + &long + "\"\r\n",
    ];
    for request in requests {
        let answer = hub.raw(request.clone() + "\r\n").await;
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(answer.len() - body.len() < 4096, "{}", &request[..40]);
        assert!(body.len() < 4096 || answer.starts_with("HTTP/1.1 200"), "{}", &request[..40]);
    }
    let long = "Z".repeat(900_000);
    for body in [json!({ "name": long }), json!({ "name": "org/x", "have": [long] }), json!([long])] {
        let answer = assert_failed(hub.post("/api/pull", &body).send().await.unwrap(), 400, "invalid").await;
        assert!(answer.to_string().len() < 4096);
    }
    let mut many = announce("org/new", &long, b"x");
    many["files"] = json!([many["files"][0], many["files"][0]]);
    let answer = hub.post("/api/uploads", &many).send().await.unwrap();
    assert!(answer.status() == 400 && answer.bytes().await.unwrap().len() < 4096);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_bodies_are_small_and_quick() {
    let few = Limits { json_time: Duration::from_secs(2), json_total: 400_000, ..limits() };
    let hub = Hub::empty(Limits { stall: Duration::from_secs(60), ..few }).await;
    let digests = vec![digest(b""); 20_000];
    let large = hub.post("/api/pull", &json!({ "name": "org/x", "have": digests })).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413));
    // All bodies together have a limit, which those that are still received take part in.
    let held = |_| {
        let mut stream = TcpStream::connect(hub.address).unwrap();
        let head = format!(
            "POST /api/pull HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 300000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; 190_000]).unwrap();
        stream
    };
    let streams: Vec<TcpStream> = (0..2).map(held).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let third = hub.post("/api/pull", &json!({ "name": "org/x", "have": digests[..1000] })).send().await.unwrap();
    assert_failed(third, 503, "busy").await;
    // They end although they never stall for long.
    for mut stream in streams {
        let mut answer = String::new();
        let read = tokio::task::spawn_blocking(move || stream.read_to_string(&mut answer).map(|_| answer));
        assert!(read.await.unwrap().unwrap().starts_with("HTTP/1.1 408"));
    }
    let after = hub.post("/api/pull", &json!({ "name": "org/x", "have": digests[..1000] })).send().await.unwrap();
    assert_failed(after, 404, "not-found").await;
    let mut deep = announce("org/x", "a", b"");
    deep["files"][0]["tensors"] =
        json!([{ "name": "t", "dtype": "F32", "shape": vec![1; 65], "length": 0, "blake3": digest(b"") }]);
    assert_failed(hub.post("/api/uploads", &deep).send().await.unwrap(), 400, "invalid").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_too_slow() {
    let hub = Hub::empty(Limits { rate: 1000, ..limits() }).await;
    let id = hub.begin("org/slow", &[0; 100_000]).await;
    let mut stream = TcpStream::connect(hub.address).unwrap();
    let path = format!("/api/uploads/{id}/files/0?raw");
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 100000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let dripping = tokio::task::spawn_blocking(move || {
        while stream.write_all(&[0; 10]).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = [0; 12];
        reader.read_exact(&mut answer).map(|()| answer)
    });
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    dripping.await.unwrap();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_extension_can_be_uploaded() {
    let hub = Hub::empty(limits()).await;
    let names = ["a.part", "0", "1.file", "b.part", "c.0", "d.ext"];
    let file = |path: &str| json!({ "path": path, "length": path.len(), "blake3": digest(path.as_bytes()) });
    let begun = hub.post("/api/uploads", &json!({ "name": "org/new", "files": names.map(file) }));
    let begun: Value = begun.send().await.unwrap().json().await.unwrap();
    let path = |rest: &str| format!("/api/uploads/{}/{rest}", begun["id"].as_str().unwrap());
    for (number, name) in names.iter().enumerate() {
        let raw = number % 2 == 0;
        let body = if raw { name.as_bytes().to_vec() } else { compress(None, name.as_bytes()) };
        let put = hub.put(&path(&format!("files/{number}{}", if raw { "?raw" } else { "" })), body);
        assert_eq!(put.send().await.unwrap().status(), 204, "{name}");
    }
    assert_eq!(hub.post(&path("publish"), &json!({})).send().await.unwrap().status(), 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_leave_nothing_and_count_nothing() {
    let hub = Hub::empty(Limits { spool: 3 << 20, ..limits() }).await;
    let (announced, sent) = (vec![1; 1 << 20], vec![0; 1 << 20]);
    let id = hub.begin("org/new", &announced).await;
    let (raw, archive) = (format!("/api/uploads/{id}/files/0?raw"), format!("/api/uploads/{id}/files/0"));
    for _ in 0..4 {
        assert_failed(hub.put(&archive, compress(None, &sent)).send().await.unwrap(), 422, "mismatch").await;
        assert_failed(hub.put(&raw, sent.clone()).send().await.unwrap(), 422, "mismatch").await;
        assert_eq!(spooled(&hub), [""; 0]);
    }
    // The bytes of an archive take space as well, even if they are more than those of its file.
    let file = json!({ "path": "empty", "length": 0, "blake3": digest(b"") });
    let files: Vec<Value> = (0..4)
        .map(|n| {
            let mut file = file.clone();
            file["path"] = json!(format!("empty-{n}"));
            file
        })
        .collect();
    let begun = hub.post("/api/uploads", &json!({ "name": "org/empty", "files": files })).send().await.unwrap();
    let id = begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let put = |number: usize| {
        let put = hub.put(&format!("/api/uploads/{id}/files/{number}"), vec![0; 900 << 10]);
        put.header("content-range", format!("bytes 0-{}/{}", (900 << 10) - 1, 1 << 20)).send()
    };
    let statuses = [put(0).await, put(1).await, put(2).await].map(|answer| answer.unwrap().status().as_u16());
    assert_eq!(statuses, [202, 202, 503]);
    let gone = hub.client.delete(hub.url(&format!("/api/uploads/{id}"))).bearer_auth(ALL).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let begun = hub.post("/api/uploads", &announce("org/next", "a", &vec![3; 2 << 20])).send().await.unwrap();
    assert_eq!(begun.status(), 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_delta_takes_space() {
    let hub = Hub::empty(Limits { spool: 1000, ..limits() }).await;
    hub.models.add(&hub.store, "open/base", "base-bf16").await;
    hub.models.add(&hub.store, "org/tuned", "sft-bf16").await;
    let delta = format!("{TUNED}?base={}", digest(&hub.bytes("base-bf16")));
    assert_failed(hub.get(&delta).send().await.unwrap(), 503, "busy").await;
    assert_eq!(hub.get(TUNED).send().await.unwrap().status(), 200);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_that_were_not_announced_count() {
    let hub = Hub::empty(Limits { tensors: 5, ..limits() }).await;
    let names: Vec<String> = (0..6).map(|n| format!("t{n}")).collect();
    let model = |count: usize| {
        let tensors: Vec<(&str, &str, &[u64], &[u8])> =
            names[..count].iter().map(|name| (name.as_str(), "U8", &[1][..], &b"x"[..])).collect();
        safetensors(&tensors)
    };
    let (three, two, six) = (model(3), model(2), model(6));
    for (raw, query) in [(six.clone(), "?raw"), (compress(None, &six), "")] {
        let id = hub.begin("org/many", &six).await;
        let put = hub.put(&format!("/api/uploads/{id}/files/0{query}"), raw).send().await.unwrap();
        assert_failed(put, 413, "too-large").await;
        assert_eq!(spooled(&hub), [""; 0]);
    }
    let file = |path: &str, bytes: &[u8]| json!({ "path": path, "length": bytes.len(), "blake3": digest(bytes) });
    let files = [file("a.safetensors", &three), file("b.safetensors", &two), file("c.safetensors", &three)];
    let begun = hub.post("/api/uploads", &json!({ "name": "org/new", "files": files })).send().await.unwrap();
    let id = begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    for (number, (bytes, status)) in [(&three, 204), (&two, 204), (&three, 413)].into_iter().enumerate() {
        let put = hub.put(&format!("/api/uploads/{id}/files/{number}?raw"), bytes.clone()).send().await.unwrap();
        assert_eq!(put.status(), status, "{number}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_one_file_give_way() {
    let hub = Hub::empty(Limits { requests: 12, stall: Duration::from_secs(30), ..limits() }).await;
    let bytes = vec![5; 1000];
    let id = hub.begin("open/new", &bytes).await;
    // Each request ends the one before it, so that they do not add up.
    let send = |_| {
        let mut stream = TcpStream::connect(hub.address).unwrap();
        let head = format!(
            "PUT /api/uploads/{id}/files/0?raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 1000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut held = Vec::new();
    for number in 0..30 {
        held.push(send(number));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(hub.get("/api/models").send().await.unwrap().status(), 200);
    let put = hub.put(&format!("/api/uploads/{id}/files/0?raw"), bytes).send().await.unwrap();
    assert_eq!(put.status(), 204);
    drop(held);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_no_bytes_are_no_range() {
    let hub = Hub::start().await;
    for range in ["bytes=-0", "bytes=-000", "bytes= -0"] {
        let answer = hub.get(TUNED).header("range", range).send().await.unwrap();
        assert!(answer.headers()["content-range"].to_str().unwrap().starts_with("bytes */"));
        assert_failed(answer, 416, "range").await;
    }
    let about = hub.client.get(hub.url("/")).send().await.unwrap();
    assert_eq!(about.status(), 200);
    assert_eq!(about.json::<Value>().await.unwrap()["server"], "bitx");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_go_while_they_are_read_are_not_found() {
    let hub = Hub::start().await;
    let options = GcOptions { grace: Duration::ZERO, dry_run: false };
    for _ in 0..3 {
        let reads = (0..24).map(|_| async {
            let mut statuses = Vec::new();
            for _ in 0..6 {
                statuses.push(hub.get(TUNED).send().await.unwrap().status().as_u16());
            }
            statuses
        });
        let remove = async {
            hub.store.remove(&name("org/tuned")).await.unwrap();
            hub.store.collect(&options).await.unwrap();
            hub.store.collect(&options).await.unwrap();
        };
        let (statuses, ()) = tokio::join!(join_all(reads), remove);
        assert!(statuses.iter().flatten().all(|status| matches!(status, 200 | 404)), "{statuses:?}");
        hub.models.add(&hub.store, "org/tuned", "sft-bf16").await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_is_an_error_of_these_requests_only() {
    let hub = Hub::start().await;
    let id = hub.begin("org/new", b"bytes").await;
    let own = std::fs::read_dir(hub.spool.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(own).unwrap();
    let delta = hub.get(&format!("{TUNED}?base={}", digest(&hub.bytes("base-bf16"))));
    let begin = hub.post("/api/uploads", &announce("org/new", "a", b"x"));
    let put = hub.put(&format!("/api/uploads/{id}/files/0?raw"), b"bytes".to_vec());
    for request in [delta, begin, put] {
        let told = assert_failed(request.send().await.unwrap(), 503, "storage").await.to_string();
        assert!(!told.contains("bitx-serve-"), "{told}");
    }
    assert_eq!(hub.get(TUNED).send().await.unwrap().status(), 200);
    assert_eq!(hub.get("/healthz").send().await.unwrap().status(), 200);
    hub.stop().await;
}
