//! Tests that let each call to the storage fail once, in every way: published models stay right,
//! and nothing is left over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitx::Effort;
use bitx_store::{Backend, Error, GcOptions, Result, Source, Store, VerifyDepth};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::support::faulty::{Fault, Faulty};
use crate::support::models::{name, sources};
use crate::support::packings::{PACKINGS, packed};
use crate::support::weights::{Random, Weights};

const COLLECT: GcOptions = GcOptions { grace: Duration::ZERO, dry_run: false };

/// The operation during which a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Adds a model with a delta and a new file, under a new name.
    Add,
    /// Adds other content under an existing name.
    Replace,
    Remove,
    Collect,
    Get,
}

/// The files to add: the models `base`, `tuned`, `other` and `past`, each with a different
/// `config.json`.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (folder, mut random) = (tempfile::tempdir().unwrap(), Random(1));
        let base = Weights::small(&mut random);
        let models = [
            ("base", base.clone()),
            ("tuned", base.noisy(&mut random)),
            ("other", base.redrawn(&mut random)),
            ("past", base.redrawn(&mut random)),
        ];
        for (model, weights) in models {
            std::fs::create_dir(folder.path().join(model)).unwrap();
            std::fs::write(folder.path().join(model).join("model.safetensors"), weights.to_file()).unwrap();
            std::fs::write(folder.path().join(model).join("README.md"), "All models have this file.").unwrap();
            std::fs::write(folder.path().join(model).join("config.json"), format!("{{\"model\": \"{model}\"}}"))
                .unwrap();
        }
        // Its base are the floats of `base`.
        std::fs::write(folder.path().join("tuned/packed.safetensors"), packed(&base, PACKINGS[0].1)).unwrap();
        Self { folder }
    }

    fn sources(&self, content: &str) -> Vec<Source> {
        sources(&self.folder.path().join(content))
    }

    async fn add(&self, store: &Store, model: &str, content: &str) -> Result<()> {
        store.add(&name(model), &self.sources(content), Effort::Fast, &|_| {}).await.map(drop)
    }

    /// Prepares a store in which `org/base` and `old` are published, and the objects of `gone` wait
    /// to be collected.
    async fn prepare(&self, storage: Arc<dyn ObjectStore>) {
        let store = Store::over(Backend::over(storage), 2).await.unwrap();
        self.add(&store, "gone", "past").await.unwrap();
        store.remove(&name("gone")).await.unwrap();
        self.add(&store, "org/base", "base").await.unwrap();
        self.add(&store, "old", "base").await.unwrap();
    }

    async fn run(&self, action: Action, storage: Arc<dyn ObjectStore>) -> Result<()> {
        let store = Store::over(Backend::over(storage), 2).await?;
        match action {
            Action::Add => self.add(&store, "new", "tuned").await,
            Action::Replace => self.add(&store, "old", "other").await,
            Action::Remove => store.remove(&name("old")).await,
            Action::Collect => store.collect(&COLLECT).await.map(drop),
            Action::Get => self.holds(&store, "old", &["base"]).await.map(|_| ()),
        }
    }

    /// Returns which of these contents the model has, and panics if it has none of them.
    async fn holds<'a>(&self, store: &Store, model: &str, contents: &[&'a str]) -> Result<&'a str> {
        let out = tempfile::tempdir().unwrap();
        store.get(&store.model(&name(model)).await?, out.path(), &|_| {}).await?;
        let same = |content: &&str| {
            let read = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
            let config = |folder: &Path| std::fs::read(folder.join("config.json")).unwrap();
            let there = self.folder.path().join(content);
            read(out.path()) == read(&there) && config(out.path()) == config(&there)
        };
        Ok(contents.iter().find(|content| same(content)).unwrap_or_else(|| panic!("{model} has other bytes")))
    }

    /// Checks all models after `action`, which has succeeded if `done`.
    async fn check(&self, store: &Store, action: Action, done: bool) {
        assert_eq!(self.holds(store, "org/base", &["base"]).await.unwrap(), "base");
        match (action, self.holds(store, "old", &["base", "other"]).await) {
            (Action::Remove, Err(Error::NotFound(_))) => {}
            (Action::Remove, Ok("base")) => assert!(!done),
            (Action::Replace, Ok(content)) => assert!(!done || content == "other"),
            (_, content) => assert_eq!(content.unwrap(), "base"),
        }
        match self.holds(store, "new", &["tuned"]).await {
            Ok(_) => assert_eq!(action, Action::Add),
            Err(Error::NotFound(_)) => assert!(action != Action::Add || !done),
            Err(error) => panic!("{error}"),
        }
        let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        assert_eq!(verified.problems, []);
    }
}

