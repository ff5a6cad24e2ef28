//! Tests of what `bitx` says: errors, warnings, names and helpers.

use std::fs;

use serde_json::{Value, json};

use crate::common::{model, with_header};
use crate::support::{Folder, json_of, stderr};

impl Folder {
    fn stdout(&self, args: &[&str]) -> String {
        String::from_utf8(self.bitx(args).assert().success().get_output().stdout.clone()).unwrap()
    }
}

#[test]
fn a_damaged_archive_is_called_damaged() {
    let f = Folder::with_archive("archive");
    let archive = f.read("archive");
    // Behind the magic, in the head, in a chunk, in the index, and in the digest of the whole.
    for place in [10, 40, archive.len() / 2, archive.len() - 60, archive.len() - 1] {
        let mut damaged = archive.clone();
        damaged[place] ^= 1;
        fs::write(f.path("damaged"), damaged).unwrap();
        for args in [&["decompress", "base", "damaged", "-o", "out"][..], &["verify", "base", "damaged"]] {
            let said = stderr(&mut f.bitx(args), 1);
            assert!(said.starts_with("bitx: damaged: the archive is damaged: "), "{place}: {said}");
            assert!(said.lines().count() == 1 && !f.path("out").exists(), "{said}");
        }
    }
    // One bit of the magic, of a length, and of the header of an archive without checksums.
    f.bitx(&["compress", "base", "target", "--format", "v1", "-qo", "v1"]).assert().success();
    for (name, places) in [("archive", &[0, 4, 6, 12, 15][..]), ("v1", &[1, 4, 5, 12, 15, 16, 24, 30])] {
        for &place in places {
            let mut damaged = f.read(name);
            damaged[place] ^= 8;
            fs::write(f.path("damaged"), damaged).unwrap();
            let said = stderr(&mut f.bitx(&["verify", "base", "damaged"]), 1);
            assert!(said.starts_with("bitx: damaged: the archive is damaged"), "{name} {place}: {said}");
        }
    }
    fs::write(f.path("cut"), &archive[..archive.len() / 2]).unwrap();
    let said = stderr(&mut f.bitx(&["inspect", "cut"]), 1);
    assert!(said.starts_with("bitx: cut: the archive is damaged: "), "{said}");
}

#[test]
fn the_base_that_an_archive_needs_is_named() {
    let f = Folder::with_archive("archive");
    let needed = format!("of {} bytes with BLAKE3 {}", f.read("base").len(), blake3::hash(&f.read("base")));
    assert!(f.stdout(&["inspect", "archive"]).ends_with(&format!("needs the base {needed}\n")));
    let mut base = f.read("base");
    let end = base.len() - 1;
    base[end] ^= 1;
    fs::write(f.path("other"), base).unwrap();
    let said = stderr(&mut f.bitx(&["decompress", "other", "archive", "-o", "out"]), 1);
    assert!(said.starts_with("bitx: other: tensor ") && said.contains(&needed), "{said}");
    f.bitx(&["compress", "base", "target", "--format", "v1", "-qo", "v1"]).assert().success();
    assert!(f.stdout(&["inspect", "v1"]).ends_with("does not state its base\n"));
}

#[test]
fn errors_are_json_where_results_are() {
    let f = Folder::with_archive("archive");
    fs::write(f.path("page"), "<!DOCTYPE html>").unwrap();
    for (args, code, message) in [
        (&["inspect", "none"][..], "io", "none: No such file"),
        (&["decompress", "base", "page", "-o", "out"], "format", "page: not a .bitx archive: this is an HTML page"),
        (&["decompress", "archive", "archive", "-o", "out"], "format", "archive: "),
        (&["store", "--root", "typo", "ls"], "not-found", "typo: there is no store here"),
        (&["cat", "base", "archive", "nothing"], "invalid-argument", "nothing"),
        (&["store", "--root", "typo", "add", "none"], "io", "none: No such file"),
    ] {
        let output = f.bitx(args).arg("--json").assert().code(1).get_output().clone();
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], code, "{error}");
        assert!(error["error"]["message"].as_str().unwrap().contains(message), "{error}");
        assert!(error["command"].as_str().unwrap().starts_with(args[0]) && output.stdout.is_empty(), "{error}");
    }
    for args in [&["inspect"][..], &["nonsense"], &["store", "ls"]] {
        let output = f.bitx(args).arg("--json").env_remove("BITX_STORE").assert().code(2).get_output().clone();
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{error}");
    }
    f.bitx(&["--help", "--json"]).assert().success();
}

#[test]
fn warnings_are_json_where_results_are() {
    let f = Folder::with_archive("archive");
    fs::write(f.path("page"), "<!DOCTYPE html>").unwrap();
    let output = f.bitx(&["compress", "base", "page", "--json"]).assert().success().get_output().clone();
    let lines: Vec<Value> =
        String::from_utf8(output.stderr).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = lines.iter().filter(|line| line["warning"].as_str().unwrap().contains("page: "));
    assert_eq!(named.count(), 1, "{lines:?}");
    let said = stderr(&mut f.bitx(&["compress", "base", "page", "-f"]), 0);
    assert!(said.starts_with("bitx: warning: page: ") && said.contains("an HTML page"), "{said}");
    f.bitx(&["compress", "base", "page", "-fq"]).assert().success().stderr("");
}

