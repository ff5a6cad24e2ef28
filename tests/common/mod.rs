//! Helpers of the integration tests: small models, and jobs that run over slices.
#![allow(dead_code)] // each test binary uses a part of it

pub mod forge;
pub mod gguf;
pub mod protobuf;
pub mod ragged;
pub mod tar;
pub mod tflite;
pub mod zip;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, ReadAt, Source};
use bitx::parallel::{Runner, Sequential};
use bitx::report::Report;
use bitx::{Compress, Effort, Format, Inspect, Job, Restore};

/// A committed pair: base, archive that the reference command line wrote, digest of what it
/// restores to.
pub struct Pair {
    pub name: &'static str,
    pub base: &'static [u8],
    pub archive: &'static [u8],
    pub sha256: &'static str,
}

macro_rules! vector {
    ($file:expr) => {
        include_bytes!(concat!("../vectors/", $file))
    };
}

/// Every committed pair; `tests/vectors/README.md` says where they come from.
pub const PAIRS: [Pair; 5] = [
    Pair {
        name: "sft-bf16",
        base: vector!("mini/base-bf16.safetensors"),
        archive: vector!("mini/sft-bf16.v1.bitx"),
        sha256: "f8af02d076e6ba592984356089a885b89508231b7cf23ab19f7b12e3fee56910",
    },
    Pair {
        name: "rl-bf16",
        base: vector!("mini/base-bf16.safetensors"),
        archive: vector!("mini/rl-bf16.v1.bitx"),
        sha256: "394a9be0c3518065d27fcad2929504fe5ed2197615504494609265633cad6d6c",
    },
    Pair {
        name: "lora-bf16",
        base: vector!("mini/base-bf16.safetensors"),
        archive: vector!("mini/lora-bf16.v1.bitx"),
        sha256: "1a51edfbd6542f11e10c51b1442b20c46d1ea40944aa8a7f773a03bc79c06279",
    },
    Pair {
        name: "sft-f16",
        base: vector!("mini/base-f16.safetensors"),
        archive: vector!("mini/sft-f16.v1.bitx"),
        sha256: "6750a32a52d2dda162523de2910a71330c43e79a0ddb529bb4c45a388b3da3b5",
    },
    Pair {
        name: "sft-f32",
        base: vector!("mini/base-f32.safetensors"),
        archive: vector!("mini/sft-f32.v1.bitx"),
        sha256: "69f639109a36cc717413489b57f82f373cd85f2cb96e150a9679cc25c3407c0f",
    },
];

/// SHA-256 of the v1 archive of each pair at level 3: the same on every target and thread count.
pub const V1_ARCHIVES: [&str; 5] = [
    "8bc740acbb358ca30723bba785f5903359a2ddc89eaa35234cb8c147e863eb6c",
    "865a8193dbc17c57e20e3cc71c77477604686fca226195b878aadcd544e0116e",
    "21b69255d46e5b5d5209fe2e719b27cf81f3adbcd53572f9b6d546a602bb5282",
    "e11588296de1ec681dcdf5682d2d48ffbcdee586f7b2a53d272162116d8bee7c",
    "b9ba7635e819b82dee883cd5107d9bc73080b18cae3eb6d58d42f71aa4cff34b",
];

/// SHA-256 of the v2 archives of each pair at the efforts fast, default and max, likewise.
pub const V2_ARCHIVES: [[&str; 3]; 5] = [
    [
        "49757797a50a824fb1d09182fd4adea749c74ebd850a92a611e1762b39be0f68",
        "3dbb39ad29a4d79598718a4dcc953dadab3befca861771b8b8142eacfa656354",
        "1d5598f1d5cbb0e9fda9a48285d4432546ea7026a926895200bb93a888a43d92",
    ],
    [
        "2e67b145dcd74c9f77164e40a526dab0320840cf53114586ee6b5315516e0958",
        "2e67b145dcd74c9f77164e40a526dab0320840cf53114586ee6b5315516e0958",
        "2e67b145dcd74c9f77164e40a526dab0320840cf53114586ee6b5315516e0958",
    ],
    [
        "dc3f5b1516f523dce45175d8a7bb2029cdc9e2f6211d7b12e07ffccd5362344c",
        "0b418e0a0be5765c8a8584e0b2ecf98eaf987ce3504012c9fb28d5d6b4ae2a14",
        "afe5ad6e2d0adae4be7b3c82a6e21db73ef6a6ac8df9fe5619da5cd5cf876a15",
    ],
    [
        "1aab32460dc5cba6dc55f294e7ac69edaf1f36f41e77550f50a0356c8b728391",
        "6195bfb7744497052a02814d32c1dbeeaa7fda8c70937a0888beb73be3cbede3",
        "089b8972a1ed00e2cb8275d78992a88ac8971ea3cf04f7dea6e341ddf03e949d",
    ],
    [
        "4af600bb1f6ac836bc9756e0dc69f16d3d4c1e157a1fc548f6ce60867f99439c",
        "ca8708627af881bd73aaece94f07e8c84e4d62e783efd4eee0a91fd91f23dea8",
        "b0328dca3d384fb0e8bfcbf5d1c8d82f24e419d5b6534348c579aec85fcc5899",
    ],
];

