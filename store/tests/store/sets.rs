//! Tests of packed numbers, whose scales and zero points are tensors of their own: a store keeps
//! both together, as sets.
//!
//! `cargo test -p bitx-store --test store sets -- --nocapture` prints the share of each format.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitx::Effort;
use bitx_store::{Added, Backend, Copies, GcOptions, PieceRef, Source, Store, VerifyDepth};
use object_store::memory::InMemory;

use crate::quantised::{Model, add, share};
use crate::support::counted::Counted;
use crate::support::models::{copy, name, sources};
use crate::support::open;
use crate::support::packings::{PACKINGS, Packing, to_file};
use crate::support::weights::Random;

/// A model in a packing, as safetensors. Numbers and companions are apart, as they are in files
/// that are sorted by dtype.
pub fn packed(model: &Model, packing: Packing) -> Vec<u8> {
    let mut tensors = Vec::new();
    for tensor in &model.0 {
        let stem = tensor.names[0].strip_suffix(".weight").unwrap();
        let bytes = || tensor.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        match tensor.rows {
            1 => tensors.push((tensor.names[0].to_owned(), "F32", vec![tensor.weights.len() as u64], bytes())),
            rows => tensors.extend(packing(stem, &tensor.weights, tensor.weights.len() / rows)),
        }
    }
    tensors.sort_by_key(|tensor| tensor.1);
    to_file(&tensors)
}

/// A store of models, and their files.
pub struct Scene {
    root: tempfile::TempDir,
    outside: tempfile::TempDir,
    pub store: Store,
}

