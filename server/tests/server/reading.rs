//! Tests of files, tensors and listings.

use bitx::Effort;
use bitx_store::Source;
use reqwest::header;
use serde_json::Value;

use crate::support::{ALL, Hub, PACKINGS, Random, Weights, assert_failed, digest, name, packed, restore, status_and};

const FILE: &str = "/models/org/tuned/files/model.safetensors";

#[tokio::test(flavor = "multi_thread")]
async fn models_files_and_tensors_are_listed() {
    let hub = Hub::start().await;
    assert_eq!(hub.get("/healthz").send().await.unwrap().text().await.unwrap(), "ok");
    let tuned = hub.bytes("sft-bf16");
    let models: Value = hub.get("/api/models").send().await.unwrap().json().await.unwrap();
    assert_eq!(models[1]["name"], "org/tuned");
    assert_eq!((models[1]["bytes"].as_u64(), models[1]["files"].as_u64()), (Some(tuned.len() as u64), Some(1)));
    let model: Value = hub.get("/api/models/org/tuned").send().await.unwrap().json().await.unwrap();
    assert_eq!(model["files"][0]["blake3"], digest(&tuned));
    let tensors = hub.get("/api/models/org/tuned/tensors?file=model.safetensors").send().await.unwrap();
    let tensors: Value = tensors.json().await.unwrap();
    let tensor = &tensors[3];
    let bytes =
        hub.get(&format!("/models/org/tuned/tensors/{}?file=model.safetensors", tensor["name"].as_str().unwrap()));
    let bytes = bytes.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(Some(bytes.len() as u64), tensor["length"].as_u64());
    assert!(tuned.windows(bytes.len()).any(|window| window == bytes), "{tensor}");
    let metrics = hub.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bitx_requests_total{") && metrics.contains("bitx_sent_bytes_total"), "{metrics}");
    for (path, status, code) in [
        ("/api/models/org/none", 404, "not-found"),
        ("/api/models/org/tuned?file=none", 404, "not-found"),
        ("/models/org/tuned/files/none", 404, "not-found"),
        ("/models/org/tuned/tensors/none?file=model.safetensors", 404, "not-found"),
        ("/models/org/tuned/tensors/none", 400, "invalid"),
        ("/models/org/tuned/files/model.safetensors?base=12", 400, "invalid"),
        ("/nothing", 404, "not-found"),
    ] {
        assert_failed(hub.get(path).send().await.unwrap(), status, code).await;
    }
    assert_failed(hub.put(FILE, Vec::new()).send().await.unwrap(), 405, "invalid").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_whole_by_range_and_conditionally() {
    let hub = Hub::start().await;
    let tuned = hub.bytes("sft-bf16");
    let (length, tag) = (tuned.len(), format!("\"{}\"", digest(&tuned)));
    let whole = hub.get(FILE).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), whole.content_length()), (200, Some(length as u64)));
    assert_eq!(status_and(&whole, "etag"), (200, &*tag));
    assert_eq!(status_and(&whole, "accept-ranges"), (200, "bytes"));
    assert_eq!(whole.bytes().await.unwrap(), tuned);
    let head = hub.client.head(hub.url(FILE)).bearer_auth(ALL).send().await.unwrap();
    assert_eq!(status_and(&head, "content-length"), (200, &*length.to_string()));

    for (asked, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        (format!("bytes={}-{}", length - 1, length - 1), length - 1..length),
        ("bytes=1000-".to_owned(), 1000..length),
        ("bytes=-77".to_owned(), length - 77..length),
        (format!("bytes=5-{}", length * 2), 5..length),
        (format!("bytes=-{}", length + 9), 0..length),
        ("bytes=500000-500999".to_owned(), 500_000..501_000),
    ] {
        let part = hub.get(FILE).header(header::RANGE, &asked).send().await.unwrap();
        assert_eq!(part.status(), 206, "{asked}");
        let place = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(part.headers()["content-range"], place);
        assert_eq!(part.bytes().await.unwrap(), tuned[expected]);
    }
    for asked in [format!("bytes={length}-"), format!("bytes={length}-{}", length + 5)] {
        let beyond = hub.get(FILE).header(header::RANGE, asked).send().await.unwrap();
        assert_eq!(beyond.headers()["content-range"], format!("bytes */{length}"));
        assert_failed(beyond, 416, "range").await;
    }
    // Several ranges, other units and invalid ranges may be ignored, and are.
    for asked in ["bytes=0-1,4-5", "lines=1-2", "bytes=b-c", "bytes=9-5"] {
        let response = hub.get(FILE).header(header::RANGE, asked).send().await.unwrap();
        assert!(response.status() == 200 || asked == "bytes=9-5", "{asked}");
    }

    let has = |condition: &str| hub.get(FILE).header(header::IF_NONE_MATCH, condition).send();
    let same = has(&tag).await.unwrap();
    assert_eq!(status_and(&same, "etag"), (304, &*tag));
    assert_eq!(has(&format!("\"other\", W/{tag}")).await.unwrap().status(), 304);
    assert_eq!(has("*").await.unwrap().status(), 304);
    assert_eq!(has("\"other\"").await.unwrap().status(), 200);
    let resume =
        |condition: String| hub.get(FILE).header(header::RANGE, "bytes=9-").header(header::IF_RANGE, condition);
    assert_eq!(resume(tag.clone()).send().await.unwrap().status(), 206);
    for changed in ["\"other\"".to_owned(), format!("W/{tag}"), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()] {
        assert_eq!(resume(changed).send().await.unwrap().status(), 200);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_many_pieces_and_empty_files_are_served() {
    let hub = Hub::start().await;
    // The file has incompressible pieces, and repeats the first of them at the end.
    let mut large: Vec<u8> =
        (0..40u32 << 16).flat_map(|i| bitx_store::Digest::of(&i.to_le_bytes()).as_bytes()[..16].to_vec()).collect();
    large.extend_from_within(..32 << 20);
    std::fs::write(hub.models.path("large.bin"), &large).unwrap();
    std::fs::write(hub.models.path("empty"), "").unwrap();
    let source = |file: &str| bitx_store::Source { path: file.into(), file: hub.models.path(file) };
    let files = [source("large.bin"), source("empty")];
    hub.store.add(&name("open/large"), &files, Effort::Fast, &|_| {}).await.unwrap();
    let file = "/models/open/large/files/large.bin";
    assert!(hub.get(file).send().await.unwrap().bytes().await.unwrap() == large);
    let middle = (32 << 20) - 100..(64 << 20) + 100;
    let asked = format!("bytes={}-{}", middle.start, middle.end - 1);
    let part = hub.get(file).header(header::RANGE, asked).send().await.unwrap();
    assert!(part.bytes().await.unwrap() == large[middle]);
    let empty = hub.get("/models/open/large/files/empty").send().await.unwrap();
    assert_eq!(status_and(&empty, "content-length"), (200, "0"));
    let part = hub.get("/models/open/large/files/empty").header(header::RANGE, "bytes=0-").send().await.unwrap();
    assert_failed(part, 416, "range").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_read_and_write() {
    let hub = Hub::start().await;
    let preflight = hub.client.request(reqwest::Method::OPTIONS, hub.url("/api/uploads/x/files/0"));
    let preflight = preflight.header("origin", "https://example.org").header("access-control-request-method", "PUT");
    let preflight = preflight.header("access-control-request-headers", "authorization,content-range");
    let allowed = preflight.send().await.unwrap();
    assert_eq!(status_and(&allowed, "access-control-allow-origin"), (200, "*"));
    assert!(allowed.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    let headers = allowed.headers()["access-control-allow-headers"].to_str().unwrap().to_owned();
    assert!(headers.contains("authorization") && headers.contains("content-range"), "{headers}");
    assert!(!allowed.headers().contains_key("access-control-allow-credentials"));
    for path in ["/models/open/base/files/model.safetensors", "/models/open/base/files/none"] {
        let read = hub.get(path).header("origin", "https://example.org").send().await.unwrap();
        assert_eq!(read.headers()["access-control-allow-origin"], "*");
        let exposed = read.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("etag") && exposed.contains("content-range") && exposed.contains("upload-offset"));
    }
    hub.stop().await;
}

/// Packed numbers that are stored together with their companions, against the floats of the model.
#[tokio::test(flavor = "multi_thread")]
async fn packed_numbers_are_served_whole_by_tensor_and_as_deltas() {
    let (hub, weights) = (Hub::start().await, Weights::small(&mut Random(1)));
    let (floats, file) = (weights.to_file(), packed(&weights, PACKINGS[0].1));
    let outside = tempfile::tempdir().unwrap();
    for (model, bytes) in [("org/floats", &floats), ("org/packed", &file)] {
        let path = outside.path().join("model");
        std::fs::write(&path, bytes).unwrap();
        let source = Source { path: "model.safetensors".into(), file: path };
        hub.store.add(&name(model), &[source], Effort::Default, &|_| {}).await.unwrap();
    }
    assert!(hub.store.stats().await.unwrap().value_bytes > 0);
    let path = "/models/org/packed/files/model.safetensors";
    assert_eq!(hub.get(path).send().await.unwrap().bytes().await.unwrap(), file);
    let part = hub.get(path).header(header::RANGE, "bytes=200-20999").send().await.unwrap();
    assert_eq!(part.bytes().await.unwrap(), file[200..21_000]);
    for tensor in ["a.g_idx", "a.qweight", "a.qzeros", "a.scales"] {
        let tensor = format!("/models/org/packed/tensors/{tensor}?file=model.safetensors");
        let bytes = hub.get(&tensor).send().await.unwrap().bytes().await.unwrap();
        assert!(bytes.len() >= 160 && file.windows(bytes.len()).any(|window| window == bytes), "{tensor}");
    }
    let delta = hub.get(&format!("{path}?base={}", digest(&floats))).send().await.unwrap();
    assert_eq!(delta.status(), 200);
    let archive = delta.bytes().await.unwrap();
    assert!(archive.len() * 10 < file.len() && restore(&floats, &archive) == file, "{}", archive.len());
    hub.stop().await;
}
