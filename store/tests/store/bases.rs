//! Tests of the choice of a base among several families of the same architecture, whose names give
//! no hint.

use std::collections::{HashMap, HashSet};

use bitx::Effort;
use bitx_store::{Copies, Digest, FileManifest, GcOptions, Model, Source, Store, VerifyDepth};

use crate::support::models::name;
use crate::support::weights::{Random, Weights};
use crate::support::{common, open};

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

/// Experts as they are stored one by one, and as two stacks: of gate and up, and of down.
struct Experts(Vec<[Vec<u8>; 3]>);

impl Experts {
    const ROWS: u64 = 128;
    const COLUMNS: u64 = 256;

    fn new(count: usize, random: &mut Random) -> Self {
        let mut tensor = || (0..Self::ROWS * Self::COLUMNS).flat_map(|_| bf16(0.02 * random.normal())).collect();
        Self((0..count).map(|_| [tensor(), tensor(), tensor()]).collect())
    }

    fn tuned(&self, random: &mut Random) -> Self {
        let mut tuned = |bytes: &Vec<u8>| -> Vec<u8> {
            let weights =
                bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16));
            weights.flat_map(|weight| bf16(weight + 1e-4 * random.normal())).collect()
        };
        Self(self.0.iter().map(|expert| expert.each_ref().map(&mut tuned)).collect())
    }

    fn split(&self) -> Vec<u8> {
        let shape = |which: usize| if which < 2 { [Self::ROWS, Self::COLUMNS] } else { [Self::COLUMNS, Self::ROWS] };
        let names: Vec<_> =
            (0..self.0.len()).map(|i| ["gate", "up", "down"].map(|n| format!("experts.{i}.{n}"))).collect();
        let tensors: Vec<_> = (0..self.0.len() * 3)
            .map(|n| (names[n / 3][n % 3].as_str(), "BF16", shape(n % 3), &self.0[n / 3][n % 3][..]))
            .collect();
        let tensors: Vec<_> =
            tensors.iter().map(|(name, dtype, shape, bytes)| (*name, *dtype, &shape[..], *bytes)).collect();
        common::model(&tensors)
    }

    fn fused(&self) -> Vec<u8> {
        let gate_up: Vec<u8> = self.0.iter().flat_map(|[gate, up, _]| [&gate[..], up].concat()).collect();
        let down: Vec<u8> = self.0.iter().flat_map(|[.., down]| down.clone()).collect();
        let count = self.0.len() as u64;
        common::model(&[
            ("experts.gate_up", "BF16", &[count, 2 * Self::ROWS, Self::COLUMNS], &gate_up),
            ("experts.down", "BF16", &[count, Self::COLUMNS, Self::ROWS], &down),
        ])
    }
}

fn bf16(weight: f32) -> [u8; 2] {
    let bits = weight.to_bits();
    (((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16).to_le_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn fused_and_split_experts_find_each_other() {
    let (mut random, outside) = (Random(3), tempfile::tempdir().unwrap());
    let base = Experts::new(6, &mut random);
    let tuned = base.tuned(&mut random);
    for (first, second, most) in [
        (base.split(), base.fused(), 0.02),
        (base.split(), tuned.fused(), 0.21),
        (base.fused(), base.split(), 0.02),
        (base.fused(), tuned.split(), 0.21),
        (base.fused(), tuned.fused(), 0.21),
    ] {
        let (root, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(root.path()).await;
        let source = |model: &str| Source { path: "model.safetensors".into(), file: outside.path().join(model) };
        for (model, bytes) in [("base", &first), ("tuned", &second)] {
            std::fs::write(source(model).file, bytes).unwrap();
            let added = store.add(&name(model), &[source(model)], Effort::Default, &|_| {}).await.unwrap();
            let share = added.stored_bytes as f64 / added.bytes as f64;
            println!("{model}: {share:.4}");
            assert!(model == "base" || share <= most, "{share}, not {most}");
        }
        assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
        // A copy of the file repairs its parts, which depend on what was stored before it.
        let other = open(copy.path()).await;
        other.add(&name("tuned"), &[source("tuned")], Effort::Fast, &|_| {}).await.unwrap();
        let sources = [source("base"), source("tuned")];
        for copies in [Copies { files: &sources, store: None }, Copies { files: &sources[..1], store: Some(&other) }] {
            for piece in crate::support::models::sources(&root.path().join("pieces")) {
                let mut bytes = std::fs::read(&piece.file).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                std::fs::write(&piece.file, bytes).unwrap();
            }
            assert_ne!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
            let repaired = store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
            assert_eq!(repaired.verified.problems, []);
        }
    }
}
