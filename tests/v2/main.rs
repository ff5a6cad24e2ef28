//! BITXv002 on real, odd and wrong inputs.

#[path = "../common/mod.rs"]
mod common;
#[path = "../reference/mod.rs"]
mod reference;
mod windows;

use std::sync::{Arc, Mutex};

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, ReadAt, Source};
use bitx::layout::Dtype;
use bitx::parallel::Sequential;
use bitx::report::Method;
use bitx::{Compress, Effort, ErrorKind, Format, Job, Restore};
use common::{
    EFFORTS, GOLDEN, PAIRS, V2_ARCHIVES, compress, inspect, model, ragged, restore, restore_shared, sha256, with_header,
};

const V2: Format = Format::V2 { effort: Effort::Default };

/// Kernels decode damaged archives to the same bytes and errors as the portable code does.
#[test]
fn damaged_archives_come_to_the_same_everywhere() {
    assert_eq!(common::outcomes(), common::OUTCOMES);
}

#[test]
fn golden_archives_restore() {
    for golden in &GOLDEN {
        assert!(restore(golden.base, golden.archive).unwrap() == golden.target, "{}", golden.name);
    }
}

#[test]
fn a_golden_prediction_restores() {
    let archive = include_bytes!("../vectors/mini/sft-bf16.predicted.v2.bitx");
    assert!(inspect(archive).unwrap().tensors.iter().any(|tensor| tensor.prediction.is_some()));
    assert_eq!(sha256(&restore(PAIRS[0].base, archive).unwrap()), PAIRS[0].sha256);
}

