//! Tests of packs: files of many short tensors, which take a few objects.
//!
//! `BITX_TENSORS` sets the number of tensors, and prints the figures:
//! `BITX_TENSORS=20000 cargo test --release -p bitx-store --test store few_objects -- --nocapture`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bitx::Effort;
use bitx_store::{Added, Copies, Digest, FileManifest, GcOptions, PieceRef, Source, Store, VerifyDepth};

use crate::support::models::{copy, name, sources};
use crate::support::open;
use crate::support::short::{Short, Tensor, bf16};
use crate::support::weights::Random;

/// A store in a folder, and the files that were added to it.
struct Scene {
    root: tempfile::TempDir,
    outside: tempfile::TempDir,
    store: Store,
}

impl Scene {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path()).await;
        Self { root, outside: tempfile::tempdir().unwrap(), store }
    }

    fn file(&self, model: &str) -> PathBuf {
        self.outside.path().join(model)
    }

    fn source(&self, model: &str) -> Source {
        Source { path: "model.safetensors".into(), file: self.file(model) }
    }

    /// Adds a file as a model, and checks that it restores.
    async fn add(&self, model: &str, file: &[u8]) -> Added {
        fs::write(self.file(model), file).unwrap();
        self.add_again(model).await
    }

    async fn add_again(&self, model: &str) -> Added {
        let source = self.source(model);
        let added = self.store.add(&name(model), &[source], Effort::Default, &|_| {}).await.unwrap();
        self.check(model).await;
        added
    }

    async fn check(&self, model: &str) {
        let out = tempfile::tempdir().unwrap();
        self.store.get(&self.store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.unwrap();
        assert!(fs::read(out.path().join("model.safetensors")).unwrap() == fs::read(self.file(model)).unwrap());
    }

    async fn restores(&self, model: &str) -> bool {
        let out = tempfile::tempdir().unwrap();
        self.store.get(&self.store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.is_ok()
    }

    async fn manifest(&self, model: &str) -> FileManifest {
        let model = self.store.model(&name(model)).await.unwrap();
        self.store.file(&model.files[0].id).await.unwrap()
    }

    fn objects(&self) -> Vec<Source> {
        sources(self.root.path())
    }

    /// The path of a piece in the store.
    fn piece(&self, piece: &PieceRef) -> PathBuf {
        let hex = piece.id.digest.to_string();
        self.root.path().join("pieces").join(&hex[..2]).join(&hex[2..]).join(piece.id.epoch.to_string())
    }

    async fn problems(&self) -> Vec<String> {
        let verified = self.store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        verified.problems.into_iter().map(|problem| problem.key).collect()
    }
}

/// The blocks of a folder on the disk, in bytes.
#[cfg(unix)]
fn on_disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let within = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => on_disk(&entry.path()),
        false => entry.metadata().unwrap().blocks() * 512,
    };
    let own = fs::metadata(folder).unwrap().blocks() * 512;
    own + fs::read_dir(folder).unwrap().map(|entry| within(entry.unwrap())).sum::<u64>()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_tensors_take_few_objects() {
    let asked = std::env::var("BITX_TENSORS").ok().map(|count| count.parse::<usize>().unwrap());
    let count = asked.unwrap_or(3000);
    let (mut random, scene) = (Random(1), Scene::new().await);
    let base = Short::new(count, &mut random);
    let tuned = base.tuned(&mut random);
    for (model, weights, most) in [("base", &base, 0.72), ("tuned", &tuned, 0.30)] {
        fs::write(scene.file(model), weights.to_file()).unwrap();
        let begun = Instant::now();
        let added = scene.store.add(&name(model), &[scene.source(model)], Effort::Default, &|_| {}).await.unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        scene.check(model).await;
        let (share, speed) = (added.stored_bytes as f64 / added.bytes as f64, added.bytes as f64 / 1e6 / seconds);
        println!("{model}: {share:.3} of {} bytes, {speed:.1} MB/s, {added:?}", added.bytes);
        assert!(share <= most, "{model}: {share}");
        let manifest = scene.manifest(model).await;
        assert!(manifest.packs.len() <= count / 2000 + 1, "{}", manifest.packs.len());
        assert!(manifest.packs.iter().all(|pack| pack.base.is_some() == (model == "tuned")));
    }
    #[cfg(unix)]
    println!("{} objects, {} bytes on the disk", scene.objects().len(), on_disk(scene.root.path()));
    assert!(scene.objects().len() <= 50, "{}", scene.objects().len());
    assert_eq!(scene.problems().await, [] as [String; 0]);
    let stats = scene.store.stats().await.unwrap();
    assert_eq!((stats.tensors, stats.delta_input_bytes), (2 * count as u64, 1024 * count as u64));
    assert_eq!((stats.packs as usize, stats.packed_tensors), (2 * count.div_ceil(4096), 2 * count as u64));
}

