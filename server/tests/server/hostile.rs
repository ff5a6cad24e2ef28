//! Tests of hostile clients and storage: paths that leave their folder, decompression bombs, and
//! forged objects.

use bitx_store::{FileEntry, FileManifest, ObjectId};
use serde_json::json;

use crate::support::{ALL, Hub, announce, assert_failed, compress, digest, name};

const FILE: &str = "/models/org/tuned/files/model.safetensors";

/// Each label of a metric is kept for ever, so clients must not invent any.
#[tokio::test(flavor = "multi_thread")]
async fn methods_that_clients_invent_are_one_label() {
    let hub = Hub::start().await;
    for method in ["INVENTED", "X1", "BREW", "get"] {
        hub.raw(format!("{method} /api/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    }
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nConnection: close\r\n\r\n");
    let metrics = hub.raw(request).await;
    assert!(metrics.contains("method=\"other\""), "{metrics}");
    for method in ["INVENTED", "X1", "BREW", "get"] {
        assert!(!metrics.contains(&format!("method=\"{method}\"")), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_cannot_leave_their_folder() {
    let hub = Hub::start().await;
    for path in [
        "/models/org/tuned/files/../../../../etc/passwd",
        "/models/org/tuned/files/%2e%2e/%2e%2e/etc/passwd",
        "/models/org/tuned/files/..%2f..%2fetc%2fpasswd",
        "/models/org/tuned/files/model%2fsafetensors",
        "/models/org/tuned/files/model.safetensors%00",
        "/models/org/tuned/files//etc/passwd",
        "/models/org/tuned/files/C:%5cwindows",
        "/models/org%2ftuned/files/model.safetensors",
        "/models/../tuned/files/model.safetensors",
        "/models/org/%2e%2e/files/model.safetensors",
        "/models/org/tuned/files/%ff",
        "/api/models/../../format.json",
        "/api/models/org%2ftuned",
        "/api/models/org/..",
    ] {
        let answer = hub
            .raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nConnection: close\r\n\r\n"));
        let answer = answer.await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"invalid\""), "{path}: {answer}");
    }
    for path in ["../a", "/etc/passwd", "a/../b", "a\0b", "a\\b", "C:/a", "", ".", "a//b", "a/"] {
        let refused = hub.post("/api/uploads", &announce("org/new", path, b"x")).send().await.unwrap();
        assert_failed(refused, 400, "invalid").await;
    }
    for model in ["..", "../x", "/x", "a/b/c", "a\0", "a%2fb", ".x", "a/..", ""] {
        let refused = hub.post("/api/uploads", &announce(model, "a.bin", b"x")).send().await.unwrap();
        assert_failed(refused, 400, "invalid").await;
        let refused = hub.post("/api/pull", &json!({ "name": model })).send().await.unwrap();
        assert_failed(refused, 400, "invalid").await;
    }
    for paths in [["a", "a"], ["a/b", "a"]] {
        let file = |path: &str| json!({ "path": path, "length": 1, "blake3": digest(b"x") });
        let both = json!({ "name": "org/new", "files": paths.map(file) });
        assert_failed(hub.post("/api/uploads", &both).send().await.unwrap(), 400, "invalid").await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decompression_bombs_are_refused() {
    let hub = Hub::start().await;
    let zeros = vec![0; 48 << 20];
    let bomb = compress(None, &zeros);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let id = hub.begin("org/bomb", b"a few bytes").await;
    let (alone, raw) = (format!("/api/uploads/{id}/files/0"), format!("/api/uploads/{id}/files/0?raw"));
    // The archive states a length that is not the announced one.
    assert_failed(hub.put(&alone, bomb.clone()).send().await.unwrap(), 422, "mismatch").await;
    // The body is longer than any archive of so few bytes, by its stated length or by the bytes
    // that arrive.
    let long = format!(
        "PUT {alone} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 99999999999\r\n\r\n"
    );
    assert!(hub.raw(long).await.starts_with("HTTP/1.1 413"));
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 1 << 16]));
    let endless = hub.put(&alone, Vec::new()).body(reqwest::Body::wrap_stream(endless)).send().await;
    // The server answers while the client still sends, and some clients do not notice that in time.
    assert!(endless.is_err() || endless.is_ok_and(|answer| answer.status() == 413));
    let long = format!("PUT {raw} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 12\r\n\r\n");
    assert!(hub.raw(long).await.starts_with("HTTP/1.1 413"));
    let huge = hub.post(
        "/api/uploads",
        &json!({ "name": "org/bomb", "files": [
        { "path": "a", "length": u64::MAX, "blake3": digest(b"") } ]}),
    );
    assert_failed(huge.send().await.unwrap(), 413, "too-large").await;
    let tensors =
        json!([{ "name": "t", "dtype": "F32", "shape": [u64::MAX], "length": u64::MAX, "blake3": digest(b"") }]);
    let mut lying = announce("org/bomb", "a", b"x");
    lying["files"][0]["tensors"] = tensors;
    assert_failed(hub.post("/api/uploads", &lying).send().await.unwrap(), 400, "invalid").await;
    hub.stop().await;
}

/// The manifest entry and the file manifest of the fine-tune.
async fn tuned(hub: &Hub) -> (FileEntry, FileManifest) {
    let entry = hub.store.model(&name("org/tuned")).await.unwrap().files[0].clone();
    let manifest = hub.store.file(&entry.id).await.unwrap();
    (entry, manifest)
}

/// The path of an object in the folder of the store.
fn object(hub: &Hub, kind: &str, id: &ObjectId) -> std::path::PathBuf {
    let hex = id.digest.to_string();
    hub.root.path().join(kind).join(&hex[..2]).join(&hex[2..]).join(id.epoch.to_string())
}

/// Asserts that the file is answered by a complete error, and that everything else still works.
async fn assert_only_this_fails(hub: &Hub) {
    let answer = hub.get(FILE).send().await.unwrap();
    let told = assert_failed(answer, 500, "storage").await.to_string();
    assert!(!told.contains("root:") && !told.contains("pieces/"), "{told}");
    assert_eq!(hub.get("/api/models").send().await.unwrap().status(), 200);
    assert_eq!(hub.get("/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_without_its_base_is_an_error() {
    let hub = Hub::start().await;
    let (_, manifest) = tuned(&hub).await;
    let base = manifest.pieces().find_map(|piece| piece.base).unwrap();
    std::fs::remove_file(object(&hub, "pieces", &base)).unwrap();
    assert_only_this_fails(&hub).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_deltas_is_an_error_and_does_not_loop() {
    let hub = Hub::start().await;
    let (entry, manifest) = tuned(&hub).await;
    let piece = manifest.pieces().find(|piece| piece.base.is_some()).unwrap();
    let base = piece.base.unwrap();
    // The base becomes a delta against its own delta.
    let mut forged = std::fs::read(object(&hub, "pieces", &piece.id)).unwrap();
    forged[1..33].copy_from_slice(piece.id.digest.as_bytes());
    forged[33..37].copy_from_slice(&piece.id.epoch.to_le_bytes());
    std::fs::write(object(&hub, "pieces", &base), &forged).unwrap();
    assert_only_this_fails(&hub).await;
    // The piece becomes its own base.
    let path = object(&hub, "files", &entry.id);
    let text = serde_json::to_string(&manifest).unwrap();
    std::fs::write(&path, text.replace(&base.to_string(), &piece.id.to_string())).unwrap();
    assert_only_this_fails(&hub).await;
    hub.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn symbolic_links_in_the_storage_reveal_nothing() {
    let hub = Hub::start().await;
    let (entry, manifest) = tuned(&hub).await;
    let piece = object(&hub, "pieces", &manifest.pieces().next().unwrap().id);
    std::fs::remove_file(&piece).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &piece).unwrap();
    assert_only_this_fails(&hub).await;
    let file = object(&hub, "files", &entry.id);
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert_only_this_fails(&hub).await;
    hub.stop().await;
}
