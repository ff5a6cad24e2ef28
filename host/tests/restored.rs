//! Reads of a restored file by position, against the file.

use std::sync::Arc;

use bitx::drive::{self, DriveError, Sources};
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{Compress, Effort, ErrorKind, Format};
use bitx_host::{Restored, Shared, order};

/// A safetensors file of `tensors` BF16 matrices of 2 MiB, whose words are made from `seed`.
fn model(tensors: usize, seed: u32) -> Vec<u8> {
    const LENGTH: usize = 2 << 20;
    let entry = |i: usize| {
        let (begin, end) = (i * LENGTH, (i + 1) * LENGTH);
        format!(r#""t{i}":{{"dtype":"BF16","shape":[1024,1024],"data_offsets":[{begin},{end}]}}"#)
    };
    let json = format!("{{{}}}", (0..tensors).map(entry).collect::<Vec<_>>().join(","));
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    let word =
        |i: u32| 0x3c00 + (i.wrapping_mul(2_654_435_761) >> 24) as u16 + u16::from(i.is_multiple_of(37)) * seed as u16;
    bytes.extend((0..(tensors * LENGTH / 2) as u32).flat_map(|i| word(i).to_le_bytes()));
    bytes
}

fn compress(base: &[&dyn ReadAt], target: &[u8]) -> Vec<u8> {
    let lengths: Vec<u64> = base.iter().map(|file| file.len()).collect();
    let format = Format::V2 { effort: Effort::Fast };
    let mut job = Compress::new(&lengths, target.len() as u64, format).unwrap().job();
    let sources = Sources { base, target: Some(&target), ..Sources::default() };
    drive::open(&mut job, &sources).unwrap();
    let mut archive = Vec::new();
    drive::drive(&mut job, &sources, &Sequential, &mut archive, &mut |_| {}).unwrap();
    archive
}

/// Bytes in memory that several threads share.
struct Held(Vec<u8>);

impl ReadAt for Held {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.as_slice().read_at(offset, buffer)
    }
}

fn open(base: Vec<u8>, archive: Vec<u8>, threads: usize) -> Restored {
    let base: Vec<Shared> = vec![Arc::new(Held(base))];
    Restored::open(base, Arc::new(Held(archive)), threads).unwrap()
}

#[test]
fn every_range_is_that_of_the_restored_file() {
    let (base, target) = (model(8, 0), model(8, 3));
    let archive = compress(&[&base.as_slice()], &target);
    for threads in [1, 3] {
        let restored = open(base.clone(), archive.clone(), threads);
        assert_eq!(restored.len(), target.len() as u64);
        let end = target.len();
        let ranges = [0..0, 0..8, 7..5000, 3_000_000..3_000_001, 1_000_000..13_000_000, end - 9..end, end..end, 0..end];
        for range in ranges.into_iter().flat_map(|range| [range.clone(), range]) {
            let mut found = vec![0; range.len()];
            restored.read(range.start as u64, &mut found).unwrap();
            assert!(found == target[range.clone()], "{threads} threads, {range:?}");
        }
    }
}

#[test]
fn a_read_behind_the_end_is_refused() {
    let base = model(1, 0);
    let restored = open(base.clone(), compress(&[&base.as_slice()], &base), 2);
    for offset in [restored.len() - 1, restored.len(), u64::MAX - 1] {
        assert!(matches!(restored.read(offset, &mut [0; 2]), Err(DriveError::Read(..))), "{offset}");
    }
}

#[test]
fn damage_fails_only_the_reads_that_need_it() {
    let (base, target) = (model(8, 0), model(8, 3));
    let mut wrong = base.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let restored = open(wrong, compress(&[&base.as_slice()], &target), 2);
    let mut found = vec![0; target.len() / 2];
    restored.read(0, &mut found).unwrap();
    assert!(found == target[..target.len() / 2]);
    for _ in 0..2 {
        match restored.read(0, &mut vec![0; target.len()]).unwrap_err() {
            DriveError::Job(error) => assert_eq!(error.kind(), ErrorKind::BaseMismatch),
            other => panic!("{other}"),
        }
    }
    restored.read(0, &mut found).unwrap();
}

#[test]
fn base_files_of_one_length_are_told_apart_by_their_digests() {
    let (first, second) = (model(1, 0), model(1, 5));
    let archive = compress(&[&first.as_slice(), &second.as_slice()], &second);
    let needed =
        Restored::open(vec![Arc::new(Held(first.clone())), Arc::new(Held(second.clone()))], Arc::new(Held(archive)), 1)
            .unwrap()
            .report()
            .bases
            .clone();
    let small = b"small".as_slice();
    assert_eq!(order(&[&small, &second.as_slice(), &first.as_slice()], &needed).unwrap(), [2, 1, 0]);
    assert_eq!(order(&[&second.as_slice(), &small], &needed).unwrap(), [0, 1]);
}
