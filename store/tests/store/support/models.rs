//! The committed models as files, and calls that store and check them.
#![allow(dead_code)] // each test binary uses a part of it

use std::fs;
use std::path::{Path, PathBuf};

use bitx::Effort;
use bitx_store::{Added, Digest, ModelName, Source, Store};

use super::common;

/// A folder of models: `base-bf16`, `base-f16`, `base-f32`, each committed fine-tune by its name,
/// and `stranger`, which is related to none of them.
pub struct Models {
    folder: tempfile::TempDir,
    extension: &'static str,
}

impl Models {
    /// The models as files without an extension.
    pub fn new() -> Self {
        Self::with_extension("")
    }

    /// The models as files whose names end in `extension`.
    pub fn with_extension(extension: &'static str) -> Self {
        let models = Self { folder: tempfile::tempdir().unwrap(), extension };
        for pair in &common::PAIRS {
            let base = format!("base-{}", pair.name.rsplit('-').next().unwrap());
            fs::write(models.path(&base), pair.base).unwrap();
            fs::write(models.path(pair.name), common::restore(pair.base, pair.archive).unwrap()).unwrap();
        }
        let noise: Vec<u8> =
            (0..1u32 << 15).flat_map(|n| Digest::of(&n.to_le_bytes()).as_bytes()[..8].to_vec()).collect();
        let stranger = common::model(&[("weights", "BF16", &[256, 512], &noise)]);
        fs::write(models.path("stranger"), stranger).unwrap();
        models
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}{}", self.extension))
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
        store.get(&store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.unwrap();
        let restored = fs::read(out.path().join("model.safetensors")).unwrap();
        assert!(restored == fs::read(self.path(file)).unwrap(), "{file}");
    }
}

pub fn name(name: &str) -> ModelName {
    name.parse().unwrap()
}

/// The files in a folder and its subfolders as those of a model, ordered by path.
pub fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort_by(|a: &Source, b| a.path.cmp(&b.path));
    found
}

/// Copies the files in a folder and its subfolders.
pub fn copy(from: &Path, to: &Path) {
    for object in sources(from) {
        let path = to.join(&object.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&object.file, path).unwrap();
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{path}/"), found);
        } else {
            found.push(Source { path, file: entry.path() });
        }
    }
}
