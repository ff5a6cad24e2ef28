//! The limits that a host sets: the length of the output, and the bytes that a window holds.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::{Inputs, ReadAt};
use bitx::parallel::Sequential;
use bitx::{Error, ErrorKind, Format, Restore};
use common::forge::{self, Record, string, varint, xxh3};
use common::{compress, model, restore, restore_shared};

/// Restores with these settings, and returns the output, and the most bytes that a window held.
fn run(settings: Restore, base: &[u8], archive: &[u8]) -> Result<(Vec<u8>, u64), Error> {
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    let failed = |error| match error {
        DriveError::Job(error) => error,
        other => panic!("slices do not fail: {other}"),
    };
    let mut job = settings.job();
    drive::open(&mut job, &sources).map_err(failed)?;
    let (mut inputs, mut bytes, mut restored, mut most) = (Inputs::default(), Vec::new(), Vec::new(), 0);
    for window in 0..job.windows()? {
        let read: u64 = job.reads(window)?.iter().map(|read| read.length).sum();
        drive::fetch(&job, window, &sources, &mut inputs).map_err(failed)?;
        job.run(window, &inputs, &Sequential, &mut bytes)?;
        most = most.max(read + bytes.len() as u64);
        restored.extend_from_slice(&bytes);
    }
    Ok((restored, most))
}

fn settings(base: &[u8], archive: &[u8]) -> Restore {
    Restore::new(&[base.len() as u64], archive.len() as u64)
}

fn refused(result: Result<(Vec<u8>, u64), Error>) -> ErrorKind {
    result.expect_err("an output above the limit").kind()
}

/// A base and a target of several windows.
fn pair() -> (Vec<u8>, Vec<u8>) {
    let base: Vec<u8> = (0..24u32 << 20).map(|i| (i.wrapping_mul(i) >> 9) as u8 & 0x3f).collect();
    let target: Vec<u8> = base.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i % 7 == 0)).collect();
    let shape = [3 << 10, 4 << 10];
    (model(&[("w", "BF16", &shape, &base)]), model(&[("w", "BF16", &shape, &target)]))
}

#[test]
fn outputs_above_the_limit_are_refused_before_a_window_runs() {
    let bytes = [7; 1000];
    let file = model(&[("w", "U8", &[1000], &bytes)]);
    for format in [Format::V1 { level: 3 }, Format::default()] {
        let archive = compress(&file, &file, format).unwrap();
        let length = file.len() as u64;
        let limited = |most| run(settings(&file, &archive).max_output(most), &file, &archive);
        assert_eq!(limited(length).unwrap().0, file);
        assert_eq!(refused(limited(length - 1)), ErrorKind::Limit);
        assert_eq!(refused(limited(0)), ErrorKind::Limit);
        // A single tensor is compared by its own length.
        let tensor = |most| run(settings(&file, &archive).tensor("w").max_output(most), &file, &archive);
        assert_eq!(tensor(1000).unwrap().0, bytes);
        assert_eq!(refused(tensor(999)), ErrorKind::Limit);
        assert_eq!(refused(run(settings(&file, &archive).shared().max_output(9), &file, &archive)), ErrorKind::Limit);
    }
}

/// A few hundred bytes that restore to 16 GB: nothing of it is made before the limit is compared.
#[test]
fn a_bomb_of_equal_tensors_is_refused() {
    let item = |kind: u8, rest: &[u8]| [&[kind, 0, 21, 1][..], &varint(1 << 20), rest].concat();
    let items = [item(1, &[]), item(3, &[0]).repeat(1999)].concat();
    let head = [vec![0, 0], varint(2000), items].concat();
    let archive = forge::archive(&head, &[Record::new(1, &[0; 100])]);
    assert!(archive.len() < 1000);
    assert_eq!(refused(run(settings(&[], &archive).max_output(1 << 30), &[], &archive)), ErrorKind::Limit);
}

#[test]
fn windows_become_as_small_as_the_host_asks() {
    let (base, target) = pair();
    for format in [Format::V1 { level: 3 }, Format::default()] {
        let archive = compress(&base, &target, format).unwrap();
        let (restored, usual) = run(settings(&base, &archive), &base, &archive).unwrap();
        assert!(restored == target);
        let most = 16 << 20;
        let (restored, small) = run(settings(&base, &archive).max_window(most), &base, &archive).unwrap();
        assert!(restored == target && small <= most && small < usual, "{format:?}: {small} and {usual}");
        // One thread needs no chunks for others.
        let (restored, small) = run(settings(&base, &archive).one_thread(), &base, &archive).unwrap();
        assert!(restored == target && small < usual / 2, "{format:?}: {small} and {usual}");
        // No piece fits.
        assert_eq!(refused(run(settings(&base, &archive).max_window(1 << 20), &base, &archive)), ErrorKind::Limit);
    }
}

