//! Tests of LoRA adapters: merged by `bitx merge`, and as a part of the base.

use std::fs;

use serde_json::Value;

use crate::support::{Folder, PATIENCE, json_of, stderr};

/// The files of the vectors, by their names in the folder of a test.
const FILES: [(&str, &str); 4] = [
    ("base.safetensors", "base/model.safetensors"),
    ("adapter_model.safetensors", "adapter/adapter_model.safetensors"),
    ("adapter_config.json", "adapter/adapter_config.json"),
    ("merged.safetensors", "merged/model.safetensors"),
];

impl Folder {
    /// A folder with a model, its adapter and the merged model of a vector.
    fn of_vector(name: &str) -> Self {
        let vector = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/adapters");
        let folder = Self::empty();
        for (from, to) in FILES {
            fs::create_dir_all(folder.path(to).parent().unwrap()).unwrap();
            fs::copy(format!("{vector}/{name}/{from}"), folder.path(to)).unwrap();
        }
        fs::write(folder.path("base/config.json"), "{}").unwrap();
        fs::write(folder.path("merged/config.json"), "{}").unwrap();
        folder
    }

    fn config(&self, text: &str) {
        fs::write(self.path("adapter/adapter_config.json"), text).unwrap();
    }
}

const BASE: &str = "base/model.safetensors";
const MERGED: &str = "merged/model.safetensors";

#[test]
fn merging_writes_the_model_that_peft_writes() {
    for vector in ["f32", "bf16", "f32-transposed"] {
        let f = Folder::of_vector(vector);
        let output = f.bitx(&["merge", BASE, "adapter", "-o", "out"]).assert().success().get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("tensors merged") && said.contains("computed and not restored"), "{said}");
        assert!(f.read("out") == f.read(MERGED), "{vector}");
        let factors = "adapter/adapter_model.safetensors";
        let json = json_of(&mut f.bitx(&["merge", "base", factors, "-o", "folder", "--json"]));
        assert_eq!((&json["computed"], &json["files"]), (&Value::Bool(true), &Value::from(2)));
        assert!(f.read("folder/model.safetensors") == f.read(MERGED));
        assert_eq!(f.read("folder/config.json"), b"{}");
    }
}

#[test]
fn an_adapter_is_a_part_of_the_base() {
    let f = Folder::of_vector("bf16-safe");
    let factors = "adapter/adapter_model.safetensors";
    f.bitx(&["compress", BASE, "-b", factors, MERGED, "-qo", "with"]).assert().success();
    f.bitx(&["compress", BASE, MERGED, "-qo", "without"]).assert().success();
    assert!(f.read("with").len() * 4 < f.read("without").len());
    f.bitx(&["decompress", factors, "-b", BASE, "with", "-qo", "back"]).assert().success();
    assert!(f.read("back") == f.read(MERGED));
    // The configuration is not needed any more.
    fs::remove_file(f.path("adapter/adapter_config.json")).unwrap();
    f.bitx(&["verify", BASE, "-b", "adapter", "with"]).assert().success();
    let said = stderr(&mut f.bitx(&["decompress", BASE, "with", "-o", "none"]), 1);
    assert!(said.contains("the base has no tensor") && !f.path("none").exists(), "{said}");
}

#[test]
fn folders_take_adapters() {
    let f = Folder::of_vector("f32");
    f.bitx(&["compress", "base", "-b", "adapter", "merged", "-qo", "out"]).assert().success();
    let archive = f.read("out/model.safetensors.bitx");
    assert!(archive.len() * 8 < f.read(MERGED).len(), "{}", archive.len());
    f.bitx(&["decompress", "base", "-b", "adapter", "out", "-qo", "back"]).assert().success();
    assert!(f.read("back/model.safetensors") == f.read(MERGED));
    let listed = json_of(&mut f.bitx(&["inspect", "out", "--json"]));
    let paths: Vec<&str> = listed["bases"].as_array().unwrap().iter().map(|b| b["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"adapter/adapter_model.safetensors"), "{paths:?}");
}

#[test]
fn adapters_that_cannot_be_merged_are_refused_or_only_a_base() {
    let f = Folder::of_vector("bf16");
    let fields: Value = serde_json::from_slice(&f.read("adapter/adapter_config.json")).unwrap();
    for (name, value, code, word) in [
        ("use_dora", Value::from(true), "unsupported", "use_dora"),
        ("init_lora_weights", Value::from("pissa"), "unsupported", "pissa"),
        ("peft_type", Value::from("IA3"), "unsupported", "IA3"),
        ("r", Value::from(9), "corrupt", "rank"),
        ("lora_alpha", Value::from("x"), "corrupt", "lora_alpha"),
    ] {
        let mut wrong = fields.clone();
        wrong[name] = value;
        f.config(&wrong.to_string());
        let said = stderr(&mut f.bitx(&["merge", "base", "adapter", "-o", "out", "--json"]), 1);
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(error["error"]["code"], code, "{name}: {said}");
        assert!(said.contains(word) && !f.path("out").exists(), "{name}: {said}");
        let output = f.bitx(&["compress", BASE, "-b", "adapter", MERGED, "-fo", "x"]).assert().success();
        let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        assert!(said.contains("not used as an adapter: ") && said.contains(word), "{name}: {said}");
    }
    f.config("nonsense");
    let said = stderr(&mut f.bitx(&["merge", BASE, "adapter", "-o", "out"]), 1);
    assert!(said.contains("adapter_config.json: the adapter's configuration is not a JSON object"), "{said}");
    for (args, part) in [
        (&["merge", BASE, "adapter"][..], "name the output with -o"),
        (&["merge", BASE, "merged", "-o", "out"], "it has no adapter_model.safetensors"),
        (&["merge", BASE, BASE, "-o", "out"], "adapter_config.json"),
    ] {
        let said = stderr(&mut f.bitx(args), 1);
        assert!(said.contains(part) && !f.path("out").exists(), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_configuration_is_not_waited_for() {
    let f = Folder::of_vector("bf16");
    f.replace_by_pipe("adapter/adapter_config.json");
    let mut merge = f.bitx(&["merge", BASE, "adapter", "-o", "out"]);
    let said = stderr(merge.timeout(PATIENCE), 1);
    assert!(said.contains("adapter_config.json: this is no file") && !f.path("out").exists(), "{said}");
}
