//! Tests of the roots of stores: which are opened, and which are made.

use std::fs;
use std::sync::Arc;

use bitx_store::{Backend, Error, GcOptions, Store, VerifyDepth};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::support::faulty::{Fault, Faulty};
use crate::support::models::{Models, name};
use crate::support::open;

#[tokio::test(flavor = "multi_thread")]
async fn only_init_and_add_make_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let root = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let missing = root("missing");
    for root in [&missing, &format!("file://{missing}")] {
        let store = Store::open(root, 1).await.unwrap();
        assert!(store.models().await.unwrap().is_empty() && store.ping().await.is_ok());
        store.collect(&GcOptions::default()).await.unwrap_err();
        assert!(!Store::exists(root).await.unwrap() && !fs::exists(&missing).unwrap());
    }
    Models::new().add(&Store::open(&root("a/b"), 1).await.unwrap(), "m", "base-bf16").await;
    assert!(Store::exists(&root("a/b")).await.unwrap());
    // An empty folder is an empty store, and stays empty until a model is added.
    fs::create_dir(root("empty")).unwrap();
    let store = Store::open(&root("empty"), 1).await.unwrap();
    assert!(store.models().await.unwrap().is_empty() && store.verify(VerifyDepth::ReadData, &|_| {}).await.is_ok());
    assert!(!Store::exists(&root("empty")).await.unwrap());
    assert_eq!(fs::read_dir(root("empty")).unwrap().count(), 0);
    Models::new().add(&store, "m", "base-bf16").await;
    assert!(Store::exists(&root("empty")).await.unwrap());
    Store::init(&root("made"), 1).await.unwrap();
    assert!(Store::exists(&root("made")).await.unwrap());
    Store::init(&root("made"), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_with_other_things_is_refused() {
    for (path, content) in
        [("notes.txt", "x"), ("models/llama/model.bin", "x"), ("format.json", r#"{"name":"theirs"}"#)]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        fs::write(folder.path().join(path), content).unwrap();
        let root = folder.path().to_str().unwrap();
        assert!(matches!(Store::open(root, 1).await, Err(Error::Argument(_))), "{path}");
        assert!(matches!(Store::init(root, 1).await, Err(Error::Argument(_))), "{path}");
        assert!(!Store::exists(root).await.unwrap());
        assert_eq!(fs::read_to_string(folder.path().join(path)).unwrap(), content);
        assert_eq!(fs::read_dir(root).unwrap().count(), 1);
        // The same in a bucket.
        let bucket = Arc::new(InMemory::new());
        bucket.put(&path.into(), PutPayload::from(content)).await.unwrap();
        assert!(matches!(Store::over(Backend::over(bucket as Arc<dyn ObjectStore>), 1).await, Err(Error::Argument(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_makes_meanwhile_is_a_store() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    Models::new().add(&Store::over(Backend::over(bucket.clone()), 1).await.unwrap(), "m", "base-bf16").await;
    let late = Faulty::new(bucket, None, Fault::Early, 0);
    let store = Store::over(Backend::over(Arc::new(late.clone())), 1).await.unwrap();
    assert!(late.struck());
    assert_eq!(store.models().await.unwrap().len(), 1);
    // The same before the first model has added its folders.
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    Store::init(root, 1).await.unwrap();
    let mark = fs::read(folder.path().join("format.json")).unwrap();
    bucket.put(&"format.json".into(), PutPayload::from(mark)).await.unwrap();
    Store::over(Backend::over(Arc::new(Faulty::new(bucket, None, Fault::Early, 0))), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_damaged_mark_is_used_and_adding_repairs_the_mark() {
    let (models, root) = (Models::new(), tempfile::tempdir().unwrap());
    models.add(&open(root.path()).await, "m", "base-bf16").await;
    let mark = root.path().join("format.json");
    let good = fs::read(&mark).unwrap();
    for damage in [Some(&good[..9]), Some(b""), Some(&[0xFF; 90]), None] {
        match damage {
            Some(bytes) => fs::write(&mark, bytes).unwrap(),
            None => fs::remove_file(&mark).unwrap(),
        }
        assert!(Store::exists(root.path().to_str().unwrap()).await.unwrap());
        let store = open(root.path()).await;
        models.check(&store, "m", "base-bf16").await;
        let problems = store.verify(VerifyDepth::Presence, &|_| {}).await.unwrap().problems;
        assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["format.json"]);
        models.add(&store, "n", "base-bf16").await;
        assert_eq!(fs::read(&mark).unwrap(), good);
        store.remove(&name("n")).await.unwrap();
    }
    // A later version is no damage.
    fs::write(&mark, r#"{"version":2}"#).unwrap();
    let opened = Store::open(root.path().to_str().unwrap(), 1).await;
    assert!(matches!(opened, Err(Error::Unsupported(_))));
}