#[test]
fn names_are_shown_and_not_obeyed() {
    let f = Folder::empty();
    let (evil, long) = ("w\u{1b}]0;title\u{7}\u{1b}[2J\r\nfake 100\u{202e}", "n".repeat(100_000));
    let header = json!({
        evil: { "dtype": "U8", "shape": [2], "data_offsets": [0, 2] },
        long: { "dtype": "U8", "shape": [2], "data_offsets": [2, 4] },
    });
    fs::write(f.path("model.safetensors"), with_header(&header.to_string(), &[1, 2, 3, 4])).unwrap();
    f.bitx(&["compress", "model.safetensors", "model.safetensors", "-qo", "archive"]).assert().success();
    f.bitx(&["store", "--root", "s", "add", "--name", "m", "model.safetensors", "-q"]).assert().success();
    for args in [
        &["inspect", "archive"][..],
        &["store", "ls", "m", "--tensors", "--root", "s"],
        &["distance", "model.safetensors", "model.safetensors"],
    ] {
        let table = f.stdout(args);
        assert!(!table.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{table:?}");
        assert!(table.contains(r"w\u{1b}]0;title") && table.len() < 5000, "{}", table.len());
    }
    // Errors show names in the same way.
    let other: Vec<(&str, &str, &[u64], &[u8])> = vec![("x", "U8", &[2], &[1, 2])];
    fs::write(f.path("other"), model(&other)).unwrap();
    let said = stderr(&mut f.bitx(&["decompress", "other", "archive", "-o", "out"]), 1);
    assert!(said.len() < 3000 && !said.trim_end().chars().any(char::is_control), "{said:?}");
    let said = stderr(&mut f.bitx(&["inspect", "a\u{1b}[2Jb"]), 1);
    assert!(said.contains(r"a\u{1b}[2Jb: No such file"), "{said:?}");
}

#[test]
fn a_base_that_does_not_help_is_mentioned() {
    let f = Folder::empty();
    let weights = |seed: u32| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16
        };
        (0..60_000).flat_map(|_| next().to_le_bytes()).collect()
    };
    for (name, tensor, seed) in [("a", "w", 1), ("b", "w", 2), ("c", "other", 3)] {
        fs::write(f.path(name), model(&[(tensor, "BF16", &[60_000], &weights(seed))])).unwrap();
    }
    for target in ["b", "c"] {
        for format in [["--format", "v2"], ["--format", "v1"]] {
            let said = stderr(f.bitx(&["compress", "a", target, "-fo", "out"]).args(format), 0);
            assert!(said.contains("warning: a: the base hardly helps: "), "{said}");
        }
    }
    let verdict = |target: &str| json_of(&mut f.bitx(&["distance", "a", target, "--json"]))["verdict"].clone();
    assert_eq!([verdict("a"), verdict("b"), verdict("c")], ["equal", "useless", "strangers"]);
    let table = f.stdout(&["distance", "a", "c"]);
    assert!(
        !table.contains("-0.0000") && table.contains("verdict: A and B have no tensor of the same name"),
        "{table}"
    );
    let f = Folder::with_archive("archive");
    assert!(!stderr(&mut f.bitx(&["compress", "base", "target", "-fo", "out"]), 0).contains("warning"));
    assert!(f.stdout(&["distance", "base", "target"]).ends_with("verdict: A is a good base for B\n"));
}

#[test]
fn summaries_have_units() {
    let f = Folder::with_archive("archive");
    let said = stderr(&mut f.bitx(&["compress", "base", "target", "-fo", "out"]), 0);
    assert!(said.contains(" MB -> ") && said.contains(" kB, ratio "), "{said}");
}

#[test]
fn a_token_is_made_or_digested() {
    let f = Folder::empty();
    let made = json_of(&mut f.bitx(&["token", "--json"]));
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["blake3"], blake3::hash(token.as_bytes()).to_string());
    assert!(token.len() == 64 && json_of(&mut f.bitx(&["token", "--json"]))["token"] != token);
    let digested = json_of(f.bitx(&["token", "-", "--json"]).write_stdin("secret\n"));
    assert_eq!(digested["blake3"], blake3::hash(b"secret").to_string());
    let text = f.bitx(&["token", "-"]).write_stdin("secret").assert().success().get_output().stdout.clone();
    let text = String::from_utf8(text).unwrap();
    let entry: Value = serde_json::from_str(text.lines().last().unwrap().split_once(": ").unwrap().1).unwrap();
    assert_eq!(entry["blake3"], digested["blake3"]);
    assert!(!text.contains("secret"));
    for wrong in ["", "\n", "a b", "é"] {
        f.bitx(&["token", "-"]).write_stdin(wrong).assert().code(1);
    }
}

#[test]
fn manual_pages_and_completions_are_printed() {
    let f = Folder::empty();
    assert!(f.stdout(&["man"]).contains(".TH bitx 1"));
    f.bitx(&["man", "-o", "pages"]).assert().success();
    for page in ["bitx.1", "bitx-compress.1", "bitx-store-add.1", "bitx-token.1"] {
        assert!(f.path("pages").join(page).is_file(), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(f.stdout(&["completions", shell]).contains("max-output"), "{shell}");
    }
}