/// A stream without a table of parts may be as long as the archive, whatever it restores to.
#[test]
fn a_window_of_v1_holds_no_more_than_the_limit() {
    let json = br#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    let header = [&(json.len() as u64).to_le_bytes()[..], json].concat();
    let stream = vec![0; 3 << 20];
    let lengths = [0, stream.len() as u64].map(u64::to_le_bytes).concat();
    let front = [&b"BITXv001"[..], &(header.len() as u64).to_le_bytes(), &header].concat();
    let entry = [&1u32.to_le_bytes()[..], &1u32.to_le_bytes(), b"a", &[1], &lengths, &stream].concat();
    let archive = [front, entry].concat();
    let base = model(&[]);
    assert_eq!(refused(run(settings(&base, &archive).max_window(2 << 20), &base, &archive)), ErrorKind::Limit);
    assert_eq!(refused(run(settings(&base, &archive), &base, &archive)), ErrorKind::Corrupt);
}

/// Regions of a byte, each further behind the last one in the base than ranges are joined over, and
/// nearer than that.
#[test]
fn bytes_here_and_there_do_not_read_all_of_the_base() {
    const COUNT: u64 = 10_000;
    const STEP: u64 = 4097;
    let base = vec![5; (COUNT * STEP) as usize];
    let item = |i: u64| [&[2, 0, 4, 1, 1, 0][..], &partner(&(i * STEP).to_string())].concat();
    let items: Vec<u8> = (0..COUNT).flat_map(item).collect();
    let head = [vec![0, 1], varint(base.len() as u64), vec![3], varint(COUNT), items].concat();
    let sum = xxh3(&[5]);
    let records: Vec<Record> = (0..COUNT).map(|_| Record { sums: [sum; 2], ..Record::new(2, &[]) }).collect();
    let archive = forge::archive(&head, &records);
    let (restored, most) = run(settings(&base, &archive), &base, &archive).unwrap();
    assert!(restored == vec![5; COUNT as usize] && most < 2 << 20, "{most} bytes");
}

/// Regions of a byte, each of which resembles other megabytes of the base.
#[test]
fn stretches_of_the_base_do_not_gather_in_a_window() {
    const STRETCH: u64 = 2 << 20;
    let base = vec![5; 40 * STRETCH as usize];
    let item = |i: u64| [&[5, 0, 4, 1, 1, 0][..], &varint(i * STRETCH), &varint(STRETCH)].concat();
    let items: Vec<u8> = (0..40).flat_map(item).collect();
    let head = [vec![0, 1], varint(base.len() as u64), vec![3], varint(40), items].concat();
    let record = || Record { sums: [xxh3(&[9]), xxh3(&base[..STRETCH as usize])], ..Record::new(0, &[9]) };
    let archive = forge::archive(&head, &(0..40).map(|_| record()).collect::<Vec<_>>());
    let (restored, most) = run(settings(&base, &archive), &base, &archive).unwrap();
    assert!(restored == vec![9; 40] && most < 40 << 20, "{most} bytes");
}

/// A partner's name, with its length plus 1.
fn partner(name: &str) -> Vec<u8> {
    [varint(name.len() as u64 + 1), name.as_bytes().to_vec()].concat()
}

/// The format lets a region have factors that none of its chunks uses.
#[test]
fn factors_that_no_chunk_uses_are_read_past() {
    let data: Vec<u8> = (0..4096u32).map(|i| i as u8).collect();
    let base = model(&[("a", "BF16", &[32, 64], &data)]);
    let head = [&[0, 1][..], &varint(base.len() as u64), &[1, 1, 2], &string(b"a"), &[14, 2, 32, 64, 0, 0]].concat();
    let copy = Record { sums: [xxh3(&data); 2], ..Record::new(2, &[]) };
    let stored = Record { sums: [xxh3(&data); 2], ..Record::new(0, &data) };
    for chunk in [copy, stored] {
        let archive = forge::archive(&head, &[Record::zero_factors(1, 64), chunk]);
        assert!(restore(&base, &archive).unwrap() == data);
        assert!(restore_shared(&base, &archive).unwrap() == data);
        let tensor = run(settings(&base, &archive).tensor("a"), &base, &archive).unwrap();
        assert!(tensor.0 == data && tensor.1 < 13_000);
    }
}
