//! Folders come back as they were, from whichever base serves.

use std::fs;

use serde_json::{Value, json};

use super::models::{LAYERS, files, layer, shard, write_model};
use crate::common::sha256;
use crate::support::{Folder, json_of, stderr};

#[test]
fn a_folder_comes_back_as_it_was() {
    let f = Folder::of_models();
    let summary = json_of(&mut f.bitx(&["compress", "base", "tuned", "--json", "-o", "out"]));
    let restored: u64 = files(&f.path("tuned")).values().map(|bytes| bytes.len() as u64).sum();
    let stored: u64 = files(&f.path("out"))
        .iter()
        .filter(|(name, _)| *name != "bitx.json")
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    assert_eq!(summary["command"], "compress");
    assert_eq!((&summary["restored_bytes"], &summary["stored_bytes"]), (&json!(restored), &json!(stored)));
    assert!(stored * 4 < restored, "{stored} of {restored}");
    assert_eq!(f.names(), ["base", "out", "tuned"]);

    f.bitx(&["decompress", "base", "out", "-qo", "back"]).assert().success();
    assert!(files(&f.path("back")) == files(&f.path("tuned")));
    let lines = String::from_utf8(f.bitx(&["verify", "base", "out"]).assert().success().get_output().stdout.clone());
    let expected: String =
        files(&f.path("tuned")).iter().map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes))).collect();
    assert_eq!(lines.unwrap(), expected);
}

#[test]
fn names_of_outputs_follow_those_of_inputs() {
    let f = Folder::of_models();
    let before = files(&f.path("tuned"));
    f.bitx(&["compress", "base", "tuned/", "-q"]).assert().success();
    fs::rename(f.path("tuned"), f.path("kept")).unwrap();
    f.bitx(&["decompress", "base", "tuned.bitx/", "-q"]).assert().success();
    assert!(files(&f.path("tuned")) == before);
    let said = stderr(&mut f.bitx(&["compress", "base", "kept/tokenizer.json", "kept/extra"]), 1);
    assert!(said.contains("name it with -o"), "{said}");
}

#[test]
fn archives_name_only_the_base_files_that_they_need() {
    let f = Folder::with_archives();
    let manifest = f.manifest();
    let entry = |path: &str| {
        let files = manifest["files"].as_array().unwrap();
        files.iter().find(|entry| entry["file"]["path"] == path).unwrap().clone()
    };
    let bases = |path: &str| -> Vec<String> {
        let numbers = entry(path)["base"].as_array().unwrap().clone();
        let name = |n: Value| manifest["base"][n.as_u64().unwrap() as usize]["path"].as_str().unwrap().to_owned();
        numbers.into_iter().map(name).collect()
    };
    let shard = |n: u32| format!("model-{n:05}-of-00002.safetensors");
    assert_eq!(bases("model-00001-of-00003.safetensors"), [shard(1), shard(2)]);
    assert_eq!(bases("tokenizer.json"), ["tokenizer.json"]);
    assert_eq!(bases(".gitattributes"), [""; 0]);
    let file = f.read("base/tokenizer.json");
    let named = manifest["base"].as_array().unwrap().iter().find(|base| base["path"] == "tokenizer.json").unwrap();
    assert_eq!(named["blake3"], blake3::hash(&file).to_string());

    // A single archive restores from the folder, and from the files that it names.
    let archive = "out/model-00001-of-00003.safetensors.bitx";
    let target = f.read("tuned/model-00001-of-00003.safetensors");
    f.bitx(&["decompress", "base", archive, "-qo", "one"]).assert().success();
    let (first, second) = (format!("base/{}", shard(1)), format!("base/{}", shard(2)));
    f.bitx(&["decompress", &second, "-b", &first, archive, "-qo", "two"]).assert().success();
    assert!(f.read("one") == target && f.read("two") == target);
    let tensor = f.bitx(&["cat", "base", archive, "layers.5.weight"]).assert().success().get_output().stdout.clone();
    assert!(tensor == layer(5, true));
    // The other archives are not read.
    fs::remove_file(f.path("out/tokenizer.json.bitx")).unwrap();
    f.bitx(&["decompress", "base", archive, "-qo", "three"]).assert().success();
}

#[test]
fn a_base_in_other_shards_and_with_other_names_restores() {
    let f = Folder::with_archives();
    let expected = files(&f.path("tuned"));
    write_model(&f.path("other"), &[&[2], &[5, 1, 4], &[0, 3]], false);
    f.bitx(&["decompress", "other", "out", "-qo", "again"]).assert().success();
    assert!(files(&f.path("again")) == expected);
    fs::create_dir(f.path("moved")).unwrap();
    for (i, bytes) in files(&f.path("base")).into_values().enumerate() {
        fs::write(f.path(&format!("moved/{i}")), bytes).unwrap();
    }
    f.bitx(&["decompress", "moved", "out", "-qo", "thrice"]).assert().success();
    assert!(files(&f.path("thrice")) == expected);
}

