//! Tests of `bitx serve` as a process: signals, kills, a full disk, and many clients for a long
//! time.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::common;
use crate::support::served::{Served, TOKEN, digest};

/// The bytes of a base and of its fine-tune.
fn models() -> (Vec<u8>, Vec<u8>) {
    let pair = &common::PAIRS[0];
    (pair.base.to_vec(), common::restore(pair.base, pair.archive).unwrap())
}

/// Runs `bitx store` on the store of the server, and returns its output.
fn store(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bitx"))
        .args(["store", "--root", "store"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_signal_ends_the_server_and_removes_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(folder.path());
    let id = served.begin(&models().1).unwrap();
    let part = served.client.put(format!("{}/api/uploads/{id}/files/0?raw", served.url)).bearer_auth(TOKEN);
    let part = part.header("content-range", "bytes 0-4/1192912").body("bytes").send().unwrap();
    assert_eq!(part.status(), 202);
    assert!(served.terminate().success());
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
}

#[test]
fn leftovers_of_a_killed_server_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (base, tuned) = models();
    let rounds = std::env::var("BITX_KILLS").map_or(8, |rounds| rounds.parse().unwrap());
    let mut published: Option<Vec<u8>> = None;
    for round in 0..rounds {
        let mut served = Served::start(folder.path());
        // The last model that was published is still there and complete: the one whose answer came,
        // or the one that was pushed last, if the server was killed before it could answer.
        if let Some(published) = &mut published {
            let got = served.pull("").unwrap().bytes().unwrap();
            assert!(got == *published || got == *if round % 2 == 1 { &base } else { &tuned });
            *published = got.to_vec();
        }
        let next = if round % 2 == 0 { &base } else { &tuned };
        let wait = Duration::from_millis(17 * (round * 7 % 31));
        std::thread::scope(|scope| {
            let pushed = scope.spawn(|| served.push(next));
            std::thread::sleep(wait);
            Command::new("kill").args(["-KILL", &served.process.id().to_string()]).status().unwrap();
            if pushed.join().unwrap() == Some(201) {
                published = Some(next.clone());
            }
        });
        served.kill();
        store(folder.path(), &["verify", "--read-data"]);
    }
    // The next server removes the temporary files that are left, and a collection removes the other
    // leftovers.
    let mut served = Served::start(folder.path());
    assert_eq!(served.push(&tuned), Some(201));
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 1);
    assert!(served.terminate().success());
    store(folder.path(), &["rm", "org/model"]);
    // Uploads that the killed servers left open keep what they need until they expire.
    let uploads = folder.path().join("store").join("uploads");
    let aged = ["-type", "f", "-exec", "touch", "-d", "2 days ago", "{}", "+"];
    assert!(Command::new("find").arg(uploads).args(aged).status().unwrap().success());
    // Without the usual grace of an hour, so that half-written files are removed too.
    store(folder.path(), &["gc", "--grace", "0s"]);
    store(folder.path(), &["gc", "--grace", "0s"]);
    let left = |kind: &str| {
        let found = Command::new("find").arg(folder.path().join("store").join(kind)).args(["-type", "f"]).output();
        String::from_utf8(found.unwrap().stdout).unwrap()
    };
    assert_eq!([left("pieces"), left("files"), left("runs"), left("uploads")], <[String; 4]>::default());
}

#[test]
fn a_full_disk_is_reported_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (base, tuned) = models();
    let mut served = Served::start(folder.path());
    assert_eq!(served.push(&base), Some(201));
    assert!(served.terminate().success());
    // No file may grow past 512 KiB. With the signal ignored, the process gets an error instead.
    let mut served = Served::after("trap '' XFSZ; ulimit -f 512; ", folder.path());
    let id = served.begin(&tuned).unwrap();
    let full = served.put(&id, "raw", &tuned);
    if let Some(full) = full {
        assert_eq!(full.status(), 503);
        assert_eq!(full.json::<Value>().unwrap()["error"]["code"], "storage");
    }
    // Requests that need no space still work.
    assert_eq!(served.publish(&id).unwrap().status(), 409);
    assert_eq!(served.pull("").unwrap().bytes().unwrap(), base);
    assert!(served.terminate().success());
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
    store(folder.path(), &["verify", "--read-data"]);
}

