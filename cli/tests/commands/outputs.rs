//! Tests of the outputs of `bitx`: streams that are written to and never replaced, default names,
//! limits and digests.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::common::{PAIRS, sha256};
use crate::support::{Folder, json_of, stderr};

impl Folder {
    /// A folder with the files `base` and `target`, `archive.bitx`, a v2 archive of the target, and
    /// `v1.bitx`, a v1 archive.
    fn with_both_versions() -> Self {
        let folder = Self::with_archive("archive.bitx");
        fs::write(folder.path("v1.bitx"), PAIRS[0].archive).unwrap();
        folder
    }
}

#[test]
fn streams_are_written_to_and_stay_what_they_are() {
    let f = Folder::with_both_versions();
    let target = f.read("target");
    // A private link as /dev/stdout is one.
    symlink("/proc/self/fd/1", f.path("stdout")).unwrap();
    symlink("/dev/null", f.path("null")).unwrap();
    for line in [
        "bitx decompress base archive.bitx -fo stdout | cat",
        "bitx decompress base archive.bitx -o stdout | cat",
        "bitx decompress base archive.bitx -o stdout > plain; cat plain",
        "bitx decompress base archive.bitx -fo stdout > plain; cat plain",
        "bitx decompress base archive.bitx -o /dev/fd/3 3> plain; cat plain",
        "bitx decompress base archive.bitx -o >(cat > piped); while ! cmp -s piped target; do sleep 0.05; done; cat piped",
        "bitx store --root s add --name m target -q; bitx store --root s get m -o got; cat got/target",
    ] {
        let output = f.shell(line);
        assert!(output.stdout == target, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(f.path("stdout").is_symlink(), "{line}");
    }
    let output = f.shell("bitx decompress base archive.bitx -o stdout --json | cat");
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("both go to standard output"));
    // What the stream holds already stays.
    let output = f.shell("{ echo begin; bitx decompress base archive.bitx -o stdout; echo end; } > plain; cat plain");
    assert!(output.stdout == [b"begin\n", target.as_slice(), b"end\n"].concat());
    for args in [["-o", "null"], ["-fo", "null"], ["-o", "/dev/null"]] {
        f.bitx(&["decompress", "base", "archive.bitx"]).args(args).assert().success();
        assert!(f.path("null").is_symlink());
    }
}

#[test]
fn a_fifo_receives_the_output() {
    let f = Folder::with_both_versions();
    assert!(Command::new("mkfifo").arg(f.path("fifo")).status().unwrap().success());
    let path = f.path("fifo");
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    });
    f.bitx(&["decompress", "base", "archive.bitx", "-fo", "fifo"]).assert().success();
    assert!(reading.join().unwrap() == f.read("target"));
    assert!(!f.path("fifo").is_file());
}

#[test]
fn a_link_to_a_file_stays_a_link() {
    let f = Folder::with_both_versions();
    fs::create_dir(f.path("disk")).unwrap();
    fs::write(f.path("disk/model"), "old").unwrap();
    symlink("disk/model", f.path("link")).unwrap();
    symlink("disk/none", f.path("dangling")).unwrap();
    f.bitx(&["decompress", "base", "archive.bitx", "-fo", "link"]).assert().success();
    assert!(f.path("link").is_symlink() && f.read("disk/model") == f.read("target"));
    let said = stderr(&mut f.bitx(&["decompress", "base", "archive.bitx", "-fo", "dangling"]), 1);
    assert!(said.contains("dangling: this is a link to a file that does not exist"), "{said}");
    symlink("base", f.path("input")).unwrap();
    let said = stderr(&mut f.bitx(&["decompress", "base", "archive.bitx", "-fo", "input"]), 1);
    assert!(said.contains("input: the output file is also an input"), "{said}");
}

