//! Tests of ingest in two passes: surveys, plans, and writing them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bitx::Effort;
use bitx_store::{Added, Error, GcOptions, Planned, Source, Store, Survey, VerifyDepth};

use crate::support::models::{Models, name, sources};
use crate::support::open;
use crate::support::weights::{Random, Weights};

/// A folder of models, each a file.
struct Hub(tempfile::TempDir);

impl Hub {
    /// A base, six fine-tunes of it, a copy of one of them, and a stranger.
    fn new() -> Self {
        let (hub, mut random) = (Self(tempfile::tempdir().unwrap()), Random(5));
        let base = Weights::committed();
        hub.write("a-noisy", &base.noisy(&mut random).to_file());
        hub.write("b-sparse", &base.sparse(&mut random).to_file());
        hub.write("c-rank", &base.low_rank(&mut random).to_file());
        hub.write("d-noisy", &base.noisy(&mut random).to_file());
        hub.write("e-copy", &hub.read("d-noisy"));
        hub.write("m-base", &base.to_file());
        hub.write("n-noisy", &base.noisy(&mut random).to_file());
        hub.write("z-stranger", &Weights::small(&mut random).to_file());
        hub
    }

    fn path(&self, model: &str) -> PathBuf {
        self.0.path().join(model)
    }

    fn write(&self, model: &str, bytes: &[u8]) {
        fs::write(self.path(model), bytes).unwrap();
    }

    fn read(&self, model: &str) -> Vec<u8> {
        fs::read(self.path(model)).unwrap()
    }

    fn source(&self, model: &str) -> Vec<Source> {
        vec![Source { path: "model.safetensors".into(), file: self.path(model) }]
    }

    fn survey(&self, model: &str) -> Survey {
        Survey::of(&name(model), &self.source(model), 2, &|_| {}, &|| false).unwrap()
    }

    fn surveys(&self) -> Vec<Survey> {
        sources(self.0.path()).iter().map(|file| self.survey(&file.path)).collect()
    }

    /// Asserts that every model of the store is that of this folder, and that there are so many.
    async fn check(&self, store: &Store, models: usize) {
        let all = store.models().await.unwrap();
        assert_eq!(all.len(), models);
        for model in all {
            let out = tempfile::tempdir().unwrap();
            store.get(&model, out.path(), &|_| {}).await.unwrap();
            let restored = fs::read(out.path().join("model.safetensors")).unwrap();
            assert!(restored == self.read(model.name.as_str()), "{}", model.name);
        }
        let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        assert_eq!(verified.problems, []);
    }
}

async fn write(store: &Store, planned: &Planned) -> Result<Option<Added>, Error> {
    store.write(planned, Effort::Default, &|_| {}, &|| false).await
}

async fn write_all(store: &Store, plan: &[Planned]) -> u64 {
    let mut stored = 0;
    for planned in plan {
        stored += write(store, planned).await.unwrap().map_or(0, |added| added.stored_bytes);
    }
    stored
}

fn waves(plan: &[Planned]) -> BTreeMap<&str, u32> {
    plan.iter().map(|planned| (planned.model.as_str(), planned.wave)).collect()
}

