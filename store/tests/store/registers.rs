//! Tests of registers: copies of manifests that save requests, and are never relied on if they are
//! not those of the objects as they are.

use std::sync::Arc;

use bitx::Effort;
use bitx_store::{Backend, Digest, Family, GcOptions, Part, Relations, Repaired, Source, Stats, Store, VerifyDepth};
use futures::TryStreamExt;
use futures::future::join_all;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::support::counted::Counted;
use crate::support::crowd::Crowd;
use crate::support::models::name;
use crate::support::weights::{Random, Weights};

/// A store in memory with a base, a fine-tune, and made-up models like them.
struct Scene {
    storage: Arc<InMemory>,
    counted: Counted,
    store: Store,
}

/// Everything that is made from all manifests.
#[derive(Debug, PartialEq)]
struct Whole {
    models: Vec<String>,
    stats: Stats,
    families: Vec<Family>,
    relatives: Vec<String>,
}

impl Scene {
    async fn of(models: u64) -> Self {
        let storage = Arc::new(InMemory::new());
        let counted = Counted::new(storage.clone());
        let store = Store::over(Backend::over(Arc::new(counted.clone())), 2).await.unwrap();
        let (folder, base) = (tempfile::tempdir().unwrap(), Weights::small(&mut Random(1)));
        for (model, weights) in [("base", &base), ("tuned", &base.noisy(&mut Random(2)))] {
            let file = folder.path().join(model);
            std::fs::write(&file, weights.to_file()).unwrap();
            let source = Source { path: "model.safetensors".into(), file };
            store.add(&name(model), &[source], Effort::Fast, &|_| {}).await.unwrap();
        }
        Crowd::like(&*storage, &store, ["base", "tuned"]).await.write(0..models).await;
        Self { storage, counted, store }
    }

    /// All that is made from the manifests, and the number of requests that it took.
    async fn read(&self) -> (Whole, u64) {
        self.counted.take();
        let mut models: Vec<String> = self.store.models().await.unwrap().iter().map(|m| m.name.to_string()).collect();
        models.sort();
        let (stats, families) = (self.store.stats().await.unwrap(), self.store.families().await.unwrap());
        let relations = Relations::default().refresh(&self.store).await.unwrap().unwrap();
        let requests = self.counted.take().requests;
        let tuned = self.store.model(&name("tuned")).await.unwrap();
        let related = relations.relatives(&tuned.files[0], |_| true);
        let mut relatives: Vec<String> = related.iter().map(|related| related.file.id.to_string()).collect();
        relatives.sort();
        (Whole { models, stats, families, relatives }, requests)
    }

    async fn keys(&self, folder: &str) -> Vec<String> {
        let listed: Vec<_> = self.storage.list(Some(&Path::from(folder))).try_collect().await.unwrap();
        listed.into_iter().map(|object| object.location.to_string()).collect()
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.storage.put(&Path::from(key), bytes.into()).await.unwrap();
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        self.storage.get(&Path::from(key)).await.unwrap().bytes().await.unwrap().to_vec()
    }

