//! Tests of `bitx store` on a folder, run as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{PAIRS, restore};
use crate::support::{Folder, stderr};

impl Folder {
    /// A folder with the model folders `base` and `tuned`.
    fn of_two_models() -> Self {
        let folder = Self::empty();
        let pair = &PAIRS[0];
        folder.write_model("base", pair.base);
        folder.write_model("tuned", &restore(pair.base, pair.archive).unwrap());
        folder
    }
}

#[test]
fn added_models_are_restored() {
    let f = Folder::of_two_models();
    let added = f.json(&["add", "base", "-j", "2"]);
    assert_eq!((&added["command"], &added["model"], &added["files"]), (&json!("store add"), &json!("base"), &json!(2)));
    assert_eq!((&added["delta_bytes"], &added["threads"]), (&json!(0), &json!(2)));
    let tuned = f.json(&["add", "--name", "org/tuned", "tuned", "--effort", "fast"]);
    assert!(tuned["stored_bytes"].as_u64().unwrap() * 3 < added["stored_bytes"].as_u64().unwrap(), "{tuned}");
    assert!(tuned["delta_bytes"].as_u64().unwrap() > 0 && tuned["mb_per_s"].as_f64().unwrap() > 0.0);
    assert!(stderr(&mut f.store(&["add", "--name", "org/tuned", "tuned"]), 0).contains("unchanged"));

    let got = f.json(&["get", "org/tuned", "-o", "out/here"]);
    assert_eq!(got["bytes"], added["bytes"].as_u64().unwrap() + 1);
    for file in ["model.safetensors", "config.json"] {
        assert!(f.read(&format!("out/here/{file}")) == f.read(&format!("tuned/{file}")), "{file}");
    }
    let said = stderr(&mut f.store(&["get", "base", "-o", "out/here"]), 1);
    assert!(said.contains("config.json: the file exists; use --force") && said.lines().count() == 1, "{said}");
    f.store(&["get", "base", "-o", "out/here", "-f", "-q"]).assert().success().stderr("");
    assert!(f.read("out/here/model.safetensors") == f.read("base/model.safetensors"));
}

#[test]
fn models_are_listed_and_single_tensors_restored() {
    let f = Folder::of_two_models();
    f.store(&["add", "base", "--name", "org/base"]).assert().success();
    f.store(&["add", "tuned"]).assert().success();
    let models = f.json(&["ls"]);
    let names: Vec<_> = models["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["org/base", "tuned"]);
    let page = f.json(&["ls", "--limit", "1"]);
    assert_eq!((&page["models"][0], &page["after"]), (&models["models"][0], &json!("org/base")));
    let rest = f.json(&["ls", "--limit", "1", "--after", "org/base"]);
    assert_eq!((&rest["models"][0], &rest["after"]), (&models["models"][1], &Value::Null));
    f.store(&["ls", "tuned", "--limit", "1"]).assert().code(2);
    f.store(&["ls", "--limit", "0"]).assert().code(2);
    let files = f.json(&["ls", "tuned", "--tensors"]);
    let file = &files["files"][1];
    let digest = blake3::hash(&f.read("tuned/model.safetensors")).to_string();
    assert_eq!((&file["path"], &file["blake3"]), (&json!("model.safetensors"), &json!(digest)));
    let text = f.store(&["ls", "tuned"]).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(text).unwrap().contains(&digest));

    let bytes = f.read("tuned/model.safetensors");
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let tensors = file["tensors"].as_array().unwrap();
    assert!(tensors.len() > 10 && tensors.iter().any(|tensor| tensor["deltas"] == 1));
    let name = tensors[3]["name"].as_str().unwrap();
    let offset = |i: usize| start + header[name]["data_offsets"][i].as_u64().unwrap() as usize;
    let piped = f.store(&["cat", "tuned", name]).assert().success().get_output().stdout.clone();
    assert!(piped == bytes[offset(0)..offset(1)]);
    f.store(&["cat", "tuned", name, "--file", "model.safetensors", "-o", "w"]).assert().success();
    assert!(f.read("w") == piped);
    let said = stderr(&mut f.store(&["cat", "tuned", "none", "-o", "x"]), 1);
    assert!(said.contains("no tensor \"none\" in tuned") && !f.path("x").exists(), "{said}");
    let said = stderr(&mut f.store(&["cat", "tuned", name, "--file", "none"]), 1);
    assert!(said.contains("no file \"none\" in tuned"), "{said}");
}

