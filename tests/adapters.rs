//! Adapters as part of a base, and merged into one: against models that PEFT merged, both decoders,
//! and forgeries. `scripts/peft-vectors.py` makes the vectors.
#![cfg(not(target_arch = "wasm32"))]

mod common;
mod reference;

use bitx::drive::{self, Sources};
use bitx::io::{ReadAt, Source};
use bitx::parallel::{Rayon, Sequential};
use bitx::report::Method;
use bitx::{Compress, Effort, ErrorKind, Format, Job, Merge, Restore, Result};
use common::{EFFORTS, model};

/// A model, its adapter, and what PEFT made of both.
struct Vector {
    name: &'static str,
    base: &'static [u8],
    adapter: &'static [u8],
    config: &'static [u8],
    merged: &'static [u8],
}

macro_rules! vectors {
    ($($name:literal),*) => {
        [$(Vector {
            name: $name,
            base: include_bytes!(concat!("vectors/adapters/", $name, "/base.safetensors")),
            adapter: include_bytes!(concat!("vectors/adapters/", $name, "/adapter_model.safetensors")),
            config: include_bytes!(concat!("vectors/adapters/", $name, "/adapter_config.json")),
            merged: include_bytes!(concat!("vectors/adapters/", $name, "/merged.safetensors")),
        }),*]
    };
}

const VECTORS: [Vector; 5] = vectors!("f32", "bf16", "f16-narrow", "bf16-safe", "f32-transposed");

fn run(mut job: Job, base: &[&[u8]], target: Option<&[u8]>, delta: Option<&[u8]>) -> Result<(Vec<u8>, Job)> {
    let base: Vec<&dyn ReadAt> = base.iter().map(|file| file as &dyn ReadAt).collect();
    let target = target.as_ref().map(|file| file as &dyn ReadAt);
    let sources =
        Sources { base: &base, target, delta: delta.as_ref().map(|file| file as &dyn ReadAt), ..Default::default() };
    let mut output = Vec::new();
    let failed = |error| match error {
        drive::DriveError::Job(error) => error,
        other => panic!("{other}"),
    };
    drive::open(&mut job, &sources).map_err(failed)?;
    drive::drive(&mut job, &sources, &Rayon, &mut output, &mut |_| {}).map_err(failed)?;
    Ok((output, job))
}

fn lengths(files: &[&[u8]]) -> Vec<u64> {
    files.iter().map(|file| file.len()).collect()
}

/// Compresses against a base whose last file is an adapter with a configuration.
fn compress(base: &[&[u8]], config: Option<&[u8]>, target: &[u8], effort: Effort) -> Result<(Vec<u8>, Job)> {
    let compress = Compress::new(&lengths(base), target.len() as u64, Format::V2 { effort })?;
    let compress = match config {
        Some(config) => compress.with_adapter(base.len() - 1, config)?,
        None => compress,
    };
    run(compress.job(), base, Some(target), None)
}

fn restore(base: &[&[u8]], archive: &[u8]) -> Result<Vec<u8>> {
    Ok(run(Restore::new(&lengths(base), archive.len() as u64).job(), base, None, Some(archive))?.0)
}

fn merge(base: &[&[u8]], file: usize, adapter: &[u8], config: &[u8]) -> Result<(Vec<u8>, Job)> {
    let job = Merge::new(&lengths(base), file, adapter.len() as u64, config)?.job();
    run(job, &[base, &[adapter]].concat(), None, None)
}

#[test]
fn merged_models_cost_next_to_nothing() {
    for Vector { name, base, adapter, config, merged } in &VECTORS {
        for effort in EFFORTS {
            let files = [*base, adapter];
            let (archive, job) = compress(&files, Some(config), merged, effort).unwrap();
            // Every tensor is copied from the merged view. The archive is head, index and records.
            // The base's own head has the right name, so that of the adapter is not looked for.
            let tensors = job.report().unwrap().tensors;
            for tensor in tensors.iter().filter(|tensor| !tensor.name.starts_with("head")) {
                assert_eq!((tensor.method, tensor.stored_bytes), (Method::CopyBase, 21), "{name}: {}", tensor.name);
            }
            assert!(restore(&files, &archive).unwrap() == *merged, "{name}");
            assert!(reference::restore(&files, &archive).unwrap() == *merged, "{name}");
            let without = compress(&files, None, merged, effort).unwrap().0;
            assert!(archive.len() * 4 < without.len() || name.contains("narrow"), "{name}: {}", without.len());
        }
    }
}

