//! Tests of a store of which one object is damaged: the damage is noticed, stops nothing that does
//! not need the object, and is repaired by adding the models again.

use std::fs;
use std::path::{Path, PathBuf};

use bitx::Effort;
use bitx_store::{Error, GcOptions, ModelName, Store, VerifyDepth};

use crate::support::models::{name, sources};
use crate::support::open;
use crate::support::packings::{PACKINGS, packed};
use crate::support::weights::{Random, Weights};

const MODELS: [&str; 3] = ["base", "tuned", "other"];

/// The models `base`, `tuned`, `other` and `new`, and a store of the first three.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (folder, mut random) = (tempfile::tempdir().unwrap(), Random(1));
        let base = Weights::small(&mut random);
        let (tuned, other, new) = (base.noisy(&mut random), Weights::small(&mut random), base.noisy(&mut random));
        for (model, weights) in [("base", &base), ("tuned", &tuned), ("other", &other), ("new", &new)] {
            let path = folder.path().join(model);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("model.safetensors"), weights.to_file()).unwrap();
            fs::write(path.join("README.md"), model).unwrap();
        }
        // Its base are the floats of `base`.
        fs::write(folder.path().join("tuned/packed.safetensors"), packed(&base, PACKINGS[0].1)).unwrap();
        let scene = Self { folder };
        let store = open(&scene.folder.path().join("pristine")).await;
        for model in MODELS {
            scene.add(&store, model).await.unwrap();
        }
        scene
    }

    async fn add(&self, store: &Store, model: &str) -> Result<(), Error> {
        let files = sources(&self.folder.path().join(model));
        store.add(&name(model), &files, Effort::Fast, &|_| {}).await.map(drop)
    }

    /// Returns `true` if the model restores, and panics if it restores to other bytes.
    async fn restores(&self, store: &Store, model: &str) -> bool {
        let out = tempfile::tempdir().unwrap();
        let name: ModelName = name(model);
        let Ok(found) = store.model(&name).await else { return false };
        if store.get(&found, out.path(), &|_| {}).await.is_err() {
            return false;
        }
        for file in sources(&self.folder.path().join(model)) {
            let restored = fs::read(out.path().join(&file.path)).unwrap();
            assert!(restored == fs::read(&file.file).unwrap(), "{model}/{}", file.path);
        }
        true
    }

    /// A copy of the store, with the key of one object of each kind.
    fn copy(&self) -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let mut kinds: Vec<(String, PathBuf)> = Vec::new();
        for object in sources(&self.folder.path().join("pristine")) {
            let path = root.path().join(&object.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(&object.file, path).unwrap();
            let mut kind = object.path.split('/').next().unwrap().to_owned();
            if kind == "pieces" {
                kind = format!("pieces {}", fs::read(&object.file).unwrap()[0]);
            }
            let known = kinds.iter().any(|(known, _)| *known == kind);
            if !known && kind != "format.json" && kind != "gc" {
                kinds.push((kind, object.path.into()));
            }
        }
        (root, kinds.into_iter().map(|(_, key)| key).collect())
    }
}

