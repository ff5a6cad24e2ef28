//! Tests against ruzstd, an independent implementation.

use std::io::Read;

use super::{Decoder, LEVELS, encode};

fn samples() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..700_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
    let skewed = noise.iter().map(|b| b & b.rotate_left(3) & b.rotate_left(5)).collect();
    vec![vec![], vec![0; 1], vec![0; 500_000], noise[..1000].to_vec(), noise, skewed]
}

#[test]
fn ruzstd_decodes_our_frames() {
    for data in samples() {
        for level in LEVELS {
            let frame = encode(&data, level).unwrap();
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
        Decoder::default().decode(&frame, data.len(), &mut decoded).unwrap();
        assert!(decoded == data);
    }
}
