//! Tests of a store in a folder, through its public interface.

use bitx::Effort;
use bitx_store::{GcOptions, Source, VerifyDepth};

use crate::support::models::{Models, name, sources};
use crate::support::open;

#[tokio::test(flavor = "multi_thread")]
async fn models_are_stored_as_deltas_and_collected_when_removed() {
    let (models, root) = (Models::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let first = models.add(&store, "org/base", "base-bf16").await;
    assert_eq!((first.files, first.delta_bytes), (1, 0));
    let second = models.add(&store, "org/tuned", "sft-bf16").await;
    assert!(second.delta_bytes * 10 > second.bytes * 9, "{second:?}");
    assert!(second.stored_bytes * 3 < first.stored_bytes, "{second:?}");
    assert!(models.add(&store, "org/tuned", "sft-bf16").await.unchanged);
    models.check(&store, "org/base", "base-bf16").await;
    models.check(&store, "org/tuned", "sft-bf16").await;

    // The fine-tune still needs the tensors of the removed base.
    store.remove(&name("org/base")).await.unwrap();
    let collected = store.collect(&GcOptions::default()).await.unwrap();
    assert!(collected.objects > 0 && collected.waiting == 0, "{collected:?}");
    models.check(&store, "org/tuned", "sft-bf16").await;
    store.remove(&name("org/tuned")).await.unwrap();
    store.collect(&GcOptions::default()).await.unwrap();
    let left = sources(root.path());
    let left: Vec<_> = left.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(left, ["format.json", "gc/0000000002.done", "gc/clock", "signatures/complete"]);
    // Collected objects can be stored again.
    models.add(&store, "org/base", "base-bf16").await;
    models.check(&store, "org/base", "base-bf16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_model_is_collected() {
    let (models, root) = (Models::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    models.add(&store, "m", "base-f16").await;
    models.add(&store, "m", "sft-f32").await;
    models.check(&store, "m", "sft-f32").await;
    assert!(store.collect(&GcOptions::default()).await.unwrap().objects > 0);
    models.check(&store, "m", "sft-f32").await;
    assert_eq!(store.models().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_file_is_stored_and_a_false_model_with_a_warning() {
    let (models, root) = (Models::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let half = std::fs::read(models.path("base-bf16")).unwrap();
    let broken = [&20u64.to_le_bytes()[..], br#"{"a":{"dtype":"F3"}}"#, &[1; 40]].concat();
    for (path, content, warned) in [
        ("docs/page.html", &b"<!doctype html>"[..], false),
        ("empty", b"", false),
        ("empty.safetensors", b"", true),
        ("page.safetensors", b"<!doctype html>", true),
        ("page.gguf", b"<!doctype html>", true),
        ("half.safetensors", &half[..half.len() / 2], true),
        ("half.bin", &half[..half.len() / 2], true),
        ("broken.safetensors", &broken, true),
        ("broken.gguf", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", true),
    ] {
        let file = models.path("file.").with_extension(path.rsplit_once('.').map_or("", |(_, extension)| extension));
        std::fs::write(&file, content).unwrap();
        let added = store.add(&name("m"), &[Source { path: path.into(), file }], Effort::Fast, &|_| {}).await.unwrap();
        let warnings = &added.warnings;
        assert_eq!(warnings.len(), usize::from(warned), "{path}: {warnings:?}");
        assert!(warnings.iter().all(|w| w.starts_with(path) && w.contains("kept as bytes")), "{warnings:?}");
        let out = tempfile::tempdir().unwrap();
        store.get(&store.model(&name("m")).await.unwrap(), out.path(), &|_| {}).await.unwrap();
        assert_eq!(std::fs::read(out.path().join(path)).unwrap(), content, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_families_and_checks_describe_the_store() {
    let (models, root) = (Models::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    for (model, file) in
        [("b", "base-bf16"), ("s", "sft-bf16"), ("r", "rl-bf16"), ("copy", "rl-bf16"), ("f", "stranger")]
    {
        models.add(&store, model, file).await;
    }
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.models, stats.files), (5, 5));
    assert!(stats.after_file_dedup < stats.input_bytes && stats.after_coding < stats.after_tensor_dedup, "{stats:?}");
    assert!(stats.delta_bytes * 4 < stats.delta_input_bytes && stats.metadata_per_tensor() < 1000.0, "{stats:?}");

    let families = store.families().await.unwrap();
    let names: Vec<Vec<&str>> = families.iter().map(|f| f.iter().map(|m| m.name.as_str()).collect()).collect();
    assert_eq!(names, [vec!["b", "copy", "r", "s"], vec!["f"]]);
    assert!(bitx_store::families_svg(&families).contains("copy"));

    let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    assert_eq!((verified.models, verified.files, &verified.problems[..]), (5, 4, &[][..]));
    assert!(store.verify(VerifyDepth::Sample(0.5), &|_| {}).await.unwrap().problems.is_empty());
    // A flipped bit is found only by reading the data, a missing piece without.
    let pieces = sources(&root.path().join("pieces"));
    let largest = pieces.iter().max_by_key(|piece| std::fs::metadata(&piece.file).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest.file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest.file, bytes).unwrap();
    assert!(store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems.is_empty());
    assert!(!store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems.is_empty());
    std::fs::remove_file(&largest.file).unwrap();
    assert!(!store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems.is_empty());
}
