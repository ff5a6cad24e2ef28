//! Tests of checks and collections that are split into parts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitx::Effort;
use bitx_store::{Digest, GcOptions, Part, Problem, Source, Store, VerifyDepth};
use futures::future::join_all;

use crate::support::models::{Models, name};
use crate::support::open;

const PARTS: u32 = 4;
const AT_ONCE: GcOptions = GcOptions { grace: Duration::ZERO, dry_run: false };

fn part(number: u32) -> Part {
    Part::new(number, PARTS).unwrap()
}

/// The number of the part of four in which a digest is.
fn of(digest: &Digest) -> u32 {
    u32::from(digest.as_bytes()[0] / 64) + 1
}

/// A store with two models that share data, and a model of short files of which every part has
/// some.
async fn store() -> (tempfile::TempDir, Models, Store, Vec<(String, Digest)>) {
    let (root, models) = (tempfile::tempdir().unwrap(), Models::new());
    let store = open(root.path()).await;
    models.add(&store, "base", "base-bf16").await;
    models.add(&store, "tuned", "sft-bf16").await;
    let (mut sources, mut files) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let (path, text) = (format!("{number}.txt"), format!("short file number {number}"));
        fs::write(models.path(&path), &text).unwrap();
        sources.push(Source { path: path.clone(), file: models.path(&path) });
        files.push((path, Digest::of(text.as_bytes())));
    }
    store.add(&name("short"), &sources, Effort::Fast, &|_| {}).await.unwrap();
    (root, models, store, files)
}

fn objects(root: &Path) -> BTreeSet<PathBuf> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found
}

/// The objects that are no records of collections.
fn content(root: &Path) -> BTreeSet<PathBuf> {
    objects(root).into_iter().filter(|path| !path.starts_with("gc")).collect()
}

fn copy(root: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for object in objects(root) {
        fs::create_dir_all(to.path().join(&object).parent().unwrap()).unwrap();
        fs::copy(root.join(&object), to.path().join(&object)).unwrap();
    }
    to
}

