//! Tests that adding a model costs what the model costs, however many models are stored, and that
//! their hints are collected, made again and listed in pages.

use std::sync::Arc;

use bitx::Effort;
use bitx_store::{Added, Backend, GcOptions, Source, Store, VerifyDepth};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::support::counted::Counted;
use crate::support::models::name;
use crate::support::weights::{Random, Weights};

/// A store in memory whose requests are counted.
struct Scene {
    store: Store,
    counted: Counted,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn over(storage: Arc<dyn ObjectStore>) -> Self {
        let counted = Counted::new(storage);
        let store = Store::over(Backend::over(Arc::new(counted.clone())), 2).await.unwrap();
        Self { store, counted, folder: tempfile::tempdir().unwrap() }
    }

    /// Adds a model, and returns what was added and the number of requests.
    async fn add(&self, model: &str, weights: &Weights) -> (Added, u64) {
        let file = self.folder.path().join("model");
        std::fs::write(&file, weights.to_file()).unwrap();
        self.counted.take();
        let source = Source { path: "model.safetensors".into(), file };
        let added = self.store.add(&name(model), &[source], Effort::Fast, &|_| {}).await.unwrap();
        (added, self.counted.take().requests)
    }
}

/// The bases of unrelated models of one architecture.
fn bases(count: u64) -> impl Iterator<Item = Weights> {
    (0..count).map(|seed| Weights::small(&mut Random(seed << 32)))
}

async fn filled(models: u64) -> Arc<InMemory> {
    let storage = Arc::new(InMemory::new());
    let scene = Scene::over(storage.clone()).await;
    for (number, weights) in bases(models).enumerate() {
        scene.add(&format!("org/base-{number}"), &weights).await;
    }
    storage
}

/// The models to add: a fine-tune of a stored one, and a stranger.
fn new() -> [(&'static str, Weights); 2] {
    let base = bases(1).next().unwrap();
    [("tuned", base.noisy(&mut Random(7))), ("stranger", Weights::small(&mut Random(u64::MAX)))]
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_a_model_costs_the_same_in_a_large_store() {
    let mut costs: Vec<[u64; 2]> = Vec::new();
    for models in [2, 200] {
        let storage = filled(models).await;
        let scene = Scene::over(storage.clone()).await;
        let mut cost = [0; 2];
        for ((model, weights), cost) in new().iter().zip(&mut cost) {
            let (added, requests) = scene.add(model, weights).await;
            assert_eq!(added.delta_bytes * 10 > added.bytes * 9, *model == "tuned", "{model}: {added:?}");
            *cost = requests;
        }
        costs.push(cost);
    }
    for (few, many) in costs[0].iter().zip(&costs[1]) {
        assert!(many * 2 <= few * 3, "{costs:?}");
    }
}

/// Removes the signatures, which earlier writers did not store.
async fn forget_signatures(storage: &dyn ObjectStore) {
    let signatures: Vec<_> = storage.list(Some(&Path::from("signatures"))).try_collect().await.unwrap();
    for object in signatures {
        storage.delete(&object.location).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_earlier_layout_is_read_and_indexed() {
    let storage = filled(20).await;
    forget_signatures(&*storage).await;
    let scene = Scene::over(storage.clone()).await;
    let [(_, tuned), (_, stranger)] = new();
    let is_delta = |added: &Added| added.delta_bytes * 10 > added.bytes * 9;
    let (added, before) = scene.add("tuned", &tuned).await;
    assert!(is_delta(&added), "{added:?}");
    assert!(!is_delta(&scene.add("stranger", &stranger).await.0));
    let (added, _) = scene.add("of-stranger", &stranger.noisy(&mut Random(9))).await;
    assert!(is_delta(&added), "a model that was added since has signatures: {added:?}");

    let indexed = scene.store.index(&|_| {}).await.unwrap();
    // The fine-tunes hold nothing that is stored whole but their headers.
    assert!(indexed.files >= 20 && indexed.signatures >= 40, "{indexed:?}");
    assert_eq!(scene.store.index(&|_| {}).await.unwrap().signatures, 0);
    let (added, after) = scene.add("again", &bases(1).next().unwrap().sparse(&mut Random(8))).await;
    assert!(is_delta(&added) && after + 40 <= before, "{added:?}, {before} and {after} requests");
    assert_eq!(scene.store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_collected_with_their_file_and_missing_ones_made_again() {
    let storage = Arc::new(InMemory::new());
    let scene = Scene::over(storage.clone()).await;
    let base = bases(1).next().unwrap();
    let signatures = || async {
        let listed: Vec<_> = storage.list(Some(&Path::from("signatures"))).try_collect().await.unwrap();
        listed.into_iter().map(|object| object.location.to_string()).filter(|key| !key.ends_with("complete")).count()
    };
    scene.add("a", &base).await;
    assert_eq!(signatures().await, 2);
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(signatures().await, 2);
    forget_signatures(&*storage).await;
    scene.store.index(&|_| {}).await.unwrap();
    assert_eq!(signatures().await, 2);
    scene.store.remove(&name("a")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(signatures().await, 0);
    scene.add("a", &base).await;
    assert_eq!(signatures().await, 2);
    // Half of the hints are enough to find the base.
    let one = storage.list(Some(&Path::from("signatures"))).try_collect::<Vec<_>>().await.unwrap().remove(0).location;
    storage.delete(&one).await.unwrap();
    let (added, _) = scene.add("tuned", &base.noisy(&mut Random(1))).await;
    assert!(added.delta_bytes * 10 > added.bytes * 9, "{added:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_in_pages() {
    let storage = filled(7).await;
    let scene = Scene::over(storage).await;
    scene.store.remove(&name("org/base-3")).await.unwrap();
    let all: Vec<String> = scene.store.models().await.unwrap().iter().map(|model| model.name.to_string()).collect();
    for most in [1, 2, 5, 6, 7, usize::MAX] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            scene.counted.take();
            let (page, last) = scene.store.page(after.as_ref(), most).await.unwrap();
            assert!(scene.counted.take().requests <= most.min(6) as u64 + 1);
            listed.extend(page.models.into_iter().map(|model| model.name.to_string()));
            after = last;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, all, "{most}");
    }
}