/// The digest of [`outcomes`]: the same on every target, with every kernel.
pub const OUTCOMES: &str = "7bf7b80e1d4a408cda19d98fd9f240399d8deae9a0217f70174c23fb8027e639";

/// Restores an archive with a flipped bit, and with a byte less, at many places among its chunks.
/// Returns the digest of all errors, which name the places and the checksums of what was decoded.
pub fn outcomes() -> String {
    let archive: &[u8] = vector!("mini/sft-bf16.predicted.v2.bitx");
    let mut errors = String::new();
    for place in (archive.len() / 4..archive.len() * 3 / 4).step_by(811) {
        let mut flipped = archive.to_vec();
        flipped[place] ^= 1 << (place % 8);
        let mut shorter = archive.to_vec();
        shorter.remove(place);
        for damaged in [flipped, shorter] {
            errors += &restore(PAIRS[0].base, &damaged).expect_err("a damaged archive").to_string();
        }
    }
    sha256(errors.as_bytes())
}

/// A committed v2 archive: every release must restore its target from it.
pub struct Golden {
    pub name: &'static str,
    pub base: &'static [u8],
    pub target: &'static [u8],
    pub archive: &'static [u8],
}

macro_rules! golden {
    ($model:literal, $extension:literal, $effort:literal) => {
        Golden {
            name: concat!($model, ".", $effort),
            base: vector!(concat!("v2/", $model, ".base.", $extension)),
            target: vector!(concat!("v2/", $model, ".target.", $extension)),
            archive: vector!(concat!("v2/", $model, ".", $effort, ".bitx")),
        }
    };
}

/// Every dtype and method, at every effort, and every layout of a base.
pub const GOLDEN: [Golden; 21] = [
    golden!("dtypes", "safetensors", "fast"),
    golden!("dtypes", "safetensors", "default"),
    golden!("dtypes", "safetensors", "max"),
    golden!("blocks", "gguf", "default"),
    golden!("places", "onnx", "default"),
    golden!("packed", "safetensors", "default"),
    golden!("packed", "safetensors", "max"),
    golden!("words", "safetensors", "default"),
    golden!("nested", "safetensors", "default"),
    golden!("derived", "safetensors", "default"),
    golden!("floats", "safetensors", "default"),
    golden!("weights", "safetensors", "default"),
    golden!("dequantised", "gguf", "default"),
    golden!("arranged", "safetensors", "default"),
    golden!("quants", "gguf", "default"),
    golden!("quants", "gguf", "max"),
    golden!("sparse", "safetensors", "fast"),
    golden!("bits", "safetensors", "default"),
    golden!("moved", "gguf", "default"),
    golden!("fused", "safetensors", "default"),
    golden!("tflite", "tflite", "default"),
];

pub const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Default, Effort::Max];

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A safetensors file of `(name, dtype, shape, bytes)`, in that order, without gaps.
pub fn model(tensors: &[(&str, &str, &[u64], &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let begin = data.len();
            data.extend_from_slice(bytes);
            format!("{name:?}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{begin},{}]}}", data.len())
        })
        .collect();
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

/// A safetensors file of that header and that data section.
pub fn with_header(json: &str, data: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), data].concat()
}

