//! A `bitx serve` process, and requests to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use super::Bucket;

/// A token that may read and write everything.
pub const TOKEN: &str = "token";

/// A `bitx serve` process on a free port. It is killed when this value is dropped.
pub struct Served {
    pub process: Child,
    pub url: String,
    pub client: Client,
}

impl Served {
    /// Serves the store in `folder/store`, with temporary files in `folder/spool`.
    pub fn start(folder: &Path) -> Self {
        Self::after("", folder)
    }

    /// Starts a server as [`start`](Self::start) does, after the shell has run the commands
    /// `before`.
    pub fn after(before: &str, folder: &Path) -> Self {
        Self::spawn(before, folder, "store", [])
    }

    /// Serves the store in a bucket, with temporary files in `folder/spool`.
    pub fn over(bucket: &Bucket, folder: &Path) -> Self {
        Self::spawn("", folder, &bucket.url(), bucket.environment())
    }

    fn spawn<const N: usize>(before: &str, folder: &Path, root: &str, environment: [(&str, String); N]) -> Self {
        let tokens = json!([
            { "read": ["*"] },
            { "blake3": digest(TOKEN.as_bytes()), "read": ["*"], "write": ["*"] },
        ]);
        std::fs::create_dir_all(folder.join("spool")).unwrap();
        std::fs::write(folder.join("tokens.json"), tokens.to_string()).unwrap();
        let mut init = Command::new(env!("CARGO_BIN_EXE_bitx"));
        init.args(["store", "init", "--quiet", "--root", root]).envs(environment.clone()).current_dir(folder);
        assert!(init.status().unwrap().success());
        let serve = "exec \"$0\" serve --root \"$1\" --tokens tokens.json --spool spool --listen 127.0.0.1:0 --quiet";
        let mut process = Command::new("bash")
            .args(["-c", &format!("{before}{serve}"), env!("CARGO_BIN_EXE_bitx"), root])
            .envs(environment)
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

    /// Begins an upload of one file, and returns its id. `None` if the connection breaks.
    pub fn begin(&self, bytes: &[u8]) -> Option<String> {
        let file = json!({ "path": "model.safetensors", "length": bytes.len(), "blake3": digest(bytes) });
        let body = json!({ "name": "org/model", "files": [file] });
        let begun = self.client.post(format!("{}/api/uploads", self.url)).bearer_auth(TOKEN).json(&body).send().ok()?;
        begun.json::<Value>().ok()?["id"].as_str().map(str::to_owned)
    }

    pub fn put(&self, id: &str, query: &str, bytes: &[u8]) -> Option<Response> {
        let put = self.client.put(format!("{}/api/uploads/{id}/files/0?{query}", self.url));
        put.bearer_auth(TOKEN).body(bytes.to_vec()).send().ok()
    }

    pub fn publish(&self, id: &str) -> Option<Response> {
        self.client.post(format!("{}/api/uploads/{id}/publish", self.url)).bearer_auth(TOKEN).send().ok()
    }

    /// Uploads and publishes a model, and returns the status of the last answer. `None` if a
    /// connection breaks or the server is busy.
    pub fn push(&self, bytes: &[u8]) -> Option<u16> {
        let id = self.begin(bytes)?;
        let put = self.put(&id, "raw", bytes)?;
        if put.status() != 204 {
            return Some(put.status().as_u16());
        }
        Some(self.publish(&id)?.status().as_u16())
    }

    pub fn pull(&self, query: &str) -> Option<Response> {
        self.client.get(format!("{}/models/org/model/files/model.safetensors{query}", self.url)).send().ok()
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn terminate(&mut self) -> std::process::ExitStatus {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        self.process.wait().unwrap()
    }

    /// The number of open files, and the resident memory in KiB.
    pub fn usage(&self) -> (usize, u64) {
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

/// The BLAKE3 digest in hex digits.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
