//! Tests of the choice of a base among several families of the same architecture, whose names give
//! no hint.

mod support;

use std::collections::{HashMap, HashSet};

use bitx::Effort;
use bitx_store::{Digest, FileManifest, Model, Source, Store};
use support::models::name;
use support::open;
use support::weights::{Random, Weights};

const FAMILIES: usize = 3;

/// Models with the number of their family: for each family a base, and fine-tunes that are noisy,
/// of low rank and sparse.
fn models(random: &mut Random) -> Vec<(usize, Weights)> {
    let architecture = Weights::committed();
    let mut models = Vec::new();
    for family in 0..FAMILIES {
        let base = architecture.redrawn(random);
        let tuned = [base.noisy(random), base.low_rank(random), base.sparse(random)];
        models.extend(tuned.into_iter().chain([base]).map(|model| (family, model)));
    }
    models
}

/// The manifest of the only file of a model.
async fn manifest(store: &Store, model: &Model) -> FileManifest {
    store.file(&model.files[0].id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_delta_is_against_its_own_family() {
    let (mut random, root, outside) = (Random(6), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut models = models(&mut random);
    random.shuffle(&mut models);
    let mut names: Vec<u64> = (0..models.len() as u64).collect();
    random.shuffle(&mut names);
    let store = open(root.path()).await;
    let mut holders: HashMap<Digest, HashSet<usize>> = HashMap::new();
    let mut met = HashSet::new();
    for ((family, weights), number) in models.iter().zip(names) {
        let (model, file) = (name(&format!("model-{number}")), outside.path().join("model.safetensors"));
        std::fs::write(&file, weights.to_file()).unwrap();
        let source = Source { path: "model.safetensors".into(), file };
        let added = store.add(&model, &[source], Effort::Fast, &|_| {}).await.unwrap();
        let manifest = manifest(&store, &store.model(&model).await.unwrap()).await;
        let large = manifest.pieces().filter(|piece| piece.length >= 64 << 10);
        for piece in large {
            let first = !met.contains(family);
            assert_eq!(piece.base.is_none(), first, "{model} of family {family}: {added:?}");
        }
        for piece in manifest.pieces() {
            if let Some(base) = piece.base {
                assert!(holders[&base.digest].contains(family), "{model} of family {family} is against {base:?}");
            }
            holders.entry(piece.id.digest).or_default().insert(*family);
        }
        met.insert(*family);
    }
    assert_eq!((met.len(), models.len()), (FAMILIES, 4 * FAMILIES));
    // The store's own analysis finds the same families.
    let families = store.families().await.unwrap();
    assert_eq!(families.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4]);
}

/// Checkpoints that are added together are deltas against the first of them, as they are if they are
/// added one by one.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_arrive_together_see_each_other() {
    let (mut random, outside) = (Random(7), tempfile::tempdir().unwrap());
    let first = Weights::committed().redrawn(&mut random);
    let weights = [first.clone(), first.noisy(&mut random), first.low_rank(&mut random), first.sparse(&mut random)];
    let sources: Vec<Source> = (0..weights.len())
        .map(|i| Source { path: format!("checkpoint-{i}/model.safetensors"), file: outside.path().join(i.to_string()) })
        .collect();
    for (weights, source) in weights.iter().zip(&sources) {
        std::fs::write(&source.file, weights.to_file()).unwrap();
    }
    let (root, one_by_one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let together = store.add(&name("all"), &sources, Effort::Default, &|_| {}).await.unwrap();
    let (mut apart, other) = (0, open(one_by_one.path()).await);
    for (number, source) in sources.iter().enumerate() {
        let model = name(&format!("m{number}"));
        apart += other.add(&model, std::slice::from_ref(source), Effort::Default, &|_| {}).await.unwrap().stored_bytes;
    }
    assert!(together.stored_bytes <= apart && together.delta_bytes * 10 > together.bytes * 7, "{together:?} {apart}");
    let model = store.model(&name("all")).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    store.get(&model, out.path(), &|_| {}).await.unwrap();
    for source in &sources {
        assert!(std::fs::read(out.path().join(&source.path)).unwrap() == std::fs::read(&source.file).unwrap());
    }
}
