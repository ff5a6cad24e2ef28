//! Model folders to compress: a base in two shards, and a fine-tune in three.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::model;
use crate::support::Folder;

/// Number of layers of the model.
pub const LAYERS: u32 = 6;

/// The bytes of a layer's weights, a light fine-tune of the base if `tuned`.
pub fn layer(number: u32, tuned: bool) -> Vec<u8> {
    let word =
        |i: u32| (i.wrapping_mul(2_654_435_761) >> 20) as u16 / 4 + 0x3c00 + u16::from(tuned && i.is_multiple_of(11));
    (number * 5000..number * 5000 + 64 * 64).flat_map(|i| word(i).to_le_bytes()).collect()
}

/// A shard with these layers.
pub fn shard(layers: &[u32], tuned: bool) -> Vec<u8> {
    let named: Vec<(String, Vec<u8>)> =
        layers.iter().map(|&l| (format!("layers.{l}.weight"), layer(l, tuned))).collect();
    let tensors: Vec<_> =
        named.iter().map(|(name, bytes)| (name.as_str(), "BF16", &[64, 64][..], bytes.as_slice())).collect();
    model(&tensors)
}

/// Writes a model folder whose shards hold these layers.
pub fn write_model(folder: &Path, shards: &[&[u32]], tuned: bool) {
    fs::create_dir_all(folder.join("extra")).unwrap();
    let mut map = BTreeMap::new();
    for (i, layers) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        fs::write(folder.join(&name), shard(layers, tuned)).unwrap();
        map.extend(layers.iter().map(|layer| (format!("layers.{layer}.weight"), name.clone())));
    }
    let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    let words: Vec<String> = (0..4000).map(|i| format!("\"w{}\": {i}", i * 7919 % 10007)).collect();
    let more = if tuned { ", \"<new>\": 4000" } else { "" };
    fs::write(folder.join("tokenizer.json"), format!("{{{}{more}}}", words.join(", "))).unwrap();
    fs::write(folder.join("extra/config.json"), format!("{{\"tuned\": {tuned}}}")).unwrap();
    fs::write(folder.join(".gitattributes"), "").unwrap();
}

/// The files in a folder, by path.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                walk(&path, &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

impl Folder {
    /// A base of two shards and a fine-tune of three, in another order.
    pub fn of_models() -> Self {
        let folder = Self::empty();
        write_model(&folder.path("base"), &[&[0, 1, 2], &[3, 4, 5]], false);
        write_model(&folder.path("tuned"), &[&[5, 0], &[3, 1], &[4, 2]], true);
        folder
    }

    /// The same, with a folder of archives `out`.
    pub fn with_archives() -> Self {
        let folder = Self::of_models();
        folder.bitx(&["compress", "base", "tuned", "-qo", "out"]).assert().success();
        folder
    }

    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.read("out/bitx.json")).unwrap()
    }

    pub fn write_manifest(&self, manifest: &Value) {
        fs::write(self.path("out/bitx.json"), manifest.to_string()).unwrap();
    }
}
