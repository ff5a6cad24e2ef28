//! Tests that kill processes at random moments: published models stay right, and collections remove
//! the leftovers.
//!
//! `BITX_KILLS` sets the number of kills of writers, and as many more of planners and those that
//! run their plans. `BITX_SEED` repeats the choices of a run, but not its timing.

mod plans;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bitx_store::{Digest, VerifyDepth};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::support::Place;
use crate::support::models::Models;

const NAMES: [&str; 4] = ["a", "org/a", "org/b", "c"];
const FILES: [&str; 4] = ["base-bf16", "sft-bf16", "rl-bf16", "lora-bf16"];

/// The errors of commands that were not killed: a model that is not there, and damage that is left.
const EXPECTED: [&str; 2] = ["there is no model", "the check found"];

/// A generator of random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// The contents that each model may have: digests of its file, or `None` if it may be missing.
type Possible = BTreeMap<&'static str, BTreeSet<Option<Digest>>>;

struct Scene {
    place: Place,
    models: Models,
    random: Random,
    /// The longest time that each command took when it was not killed. It is the longest and not
    /// the last, because a model that is already stored is added quickly.
    longest: BTreeMap<&'static str, Duration>,
    possible: Possible,
    /// The number of times that each command was killed.
    killed: BTreeMap<&'static str, u64>,
}

/// The commands that a test consists of.
#[derive(Debug, Clone, Copy)]
enum Mix {
    /// Writers, collections and repairs.
    Writers,
    /// Surveys, plans, engines that run them, the indexing of a store, and collections.
    Planners,
}