fn keys(problems: &[Problem]) -> Vec<(String, String, String)> {
    let mut keys: Vec<_> =
        problems.iter().map(|problem| (problem.model.clone(), problem.path.clone(), problem.key.clone())).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_together_find_what_a_whole_check_finds() {
    let (root, _models, store, files) = store().await;
    let whole = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
    let mut sums = (0, 0, 0);
    for number in 1..=PARTS {
        let checked = store.verify_part(part(number), VerifyDepth::ReadData, &|_| {}).await.unwrap();
        assert_eq!(checked.problems, []);
        sums = (sums.0 + checked.models, sums.1 + checked.files, sums.2 + checked.bytes_read);
    }
    assert_eq!(sums, (whole.models, whole.files, whole.bytes_read));
    // One damaged piece and one damaged manifest of a file in each part.
    let mut damaged = BTreeSet::new();
    for number in 1..=PARTS {
        let mut own = files.iter().filter(|(_, digest)| of(digest) == number);
        for kind in ["pieces", "files"] {
            let (path, digest) = own.next().unwrap();
            let hex = digest.to_string();
            let object = root.path().join(kind).join(&hex[..2]).join(&hex[2..]).join("0");
            let mut bytes = fs::read(&object).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(&object, bytes).unwrap();
            damaged.insert((number, path.clone()));
        }
    }
    // A sketch, a signature, an archive, the mark, a model's manifest, and records.
    let of_kind = |kind: &str| content(root.path()).into_iter().find(|path| path.starts_with(kind)).unwrap();
    for object in [of_kind("sketches"), of_kind("signatures"), of_kind("format.json"), of_kind("models/base")] {
        fs::write(root.path().join(object), "damage").unwrap();
    }
    fs::create_dir_all(root.path().join("archives")).unwrap();
    let archive = format!("archives/{}.{}.bitx", files[0].1, files[1].1);
    fs::write(root.path().join(archive), vec![7; 100]).unwrap();
    fs::write(root.path().join("gc/0000000001.done"), "damage").unwrap();
    for depth in [VerifyDepth::ReadData, VerifyDepth::Presence] {
        let whole = keys(&store.verify(depth, &|_| {}).await.unwrap().problems);
        let mut together = Vec::new();
        for number in (1..=PARTS).rev() {
            let found = store.verify_part(part(number), depth, &|_| {}).await.unwrap().problems;
            for (_, path) in damaged.iter().filter(|(other, _)| *other != number) {
                assert!(!found.iter().any(|problem| problem.path == *path), "{path} is in part {number}");
            }
            together.extend(keys(&found));
        }
        together.sort();
        assert_eq!(together, whole);
        let expected = if depth == VerifyDepth::ReadData { 14 } else { 9 };
        // A damaged manifest is met by several steps of the check.
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_together_remove_what_a_whole_collection_removes() {
    let (root, models, store, _) = store().await;
    for model in ["tuned", "short"] {
        store.remove(&name(model)).await.unwrap();
    }
    let before = content(root.path());
    let [whole, in_turn, at_once] = [(); 3].map(|()| copy(root.path()));
    let would = open(whole.path()).await.collect(&GcOptions { dry_run: true, ..AT_ONCE }).await.unwrap();
    let removed = open(whole.path()).await.collect(&AT_ONCE).await.unwrap();
    assert_eq!((would.objects, would.bytes), (removed.objects, removed.bytes));
    let left = content(whole.path());
    assert!(left.len() < before.len());
    // One after the other: each removes its part and nothing else.
    let (mut objects, mut bytes) = (0, 0);
    for number in [3, 1, 4, 2] {
        let (earlier, store) = (content(in_turn.path()), open(in_turn.path()).await);
        let would = store.collect_part(part(number), &GcOptions { dry_run: true, ..AT_ONCE }).await.unwrap();
        let collected = store.collect_part(part(number), &AT_ONCE).await.unwrap();
        assert_eq!((would.objects, would.bytes), (collected.objects, collected.bytes));
        assert!(collected.objects > 0);
        let gone: Vec<PathBuf> = earlier.difference(&content(in_turn.path())).cloned().collect();
        assert_eq!(gone.len() as u64, collected.objects);
        for path in gone.iter().filter(|path| path.starts_with("pieces") || path.starts_with("files")) {
            let first = path.iter().nth(1).unwrap().to_str().unwrap();
            assert_eq!(u32::from_str_radix(first, 16).unwrap() / 64 + 1, number, "{}", path.display());
        }
        (objects, bytes) = (objects + collected.objects, bytes + collected.bytes);
    }
    assert_eq!((objects, bytes, content(in_turn.path())), (removed.objects, removed.bytes, left.clone()));
    // All at once, and each twice.
    let parts = (0..2 * PARTS).map(|number| {
        let root = at_once.path();
        async move { open(root).await.collect_part(part(number % PARTS + 1), &AT_ONCE).await.unwrap() }
    });
    join_all(parts).await;
    for number in 1..=PARTS {
        open(at_once.path()).await.collect_part(part(number), &AT_ONCE).await.unwrap();
    }
    assert_eq!(content(at_once.path()), left);
    for root in [&whole, &in_turn, &at_once] {
        let store = open(root.path()).await;
        assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
        models.check(&store, "base", "base-bf16").await;
        models.add(&store, "tuned", "sft-bf16").await;
        models.check(&store, "tuned", "sft-bf16").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_collected_beside_writers() {
    let (root, models, store, _) = store().await;
    for round in 0..4 {
        for model in ["tuned", "short"] {
            let _ = store.remove(&name(model)).await;
        }
        let (root, models) = (root.path(), &models);
        let writers = ["sft-bf16", "rl-bf16"].map(|file| async move {
            let store = open(root).await;
            models.add(&store, &format!("{file}-{round}"), file).await;
        });
        let parts = (1..=PARTS).map(|number| async move {
            open(root).await.collect_part(part(number), &GcOptions::default()).await.unwrap()
        });
        tokio::join!(join_all(parts), join_all(writers));
        let checked = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        assert_eq!(checked.problems, []);
        for file in ["sft-bf16", "rl-bf16"] {
            models.check(&store, &format!("{file}-{round}"), file).await;
            store.remove(&name(&format!("{file}-{round}"))).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_waits_keeps_its_record_and_holds_no_other_up() {
    let (root, models, store, _) = store().await;
    store.remove(&name("short")).await.unwrap();
    // A writer of another machine is at work.
    let run = root.path().join(format!("runs/{}.json", uuid::Uuid::now_v7()));
    let writer = r#"{"model":"writer","process":{"machine":"another","pid":1,"began":1}}"#;
    fs::write(&run, writer).unwrap();
    let patient = GcOptions::default();
    let waiting = store.collect_part(part(1), &patient).await.unwrap();
    assert!(waiting.waiting > 0 && waiting.objects == 0);
    let condemned = root.path().join("gc/0000000001.condemned.json");
    assert!(condemned.exists());
    // Once more, it waits for the same collection.
    assert_eq!(store.collect_part(part(1), &patient).await.unwrap().waiting, waiting.waiting);
    assert!(!root.path().join("gc/0000000002.condemned.json").exists());
    // Other parts do not wait for the first one, and do not forget it.
    let second = store.collect_part(part(2), &patient).await.unwrap();
    assert!(second.waiting > 0 && root.path().join("gc/0000000002.condemned.json").exists());
    fs::remove_file(&run).unwrap();
    let second = store.collect_part(part(2), &patient).await.unwrap();
    assert!(second.objects > 0 && second.waiting == 0);
    assert!(condemned.exists() && !root.path().join("gc/0000000002.condemned.json").exists());
    // A writer that begins now relies on nothing that the first part may still remove.
    models.add(&store, "tuned", "sft-bf16").await;
    let sources: Vec<Source> = (0..40)
        .map(|number| Source { path: format!("{number}.txt"), file: models.path(&format!("{number}.txt")) })
        .collect();
    store.add(&name("short"), &sources, Effort::Fast, &|_| {}).await.unwrap();
    let first = store.collect_part(part(1), &patient).await.unwrap();
    assert_eq!((first.objects, first.waiting), (waiting.waiting, 0));
    assert!(!condemned.exists());
    assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
    // A whole collection ends what is left.
    store.remove(&name("short")).await.unwrap();
    store.collect(&AT_ONCE).await.unwrap();
    assert_eq!(store.collect(&AT_ONCE).await.unwrap().objects, 0);
}
