//! Short files of tiny tensors, whose archives must not take a record for each tensor.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use bitx::{Effort, Format};
use common::{compress, compress_apart, inspect, model, restore};

const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Default, Effort::Max];

/// A model of `count` tensors of `length` singles each. `step` moves one of them in each tensor.
fn scalars(count: usize, length: usize, step: f32) -> Vec<u8> {
    let mut seed = 5u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / 1e7
    };
    let tensors: Vec<(String, Vec<u8>)> = (0..count)
        .map(|i| {
            let words = (0..length).map(|j| next() + if j == 0 { step } else { 0.0 });
            (format!("layers.{i}.scale"), words.flat_map(f32::to_le_bytes).collect())
        })
        .collect();
    let shape = [length as u64];
    let tensors: Vec<_> = tensors.iter().map(|(name, bytes)| (&name[..], "F32", &shape[..], &bytes[..])).collect();
    model(&tensors)
}

#[test]
fn files_of_scalars_take_little_more_than_their_numbers() {
    let (base, target) = (scalars(1000, 1, 0.0), scalars(1000, 1, 0.01));
    for effort in EFFORTS {
        let format = Format::V2 { effort };
        for (base, most) in [(&[][..], 9500), (&base, 5500)] {
            let archive = compress(base, &target, format).unwrap();
            assert!(archive.len() < most, "{effort:?}: {}", archive.len());
            assert!(restore(base, &archive).unwrap() == target);
            assert!(compress_apart(base, &target, format).unwrap() == archive);
        }
        let same = compress(&target, &target, format).unwrap().len();
        assert!(same < 400, "{effort:?}: {same}");
    }
}

/// Tensors that are worth their record keep it, and so do those of files with few of them.
#[test]
fn tensors_of_other_files_keep_their_names() {
    for (count, length) in [(60, 2000), (8, 1)] {
        let (base, target) = (scalars(count, length, 0.0), scalars(count, length, 0.01));
        let report = inspect(&compress(&base, &target, Format::default()).unwrap()).unwrap();
        assert_eq!(report.tensors.iter().filter(|tensor| tensor.name.ends_with(".scale")).count(), count);
    }
}

/// Values that a model begins with: every record would be larger than its tensor's payload.
#[test]
fn initial_values_take_no_record_each() {
    let (ones, zeros) = (1f32.to_le_bytes().repeat(256), vec![0; 1024]);
    let tensors: Vec<(String, &[u8])> = (0..100)
        .flat_map(|i| {
            [("weight", &ones), ("running_var", &ones), ("bias", &zeros)].map(|(name, values)| (i, name, values))
        })
        .map(|(i, name, values)| (format!("layers.{i}.norm.{name}"), &values[..]))
        .collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, values)| (&name[..], "F32", &[256][..], *values)).collect();
    let target = model(&tensors);
    for effort in EFFORTS {
        let archive = compress(&[], &target, Format::V2 { effort }).unwrap();
        // By tensors, it takes 3,755 bytes.
        assert!(archive.len() < 3400, "{effort:?}: {}", archive.len());
        assert!(restore(&[], &archive).unwrap() == target);
    }
}
