//! Tests of the inputs of `bitx` as they come: pipes, files that change, shards in any order, and
//! files that are no models.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::common::model;
use crate::support::{Folder, json_of, stderr};

impl Folder {
    /// Runs a line of a shell, which fails where one of its pipes does.
    fn piped(&self, line: &str) -> Output {
        self.shell(&format!("set -o pipefail; {line}"))
    }

    /// Runs a line of a shell that must succeed, and returns its output.
    fn succeeds(&self, line: &str) -> Vec<u8> {
        let output = self.piped(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs a line of a shell that must fail, and returns its error message.
    fn refuses(&self, line: &str) -> String {
        let output = self.piped(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn pipes_are_inputs_in_every_place() {
    let f = Folder::with_archive("archive");
    let listed = f.succeeds("bitx inspect archive");
    for line in [
        "cat archive | bitx inspect -",
        "bitx inspect - < archive",
        "cat archive | bitx inspect /dev/stdin",
        "bitx inspect <(cat archive)",
        "mkfifo fifo; cat archive > fifo & bitx inspect fifo",
    ] {
        assert_eq!(f.succeeds(line), listed, "{line}");
    }
    let target = f.read("target");
    for line in [
        "cat archive | bitx decompress base - -o -",
        "cat archive | bitx decompress base -",
        "cat base | bitx decompress - archive -qfo out; cat out",
        "bitx decompress <(cat base) <(cat archive) -qfo out; cat out",
        "cat target | bitx compress base - | bitx decompress base -",
        "bitx compress base <(cat target) | bitx decompress base <(cat)",
        "cat base | bitx compress - target -qfo again && bitx decompress base again -o -",
    ] {
        assert!(f.succeeds(line) == target, "{line}");
    }
    f.succeeds("cat base | bitx verify - archive");
    f.succeeds("cat base | bitx distance - target");
    f.succeeds("cat base | bitx bench - target --runs 1");
}

#[test]
fn standard_input_continues_where_others_stopped() {
    let f = Folder::with_archive("archive");
    fs::write(f.path("both"), [b"line\n", f.read("archive").as_slice()].concat()).unwrap();
    assert_eq!(f.succeeds("{ read line; bitx inspect -; } < both"), f.succeeds("bitx inspect archive"));
}

#[test]
fn inputs_without_bytes_of_their_own_are_refused_by_name() {
    let f = Folder::with_archive("archive");
    fs::create_dir(f.path("folder")).unwrap();
    for (line, message) in [
        ("bitx inspect - < /dev/null", "standard input: not a regular file or a pipe: this is a device"),
        ("bitx compress /dev/null target -o out", "/dev/null: not a regular file or a pipe"),
        ("bitx compress base /dev/zero -o out", "/dev/zero: not a regular file or a pipe"),
        ("bitx compress base folder -o out", "folder: there are no files"),
        ("cat base | bitx compress - - -o out", "standard input is named twice"),
        ("cat base | bitx decompress - /dev/stdin -o out", "standard input is named twice"),
    ] {
        let said = f.refuses(line);
        assert!(said.contains(message) && !f.path("out").exists(), "{line}: {said}");
    }
}

#[test]
fn a_pipe_is_added_under_its_name_or_refused() {
    let f = Folder::with_archive("archive");
    f.succeeds("mkfifo model.bin; cat target > model.bin & bitx store --root s add --name m model.bin");
    f.succeeds("bitx store --root s get m -o got");
    assert!(f.read("got/model.bin") == f.read("target"));
    for line in [
        "bitx store --root s add --name m/pipe <(cat target)",
        "cat target | bitx store --root s add --name m/pipe /dev/stdin",
        "cat target | bitx store --root s add --name m/pipe -",
    ] {
        let said = f.refuses(line);
        assert!(said.contains("this input has none"), "{line}: {said}");
    }
    let said = f.refuses("bitx store --root s add --name m/zero /dev/zero");
    assert!(said.contains("/dev/zero: ") && said.contains("a device"), "{said}");
    assert!(!f.path("s/models/m/pipe").exists());
}

/// Runs a command on two FIFOs, so that it has opened `file` and waits for the second FIFO while
/// `change` runs.
fn changed_meanwhile(f: &Folder, args: &[&str], fifo: &str, content: &str, change: impl FnOnce()) -> Output {
    let status = Command::new("mkfifo").arg(f.path(fifo)).status().unwrap();
    assert!(status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitx"));
    let child = command.args(args).current_dir(f.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    // The FIFO opens once the command has opened the files before it.
    let mut writer = fs::File::options().write(true).open(f.path(fifo)).unwrap();
    change();
    std::io::Write::write_all(&mut writer, &f.read(content)).unwrap();
    drop(writer);
    child.wait_with_output().unwrap()
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    for change in ["touch", "append", "truncate"] {
        let f = Folder::with_archive("archive");
        let path = f.path("base");
        let (args, content): (&[&str], _) = match change {
            "touch" => (&["decompress", "base", "fifo", "-o", "out"], "archive"),
            _ => (&["compress", "base", "fifo", "-o", "out"], "target"),
        };
        let change = || {
            let file = fs::File::options().write(true).open(&path).unwrap();
            let length = file.metadata().unwrap().len();
            match change {
                "touch" => file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap(),
                "append" => file.set_len(length + 1000).unwrap(),
                _ => file.set_len(length - 1000).unwrap(),
            }
        };
        let output = changed_meanwhile(&f, args, "fifo", content, change);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("base: the file changed while it was read"), "{said}");
        assert!(!f.path("out").exists());
    }
}

#[test]
fn a_file_that_another_replaces_is_read_to_its_end() {
    let f = Folder::with_archive("archive");
    let base = f.read("base");
    let args = ["compress", "base", "fifo", "-o", "out"];
    let replace = || {
        fs::write(f.path("new"), "another file").unwrap();
        fs::rename(f.path("new"), f.path("base")).unwrap();
    };
    assert!(changed_meanwhile(&f, &args, "fifo", "target", replace).status.success());
    fs::write(f.path("base"), base).unwrap();
    assert!(f.succeeds("bitx decompress base out -o -") == f.read("target"));
}

/// A base of three shards of the same length and with the same tensors, and a target that is close
/// to all of them.
fn shards(f: &Folder) {
    let weights = |seed: u32| -> Vec<u8> { (0..40_000u32).flat_map(|i| ((i * seed) as u16).to_le_bytes()).collect() };
    let named = ["a", "b", "c"].map(|name| (name, weights(name.as_bytes()[0].into())));
    for (name, bytes) in &named {
        fs::write(f.path(name), model(&[(name, "BF16", &[200, 200], bytes)])).unwrap();
    }
    let tensors: Vec<(&str, &str, &[u64], &[u8])> =
        named.iter().map(|(name, bytes)| (*name, "BF16", &[200, 200][..], bytes.as_slice())).collect();
    fs::write(f.path("whole"), model(&tensors)).unwrap();
}

#[test]
fn shards_are_recognised_in_any_order() {
    let f = Folder::empty();
    shards(&f);
    f.bitx(&["compress", "a", "whole", "-b", "b", "-b", "c", "-qo", "delta"]).assert().success();
    for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "a", "c"]] {
        f.bitx(&["decompress", order[0], "delta", "-b", order[1], "-b", order[2], "-qfo", "out"]).assert().success();
        assert!(f.read("out") == f.read("whole"), "{order:?}");
    }
    let said = stderr(&mut f.bitx(&["decompress", "a", "delta", "-b", "b", "-o", "never"]), 1);
    assert!(said.contains("the base has no tensor \"c\"") && said.contains("needs the base of "), "{said}");
    let report = json_of(&mut f.bitx(&["distance", "a", "whole", "-b", "b", "-b", "c", "--json"]));
    assert_eq!((&report["total"]["tensors"], &report["verdict"]), (&3.into(), &"equal".into()));
    json_of(&mut f.bitx(&["bench", "a", "whole", "-b", "b", "-b", "c", "--runs", "1", "--json"]));
}

#[test]
fn files_that_are_no_models_are_named() {
    let f = Folder::with_archive("archive");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n", "0".repeat(64));
    let index = format!("{{\"metadata\": {{\"total_size\": {}}}, \"weight_map\": {{}}}}", 9);
    for (content, kind) in [
        ("# xet version 0\nfilename = 'a'\n", "a xet pointer"),
        (index.as_str(), "the index of a model that is split into shards"),
        ("{\"error\": \"Repository not found\"}", "the error message of a server"),
        ("Entry not found", "the error text of a server"),
    ] {
        for name in ["model.bin", "model.pt"] {
            fs::write(f.path(name), content).unwrap();
            let said = stderr(&mut f.bitx(&["compress", "base", name, "-fo", "out"]), 0);
            assert!(
                said.contains(&format!("warning: {name}: ")) && said.contains(&format!("this is {kind}")),
                "{said}"
            );
            // As a base, a pointer is refused.
            let code = i32::from(kind.ends_with("pointer"));
            let said = stderr(&mut f.bitx(&["compress", name, "target", "-fo", "out"]), code);
            assert!(said.contains(&format!("{name}: ")) && said.contains(&format!("this is {kind}")), "{said}");
            let said = stderr(&mut f.bitx(&["store", "--root", "s", "add", "--name", "m", name]), 0);
            assert!(said.contains(&format!("warning: {name}: this is {kind}, and is stored")), "{said}");
        }
    }
    for name in ["model.bin", "config.json", "README.md"] {
        fs::write(f.path(name), &pointer).unwrap();
        let said = stderr(&mut f.bitx(&["store", "--root", "s", "add", "--name", "m", name]), 0);
        assert!(said.contains(&format!("warning: {name}: this is a git-lfs pointer")), "{said}");
    }
    // The archive of the base is taken for the base.
    let said = stderr(&mut f.bitx(&["compress", "archive", "target", "-fo", "out"]), 0);
    assert!(said.contains("warning: archive: this is a .bitx archive, not a model"), "{said}");
}

#[test]
fn swapped_arguments_are_recognised() {
    let f = Folder::with_archive("archive");
    for args in [&["decompress", "archive", "base", "-o", "out"][..], &["verify", "archive", "base"]] {
        let said = stderr(&mut f.bitx(args), 1);
        assert!(said.contains("archive is the archive: the base comes first"), "{said}");
    }
}

#[test]
fn paths_that_are_not_utf8_are_inputs_and_outputs() {
    let f = Folder::with_archive("archive");
    let (target, name) = (f.read("target"), std::ffi::OsStr::from_bytes(b"m\xf1.bin"));
    fs::rename(f.path("target"), f.path("").join(name)).unwrap();
    json_of(f.bitx(&["compress", "base", "--json"]).arg(name));
    fs::remove_file(f.path("").join(name)).unwrap();
    let archive = std::ffi::OsStr::from_bytes(b"m\xf1.bin.bitx");
    f.bitx(&["decompress", "base"]).arg(archive).assert().success();
    assert!(fs::read(f.path("").join(name)).unwrap() == target);
}
