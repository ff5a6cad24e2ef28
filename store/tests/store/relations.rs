//! Tests of the relations between files, which a server asks for.

use bitx_store::{Announced, Digest, Model, ModelName, Relations, Store};

use crate::support::models::{Models, name};
use crate::support::open;

async fn with_models() -> (tempfile::TempDir, Models, Store) {
    let (root, models) = (tempfile::tempdir().unwrap(), Models::new());
    let store = open(root.path()).await;
    for (model, file) in
        [("a/base", "base-bf16"), ("b/tuned", "sft-bf16"), ("c/copy", "sft-bf16"), ("d/stranger", "stranger")]
    {
        models.add(&store, model, file).await;
    }
    (root, models, store)
}

fn all(_: &ModelName) -> bool {
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn relatives_are_found_in_both_ways() {
    let (_root, _models, store) = with_models().await;
    let relations = Relations::default().refresh(&store).await.unwrap().unwrap();
    let files: Vec<_> = relations.models().flat_map(|model| &model.files).collect();
    for file in &files {
        let relatives = relations.relatives(file, all);
        for base in &files {
            let named = relatives.iter().any(|related| related.file.id.digest == base.id.digest);
            assert_eq!(named, relations.is_relative(file, &base.id.digest), "{file:?} {base:?}");
        }
    }
    let related = |file: usize, visible: &dyn Fn(&ModelName) -> bool| -> Vec<String> {
        relations.relatives(files[file], visible).iter().map(|related| related.model.to_string()).collect()
    };
    assert_eq!(
        (related(0, &all), related(1, &all), related(3, &all)),
        (vec!["b/tuned".into()], vec!["a/base".into()], vec![])
    );
    // Another model with the same file takes the place of one that may not be seen.
    assert_eq!(related(0, &|model| model.as_str() != "b/tuned"), ["c/copy"]);
    assert!(related(0, &|model| model.as_str().starts_with("a/")).is_empty());
    assert!(!relations.is_relative(files[0], &Digest::of(b"unknown")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_without_news_reads_nothing() {
    let (_root, models, store) = with_models().await;
    let relations = Relations::default().refresh(&store).await.unwrap().unwrap();
    assert!(relations.refresh(&store).await.unwrap().is_none());
    models.add(&store, "e/new", "rl-bf16").await;
    let relations = relations.refresh(&store).await.unwrap().unwrap();
    assert_eq!(relations.models().count(), 5);
    store.remove(&name("e/new")).await.unwrap();
    let relations = relations.refresh(&store).await.unwrap().unwrap();
    assert_eq!(relations.models().count(), 4);
    assert!(relations.file(&relations.models().next().unwrap().files[0].id.digest, |_| false).is_none());
}

/// The tensors of a model's only file.
async fn announced(store: &Store, model: &Model) -> Vec<(String, String, Vec<u64>, u64, Digest)> {
    let manifest = store.file(&model.files[0].id).await.unwrap();
    let named = manifest.items.iter().filter_map(|item| {
        let name = item.name.clone()?;
        Some((name, item.dtype.name().to_owned(), item.shape.clone(), item.length(), item.digest()?))
    });
    named.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_tensors_are_compared_within_a_bound() {
    let (_root, _models, store) = with_models().await;
    let relations = Relations::default().refresh(&store).await.unwrap().unwrap();
    let tensors = announced(&store, &store.model(&name("b/tuned")).await.unwrap()).await;
    let announced: Vec<Announced<'_>> = tensors
        .iter()
        .map(|(name, dtype, shape, length, digest)| Announced { name, dtype, shape, length: *length, digest: *digest })
        .collect();
    let mut steps = 1 << 20;
    let bases = relations.bases(&announced, all, &mut steps);
    let whole: u64 = announced.iter().map(|tensor| tensor.length).sum();
    assert_eq!((bases[0].model.as_str(), bases[0].equal, bases[0].alike), ("b/tuned", whole, whole));
    assert!(bases[1].model.as_str() == "a/base" && bases[1].alike == whole);
    let taken = (1 << 20) - steps;
    assert!(taken > 0 && taken <= 4 * announced.len(), "{taken}");
    for few in [0, 1, taken / 2] {
        let mut steps = few;
        let bases = relations.bases(&announced, all, &mut steps);
        assert_eq!((steps, bases.is_empty()), (0, few == 0));
    }
    assert!(relations.stored(&announced, all).iter().all(|stored| *stored));
    assert!(!relations.stored(&announced, |_| false).iter().any(|stored| *stored));
    // A tensor that others have as well is stored for those who see them.
    assert!(!relations.stored(&announced, |model| model.as_str() == "d/stranger").iter().all(|stored| *stored));
}