    async fn collect(&self) -> u64 {
        self.store.collect(&GcOptions::default()).await.unwrap().objects
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_manifests_are_read_by_few_requests() {
    let scene = Scene::of(300).await;
    let (whole, before) = scene.read().await;
    assert!(before > 7 * 300, "{before}");
    assert_eq!(scene.store.index(&|_| {}).await.unwrap().registers, 1);
    let (again, after) = scene.read().await;
    assert_eq!(again, whole);
    assert!(after < 40, "{after}");
    // New models are read themselves, and are in no register as long as they are few.
    let old = scene.keys("models").await.len();
    Crowd::like(&*scene.storage, &scene.store, ["base", "tuned"]).await.write(300..310).await;
    assert_eq!(scene.keys("models").await.len(), old + 10);
    let (more, few) = scene.read().await;
    assert_eq!(more.models.len(), whole.models.len() + 10);
    assert!(few < after + 10 * 8, "{few}");
    assert_eq!(scene.store.index(&|_| {}).await.unwrap().registers, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_collection_share_the_registers() {
    let scene = Scene::of(200).await;
    scene.collect().await;
    for number in (0..200).step_by(3) {
        scene.store.remove(&name(&format!("org-0/model-{number}"))).await.unwrap();
    }
    let (whole, _) = scene.read().await;
    let mut removed = 0;
    for number in 1..=4 {
        scene.counted.take();
        let part = Part::new(number, 4).unwrap();
        let collected = scene.store.collect_part(part, &GcOptions::default()).await.unwrap();
        removed += collected.objects;
        let requests = scene.counted.take().requests - collected.objects;
        // The folders of a part are listed one by one.
        assert!(requests < 400, "part {number}: {requests} requests beside {} removals", collected.objects);
    }
    assert!(removed >= 67);
    assert_eq!((scene.read().await.0, scene.collect().await), (whole, 0));
}

/// A manifest whose pieces have other ids than in the register must keep those that it has now.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_was_written_again_is_read_itself() {
    let scene = Scene::of(60).await;
    scene.collect().await;
    assert_eq!(scene.keys("registers").await.len(), 1);
    let [base, model] = ["org-0/model-20", "org-0/model-21"].map(name);
    let base = scene.store.model(&base).await.unwrap().files[0].id;
    let model = scene.store.model(&model).await.unwrap().files[0].id;
    let shared: Vec<_> = scene.store.file(&base).await.unwrap().pieces().map(|piece| piece.id).collect();
    let id = model.to_string();
    let place = |kind: &str, id: &str| format!("{kind}/{}/{}/0", &id[..2], &id[2..]);
    let mut text = String::from_utf8(scene.get(&place("files", &id)).await).unwrap();
    let manifest = scene.store.file(&model).await.unwrap();
    let own = manifest.pieces().map(|piece| piece.id).filter(|id| !shared.contains(id));
    let old: Vec<String> = own.map(|id| id.to_string()).collect();
    assert!(!old.is_empty());
    let new: Vec<String> = old.iter().map(|id| Digest::of(id.as_bytes()).to_string()).collect();
    for (old, new) in old.iter().zip(&new) {
        text = text.replace(old, new);
        scene.put(&place("pieces", new), vec![0]).await;
    }
    scene.put(&place("files", &id), text.into()).await;
    assert!(scene.collect().await >= old.len() as u64);
    let pieces = scene.keys("pieces").await;
    assert!(new.iter().all(|id| pieces.contains(&place("pieces", id))));
    assert!(!old.iter().any(|id| pieces.contains(&place("pieces", id))));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_registers_stop_nothing_and_are_repaired() {
    let scene = Scene::of(60).await;
    let (whole, _) = scene.read().await;
    scene.store.index(&|_| {}).await.unwrap();
    let [key] = &scene.keys("registers").await[..] else { panic!("one register") };
    let pristine = scene.get(key).await;
    let flip = |at: usize| {
        let mut bytes = pristine.clone();
        bytes[at] ^= 1;
        (key.clone(), bytes)
    };
    let foreign = b"no register, under its own digest".to_vec();
    let damages = [
        flip(0),
        flip(pristine.len() / 2),
        flip(pristine.len() - 1),
        (key.clone(), pristine[..pristine.len() / 2].to_vec()),
        (key.clone(), Vec::new()),
        (format!("registers/{}", Digest::of(&foreign)), foreign),
    ];
    for (how, (damaged, bytes)) in damages.into_iter().enumerate() {
        scene.put(&damaged, bytes).await;
        assert_eq!(scene.read().await.0, whole, "damage {how}");
        assert_eq!(scene.store.collect(&GcOptions { dry_run: true, ..GcOptions::default() }).await.unwrap().objects, 0);
        let found = scene.store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems;
        assert!(matches!(&found[..], [problem] if problem.key == damaged), "damage {how}: {found:?}");
        let Repaired { verified, repaired } =
            scene.store.repair(VerifyDepth::Presence, Default::default(), &|_| {}).await.unwrap();
        assert_eq!(verified.problems, [], "damage {how}");
        assert!(matches!(&repaired[..], [mended] if mended.removed && mended.problem.key == damaged));
        scene.put(key, pristine.clone()).await;
    }
    // A collection replaces a damaged one by itself.
    scene.put(key, Vec::new()).await;
    scene.collect().await;
    assert_eq!(scene.store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems, []);
    assert_eq!(scene.keys("registers").await.len(), 1);
}

/// A check is of the manifests, whatever the registers have.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_the_manifests_themselves() {
    let scene = Scene::of(60).await;
    scene.collect().await;
    let manifests = [scene.keys("models/org-0").await, scene.keys("files").await];
    for key in manifests.iter().map(|keys| &keys[keys.len() / 2]) {
        let pristine = scene.get(key).await;
        scene.put(key, b"damage".to_vec()).await;
        let found = scene.store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems;
        assert!(found.iter().any(|problem| problem.key == *key), "{key}: {found:?}");
        scene.put(key, pristine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registers_follow_the_store() {
    let scene = Scene::of(3).await;
    scene.collect().await;
    assert!(scene.keys("registers").await.is_empty(), "few manifests need no register");
    let scene = Scene::of(100).await;
    scene.collect().await;
    let first = scene.keys("registers").await;
    assert_eq!(first.len(), 1);
    scene.collect().await;
    assert_eq!(scene.keys("registers").await, first, "nothing has changed");
    for number in 0..80 {
        scene.store.remove(&name(&format!("org-0/model-{number}"))).await.unwrap();
    }
    scene.collect().await;
    let second = scene.keys("registers").await;
    assert!(second.len() == 1 && second != first);
    for model in scene.store.models().await.unwrap() {
        scene.store.remove(&model.name).await.unwrap();
    }
    scene.collect().await;
    assert!(scene.keys("registers").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writers_of_registers_harm_nothing() {
    let scene = Scene::of(100).await;
    let (whole, _) = scene.read().await;
    let written = join_all((0..4).map(|_| async { scene.store.index(&|_| {}).await.unwrap().registers })).await;
    assert!(written.iter().sum::<u64>() >= 1);
    let (again, requests) = scene.read().await;
    assert_eq!(again, whole);
    assert!(requests < 60, "{requests}");
    assert_eq!(scene.store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems, []);
}
