//! Tests of several servers over one bucket: a model that one server receives is served by the
//! others.
#![cfg(unix)]

mod support;

use std::process::Command;

use support::served::{Served, digest};
use support::{Bucket, common};

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
    // The delta is against the file itself, since the replaced base can no longer be requested.
    let delta = |served: &Served| served.pull(&format!("?base={}", digest(&tuned))).unwrap().bytes().unwrap();
    let archive = delta(&first);
    assert!(common::restore(&tuned, &archive).unwrap() == tuned);
    assert_eq!(delta(&second), archive);
    let kept: Vec<_> = bucket.written().into_iter().filter(|(key, _)| key.contains("/archives/")).collect();
    assert!(matches!(&kept[..], [(_, 1)]), "{kept:?}");
    store(&bucket, &["verify", "--read-data"]);
}
