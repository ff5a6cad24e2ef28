//! Tests of `bitx store survey`, `plan` and `add --plan`, run as a user runs them.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::common::{PAIRS, Pair, restore};
use crate::support::{Folder, stderr};

impl Folder {
    /// A folder with the model folders `base`, `a-tuned` and `b-tuned`.
    fn of_family() -> Self {
        let folder = Self::empty();
        let pair = |name: &str| PAIRS.iter().find(|pair| pair.name == name).unwrap();
        let (sft, rl) = (pair("sft-bf16"), pair("rl-bf16"));
        let tuned = |pair: &Pair| restore(pair.base, pair.archive).unwrap();
        for (model, bytes) in [("base", sft.base.to_vec()), ("a-tuned", tuned(sft)), ("b-tuned", tuned(rl))] {
            folder.write_model(model, &bytes);
        }
        folder
    }

    /// Surveys the family in two files, and plans it.
    fn planned(&self) -> &Self {
        self.json(&["survey", "-o", "1.jsonl", "a-tuned", "base"]);
        self.json(&["survey", "-o", "2.jsonl", "--name", "b-tuned", "b-tuned"]);
        self.json(&["plan", "-o", "plan.jsonl", "2.jsonl", "1.jsonl"]);
        self
    }

    fn check(&self, model: &str) {
        self.json(&["get", model, "-o", "out", "--force"]);
        for file in ["model.safetensors", "config.json"] {
            assert!(self.read(&format!("out/{file}")) == self.read(&format!("{model}/{file}")), "{model}/{file}");
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_family_is_surveyed_planned_and_written() {
    let f = Folder::of_family();
    let surveyed = f.json(&["survey", "-o", "1.jsonl", "a-tuned", "base"]);
    assert_eq!((&surveyed["command"], &surveyed["models"]), (&"store survey".into(), &2.into()));
    assert!(surveyed["mb_per_s"].as_f64().unwrap() > 0.0);
    // A survey needs no store, and goes to standard output.
    let mut second = f.bitx(&["store", "survey", "--name", "b-tuned", "b-tuned"]);
    let second = second.assert().success().get_output().stdout.clone();
    assert_eq!(lines(&second).len(), 1);
    let mut plan = f.store(&["plan", "1.jsonl", "-"]);
    let plan = plan.write_stdin(second).assert().success().get_output().stdout.clone();
    assert!(!f.path("root").exists(), "a plan makes no store");
    fs::write(f.path("plan.jsonl"), &plan).unwrap();
    let plan = lines(&plan);
    // The light fine-tune and the base serve each other equally well, and the other one worse.
    assert_ne!(plan[0]["model"], "a-tuned");
    assert_eq!(plan.iter().map(|line| line["wave"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(plan[1]["bases"][0], plan[0]["files"][1]["blake3"]);

    // The models of a wave may be written one by one, and what is there is skipped.
    let first = f.json(&["add", "--plan", "plan.jsonl", "--wave", "0"]);
    assert_eq!((&first["models"], &first["written"], &first["delta_bytes"]), (&1.into(), &1.into(), &0.into()));
    let one = f.json(&["add", "--plan", "plan.jsonl", "--name", "a-tuned"]);
    assert!(one["stored_bytes"].as_u64().unwrap() * 3 < first["stored_bytes"].as_u64().unwrap(), "{one}");
    let rest = f.json(&["add", "--plan", "plan.jsonl", "-j", "1"]);
    assert_eq!((&rest["models"], &rest["written"], &rest["known"]), (&3.into(), &1.into(), &2.into()));
    ["base", "a-tuned", "b-tuned"].iter().for_each(|model| f.check(model));
    let said = stderr(&mut f.store(&["add", "--plan", "plan.jsonl"]), 0);
    assert!(said.contains("0 models added, 3 there already"), "{said}");
    assert_eq!(f.json(&["verify", "--read-data"])["models"], 3);
}

#[test]
fn processes_that_run_one_plan_agree() {
    let f = Folder::of_family();
    f.planned();
    let run = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bitx"));
        command.current_dir(f.path("")).args(["store", "--root", "root", "add", "--plan", "plan.jsonl", "--quiet"]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let engines = [run(), run(), run()];
    engines.into_iter().for_each(|mut engine| assert!(engine.wait().unwrap().success()));
    ["base", "a-tuned", "b-tuned"].iter().for_each(|model| f.check(model));
    let shared = f.json(&["stats"]);
    f.store(&["--root", "alone", "add", "--plan", "plan.jsonl"]).assert().success();
    let alone = f.json(&["--root", "alone", "stats"]);
    for figure in ["after_tensor_dedup", "after_coding", "files", "models"] {
        assert_eq!(shared[figure], alone[figure], "{figure}");
    }
}

#[test]
fn a_killed_engine_is_resumed() {
    let f = Folder::of_family();
    f.planned();
    for milliseconds in [1, 20, 60, 120] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bitx"));
        command.current_dir(f.path("")).args(["store", "--root", "root", "add", "--plan", "plan.jsonl", "--quiet"]);
        let mut engine = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        engine.kill().unwrap();
        engine.wait().unwrap();
        if f.path("root").join("format.json").exists() {
            f.json(&["verify", "--read-data"]);
        }
    }
    f.json(&["add", "--plan", "plan.jsonl"]);
    ["base", "a-tuned", "b-tuned"].iter().for_each(|model| f.check(model));
}

#[test]
fn a_file_that_changed_or_went_holds_up_no_other_model() {
    let f = Folder::of_family();
    f.planned();
    fs::remove_file(f.path("a-tuned").join("config.json")).unwrap();
    fs::write(f.path("base").join("config.json"), "changed").unwrap();
    let mut add = f.store(&["add", "--plan", "plan.jsonl", "--json"]);
    let output = add.assert().code(1).get_output().clone();
    let report = &lines(&output.stdout)[0];
    assert_eq!((&report["written"], &report["failed"]), (&1.into(), &2.into()));
    let said = lines(&output.stderr);
    let warning = |text: &str| said.iter().any(|line| line["warning"].as_str().is_some_and(|said| said.contains(text)));
    assert!(warning("changed since it was surveyed") && warning("a-tuned: "), "{said:?}");
    assert_eq!(said[2]["error"]["code"], "io");
    assert_eq!(f.json(&["ls"])["models"].as_array().unwrap().len(), 1);
    f.check("b-tuned");
}

#[test]
fn wrong_calls_and_lines_are_refused() {
    let f = Folder::of_family();
    f.planned();
    fs::create_dir(f.path("sub")).unwrap();
    fs::create_dir(f.path("sub/base")).unwrap();
    fs::write(f.path("sub/base/x"), "x").unwrap();
    fs::write(f.path("cut.jsonl"), &f.read("plan.jsonl")[..200]).unwrap();
    for (args, said) in [
        (&["survey", "base", "sub/base"][..], "another path gives the name base"),
        (&["survey", "missing"], "missing"),
        (&["survey", "--json", "base"], "name a file with -o"),
        (&["survey", "-o", "1.jsonl", "base"], "--force"),
        (&["plan", "missing.jsonl"], "missing.jsonl"),
        (&["plan", "plan.jsonl"], "plan.jsonl: line 1"),
        (&["plan", "-o", "plan.jsonl", "1.jsonl"], "--force"),
        (&["add", "--plan", "1.jsonl"], "1.jsonl: line 1"),
        (&["add", "--plan", "cut.jsonl"], "cut.jsonl: line 1"),
        (&["add", "--plan", "plan.jsonl", "--name", "other"], "there is no model other in the plan"),
    ] {
        let text = stderr(&mut f.store(args), 1);
        assert!(text.contains(said) && text.lines().count() == 1, "{args:?}: {text}");
    }
    for args in [&["add", "--plan", "plan.jsonl", "base"][..], &["add", "--wave", "0", "base"], &["survey"], &["plan"]]
    {
        f.store(args).assert().code(2);
    }
    assert!(!f.path("root").exists());
}
