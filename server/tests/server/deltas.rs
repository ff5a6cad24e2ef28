//! Tests of deltas on demand, and of the bases that a pull names.

use std::time::Duration;

use bitx_store::GcOptions;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Hub, READER, assert_failed, digest, name, restore};

/// The path of the delta of the fine-tune against `base`.
fn delta(base: &[u8]) -> String {
    format!("/models/org/tuned/files/model.safetensors?base={}", digest(base))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_made_once_and_kept() {
    let hub = Hub::start().await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("sft-bf16"));
    let all = join_all((0..12).map(|_| async { hub.get(&delta(&base)).send().await.unwrap() })).await;
    let made = |hub: &Hub| hub.objects().iter().filter(|object| object.ends_with(".bitx")).count();
    for answer in all {
        assert_eq!(answer.status(), 200);
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        assert!(tag.contains(&digest(&base)) && tag.contains(&digest(&tuned)), "{tag}");
        let archive = answer.bytes().await.unwrap();
        assert!(archive.len() * 3 < tuned.len(), "{}", archive.len());
        assert_eq!(restore(&base, &archive), tuned);
    }
    assert_eq!(made(&hub), 1);
    // Another server finds the archive and serves ranges of it.
    let other = hub.second().await;
    let whole = other.get(&delta(&base)).send().await.unwrap().bytes().await.unwrap();
    let part = other.get(&delta(&base)).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, whole.slice(100..200)));
    assert_eq!(made(&other), 1);
    // An unknown base is not found.
    let unknown = hub.get(&delta(b"another")).send().await.unwrap();
    assert_failed(unknown, 404, "not-found").await;
    other.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_names_useful_bases() {
    let hub = Hub::start().await;
    hub.models.add(&hub.store, "org/sibling", "rl-bf16").await;
    hub.models.add(&hub.store, "open/stranger", "stranger").await;
    let (base, sibling) = (digest(&hub.bytes("base-bf16")), digest(&hub.bytes("rl-bf16")));
    let pull = |have: Value| hub.post("/api/pull", &json!({ "name": "org/tuned", "have": have })).send();
    let way: Value = pull(json!([])).await.unwrap().json().await.unwrap();
    let file = &way["files"][0];
    assert_eq!((file["path"].as_str(), file["have"].as_bool()), (Some("model.safetensors"), Some(false)));
    let names = |file: &Value| -> Vec<String> {
        file["bases"].as_array().unwrap().iter().map(|base| base["model"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(file), ["open/base", "org/sibling"], "{way}");
    assert_eq!(file["bases"][0]["blake3"], base);
    let way: Value = pull(json!([sibling])).await.unwrap().json().await.unwrap();
    assert_eq!(names(&way["files"][0]), ["org/sibling", "open/base"]);
    assert_eq!(way["files"][0]["bases"][0]["have"], true);
    let own = digest(&hub.bytes("sft-bf16"));
    let way: Value = pull(json!([own])).await.unwrap().json().await.unwrap();
    assert_eq!(way["files"][0]["have"], true);
    // A file that the token may not read is not named as a base.
    let wish = json!({ "name": "org/tuned" });
    let way = hub.client.post(hub.url("/api/pull")).bearer_auth(READER).json(&wish).send().await.unwrap();
    assert_eq!(names(&way.json::<Value>().await.unwrap()["files"][0]), ["org/sibling"]);
    let hidden = hub.client.get(hub.url(&format!("/models/org/tuned/files/model.safetensors?base={base}")));
    assert_failed(hidden.bearer_auth(READER).send().await.unwrap(), 404, "not-found").await;
    hub.stop().await;
}

/// A base that is collected after the server has listed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_delta_against_a_base_that_has_gone_is_not_found() {
    let hub = Hub::start().await;
    assert_eq!(hub.get("/api/models").send().await.unwrap().status(), 200);
    hub.store.remove(&name("open/base")).await.unwrap();
    hub.store.collect(&GcOptions { grace: Duration::ZERO, dry_run: false }).await.unwrap();
    let delta = hub.get(&delta(&hub.bytes("base-bf16")));
    assert_failed(delta.send().await.unwrap(), 404, "not-found").await;
    hub.stop().await;
}
