//! Tests of tokens, their permissions, and the models that they hide.

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{ALL, Hub, ORG, READER, WRITER, announce, assert_failed, digest};

async fn get(hub: &Hub, path: &str, token: Option<&str>) -> Response {
    let request = hub.client.get(hub.url(path));
    token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await.unwrap()
}

async fn begin(hub: &Hub, body: &Value, token: Option<&str>) -> Response {
    let request = hub.client.post(hub.url("/api/uploads")).json(body);
    token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_grant_the_permissions_that_they_list() {
    let hub = Hub::start().await;
    let (open, closed) = ("/models/open/base/files/model.safetensors", "/models/org/tuned/files/model.safetensors");
    assert_eq!(get(&hub, open, None).await.status(), 200);
    assert_failed(get(&hub, closed, None).await, 404, "not-found").await;
    assert_eq!(get(&hub, closed, Some(READER)).await.status(), 200);
    assert_failed(get(&hub, open, Some(READER)).await, 404, "not-found").await;
    let wrong = get(&hub, open, Some("wrong")).await;
    assert_eq!(wrong.headers()["www-authenticate"], "Bearer");
    assert_failed(wrong, 401, "unauthorized").await;
    let basic = hub.client.get(hub.url(open)).basic_auth("user", Some(ALL)).send().await.unwrap();
    assert_failed(basic, 401, "unauthorized").await;
    let listed: Value = get(&hub, "/api/models", None).await.json().await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let page = async |query: &str| -> Value {
        let answer = get(&hub, &format!("/api/models?{query}"), Some(ALL)).await;
        answer.error_for_status().unwrap().json().await.unwrap()
    };
    let all = page("").await;
    let count = all.as_array().unwrap().len();
    assert!(count > 1);
    let after = format!("after={}&limit=1", all[0]["name"].as_str().unwrap());
    assert_eq!((page("limit=1").await, page(&after).await), (json!([all[0]]), json!([all[1]])));
    assert_eq!(page(&format!("after={}", all[count - 1]["name"].as_str().unwrap())).await, json!([]));
    assert_failed(get(&hub, "/api/models?limit=-1", None).await, 400, "invalid").await;
    assert_failed(get(&hub, "/api/models?after=../x", None).await, 400, "invalid").await;

    let announced = announce("org/new", "a.bin", b"bytes");
    assert_failed(begin(&hub, &announced, None).await, 401, "unauthorized").await;
    assert_failed(begin(&hub, &announced, Some("wrong")).await, 401, "unauthorized").await;
    assert_failed(begin(&hub, &announced, Some(READER)).await, 403, "forbidden").await;
    assert_failed(begin(&hub, &announce("open/new", "a.bin", b"x"), Some(ORG)).await, 403, "forbidden").await;
    let begun: Value = begin(&hub, &announced, Some(WRITER)).await.json().await.unwrap();
    // An upload belongs to the token that began it.
    let address = hub.url(&format!("/api/uploads/{}/files/0?raw", begun["id"].as_str().unwrap()));
    for (token, status) in [(ALL, 404), (READER, 404), (WRITER, 204)] {
        let sent = hub.client.put(&address).bearer_auth(token).body("bytes").send().await.unwrap();
        assert_eq!(sent.status(), status, "{token}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_a_token_may_not_read_does_not_exist_for_it() {
    let hub = Hub::start().await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("sft-bf16"));
    let secret = "/models/org/tuned/files/model.safetensors";
    let missing = "/models/org/missing/files/model.safetensors";
    let text = |response: Value| response.to_string().replace("org/tuned", "NAME").replace("org/missing", "NAME");
    assert_eq!(
        text(assert_failed(get(&hub, secret, None).await, 404, "not-found").await),
        text(assert_failed(get(&hub, missing, None).await, 404, "not-found").await)
    );
    // Announced digests reveal nothing about models that the token may not read.
    let tensors: Value =
        hub.get("/api/models/org/tuned/tensors?file=model.safetensors").send().await.unwrap().json().await.unwrap();
    let mut tensors = tensors.as_array().unwrap().clone();
    for tensor in &mut tensors {
        let path = format!("/models/org/tuned/tensors/{}?file=model.safetensors", tensor["name"].as_str().unwrap());
        tensor["blake3"] = digest(&hub.get(&path).send().await.unwrap().bytes().await.unwrap()).into();
    }
    let mut announced = announce("org/probe", "model.safetensors", &tuned);
    announced["files"][0]["tensors"] = tensors.clone().into();
    let seen: Value = begin(&hub, &announced, Some(ORG)).await.json().await.unwrap();
    let file = &seen["files"][0];
    assert_eq!(file["known"], true);
    // Short tensors lie in packs. Those below 4 KiB have no digests of their own.
    let length = |tensor: &Value| tensor["length"].as_u64().unwrap();
    let is_digested = |tensor: &&Value| length(tensor) >= 4096;
    let mut known = file["tensors"].as_array().unwrap().iter().zip(&tensors);
    assert!(known.all(|(known, tensor)| *known == is_digested(&tensor)), "{seen}");
    assert_eq!(file["bases"][0]["model"], "org/tuned");
    let digested: u64 = tensors.iter().filter(is_digested).map(length).sum();
    assert_eq!(file["bases"][0]["equal"], digested);
    let bytes: u64 = tensors.iter().map(length).sum();
    assert_eq!(
        (file["bases"][1]["model"].as_str(), file["bases"][1]["alike"].as_u64()),
        (Some("open/base"), Some(bytes))
    );
    let blind: Value = begin(&hub, &announced, Some(WRITER)).await.json().await.unwrap();
    let file = &blind["files"][0];
    assert_eq!((&file["known"], &file["bases"]), (&json!(false), &json!([])));
    assert!(file["tensors"].as_array().unwrap().iter().all(|known| known == false), "{blind}");
    // Neither does naming a base, nor the answer to publishing.
    let id = blind["id"].as_str().unwrap();
    let by_base = hub.client.put(hub.url(&format!("/api/uploads/{id}/files/0?base={}", digest(&base))));
    assert_failed(by_base.bearer_auth(WRITER).body("x").send().await.unwrap(), 404, "not-found").await;
    let raw =
        hub.client.put(hub.url(&format!("/api/uploads/{id}/files/0?raw"))).bearer_auth(WRITER).body(tuned.clone());
    assert_eq!(raw.send().await.unwrap().status(), 204);
    let publish = hub.client.post(hub.url(&format!("/api/uploads/{id}/publish"))).bearer_auth(WRITER);
    let published: Value = publish.send().await.unwrap().json().await.unwrap();
    assert_eq!(published, json!({ "name": "org/probe", "files": 1, "bytes": tuned.len() }));
    hub.stop().await;
}
