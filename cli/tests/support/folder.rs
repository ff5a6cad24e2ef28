//! A temporary folder of a test, in which `bitx` runs.
#![allow(dead_code)] // each test binary uses a part of it

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
}

/// Runs a command that must succeed, and parses its JSON output.
pub fn json_of(command: &mut Command) -> Value {
    serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap()
}

/// Runs a command that must exit with `code`, and returns the text on standard error.
pub fn stderr(command: &mut Command, code: i32) -> String {
    String::from_utf8(command.assert().code(code).get_output().stderr.clone()).unwrap()
}