#[test]
fn merging_gives_what_peft_gives() {
    for Vector { name, base, adapter, config, merged } in &VECTORS {
        let (output, job) = merge(&[base], 0, adapter, config).unwrap();
        let length = output.len();
        assert_eq!(length, merged[..].len());
        let report = job.report().unwrap();
        assert_eq!(report.tensors.len(), if *name == "bf16" { 6 } else { 4 - usize::from(*name == "f32-transposed") });
        // Narrow adapters are rounded once more where PEFT keeps them so, and a safe merge rounds
        // the change.
        let rounded = name.contains("narrow") || name.contains("safe");
        assert_eq!(output == *merged, !rounded, "{name}");
        let equal = output.iter().zip(*merged).filter(|(a, b)| a == b).count();
        assert!(equal * 10 > length * 8, "{name}: {equal} of {length}");
    }
}

/// A deterministic number between -1 and 1.
fn number(i: usize) -> f32 {
    ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0
}

fn numbers(seed: usize, count: usize, scale: f32) -> Vec<u8> {
    (0..count).flat_map(|i| (number(i + seed * 100_003) * scale).to_le_bytes()).collect()
}

const CONFIG: &[u8] = b"{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2}";
const A: &str = "base_model.model.layers.0.q.lora_A.weight";
const B: &str = "base_model.model.layers.0.q.lora_B.weight";

/// A base of two shards, and an adapter for a tensor of the second.
fn sharded() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let first = model(&[("layers.0.v.weight", "F32", &[64, 96], &numbers(1, 64 * 96, 1.0))]);
    let second = model(&[("layers.0.q.weight", "F32", &[64, 96], &numbers(2, 64 * 96, 1.0))]);
    let (a, b) = (numbers(3, 3 * 96, 0.1), numbers(4, 64 * 3, 0.1));
    (first, second, model(&[(A, "F32", &[3, 96], &a), (B, "F32", &[64, 3], &b)]))
}

#[test]
fn files_of_a_sharded_base_are_merged_one_by_one() {
    let (first, second, adapter) = sharded();
    let base: [&[u8]; 2] = [&first, &second];
    let (merged, job) = merge(&base, 1, &adapter, CONFIG).unwrap();
    let report = job.report().unwrap();
    assert_eq!((report.tensors.len(), report.tensors[0].method), (1, Method::Predicted));
    assert!(merge(&base, 0, &adapter, CONFIG).unwrap().0 == first);
    // A further fine-tune of the merged model is coded as differences to it.
    let mut tuned = merged.clone();
    let at = tuned.len() - 4000;
    tuned[at..].iter_mut().step_by(4).for_each(|byte| *byte ^= 1);
    let files: [&[u8]; 3] = [&first, &second, &adapter];
    let archive = compress(&files, Some(CONFIG), &tuned, Effort::Default).unwrap().0;
    assert!(archive.len() < 1500 && restore(&files, &archive).unwrap() == tuned, "{}", archive.len());
    assert!(reference::restore(&files, &archive).unwrap() == tuned);
    // The base alone lacks the factors, and a changed factor is noticed.
    assert_eq!(restore(&files[..2], &archive).unwrap_err().kind(), ErrorKind::BaseMismatch);
    let mut other = adapter.clone();
    let end = other.len() - 2;
    other[end] ^= 1;
    let error = restore(&[&first, &second, &other], &archive).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BaseMismatch);
    // A single tensor is restored from what it needs.
    let job = Restore::new(&lengths(&files), archive.len() as u64).tensor("layers.0.q.weight").job();
    assert!(run(job, &files, None, Some(&archive)).unwrap().0 == tuned[tuned.len() - 64 * 96 * 4..]);
}

#[test]
fn an_adapter_that_was_not_merged_changes_nothing() {
    let (first, second, adapter) = sharded();
    let files: [&[u8]; 3] = [&first, &second, &adapter];
    let with = compress(&files, Some(CONFIG), &second, Effort::Default).unwrap().0;
    assert!(with == compress(&files, None, &second, Effort::Default).unwrap().0);
}