#[test]
fn outputs_that_cannot_be_written_are_named() {
    let f = Folder::with_both_versions();
    let said = stderr(&mut f.bitx(&["decompress", "base", "archive.bitx", "-o", "none/out"]), 1);
    assert!(said.contains("none/out: there is no folder none") && !said.contains(".part"), "{said}");
    let said = stderr(&mut f.bitx(&["decompress", "base", "archive.bitx", "-fo", "."]), 1);
    assert!(said.contains(".: this is a folder"), "{said}");
    for output in ["out", "-"] {
        let output = f.shell(&format!("trap '' XFSZ; ulimit -f 64; bitx decompress base archive.bitx -o {output} > o"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && !f.path("out").exists(), "{said}");
        assert!(said.contains("out: File too large") || said.contains("standard output: File too large"), "{said}");
    }
}

#[test]
fn outputs_have_default_names() {
    let f = Folder::with_both_versions();
    f.bitx(&["compress", "base", "target", "-q"]).assert().success();
    assert!(f.read("target.bitx") == f.read("archive.bitx"));
    let said = stderr(&mut f.bitx(&["decompress", "base", "target.bitx"]), 1);
    assert!(said.contains("target: the file exists"), "{said}");
    f.bitx(&["decompress", "base", "archive.bitx", "-q"]).assert().success();
    assert!(f.read("archive") == f.read("target"));
    fs::rename(f.path("target.bitx"), f.path("other")).unwrap();
    let said = stderr(&mut f.bitx(&["decompress", "base", "other"]), 1);
    assert!(said.contains("other: the name does not end in .bitx; name the output with -o"), "{said}");
    let listed = json_of(&mut f.bitx(&["inspect", "archive.bitx", "--json"]));
    let name = listed["tensors"][1]["name"].as_str().unwrap();
    let piped = f.bitx(&["cat", "base", "archive.bitx", name]).assert().success().get_output().stdout.clone();
    assert_eq!(piped.len() as u64, listed["tensors"][1]["restored_bytes"].as_u64().unwrap());
}

#[test]
fn outputs_beyond_their_limit_are_refused_before_they_begin() {
    let f = Folder::with_both_versions();
    let length = f.read("target").len();
    f.bitx(&["store", "--root", "s", "add", "--name", "m", "target", "-q"]).assert().success();
    let (less, exact) = ((length - 1).to_string(), length.to_string());
    for archive in ["archive.bitx", "v1.bitx"] {
        for args in [&["decompress", "base", archive, "-o", "out"][..], &["verify", "base", archive]] {
            let output = f.bitx(args).args(["--json", "--max-output", &less]).assert().code(1).get_output().clone();
            let error: Value = serde_json::from_slice(&output.stderr).unwrap();
            assert_eq!(error["error"]["code"], "limit", "{error}");
            assert!(error["error"]["message"].as_str().unwrap().contains(archive), "{error}");
            assert!(output.stdout.is_empty() && !f.path("out").exists());
            f.bitx(args).args(["-q", "--max-output", &exact]).assert().success();
            let _ = fs::remove_file(f.path("out"));
        }
        let mut piped = f.bitx(&["decompress", "base", archive, "-o", "-", "--max-output", "1kB"]);
        piped.assert().code(1).stdout("");
        let listed = json_of(&mut f.bitx(&["inspect", archive, "--json"]));
        let name = listed["tensors"][0]["name"].as_str().unwrap();
        f.bitx(&["cat", "base", archive, name, "--max-output", "1"]).assert().code(1).stdout("");
        f.bitx(&["cat", "base", archive, name, "--max-output", "1MB"]).assert().success();
        f.bitx(&["store", "--root", "s", "cat", "m", name, "--max-output", "1"]).assert().code(1).stdout("");
    }
    let said = stderr(&mut f.bitx(&["store", "get", "--root", "s", "m", "-o", "got", "--max-output", &less]), 1);
    assert!(said.contains("m: the output is larger than --max-output allows") && !f.path("got").exists(), "{said}");
    f.bitx(&["store", "get", "--root", "s", "m", "-o", "got", "--max-output", &exact]).assert().success();
}

#[test]
fn a_format_without_checksums_warns_and_takes_a_digest() {
    let f = Folder::with_both_versions();
    let mut base = f.read("base");
    let end = base.len() - 1;
    base[end] ^= 0x40;
    fs::write(f.path("other"), base).unwrap();
    let right = sha256(&f.read("target"));
    for args in [&["decompress", "other", "v1.bitx", "-fo", "out"][..], &["verify", "other", "v1.bitx"]] {
        let said = stderr(&mut f.bitx(args), 0);
        assert!(said.contains("v1.bitx: format v1 has no checksums") && said.contains("--sha256"), "{said}");
        let _ = fs::remove_file(f.path("out"));
        let said = stderr(f.bitx(args).args(["--sha256", &right]), 1);
        assert!(said.contains("another SHA-256 digest") && said.contains(&right) && !f.path("out").exists(), "{said}");
    }
    for archive in ["v1.bitx", "archive.bitx"] {
        let mut command = f.bitx(&["decompress", "base", archive, "-fo", "out", "--sha256", &right.to_uppercase()]);
        let said = stderr(&mut command, 0);
        assert!(!said.contains("warning") && f.read("out") == f.read("target"), "{said}");
        let wrong = "0".repeat(64);
        f.bitx(&["decompress", "base", archive, "-fo", "out", "--sha256", &wrong]).assert().code(1);
        f.bitx(&["verify", "base", archive, "--sha256", "12"]).assert().code(2);
    }
    assert!(!stderr(&mut f.bitx(&["decompress", "base", "archive.bitx", "-fo", "out"]), 0).contains("warning"));
}
