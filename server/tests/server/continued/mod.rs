//! Tests of uploads that several servers over one store continue: each request may reach another
//! one.

mod damage;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bitx_server::Limits;
use bitx_store::{Digest, GcOptions, VerifyDepth};
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{ALL, Hub, ORG, WRITER, announce, assert_failed, compress, digest, limits, name, safetensors};

/// Collects without patience for silent writers.
const AT_ONCE: GcOptions = GcOptions { grace: Duration::ZERO, dry_run: false };

fn file(id: &str, query: &str) -> String {
    format!("/api/uploads/{id}/files/0{query}")
}

async fn put(hub: &Hub, path: &str, bytes: &[u8], range: std::ops::Range<usize>) -> Response {
    let stated = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
    hub.put(path, bytes[range].to_vec()).header("content-range", stated).send().await.unwrap()
}

async fn offset(hub: &Hub, path: &str) -> usize {
    let head = hub.client.head(hub.url(path)).bearer_auth(ALL).send().await.unwrap();
    assert_eq!(head.status(), 200);
    head.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
}

async fn publish(hub: &Hub, id: &str) -> Response {
    hub.post(&format!("/api/uploads/{id}/publish"), &json!({})).send().await.unwrap()
}

/// The objects of uploads whose paths have this text.
fn stored(hub: &Hub, text: &str) -> Vec<PathBuf> {
    let objects = hub.objects().into_iter().filter(|path| path.contains("/uploads/") && path.contains(text));
    objects.map(PathBuf::from).collect()
}

