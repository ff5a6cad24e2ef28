//! Tests of packs: files of many short tensors, which take a few objects.
//!
//! `BITX_TENSORS` sets the number of tensors, and prints the figures:
//! `BITX_TENSORS=20000 cargo test --release -p bitx-store --test packs few_objects -- --nocapture`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bitx::Effort;
use bitx_store::{Added, Copies, FileManifest, GcOptions, PieceRef, Source, Store, VerifyDepth};
use support::models::{name, sources};
use support::weights::Random;
use support::{common, open};

/// A tensor: its name, dtype, shape and bytes.
type Tensor = (String, &'static str, Vec<u64>, Vec<u8>);

/// A model of short tensors, whose weights can be changed.
#[derive(Clone)]
struct Short(Vec<Tensor>);

impl Short {
    /// `count` tensors of 512 weights of BF16.
    fn new(count: usize, random: &mut Random) -> Self {
        let tensor = |number: usize| {
            let bytes = (0..512).flat_map(|_| bf16(0.02 * random.normal())).collect();
            (format!("model.layers.{}.block.{}.weight", number / 100, number % 100), "BF16", vec![512], bytes)
        };
        Self((0..count).map(tensor).collect())
    }

    /// The same tensors, of which each has a little noise added.
    fn tuned(&self, random: &mut Random) -> Self {
        let tuned = |(name, dtype, shape, bytes): &Tensor| {
            let bytes = match *dtype {
                "BF16" => {
                    let weights = bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from_le_bytes([0, 0, b[0], b[1]])));
                    weights.flat_map(|weight| bf16(weight + 1e-4 * random.normal())).collect()
                }
                _ => bytes.clone(),
            };
            (name.clone(), *dtype, shape.clone(), bytes)
        };
        Self(self.0.iter().map(tuned).collect())
    }

    /// The same tensors as F32.
    fn cast(&self) -> Self {
        let cast = |(name, _, shape, bytes): &Tensor| {
            (name.clone(), "F32", shape.clone(), bytes.chunks_exact(2).flat_map(|b| [0, 0, b[0], b[1]]).collect())
        };
        Self(self.0.iter().map(cast).collect())
    }

    fn to_file(&self) -> Vec<u8> {
        let tensors: Vec<_> =
            self.0.iter().map(|(name, dtype, shape, bytes)| (&name[..], *dtype, &shape[..], &bytes[..])).collect();
        common::model(&tensors)
    }
}

fn bf16(weight: f32) -> [u8; 2] {
    ((weight.to_bits() + 0x7FFF + (weight.to_bits() >> 16 & 1)) >> 16).to_le_bytes()[..2].try_into().unwrap()
}

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
}
