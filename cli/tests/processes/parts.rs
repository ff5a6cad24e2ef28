//! Tests of collections and checks that are split over processes.

use crate::support::Place;
use crate::support::models::Models;

const PARTS: u32 = 3;

/// Collects and checks all parts at the same time, each in a process, beside a writer.
async fn split(place: Place) {
    let models = Models::with_extension(".safetensors");
    let add = |name: &str, file: &str| place.bitx(&["add", "--name", name, models.path(file).to_str().unwrap()]);
    let run = |args: &[&str]| assert!(place.bitx(args).status().unwrap().success(), "{args:?}");
    for (name, file) in [("base", "base-bf16"), ("tuned", "sft-bf16"), ("stranger", "stranger")] {
        assert!(add(name, file).status().unwrap().success());
    }
    run(&["rm", "tuned"]);
    run(&["rm", "stranger"]);
    let all = |command: &'static str, more: &'static [&'static str]| {
        let part = |number| {
            let part = format!("{number}/{PARTS}");
            place.bitx(&[&[command, "--part", part.as_str()][..], more].concat()).spawn().unwrap()
        };
        (1..=PARTS).map(part).collect::<Vec<_>>()
    };
    let mut writer = add("again", "sft-bf16").spawn().unwrap();
    for mut process in all("gc", &[]) {
        assert!(process.wait().unwrap().success());
    }
    assert!(writer.wait().unwrap().success());
    for mut process in all("verify", &["--read-data"]) {
        assert!(process.wait().unwrap().success());
    }
    // What had to wait for the writer is removed now. A whole collection finds nothing more.
    for mut process in all("gc", &["--grace", "0s"]) {
        assert!(process.wait().unwrap().success());
    }
    let left = place.content().await;
    run(&["gc", "--grace", "0s"]);
    assert_eq!(place.content().await, left);
    let out = tempfile::tempdir().unwrap();
    let store = place.store().await;
    let model = store.model(&"again".parse().unwrap()).await.unwrap();
    store.get(&model, out.path(), &|_| {}).await.unwrap();
    let restored = std::fs::read(out.path().join("sft-bf16.safetensors")).unwrap();
    assert!(restored == std::fs::read(models.path("sft-bf16")).unwrap());
    run(&["verify", "--read-data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_folder_are_collected_and_checked_by_processes() {
    split(Place::folder()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_bucket_are_collected_and_checked_by_processes() {
    split(Place::bucket()).await;
}

#[test]
fn a_part_that_is_not_there_is_wrong_usage() {
    let place = Place::folder();
    for command in ["gc", "verify"] {
        for (part, choices) in [("5/4", "1/4 to 4/4"), ("0/4", "1/4 to 4/4"), ("1/0", "1/1"), ("half", "K/N")] {
            let output = place.bitx(&[command, "--part", part]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(choices), "{said}");
        }
    }
    let both = place.bitx(&["verify", "--repair", "--part", "1/2"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}
