//! Tests of the choice of a base among several families of the same architecture, whose names give
//! no hint.

mod support;

use std::collections::{HashMap, HashSet};

use bitx::Effort;
use bitx_store::{Digest, FileManifest, GcOptions, Model, Source, Store, VerifyDepth};
use support::models::name;
use support::weights::{Random, Weights};
use support::{common, open};

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

/// Checkpoints that are added together are deltas against the first of them, as they are if they
/// are added one by one.
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

/// A model as a file: tensors `a` of 512 rows and `b` of `rows` rows, each of 256 columns.
fn file(dtype: &str, rows: usize, seed: u64, change: impl Fn(f32, &mut Random) -> f32) -> Vec<u8> {
    let (mut weights, mut noise) = (Random(1), Random(seed));
    let mut tensor = |rows: usize| -> Vec<u8> {
        let weights = (0..rows * 256).map(|_| change(0.02 * weights.normal(), &mut noise).to_bits());
        match dtype {
            "F32" => weights.flat_map(|bits| (bits & !0xFFFF).to_le_bytes()).collect(),
            _ => weights.flat_map(|bits| ((bits >> 16) as u16).to_le_bytes()).collect(),
        }
    };
    let (a, b) = (tensor(512), tensor(rows));
    common::model(&[("a", dtype, &[512, 256], &a), ("b", dtype, &[rows as u64, 256], &b)])
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_of_another_dtype_or_length_find_their_base() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let same = |weight: f32, _: &mut Random| weight;
    let tuned = |weight: f32, noise: &mut Random| weight + 1e-4 * noise.normal();
    let mut added = Vec::new();
    for (model, file) in [
        ("base", file("BF16", 1000, 2, same)),
        ("cast", file("F32", 1000, 3, same)),
        ("cast-tuned", file("F32", 1000, 4, tuned)),
        ("resized", file("BF16", 1064, 5, tuned)),
        ("cut", file("BF16", 900, 6, tuned)),
    ] {
        let path = outside.path().join(model);
        std::fs::write(&path, &file).unwrap();
        let source = Source { path: "model.safetensors".into(), file: path.clone() };
        added.push((model, store.add(&name(model), &[source], Effort::Default, &|_| {}).await.unwrap()));
        let out = tempfile::tempdir().unwrap();
        store.get(&store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.unwrap();
        assert!(std::fs::read(out.path().join("model.safetensors")).unwrap() == file, "{model}");
    }
    for ((model, added), most) in added.iter().zip([1.0, 0.02, 0.3, 0.55, 0.55]) {
        let share = added.stored_bytes as f64 / added.bytes as f64;
        println!("{model}: {share:.4}");
        assert!(share <= most, "{model}: {share}");
        assert!(*model == "base" || added.delta_bytes * 20 > added.bytes * 19, "{model}: {added:?}");
    }
    // A collection keeps the base of such deltas.
    store.remove(&name("base")).await.unwrap();
    store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
}