#[test]
fn hostile_adapters_are_refused_by_kind() {
    let (first, second, adapter) = sharded();
    let base: [&[u8]; 2] = [&first, &second];
    let kind = |adapter: &[u8], config: &[u8]| merge(&base, 1, adapter, config).unwrap_err().kind();
    assert_eq!(kind(&adapter, b"nonsense"), ErrorKind::Format);
    assert_eq!(kind(&adapter, b"{\"peft_type\": \"LORA\", \"r\": 4}"), ErrorKind::Corrupt);
    assert_eq!(kind(b"not an adapter", CONFIG), ErrorKind::Format);
    let (a, b) = (numbers(3, 3 * 96, 0.1), numbers(4, 64 * 3, 0.1));
    let factors =
        |a: (&str, &[u64], &[u8]), b: (&str, &[u64], &[u8])| model(&[(a.0, "F32", a.1, a.2), (b.0, "F32", b.1, b.2)]);
    // Factors of another shape, of another module, and numbers that are none.
    assert_eq!(kind(&factors((A, &[3, 64], &a[..768]), (B, &[64, 3], &b)), CONFIG), ErrorKind::BaseMismatch);
    let (other_a, other_b) = (A.replace("q", "k"), B.replace("q", "k"));
    assert_eq!(kind(&factors((&other_a, &[3, 96], &a), (&other_b, &[64, 3], &b)), CONFIG), ErrorKind::BaseMismatch);
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut a = a.clone();
        a[40..44].copy_from_slice(&wrong.to_le_bytes());
        assert_eq!(kind(&factors((A, &[3, 96], &a), (B, &[64, 3], &b)), CONFIG), ErrorKind::Corrupt);
    }
    assert_eq!(kind(&factors((A, &[3, 96], &a), (A, &[64, 3], &b)), CONFIG), ErrorKind::Corrupt);
    assert_eq!(Merge::new(&[1], 1, 1, CONFIG).unwrap_err().kind(), ErrorKind::InvalidArgument);
    // Every truncation is an error, and every flipped bit an error or a model of the same length.
    for end in (0..adapter.len()).step_by(37) {
        merge(&base, 1, &adapter[..end], CONFIG).unwrap_err();
    }
    for place in 0..300 {
        let mut wrong = adapter.clone();
        wrong[place] ^= 1 << (place % 8);
        if let Ok((merged, _)) = merge(&base, 1, &wrong, CONFIG) {
            assert_eq!(merged.len(), second.len());
        }
    }
}

#[test]
fn every_change_of_a_small_archive_is_noticed() {
    let Vector { base, adapter, config, merged, .. } = VECTORS[1];
    let files = [base, adapter];
    let archive = compress(&files, Some(config), merged, Effort::Default).unwrap().0;
    for end in 0..archive.len() {
        restore(&files, &archive[..end]).unwrap_err();
    }
    for place in 0..archive.len() {
        let mut wrong = archive.clone();
        wrong[place] ^= 1 << (place % 8);
        restore(&files, &wrong).unwrap_err();
    }
}

#[test]
fn adapters_are_files_of_the_base() {
    let (first, second, adapter) = sharded();
    let job = Compress::new(&[10], 10, Format::default()).unwrap().with_adapter(1, CONFIG);
    assert_eq!(job.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let v1 = Compress::new(&[10, 10], 10, Format::V1 { level: 3 }).unwrap().with_adapter(1, CONFIG);
    assert_eq!(v1.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let files: [&[u8]; 3] = [&first, &adapter, &second];
    let error =
        compress(&files, Some(b"{\"peft_type\": \"LORA\", \"r\": 3, \"use_dora\": true}"), &first, Effort::Fast);
    assert!(error.unwrap_err().to_string().contains("use_dora"));
    let broken = model(&[(A, "F32", &[3, 96], &numbers(3, 288, 0.1))]);
    let error = compress(&[&first, &broken], Some(CONFIG), &first, Effort::Fast).unwrap_err();
    assert_eq!((error.kind(), error.input_at_fault()), (ErrorKind::Corrupt, Some(Source::Base(1))));
    // Threads do not change what is merged.
    let job = || Merge::new(&lengths(&[&second]), 0, adapter.len() as u64, CONFIG).unwrap().job();
    let mut alone = Vec::new();
    let inputs: [&dyn ReadAt; 2] = [&second.as_slice(), &adapter.as_slice()];
    let sources = Sources { base: &inputs, ..Default::default() };
    let mut job = job();
    drive::open(&mut job, &sources).unwrap();
    drive::drive(&mut job, &sources, &Sequential, &mut alone, &mut |_| {}).unwrap();
    assert!(alone == merge(&[&second], 0, &adapter, CONFIG).unwrap().0);
}
