//! Whole files: the committed vectors, layouts, several base files and none, and damage.

use bitx::drive::{self, Sources};
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{Compress, Format, Job, Restore};

use super::samples::{agree, random, weights};
use crate::common::gguf::gguf;
use crate::common::{GOLDEN, PAIRS, compress, model, restore, with_header};
use crate::reference;

#[test]
fn agrees_on_every_vector() {
    for golden in &GOLDEN {
        assert!(reference::restore(&[golden.base], golden.archive).unwrap() == golden.target, "{}", golden.name);
    }
    for pair in &PAIRS {
        agree(pair.base, &restore(pair.base, pair.archive).unwrap());
    }
    let (bf16, f32) = (&PAIRS[0], &PAIRS[4]);
    agree(&[], bf16.base);
    agree(&[], f32.base);
    agree(bf16.base, f32.base);
}

#[test]
fn agrees_on_files_of_every_kind() {
    let json = r#"{"a\u00e9\ud83d\ude00":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},
        "b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]},"__metadata__":{"k":"v"}}"#;
    let long = random(20_000);
    let (from, to) = weights(2, 3000);
    let files = [
        vec![],
        vec![7],
        long.clone(),
        model(&[]),
        with_header(json, &[9, 7, 8, 5, 4, 9, 0, 1, 2]),
        with_header(json, &[&[9, 7, 8, 5, 4, 9][..], &long].concat()),
        model(&[("w", "BF16", &[30, 100], &from)]),
        model(&[("w", "BF16", &[30, 100], &to), ("tied", "BF16", &[100, 30], &to), ("e", "F32", &[0], &[])]),
        model(&[("renamed", "BF16", &[30, 100], &from)]),
    ];
    for base in &files {
        for target in &files {
            agree(base, target);
        }
    }
}

#[test]
fn agrees_on_gguf() {
    let (from, to) = weights(2, 3000);
    let blocks = random(1000);
    let build = |bytes: &[u8], name| {
        gguf(&[
            ("half", &[100, 15], 1, &bytes[..3000]),
            (name, &[1000], 8, &blocks),
            ("b", &[30, 50], 30, &bytes[3000..]),
        ])
    };
    let (base, target) = (build(&from, "blocks"), build(&to, "renamed"));
    agree(&base, &target);
    agree(&[], &target);
    agree(&model(&[("half", "F16", &[15, 100], &from[..3000])]), &target);
    let archive = compress(&base, &target, Format::default()).unwrap();
    assert!(archive.len() < 3000, "tensors did not pair: {}", archive.len());
}

#[test]
fn agrees_on_several_base_files_and_none() {
    let (from, to) = weights(4, 2000);
    let shards =
        [model(&[("a", "F32", &[1000], &from[..4000])]), model(&[("b", "F32", &[1000], &from[4000..])]), random(500)];
    let bases = shards.each_ref().map(Vec::as_slice);
    let target = model(&[("b", "F32", &[1000], &to[4000..]), ("a", "F32", &[1000], &to[..4000])]);
    let archive = compress_against(&bases, &target);
    assert!(restore_against(&bases, &archive) == target);
    assert!(reference::restore(&bases, &archive).unwrap() == target);
    reference::restore(&bases[..2], &archive).unwrap_err();
    let archive = compress_against(&[], &target);
    assert!(restore_against(&[], &archive) == target);
    assert!(reference::restore(&[], &archive).unwrap() == target);
}

fn compress_against(bases: &[&[u8]], target: &[u8]) -> Vec<u8> {
    let lengths: Vec<u64> = bases.iter().map(|base| base.len()).collect();
    let mut job = Compress::new(&lengths, target.len() as u64, Format::default()).unwrap().job();
    let bases: Vec<_> = bases.iter().map(|base| base as &dyn ReadAt).collect();
    run(&mut job, &Sources { base: &bases, target: Some(&target), ..Sources::default() })
}

fn restore_against(bases: &[&[u8]], archive: &[u8]) -> Vec<u8> {
    let lengths: Vec<u64> = bases.iter().map(|base| base.len()).collect();
    let bases: Vec<_> = bases.iter().map(|base| base as &dyn ReadAt).collect();
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    run(&mut Restore::new(&lengths, archive.len() as u64).job(), &sources)
}

fn run(job: &mut Job, sources: &Sources<'_>) -> Vec<u8> {
    let mut output = Vec::new();
    drive::open(job, sources).unwrap();
    drive::drive(job, sources, &Sequential, &mut output, &mut |_| {}).unwrap();
    output
}

#[test]
fn refuses_what_the_crate_refuses() {
    let (from, to) = weights(2, 600);
    let base = model(&[("w", "BF16", &[6, 100], &from)]);
    let archive = agree(&base, &model(&[("w", "BF16", &[6, 100], &to)])).pop().unwrap();
    for length in 0..archive.len() {
        reference::restore(&[&base], &archive[..length]).unwrap_err();
    }
    for bit in 0..archive.len() * 8 {
        let mut flipped = archive.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        reference::restore(&[&base], &flipped).unwrap_err();
    }
    let mut other = base.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(reference::restore(&[&other], &archive).unwrap_err(), "a wrong base");
}