/// Opens and runs a job over slices.
pub fn run(job: &mut Job, sources: &Sources<'_>, runner: &dyn Runner) -> bitx::Result<Vec<u8>> {
    let mut output = Vec::new();
    let done = drive::open(job, sources).and_then(|()| drive::drive(job, sources, runner, &mut output, &mut |_| {}));
    match done {
        Ok(()) => Ok(output),
        Err(DriveError::Job(error)) => Err(error),
        Err(other) => panic!("slices do not fail: {other}"),
    }
}

pub fn restore_on(runner: &dyn Runner, base: &[u8], archive: &[u8]) -> bitx::Result<Vec<u8>> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    run(&mut Restore::new(&[base.len() as u64], archive.len() as u64).job(), &sources, runner)
}

pub fn restore(base: &[u8], archive: &[u8]) -> bitx::Result<Vec<u8>> {
    restore_on(&Sequential, base, archive)
}

/// Restores by two jobs that share the windows, and a sibling of one, and runs them from the last
/// to the first.
pub fn restore_shared(base: &[u8], archive: &[u8]) -> bitx::Result<Vec<u8>> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    let mut opened = [(); 2].map(|()| Restore::new(&[base.len() as u64], archive.len() as u64).shared().job());
    for job in &mut opened {
        drive::open(job, &sources).map_err(job_error)?;
    }
    let [checking, other] = opened;
    let sibling = checking.sibling()?;
    let mut jobs = [checking, other, sibling];
    let mut outputs = vec![Vec::new(); jobs[0].windows()?];
    let mut inputs = Inputs::default();
    for (window, output) in outputs.iter_mut().enumerate().rev() {
        let job = &mut jobs[window % jobs.len()];
        drive::fetch(job, window, &sources, &mut inputs).map_err(job_error)?;
        job.run(window, &inputs, &Sequential, output)?;
    }
    let [checking, ..] = &mut jobs;
    for (window, output) in outputs.iter().enumerate() {
        assert_eq!(checking.progress(window + 1)? - checking.progress(window)?, output.len() as u64);
        inputs.prepare(checking.reads(window)?);
        let archived = inputs.iter_mut().filter(|(read, _)| read.source == Source::Delta);
        archived.into_iter().try_for_each(|(read, buffer)| sources.fill(read, buffer)).map_err(job_error)?;
        checking.check(window, &inputs)?;
    }
    Ok(outputs.concat())
}

pub fn compress_on(runner: &dyn Runner, base: &[u8], target: &[u8], format: Format) -> bitx::Result<Vec<u8>> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    run(&mut Compress::new(&[base.len() as u64], target.len() as u64, format)?.job(), &sources, runner)
}

pub fn compress(base: &[u8], target: &[u8], format: Format) -> bitx::Result<Vec<u8>> {
    compress_on(&Sequential, base, target, format)
}

/// Compresses by two jobs that code the windows in turn, and one that joins them.
pub fn compress_apart(base: &[u8], target: &[u8], format: Format) -> bitx::Result<Vec<u8>> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    let job = || Compress::new(&[base.len() as u64], target.len() as u64, format).map(Compress::job);
    let (mut jobs, mut joining) = ([job()?, job()?], job()?);
    for job in jobs.iter_mut().chain([&mut joining]) {
        drive::open(job, &sources).map_err(job_error)?;
    }
    let (mut archive, mut carried, mut inputs) = (Vec::new(), Vec::new(), Inputs::default());
    for window in 0..joining.windows()? {
        let job = &mut jobs[window % 2];
        let (mut coded, mut output) = (Vec::new(), Vec::new());
        drive::fetch(job, window, &sources, &mut inputs).map_err(job_error)?;
        let found = job.search(window, &inputs, &Sequential)?;
        job.code(window, &inputs, &carried, &Sequential, &mut coded)?;
        carried = found.unwrap_or(carried);
        joining.digest(window, &inputs)?;
        joining.join(window, &coded, &mut output)?;
        archive.extend(output);
    }
    Ok(archive)
}

fn job_error(error: DriveError) -> bitx::Error {
    match error {
        DriveError::Job(error) => error,
        other => panic!("slices do not fail: {other}"),
    }
}

pub fn inspect(archive: &[u8]) -> bitx::Result<Report> {
    let mut job = Inspect::new(archive.len() as u64).job();
    run(&mut job, &Sources { delta: Some(&archive), ..Sources::default() }, &Sequential)?;
    job.report()
}
