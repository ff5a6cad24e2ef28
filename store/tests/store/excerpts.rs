//! Tests of tensors that are put together from tensors of a stored file, such as experts that are
//! fused in one release and split in another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bitx::Effort;
use bitx_store::{Added, Copies, GcOptions, Model, Source, Store, VerifyDepth};
use serde_json::{Value, json};

use crate::support::common::model;
use crate::support::models::name;
use crate::support::open;
use crate::support::weights::Random;

const EXPERTS: u64 = 4;
const ROWS: u64 = 128;
const COLUMNS: u64 = 256;

/// Models with the same experts, and a store.
struct Scene {
    folder: tempfile::TempDir,
    store: Store,
}

/// Random weights in BF16.
fn weights(random: &mut Random) -> Vec<u8> {
    let word = |random: &mut Random| ((0.02 * random.normal()).to_bits() >> 16) as u16;
    (0..ROWS * COLUMNS).flat_map(|_| word(random).to_le_bytes()).collect()
}

/// A file of the tensors with these names, shapes and bytes.
fn file(tensors: &[(String, Vec<u64>, Vec<u8>)]) -> Vec<u8> {
    let tensors: Vec<_> =
        tensors.iter().map(|(name, shape, bytes)| (name.as_str(), "BF16", &shape[..], &bytes[..])).collect();
    model(&tensors)
}

impl Scene {
    /// The models `split`, `fused` and `other`, and an empty store.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut random, mut split) = (Random(1), Vec::new());
        let (mut gates_ups, mut downs) = (Vec::new(), Vec::new());
        for expert in 0..EXPERTS {
            let [gate, up, down] = [(); 3].map(|()| weights(&mut random));
            gates_ups.extend([&gate[..], &up].concat());
            downs.extend_from_slice(&down);
            let tensors =
                [("gate", gate, [ROWS, COLUMNS]), ("up", up, [ROWS, COLUMNS]), ("down", down, [COLUMNS, ROWS])];
            split.extend(tensors.map(|(name, bytes, shape)| (format!("{expert}.{name}"), shape.to_vec(), bytes)));
        }
        let fused = [
            ("down".to_owned(), vec![EXPERTS, COLUMNS, ROWS], downs),
            ("gate_up".to_owned(), vec![EXPERTS, 2 * ROWS, COLUMNS], gates_ups),
        ];
        let other = [("other".to_owned(), vec![ROWS, COLUMNS], weights(&mut random))];
        for (model, bytes) in [("split", file(&split)), ("fused", file(&fused)), ("other", file(&other))] {
            fs::write(folder.path().join(model), bytes).unwrap();
        }
        let store = open(&folder.path().join("store")).await;
        Self { folder, store }
    }

    fn path(&self, model: &str) -> PathBuf {
        self.folder.path().join(model)
    }

    fn source(&self, model: &str) -> [Source; 1] {
        [Source { path: "model.safetensors".into(), file: self.path(model) }]
    }

    async fn add(&self, model: &str) -> Added {
        self.store.add(&name(model), &self.source(model), Effort::Fast, &|_| {}).await.unwrap()
    }

    async fn model(&self, model: &str) -> Model {
        self.store.model(&name(model)).await.unwrap()
    }

    /// The path of the manifest of the model's file.
    async fn manifest(&self, model: &str) -> PathBuf {
        let id = self.model(model).await.files[0].id.digest.to_string();
        self.path("store").join(format!("files/{}/{}/0", &id[..2], &id[2..]))
    }

    async fn check(&self, model: &str) {
        let out = tempfile::tempdir().unwrap();
        self.store.get(&self.model(model).await, out.path(), &|_| {}).await.unwrap();
        assert!(fs::read(out.path().join("model.safetensors")).unwrap() == fs::read(self.path(model)).unwrap());
    }

    /// The problems that a full check finds.
    async fn problems(&self) -> Vec<String> {
        let verified = self.store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        let problems = verified.problems.into_iter().map(|problem| format!("{}: {}", problem.model, problem.problem));
        problems.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Removes a model, and what only it needs.
    async fn remove(&self, model: &str) {
        self.store.remove(&name(model)).await.unwrap();
        self.store.collect(&GcOptions::default()).await.unwrap();
    }
}