/// Each byte region of a pack is changed in turn: the damage is noticed, blocks only the models
/// that need the pack, and is mended by adding again and by a repair.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_packs_are_noticed_and_mended() {
    let (mut random, scene, copy) = (Random(2), Scene::new().await, Scene::new().await);
    let base = Short::new(400, &mut random);
    let models = [("base", base.clone()), ("tuned", base.tuned(&mut random)), ("other", Short::new(400, &mut random))];
    for (model, weights) in &models {
        scene.add(model, &weights.to_file()).await;
        copy.add(model, &weights.to_file()).await;
    }
    let files: Vec<Source> = models.iter().map(|(model, _)| scene.source(model)).collect();
    let of_files = Copies { files: &files, store: None };
    let of_store = Copies { files: &[], store: Some(&copy.store) };
    for (damaged, whole) in [("base", "other"), ("tuned", "base")] {
        let pack = scene.manifest(damaged).await.packs[0];
        let path = scene.piece(&pack);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[0], if damaged == "base" { 4 } else { 5 });
        let places = (0..48).chain((48..bytes.len()).step_by(bytes.len() / 40)).chain([bytes.len() - 1]);
        for at in places {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, flipped).unwrap();
            assert!(!scene.problems().await.is_empty(), "{damaged}: byte {at}");
        }
        for (how, forged) in [None, Some(vec![]), Some(bytes[..bytes.len() / 2].to_vec())].into_iter().enumerate() {
            for mend in 0..3 {
                match &forged {
                    Some(forged) => fs::write(&path, forged).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                assert!(!scene.problems().await.is_empty());
                assert!(!scene.restores(damaged).await && scene.restores(whole).await, "{damaged}, {how}");
                match mend {
                    0 => drop(scene.add_again(damaged).await),
                    mend => {
                        let copies = if mend == 1 { of_files } else { of_store };
                        let repaired = scene.store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
                        assert_eq!(repaired.verified.problems, [], "{damaged}, {how}, {mend}");
                    }
                }
                assert_eq!(scene.problems().await, [] as [String; 0], "{damaged}, {how}, {mend}");
                for (model, _) in &models {
                    scene.check(model).await;
                }
            }
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_kept_while_a_file_or_a_delta_needs_it() {
    let (mut random, scene) = (Random(3), Scene::new().await);
    let base = Short::new(400, &mut random);
    scene.add("base", &base.to_file()).await;
    scene.add("tuned", &base.tuned(&mut random).to_file()).await;
    let pieces = || sources(&scene.root.path().join("pieces")).len();
    scene.store.remove(&name("base")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(scene.problems().await, [] as [String; 0]);
    scene.check("tuned").await;
    // The fine-tune needs its pack and that of the base. The headers are in the packs.
    assert_eq!(pieces(), 2);
    // The file of a base that was removed repairs it.
    let pack = scene.manifest("tuned").await.packs[0].base.unwrap();
    fs::write(scene.piece(&PieceRef { id: pack, base: None, length: 0 }), "x").unwrap();
    let copies = Copies { files: &[scene.source("base")], store: None };
    let repaired = scene.store.repair(VerifyDepth::ReadData, copies, &|_| {}).await.unwrap();
    assert_eq!((repaired.verified.problems.len(), repaired.repaired.len()), (0, 1), "{repaired:?}");
    scene.check("tuned").await;
    scene.store.remove(&name("tuned")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(pieces(), 0);
    scene.add("base", &base.to_file()).await;
    assert_eq!(scene.problems().await, [] as [String; 0]);
}

/// The share of `weights` that is stored behind `base`.
async fn share(base: &Short, weights: &Short) -> f64 {
    let scene = Scene::new().await;
    scene.add("base", &base.to_file()).await;
    let added = scene.add("tuned", &weights.to_file()).await;
    assert_eq!(scene.problems().await, [] as [String; 0]);
    let header = weights.to_file().len() - weights.0.iter().map(|tensor| tensor.3.len()).sum::<usize>();
    (added.stored_bytes as f64 - header as f64) / (added.bytes as f64 - header as f64)
}

#[tokio::test(flavor = "multi_thread")]
async fn short_tensors_find_their_base() {
    let mut random = Random(4);
    let base = Short::new(12_000, &mut random);
    let tuned = base.tuned(&mut random);
    let mut more = tuned.clone();
    for at in [11_000, 5000, 700, 0] {
        let (_, dtype, shape, bytes) = Short::new(1, &mut random).0.remove(0);
        more.0.insert(at, (format!("new.{at}"), dtype, shape, bytes));
    }
    let mut fewer = tuned.clone();
    (0..300).for_each(|number| drop(fewer.0.remove(number * 37)));
    let mut renamed = tuned.clone();
    renamed.0.iter_mut().for_each(|tensor| tensor.0.insert_str(0, "student."));
    let mut longer = tuned.clone();
    for tensor in longer.0.iter_mut().step_by(50) {
        tensor.3.extend((0..64).flat_map(|_| bf16(0.02 * random.normal())));
        tensor.2 = vec![576];
    }
    for (what, weights, most) in [
        ("tuned", &tuned, 0.25),
        ("more", &more, 0.26),
        ("fewer", &fewer, 0.26),
        ("renamed", &renamed, 0.25),
        ("longer", &longer, 0.26),
        ("cast", &base.cast(), 0.03),
    ] {
        let share = share(&base, weights).await;
        println!("{what}: {share:.3}");
        assert!(share <= most, "{what}: {share}");
    }
}

/// Tensors of several dtypes in turn, some of them empty, large or of half bytes, with gaps.
#[tokio::test(flavor = "multi_thread")]
async fn packs_hold_items_of_any_kind() {
    let (mut random, scene) = (Random(5), Scene::new().await);
    let kinds: [(&str, &[u64], usize); 9] = [
        ("BF16", &[300], 600),
        ("F32", &[], 4),
        ("U8", &[0, 7], 0),
        ("I64", &[3, 5], 120),
        ("F4", &[6], 3),
        ("BOOL", &[17], 17),
        ("F8_E4M3", &[1000], 1000),
        ("BF16", &[256, 160], 81_920),
        ("C64", &[9], 72),
    ];
    let tensors: Vec<Tensor> = (0..180)
        .map(|number| {
            let (dtype, shape, length) = kinds[number % kinds.len()];
            let bytes = match dtype {
                "BF16" => (0..length / 2).flat_map(|_| bf16(0.02 * random.normal())).collect(),
                "BOOL" => vec![1; length],
                _ => (0..length).map(|_| random.next() as u8).collect(),
            };
            (format!("t{number:03}"), dtype, shape.to_vec(), bytes)
        })
        .collect();
    let mixed = Short(tensors);
    scene.add("mixed", &mixed.to_file()).await;
    scene.add("tuned", &mixed.tuned(&mut random).to_file()).await;
    for model in ["mixed", "tuned"] {
        let file = fs::read(scene.file(model)).unwrap();
        let manifest = scene.manifest(model).await;
        assert_eq!((manifest.packs.len(), manifest.pieces().count()), (1, 21), "{model}");
        let entry = scene.store.model(&name(model)).await.unwrap().files.remove(0);
        for item in manifest.items.iter().filter(|item| item.name.is_some()) {
            let tensor = item.name.as_deref().unwrap();
            let (_, offset) = manifest.tensor(tensor).unwrap();
            let bytes = scene.store.tensor(&entry, tensor).await.unwrap().unwrap();
            assert_eq!(bytes, file[offset as usize..(offset + item.length()) as usize], "{tensor}");
        }
        assert_eq!(
            manifest.pieces().filter(|piece| piece.base.is_some()).count(),
            if model == "tuned" { 21 } else { 0 }
        );
    }
    assert_eq!(scene.problems().await, [] as [String; 0]);
}

/// `fixtures/earlier` is a store of the release before packs: a base of six short tensors, and a
/// fine-tune.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_earlier_layout_is_read_and_followed() {
    let (mut random, scene) = (Random(6), Scene::new().await);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/fixtures/earlier"), scene.root.path());
    assert_eq!(scene.problems().await, [] as [String; 0]);
    for model in ["base", "tuned"] {
        scene.store.get(&scene.store.model(&name(model)).await.unwrap(), scene.outside.path(), &|_| {}).await.unwrap();
        fs::rename(scene.file(&format!("{model}.safetensors")), scene.file(model)).unwrap();
        let added = scene.add_again(model).await;
        assert!(added.known_bytes == added.bytes && added.stored_bytes == 0, "{added:?}");
        assert!(scene.manifest(model).await.packs.is_empty());
    }
    // The tensors of a fine-tune find those of the base, which are pieces of their own.
    let base = fs::read(scene.file("base")).unwrap();
    let names = ["t0", "t1", "t2", "t3", "t4", "t5"];
    let start = base.len() - names.len() * 1024;
    let tensors = names.iter().zip(base[start..].chunks(1024));
    let base = Short(tensors.map(|(name, bytes)| ((*name).to_owned(), "BF16", vec![512], bytes.to_vec())).collect());
    let added = scene.add("next", &base.tuned(&mut random).to_file()).await;
    assert!(added.delta_bytes == 6 * 1024 && scene.manifest("next").await.packs.is_empty(), "{added:?}");
    scene.add("new", &Short::new(50, &mut random).to_file()).await;
    assert_eq!(scene.manifest("new").await.packs.len(), 1);
    scene.store.remove(&name("base")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(scene.problems().await, [] as [String; 0]);
    for model in ["tuned", "next", "new"] {
        scene.check(model).await;
    }
}

/// Forged manifests of files with packs are refused, and cost no memory.
#[tokio::test(flavor = "multi_thread")]
async fn forged_manifests_are_damaged() {
    let (mut random, scene) = (Random(7), Scene::new().await);
    scene.add("base", &Short::new(3, &mut random).to_file()).await;
    let path =
        scene.root.path().join(&scene.objects().iter().find(|object| object.path.starts_with("files/")).unwrap().path);
    let object = fs::read(&path).unwrap();
    let manifest = scene.manifest("base").await;
    let (text, pack) = (serde_json::to_string(&manifest).unwrap(), manifest.packs[0]);
    for (from, to) in [
        (format!("\"length\":{}}}]", pack.length), format!("\"length\":{}}}]", u64::MAX)),
        ("\"packs\":[{".to_owned(), format!("\"packs\":[{{\"piece\":\"{}\",\"length\":0}},{{", pack.id)),
        ("[512]".to_owned(), "[511]".to_owned()),
        ("[512]".to_owned(), format!("[{}]", u64::MAX >> 2)),
        ("\"version\":2".to_owned(), "\"version\":5".to_owned()),
    ] {
        assert!(text.contains(&from));
        fs::write(&path, text.replacen(&from, &to, 1)).unwrap();
        let zero = to.contains("\"length\":0");
        assert_eq!(scene.problems().await.is_empty(), zero, "{to}");
        assert_eq!(scene.restores("base").await, zero, "{to}");
    }
    // Short objects that state terabytes of JSON, hold megabytes, or end early.
    let frame = zrip::compress(&vec![b' '; 16 << 20], 1).unwrap();
    let digest = Digest::of(&frame);
    let digest = &digest.as_bytes()[..8];
    let forged = [
        [&[1u8][..], b"BITXv002", &[0xFF; 64]].concat(),
        [&[6u8][..], digest, &frame].concat(),
        [&[6u8][..], digest, &frame[..frame.len() / 2]].concat(),
        vec![6, 1, 2],
    ];
    for object in forged {
        fs::write(&path, object).unwrap();
        assert!(!scene.problems().await.is_empty());
    }
    for at in 0..object.len() {
        let mut flipped = object.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        assert!(!scene.problems().await.is_empty(), "byte {at} of {}", object.len());
    }
    fs::write(&path, &object).unwrap();
    assert_eq!(scene.problems().await, [] as [String; 0]);
}
