//! Properties over generated models: everything comes back, on any number of threads.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use bitx::Format;
use bitx::parallel::{Rayon, Sequential};
use common::{compress_on, model, restore, restore_on};
use proptest::prelude::*;

const DTYPES: [(&str, usize); 6] = [("BF16", 2), ("F16", 2), ("F32", 4), ("U8", 1), ("I64", 8), ("F8_E4M3", 1)];

/// Tensors by number: dtype, elements, and a seed for the bytes.
fn tensors() -> impl Strategy<Value = Vec<(usize, usize, u8)>> {
    prop::collection::vec((0..DTYPES.len(), 0usize..3000, any::<u8>()), 0..8)
}

fn build(tensors: &[(usize, usize, u8)], change: u8) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|&(dtype, elements, seed)| {
            let byte = |i: usize| (i as u8).wrapping_mul(seed) ^ if i.is_multiple_of(5) { change } else { 0 };
            (0..elements * DTYPES[dtype].1).map(byte).collect()
        })
        .collect();
    let names: Vec<String> = (0..tensors.len()).map(|i| format!("t{i}")).collect();
    let shapes: Vec<[u64; 1]> = tensors.iter().map(|t| [t.1 as u64]).collect();
    let rows: Vec<_> = (0..tensors.len())
        .map(|i| (names[i].as_str(), DTYPES[tensors[i].0].0, &shapes[i][..], data[i].as_slice()))
        .collect();
    model(&rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_comes_back(base in tensors(), mut target in tensors(), change: u8, shared in 0usize..8) {
        let shared = shared.min(base.len()).min(target.len());
        target[..shared].copy_from_slice(&base[..shared]);
        let (base, target) = (build(&base, 0), build(&target, change));
        for format in [Format::V1 { level: 3 }, Format::default()] {
            let archive = compress_on(&Sequential, &base, &target, format).unwrap();
            prop_assert_eq!(&compress_on(&Rayon, &base, &target, format).unwrap(), &archive);
            prop_assert_eq!(&restore(&base, &archive).unwrap(), &target);
            prop_assert_eq!(&restore_on(&Rayon, &base, &archive).unwrap(), &target);
        }
    }

    #[test]
    fn arbitrary_bytes_round_trip_or_are_refused(base: Vec<u8>, target: Vec<u8>) {
        if let Ok(archive) = common::compress(&base, &target, Format::default()) {
            prop_assert_eq!(restore(&base, &archive).unwrap(), target);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(base: Vec<u8>, archive: Vec<u8>) {
        let _ = restore(&base, &archive);
        let _ = restore(&base, &[b"BITXv001", &archive[..]].concat());
        let _ = restore(&base, &[b"BITXv002", &archive[..]].concat());
    }
}
