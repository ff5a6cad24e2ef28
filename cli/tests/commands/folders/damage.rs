//! Damaged and hostile folders of archives are refused, and nothing is written.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Folder, PATIENCE, stderr};

#[test]
fn hostile_manifests_write_nothing_outside() {
    let f = Folder::with_archives();
    let manifest = f.manifest();
    let before = f.names();
    let refuse = |place: &str, value: Value, code: &str| {
        let mut wrong = manifest.clone();
        *wrong.pointer_mut(place).unwrap() = value.clone();
        f.write_manifest(&wrong);
        for args in [&["decompress", "base", "out", "-o", "back", "--json"][..], &["verify", "base", "out", "--json"]] {
            let error: Value = serde_json::from_str(&stderr(&mut f.bitx(args), 1)).unwrap();
            assert_eq!(error["error"]["code"], code, "{place} = {value}: {error}");
            assert_eq!(f.names(), before, "{place} = {value}");
        }
    };
    for path in
        ["../evil", "/tmp/bitx-evil", "a/../../evil", "..", "C:\\evil", "", "Tokenizer.JSON", "tokenizer.json/x"]
    {
        refuse("/files/0/file/path", json!(path), "corrupt");
        refuse("/base/0/path", json!(if path.starts_with(['T', 't']) { ".." } else { path }), "corrupt");
    }
    for path in ["../base/tokenizer.json", "/etc/passwd", "bitx.json"] {
        refuse("/files/0/archive/path", json!(path), "corrupt");
    }
    refuse("/files/0/archive/path", json!("missing.bitx"), "io");
    refuse("/files/0/archive/bytes", json!(1), "corrupt");
    refuse("/files/0/archive/root", json!("00".repeat(32)), "corrupt");
    refuse("/files/0/file/blake3", json!("00".repeat(32)), "corrupt");
    refuse("/files/0/file/bytes", json!(1), "corrupt");
    refuse("/files/0/file/bytes", json!(u64::MAX), "limit");
    refuse("/files/2/base", json!([0, 0]), "corrupt");
    refuse("/files/2/base", json!([900]), "corrupt");
    refuse("/files", json!([]), "corrupt");
    refuse("/files", json!("none"), "corrupt");
    refuse("/version", json!(2), "unsupported");
    refuse("/format", json!("other"), "format");

    // Two archives in each other's place, though both are whole.
    f.write_manifest(&manifest);
    let (one, other) = ("out/model-00001-of-00003.safetensors.bitx", "out/model-00002-of-00003.safetensors.bitx");
    let (first, second) = (f.read(one), f.read(other));
    fs::write(f.path(one), second).unwrap();
    fs::write(f.path(other), first).unwrap();
    let said = stderr(&mut f.bitx(&["decompress", "base", "out", "-o", "back"]), 1);
    assert!(said.contains("the archive is not the one that bitx.json names"), "{said}");
    assert!(stderr(&mut f.bitx(&["inspect", "out"]), 1).contains("is not the one"));
    let mut swapped = manifest.clone();
    (swapped["files"][2]["archive"], swapped["files"][3]["archive"]) =
        (manifest["files"][3]["archive"].clone(), manifest["files"][2]["archive"].clone());
    f.write_manifest(&swapped);
    let said = stderr(&mut f.bitx(&["decompress", "base", "out", "-o", "back"]), 1);
    assert!(said.contains("is not the one") || said.contains("restores another file"), "{said}");
    assert_eq!(f.names(), before);
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_archives_is_not_waited_for() {
    let f = Folder::with_archives();
    for (place, part) in [("out/tokenizer.json.bitx", "it is no file"), ("out/bitx.json", "this is no file")] {
        f.replace_by_pipe(place);
        for args in [&["inspect", "out"][..], &["verify", "base", "out"], &["decompress", "base", "out", "-o", "back"]]
        {
            let said = stderr(f.bitx(args).timeout(PATIENCE), 1);
            assert!(said.contains(place) && said.contains(part), "{args:?}: {said}");
        }
    }
    assert_eq!(f.names(), ["base", "out", "tuned"]);
}

#[test]
fn every_change_of_an_archive_is_noticed() {
    let f = Folder::empty();
    for (folder, text) in [("base", "a text of the base"), ("tuned", "a text of the tune")] {
        fs::create_dir(f.path(folder)).unwrap();
        fs::write(f.path(&format!("{folder}/a")), text).unwrap();
    }
    f.bitx(&["compress", "base", "tuned", "-qo", "out"]).assert().success();
    let archive = f.read("out/a.bitx");
    for place in (0..archive.len()).step_by(7) {
        let mut wrong = archive.clone();
        wrong[place] ^= 1;
        fs::write(f.path("out/a.bitx"), wrong).unwrap();
        let said = stderr(&mut f.bitx(&["decompress", "base", "out", "-o", "back"]), 1);
        assert!(!f.path("back").exists() && said.contains("a.bitx"), "{place}: {said}");
    }
}
