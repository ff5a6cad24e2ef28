//! The manifest of a folder of archives is read.
#![no_main]

use std::path::{Component, Path};

use bitx::folder::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(manifest) = Manifest::parse(data) else { return };
    let again = Manifest::parse(&manifest.write().expect("a manifest that was read can be written"));
    assert_eq!(again.as_ref(), Ok(&manifest));
    for path in manifest.files.iter().flat_map(|entry| [&entry.file.path, &entry.archive.path]) {
        assert!(Path::new(path).components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    }
});