#[test]
fn tensors_alone_restore_from_bytes_alone() {
    let target: Vec<u8> = (0..4096u32).flat_map(|i| (0x3C00 + (i * i % 977) as u16).to_le_bytes()).collect();
    let base: Vec<u8> =
        (0..4096u32).flat_map(|i| (0x3C00 + (i * i % 977) as u16 + (i % 7 == 0) as u16).to_le_bytes()).collect();
    let code = |base: &[&dyn ReadAt]| {
        let mut job = Compress::tensor(Dtype::BF16, &[64, 64], !base.is_empty(), Effort::Default).unwrap();
        let mut archive = Vec::new();
        let sources = Sources { base, target: Some(&target.as_slice()), ..Default::default() };
        drive::drive(&mut job, &sources, &Sequential, &mut archive, &mut |_| {}).unwrap();
        archive
    };
    let (alone, delta) = (code(&[]), code(&[&base.as_slice()]));
    assert!(delta.len() * 2 < alone.len() && alone.len() < target.len());
    assert!(restore(b"", &alone).unwrap() == target);
    assert!(restore(&base, &delta).unwrap() == target);
    assert!(reference::restore(&[&base], &delta).unwrap() == target);
    assert_eq!(restore(&target, &delta).unwrap_err().kind(), ErrorKind::BaseMismatch);
    assert_eq!(
        Compress::tensor(Dtype::F4, &[3], false, Effort::Default).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn base_files_that_give_nothing_can_be_left_out() {
    let words = |start: u32| -> Vec<u8> {
        (0..4096u32).flat_map(|i| (0x3C00 + ((i + start) * 7919 % 977) as u16).to_le_bytes()).collect()
    };
    let file = |name, start| model(&[(name, "BF16", &[64, 64], &words(start))]);
    let (bases, target) = ([file("a", 1), file("b", 2000), file("c", 4000)], file("b", 2000));
    let files: Vec<&[u8]> = bases.iter().map(Vec::as_slice).collect();
    let sources: Vec<&dyn ReadAt> = files.iter().map(|file| file as &dyn ReadAt).collect();
    let lengths: Vec<u64> = bases.iter().map(|file| file.len() as u64).collect();
    let code = |compress: Compress| {
        let (mut job, mut archive) = (compress.job(), Vec::new());
        let inputs = Sources { base: &sources, target: Some(&target.as_slice()), ..Default::default() };
        drive::open(&mut job, &inputs).unwrap();
        drive::drive(&mut job, &inputs, &Sequential, &mut archive, &mut |_| {}).unwrap();
        let numbers: Vec<usize> = job.report().unwrap().bases.iter().map(|base| base.file).collect();
        (archive, numbers)
    };
    let compress = || Compress::new(&lengths, target.len() as u64, V2).unwrap();
    let (all, few) = (code(compress()), code(compress().only_used_bases()));
    assert_eq!((all.1, few.1), (vec![0, 1, 2], vec![1]));
    let report = inspect(&few.0).unwrap();
    assert_eq!((report.bases.len(), report.bases[0].file), (1, 0));
    assert_eq!(report.bases[0].blake3, *blake3::hash(&bases[1]).as_bytes());
    assert!(restore(&bases[1], &few.0).unwrap() == target);
    assert!(reference::restore(&[&bases[1]], &few.0).unwrap() == target);
    assert!(restore(&bases[0], &few.0).is_err());
}

/// A digest that the host tells is the one in the archive, right or wrong, and costs no read.
#[test]
fn digests_that_are_known_are_not_computed() {
    let pair = &PAIRS[0];
    let target = restore(pair.base, pair.archive).unwrap();
    let stranger = vec![7; 100_000];
    let code = |base: &[u8], digest: Option<[u8; 32]>| {
        let compress = Compress::new(&[base.len() as u64], target.len() as u64, V2).unwrap();
        let mut job = match digest {
            Some(digest) => compress.with_base_digest(0, digest).job(),
            None => compress.job(),
        };
        let (inputs, mut archive) =
            (Sources { base: &[&base], target: Some(&target.as_slice()), ..Default::default() }, Vec::new());
        drive::open(&mut job, &inputs).unwrap();
        let windows = 0..job.windows().unwrap();
        let reads = windows.flat_map(|window| job.reads(window).unwrap()).filter(|read| read.source == Source::Base(0));
        let read: u64 = reads.map(|read| read.length).sum();
        drive::drive(&mut job, &inputs, &Sequential, &mut archive, &mut |_| {}).unwrap();
        (archive, read)
    };
    let right = *blake3::hash(pair.base).as_bytes();
    assert!(code(pair.base, Some(right)).0 == compress(pair.base, &target, V2).unwrap());
    let (archive, read) = code(&stranger, Some([9; 32]));
    assert_eq!((inspect(&archive).unwrap().bases[0].blake3, read), ([9; 32], 0));
    let (archive, read) = code(&stranger, None);
    assert_eq!((inspect(&archive).unwrap().bases[0].blake3, read), (*blake3::hash(&stranger).as_bytes(), 100_000));
}

#[test]
fn archives_restore_and_are_the_same_everywhere() {
    for (pair, digests) in PAIRS.iter().zip(V2_ARCHIVES) {
        let target = restore(pair.base, pair.archive).unwrap();
        for (effort, digest) in EFFORTS.into_iter().zip(digests) {
            let archive = compress(pair.base, &target, Format::V2 { effort }).unwrap();
            assert!(restore(pair.base, &archive).unwrap() == target, "{} {effort:?}", pair.name);
            assert_eq!(sha256(&archive), digest, "{} {effort:?}", pair.name);
        }
    }
}

#[test]
fn words_that_fill_no_vector_restore_and_are_the_same_everywhere() {
    let (base, target) = ragged::pair();
    let digests = EFFORTS.map(|effort| {
        let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
        assert!(restore(&base, &archive).unwrap() == target, "{effort:?}");
        sha256(&archive)
    });
    assert_eq!(digests, ragged::ARCHIVES);
}

/// Inputs that are in memory as a whole, as the store has them.
#[test]
fn inputs_in_memory_give_the_same_archive() {
    let pair = &PAIRS[0];
    let target = restore(pair.base, pair.archive).unwrap();
    let mut job = Compress::new(&[pair.base.len() as u64], target.len() as u64, V2).unwrap().job();
    let given = [(Source::Base(0), Arc::new(pair.base) as _), (Source::Target, Arc::new(target.clone()) as _)];
    let (inputs, mut archive) = (Inputs::whole(given.into()), Vec::new());
    drive::open_whole(&mut job, &inputs).unwrap();
    drive::drive_whole(&mut job, &inputs, &Sequential, &mut archive).unwrap();
    assert!(archive == compress(pair.base, &target, V2).unwrap());
}

/// Bounds of `docs/BENCHMARKS.md`, as shares of the target: a change that loses size shows here.
#[test]
fn archives_are_as_small_as_they_were() {
    let bounds = [0.255, 0.0175, 0.149, 0.365, 0.592];
    for (pair, bound) in PAIRS.iter().zip(bounds) {
        let target = restore(pair.base, pair.archive).unwrap();
        let archive = compress(pair.base, &target, V2).unwrap();
        let ratio = archive.len() as f64 / target.len() as f64;
        assert!(ratio < bound, "{}: {ratio}", pair.name);
    }
}

/// Every byte of any file is kept: holes, trailing bytes, files of no known kind.
#[test]
fn any_file_comes_back() {
    let json =
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}"#;
    let long: Vec<u8> = (0..20_000u32).map(|i| (i * i >> 7) as u8).collect();
    let files = [
        vec![],
        vec![7],
        b"just some text".to_vec(),
        long.clone(),
        model(&[]),
        model(&[("e", "F32", &[0, 3], &[]), ("s", "F64", &[], &[1; 8]), ("f4", "F4", &[2, 3], &[1, 2, 3])]),
        with_header(json, &[9, 7, 8, 5, 4, 9, 0, 1, 2]),
        with_header(json, &[&[9, 7, 8, 5, 4, 9][..], &long].concat()),
    ];
    for base in &files {
        for target in &files {
            let archive = compress(base, target, V2).unwrap();
            assert!(restore(base, &archive).unwrap() == *target);
            assert!(archive.len() < target.len() + 700, "{} -> {}", target.len(), archive.len());
        }
    }
}

#[test]
fn a_wrong_base_is_always_an_error_that_names_the_tensor() {
    let pair = &PAIRS[0];
    let target = restore(pair.base, pair.archive).unwrap();
    let archive = compress(pair.base, &target, V2).unwrap();
    let mut other = pair.base.to_vec();
    let last = other.len() - 1000;
    other[last] ^= 1;
    for base in [other, target] {
        let error = restore(&base, &archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BaseMismatch, "{error}");
        assert!(error.tensor_name().is_some_and(|name| name.contains('.')), "{error}");
    }
}

/// A base of two tensors, and a target with one moved and one new: small, and of every kind.
fn small() -> (Vec<u8>, Vec<u8>) {
    let bytes: Vec<u8> = (0..2400u32).map(|i| if i % 2 == 0 { (i * i >> 5) as u8 } else { 0x3d }).collect();
    let moved: Vec<u8> = bytes.iter().enumerate().map(|(i, b)| b.wrapping_add(u8::from(i % 6 == 0))).collect();
    let base = model(&[("same", "F32", &[30], &bytes[..120]), ("w", "BF16", &[30, 40], &bytes)]);
    let target = model(&[
        ("same", "F32", &[30], &bytes[..120]),
        ("new", "F16", &[50], &moved[..100]),
        ("w", "BF16", &[30, 40], &moved),
        ("tied", "BF16", &[40, 30], &moved),
    ]);
    (base, target)
}

#[test]
fn every_truncation_and_every_flip_is_noticed() {
    let (base, target) = small();
    let archive = compress(&base, &target, Format::V2 { effort: Effort::Max }).unwrap();
    assert!(restore(&base, &archive).unwrap() == target);
    for length in 0..archive.len() {
        restore(&base, &archive[..length]).expect_err("a truncation");
        restore_shared(&base, &archive[..length]).expect_err("a truncation");
    }
    for bit in 0..archive.len() * 8 {
        let mut flipped = archive.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        restore(&base, &flipped).expect_err("a flip");
        restore_shared(&base, &flipped).expect_err("a flip");
    }
    let error = restore(&base, &[&archive[..], &[0]].concat()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn each_tensor_gets_the_method_that_fits() {
    let (base, target) = small();
    let report = inspect(&compress(&base, &target, V2).unwrap()).unwrap();
    let methods: Vec<_> = report.tensors.iter().map(|t| (t.name.as_str(), t.method)).collect();
    let want = [("same", Method::CopyBase), ("w", Method::Delta), ("tied", Method::CopyEarlier)];
    want.iter().for_each(|row| assert!(methods.contains(row), "{methods:?}"));
    assert_eq!(report.restored_bytes, target.len() as u64);
    assert_eq!(report.blake3, Some(*blake3::hash(&target).as_bytes()));
}

#[test]
fn renamed_tensors_pair_by_content() {
    let bytes: Vec<u8> = (0..60_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 19) as u8).collect();
    let base = model(&[("model.w", "BF16", &[300, 100], &bytes)]);
    let target = model(&[("w", "BF16", &[300, 100], &bytes)]);
    let archive = compress(&base, &target, V2).unwrap();
    assert!(archive.len() < 500, "{}", archive.len());
    assert!(restore(&base, &archive).unwrap() == target);
}

#[test]
fn several_files_serve_as_one_base() {
    let (base, target) = small();
    let bytes: Vec<u8> = (0..80u32).map(|i| i as u8).collect();
    let shards = [base, model(&[("new", "F16", &[50], &[5; 100]), ("other", "U8", &[80], &bytes)])];
    let lengths = shards.each_ref().map(|shard| shard.len() as u64);
    let files: Vec<&[u8]> = shards.iter().map(Vec::as_slice).collect();
    let bases: Vec<&dyn ReadAt> = files.iter().map(|file| file as &dyn ReadAt).collect();
    let target_slice = target.as_slice();
    let mut archive = Vec::new();
    let mut job = Compress::new(&lengths, target.len() as u64, V2).unwrap().job();
    run(&mut job, &Sources { base: &bases, target: Some(&target_slice), ..Sources::default() }, &mut archive).unwrap();
    let archive = archive.as_slice();
    let mut restored = Vec::new();
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    run(&mut Restore::new(&lengths, archive.len() as u64).job(), &sources, &mut restored).unwrap();
    assert!(restored == target);
    let error =
        run(&mut Restore::new(&lengths[..1], archive.len() as u64).job(), &sources, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, DriveError::Job(e) if e.kind() == ErrorKind::BaseMismatch));
}

fn run(job: &mut Job, sources: &Sources<'_>, output: &mut Vec<u8>) -> Result<(), DriveError> {
    drive::open(job, sources)?;
    drive::drive(job, sources, &Sequential, output, &mut |_| {})
}

/// A source that counts what is read of it.
struct Counting<'a>(&'a [u8], Mutex<u64>);

