//! Tests of `verify` and `repair`: a changed byte in any object is noticed, and mended as far as
//! there is a copy of what it was.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use bitx::Effort;
use bitx_store::{Copies, Digest, GcOptions, Store, VerifyDepth};

use crate::support::models::{copy, name, sources};
use crate::support::open;
use crate::support::packings::{PACKINGS, packed};
use crate::support::weights::{Random, Weights};

/// A store of the models `base` and `tuned`, with a kept archive, a writer at work, and a
/// collection that waits for it.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (folder, mut random) = (tempfile::tempdir().unwrap(), Random(1));
        let base = Weights::small(&mut random);
        for (model, weights) in [("base", &base), ("tuned", &base.noisy(&mut random))] {
            fs::create_dir(folder.path().join(model)).unwrap();
            fs::write(folder.path().join(model).join("model.safetensors"), weights.to_file()).unwrap();
        }
        // Its base are the floats of `base`.
        fs::write(folder.path().join("tuned/packed.safetensors"), packed(&base, PACKINGS[0].1)).unwrap();
        let scene = Self { folder };
        let store = open(&scene.made()).await;
        scene.add(&store, "base").await;
        scene.add(&store, "tuned").await;
        scene.keep_archive(&store).await;
        scene.copy_while_writing(&store).await;
        scene
    }

    fn made(&self) -> PathBuf {
        let path = self.folder.path().join("made");
        fs::create_dir_all(&path).unwrap();
        path
    }

    async fn add(&self, store: &Store, model: &str) {
        let files = sources(&self.folder.path().join(model));
        store.add(&name(model), &files, Effort::Fast, &|_| {}).await.unwrap();
    }

    async fn keep_archive(&self, store: &Store) {
        let path = self.folder.path().join("archive");
        let mut bytes = b"BITXv002 and the rest of an archive".to_vec();
        bytes.extend_from_slice(Digest::of(&bytes).as_bytes());
        fs::write(&path, bytes).unwrap();
        let digest = |model: &str| Digest::of(&fs::read(self.folder.path().join(model)).unwrap());
        let (target, base) = (digest("tuned/model.safetensors"), digest("base/model.safetensors"));
        assert!(store.keep_archive(&target, &base, &path).await.unwrap());
    }

    /// Copies the store while a writer is at work and a collection waits for it.
    async fn copy_while_writing(&self, store: &Store) {
        let gone = self.folder.path().join("gone");
        fs::create_dir(&gone).unwrap();
        fs::write(gone.join("file"), "content").unwrap();
        store.add(&name("gone"), &sources(&gone), Effort::Fast, &|_| {}).await.unwrap();
        store.remove(&name("gone")).await.unwrap();
        let ((begun, has_begun), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel::<()>());
        let (root, files) = (self.made(), sources(&self.folder.path().join("base")));
        let writer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let may_go_on = std::sync::Mutex::new(may_go_on);
            let wait = move |_| {
                begun.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            };
            runtime.block_on(async {
                let store = open(&root).await;
                store.add(&name("late"), &files, Effort::Fast, &wait).await.unwrap();
            });
        });
        has_begun.recv().unwrap();
        let waiting = store.collect(&GcOptions::default()).await.unwrap().waiting;
        assert!(waiting > 0);
        copy(&self.made(), &self.folder.path().join("pristine"));
        go_on.send(()).unwrap();
        writer.join().unwrap();
        // The writer's process, which is this one, must be known to be alive in each copy.
        let runs = self.folder.path().join("pristine/runs");
        let record = sources(&runs).remove(0);
        fs::write(record.file.with_extension("beat"), "alive").unwrap();
        fs::write(self.folder.path().join("pristine/gc/0000000000.done"), "").unwrap();
    }

    /// A copy of the store.
    fn copy(&self) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        copy(&self.folder.path().join("pristine"), root.path());
        root
    }

    /// The keys of all objects but those that no model needs.
    fn keys(&self) -> Vec<String> {
        let objects = sources(&self.folder.path().join("pristine"));
        let condemned = objects.iter().find(|object| object.path.ends_with("condemned.json")).unwrap();
        let condemned = fs::read_to_string(&condemned.file).unwrap();
        objects.into_iter().map(|object| object.path).filter(|key| !condemned.contains(key.as_str())).collect()
    }

    async fn restores(&self, store: &Store, model: &str) {
        let out = tempfile::tempdir().unwrap();
        store.get(&store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.unwrap();
        for file in sources(&self.folder.path().join(model)) {
            assert!(fs::read(out.path().join(&file.path)).unwrap() == fs::read(&file.file).unwrap(), "{model}");
        }
    }
}

/// The kinds of objects in the store.
const KINDS: [&str; 17] = [
    "archives",
    "files",
    "format.json",
    "gc clock",
    "gc condemned.json",
    "gc done",
    "gc waits.json",
    "models",
    "pieces 0",
    "pieces 1",
    "pieces 2",
    "pieces 5",
    "pieces 7",
    "runs beat",
    "runs json",
    "signatures",
    "sketches",
];

