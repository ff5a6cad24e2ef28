//! Functions that the fuzz targets share.

pub mod archive;
pub mod build;
pub mod input;
pub mod payload;
#[path = "../../tests/common/protobuf.rs"]
pub mod protobuf;
#[path = "../../tests/reference/mod.rs"]
pub mod reference;
#[path = "../../tests/common/tar.rs"]
pub mod tar;
#[path = "../../tests/common/tflite.rs"]
pub mod tflite;
#[path = "../../tests/common/zip.rs"]
pub mod zip;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{Compress, Format, Inspect, Job, Restore, Result};

/// Archives that restore to more than this are only opened.
pub const MOST: u64 = 16 << 20;

/// Opens `job`.
pub fn open(job: &mut Job, sources: &Sources<'_>) -> Result<()> {
    drive::open(job, sources).map_err(failure)
}

/// Opens a file as base, target and archive.
pub fn open_as_anything(file: &[u8]) {
    let length = file.len() as u64;
    let bases: [&dyn ReadAt; 1] = [&file];
    let sources = Sources { base: &bases, delta: Some(&file), target: Some(&file), ..Sources::default() };
    for format in [Format::V1 { level: 3 }, Format::default()] {
        let _ = open(&mut Compress::new(&[length], length, format).unwrap().job(), &sources);
    }
    let _ = open(&mut Inspect::new(length).job(), &sources);
}

fn run(job: &mut Job, sources: &Sources<'_>) -> Result<Vec<u8>> {
    let mut output = Vec::new();
    drive::drive(job, sources, &Sequential, &mut output, &mut |_| {}).map_err(failure)?;
    Ok(output)
}

fn failure(error: DriveError) -> bitx::Error {
    match error {
        DriveError::Job(error) => error,
        other => panic!("slices do not fail: {other}"),
    }
}

/// Restores; nothing if the output would be larger than [`MOST`].
pub fn restore(base: &[u8], archive: &[u8]) -> Option<Result<Vec<u8>>> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    let mut job = Restore::new(&[base.len() as u64], archive.len() as u64).job();
    if let Err(error) = open(&mut job, &sources) {
        return Some(Err(error));
    }
    let length = job.output_length().unwrap().filter(|&length| length <= MOST)?;
    let restored = run(&mut job, &sources);
    if let Ok(bytes) = &restored {
        assert_eq!(bytes.len() as u64, length);
    }
    Some(restored)
}

pub fn compress(base: &[u8], target: &[u8], format: Format) -> Result<Vec<u8>> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    let mut job = Compress::new(&[base.len() as u64], target.len() as u64, format)?.job();
    open(&mut job, &sources)?;
    run(&mut job, &sources)
}

/// Restores with both decoders: where both succeed, they must agree.
pub fn compare(base: &[u8], archive: &[u8]) {
    if let Some(Ok(restored)) = restore(base, archive)
        && let Ok(expected) = reference::restore(&[base], archive)
    {
        assert!(restored == expected, "the decoders differ");
    }
}
