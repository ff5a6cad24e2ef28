//! Tests of `bitx compress` on shards of MLC and TensorFlow.js, which a JSON file describes.

use std::fs;

use serde_json::json;

use crate::support::{Folder, json_of};

/// Packed numbers of 48 rows of 64 weights, with a scale for each 32, and a vector. The weights of
/// a seed that moved by `by` levels at some places.
fn shard(by: u8) -> Vec<u8> {
    let number = |i: usize| ((i * 2_654_435_761usize) >> 9) as u8 % 12 + if i.is_multiple_of(17) { by } else { 0 };
    let words = (0..48 * 32).map(|i| number(2 * i) | number(2 * i + 1) << 4);
    let scales = (0..96u16).flat_map(|i| (0x2400 + i * 7 + u16::from(by)).to_le_bytes());
    let norm = (0..64u16).flat_map(|i| (0x3c00 + i).to_le_bytes());
    words.chain(scales).chain(norm).collect()
}

fn cache(shard: &str) -> String {
    let array = |name: &str, shape: [u64; 2], dtype: &str, offset: u64, bytes: u64| json!({"name": name, "shape": shape, "dtype": dtype, "format": "raw", "nbytes": bytes, "byteOffset": offset});
    let arrays = [
        array("w.q_weight", [48, 8], "uint32", 0, 1536),
        array("w.q_scale", [48, 2], "float16", 1536, 192),
        array("norm", [1, 64], "float16", 1728, 128),
    ];
    json!({"metadata": {}, "records": [{"dataPath": shard, "format": "raw-shard", "nbytes": 1856, "records": arrays}]})
        .to_string()
}

fn write(folder: &Folder, name: &str, by: u8, json: Option<&str>) {
    fs::create_dir_all(folder.path(name)).unwrap();
    fs::write(folder.path(name).join("params_shard_0.bin"), shard(by)).unwrap();
    if let Some(json) = json {
        fs::write(folder.path(name).join(json), cache("params_shard_0.bin")).unwrap();
    }
}

/// The names of the tensors of `target` as a delta against `base`, which must restore.
fn names(folder: &Folder, base: &str, target: &str) -> Vec<String> {
    let [base, target] = [base, target].map(|name| format!("{name}/params_shard_0.bin"));
    folder.bitx(&["compress", &base, &target, "-qfo", "delta"]).assert().success();
    folder.bitx(&["decompress", &base, "delta", "-qfo", "back"]).assert().success();
    assert!(folder.read("back") == folder.read(&target));
    let listing = json_of(&mut folder.bitx(&["inspect", "delta", "--json"]));
    listing["tensors"].as_array().unwrap().iter().map(|tensor| tensor["name"].as_str().unwrap().into()).collect()
}

#[test]
fn shards_are_tensors_by_the_json_beside_them() {
    let folder = Folder::empty();
    write(&folder, "base", 0, Some("tensor-cache.json"));
    write(&folder, "tuned", 1, Some("ndarray-cache.json"));
    assert_eq!(names(&folder, "base", "tuned"), ["w.q_weight", "w.q_scale", "norm"]);
    // One description serves both sides.
    write(&folder, "plain", 2, None);
    assert_eq!(names(&folder, "base", "plain").len(), 3);
}

#[test]
fn shards_without_a_description_of_theirs_are_bytes() {
    let folder = Folder::empty();
    write(&folder, "base", 0, None);
    write(&folder, "tuned", 1, None);
    assert_eq!(names(&folder, "base", "tuned").len(), 1);
    // JSON of other files, and JSON that ends early.
    for json in [cache("params_shard_7.bin"), cache("params_shard_0.bin")[..99].to_owned()] {
        fs::write(folder.path("base/ndarray-cache.json"), &json).unwrap();
        fs::write(folder.path("tuned/ndarray-cache.json"), &json).unwrap();
        assert_eq!(names(&folder, "base", "tuned").len(), 1, "{json}");
    }
    // JSON whose arrays lie beyond the end of the shard: a warning, and bytes.
    for name in ["base", "tuned"] {
        let json = cache("params_shard_0.bin").replace("1728", "9999");
        fs::write(folder.path(name).join("ndarray-cache.json"), json).unwrap();
    }
    assert_eq!(names(&folder, "base", "tuned").len(), 1);
}

/// Weights as TensorFlow.js stores them, in shards of 4 MiB.
fn write_tfjs(folder: &Folder, name: &str, by: f32) {
    let weight =
        |i: usize| ((i * 2_654_435_761usize) >> 9 & 0xFFFF) as f32 * 1e-6 + if i.is_multiple_of(17) { by } else { 0.0 };
    let bytes: Vec<u8> = (0..1_200_000).flat_map(|i| weight(i).to_le_bytes()).collect();
    fs::create_dir_all(folder.path(name)).unwrap();
    let paths = ["group1-shard1of2.bin", "group1-shard2of2.bin"];
    for (path, shard) in paths.iter().zip(bytes.chunks(4 << 20)) {
        fs::write(folder.path(name).join(path), shard).unwrap();
    }
    let weights = [
        json!({"name": "a/kernel", "shape": [1000, 600], "dtype": "float32"}),
        json!({"name": "b/kernel", "shape": [600, 1000], "dtype": "float32"}),
    ];
    let model = json!({"format": "graph-model", "weightsManifest": [{"paths": paths, "weights": weights}]});
    fs::write(folder.path(name).join("model.json"), model.to_string()).unwrap();
}

#[test]
fn shards_of_tensorflow_js_are_tensors() {
    let folder = Folder::empty();
    write_tfjs(&folder, "base", 0.0);
    write_tfjs(&folder, "tuned", 1e-6);
    let named = |shard: &str| {
        let path = |name: &str| format!("{name}/group1-shard{shard}of2.bin");
        folder.bitx(&["compress", &path("base"), &path("tuned"), "-qfo", "delta"]).assert().success();
        let listing = json_of(&mut folder.bitx(&["inspect", "delta", "--json"]));
        let tensors = listing["tensors"].as_array().unwrap();
        tensors.iter().map(|tensor| tensor["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named("1"), ["a/kernel", "b/kernel"]);
    assert_eq!(named("2"), ["b/kernel"]);
    folder.bitx(&["compress", "base", "tuned", "-qfo", "deltas"]).assert().success();
    folder.bitx(&["decompress", "base", "deltas", "-qfo", "back"]).assert().success();
    for path in ["model.json", "group1-shard1of2.bin", "group1-shard2of2.bin"] {
        assert!(folder.read(&format!("back/{path}")) == folder.read(&format!("tuned/{path}")), "{path}");
    }
}