/// A model of incompressible bytes, whose archive is as large as the model.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state ^ (state >> 33)).wrapping_mul(0xff51afd7ed558ccd) >> 24) as u32
    };
    let data: Vec<u8> = (0..bytes / 4).flat_map(|_| next().to_le_bytes()).collect();
    common::model(&[("weights", "U8", &[bytes as u64], &data)])
}

#[test]
fn a_delta_too_large_for_one_request_is_stored_in_parts() {
    const LARGE: usize = 70 << 20;
    const SHARED: usize = 96 << 20;
    let folder = tempfile::tempdir().unwrap();
    // A delta is only made where it is at most half of the file.
    let shared = noise(SHARED, 3);
    let [base, tuned] = [1, 2].map(|seed| [&shared[..], &noise(LARGE, seed)].concat());
    for (name, bytes) in [("org/base", &base), ("org/model", &tuned)] {
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        store(folder.path(), &["add", "--effort", "fast", "--name", name, "model.safetensors"]);
    }
    let kept = || std::fs::read_dir(folder.path().join("store/archives")).unwrap().next().unwrap().unwrap();
    let mut made = Vec::new();
    for _ in 0..2 {
        let mut served = Served::start(folder.path());
        let answer = served.pull(&format!("?base={}", digest(&base))).unwrap();
        assert_eq!(answer.status(), 200);
        let archive = answer.bytes().unwrap();
        assert!(archive.len() > LARGE && common::restore(&base, &archive).unwrap() == tuned);
        assert!(served.terminate().success());
        assert!(std::fs::read(kept().path()).unwrap() == archive);
        made.push(kept().metadata().unwrap().modified().unwrap());
    }
    assert_eq!(made[0], made[1], "the archive was made again");
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
}

/// Lets 64 clients pull and 16 push the same model for as many seconds as `BITX_SOAK` sets.
#[test]
#[ignore = "slow: BITX_SOAK=600 cargo test --release -p bitx-cli --test processes soak -- --ignored --nocapture"]
fn soak() {
    let seconds = std::env::var("BITX_SOAK").map_or(60, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (base, tuned) = models();
    let mut served = Served::start(folder.path());
    assert_eq!(served.push(&base), Some(201));
    assert_eq!(served.push(&tuned), Some(201));
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let (pulls, pushes, busy) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let mut figures = Vec::new();
    std::thread::scope(|scope| {
        for client in 0..80 {
            let (served, stop, pulls, pushes, busy, tuned) = (&served, &stop, &pulls, &pushes, &busy, &tuned);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let pull = client < 64;
                    let status = if pull {
                        let got = served.pull("").expect("an answer");
                        let status = got.status().as_u16();
                        assert!(status == 503 || got.bytes().expect("a complete answer") == *tuned);
                        status
                    } else {
                        served.push(tuned).expect("an answer")
                    };
                    let count = match status {
                        200 => pulls,
                        201 => pushes,
                        503 => busy,
                        other => panic!("{other}"),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while begun.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_secs((seconds / 10).max(1)));
            let (files, resident) = served.usage();
            println!("{:4} s: {files} open files, {resident} KiB", begun.elapsed().as_secs());
            figures.push((files, resident));
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{pulls:?} pulls, {pushes:?} pushes, {busy:?} busy answers");
    // An idle server holds no more files and memory than at the start.
    std::thread::sleep(Duration::from_secs(3));
    let (files, resident) = served.usage();
    println!("idle: {files} open files, {resident} KiB");
    let half = figures.len() / 2;
    let most = |part: &[(usize, u64)]| part.iter().map(|(_, resident)| *resident).max().unwrap_or(0);
    assert!(most(&figures[half..]) < most(&figures[..half]) * 5 / 4 + (32 << 10), "memory grows: {figures:?}");
    assert!(files < 40, "files are left open: {files}");
    assert!(served.terminate().success());
}
