//! Tests of a store on a full disk: nothing is lost, and a collection frees space.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitx::Effort;
use bitx_store::{GcOptions, Store, VerifyDepth};

use crate::support::models::{name, sources};
use crate::support::open;
use crate::support::weights::{Random, Weights};

/// A small disk in memory, which only root can make.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file until there is no space left.
    fn fill(&self) {
        let mut file = fs::File::create(self.path("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

async fn add(store: &Store, model: &str, folder: &Path) -> Result<(), bitx_store::Error> {
    store.add(&name(model), &sources(folder), Effort::Fast, &|_| {}).await.map(drop)
}

/// The folders of models `kept` and `gone`, with `files` further files each.
fn models(files: usize) -> tempfile::TempDir {
    let (folder, mut random) = (tempfile::tempdir().unwrap(), Random(1));
    for model in ["kept", "gone"] {
        fs::create_dir(folder.path().join(model)).unwrap();
        fs::write(folder.path().join(model).join("a.safetensors"), Weights::small(&mut random).to_file()).unwrap();
        for file in 0..files {
            fs::write(folder.path().join(model).join(format!("{file}.json")), format!("{model} {file}")).unwrap();
        }
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_frees_a_full_disk() {
    for files in [0, 150] {
        for with_reserve in [true, false] {
            let Some(disk) = Disk::mount() else { return eprintln!("no disk can be mounted here") };
            let models = models(files);
            let store = open(&disk.path("store")).await;
            for model in ["kept", "gone"] {
                add(&store, model, &models.path().join(model)).await.unwrap();
            }
            if !with_reserve {
                fs::write(disk.path("store/gc/clock"), "tick").unwrap();
                let archive = models.path().join("archive");
                fs::write(&archive, vec![1; 100 << 10]).unwrap();
                let file = store.model(&name("kept")).await.unwrap().files[0].id.digest;
                assert!(store.keep_archive(&file, &file, &archive).await.unwrap());
            }
            store.remove(&name("gone")).await.unwrap();
            disk.fill();
            assert_eq!(add(&store, "gone", &models.path().join("gone")).await.unwrap_err().code(), "storage");
            let collected = store.collect(&GcOptions::default()).await.unwrap();
            assert!(collected.objects > files as u64 && collected.waiting == 0, "{collected:?}");
            let verified = store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap();
            assert_eq!((verified.models, verified.problems), (1, vec![]));
            assert_eq!(store.collect(&GcOptions { dry_run: true, ..GcOptions::default() }).await.unwrap().objects, 0);
            fs::remove_file(disk.path("filler")).unwrap();
            add(&store, "gone", &models.path().join("gone")).await.unwrap();
        }
    }
}
