//! Tests of the requests and bytes that each operation costs in stores of several sizes.
//!
//! `BITX_SCALE=1000,10000` prints the table of docs/STORE.md for stores of these sizes, in which a
//! request takes as many milliseconds as `BITX_REQUEST` says, or 20:
//! `BITX_SCALE=1000 cargo test -p bitx-store --test store costs -- --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitx::Effort;
use bitx_store::{Backend, GcOptions, Relations, Source, Store, VerifyDepth};
use object_store::memory::InMemory;

use crate::support::counted::{Counted, Traffic};
use crate::support::crowd::Crowd;
use crate::support::models::name;
use crate::support::weights::{Random, Weights};

/// The time that a request takes in the table, in milliseconds.
const REQUEST: u64 = 20;
/// The operations whose cost does not depend on the number of models.
const FLAT: [&str; 5] = ["add a fine-tune", "add a stranger", "get", "rm", "server start"];

/// The operations that need all manifests, and find them in registers.
const REGISTERED: [&str; 4] = ["ls", "stats", "gc", "server, first pull"];

/// The cost of an operation.
struct Cost {
    operation: &'static str,
    traffic: Traffic,
    time: Duration,
    /// The growth of the memory of this process in bytes, if the system tells it.
    memory: Option<u64>,
}

struct Scene {
    folder: tempfile::TempDir,
    counted: Counted,
    store: Store,
    costs: Vec<Cost>,
}

impl Scene {
    /// A store with a base and a fine-tune, and `models` models like them.
    async fn of(models: u64, request: Duration) -> Self {
        let storage = Arc::new(InMemory::new());
        let counted = Counted::new(storage.clone());
        let store = Store::over(Backend::over(Arc::new(counted.clone())), 2).await.unwrap();
        let scene = Self { folder: tempfile::tempdir().unwrap(), counted, store, costs: Vec::new() };
        let base = Weights::small(&mut Random(1));
        for (model, weights) in [("base", &base), ("tuned", &base.noisy(&mut Random(2)))] {
            scene.add(model, weights).await;
        }
        Crowd::like(&*storage, &scene.store, ["base", "tuned"]).await.write(0..models).await;
        scene.counted.delay(request);
        scene
    }

    async fn add(&self, model: &str, weights: &Weights) {
        let file = self.folder.path().join("file");
        std::fs::write(&file, weights.to_file()).unwrap();
        let source = Source { path: "model.safetensors".into(), file };
        self.store.add(&name(model), &[source], Effort::Fast, &|_| {}).await.unwrap();
    }

    /// Notes the cost of an operation.
    async fn note<T>(&mut self, operation: &'static str, work: impl AsyncFnOnce(&Self) -> T) -> T {
        self.counted.take();
        let (resident, begun) = (memory::reset(), Instant::now());
        let result = work(self).await;
        let time = begun.elapsed();
        let memory = memory::peak().zip(resident).map(|(peak, before)| peak.saturating_sub(before));
        self.costs.push(Cost { operation, traffic: self.counted.take(), time, memory });
        result
    }

    async fn run(&mut self) {
        let gc = async |scene: &Self| scene.store.collect(&GcOptions::default()).await.unwrap();
        assert_eq!(self.note("gc, the first", gc).await.objects, 0);
        let base = Weights::small(&mut Random(1));
        let tuned = base.sparse(&mut Random(3));
        self.note("add a fine-tune", async |scene| scene.add("new", &tuned).await).await;
        self.note("add a stranger", async |scene| scene.add("stranger", &Weights::small(&mut Random(4))).await).await;
        let out = self.folder.path().join("out");
        let get = async |scene: &Self| {
            let model = scene.store.model(&name("new")).await.unwrap();
            scene.store.get(&model, &out, &|_| {}).await.unwrap();
        };
        self.note("get", get).await;
        let page = async |scene: &Self| scene.store.page(None, 100).await.unwrap().0.models.len();
        self.note("ls, 100 models", page).await;
        let all = self.note("ls", async |scene| scene.store.models().await.unwrap().len()).await;
        let verified =
            self.note("verify", async |scene| scene.store.verify(VerifyDepth::Presence, &|_| {}).await).await;
        let verified = verified.unwrap();
        assert_eq!((verified.problems, verified.models), (vec![], all as u64));
        self.note("stats", async |scene| scene.store.stats().await.unwrap()).await;
        let open = async |scene: &Self| {
            Store::over(Backend::over(Arc::new(scene.counted.clone())), 2).await.unwrap().ping().await.unwrap();
        };
        self.note("server start", open).await;
        let first = async |scene: &Self| Relations::default().refresh(&scene.store).await.unwrap().unwrap();
        let relations = self.note("server, first pull", first).await;
        let next = async |scene: &Self| assert!(relations.refresh(&scene.store).await.unwrap().is_none());
        self.note("server, next pull", next).await;
        self.note("rm", async |scene| scene.store.remove(&name("new")).await.unwrap()).await;
        assert!(self.note("gc", gc).await.objects >= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn costs_grow_with_the_store_only_where_they_must() {
    let printed = std::env::var("BITX_SCALE").ok();
    let sizes = printed.as_deref().unwrap_or("30,300").split(',').map(|models| models.parse::<u64>().unwrap());
    let stated = std::env::var("BITX_REQUEST").ok().map(|milliseconds| milliseconds.parse().unwrap());
    let request = Duration::from_millis(if printed.is_some() { stated.unwrap_or(REQUEST) } else { 0 });
    let mut first: Vec<(&str, Traffic)> = Vec::new();
    for models in sizes {
        let mut scene = Scene::of(models, request).await;
        scene.run().await;
        for Cost { operation, traffic, time, memory } in &scene.costs {
            if printed.is_some() {
                let memory = memory.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
                let (requests, bytes, time) = (traffic.requests, traffic.bytes, time.as_secs_f64());
                println!("| {models} | {operation} | {requests} | {bytes} | {time:.1} | {memory} |");
            }
            match first.iter().find(|(other, _)| other == operation) {
                None => first.push((operation, *traffic)),
                Some((_, few)) if FLAT.contains(operation) => {
                    assert!(traffic.requests * 2 <= few.requests * 3, "{operation}: {traffic:?} against {few:?}");
                    assert!(traffic.bytes * 2 <= few.bytes * 3, "{operation}: {traffic:?} against {few:?}");
                }
                Some(_) if REGISTERED.contains(operation) => {
                    assert!(traffic.requests <= models / 10 + 100, "{operation}: {traffic:?}");
                }
                // An object of each model and file is read once or twice, and listed in pages.
                Some(_) => assert!(traffic.requests <= 6 * models + 100, "{operation}: {traffic:?}"),
            }
        }
    }
}

/// The memory of this process, as Linux tells it.
mod memory {
    use std::fs;

    /// Forgets the peak, and returns the memory in use in bytes.
    pub fn reset() -> Option<u64> {
        fs::write("/proc/self/clear_refs", "5").ok()?;
        field("VmRSS:")
    }

    /// The most memory in use since then, in bytes.
    pub fn peak() -> Option<u64> {
        field("VmHWM:")
    }

    fn field(name: &str) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }
}