impl Scene {
    fn new(place: Place) -> Self {
        let seed = std::env::var("BITX_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1);
        println!("BITX_SEED={seed}");
        let possible = NAMES.iter().map(|name| (*name, BTreeSet::from([None]))).collect();
        Self {
            place,
            models: Models::with_extension(".safetensors"),
            random: Random(seed),
            longest: BTreeMap::new(),
            possible,
            killed: BTreeMap::new(),
        }
    }

    fn digest(&self, file: &str) -> Digest {
        Digest::of(&std::fs::read(self.models.path(file)).unwrap())
    }

    /// Runs a command and kills it after a random time, up to a little more than the command takes.
    /// The first run of each kind is not killed and shows how long that is. Returns `true` if the
    /// command succeeded.
    fn kill(&mut self, command: &'static str, args: &[&str]) -> bool {
        let longest = self.longest.get(command);
        let patience = longest.map_or(Duration::MAX, |longest| {
            Duration::from_micros(self.random.below(longest.as_micros() as u64 * 5 / 4))
        });
        let begun = Instant::now();
        let mut process = self.place.bitx(args).stderr(std::process::Stdio::piped()).spawn().unwrap();
        while begun.elapsed() < patience {
            if process.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        process.kill().unwrap();
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code().is_none_or(|code| code == 0 || EXPECTED.iter().any(|text| said.contains(text))),
            "{args:?}: {said}"
        );
        if output.status.code().is_some() {
            let longest = self.longest.entry(command).or_default();
            *longest = begun.elapsed().max(*longest);
        } else {
            *self.killed.entry(command).or_default() += 1;
        }
        output.status.success()
    }

    /// Runs random commands. Some finish before they are killed, so that there are models to lose.
    async fn step(&mut self, mix: Mix) {
        match (mix, self.random.below(8)) {
            (Mix::Planners, 0..4) => self.plan().await,
            (Mix::Planners, 4..6) => self.index().await,
            _ => self.write_or_collect().await,
        }
    }

    async fn write_or_collect(&mut self) {
        let name = self.random.pick(&NAMES);
        match self.random.below(12) {
            0..6 => {
                let file = self.random.pick(&FILES);
                let path = self.models.path(file);
                let done = self.kill("add", &["add", "--name", name, "--effort", "fast", path.to_str().unwrap()]);
                self.note(name, Some(self.digest(file)), done);
            }
            6..8 => {
                let done = self.kill("rm", &["rm", name]);
                self.note(name, None, done);
            }
            8..10 => self.repair().await,
            _ => {
                let part = self.random.pick(&["1/1", "1/2", "2/2"]);
                self.kill("gc", &["gc", "--part", part]);
            }
        }
    }

    /// Damages an object, lets a repair be killed, and repairs the store from the files of the
    /// models, or from the store itself if the object can be made again.
    async fn repair(&mut self) {
        let storage = self.place.storage();
        let listed: Vec<_> = storage.list(None).try_collect().await.unwrap();
        let kinds = ["pieces/", "files/", "sketches/", "format.json"];
        let damageable = |key: &str| kinds.iter().any(|kind| key.starts_with(kind));
        let objects: Vec<_> = listed.into_iter().filter(|object| damageable(object.location.as_ref())).collect();
        let object = &objects[self.random.below(objects.len() as u64) as usize];
        let mut bytes = storage.get(&object.location).await.unwrap().bytes().await.unwrap().to_vec();
        let at = self.random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1;
        storage.put(&object.location, bytes.into()).await.unwrap();
        let paths: Vec<_> = FILES.iter().map(|file| self.models.path(file).to_str().unwrap().to_owned()).collect();
        let froms = paths.iter().flat_map(|path| ["--from", path.as_str()]);
        let args: Vec<&str> = std::iter::once("repair").chain(froms).collect();
        self.kill("verify --repair", &["verify", "--repair"]);
        self.kill("repair", &args);
        self.run(&args);
    }

    /// Notes that `name` may have `content` now, and no other content if the command is `done`.
    fn note(&mut self, name: &'static str, content: Option<Digest>, done: bool) {
        let possible = self.possible.get_mut(name).unwrap();
        if done {
            possible.clear();
        }
        possible.insert(content);
    }

    /// Asserts that every published model restores, and has content that it may have.
    async fn check(&mut self) {
        let store = self.place.store().await;
        let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
        assert_eq!(verified.problems, []);
        let models = store.models().await.unwrap();
        for (name, possible) in &mut self.possible {
            let model = models.iter().find(|model| model.name.as_str() == *name);
            let content = model.map(|model| model.files[0].id.digest);
            assert!(possible.contains(&content), "{name} is {content:?} and may be {possible:?}");
            // No command is running, so the content stays the same.
            *possible = BTreeSet::from([content]);
        }
    }

    fn run(&self, args: &[&str]) {
        assert!(self.place.bitx(args).status().unwrap().success(), "{args:?}");
    }

    /// Collects twice. The first collection writes tombstones for killed writers, and the second
    /// removes them.
    fn collect(&self) {
        self.run(&["gc", "--grace", "0s"]);
        self.run(&["gc", "--grace", "0s"]);
        assert!(self.place.hidden().is_empty(), "{:?}", self.place.hidden());
    }

    /// Adds the same models to this store and to `fresh`, and asserts that both hold the same
    /// objects.
    async fn compare_with_fresh(&self, fresh: Place) {
        for (name, file) in NAMES.into_iter().zip(FILES) {
            let path = self.models.path(file);
            for place in [&self.place, &fresh] {
                let status = place.bitx(&["add", "--name", name, path.to_str().unwrap()]).status().unwrap();
                assert!(status.success());
            }
        }
        assert_eq!(self.place.content().await, fresh.content().await);
        assert_eq!(self.place.records().await.iter().filter(|key| key.starts_with("models/")).count(), NAMES.len());
    }
}

/// Runs commands until `wanted` of them were killed, checking the store after each. Then it removes
/// all models and asserts that no object is left.
async fn kills(mix: Mix, place: Place, fresh: Place, wanted: u64) {
    let mut scene = Scene::new(place);
    let (mut steps, begun) = (0, Instant::now());
    while scene.killed.values().sum::<u64>() < wanted {
        scene.step(mix).await;
        scene.check().await;
        steps += 1;
        if steps % 100 == 0 {
            println!("{steps} steps, killed {:?}, {:?}", scene.killed, begun.elapsed());
        }
    }
    scene.collect();
    scene.check().await;
    // A repair stores the manifest of a file under another epoch before it replaces a damaged one.
    // If it is killed in between, a later writer may rely on the new one, and both stay.
    let stored = scene.place.content().await.into_iter().filter(|(key, _)| key.starts_with("pieces/"));
    let twice: Vec<_> = stored.filter(|(_, (count, _))| *count > 1).collect();
    assert_eq!(twice, []);
    for name in NAMES {
        if scene.possible[name] != BTreeSet::from([None]) {
            scene.run(&["rm", name]);
        }
    }
    scene.collect();
    assert_eq!(scene.place.content().await, BTreeMap::new());
    let records = scene.place.records().await;
    assert!(records.len() <= 2 && records.iter().all(|key| key.starts_with("gc/")), "{records:?}");
    scene.compare_with_fresh(fresh).await;
    println!("{steps} steps, killed {:?}, {:?}: nothing lost, nothing left", scene.killed, begun.elapsed());
}

/// The number of kills, from `BITX_KILLS`.
fn wanted() -> u64 {
    std::env::var("BITX_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(40)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_do_no_harm_in_a_folder() {
    kills(Mix::Writers, Place::folder(), Place::folder(), wanted() * 4 / 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_do_no_harm_in_a_bucket() {
    kills(Mix::Writers, Place::bucket(), Place::bucket(), wanted() / 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_planners_do_no_harm_in_a_folder() {
    kills(Mix::Planners, Place::folder(), Place::folder(), wanted() * 4 / 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_planners_do_no_harm_in_a_bucket() {
    kills(Mix::Planners, Place::bucket(), Place::bucket(), wanted() / 5).await;
}
