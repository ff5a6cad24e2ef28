//! Tests of what the store keeps for uploads: collections, checks and repairs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bitx_store::{Answer, Copies, Digest, Form, GcOptions, Store, Transfer, Upload, UploadFile, VerifyDepth};
use bytes::Bytes;
use uuid::Uuid;

use crate::support::models::{Models, name};
use crate::support::open;

const HOUR: Duration = Duration::from_secs(3600);
const RAW: Transfer = Transfer { form: Form::Raw, total: 10 };

/// A store with the models `base` and `tuned`, and an open upload.
struct Scene {
    root: tempfile::TempDir,
    models: Models,
    store: Store,
    id: Uuid,
}

impl Scene {
    async fn new() -> Self {
        let (root, models) = (tempfile::tempdir().unwrap(), Models::new());
        let store = open(root.path()).await;
        for (model, file) in [("base", "base-bf16"), ("tuned", "sft-bf16")] {
            models.add(&store, model, file).await;
        }
        let mut scene = Self { root, models, store, id: Uuid::nil() };
        scene.id = scene.upload(&[], "new").await;
        scene
    }

    /// Opens an upload, of which the first ten bytes of a file have arrived.
    async fn upload(&self, known: &[Digest], model: &str) -> Uuid {
        let file = |blake3: Digest, known: bool| UploadFile { path: blake3.to_string(), length: 10, blake3, known };
        let mut files: Vec<UploadFile> = known.iter().map(|digest| file(*digest, true)).collect();
        files.push(file(Digest::of(b"0123456789"), false));
        let mut upload = Upload::new(name(model), Digest::of(b"owner"), HOUR, files);
        let id = self.store.uploads().open(&mut upload).await.unwrap();
        assert_eq!(self.store.uploads().plan(id).await.unwrap(), Some(upload));
        self.part(id, RAW, 0, b"01234").await;
        id
    }

    async fn part(&self, id: Uuid, transfer: Transfer, start: u64, bytes: &'static [u8]) {
        let uploads = self.store.uploads();
        let (digest, bytes) = (Digest::of(bytes), Bytes::from_static(bytes));
        uploads.store_part(id, 0, transfer, start, digest, bytes).await.unwrap();
    }

    fn digest(&self, model: &str) -> Digest {
        Digest::of(&fs::read(self.models.path(model)).unwrap())
    }