/// The number of objects with each content.
fn copies(root: &Path) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for folder in ["pieces", "files"] {
        for file in sources(&root.join(folder)) {
            let content = file.path.rsplit_once('/').unwrap().0.to_owned();
            *copies.entry(format!("{folder}/{content}")).or_default() += 1;
        }
    }
    copies
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_a_family_comes_first() {
    let (hub, root, other) = (Hub::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let mut surveys = hub.surveys();
    let plan = store.plan(surveys.clone(), &|| false).await.unwrap();
    let waves = waves(&plan);
    assert_eq!((waves["m-base"], waves["z-stranger"]), (0, 0), "{waves:?}");
    for tuned in ["a-noisy", "b-sparse", "c-rank", "d-noisy", "e-copy", "n-noisy"] {
        assert!(waves[tuned] > 0, "{waves:?}");
    }
    // The order of the surveys, and a survey that comes twice, change nothing.
    Random(1).shuffle(&mut surveys);
    surveys.push(surveys[3].clone());
    assert_eq!(store.plan(surveys, &|| false).await.unwrap(), plan);
    assert!(!root.path().join("runs").exists(), "a plan for an empty store writes nothing");

    let stored = write_all(&store, &plan).await;
    hub.check(&store, 8).await;
    // In the order of their names, the base would come too late for most of its fine-tunes.
    let (by_name, mut unplanned) = (open(other.path()).await, 0);
    for file in sources(hub.0.path()) {
        let added = by_name.add(&name(&file.path), &hub.source(&file.path), Effort::Default, &|_| {}).await.unwrap();
        unplanned += added.stored_bytes;
    }
    assert!(stored * 100 < unplanned * 99, "{stored} bytes planned, {unplanned} in the order of the names");
    // The plan is whole: another run of it reads no file.
    fs::remove_file(hub.path("a-noisy")).unwrap();
    assert_eq!(write_all(&store, &plan).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_models_are_bases_of_a_plan() {
    let (hub, root) = (Hub::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    store.add(&name("m-base"), &hub.source("m-base"), Effort::Default, &|_| {}).await.unwrap();
    let base = store.model(&name("m-base")).await.unwrap().files[0].id.digest;
    let plan = store.plan(hub.surveys(), &|| false).await.unwrap();
    assert_eq!(sources(&root.path().join("runs")).len(), 0);
    for planned in &plan {
        assert_eq!(planned.wave, 0, "{}", planned.model);
        assert_eq!(planned.bases.contains(&base), planned.model.as_str() != "z-stranger", "{}", planned.model);
    }
    write_all(&store, &plan).await;
    hub.check(&store, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_follow_the_wider_model() {
    let (models, root) = (Models::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let of = |model: &str| Survey::of(&name(model), &models.source(model), 1, &|_| {}, &|| false).unwrap();
    let plan = store.plan(vec![of("base-f32"), of("sft-f32"), of("stranger")], &|| false).await.unwrap();
    let waves = waves(&plan);
    assert_eq!(waves["base-f32"] + waves["sft-f32"], 1, "{waves:?}");
    assert_eq!(waves["stranger"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_that_run_one_plan_store_nothing_twice() {
    let (hub, root, alone) = (Hub::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (open(root.path()).await, open(root.path()).await);
    let plan = first.plan(hub.surveys(), &|| false).await.unwrap();
    let backwards: Vec<Planned> = {
        let mut plan = plan.clone();
        plan.sort_by_key(|planned| (planned.wave, std::cmp::Reverse(planned.model.clone())));
        plan
    };
    tokio::join!(write_all(&first, &plan), write_all(&second, &backwards));
    hub.check(&first, 8).await;
    let written = copies(root.path());
    assert!(written.values().all(|count| *count == 1), "{written:?}");
    let single = open(alone.path()).await;
    write_all(&single, &plan).await;
    assert_eq!(copies(alone.path()), written);
    // Neither engine has left anything.
    assert!(first.collect(&GcOptions::default()).await.unwrap().waiting == 0);
    assert_eq!(sources(&root.path().join("runs")).len(), 0);
    assert_eq!(copies(root.path()), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_a_store_that_has_changed_gives_a_right_store() {
    let (hub, root) = (Hub::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    for model in ["m-base", "b-sparse"] {
        store.add(&name(model), &hub.source(model), Effort::Default, &|_| {}).await.unwrap();
    }
    let plan = store.plan(hub.surveys(), &|| false).await.unwrap();
    // The base is gone, and a name is that of another model.
    store.remove(&name("m-base")).await.unwrap();
    store.add(&name("b-sparse"), &hub.source("z-stranger"), Effort::Default, &|_| {}).await.unwrap();
    store.collect(&GcOptions::default()).await.unwrap();
    store.add(&name("z-stranger"), &hub.source("z-stranger"), Effort::Default, &|_| {}).await.unwrap();
    write_all(&store, &plan).await;
    hub.check(&store, 8).await;
    // A base that is damaged blocks no model.
    let pieces = sources(&root.path().join("pieces"));
    store.remove(&name("n-noisy")).await.unwrap();
    for piece in pieces {
        fs::write(&piece.file, b"x").unwrap();
    }
    write(&store, plan.iter().find(|planned| planned.model.as_str() == "n-noisy").unwrap()).await.unwrap();
    let model = store.model(&name("n-noisy")).await.unwrap();
    store.get(&model, tempfile::tempdir().unwrap().path(), &|_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_changed_since_its_survey_is_not_published() {
    let (hub, root) = (Hub::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let plan = store.plan(vec![hub.survey("a-noisy")], &|| false).await.unwrap();
    hub.write("a-noisy", &hub.read("m-base"));
    let error = write(&store, &plan[0]).await.unwrap_err();
    assert!(error.code() == "io" && error.to_string().contains("changed since it was surveyed"), "{error}");
    assert_eq!((store.models().await.unwrap().len(), sources(&root.path().join("runs")).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_stopped_leaves_nothing() {
    let (hub, root) = (Hub::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let survey = Survey::of(&name("m"), &hub.source("m-base"), 2, &|_| {}, &|| true);
    assert_eq!(survey.unwrap_err().code(), "stopped");
    let plan = store.plan(hub.surveys(), &|| false).await.unwrap();
    assert_eq!(store.plan(hub.surveys(), &|| true).await.unwrap_err().code(), "stopped");
    // Wherever it is stopped, all of the model is there or nothing.
    for after in [0, 1, 2, 5, 9] {
        let done = AtomicU64::new(0);
        let progress = |_| {
            done.fetch_add(1, Ordering::Relaxed);
        };
        let stop = || done.load(Ordering::Relaxed) >= after;
        match store.write(&plan[0], Effort::Max, &progress, &stop).await {
            Ok(added) => assert!(added.is_none_or(|added| added.files == 1)),
            Err(error) => assert_eq!(error.code(), "stopped"),
        }
        // The folder is there only once a writer has begun.
        let runs = root.path().join("runs");
        assert!(!runs.exists() || sources(&runs).is_empty(), "after {after} parts");
    }
    write_all(&store, &plan).await;
    hub.check(&store, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_lines_are_refused_or_harmless() {
    let (hub, root) = (Hub::new(), tempfile::tempdir().unwrap());
    let store = open(root.path()).await;
    let survey = hub.survey("m-base");
    let plan = store.plan(vec![survey.clone()], &|| false).await.unwrap();
    let (line, planned) = (survey.to_line().unwrap(), plan[0].to_line().unwrap());
    assert_eq!(Survey::read(line.as_bytes(), "x").unwrap()[0].to_line().unwrap(), line);
    assert_eq!(Planned::read(format!("\n{planned}\n{planned}").as_bytes(), "x").unwrap(), plan);
    for (text, step) in [(&line, 7), (&planned, 1)] {
        for at in (0..text.len() - 1).step_by(step) {
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 1;
            assert!(Survey::read(&flipped[..], "x").is_err() && Planned::read(&flipped[..], "x").is_err(), "{at}");
            assert!(Survey::read(&flipped[..at], "x").is_ok_and(|read| read.is_empty()) || at > 0);
        }
    }
    // Without its digest, a line may say anything that the grammar allows.
    let bare = |line: &str| format!("{}}}", line.split_once(",\"check\"").unwrap().0);
    let (line, planned) = (bare(&line), bare(&planned));
    assert!(Survey::read(line.as_bytes(), "x").is_ok() && Planned::read(planned.as_bytes(), "x").is_ok());
    for (from, to) in [
        ("model.safetensors\",\"file", "../model\",\"file"),
        ("\"version\":1", "\"version\":2"),
        ("\"model\":\"m-base\"", "\"model\":\"../m\""),
        ("\"version\":1", "\"version\":1,\"more\":0"),
        ("\"files\":[", "\"files\":[[],"),
    ] {
        for line in [&line, &planned] {
            let forged = line.replacen(from, to, 1);
            assert!(&forged != line, "{from}");
            let errors = (Survey::read(forged.as_bytes(), "x").unwrap_err(), Planned::read(forged.as_bytes(), "y"));
            assert!(errors.0.to_string().starts_with("x: line 1: ") && errors.1.is_err(), "{errors:?}");
        }
    }
    let (first, rest) = line.split_once("\"samples\":[").unwrap();
    let sample = rest.split_once('}').unwrap().0;
    let with = |samples: &str| Survey::read(format!("{first}\"samples\":[{samples}]}}").as_bytes(), "x");
    assert!(with(&format!("{sample}}}")).is_ok());
    assert!(with(&vec![format!("{sample}}}"); 33].join(",")).is_err());
    assert!(with(&format!("{}}}", sample.replace("\"file\":0", "\"file\":1"))).is_err());
    for length in [0, 1, u64::MAX] {
        let field = sample.split(',').find(|field| field.starts_with("\"length\"")).unwrap();
        assert!(with(&format!("{}}}", sample.replace(field, &format!("\"length\":{length}")))).is_err());
    }
    // Two tales of one model are told apart from one that is told twice.
    let other = line.replace("\"bytes\":", "\"bytes\":1");
    let digest = survey.files[0].blake3.to_string();
    let differing = line.replace(&digest, &digest.replace(|digit: char| digit.is_ascii_digit(), "a"));
    let read = |text: &str| Survey::read(text.as_bytes(), "x").unwrap().remove(0);
    assert!(store.plan(vec![read(&line), read(&other)], &|| false).await.is_ok());
    let error = store.plan(vec![read(&line), read(&differing)], &|| false).await.unwrap_err();
    assert!(error.code() == "invalid-argument" && error.to_string().contains("m-base"), "{error}");
    // Samples of nothing but one word, of any length and in great numbers, are planned.
    let forged: Vec<Survey> = (0..300)
        .map(|number| {
            let sketch = "ff".repeat(4096);
            let samples = (0..32).map(|_| {
                format!(
                    "{{\"file\":0,\"dtype\":\"U8\",\"length\":{},\"signature\":\"{}\",\"sketch\":\"{sketch}\"}}",
                    u64::MAX,
                    "aaaaaaaaaaaaaaaa00014040"
                )
            });
            let text = format!("{first}\"samples\":[{}]}}", samples.collect::<Vec<_>>().join(","));
            read(&text.replacen("m-base", &format!("m-{number}"), 1))
        })
        .collect();
    let plan = store.plan(forged, &|| false).await.unwrap();
    assert_eq!(plan.iter().filter(|planned| planned.wave == 0).count(), 1);
}