/// The kind of an object: its folder, and for records the end of its name, for pieces their coding.
fn kind(key: &str, bytes: &[u8]) -> String {
    match key.split_once('/') {
        Some((folder @ "pieces", _)) => format!("{folder} {}", bytes[0]),
        Some((folder @ ("gc" | "runs"), name)) => {
            format!("{folder} {}", name.split_once('.').map_or(name, |name| name.1))
        }
        Some((folder, _)) => folder.to_owned(),
        None => key.to_owned(),
    }
}

async fn problems(store: &Store) -> Vec<String> {
    let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    verified.problems.into_iter().map(|problem| problem.key).collect()
}

/// Every byte of small objects and a few of large ones is changed in turn.
#[tokio::test(flavor = "multi_thread")]
async fn every_changed_byte_is_noticed() {
    let scene = Scene::new().await;
    let root = scene.copy();
    let store = open(root.path()).await;
    assert_eq!(problems(&store).await, [] as [String; 0]);
    let mut kinds: Vec<String> = Vec::new();
    for key in scene.keys() {
        let path = root.path().join(&key);
        let bytes = fs::read(&path).unwrap();
        let kind = kind(&key, &bytes);
        let is_first = !kinds.contains(&kind);
        let step = if is_first { bytes.len() / 40 + 1 } else { bytes.len() / 4 + 1 };
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, flipped).unwrap();
            assert!(!problems(&store).await.is_empty(), "{key}: byte {at}");
        }
        fs::write(&path, bytes).unwrap();
        kinds.push(kind);
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, KINDS);
}

/// Without copies, a repair leaves only the damage of models' data.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_repaired_without_copies_where_that_is_possible() {
    let scene = Scene::new().await;
    for key in scene.keys() {
        let root = scene.copy();
        let (path, store) = (root.path().join(&key), open(root.path()).await);
        let bytes = fs::read(&path).unwrap();
        let half = &bytes[..bytes.len() / 2];
        fs::write(&path, if bytes.is_empty() { b"x" } else { half }).unwrap();
        let repaired = store.repair(VerifyDepth::ReadData, Copies::default(), &|_| {}).await.unwrap();
        let is_data = key.starts_with("pieces") || key.starts_with("files");
        assert_eq!(repaired.verified.problems.is_empty(), !is_data, "{key}: {repaired:?}");
        if !is_data {
            let mended = &repaired.repaired[0];
            assert_eq!(mended.problem.key, key, "{repaired:?}");
            assert_eq!(repaired.verified.models, if key.starts_with("models") { 1 } else { 2 }, "{key}");
            assert_eq!(mended.removed, !key.starts_with("gc") && !key.ends_with(".beat") && key != "format.json");
        }
        assert_eq!(problems(&store).await.is_empty(), !is_data, "{key}");
        store.collect(&GcOptions { grace: Duration::ZERO, dry_run: false }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_repaired_from_files_from_another_store_and_from_other_epochs() {
    let scene = Scene::new().await;
    let copies = scene.copy();
    let other = open(copies.path()).await;
    let mut files = sources(&scene.folder.path().join("base"));
    files.extend(sources(&scene.folder.path().join("tuned")));
    for key in scene.keys().iter().filter(|key| key.starts_with("pieces") || key.starts_with("files")) {
        for damage in [Some("x"), None] {
            for from in 0..3 {
                let root = scene.copy();
                let (path, store) = (root.path().join(key), open(root.path()).await);
                if from == 2 {
                    fs::copy(&path, path.with_file_name("1")).unwrap();
                }
                match damage {
                    Some(bytes) => fs::write(&path, bytes).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let copies = match from {
                    0 => Copies { files: &files, store: None },
                    1 => Copies { files: &[], store: Some(&other) },
                    _ => Copies::default(),
                };
                let repaired = store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
                assert_eq!(repaired.verified.problems, [], "{key}, {damage:?}, {from}");
                for model in ["base", "tuned"] {
                    scene.restores(&store, model).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_repaired_problem_is_named_once() {
    let scene = Scene::new().await;
    let root = scene.copy();
    let named = |key: &&String| {
        key.starts_with("sketches") || key.starts_with("signatures") || key.starts_with("runs") || *key == "format.json"
    };
    let keys: Vec<String> = scene.keys().iter().filter(named).cloned().collect();
    for key in &keys {
        fs::write(root.path().join(key), "x").unwrap();
    }
    let store = open(root.path()).await;
    let repaired = store.repair(VerifyDepth::Presence, Copies::default(), &|_| {}).await.unwrap();
    let mut mended: Vec<String> = repaired.repaired.into_iter().map(|mended| mended.problem.key).collect();
    mended.sort();
    assert_eq!((mended, repaired.verified.problems), (keys, vec![]));
}

/// Copies that are damaged themselves, or are of other content, do not spoil anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_no_copy() {
    let scene = Scene::new().await;
    for key in scene.keys().iter().filter(|key| key.starts_with("pieces") || key.starts_with("files")) {
        let (root, copies) = (scene.copy(), scene.copy());
        for root in [&root, &copies] {
            fs::write(root.path().join(key), "x").unwrap();
        }
        let (store, other) = (open(root.path()).await, open(copies.path()).await);
        let before = problems(&store).await;
        let files = sources(&scene.folder.path().join("gone"));
        let copies = Copies { files: &files, store: Some(&other) };
        let repaired = store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
        assert_eq!((problems(&store).await, repaired.repaired), (before, vec![]), "{key}");
    }
}
