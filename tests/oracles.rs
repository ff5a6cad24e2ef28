//! Independent implementations agree with ours: ruzstd on frames, the safetensors crate on layouts.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use std::io::Read;

use bitx::entropy::zstd;
use common::{PAIRS, inspect, model, restore};

fn samples() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..700_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
    let skewed = noise.iter().map(|b| b & b.rotate_left(3) & b.rotate_left(5)).collect();
    vec![vec![], vec![0; 1], vec![0; 500_000], noise[..1000].to_vec(), noise, skewed]
}

#[test]
fn ruzstd_decodes_our_frames() {
    for data in samples() {
        for level in zstd::LEVELS {
            let frame = zstd::encode(&data, level).unwrap();
            let mut decoded = Vec::new();
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(frame.as_slice()).unwrap();
            decoder.read_to_end(&mut decoded).unwrap();
            assert!(decoded == data, "level {level}, {} bytes", data.len());
        }
    }
}

#[test]
fn we_decode_ruzstds_frames() {
    for data in samples() {
        let frame = ruzstd::encoding::compress_to_vec(data.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        let mut decoded = Vec::new();
        zstd::Decoder::default().decode(&frame, data.len(), &mut decoded).unwrap();
        assert!(decoded == data);
    }
}

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