#[test]
fn single_files_and_folders_serve_each_other() {
    let f = Folder::of_models();
    fs::write(f.path("base.safetensors"), shard(&[0, 1, 2, 3, 4, 5], false)).unwrap();
    fs::write(f.path("tuned.safetensors"), shard(&[0, 1, 2, 3, 4, 5], true)).unwrap();
    f.bitx(&["compress", "base", "tuned.safetensors", "-qo", "file.bitx"]).assert().success();
    assert!(f.read("file.bitx").len() * 4 < f.read("tuned.safetensors").len());
    f.bitx(&["decompress", "base", "file.bitx", "-qo", "file"]).assert().success();
    assert!(f.read("file") == f.read("tuned.safetensors"));
    f.bitx(&["verify", "base", "file.bitx", "-q"]).assert().success();

    f.bitx(&["compress", "base.safetensors", "tuned", "-qo", "folder.bitx"]).assert().success();
    f.bitx(&["decompress", "base.safetensors", "folder.bitx", "-qo", "folder"]).assert().success();
    assert!(files(&f.path("folder")) == files(&f.path("tuned")));

    // Several targets make a folder, as those of a pattern of the shell do.
    let shards = ["tuned/model-00001-of-00003.safetensors", "tuned/model-00002-of-00003.safetensors"];
    f.bitx(&[&["compress", "base"], &shards[..], &["-qo", "some"]].concat()).assert().success();
    f.bitx(&["decompress", "base", "some", "-qo", "some-back"]).assert().success();
    assert_eq!(files(&f.path("some-back")).len(), 2);
}

#[test]
fn inspect_lists_files_and_the_base() {
    let f = Folder::with_archives();
    let listed = json_of(&mut f.bitx(&["inspect", "out", "--json"]));
    assert_eq!((&listed["command"], listed["files"].as_array().unwrap().len()), (&json!("inspect"), 7));
    assert_eq!(listed["files"][2]["path"], "model-00001-of-00003.safetensors");
    assert_eq!(
        (&listed["files"][2]["tensors"], &listed["files"][2]["bases"]),
        (&json!(2), &f.manifest()["files"][2]["base"])
    );
    let text = String::from_utf8(f.bitx(&["inspect", "out"]).assert().success().get_output().stdout.clone()).unwrap();
    let shard = f.read("base/model-00001-of-00002.safetensors");
    let needed = format!(
        "needs the base model-00001-of-00002.safetensors of {} bytes with BLAKE3 {}\n",
        shard.len(),
        blake3::hash(&shard)
    );
    assert!(text.contains(&needed), "{text}");
}

#[test]
fn distance_compares_folders() {
    let f = Folder::of_models();
    let compared = json_of(&mut f.bitx(&["distance", "base", "tuned", "--json"]));
    assert_eq!((&compared["total"]["tensors"], &compared["verdict"]), (&json!(LAYERS), &json!("useful")));
    let (first, second) = ("base/model-00001-of-00002.safetensors", "base/model-00002-of-00002.safetensors");
    let shards = json_of(&mut f.bitx(&["distance", first, "tuned", "-b", second, "--json"]));
    assert_eq!(shards["total"], compared["total"]);
    let said = stderr(&mut f.bitx(&["distance", "base", "tuned/extra"]), 1);
    assert!(said.contains("tuned/extra: no file of the folder has tensors"), "{said}");
}

#[test]
fn missing_shards_are_named() {
    let f = Folder::of_models();
    fs::remove_file(f.path("base/model-00002-of-00002.safetensors")).unwrap();
    let output = f.bitx(&["compress", "base", "tuned", "-o", "out"]).assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    let warning = "base/model.safetensors.index.json: the index names files that are not there: \
                   model-00002-of-00002.safetensors";
    assert!(said.contains(warning), "{said}");
    f.bitx(&["decompress", "base", "out", "-qo", "back"]).assert().success();
    assert!(files(&f.path("back")) == files(&f.path("tuned")));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_what_is_left_out_is_named() {
    use std::os::unix::fs::symlink;
    let f = Folder::of_models();
    let expected = files(&f.path("tuned"));
    fs::create_dir_all(f.path("tuned/.git")).unwrap();
    fs::write(f.path("tuned/.git/HEAD"), "x").unwrap();
    fs::rename(f.path("tuned/tokenizer.json"), f.path("blob")).unwrap();
    symlink(f.path("blob"), f.path("tuned/tokenizer.json")).unwrap();
    symlink(f.path("tuned"), f.path("tuned/extra/around")).unwrap();
    let output = f.bitx(&["compress", "base", "tuned", "-o", "out"]).assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("tuned/.git: left out") && said.contains("extra/around: left out"), "{said}");
    f.bitx(&["decompress", "base", "out", "-qo", "back"]).assert().success();
    assert!(files(&f.path("back")) == expected && !f.path("back/tokenizer.json").is_symlink());
    symlink(f.path("nowhere"), f.path("tuned/dangling")).unwrap();
    let said = stderr(&mut f.bitx(&["compress", "base", "tuned", "-o", "again"]), 1);
    assert!(said.contains("dangling: this is a link to a file that does not exist"), "{said}");
    assert!(!f.path("again").exists());
}