/// The number of objects by key, without the parts of keys that depend on the history of a store:
/// epochs, and the ids of runs and collections.
async fn content(storage: &dyn ObjectStore) -> BTreeMap<String, usize> {
    let mut content = BTreeMap::new();
    for object in storage.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let key = object.location.to_string();
        let (folder, last) = key.rsplit_once('/').unwrap_or_default();
        let is_tombstone = async {
            let bytes = storage.get(&object.location).await.unwrap().bytes().await.unwrap();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["expired"] == true
        };
        let place = match folder.split('/').next().unwrap() {
            "models" if is_tombstone.await => continue,
            "models" | "pieces" | "files" | "sketches" => folder.to_owned(),
            "gc" => format!("gc/{}", last.trim_start_matches(|c: char| c.is_ascii_digit())),
            _ => key,
        };
        *content.entry(place).or_default() += 1;
    }
    content
}

/// The content of a store after `action`, if no call fails.
async fn expected(scene: &Scene, action: Action, prepared: &InMemory) -> BTreeMap<String, usize> {
    let storage = Arc::new(prepared.fork());
    scene.run(action, storage.clone()).await.unwrap();
    scene.run(Action::Collect, storage.clone()).await.unwrap();
    content(&*storage).await
}

/// Lets one call of `action` fail, tries again without a fault, and collects; after each step it
/// checks the store. Returns `true` if there was such a call.
async fn fail(scene: &Scene, action: Action, storage: Arc<dyn ObjectStore>, faulty: Faulty) -> bool {
    let result = scene.run(action, Arc::new(faulty.clone())).await;
    if let Err(error) = &result {
        assert_eq!(error.code(), "storage", "{faulty}: {error}");
        assert!(error.to_string().contains("the test's fault"), "{faulty}: {error}");
    }
    let store = Store::over(Backend::over(storage.clone()), 2).await.unwrap();
    scene.check(&store, action, result.is_ok()).await;
    match scene.run(action, storage.clone()).await {
        Err(Error::NotFound(_)) if action == Action::Remove => {}
        again => again.unwrap_or_else(|error| panic!("{action:?} again after {faulty}: {error}")),
    }
    scene.check(&store, action, true).await;
    scene.run(Action::Collect, storage).await.unwrap();
    scene.check(&store, action, true).await;
    faulty.struck()
}

/// Lets each call of `action` fail in every way. There must be at least `least` calls.
async fn every_call_of(action: Action, least: u64) {
    let scene = Scene::new();
    let prepared = Arc::new(InMemory::new());
    scene.prepare(prepared.clone()).await;
    let expected = expected(&scene, action, &prepared).await;
    for fault in Fault::ALL {
        let mut calls = 0;
        loop {
            let storage = Arc::new(prepared.fork());
            let faulty = Faulty::new(storage.clone(), None, fault, calls);
            let struck = fail(&scene, action, storage.clone(), faulty).await;
            assert_eq!(content(&*storage).await, expected, "{action:?}: {fault:?} at {calls}");
            if !struck {
                break;
            }
            calls += 1;
        }
        assert!(calls >= least, "{action:?} makes {calls} calls");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_no_harm_while_adding() {
    every_call_of(Action::Add, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_no_harm_while_replacing() {
    every_call_of(Action::Replace, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_no_harm_while_removing() {
    every_call_of(Action::Remove, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_no_harm_while_collecting() {
    every_call_of(Action::Collect, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_no_harm_while_getting() {
    every_call_of(Action::Get, 10).await;
}

/// In a folder, a half-written file lies beside the file that it was to become, and a collection
/// removes it.
#[tokio::test(flavor = "multi_thread")]
async fn half_written_files_are_collected() {
    let scene = Scene::new();
    let mut calls = 0;
    let mut leftovers = 0;
    loop {
        let root = tempfile::tempdir().unwrap();
        let storage = || Arc::new(LocalFileSystem::new_with_prefix(root.path()).unwrap());
        scene.prepare(storage()).await;
        let faulty = Faulty::new(storage(), Some(root.path().to_owned()), Fault::Short, calls);
        let struck = fail(&scene, Action::Add, storage(), faulty).await;
        leftovers += halves(root.path()).len();
        crate::support::open(root.path()).await.collect(&COLLECT).await.unwrap();
        assert_eq!(halves(root.path()), [] as [PathBuf; 0], "at {calls}");
        if !struck {
            break;
        }
        calls += 1;
    }
    assert!(leftovers >= 6, "{leftovers}");
}

/// The half-written files in a folder and its subfolders.
fn halves(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let halves = entries.flat_map(|path| if path.is_dir() { halves(&path) } else { vec![path] });
    halves.filter(|path| path.to_string_lossy().contains('#')).collect()
}
