//! A zip archive, a pickle in one, an older file of PyTorch, an ONNX model, a graph in one, a file
//! of flax, a tar file, a model in one, an array of numpy, a file of ggml, a model of TensorFlow
//! Lite, or a file of no known kind with floats: its regions follow each other within the file.
#![no_main]

use bitx::drive;
use bitx_fuzz::{input, protobuf, tar, tflite, zip};
use libfuzzer_sys::fuzz_target;

/// Enough weights for a file of floats.
fn floats(seed: u32) -> Vec<u8> {
    let word = |i: u32| 0x3c00_0000 | (i ^ seed).wrapping_mul(0x9e37_79b9) & 0x80ff_ffff;
    (0..2000).flat_map(|i| word(i).to_le_bytes()).collect()
}

/// Bytes that begin as a tar file does, if they are enough.
fn tar_of(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() >= tar::BLOCK {
        file[257..262].copy_from_slice(b"ustar");
    }
    file
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let file = match input::byte(&mut rest) % 12 {
        0 => [b"PK\x03\x04", rest].concat(),
        1 => zip::Zip::default().add("m/data.pkl", rest).add("m/data/0", &[1; 256]).finish(b""),
        2 => [&[8, 9], rest].concat(),
        3 => [vec![8, 9], protobuf::field(7, rest)].concat(),
        4 => [zip::STREAM, rest].concat(),
        5 => [b"\x81\xa1a", rest].concat(),
        6 => tar_of(rest),
        7 => tar::tar(&[("m", &[rest, &[0; 1 << 16]].concat()), ("n", rest)]),
        8 => [b"\x93NUMPY", rest].concat(),
        9 => [b"lmgg", rest].concat(),
        10 => [tflite::START, rest].concat(),
        _ => [floats(1), rest.to_vec(), floats(2)].concat(),
    };
    // A zip archive of an unknown method may look like safetensors, which may fail.
    let Ok(layout) = drive::layout(&file.as_slice()) else { return };
    let mut end = 0;
    for region in &layout.regions {
        assert!(region.offset >= end && region.dtype.tensor_bytes(&region.shape) == Some(region.length));
        end = region.range().end;
    }
    assert!(end <= file.len() as u64);
    bitx_fuzz::open_as_anything(&file);
});