impl ReadAt for Counting<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        *self.1.lock().unwrap() += buffer.len() as u64;
        self.0.read_at(offset, buffer)
    }
}

#[test]
fn one_tensor_is_restored_from_its_bytes_alone() {
    let weights: Vec<u8> = (0..6_000_000u32).map(|i| if i % 2 == 1 { 0x3c } else { (i * 7 >> 4) as u8 }).collect();
    let moved: Vec<u8> = weights.iter().enumerate().map(|(i, b)| b ^ u8::from(i % 4 == 0)).collect();
    let shape: &[u64] = &[3000, 1000];
    let base = model(&[
        ("a", "BF16", shape, &weights),
        ("small", "F32", &[25], &weights[..100]),
        ("b", "BF16", shape, &weights),
    ]);
    let target =
        model(&[("a", "BF16", shape, &moved), ("small", "F32", &[25], &moved[..100]), ("b", "BF16", shape, &moved)]);
    let archive = compress(&base, &target, V2).unwrap();
    for (name, want, most) in [("small", &moved[..100], 140_000 + 400), ("b", &moved, 140_000 + 6_000_000)] {
        let (base, delta) = (Counting(&base, Mutex::default()), Counting(&archive, Mutex::default()));
        let bases: [&dyn ReadAt; 1] = [&base];
        let sources = Sources { base: &bases, delta: Some(&delta), ..Sources::default() };
        let mut tensor = Vec::new();
        run(&mut Restore::new(&[base.len()], delta.len()).tensor(name).job(), &sources, &mut tensor).unwrap();
        assert!(tensor == want, "{name}");
        // The base's header and the tensor's range; the archive's two ends and the tensor's chunks.
        assert!(*base.1.lock().unwrap() <= most, "{name}: {} of the base", base.1.lock().unwrap());
        assert!(
            *delta.1.lock().unwrap() < 140_000 + archive.len() as u64,
            "{name}: {} of the archive",
            delta.1.lock().unwrap()
        );
    }
    let error = restore_tensor(&base, &archive, "nothing").unwrap_err();
    assert!(error.to_string().contains("no such tensor"), "{error}");
}

fn restore_tensor(base: &[u8], archive: &[u8], name: &str) -> Result<Vec<u8>, DriveError> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    let mut tensor = Vec::new();
    run(&mut Restore::new(&[base.len() as u64], archive.len() as u64).tensor(name).job(), &sources, &mut tensor)?;
    Ok(tensor)
}

#[test]
fn v1_archives_give_single_tensors_too() {
    let pair = &PAIRS[0];
    let whole = restore(pair.base, pair.archive).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    for (name, view) in tensors.tensors() {
        assert!(restore_tensor(pair.base, pair.archive, &name).unwrap() == view.data(), "{name}");
    }
}
