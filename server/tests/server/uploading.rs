//! Tests of uploads.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use bitx_server::Limits;
use bitx_store::Digest;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{ALL, Hub, announce, assert_failed, compress, digest, limits, name, status_and};

async fn publish(hub: &Hub, id: &str) -> reqwest::Response {
    hub.post(&format!("/api/uploads/{id}/publish"), &json!({})).send().await.unwrap()
}

async fn offset(hub: &Hub, path: &str) -> u64 {
    let head = hub.client.head(hub.url(path)).bearer_auth(ALL).send().await.unwrap();
    assert_eq!(head.status(), 200);
    head.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
}

async fn put(hub: &Hub, path: &str, range: &str, bytes: &[u8]) -> reqwest::Response {
    hub.put(path, bytes.to_vec()).header("content-range", range).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_is_decoded_checked_and_published() {
    let hub = Hub::start().await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("rl-bf16"));
    let announced = json!({ "name": "org/new", "files": [
        { "path": "model.safetensors", "length": tuned.len(), "blake3": digest(&tuned) },
        { "path": "base.safetensors", "length": base.len(), "blake3": digest(&base) },
        { "path": "docs/README.md", "length": 5, "blake3": digest(b"hello") },
        { "path": "empty", "length": 0, "blake3": digest(b"") },
    ]});
    let begun = hub.post("/api/uploads", &announced).send().await.unwrap();
    assert_eq!(begun.status(), 201);
    let begun: Value = begun.json().await.unwrap();
    let known: Vec<_> = begun["files"].as_array().unwrap().iter().map(|file| file["known"] == true).collect();
    assert_eq!(known, [false, true, false, false]);
    let id = begun["id"].as_str().unwrap();
    let file = |number: usize, query: &str| format!("/api/uploads/{id}/files/{number}{query}");
    assert_failed(publish(&hub, id).await, 409, "conflict").await;
    let by_base = file(0, &format!("?base={}", digest(&base)));
    assert_eq!(hub.put(&by_base, compress(Some(&base), &tuned)).send().await.unwrap().status(), 204);
    // A file that is complete can be sent again, and the bytes are ignored.
    assert_eq!(hub.put(&by_base, b"anything".to_vec()).send().await.unwrap().status(), 204);
    assert_eq!(hub.put(&file(2, ""), compress(None, b"hello")).send().await.unwrap().status(), 204);
    assert_eq!(hub.put(&file(3, "?raw"), Vec::new()).send().await.unwrap().status(), 204);
    let published = publish(&hub, id).await;
    assert_eq!(published.status(), 201);
    let published: Value = published.json().await.unwrap();
    assert_eq!((published["files"].as_u64(), published["unchanged"].as_bool()), (Some(4), Some(false)));
    // A client that has missed the answer can send the request again.
    assert_eq!(publish(&hub, id).await.json::<Value>().await.unwrap(), published);
    for (path, bytes) in
        [("model.safetensors", &tuned), ("base.safetensors", &base), ("docs/README.md", &b"hello".to_vec())]
    {
        let got = hub.get(&format!("/models/org/new/files/{path}")).send().await.unwrap();
        assert!(got.bytes().await.unwrap() == *bytes, "{path}");
    }
    assert_eq!(
        hub.client.delete(hub.url(&format!("/api/uploads/{id}"))).bearer_auth(ALL).send().await.unwrap().status(),
        204
    );
    assert_failed(publish(&hub, id).await, 404, "not-found").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_continues() {
    let hub = Hub::start().await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("rl-bf16"));
    let (archive, id) = (compress(Some(&base), &tuned), hub.begin("org/new", &tuned).await);
    let path = format!("/api/uploads/{id}/files/0?base={}", digest(&base));
    let total = archive.len();
    assert_eq!(offset(&hub, &path).await, 0);
    let first = put(&hub, &path, &format!("bytes 0-999/{total}"), &archive[..1000]).await;
    assert_eq!(status_and(&first, "upload-offset"), (202, "1000"));
    let gap = put(&hub, &path, &format!("bytes 2000-2999/{total}"), &archive[2000..3000]).await;
    assert_eq!(gap.headers()["upload-offset"], "1000");
    assert_failed(gap, 409, "conflict").await;
    assert_failed(put(&hub, &path, "bytes 1000-1999/5", &archive[1000..2000]).await, 400, "invalid").await;
    // The first connection breaks, and the second one hangs.
    for (hangs, end) in [(false, 2000), (true, 3000)] {
        let begun = offset(&hub, &path).await as usize;
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: {}\r\nContent-Range: bytes {begun}-{}/{total}\r\n\r\n",
            total - begun,
            total - 1,
        );
        let mut stream = TcpStream::connect(hub.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&archive[begun..end]).unwrap();
        while offset(&hub, &path).await < end as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !hangs {
            drop(stream);
            continue;
        }
        // A new request need not wait for the one that hangs, and may repeat bytes that have been
        // received.
        let rest = put(&hub, &path, &format!("bytes 2500-{}/{total}", total - 1), &archive[2500..]).await;
        assert_eq!(rest.status(), 204);
    }
    assert_eq!(offset(&hub, &path).await, total as u64);
    // A client that does not know the outcome can ask for it.
    assert_eq!(put(&hub, &path, &format!("bytes */{total}"), b"").await.status(), 204);
    assert_eq!(publish(&hub, &id).await.status(), 201);
    hub.models.check(&hub.store, "org/new", "rl-bf16").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_not_announced_are_refused() {
    let hub = Hub::start().await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("rl-bf16"));
    let archive = compress(Some(&base), &tuned);
    let id = hub.begin("org/new", &tuned).await;
    let by_base = format!("/api/uploads/{id}/files/0?base={}", digest(&base));
    let wrong_base = format!("/api/uploads/{id}/files/0?base={}", digest(&hub.bytes("sft-bf16")));
    let (raw, alone) = (format!("/api/uploads/{id}/files/0?raw"), format!("/api/uploads/{id}/files/0"));
    let mut flipped = archive.clone();
    flipped[archive.len() / 2] ^= 1;
    let mut other = tuned.clone();
    other[tuned.len() / 2] ^= 1;
    for (path, bytes) in [
        (&by_base, flipped),
        (&by_base, archive[..archive.len() - 1].to_vec()),
        (&by_base, b"no archive".to_vec()),
        (&by_base, Vec::new()),
        (&by_base, compress(Some(&base), &other)),
        (&by_base, compress(Some(&base), &hub.bytes("base-f32"))),
        (&wrong_base, archive.clone()),
        (&alone, archive.clone()),
        (&raw, other.clone()),
        (&raw, tuned[..1000].to_vec()),
    ] {
        assert_failed(hub.put(path, bytes).send().await.unwrap(), 422, "mismatch").await;
        assert_eq!(offset(&hub, path).await, 0);
        assert_failed(publish(&hub, &id).await, 409, "conflict").await;
    }
    assert_failed(hub.put(&by_base.replace("base=", "bass="), Vec::new()).send().await.unwrap(), 400, "invalid").await;
    // A file with the name of a model but not its format is kept as it is.
    let page = hub.begin("org/page", b"<!doctype html>").await;
    let path = format!("/api/uploads/{page}/files/0?raw");
    assert_eq!(hub.put(&path, b"<!doctype html>".to_vec()).send().await.unwrap().status(), 204);
    assert_eq!(publish(&hub, &page).await.status(), 201);
    assert!(hub.store.model(&name("org/new")).await.is_err());
    assert_eq!(hub.store.model(&name("org/page")).await.unwrap().files[0].id.digest, Digest::of(b"<!doctype html>"));
    // After all refusals, the right archive is still accepted.
    assert_eq!(hub.put(&by_base, archive).send().await.unwrap().status(), 204);
    assert_eq!(publish(&hub, &id).await.status(), 201);
    hub.models.check(&hub.store, "org/new", "rl-bf16").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_push_the_same_model_at_once() {
    let hub = Hub::start().await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("rl-bf16"));
    let archive = compress(Some(&base), &tuned);
    let push = |_| async {
        let id = hub.begin("org/same", &tuned).await;
        let path = format!("/api/uploads/{id}/files/0?base={}", digest(&base));
        assert_eq!(hub.put(&path, archive.clone()).send().await.unwrap().status(), 204);
        assert_eq!(publish(&hub, &id).await.status(), 201);
    };
    join_all((0..16).map(push)).await;
    hub.models.check(&hub.store, "org/same", "rl-bf16").await;
    let pieces = |objects: Vec<String>| objects.into_iter().filter(|object| object.contains("/pieces/")).count();
    let before = pieces(hub.objects());
    hub.models.add(&hub.store, "org/again", "rl-bf16").await;
    assert_eq!(pieces(hub.objects()), before, "nothing is stored twice");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_uploads_do_not_count_as_open() {
    let hub = Hub::empty(Limits { uploads: 1, ..limits() }).await;
    for round in 0..3 {
        let bytes = format!("round {round}");
        let announced = announce("org/new", "a.txt", bytes.as_bytes());
        let begun = hub.post("/api/uploads", &announced).send().await.unwrap().json::<Value>().await.unwrap();
        let id = begun["id"].as_str().unwrap();
        assert_eq!(
            hub.put(&format!("/api/uploads/{id}/files/0?raw"), bytes.into()).send().await.unwrap().status(),
            204
        );
        assert_eq!(publish(&hub, id).await.status(), 201);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_file_that_is_lost_must_be_uploaded() {
    let hub = Hub::start().await;
    let tuned = hub.bytes("sft-bf16");
    let begun = hub.post("/api/uploads", &announce("org/copy", "model.safetensors", &tuned)).send().await.unwrap();
    let begun: Value = begun.json().await.unwrap();
    assert_eq!(begun["files"][0]["known"], true);
    let file = hub.store.model(&name("org/tuned")).await.unwrap().files.remove(0);
    let hex = file.id.digest.to_string();
    std::fs::remove_dir_all(hub.root.path().join("files").join(&hex[..2]).join(&hex[2..])).unwrap();
    assert_failed(publish(&hub, begun["id"].as_str().unwrap()).await, 409, "conflict").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_contradict_themselves_are_refused() {
    let hub = Hub::start().await;
    let id = hub.begin("org/new", &[7; 1000]).await;
    let path = format!("/api/uploads/{id}/files/0?raw");
    let most = u64::MAX;
    let ends = [(0, most, most), (most, most, 1), (5, 1, 1000), (0, 999, 999), (0, 1999, 2000), (most, 0, most)];
    for (first, last, total) in ends {
        let range = format!("bytes {first}-{last}/{total}");
        assert_failed(put(&hub, &path, &range, &[7; 1000]).await, 400, "invalid").await;
    }
    assert_eq!(put(&hub, &path, "bytes 0-999/1000", &[7; 1000]).await.status(), 204);
    hub.stop().await;
}