    /// The objects of uploads, of those with this id.
    fn objects(&self, id: Uuid) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.root.path().join("uploads"), &mut found);
        found.retain(|path| path.to_str().unwrap().contains(&id.to_string()));
        found.sort();
        found
    }

    async fn collect(&self, grace: Duration) -> u64 {
        self.store.collect(&GcOptions { grace, dry_run: false }).await.unwrap().uploads
    }

    async fn problems(&self, depth: VerifyDepth) -> Vec<PathBuf> {
        let problems = self.store.verify(depth, &|_| {}).await.unwrap().problems;
        problems.into_iter().map(|problem| self.root.path().join(problem.key)).collect()
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn ago(time: Duration) -> SystemTime {
    SystemTime::now() - time
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_remove_expired_uploads_and_no_others() {
    let scene = Scene::new().await;
    let (live, old, beaten) = (scene.id, scene.upload(&[], "old").await, scene.upload(&[], "beaten").await);
    scene.objects(old).iter().chain(&scene.objects(beaten)).for_each(|object| set_time(object, ago(HOUR * 2)));
    scene.store.uploads().beat(beaten).await.unwrap();
    // The grace period is that of writers. An upload has its own.
    assert_eq!(scene.collect(Duration::ZERO).await, 1);
    assert_eq!(scene.objects(old), [] as [PathBuf; 0]);
    assert_eq!((scene.objects(live).len(), scene.objects(beaten).len()), (2, 3));
    // An answer is kept for a minute.
    let answer = Answer { files: 1, bytes: 10, unchanged: false };
    assert_eq!(scene.store.uploads().end(live, answer).await.unwrap(), answer);
    assert_eq!(scene.store.uploads().end(live, Answer { unchanged: true, ..answer }).await.unwrap(), answer);
    assert_eq!((scene.collect(Duration::ZERO).await, scene.objects(live).len()), (0, 3));
    scene.objects(live).iter().for_each(|object| set_time(object, ago(Duration::from_secs(61))));
    assert_eq!((scene.collect(Duration::ZERO).await, scene.objects(live).len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_uploads_are_removed_after_the_grace_period() {
    let scene = Scene::new().await;
    scene.store.uploads().remove(scene.id).await.unwrap();
    // A server that has not noticed the end writes once more.
    scene.part(scene.id, RAW, 5, b"56789").await;
    scene.store.uploads().beat(scene.id).await.unwrap();
    let foreign = scene.root.path().join(format!("uploads/parts/{}/0/notes", scene.id));
    fs::write(&foreign, "mine").unwrap();
    assert_eq!(scene.store.uploads().find(scene.id).await.unwrap(), None);
    assert_eq!((scene.collect(HOUR).await, scene.objects(scene.id).len()), (0, 3));
    scene.objects(scene.id).iter().for_each(|object| set_time(object, ago(HOUR * 2)));
    scene.collect(HOUR).await;
    assert_eq!(scene.objects(scene.id), [foreign]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_from_the_future_are_written_again() {
    let scene = Scene::new().await;
    let plan = scene.objects(scene.id).into_iter().find(|path| path.ends_with("plan.json")).unwrap();
    set_time(&plan, SystemTime::now() + HOUR * 9999);
    scene.collect(Duration::ZERO).await;
    let beat = plan.with_file_name("beat");
    set_time(&beat, ago(HOUR * 2));
    assert_eq!((scene.collect(Duration::ZERO).await, scene.objects(scene.id).len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_open_uploads_need_are_kept() {
    let scene = Scene::new().await;
    let (base, tuned) = (scene.digest("base-bf16"), scene.digest("sft-bf16"));
    let unknown = Digest::of(b"this file is not stored");
    let known = scene.upload(&[tuned, unknown], "known").await;
    let plan = scene.store.uploads().plan(known).await.unwrap().unwrap();
    assert_eq!(plan.files.iter().map(|file| file.known).collect::<Vec<_>>(), [true, false, false]);
    let against = scene.upload(&[], "against").await;
    scene.part(against, Transfer { form: Form::Archive(Some(base)), total: 10 }, 0, b"01234").await;
    for model in ["base", "tuned"] {
        scene.store.remove(&name(model)).await.unwrap();
    }
    scene.collect(Duration::ZERO).await;
    for (digest, file) in [(base, "base-bf16"), (tuned, "sft-bf16")] {
        let entry = scene.store.stored_file(&digest).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        let restored = scene.store.restore(&entry, |part| {
            bytes.extend_from_slice(&part);
            std::future::ready(Ok(()))
        });
        restored.await.unwrap();
        assert!(bytes == fs::read(scene.models.path(file)).unwrap());
    }
    // Uploads that have ended, or cannot be read, need nothing.
    scene.store.uploads().end(known, Answer { files: 0, bytes: 0, unchanged: true }).await.unwrap();
    let plan = scene.objects(against).into_iter().find(|path| path.ends_with("plan.json")).unwrap();
    fs::write(plan, "damaged").unwrap();
    scene.collect(Duration::ZERO).await;
    for digest in [base, tuned] {
        assert_eq!(scene.store.stored_file(&digest).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn condemned_files_are_not_known() {
    let scene = Scene::new().await;
    let tuned = scene.digest("sft-bf16");
    scene.store.remove(&name("tuned")).await.unwrap();
    // A writer that is at work keeps the collection from removing what it has condemned.
    let key = scene.root.path().join(format!("runs/{}.json", Uuid::now_v7()));
    fs::create_dir_all(key.parent().unwrap()).unwrap();
    let process = r#"{"machine":"another","pid":1,"began":1}"#;
    fs::write(&key, format!(r#"{{"model":"writer","process":{process}}}"#)).unwrap();
    let collected = scene.store.collect(&GcOptions { grace: HOUR, dry_run: false }).await.unwrap();
    assert!(collected.waiting > 0);
    let id = scene.upload(&[tuned], "late").await;
    assert!(!scene.store.uploads().plan(id).await.unwrap().unwrap().files[0].known);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_object_of_an_upload_is_noticed_and_repaired() {
    let scene = Scene::new().await;
    let uploads = scene.store.uploads();
    uploads.beat(scene.id).await.unwrap();
    uploads.store_receipt(scene.id, 0, RAW, 3).await.unwrap();
    let answered = scene.upload(&[], "answered").await;
    uploads.end(answered, Answer { files: 1, bytes: 10, unchanged: false }).await.unwrap();
    assert_eq!(scene.problems(VerifyDepth::ReadData).await, [] as [PathBuf; 0]);
    let objects = [scene.objects(scene.id), scene.objects(answered)].concat();
    let all: Vec<(PathBuf, Vec<u8>)> =
        objects.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert_eq!(all.len(), 7);
    for (object, intact) in &all {
        for at in 0..intact.len() {
            let mut flipped = intact.clone();
            flipped[at] ^= 1;
            fs::write(object, flipped).unwrap();
            if at % 16 == 0 {
                assert_eq!(scene.problems(VerifyDepth::ReadData).await, [object.as_path()], "byte {at}");
            }
        }
        fs::write(object, [&intact[..], b"more"].concat()).unwrap();
        assert_eq!(scene.problems(VerifyDepth::Presence).await, [object.as_path()]);
        // Damage stops nothing else.
        scene.models.check(&scene.store, "tuned", "sft-bf16").await;
        scene.collect(HOUR).await;
        let repaired = scene.store.repair(VerifyDepth::ReadData, Copies::default(), &|_| {}).await.unwrap();
        assert_eq!((repaired.verified.problems.len(), repaired.repaired.len()), (0, 1), "{}", object.display());
        if object.exists() {
            assert!(object.ends_with("beat") && fs::read(object).unwrap() == *intact);
        }
        for (path, bytes) in &all {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}
