//! A test of many clients at the same time.

use futures::future::join_all;

use crate::support::Hub;

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_get_the_same_file_and_tensor_at_once() {
    let hub = Hub::start().await;
    let tuned = hub.bytes("sft-bf16");
    let tensors = hub.get("/api/models/org/tuned/tensors?file=model.safetensors").send().await.unwrap();
    let tensors: serde_json::Value = tensors.json().await.unwrap();
    let tensor = format!("/models/org/tuned/tensors/{}?file=model.safetensors", tensors[0]["name"].as_str().unwrap());
    let get = |number: usize| {
        let path = if number.is_multiple_of(2) { "/models/org/tuned/files/model.safetensors" } else { &tensor };
        let request = hub.get(path);
        async move { (number, request.send().await.unwrap().bytes().await.unwrap()) }
    };
    let got = join_all((0..64).map(get)).await;
    for (number, bytes) in &got {
        assert!(if number.is_multiple_of(2) { *bytes == tuned } else { *bytes == got[1].1 }, "{number}");
    }
    hub.stop().await;
}