fn pieces(root: &Path) -> usize {
    let folders = fs::read_dir(root.join("pieces")).unwrap();
    let objects = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    objects.flat_map(|object| fs::read_dir(object.unwrap().path()).unwrap()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fused_and_split_tensors_take_almost_nothing() {
    for (first, second) in [("split", "fused"), ("fused", "split")] {
        let scene = Scene::new().await;
        scene.add(first).await;
        let before = pieces(&scene.path("store"));
        let added = scene.add(second).await;
        // The header is a piece of its own.
        assert_eq!(pieces(&scene.path("store")), before + 1, "{second}");
        assert!(added.stored_bytes < 2500 && added.known_bytes + 4096 > added.bytes, "{second}: {added:?}");
        scene.check(second).await;
        let (file, tensor) =
            (scene.model(second).await.files.remove(0), if second == "split" { "1.up" } else { "down" });
        let tensor = scene.store.tensor(&file, tensor).await.unwrap().unwrap();
        assert!(fs::read(scene.path(second)).unwrap().windows(tensor.len()).any(|bytes| bytes == tensor));
        assert!(scene.add(second).await.unchanged);
        assert_eq!(scene.problems().await, [""; 0]);
        let stats = scene.store.stats().await.unwrap();
        assert!(stats.saved() > 0.4 && stats.delta_bytes == 0, "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_keeps_what_excerpts_need() {
    for (first, second) in [("split", "fused"), ("fused", "split")] {
        let scene = Scene::new().await;
        scene.add(first).await;
        scene.add(second).await;
        let source = scene.manifest(first).await;
        let before = pieces(&scene.path("store"));
        scene.remove(first).await;
        // Only the header of the first model is gone.
        assert_eq!(pieces(&scene.path("store")), before - 1, "{second}");
        assert!(source.exists());
        scene.check(second).await;
        assert_eq!(scene.problems().await, [""; 0]);
        // The file that is still known for its excerpts is added again in another epoch.
        scene.add(first).await;
        scene.check(first).await;
        scene.remove(second).await;
        scene.check(first).await;
        scene.remove(first).await;
        assert_eq!(pieces(&scene.path("store")), 0);
        assert!(!source.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_the_source_is_named_and_repaired() {
    for (first, second) in [("split", "fused"), ("fused", "split")] {
        for from in [first, second] {
            let scene = Scene::new().await;
            scene.add(first).await;
            scene.add(second).await;
            scene.add("other").await;
            let source = scene.manifest(first).await;
            fs::write(&source, "damaged").unwrap();
            let problems = scene.problems().await;
            assert_eq!(problems.len(), 2, "{problems:?}");
            let key = source.strip_prefix(scene.path("store")).unwrap().to_str().unwrap();
            assert!(problems.iter().all(|problem| problem.contains(key)), "{problems:?}");
            scene.check("other").await;
            scene.store.stats().await.unwrap();
            assert_eq!(scene.store.collect(&GcOptions::default()).await.unwrap().objects, 0);
            let copies = Copies { files: &scene.source(from), store: None };
            let repaired = scene.store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
            let left: BTreeSet<&str> = repaired.verified.problems.iter().map(|problem| &*problem.model).collect();
            assert_eq!(left, if from == first { BTreeSet::new() } else { BTreeSet::from([first]) }, "{repaired:?}");
            scene.check(from).await;
            // Adding both again repairs what is left.
            scene.add(first).await;
            scene.add(second).await;
            scene.check(first).await;
            scene.check(second).await;
            assert_eq!(scene.problems().await, [""; 0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pieces_of_excerpts_are_repaired_from_either_file() {
    for from in ["split", "fused"] {
        let scene = Scene::new().await;
        scene.add("split").await;
        scene.add("fused").await;
        let manifest = scene.store.file(&scene.model("split").await.files[0].id).await.unwrap();
        let piece = manifest.items[2].pieces[0].id.digest.to_string();
        let piece = scene.path("store").join(format!("pieces/{}/{}/0", &piece[..2], &piece[2..]));
        fs::write(&piece, "damaged").unwrap();
        assert_eq!(scene.problems().await.len(), 2);
        let copies = Copies { files: &scene.source(from), store: None };
        scene.store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
        scene.check(from).await;
        scene.add("split").await;
        scene.add("fused").await;
        scene.check("fused").await;
        assert_eq!(scene.problems().await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_excerpts_are_refused_by_name() {
    let scene = Scene::new().await;
    scene.add("split").await;
    scene.add("fused").await;
    scene.add("other").await;
    let [split, fused, other] = ["split", "fused", "other"].map(|model| async {
        let model = scene.model(model).await;
        (model.files[0].id.to_string(), model.files[0].length)
    });
    let ((split, length), (fused, _), (own, of_own)) = futures::join!(split, fused, other);
    let target = scene.manifest("other").await;
    let forged = |sources: Value, excerpts: Value, length: u64| {
        let item = json!({ "name": "other", "dtype": "BF16", "shape": [], "excerpts": excerpts });
        json!({ "version": 3, "length": length, "sources": sources, "items": [item] })
    };
    let many = vec![split.as_str(); 17];
    let missing = split.replace(&split[..8], "00000000");
    let cases = [
        (forged(json!([split]), json!([[0, length, 1]]), 1), "is outside of"),
        (forged(json!([split]), json!([[0, -1, 1]]), 1), "is outside of"),
        (forged(json!([split]), json!([[0, 0, length + 1]]), length + 1), "is outside of"),
        (forged(json!([split]), json!([[0, 8, u64::MAX]]), u64::MAX), "is outside of"),
        (forged(json!([split]), json!([[1, 0, 1]]), 1), "outside of no source"),
        (forged(json!([]), json!([[0, 0, 1]]), 1), "outside of no source"),
        (forged(json!([split]), json!([[0, 0, 1]]), 2), "do not add up"),
        (forged(json!([split]), json!([[0, 0, u64::MAX], [0, 0, 2]]), 1), "do not add up"),
        (forged(json!(many), json!([[0, 0, 1]]), 1), "more than 16 files"),
        (forged(json!([missing]), json!([[0, 0, 1]]), 1), "the object is missing"),
        (forged(json!([own]), json!([[0, 0, 1]]), 1), "follow one another"),
    ];
    for (manifest, problem) in cases {
        fs::write(&target, manifest.to_string()).unwrap();
        let problems = scene.problems().await;
        assert!(problems.len() == 1 && problems[0].contains(problem), "{problem}: {problems:?}");
        scene.check("fused").await;
    }
    // An excerpt of an excerpt can be read, since a file may be damaged and added again.
    fs::write(&target, forged(json!([fused]), json!([[0, 400, of_own]]), of_own).to_string()).unwrap();
    let problems = scene.problems().await;
    assert!(problems.iter().any(|problem| problem.contains("does not match its digest")), "{problems:?}");
    fs::remove_file(&target).unwrap();
    scene.add("other").await;
    scene.check("other").await;
    assert_eq!(scene.problems().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_excerpts_cost_no_more_than_their_limit() {
    let scene = Scene::new().await;
    scene.add("split").await;
    scene.add("other").await;
    let split = scene.model("split").await.files[0].clone();
    let backwards = json!([0, -(split.length as i64), split.length]);
    let excerpts: Vec<Value> = std::iter::once(json!([0, 0, split.length])).chain(vec![backwards; 40_000]).collect();
    let item = json!({ "name": "other", "dtype": "BF16", "shape": [], "excerpts": excerpts });
    let length = split.length * excerpts.len() as u64;
    let forged = json!({ "version": 3, "length": length, "sources": [split.id], "items": [item] });
    fs::write(scene.manifest("other").await, forged.to_string()).unwrap();
    let problems = scene.problems().await;
    assert!(problems.len() == 1 && problems[0].contains("262144 runs"), "{problems:?}");
}
