//! Tests of several servers over one bucket: a model that one server receives is served by the
//! others.

use std::process::Command;

use crate::support::served::{Served, digest};
use crate::support::{Bucket, common};

/// Runs `bitx store` on the bucket.
fn store(bucket: &Bucket, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitx"));
    command.envs(bucket.environment()).args(["store", "--root", &bucket.url()]).args(args).arg("-q");
    assert!(command.status().unwrap().success(), "{args:?}");
}

#[test]
fn a_model_pushed_to_one_server_is_pulled_from_another() {
    let (bucket, folders) = (Bucket::serve(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let [first, second] = folders.each_ref().map(|folder| Served::over(&bucket, folder.path()));
    let pair = &common::PAIRS[0];
    let tuned = common::restore(pair.base, pair.archive).unwrap();
    assert_eq!(first.push(pair.base), Some(201));
    assert!(second.pull("").unwrap().bytes().unwrap() == pair.base);
    assert_eq!(second.push(&tuned), Some(201));
    assert!(first.pull("").unwrap().bytes().unwrap() == tuned);
    // The replaced base can no longer be requested, so a model of its own holds it as well.
    let file = folders[0].path().join("model.safetensors");
    std::fs::write(&file, pair.base).unwrap();
    store(&bucket, &["add", "--name", "org/base", file.to_str().unwrap()]);
    let asked = format!("?base={}", digest(pair.base));
    let delta = |served: &Served| loop {
        let answer = served.pull(&asked).unwrap();
        // A server lists the models of others once a second.
        if answer.status() != 404 {
            break answer.bytes().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let archive = delta(&first);
    assert!(common::restore(pair.base, &archive).unwrap() == tuned);
    assert_eq!(delta(&second), archive);
    let kept: Vec<_> = bucket.written().into_iter().filter(|(key, _)| key.contains("/archives/")).collect();
    assert!(matches!(&kept[..], [(_, 1)]), "{kept:?}");
    store(&bucket, &["verify", "--read-data"]);
}
