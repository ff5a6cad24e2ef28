//! Support for tests of the store: the committed models as files, and short forms of common calls.
#![allow(dead_code)] // each test binary uses a part of it

#[path = "../../../tests/common/mod.rs"]
pub mod common;
pub mod faulty;
pub mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use bitx::Effort;
use bitx_store::{Added, ModelName, Source, Store};

/// A folder of models: `base-bf16`, `base-f16`, `base-f32`, and each committed fine-tune by its
/// name.
pub struct Models(tempfile::TempDir);

impl Models {
    pub fn new() -> Self {
        let models = Self(tempfile::tempdir().unwrap());
        for pair in &common::PAIRS {
            fs::write(models.path(pair.name), common::restore(pair.base, pair.archive).unwrap()).unwrap();
            fs::write(models.path(&format!("base-{}", pair.name.rsplit('-').next().unwrap())), pair.base).unwrap();
        }
        models
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The source of a model that consists of this file.
    pub fn source(&self, name: &str) -> Vec<Source> {
        vec![Source { path: "model.safetensors".into(), file: self.path(name) }]
    }

    /// Adds a model that consists of this file.
    pub async fn add(&self, store: &Store, model: &str, file: &str) -> Added {
        store.add(&name(model), &self.source(file), Effort::Default, &|_| {}).await.unwrap()
    }

    /// Asserts that `model` restores to `file`.
    pub async fn check(&self, store: &Store, model: &str, file: &str) {
        let out = tempfile::tempdir().unwrap();
        let model = store.model(&name(model)).await.unwrap();
        store.get(&model, out.path(), &|_| {}).await.unwrap();
        assert!(
            fs::read(out.path().join("model.safetensors")).unwrap() == fs::read(self.path(file)).unwrap(),
            "{file}"
        );
    }
}

pub fn name(name: &str) -> ModelName {
    name.parse().unwrap()
}

pub async fn open(root: &Path) -> Store {
    Store::open(root.to_str().unwrap(), 2).await.unwrap()
}