/// The ways to damage an object.
fn damages(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    if bytes.is_empty() {
        return vec![None];
    }
    let flip = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        Some(bytes)
    };
    let half = bytes[..bytes.len() / 2].to_vec();
    vec![flip(0), flip(bytes.len() / 2), flip(bytes.len() - 1), Some(half), Some(Vec::new()), None]
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_each_kind_is_noticed_and_repaired_by_adding_again() {
    let scene = Scene::new().await;
    let (root, keys) = scene.copy();
    assert_eq!(keys.len(), 9, "{keys:?}");
    let pristine = |key: &Path| fs::read(root.path().join(key)).unwrap();
    for key in &keys {
        for (how, damaged) in damages(&pristine(key)).into_iter().enumerate() {
            let (root, _) = scene.copy();
            let path = root.path().join(key);
            let removed = damaged.is_none();
            match damaged {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            check(&scene, root.path(), &format!("{key:?}, damage {how}"), key, removed).await;
        }
    }
}

async fn check(scene: &Scene, root: &Path, what: &str, key: &Path, removed: bool) {
    let store = open(root).await;
    let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    // Without its object, a model is one that was removed, and hints are made again.
    let is_gone = removed && ["models", "sketches", "signatures"].iter().any(|kind| key.starts_with(kind));
    assert_eq!(verified.problems.is_empty(), is_gone, "{what}");
    store.stats().await.unwrap();
    store.families().await.unwrap();
    store.models().await.unwrap();
    store.collect(&GcOptions::default()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut whole = 0;
    for model in MODELS {
        whole += usize::from(scene.restores(&store, model).await);
    }
    assert!(whole > 0, "{what}");
    scene.add(&store, "new").await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(scene.restores(&store, "new").await, "{what}: a new model relies on damage");
    for model in MODELS {
        scene.add(&store, model).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(scene.restores(&store, model).await, "{what}: {model}");
    }
    let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    assert_eq!(verified.problems, [], "{what}");
    let collected = store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(collected.problems, [], "{what}");
    assert!(scene.restores(&store, "tuned").await, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_manifest_is_damaged_can_be_removed() {
    let scene = Scene::new().await;
    let (root, _) = scene.copy();
    let manifest = sources(&root.path().join("models/base")).remove(0).file;
    fs::write(&manifest, "").unwrap();
    let store = open(root.path()).await;
    assert_eq!(store.listing().await.unwrap().problems.len(), 1);
    // Nothing that the damaged manifest may need is collected.
    let pieces = || sources(&root.path().join("pieces")).len();
    let before = pieces();
    store.remove(&name("other")).await.unwrap();
    assert_eq!(store.collect(&GcOptions::default()).await.unwrap().problems.len(), 1);
    assert_eq!(pieces(), before);
    store.remove(&name("base")).await.unwrap();
    assert!(matches!(store.remove(&name("base")).await, Err(Error::NotFound(_))));
    assert_eq!(store.collect(&GcOptions::default()).await.unwrap().problems, []);
    assert!(pieces() < before);
    assert!(scene.restores(&store, "tuned").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_stop_no_writer_and_no_collection() {
    let scene = Scene::new().await;
    let run = "runs/01a22027-9d17-7426-abc2-27ff13aafd8a.json";
    for (key, bytes) in [
        (run, ""),
        ("gc/0000000007.condemned.json", "{"),
        ("gc/0000000007.condemned.json", r#"{"models/base":1,"format.json":9,"../x":1}"#),
        ("gc/0000000007.waits.json", "["),
        ("gc/0000000007.removes.json", "{"),
    ] {
        let (root, _) = scene.copy();
        fs::create_dir_all(root.path().join("runs")).unwrap();
        fs::create_dir_all(root.path().join("gc")).unwrap();
        if key.starts_with("gc") {
            fs::write(root.path().join("gc/0000000007.condemned.json"), "{}").unwrap();
        }
        fs::write(root.path().join(key), bytes).unwrap();
        let store = open(root.path()).await;
        let noticed = !store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems.is_empty();
        assert!(noticed || bytes.len() > 2, "{key}");
        scene.add(&store, "new").await.unwrap();
        let options = GcOptions { grace: std::time::Duration::ZERO, ..GcOptions::default() };
        store.collect(&options).await.unwrap();
        store.collect(&options).await.unwrap();
        assert!(!root.path().join(run).exists());
        assert!(root.path().join("format.json").exists());
        assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, [], "{key}");
        for model in MODELS.into_iter().chain(["new"]) {
            assert!(scene.restores(&store, model).await, "{key}: {model}");
        }
    }
}

/// A machine whose clock is a day ahead has published the model.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_hides_no_later_version() {
    let scene = Scene::new().await;
    let (root, _) = scene.copy();
    let manifest = sources(&root.path().join("models/base")).remove(0).file;
    let ahead = manifest.with_file_name("f0a22027-9d17-7426-abc2-27ff13aafd8a.json");
    fs::rename(&manifest, &ahead).unwrap();
    let store = open(root.path()).await;
    let files = sources(&scene.folder.path().join("new"));
    for files in [&files, &sources(&scene.folder.path().join("tuned")), &files] {
        store.add(&name("base"), files, Effort::Fast, &|_| {}).await.unwrap();
        let out = tempfile::tempdir().unwrap();
        store.get(&store.model(&name("base")).await.unwrap(), out.path(), &|_| {}).await.unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        assert!(read(&out.path().join("README.md")) == read(&files[0].file));
    }
    assert!(!ahead.exists());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn links_in_the_output_folder_are_not_followed() {
    let scene = Scene::new().await;
    let (root, _) = scene.copy();
    let store = open(root.path()).await;
    let (inside, out, victim) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(inside.path().join("sub/deep")).unwrap();
    fs::write(inside.path().join("sub/deep/f"), "bytes").unwrap();
    store.add(&name("m"), &sources(inside.path()), Effort::Fast, &|_| {}).await.unwrap();
    std::os::unix::fs::symlink(victim.path(), out.path().join("sub")).unwrap();
    let model = store.model(&name("m")).await.unwrap();
    assert_eq!(store.get(&model, out.path(), &|_| {}).await.unwrap_err().code(), "io");
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    store.get(&model, &out.path().join("new/folder"), &|_| {}).await.unwrap();
    assert_eq!(fs::read(out.path().join("new/folder/sub/deep/f")).unwrap(), b"bytes");
}