impl Scene {
    pub async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path()).await;
        Self { root, outside: tempfile::tempdir().unwrap(), store }
    }

    /// Adds a file as a model, and checks that it is restored.
    pub async fn add(&self, model: &str, bytes: &[u8]) -> Added {
        add(&self.store, self.outside.path(), model, bytes).await
    }

    fn source(&self, model: &str) -> Source {
        Source { path: "model".into(), file: self.outside.path().join(model) }
    }

    /// The same store in another folder.
    async fn fork(&self) -> Self {
        let scene = Self::new().await;
        copy(self.root.path(), scene.root.path());
        scene
    }

    /// Adds a model of a scene once more.
    pub async fn again(&self, model: &str, of: &Self) -> Added {
        self.add(model, &fs::read(of.outside.path().join(model)).unwrap()).await
    }

    /// Returns `true` if a model of a scene is restored, and panics if it is to other bytes.
    pub async fn restores(&self, model: &str, of: &Self) -> bool {
        let out = tempfile::tempdir().unwrap();
        if self.store.get(&self.store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.is_err() {
            return false;
        }
        let read = |path: &Path| fs::read(path).unwrap();
        assert!(read(&out.path().join("model")) == read(&of.outside.path().join(model)), "{model}");
        true
    }

    pub async fn problems(&self) -> Vec<String> {
        let verified = self.store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        verified.problems.into_iter().map(|problem| problem.key).collect()
    }

    /// The pieces that the tensors of a model are in, each with its kind and the path of its
    /// object.
    pub async fn pieces(&self, model: &str) -> Vec<(PieceRef, u8, PathBuf)> {
        let model = self.store.model(&name(model)).await.unwrap();
        let manifest = self.store.file(&model.files[0].id).await.unwrap();
        let object = |piece: &PieceRef| {
            let path = self.path(piece);
            (*piece, fs::read(&path).unwrap()[0], path)
        };
        manifest.pieces().map(object).collect()
    }

    fn path(&self, piece: &PieceRef) -> PathBuf {
        let hex = piece.id.digest.to_string();
        self.root.path().join("pieces").join(&hex[..2]).join(&hex[2..]).join(piece.id.epoch.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_packing_takes_little_beside_its_floats_and_its_own_kind() {
    // The shares beside the own floats, beside the same packing of the base, and without either.
    let most = [
        ("GPTQ", 0.012, 0.18, 0.90),
        ("AWQ", 0.012, 0.18, 0.91),
        ("MLX", 0.008, 0.21, 0.92),
        ("compressed-tensors", 0.010, 0.165, 0.88),
        ("NF4", 0.007, 0.195, 0.90),
        ("FP8 blocks", 0.005, 0.32, 0.83),
        ("MatMulNBits", 0.026, 0.225, 0.94),
    ];
    let (base, mut large) = (Model::new(11), Vec::new());
    let tuned = base.tuned(12);
    for ((format, packing), (row, beside_floats, beside_packed, alone)) in PACKINGS.into_iter().zip(most) {
        assert_eq!(format, row);
        let [first, second] = [Scene::new().await, Scene::new().await];
        first.add("stranger", &Model::new(13).floats()).await;
        first.add("floats", &tuned.floats()).await;
        let floats_first = first.add("packed", &packed(&tuned, packing)).await;
        let packed_first = second.add("base", &packed(&base, packing)).await;
        let beside = second.add("tuned", &packed(&tuned, packing)).await;
        let floats_later = second.add("floats", &tuned.floats()).await;
        let shares = [&floats_first, &beside, &packed_first, &floats_later].map(share);
        println!(
            "{format}: beside floats {:.4}, beside its kind {:.4}, alone {:.4}, floats later {:.4}",
            shares[0], shares[1], shares[2], shares[3]
        );
        if shares[0] > beside_floats || shares[1] > beside_packed || shares[2] > alone || shares[3] > 0.66 {
            large.push((format, shares));
        }
        for scene in [&first, &second] {
            assert_eq!(scene.problems().await, [""; 0], "{format}");
        }
        let stats = first.store.stats().await.unwrap();
        assert!(stats.value_input_bytes * 10 > floats_first.bytes * 9, "{format}: {stats:?}");
        assert!(stats.value_bytes * 50 < stats.value_input_bytes && stats.saved() > 0.4, "{format}: {stats:?}");
    }
    assert_eq!(large, []);
}

/// A model of two matrices, one of which is too small for a sketch when it is packed.
fn small(seed: u64) -> Model {
    Model(Model::new(seed).0.into_iter().skip(1).take(2).collect())
}

/// The stored bytes of objects.
pub fn objects(scene: &Scene, folder: &str) -> usize {
    let path = scene.root.path().join(folder);
    if path.exists() { sources(&path).len() } else { 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_changed_byte_of_a_set_is_noticed() {
    let (scene, model) = (Scene::new().await, small(21));
    scene.add("floats", &model.floats()).await;
    scene.add("packed", &packed(&model, PACKINGS[1].1)).await;
    let pieces = scene.pieces("packed").await;
    let (.., path) = pieces.iter().find(|(_, kind, _)| *kind == 7).unwrap();
    let bytes = fs::read(path).unwrap();
    for at in (0..120).chain((120..bytes.len()).step_by(bytes.len() / 20)).chain([bytes.len() - 1]) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(path, flipped).unwrap();
        assert!(!scene.problems().await.is_empty(), "byte {at}");
    }
    fs::write(path, &bytes).unwrap();
    assert_eq!(scene.problems().await, [""; 0]);
}

/// A set, its base, and the manifest of the file that consists of the sets are damaged in turn.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_sets_are_mended() {
    let (pristine, model) = (Scene::new().await, small(21));
    let files = [("floats", model.floats()), ("packed", packed(&model, PACKINGS[1].1)), ("other", small(22).floats())];
    for (name, bytes) in &files {
        pristine.add(name, bytes).await;
    }
    let sources: Vec<Source> = files.iter().map(|(model, _)| pristine.source(model)).collect();
    let pieces = pristine.pieces("packed").await;
    let (set, _, path) = pieces.iter().find(|(_, kind, _)| *kind == 7).unwrap();
    let base = pristine.path(&PieceRef { id: set.base.unwrap(), base: None, length: 0 });
    let own = sources_of_sets(&pristine.root.path().join("files"));
    for path in [path, &base, &own] {
        let key = path.strip_prefix(pristine.root.path()).unwrap();
        for forged in [None, Some(vec![]), Some(vec![3; 50])] {
            for mend in 0..3 {
                let scene = pristine.fork().await;
                match &forged {
                    Some(forged) => fs::write(scene.root.path().join(key), forged).unwrap(),
                    None => fs::remove_file(scene.root.path().join(key)).unwrap(),
                }
                let what = format!("{key:?}: {forged:?}, {mend}");
                assert!(!scene.problems().await.is_empty(), "{what}");
                let of = |model: &'static str| scene.restores(model, &pristine);
                assert!(!of("packed").await && of("other").await, "{what}");
                let copies = match mend {
                    0 => {
                        scene.again("floats", &pristine).await;
                        scene.again("packed", &pristine).await;
                        Copies::default()
                    }
                    1 => Copies { files: &sources, store: None },
                    _ => Copies { files: &[], store: Some(&pristine.store) },
                };
                let repaired = scene.store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
                assert_eq!(repaired.verified.problems, [], "{what}");
                assert!(of("floats").await && of("packed").await && of("other").await, "{what}");
            }
        }
    }
}

/// The manifest of the file that consists of sets: the one that no model names.
fn sources_of_sets(files: &Path) -> PathBuf {
    let models = sources(&files.with_file_name("models"));
    let named: Vec<String> = models.iter().map(|model| fs::read_to_string(&model.file).unwrap()).collect();
    let is_named = |path: &str| {
        let digest: String = path.split('/').take(2).collect();
        named.iter().any(|model| model.contains(&digest))
    };
    sources(files).into_iter().find(|file| !is_named(&file.path)).unwrap().file
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_and_their_bases_are_kept_while_they_are_needed() {
    let (scene, model) = (Scene::new().await, small(23));
    scene.add("floats", &model.floats()).await;
    scene.add("packed", &packed(&model, PACKINGS[2].1)).await;
    let bases: Vec<PieceRef> = scene.pieces("packed").await.into_iter().map(|(piece, ..)| piece).collect();
    assert_eq!(bases.iter().filter(|piece| piece.base.is_some()).count(), 2, "{bases:?}");
    scene.store.remove(&name("floats")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(scene.problems().await, [""; 0]);
    assert!(scene.restores("packed", &scene).await);
    assert_eq!((objects(&scene, "files"), objects(&scene, "pieces")), (2, bases.len() + 2));
    // The floats find what is left of them, and the sets are written again once they were
    // condemned.
    scene.again("floats", &scene).await;
    scene.store.remove(&name("packed")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(scene.problems().await, [""; 0]);
    scene.again("packed", &scene).await;
    scene.store.remove(&name("floats")).await.unwrap();
    scene.store.remove(&name("packed")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!((objects(&scene, "files"), objects(&scene, "pieces")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_sets_are_stored_once() {
    let (scene, mut model) = (Scene::new().await, small(24));
    scene.add("floats", &model.floats()).await;
    scene.add("packed", &packed(&model, PACKINGS[0].1)).await;
    let (before, files) = (objects(&scene, "pieces"), objects(&scene, "files"));
    model.0[0].names[0] = "student.q_proj.weight";
    model.0[1].names[0] = "student.k_proj.weight";
    let added = scene.add("renamed", &packed(&model, PACKINGS[0].1)).await;
    // The header is new, and the file that consists of the sets is the same one.
    assert_eq!((objects(&scene, "pieces"), objects(&scene, "files")), (before + 1, files + 1));
    assert!(added.stored_bytes < 3000 && added.known_bytes + 4096 > added.bytes, "{added:?}");
    assert_eq!(scene.problems().await, [""; 0]);
}

/// Packed numbers that are stored already, as by an earlier release, keep the base that is better.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_made_only_where_it_pays() {
    let packing = PACKINGS.iter().find(|(format, _)| *format == "FP8 blocks").unwrap().1;
    let (base, scene) = (Model(Model::new(25).0.into_iter().skip(2).take(1).collect()), Scene::new().await);
    // Short sets that have no floats are pieces and packs, as if they were none.
    scene.add("base", &packed(&base, packing)).await;
    assert!(scene.pieces("base").await.iter().all(|(piece, kind, _)| piece.base.is_none() && *kind != 7));
    scene.add("floats", &base.floats()).await;
    let tuned = base.tuned(26);
    let added = scene.add("tuned", &packed(&tuned, packing)).await;
    println!("FP8 of a fine-tune: {:.4}", share(&added));
    let own = Scene::new().await;
    own.add("base", &packed(&base, packing)).await;
    let alone = own.add("tuned", &packed(&tuned, packing)).await;
    assert!(added.stored_bytes <= alone.stored_bytes + 600, "{added:?}, {alone:?}");
}

/// A large set is read once, and not once for each of its tensors: for those that follow one
/// another, and for short ones behind others.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_set_is_read_at_once() {
    let (outside, mut random) = (tempfile::tempdir().unwrap(), Random(27));
    let weights = (0..3072 * 3072).map(|_| 0.02 * random.normal()).collect::<Vec<f32>>();
    for (number, stems) in [vec!["a"], vec!["b", "c"]].into_iter().enumerate() {
        let counted = Counted::new(Arc::new(InMemory::new()));
        let store = Store::over(Backend::over(Arc::new(counted.clone())), 1).await.unwrap();
        let mut tensors: Vec<_> = stems.iter().flat_map(|stem| PACKINGS[2].1(stem, &weights, 3072)).collect();
        // Numbers first, in words of 32 bits.
        tensors.sort_by_key(|tensor| (tensor.1 != "U32", tensor.0.clone()));
        tensors.iter_mut().skip(1).for_each(|tensor| tensor.3[0] ^= number as u8 + 1);
        let file = outside.path().join("model");
        let packed = to_file(&tensors);
        fs::write(&file, &packed).unwrap();
        store.add(&name("m"), &[Source { path: "model".into(), file }], Effort::Fast, &|_| {}).await.unwrap();
        let entry = store.model(&name("m")).await.unwrap().files.remove(0);
        let manifest = store.file(&entry.id).await.unwrap();
        let large: u64 = manifest.pieces().map(|piece| piece.length).filter(|length| *length > 4 << 20).sum();
        assert!(large + 4096 > packed.len() as u64);
        counted.take();
        let mut restored = Vec::new();
        let write = |part: bytes::Bytes| {
            restored.extend_from_slice(&part);
            std::future::ready(Ok(()))
        };
        store.restore(&entry, write).await.unwrap();
        assert!(restored == packed);
        let traffic = counted.take();
        assert!(traffic.bytes < packed.len() as u64, "{traffic:?}");
    }
}
