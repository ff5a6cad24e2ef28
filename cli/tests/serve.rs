//! `bitx serve` as a process: signals, kills, a full disk, and many clients for a long time.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

#[path = "../../tests/common/mod.rs"]
mod common;

const TOKEN: &str = "token";

struct Served {
    process: Child,
    url: String,
    client: Client,
}

impl Served {
    /// Serves the store in `folder/store`, with temporary files in `folder/spool`.
    fn start(folder: &Path, before: &str) -> Self {
        let tokens = json!([
            { "read": ["*"] },
            { "blake3": blake3::hash(TOKEN.as_bytes()).to_hex().as_str(), "read": ["*"], "write": ["*"] },
        ]);
        std::fs::create_dir_all(folder.join("spool")).unwrap();
        std::fs::write(folder.join("tokens.json"), tokens.to_string()).unwrap();
        let serve = "exec \"$0\" serve --root store --tokens tokens.json --spool spool --listen 127.0.0.1:0 --quiet";
        let mut process = Command::new("bash")
            .args(["-c", &format!("{before}{serve}"), env!("CARGO_BIN_EXE_bitx")])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        let client = Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(120)).build().unwrap();
        Self { process, url, client }
    }

    /// `None` where the connection breaks.
    fn begin(&self, bytes: &[u8]) -> Option<String> {
        let file = json!({ "path": "model.safetensors", "length": bytes.len(), "blake3": digest(bytes) });
        let body = json!({ "name": "org/model", "files": [file] });
        let begun = self.client.post(format!("{}/api/uploads", self.url)).bearer_auth(TOKEN).json(&body).send().ok()?;
        begun.json::<Value>().ok()?["id"].as_str().map(str::to_owned)
    }

    fn put(&self, id: &str, query: &str, bytes: &[u8]) -> Option<Response> {
        let put = self.client.put(format!("{}/api/uploads/{id}/files/0?{query}", self.url));
        put.bearer_auth(TOKEN).body(bytes.to_vec()).send().ok()
    }

    fn publish(&self, id: &str) -> Option<Response> {
        self.client.post(format!("{}/api/uploads/{id}/publish", self.url)).bearer_auth(TOKEN).send().ok()
    }

    /// Uploads a model; `None` where a connection breaks or the server is busy.
    fn push(&self, bytes: &[u8]) -> Option<u16> {
        let id = self.begin(bytes)?;
        let put = self.put(&id, "raw", bytes)?;
        if put.status() != 204 {
            return Some(put.status().as_u16());
        }
        Some(self.publish(&id)?.status().as_u16())
    }

    fn pull(&self, query: &str) -> Option<Response> {
        self.client.get(format!("{}/models/org/model/files/model.safetensors{query}", self.url)).send().ok()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn terminate(&mut self) -> std::process::ExitStatus {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        self.process.wait().unwrap()
    }

    /// Open files, and KiB of resident memory.
    fn usage(&self) -> (usize, u64) {
        let process = format!("/proc/{}", self.process.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
        (std::fs::read_dir(format!("{process}/fd")).unwrap().count(), resident)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// A base and its fine-tune.
fn models() -> (Vec<u8>, Vec<u8>) {
    let pair = &common::PAIRS[0];
    (pair.base.to_vec(), common::restore(pair.base, pair.archive).unwrap())
}

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
fn it_ends_by_a_signal_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(folder.path(), "");
    let id = served.begin(&models().1).unwrap();
    let part = served.client.put(format!("{}/api/uploads/{id}/files/0?raw", served.url)).bearer_auth(TOKEN);
    let part = part.header("content-range", "bytes 0-4/1192912").body("bytes").send().unwrap();
    assert_eq!(part.status(), 202);
    assert!(served.terminate().success());
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
}

#[test]
fn killed_in_mid_upload_it_leaves_nothing_but_what_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let (base, tuned) = models();
    let rounds = std::env::var("BITX_KILLS").map_or(8, |rounds| rounds.parse().unwrap());
    let mut published: Option<Vec<u8>> = None;
    for round in 0..rounds {
        let mut served = Served::start(folder.path(), "");
        // What was published is there, and whole.
        if let Some(published) = &published {
            let got = served.pull("").unwrap().bytes().unwrap();
            assert!(got == *published || got == *if round % 2 == 1 { &base } else { &tuned });
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
    // The next one removes what is left of the temporary files, and a collection the rest.
    let mut served = Served::start(folder.path(), "");
    assert_eq!(served.push(&tuned), Some(201));
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 1);
    assert!(served.terminate().success());
    store(folder.path(), &["rm", "org/model"]);
    store(folder.path(), &["gc"]);
    store(folder.path(), &["gc"]);
    let left = |kind: &str| {
        let found = Command::new("find").arg(folder.path().join("store").join(kind)).args(["-type", "f"]).output();
        String::from_utf8(found.unwrap().stdout).unwrap()
    };
    assert_eq!((left("pieces"), left("files"), left("runs")), Default::default());
}

#[test]
fn a_full_disk_is_a_clean_error() {
    let folder = tempfile::tempdir().unwrap();
    let (base, tuned) = models();
    let mut served = Served::start(folder.path(), "");
    assert_eq!(served.push(&base), Some(201));
    assert!(served.terminate().success());
    // No file may grow past 512 KiB, and the process is told by an error.
    let mut served = Served::start(folder.path(), "trap '' XFSZ; ulimit -f 512; ");
    let id = served.begin(&tuned).unwrap();
    let full = served.put(&id, "raw", &tuned);
    if let Some(full) = full {
        assert_eq!(full.status(), 503);
        assert_eq!(full.json::<Value>().unwrap()["error"]["code"], "storage");
    }
    // It goes on, with what needs no room.
    assert_eq!(served.publish(&id).unwrap().status(), 409);
    assert_eq!(served.pull("").unwrap().bytes().unwrap(), base);
    assert!(served.terminate().success());
    assert_eq!(std::fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
    store(folder.path(), &["verify", "--read-data"]);
}

/// 64 clients pull and 16 push the same model, for so many seconds as `BITX_SOAK` says.
#[test]
#[ignore = "takes long: BITX_SOAK=600 cargo test --release -p bitx-cli --test serve -- --ignored --nocapture"]
fn soak() {
    let seconds = std::env::var("BITX_SOAK").map_or(60, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (base, tuned) = models();
    let mut served = Served::start(folder.path(), "");
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
                        assert!(status == 503 || got.bytes().expect("all of it") == *tuned);
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
    println!("{pulls:?} pulls, {pushes:?} pushes, {busy:?} told to wait");
    // Idle again, it holds what it held at the start.
    std::thread::sleep(Duration::from_secs(3));
    let (files, resident) = served.usage();
    println!("idle: {files} open files, {resident} KiB");
    let half = figures.len() / 2;
    let most = |part: &[(usize, u64)]| part.iter().map(|(_, resident)| *resident).max().unwrap_or(0);
    assert!(most(&figures[half..]) < most(&figures[..half]) * 5 / 4 + (32 << 10), "memory grows: {figures:?}");
    assert!(files < 40, "files are left open: {files}");
    assert!(served.terminate().success());
}
