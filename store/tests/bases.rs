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
