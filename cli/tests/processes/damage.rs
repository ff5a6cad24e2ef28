//! Tests of `bitx store verify` and `bitx store repair` on damaged stores, in folders and in
//! buckets.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use crate::support::Place;
use crate::support::models::Models;

/// Runs a command with JSON output. Returns the exit code and the output.
fn run(place: &Place, args: &[&str]) -> (i32, Value) {
    let output = place.bitx(args).arg("--json").output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// The keys of problems, each once: several models may need an object.
fn keys(output: &Value, problems: &str) -> Vec<String> {
    let problems = output[problems].as_array().unwrap().iter();
    let mut keys: Vec<String> = problems.map(|problem| problem["key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// One object of each kind, with its bytes.
async fn objects(place: &Place) -> BTreeMap<String, (Path, Vec<u8>)> {
    let listed: Vec<_> = place.storage().list(None).try_collect().await.unwrap();
    let mut kinds = BTreeMap::new();
    for object in listed {
        let key = object.location.to_string();
        let bytes = place.storage().get(&object.location).await.unwrap().bytes().await.unwrap().to_vec();
        let mut kind = key.split('/').next().unwrap().to_owned();
        if kind == "pieces" {
            kind += &bytes[0].to_string();
        }
        kinds.insert(kind, (object.location, bytes));
    }
    kinds
}

/// One byte is changed in each kind of object, in turn: at `places` spread evenly over the object.
async fn damage(place: Place, places: usize) {
    let models = Models::with_extension(".safetensors");
    let other = Place::folder();
    for (name, file) in [("a", "base-bf16"), ("b", "sft-bf16")] {
        for place in [&place, &other] {
            assert_eq!(run(place, &["add", "--name", name, models.path(file).to_str().unwrap()]).0, 0);
        }
    }
    let copy = match &other {
        Place::Folder(folder) => folder.path().to_str().unwrap().to_owned(),
        Place::Bucket(_) => unreachable!(),
    };
    let kinds = objects(&place).await;
    let named: Vec<&String> = kinds.keys().filter(|kind| *kind != "gc").collect();
    assert_eq!(
        named,
        ["files", "format.json", "models", "pieces1", "pieces2", "pieces4", "pieces5", "signatures", "sketches"]
    );
    for (kind, (key, bytes)) in kinds {
        // A removed model is published anew, under another key.
        let last = if kind == "models" { 0 } else { bytes.len().saturating_sub(1) };
        for at in (0..places).map(|part| last * part / (places - 1).max(1)).collect::<BTreeSet<_>>() {
            let mut flipped = if bytes.is_empty() { vec![0] } else { bytes.clone() };
            flipped[at] ^= 1;
            place.storage().put(&key, flipped.into()).await.unwrap();
            let (code, found) = run(&place, &["verify", "--read-data"]);
            assert_eq!((code, keys(&found, "problems")), (1, vec![key.to_string()]), "{key}, byte {at}");
            let is_data = kind == "files" || kind.starts_with("pieces");
            let (code, repaired) = run(&place, &["verify", "--read-data", "--repair"]);
            assert_eq!(code, i32::from(is_data), "{key}, byte {at}: {repaired}");
            if is_data {
                let (code, repaired) = run(&place, &["repair", "--from", &copy]);
                assert_eq!((code, keys(&repaired, "repaired")), (0, vec![key.to_string()]), "{repaired}");
            } else {
                assert_eq!(keys(&repaired, "repaired"), [key.to_string()]);
            }
            for (name, file) in [("a", "base-bf16"), ("b", "sft-bf16")] {
                assert_eq!(run(&place, &["add", "--name", name, models.path(file).to_str().unwrap()]).0, 0);
            }
            assert_eq!(run(&place, &["verify", "--read-data"]).0, 0, "{key}, byte {at}");
            place.storage().put(&key, bytes.clone().into()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_damaged_object_of_a_folder_is_named_and_repaired() {
    damage(Place::folder(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_damaged_object_of_a_bucket_is_named_and_repaired() {
    // Bytes are checked before the storage matters, so one of each object is enough here.
    damage(Place::bucket(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_model_repair_it() {
    let (place, models) = (Place::folder(), Models::with_extension(".safetensors"));
    let path = models.path("base-bf16");
    let path = path.to_str().unwrap();
    assert_eq!(run(&place, &["add", "--name", "a", path]).0, 0);
    for kind in ["files", "pieces1", "pieces4"] {
        let (key, _) = objects(&place).await.remove(kind).unwrap();
        place.storage().delete(&key).await.unwrap();
        assert_eq!(run(&place, &["repair", "--from", models.path("sft-bf16").to_str().unwrap()]).0, 1);
        assert_eq!(run(&place, &["repair", "--from", "no-such-file"]).0, 1);
        assert_eq!(run(&place, &["repair", "--from", path]).0, 0);
    }
    assert_eq!(keys(&run(&place, &["verify", "--read-data"]).1, "problems"), [] as [String; 0]);
}
