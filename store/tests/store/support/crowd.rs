//! Many models in a store, whose objects are made up and not coded: their manifests, hints and keys
//! are those that writers make, but their pieces have no content.

use std::collections::BTreeSet;
use std::ops::Range;

use bitx_store::{Digest, FileManifest, Model, Store};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use super::models::name;
use super::weights::Random;

/// The number of models in a family: a base and its fine-tunes.
const FAMILY: u64 = 10;
/// The number of signatures of a base.
const SIGNATURES: usize = 4;

/// A stored file that others are made like.
struct Template {
    manifest: Value,
    sketches: Option<Bytes>,
}

/// The models that others are made like.
pub struct Crowd<'a> {
    storage: &'a dyn ObjectStore,
    base: Template,
    tuned: Template,
    /// The pieces of the base.
    pieces: BTreeSet<String>,
}

impl<'a> Crowd<'a> {
    /// A crowd of families like that of the stored models `base` and `tuned`.
    pub async fn like(storage: &'a dyn ObjectStore, store: &Store, [base, tuned]: [&str; 2]) -> Self {
        let of_base = Template::of(storage, store, base).await;
        let tuned = Template::of(storage, store, tuned).await;
        let pieces = of_base.pieces().into_iter().collect();
        Self { storage, base: of_base, tuned, pieces }
    }

    /// Writes the models with these numbers.
    pub async fn write(&self, models: Range<u64>) {
        for number in models {
            let is_base = number.is_multiple_of(FAMILY);
            let template = if is_base { &self.base } else { &self.tuned };
            let id = |id: &str| {
                let of = if self.pieces.contains(id) { number / FAMILY * FAMILY } else { number };
                Digest::of(format!("{of} {id}").as_bytes()).to_string()
            };
            let mut manifest = template.manifest.clone();
            rename(&mut manifest, &id);
            for piece in template.pieces().iter().filter(|piece| is_base || !self.pieces.contains(*piece)) {
                self.put(&place("pieces", &id(piece)), Bytes::from_static(&[0])).await;
            }
            let file = id("file");
            self.put(&place("files", &file), manifest.to_string().into()).await;
            if is_base {
                self.put(&place("sketches", &file), template.sketches.clone().unwrap()).await;
                let mut random = Random(number);
                for _ in 0..SIGNATURES {
                    let bits = format!("{:016x}", random.next());
                    let key = format!("signatures/{}/{}.{file}.0", &bits[..4], &bits[4..]);
                    self.put(&key, Bytes::new()).await;
                }
            }
            let name = format!("org-{}/model-{number}", number / 1000);
            let entry = json!({ "path": "model.safetensors", "length": manifest["length"], "file": file });
            let model = json!({ "version": 1, "name": name, "files": [entry] });
            let key = format!("models/{name}/01900000-0000-7000-8000-{number:012x}.json");
            self.put(&key, model.to_string().into()).await;
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) {
        self.storage.put(&Path::from(key), bytes.into()).await.unwrap();
    }
}

impl Template {
    async fn of(storage: &dyn ObjectStore, store: &Store, model: &str) -> Self {
        let model: Model = store.model(&name(model)).await.unwrap();
        let file = &model.files[0].id;
        let manifest: FileManifest = store.file(file).await.unwrap();
        let sketches = storage.get(&Path::from(place("sketches", &file.to_string()))).await;
        let sketches = match sketches {
            Ok(sketches) => Some(sketches.bytes().await.unwrap()),
            Err(_) => None,
        };
        Self { manifest: serde_json::to_value(&manifest).unwrap(), sketches }
    }

    /// The ids of the pieces of the file.
    fn pieces(&self) -> Vec<String> {
        let items = self.manifest["items"].as_array().unwrap().iter();
        let pieces = items.filter_map(|item| item["pieces"].as_array()).flatten();
        let packs = self.manifest["packs"].as_array().into_iter().flatten();
        pieces.chain(packs).map(|piece| piece["piece"].as_str().unwrap().to_owned()).collect()
    }
}

/// Gives the pieces of a manifest, and their bases, other ids.
fn rename(value: &mut Value, id: &dyn Fn(&str) -> String) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, id)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match value {
            Value::String(text) if name == "piece" || name == "base" => *text = id(text),
            _ => rename(value, id),
        }),
        _ => {}
    }
}

fn place(folder: &str, digest: &str) -> String {
    format!("{folder}/{}/{}/0", &digest[..2], &digest[2..])
}
