//! The safetensors crate reads restored models as we do. `src/entropy/zstd/oracles.rs` does the
//! same for frames.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use common::{PAIRS, inspect, model, restore};

#[test]
fn restored_models_read_the_same_with_the_safetensors_crate() {
    for pair in &PAIRS {
        let restored = restore(pair.base, pair.archive).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&restored).unwrap();
        let ours = inspect(pair.archive).unwrap().tensors;
        assert_eq!(theirs.len(), ours.len());
        for tensor in ours {
            let view = theirs.tensor(&tensor.name).unwrap();
            assert_eq!(format!("{:?}", view.dtype()), tensor.dtype.name());
            assert_eq!(view.shape().iter().map(|&n| n as u64).collect::<Vec<_>>(), tensor.shape);
            assert_eq!(view.data().len() as u64, tensor.restored_bytes);
        }
    }
}

/// A model that the crate reads is one that we read: strictness refuses no real file.
#[test]
fn what_the_safetensors_crate_reads_we_read() {
    let good = model(&[("a", "BF16", &[2], &[1, 2, 3, 4]), ("b", "U8", &[1], &[5])]);
    let archive_of = |file: &[u8]| common::compress(file, file, bitx::Format::default());
    for i in 0..good.len() - 5 {
        for flip in [0x01, 0x20, 0x80] {
            let mut file = good.clone();
            file[i] ^= flip;
            if safetensors::SafeTensors::deserialize(&file).is_ok() {
                assert!(archive_of(&file).is_ok(), "byte {i} ^ {flip:#x} is refused, but a model");
            }
        }
    }
}
