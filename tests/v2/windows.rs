//! Windows: however a host divides the work, the bytes are the same.

use std::sync::Arc;

use bitx::drive::{self, Sources};
use bitx::io::{Inputs, ReadAt, Source};
use bitx::parallel::Sequential;
use bitx::{Compress, ErrorKind, Format, Job, Restore};

use super::V2;
use super::common::{self, EFFORTS, PAIRS, compress, inspect, model, restore, restore_shared, sha256};

/// A host may choose how much of the target a window has, and gets the same archive.
#[test]
fn smaller_windows_make_the_same_archive() {
    let base = PAIRS[0].base;
    let target = restore(base, PAIRS[0].archive).unwrap();
    let code = |most: Option<u64>| {
        let compress = Compress::new(&[base.len() as u64], target.len() as u64, V2).unwrap();
        let mut job = if let Some(most) = most { compress.max_window(most).job() } else { compress.job() };
        let sources = Sources { base: &[&base], target: Some(&target.as_slice()), ..Default::default() };
        drive::open(&mut job, &sources).unwrap();
        let (windows, mut archive) = (job.windows().unwrap(), Vec::new());
        drive::drive(&mut job, &sources, &Sequential, &mut archive, &mut |_| {}).unwrap();
        (windows, archive)
    };
    let (windows, archive) = code(None);
    for most in [300_000, 0] {
        let (more, same) = code(Some(most));
        assert!(more > windows && same == archive, "{more} windows");
    }
}

/// A model of several shared windows, predicted chunks and copies of earlier regions among them.
#[test]
fn windows_may_be_shared() {
    let weights: Vec<u8> = (0..10_000_000u32).map(|i| if i % 2 == 1 { 0x3c } else { (i * 7 >> 4) as u8 }).collect();
    let moved: Vec<u8> = weights.iter().enumerate().map(|(i, b)| b ^ u8::from(i % 4 == 0)).collect();
    let shape: &[u64] = &[5000, 1000];
    let tied = |bytes: &[u8]| model(&["a", "b", "c"].map(|name| (name, "BF16", shape, bytes)));
    let (base, target) = (tied(&weights), [&tied(&moved)[..], b"trailing"].concat());
    for (format, target) in [(V2, target), (Format::V1 { level: 3 }, tied(&moved))] {
        let archive = compress(&base, &target, format).unwrap();
        assert!(restore_shared(&base, &archive).unwrap() == target, "{format:?}");
        assert!(restore(&base, &archive).unwrap() == target, "{format:?}");
    }
    for pair in PAIRS {
        assert_eq!(sha256(&restore_shared(pair.base, pair.archive).unwrap()), pair.sha256, "{}", pair.name);
    }
}

/// A model whose predicted region takes several windows, behind which another region begins.
#[test]
fn windows_may_be_coded_apart() {
    const ROWS: usize = 3000;
    const COLUMNS: usize = 4000;
    let noise = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 7 & 0xffff) as f32 / 65536.0 - 0.5;
    let bf16 = |value: f32| ((value.to_bits() + 0x8000) >> 16) as u16;
    let weight = |i: usize| 0.05 * noise(i);
    let moved = |i: usize| weight(i) + 0.01 * noise(i / COLUMNS * 31 + 5) * noise(i % COLUMNS * 17 + 3);
    let words = |weight: &dyn Fn(usize) -> f32, count: usize| -> Vec<u8> {
        (0..count).flat_map(|i| bf16(weight(i)).to_le_bytes()).collect()
    };
    let file = |weight: &dyn Fn(usize) -> f32| {
        let (shape, words) = ([ROWS as u64, COLUMNS as u64], words(weight, ROWS * COLUMNS));
        let small = [("b", "BF16", &[100, COLUMNS as u64][..], &words[..200 * COLUMNS])];
        model(&[&[("a", "BF16", &shape[..], &words[..])][..], &small, &[("c", "BF16", &shape, &words)]].concat())
    };
    let (base, target) = (file(&weight), [&file(&moved)[..], b"trailing"].concat());
    let archive = compress(&base, &target, V2).unwrap();
    let predicted = inspect(&archive).unwrap().tensors.into_iter().filter(|tensor| tensor.prediction.is_some());
    assert!(predicted.map(|tensor| tensor.name).any(|name| name == "a"));
    assert!(common::compress_apart(&base, &target, V2).unwrap() == archive);
    for effort in EFFORTS {
        let (base, target) = (PAIRS[0].base, restore(PAIRS[0].base, PAIRS[0].archive).unwrap());
        let format = Format::V2 { effort };
        assert!(common::compress_apart(base, &target, format).unwrap() == compress(base, &target, format).unwrap());
    }
    let v1 = common::compress_apart(PAIRS[0].base, PAIRS[0].base, Format::V1 { level: 3 });
    assert_eq!(v1.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn only_an_open_restore_that_is_shared_has_siblings() {
    let pair = &PAIRS[0];
    let lengths = ([pair.base.len() as u64], pair.archive.len() as u64);
    let refused = |job: &Job| assert_eq!(job.sibling().unwrap_err().kind(), ErrorKind::InvalidArgument);
    refused(&Restore::new(&lengths.0, lengths.1).shared().job());
    let mut alone = Restore::new(&lengths.0, lengths.1).job();
    let inputs = Inputs::whole(vec![(Source::Base(0), Arc::new(pair.base)), (Source::Delta, Arc::new(pair.archive))]);
    drive::open_whole(&mut alone, &inputs).unwrap();
    refused(&alone);
}

/// Whole files are digested beside the chunks, in shares: however little there is to code, no
/// window reads much.
#[test]
fn no_window_reads_much_however_little_is_coded() {
    let zeros = vec![0; 48 << 20];
    let shape: &[u64] = &[4 << 20];
    let sixth = &zeros[..8 << 20];
    let names = ["a", "b", "c", "d", "e", "f"];
    let tied: Vec<_> = names.iter().map(|name| (*name, "BF16", shape, sixth)).collect();
    let (tied, tiny) = (model(&tied), model(&[("a", "U8", &[1], &[1])]));
    for (base, target) in [(&tied, &tied), (&tied, &tiny), (&tiny, &tied)] {
        let bases: [&dyn ReadAt; 1] = [&base.as_slice()];
        let sources = Sources { base: &bases, target: Some(&target.as_slice()), ..Sources::default() };
        let mut job = Compress::new(&[base.len() as u64], target.len() as u64, V2).unwrap().job();
        drive::open(&mut job, &sources).unwrap();
        assert_eq!((job.progress(0).unwrap(), job.progress(job.windows().unwrap()).unwrap()), (0, target.len() as u64));
        for window in 0..job.windows().unwrap() {
            let read: u64 = job.reads(window).unwrap().iter().map(|read| read.length).sum();
            assert!(read <= 65 << 20, "window {window} reads {read}");
        }
        let archive = compress(base, target, V2).unwrap();
        assert!(restore(base, &archive).unwrap() == *target);
    }
}
