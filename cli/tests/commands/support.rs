//! A temporary folder of a test, in which `bitx` runs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

use crate::common::{PAIRS, restore};

/// The time after which a command that waits for a pipe is ended.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with the files `base` and `target` of the first committed pair.
    pub fn of_pair() -> Self {
        let folder = Self::empty();
        let pair = &PAIRS[0];
        fs::write(folder.path("base"), pair.base).unwrap();
        fs::write(folder.path("target"), restore(pair.base, pair.archive).unwrap()).unwrap();
        folder
    }

    /// A folder with the files `base` and `target`, and a v2 archive of the target.
    pub fn with_archive(archive: &str) -> Self {
        let folder = Self::of_pair();
        folder.bitx(&["compress", "base", "target", "-qo", archive]).assert().success();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Replaces a file by a pipe that nobody writes to.
    #[cfg(unix)]
    pub fn replace_by_pipe(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(self.path(name)).status().unwrap().success());
    }

    pub fn bitx(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("bitx").unwrap();
        command.current_dir(self.0.path()).args(args);
        command
    }

    /// The names of the files and folders in this one, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes a model folder: a `model.safetensors`, and a small `config.json` that names the
    /// model.
    pub fn write_model(&self, model: &str, weights: &[u8]) {
        fs::create_dir(self.path(model)).unwrap();
        fs::write(self.path(model).join("model.safetensors"), weights).unwrap();
        fs::write(self.path(model).join("config.json"), format!("{{\"name\": \"{model}\"}}")).unwrap();
    }

    /// A `bitx store` command on the store in the folder `root`.
    pub fn store(&self, args: &[&str]) -> Command {
        let mut command = self.bitx(&["store"]);
        command.env("BITX_STORE", "root").args(args);
        command
    }

    /// Runs a `bitx store` command that must succeed, and parses its JSON output.
    pub fn json(&self, args: &[&str]) -> Value {
        json_of(self.store(args).arg("--json"))
    }

    /// Runs a line of a shell, in which `bitx` is the binary.
    #[cfg(unix)]
    pub fn shell(&self, line: &str) -> std::process::Output {
        let run = format!("bitx() {{ '{}' \"$@\"; }}; {line}", env!("CARGO_BIN_EXE_bitx"));
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", &run]).current_dir(self.path("")).stdin(std::process::Stdio::null()).output().unwrap()
    }
}

/// Runs a command that must succeed, and parses its JSON output.
pub fn json_of(command: &mut Command) -> Value {
    serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap()
}

/// Runs a command that must exit with `code`, and returns the text on standard error.
pub fn stderr(command: &mut Command, code: i32) -> String {
    String::from_utf8(command.assert().code(code).get_output().stderr.clone()).unwrap()
}
