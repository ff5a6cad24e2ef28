//! Tests of many processes that write to one bucket at the same time: every model is right, and
//! nothing is stored twice.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use bitx::Effort;
use bitx_store::{Digest, Source, VerifyDepth};

use crate::support::models::Models;
use crate::support::weights::{Random, Weights};
use crate::support::{Bucket, Place};

/// Adds models from several processes at the same time while collections run, and checks what is
/// stored. `added` is a model's name and file for each process.
async fn add_at_once(place: &Place, models: &Models, added: &[(&str, &str)]) {
    let add = |(name, file): &(&str, &str)| {
        let path = models.path(file);
        place.bitx(&["add", "--name", name, path.to_str().unwrap()]).spawn().unwrap()
    };
    let mut writers: Vec<Child> = added.iter().map(add).collect();
    // The first collection starts together with the writers.
    loop {
        assert!(place.bitx(&["gc"]).status().unwrap().success());
        if writers.iter_mut().all(|writer| writer.try_wait().unwrap().is_some()) {
            break;
        }
    }
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let store = place.store().await;
    let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    assert_eq!(verified.problems, []);
    let mut expected: BTreeMap<String, Digest> = BTreeMap::new();
    expected.extend(
        added.iter().map(|(name, file)| ((*name).to_owned(), Digest::of(&std::fs::read(models.path(file)).unwrap()))),
    );
    let there = store.models().await.unwrap();
    let there: BTreeMap<_, _> = there.iter().map(|m| (m.name.to_string(), m.files[0].id.digest)).collect();
    for (name, digest) in expected {
        assert_eq!(there[&name], digest, "{name}");
    }
}

/// Asserts that no content has two keys or was written twice, that there are `names` models, and
/// that no writer has left a record.
async fn check_once(place: &Place, names: usize) {
    let twice: Vec<_> = place.content().await.into_iter().filter(|(_, (count, _))| *count > 1).collect();
    assert_eq!(twice, []);
    let Place::Bucket(bucket) = place else { unreachable!("a bucket") };
    assert_eq!(bucket.written_again(), [] as [&str; 0]);
    let records = place.records().await;
    assert_eq!(records.iter().filter(|key| key.starts_with("models/")).count(), names, "{records:?}");
    assert!(!records.iter().any(|key| key.starts_with("runs/")), "{records:?}");
}

/// Adds one model from several processes, and compares the store with one that a single process
/// wrote.
async fn same_model(processes: usize) {
    let models = Models::with_extension(".safetensors");
    let (alone, together) = (Place::bucket(), Place::bucket());
    for place in [&alone, &together] {
        let path = models.path("base-bf16");
        assert!(place.bitx(&["add", "--name", "base", path.to_str().unwrap()]).status().unwrap().success());
    }
    add_at_once(&together, &models, &vec![("org/tuned", "sft-bf16"); processes]).await;
    let path = models.path("sft-bf16");
    assert!(alone.bitx(&["add", "--name", "org/tuned", path.to_str().unwrap()]).status().unwrap().success());
    check_once(&together, 2).await;
    assert_eq!(together.content().await, alone.content().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_add_the_same_model() {
    same_model(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_add_the_same_model() {
    same_model(8).await;
}

/// Adds models from one process each, and compares the store with one that a single process wrote.
async fn different_models(added: &[(&str, &str)]) {
    let models = Models::with_extension(".safetensors");
    let (alone, together) = (Place::bucket(), Place::bucket());
    add_at_once(&together, &models, added).await;
    check_once(&together, added.len()).await;
    for (name, file) in added {
        let path = models.path(file);
        assert!(alone.bitx(&["add", "--name", name, path.to_str().unwrap()]).status().unwrap().success());
    }
    // The content is the same. The sketches differ, since they belong to the file that stored a
    // piece first.
    let keys = |content: BTreeMap<String, (usize, u64)>| -> Vec<String> {
        content.into_keys().filter(|key| !key.starts_with("sketches/")).collect()
    };
    assert_eq!(keys(together.content().await), keys(alone.content().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_add_different_models() {
    different_models(&[("org/base", "base-bf16"), ("org/tuned", "sft-bf16")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_add_different_models() {
    let files = ["base-bf16", "sft-bf16", "rl-bf16", "lora-bf16", "base-f16", "sft-f16", "base-f32", "sft-f32"];
    different_models(&files.map(|file| (file, file))).await;
}

/// Adds a model of random weights and one that is tuned from it, after `others`. Returns the number
/// of requests for each of the two.
async fn requests_behind(others: u64) -> [u64; 2] {
    let (place, folder) = (Place::bucket(), tempfile::tempdir().unwrap());
    let Place::Bucket(bucket) = &place else { unreachable!("a bucket") };
    let store = place.store().await;
    let file = folder.path().join("model.safetensors");
    let add = async |name: &str, weights: &Weights| {
        std::fs::write(&file, weights.to_file()).unwrap();
        let source = Source { path: "model.safetensors".into(), file: file.clone() };
        bucket.requests();
        let added = store.add(&name.parse().unwrap(), &[source], Effort::Fast, &|_| {}).await.unwrap();
        (added, bucket.requests())
    };
    for number in 0..others {
        add(&format!("org/{number}"), &Weights::small(&mut Random(number << 32 | 1))).await;
    }
    let base = Weights::small(&mut Random(0));
    let (of_base, of_tuned) = (add("base", &base).await, add("tuned", &base.noisy(&mut Random(2))).await);
    assert!(of_base.0.delta_bytes == 0 && of_tuned.0.delta_bytes * 10 > of_tuned.0.bytes * 9);
    assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
    [of_base.1, of_tuned.1]
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_a_model_takes_as_many_requests_in_a_larger_bucket() {
    let (few, many) = (requests_behind(2).await, requests_behind(60).await);
    assert!(few.iter().zip(&many).all(|(few, many)| many * 2 <= few * 3), "{few:?} {many:?}");
}

#[test]
fn only_add_and_init_make_a_store_in_a_bucket() {
    let place = Place::Bucket(Bucket::serve());
    let code = |args: &[&str]| place.bitx(args).stderr(Stdio::null()).status().unwrap().code();
    assert_eq!([code(&["ls"]), code(&["gc"]), code(&["verify"])], [Some(1); 3]);
    let Place::Bucket(bucket) = &place else { unreachable!("a bucket") };
    assert!(bucket.written().is_empty());
    assert_eq!([code(&["init"]), code(&["ls"]), code(&["gc"])], [Some(0); 3]);
}
