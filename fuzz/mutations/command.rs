//! The same mutations through the command line, as a stranger's files reach it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Case, LONGEST};

/// Maximum address space of a command in KiB.
const SPACE: u64 = 4 << 20;

/// Lists, restores, verifies and compresses the files of a case with the binary `bitx`.
///
/// # Panics
/// If a command ends other than with success or an error message, or leaves a file behind an error.
pub fn check(bitx: &Path, case: &Case) {
    let folder = std::env::temp_dir().join(format!("bitx-mutations-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in [("base", &case.base), ("target", &case.target), ("archive", &case.archive)] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let most = LONGEST.to_string();
    run(bitx, &folder, &["inspect", "archive"]);
    run(bitx, &folder, &["verify", "base", "archive"]);
    run(bitx, &folder, &["decompress", "base", "archive", "-q", "--max-output", &most, "-o", "out"]);
    if case.mutated == "base" || case.mutated == "target" {
        run(bitx, &folder, &["compress", "base", "target", "-q", "-o", "out"]);
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn run(bitx: &Path, folder: &Path, args: &[&str]) {
    let limited = format!("ulimit -v {SPACE}; exec \"$0\" \"$@\"");
    let output = Command::new("bash").args(["-c", &limited]).arg(bitx).args(args).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let (code, written) = (output.status.code(), folder.join("out").exists());
    assert!(matches!(code, Some(0 | 1)) && !said.contains("panicked"), "{args:?}: {:?}: {said}", output.status);
    assert!(said.len() < 4096, "{args:?}: {} bytes of messages", said.len());
    let expected = 3 + usize::from(code == Some(0) && args.contains(&"-o"));
    assert_eq!(fs::read_dir(folder).unwrap().count(), expected, "{args:?}: {said}");
    if written {
        fs::remove_file(folder.join("out")).unwrap();
    }
}