#[test]
fn outputs_are_whole_or_absent() {
    let f = Folder::with_archives();
    let before = f.names();
    let wrong = |args: &[&str], part: &str| {
        let said = stderr(&mut f.bitx(args), 1);
        assert!(said.contains(part) && said.lines().count() == 1, "{args:?}: {said}");
        assert_eq!(f.names(), before, "{args:?}");
    };
    wrong(&["compress", "base", "tuned", "-o", "out"], "out: the folder exists; use --force to replace it");
    wrong(&["compress", "base", "tuned", "-o", "-"], "a folder cannot be written to standard output");
    wrong(&["compress", "base", "tuned", "-fo", "tuned"], "the output folder is also an input");
    wrong(&["compress", "base", "tuned", "-fo", "."], "the output folder is also an input, or holds one");
    wrong(&["compress", "base", "tuned", "-o", "none/out"], "none/out: ");
    wrong(&["compress", "base", "tuned", "--format", "v1", "-o", "x"], "format v1 has no folders");
    wrong(&["decompress", "base", "out", "-fo", "base"], "the output folder is also an input");
    wrong(&["decompress", "base", "base", "-o", "back"], "base: this is no folder of archives: it has no bitx.json");
    wrong(&["decompress", "base", "out", "--max-output", "1kB", "-o", "back"], "--max-output");
    wrong(&["decompress", "base", "out", "--sha256", &"0".repeat(64), "-o", "back"], "--sha256");
    wrong(&["decompress", "base", "out"], "does not end in .bitx");
    // A folder with other files is never replaced.
    wrong(&["decompress", "base", "out", "-fo", "tuned/extra"], "the folder has files that the new one lacks");
    assert_eq!(f.read("tuned/extra/config.json"), b"{\"tuned\": true}");
    let first = files(&f.path("out"));
    f.bitx(&["compress", "base", "tuned", "-qfo", "out", "--sync"]).assert().success();
    assert!(files(&f.path("out")) == first, "the same inputs give the same bytes");
    fs::create_dir(f.path("empty")).unwrap();
    f.bitx(&["decompress", "base", "out", "-qo", "empty"]).assert().success();
    assert!(files(&f.path("empty")) == files(&f.path("tuned")));
}

#[test]
fn a_wrong_base_is_named_and_writes_nothing() {
    let f = Folder::with_archives();
    write_model(&f.path("wrong"), &[&[0, 1, 2], &[3, 4, 5]], true);
    let said = stderr(&mut f.bitx(&["decompress", "wrong", "out", "-o", "back"]), 1);
    assert!(said.contains("needs the base ") && said.contains("with BLAKE3"), "{said}");
    fs::create_dir(f.path("bare")).unwrap();
    fs::write(f.path("bare/config.json"), "{}").unwrap();
    let error: Value =
        serde_json::from_str(&stderr(&mut f.bitx(&["decompress", "bare", "out", "--json", "-o", "back"]), 1)).unwrap();
    assert_eq!(error["error"]["code"], "base-mismatch");
    assert_eq!(f.names(), ["bare", "base", "out", "tuned", "wrong"]);
}

#[test]
fn names_that_clash_are_told_apart() {
    let f = Folder::empty();
    fs::create_dir_all(f.path("tuned/a.bitx")).unwrap();
    fs::create_dir(f.path("base")).unwrap();
    let long = "x".repeat(252);
    for name in ["a", "a.bitx/b", "bitx.json", "1", &long] {
        fs::write(f.path("tuned").join(name), name).unwrap();
    }
    fs::write(f.path("base/z"), "z").unwrap();
    f.bitx(&["compress", "base", "tuned", "-qo", "out"]).assert().success();
    f.bitx(&["decompress", "base", "out", "-qo", "back"]).assert().success();
    assert!(files(&f.path("back")) == files(&f.path("tuned")));
    fs::write(f.path("tuned/A"), "other").unwrap();
    let said = stderr(&mut f.bitx(&["compress", "base", "tuned", "-qo", "again"]), 1);
    assert!(said.contains("differ from it only in case"), "{said}");
}