#[test]
fn removed_models_are_collected() {
    let f = Folder::of_two_models();
    f.store(&["add", "base"]).assert().success();
    f.store(&["add", "tuned"]).assert().success();
    assert_eq!(f.json(&["gc"])["objects"], 0);
    f.store(&["rm", "base"]).assert().success();
    f.store(&["rm", "tuned"]).assert().success();
    let planned = f.json(&["gc", "--dry-run"]);
    let collected = f.json(&["gc", "--grace", "90s"]);
    assert!(collected["objects"].as_u64().unwrap() > 10);
    assert_eq!((&planned["objects"], &planned["bytes"]), (&collected["objects"], &collected["bytes"]));
    assert_eq!(walk(&f.path("root/pieces")), <[PathBuf; 0]>::default());
    let said = stderr(&mut f.store(&["rm", "tuned"]), 1);
    assert_eq!(said, "bitx: there is no model tuned\n");
}

#[test]
fn stats_families_and_verify_describe_the_store() {
    let f = Folder::of_two_models();
    f.store(&["add", "base"]).assert().success();
    f.store(&["add", "tuned"]).assert().success();
    let stats = f.json(&["stats"]);
    let input = f.read("base/model.safetensors").len() * 2 + 16 + 17;
    assert_eq!((&stats["models"], &stats["input_bytes"]), (&json!(2), &json!(input)));
    assert!(stats["saved"].as_f64().unwrap() > 0.3 && stats["delta_bytes"].as_u64().unwrap() > 0, "{stats}");
    let table = f.store(&["stats"]).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(table).unwrap().contains(&format!("input {input:>32}  100.00%")));
    let families = f.json(&["families"]);
    assert_eq!(families["families"][0][1]["base"]["model"], "base", "{families}");
    let picture = f.store(&["families", "--svg"]).assert().success().get_output().stdout.clone();
    assert!(picture.starts_with(b"<svg"));

    for args in [&["verify"][..], &["verify", "--sample", "50%"]] {
        assert!(stderr(&mut f.store(args), 0).contains("no problems"));
    }
    assert_eq!(f.json(&["verify", "--read-data"])["bytes_read"], input);
    let pieces = walk(&f.path("root/pieces"));
    let largest = pieces.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(largest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(largest, bytes).unwrap();
    f.store(&["verify"]).assert().success();
    let failed = f.store(&["verify", "--read-data", "--json"]).assert().code(1).get_output().clone();
    let found: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert!(!found["problems"].as_array().unwrap().is_empty());
    let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((&error["command"], &error["error"]["code"]), (&json!("store verify"), &json!("damaged")));
    assert!(error["error"]["message"].as_str().unwrap().ends_with(" problems"), "{error}");
    fs::remove_file(largest).unwrap();
    let said = f.store(&["verify", "-q"]).assert().code(1).get_output().stdout.clone();
    assert!(String::from_utf8(said).unwrap().contains("base/model.safetensors: "));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn usage_errors_and_failures_have_different_exit_codes() {
    let f = Folder::of_two_models();
    for args in [
        &["add"][..],
        &["get", "base"],
        &["get", "../x", "-o", "out"],
        &["gc", "--grace", "soon"],
        &["verify", "--sample", "101%"],
        &["none"],
    ] {
        f.store(args).assert().code(2);
    }
    f.store(&["ls"]).env_remove("BITX_STORE").assert().code(2);
    f.store(&["init"]).assert().success();
    for args in [&["--root", "elsewhere", "init"][..], &["ls", "--root", "elsewhere"]] {
        f.store(args).env_remove("BITX_STORE").assert().success().stdout("");
    }
    for (args, message) in [
        (&["add", "missing"][..], "missing: No such file"),
        (&["add", "base", "tuned"], "several paths together make one model: name it with --name"),
        (&["add", "base", "tuned", "--name", "m"], "two files have the path \"config.json\""),
        (&["get", "none", "-o", "out"], "there is no model none"),
        (&["--root", "foo://bar", "ls"], "foo://bar"),
    ] {
        let said = stderr(&mut f.store(args), 1);
        assert!(said.starts_with("bitx: ") && said.contains(message) && said.lines().count() == 1, "{said}");
    }
    assert!(!f.path("out").exists());
}