fn set_time(path: &PathBuf, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Waits until the condition holds, for as long as a few rounds of upkeep take.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_file_go_to_different_servers() {
    let first = Hub::start().await;
    let second = first.second().await;
    let (base, tuned) = (first.bytes("base-bf16"), first.bytes("rl-bf16"));
    let archive = compress(Some(&base), &tuned);
    let id = first.begin("org/new", &tuned).await;
    let path = file(&id, &format!("?base={}", digest(&base)));
    let (mut at, step) = (0, archive.len() / 5 + 1);
    for turn in 0.. {
        let [now, next] = if turn % 2 == 0 { [&first, &second] } else { [&second, &first] };
        assert_eq!((offset(now, &path).await, offset(next, &path).await), (at, at));
        let end = (at + step).min(archive.len());
        let last = end == archive.len();
        assert_eq!(put(now, &path, &archive, at..end).await.status(), if last { 204 } else { 202 });
        at = end;
        if last {
            break;
        }
    }
    // A server that was not asked before restores the file once more, and publishes it.
    let third = first.second().await;
    let published: Value = publish(&third, &id).await.json().await.unwrap();
    assert_eq!(published, json!({ "name": "org/new", "files": 1, "bytes": tuned.len(), "unchanged": false }));
    for hub in [&first, &second, &third] {
        let again = publish(hub, &id).await;
        assert_eq!((again.status().as_u16(), again.json::<Value>().await.unwrap()), (201, published.clone()));
        // Bytes that come too late are taken and dropped.
        assert_eq!(put(hub, &path, &archive, 0..archive.len()).await.status(), 204);
    }
    assert_eq!(stored(&first, "/parts/"), [] as [PathBuf; 0]);
    first.models.check(&first.store, "org/new", "rl-bf16").await;
    // The answer is kept for a minute by the clock of the storage.
    for object in stored(&first, &id) {
        set_time(&object, SystemTime::now() - Duration::from_secs(61));
    }
    eventually(async || stored(&first, &id).is_empty()).await;
    assert_failed(publish(&second, &id).await, 404, "not-found").await;
    for hub in [first, second, third] {
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_any_size_that_overlap_and_are_sent_twice_do_no_harm() {
    let first = Hub::empty(limits()).await;
    let second = first.second().await;
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    let id = first.begin("org/new", &bytes).await;
    let path = file(&id, "?raw");
    let cuts = [(0..7_000_000, 0..9_000_000), (6_000_000..15_000_000, 1..12_000_000)];
    for (one, other) in cuts {
        let answers = tokio::join!(put(&first, &path, &bytes, one), put(&second, &path, &bytes, other));
        // Whichever comes first, the bytes that either brings are there.
        assert!([answers.0.status().as_u16(), answers.1.status().as_u16()].contains(&202));
    }
    assert_eq!((offset(&first, &path).await, offset(&second, &path).await), (15_000_000, 15_000_000));
    let ends = tokio::join!(put(&first, &path, &bytes, 9..20_000_000), put(&second, &path, &bytes, 9..20_000_000));
    assert_eq!((ends.0.status().as_u16(), ends.1.status().as_u16()), (204, 204));
    let answers = tokio::join!(publish(&first, &id), publish(&second, &id));
    assert_eq!((answers.0.status().as_u16(), answers.1.status().as_u16()), (201, 201));
    assert_eq!(answers.0.json::<Value>().await.unwrap(), answers.1.json::<Value>().await.unwrap());
    let got = second.get("/models/org/new/files/model.safetensors").send().await.unwrap();
    assert!(got.bytes().await.unwrap() == bytes);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_sent_twice_takes_the_room_of_one() {
    let first = Hub::empty(limits()).await;
    let second = first.second().await;
    let bytes = vec![7; 100_000];
    let id = first.begin("org/new", &bytes).await;
    let path = file(&id, "?raw");
    let kept = || stored(&first, "/parts/").iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    for end in [60_000, 50_000, 60_000, 40_000] {
        for hub in [&first, &second] {
            assert_eq!(put(hub, &path, &bytes, 0..end).await.status(), 202);
            assert_eq!(kept(), 60_000);
        }
    }
    // Another total length, or another form, begins the file anew.
    assert_eq!(put(&second, &path, &bytes[..99_999], 0..10).await.status(), 202);
    assert_eq!(kept(), 10);
    assert_eq!(put(&first, &file(&id, ""), &bytes[..99_998], 0..20).await.status(), 202);
    assert_eq!(kept(), 20);
    let gap = put(&second, &path, &bytes, 10..20).await;
    assert_eq!(gap.headers()["upload-offset"], "0");
    assert_failed(gap, 409, "conflict").await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_ids_and_those_of_other_tokens_are_not_found() {
    let first = Hub::empty(limits()).await;
    let second = first.second().await;
    let id = first.begin("org/new", b"bytes").await;
    for hub in [&first, &second] {
        for forged in
            ["00000000-0000-4000-8000-000000000000", "..%2f..%2fformat.json", "%2e%2e", "x", "open", &format!("{id}0")]
        {
            for query in ["", "?raw"] {
                let sent = hub.put(&file(forged, query), b"bytes".to_vec()).send().await.unwrap();
                assert!(matches!(sent.status().as_u16(), 400 | 404), "{forged}: {}", sent.status());
            }
            assert!(matches!(publish(hub, forged).await.status().as_u16(), 400 | 404));
        }
        for token in [ORG, WRITER] {
            let sent = hub.client.put(hub.url(&file(&id, "?raw"))).bearer_auth(token).body("bytes").send();
            assert_failed(sent.await.unwrap(), 404, "not-found").await;
            let cancelled = hub.client.delete(hub.url(&format!("/api/uploads/{id}"))).bearer_auth(token).send();
            assert_failed(cancelled.await.unwrap(), 404, "not-found").await;
        }
    }
    assert_eq!(put(&second, &file(&id, "?raw"), b"bytes", 0..5).await.status(), 204);
    // An upload that is cancelled at one server is gone at the others.
    let cancelled = second.client.delete(second.url(&format!("/api/uploads/{id}"))).bearer_auth(ALL).send();
    assert_eq!(cancelled.await.unwrap().status(), 204);
    assert_failed(put(&first, &file(&id, "?raw"), b"bytes", 0..5).await, 404, "not-found").await;
    assert_failed(publish(&first, &id).await, 404, "not-found").await;
    assert_eq!(stored(&first, ""), [] as [PathBuf; 0]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_be_sent_in_so_many_parts_only() {
    let hub = Hub::empty(limits()).await;
    let bytes = vec![9; 20_000];
    let id = hub.begin("org/new", &bytes).await;
    let place = hub.root.path().join(format!("uploads/parts/{id}/0/raw.20000"));
    fs::create_dir_all(&place).unwrap();
    let byte = digest(&[9]);
    let part = |at: usize| fs::write(place.join(format!("{at}.{}.{byte}", at + 1)), [9]).unwrap();
    (0..10_000).for_each(part);
    let path = file(&id, "?raw");
    assert_eq!(put(&hub, &path, &bytes, 10_000..10_001).await.status(), 202);
    assert_failed(put(&hub, &path, &bytes, 10_001..20_000).await, 413, "too-large").await;
    // In another form, the file begins anew.
    let archive = compress(None, &bytes);
    assert_eq!(put(&hub, &file(&id, ""), &archive, 0..archive.len()).await.status(), 204);
    assert_eq!(publish(&hub, &id).await.status(), 201);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_for_uploads_is_that_of_all_servers() {
    let few = Limits { spool: 8000, uploads: 3, stall: Duration::from_secs(60), ..limits() };
    let first = Hub::empty(few.clone()).await;
    let second = Hub::over(first.models.clone(), first.root.clone(), few).await;
    let begin = async |hub: &Hub, token: &str, length: usize| {
        let announced = announce("org/new", "a", &vec![0; length]);
        hub.client.post(hub.url("/api/uploads")).bearer_auth(token).json(&announced).send().await.unwrap()
    };
    let id = async |answer: Response| answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let status = async |hub: &Hub, token: &str, id: &str| {
        hub.client.head(hub.url(&file(id, "?raw"))).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    let mut greedy = Vec::new();
    for hub in [&first, &first, &second] {
        greedy.push(id(begin(hub, WRITER, 2000).await).await);
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    for hub in [&first, &second] {
        assert_failed(begin(hub, WRITER, 1).await, 503, "busy").await;
    }
    // The token that holds most gives way, whichever server began its upload.
    let modest = id(begin(&second, ORG, 1).await).await;
    let statuses = [status(&first, WRITER, &greedy[0]).await, status(&first, WRITER, &greedy[1]).await];
    assert_eq!(statuses, [404, 200]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The same holds for bytes: 4001 of 8000 are taken.
    let cancelled = first.client.delete(first.url(&format!("/api/uploads/{modest}"))).bearer_auth(ORG).send();
    assert_eq!(cancelled.await.unwrap().status(), 204);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_failed(begin(&second, ORG, 8001).await, 503, "busy").await;
    assert_failed(begin(&second, WRITER, 4001).await, 503, "busy").await;
    assert_eq!(begin(&second, ORG, 3999).await.status(), 201);
    assert_eq!(status(&second, WRITER, &greedy[2]).await, 200);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_keeps_what_an_open_upload_needs() {
    let hub = Hub::start().await;
    let other = hub.second().await;
    let (base, tuned, rl) = (hub.bytes("base-bf16"), hub.bytes("sft-bf16"), hub.bytes("rl-bf16"));
    let announced = json!({ "name": "org/new", "files": [
        { "path": "model.safetensors", "length": rl.len(), "blake3": digest(&rl) },
        { "path": "tuned.safetensors", "length": tuned.len(), "blake3": digest(&tuned) },
    ]});
    let begun: Value = hub.post("/api/uploads", &announced).send().await.unwrap().json().await.unwrap();
    assert_eq!(begun["files"][1]["known"], true);
    let id = begun["id"].as_str().unwrap();
    let (archive, path) = (compress(Some(&base), &rl), file(id, &format!("?base={}", digest(&base))));
    assert_eq!(put(&hub, &path, &archive, 0..100).await.status(), 202);
    for model in ["open/base", "org/tuned"] {
        hub.store.remove(&name(model)).await.unwrap();
    }
    for _ in 0..2 {
        hub.store.collect(&AT_ONCE).await.unwrap();
    }
    // A server that has read the list of models since does not know the base from that.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(put(&other, &path, &archive, 100..archive.len()).await.status(), 204);
    assert_eq!(publish(&hub, id).await.status(), 201);
    let files = hub.store.model(&name("org/new")).await.unwrap().files;
    assert_eq!(files.iter().map(|file| file.id.digest).collect::<Vec<_>>(), [&rl, &tuned].map(|b| Digest::of(b)));
    let verified = hub.store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    assert_eq!(verified.problems, []);
    // Without an upload, the base goes.
    hub.store.collect(&AT_ONCE).await.unwrap();
    assert!(hub.store.stored_file(&Digest::of(&base)).await.unwrap().is_none());
    hub.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_count_for_all_servers() {
    let few = Limits { tensors: 5, ..limits() };
    let first = Hub::empty(few.clone()).await;
    let second = Hub::over(first.models.clone(), first.root.clone(), few).await;
    let names: Vec<String> = (0..3).map(|n| format!("t{n}")).collect();
    let tensors: Vec<(&str, &str, &[u64], &[u8])> =
        names.iter().map(|name| (name.as_str(), "U8", &[1][..], &b"x"[..])).collect();
    let model = safetensors(&tensors);
    let file = |path: &str| json!({ "path": path, "length": model.len(), "blake3": digest(&model) });
    let body = json!({ "name": "org/new", "files": [file("a.safetensors"), file("b.safetensors")] });
    let begun: Value = first.post("/api/uploads", &body).send().await.unwrap().json().await.unwrap();
    let path = |number: usize| format!("/api/uploads/{}/files/{number}?raw", begun["id"].as_str().unwrap());
    assert_eq!(first.put(&path(0), model.clone()).send().await.unwrap().status(), 204);
    assert_failed(second.put(&path(1), model.clone()).send().await.unwrap(), 413, "too-large").await;
    first.stop().await;
    second.stop().await;
}
