//! Quantised blocks and packed numbers.

use super::samples::{agree, agree_once, random, weights};
use crate::common::gguf::gguf;
use crate::common::model;
use crate::reference;

/// Blocks whose scales move, some of them zeros, infinities, NaNs or subnormal.
#[test]
fn agrees_on_q8_0() {
    for extents in [&[32, 1][..], &[64, 40], &[96, 8, 5], &[2048]] {
        let count = extents.iter().product::<u64>() as usize / 32;
        let (scales, quants) = (weights(2, count), weights(1, 32 * count));
        let blocks = |scales: &[u8], quants: &[u8]| -> Vec<u8> {
            scales.chunks(2).zip(quants.chunks(32)).flat_map(|(scale, quants)| [scale, quants].concat()).collect()
        };
        let (mut from, mut to) = (blocks(&scales.0, &quants.0), blocks(&scales.1, &quants.1));
        let specials = [[0u8; 2], [0, 0x7c], [1, 0x7e], [1, 0], [0, 0x80], [0xff, 0x7b]];
        for (i, scale) in specials.iter().enumerate().filter(|_| count > 12) {
            from[34 * i..34 * i + 2].copy_from_slice(scale);
            to[34 * i + 102..34 * i + 104].copy_from_slice(scale);
        }
        let file = |blocks: &[u8]| gguf(&[("w", extents, 8, blocks), ("b", &[4], 0, &[1; 16])]);
        agree(&file(&from), &file(&to));
        agree(&[], &file(&to));
    }
}

/// The ggml types of blocks, in the order of the dtypes from 22 on.
pub const BLOCKS: [u32; 12] = [8, 2, 3, 6, 7, 10, 11, 12, 13, 14, 20, 23];

/// Blocks of random bits, whose scales are infinite, no numbers or zero here and there; the same
/// with a few bits changed; and the same with plausible scales.
fn blocks(format: &reference::quant::Format, count: usize) -> [Vec<u8>; 3] {
    let length = format.bytes * count;
    let base = random(length);
    let noise = random(3 * length);
    let mut target = base.clone();
    for (i, byte) in target.iter_mut().enumerate().filter(|(i, _)| noise[length + *i] < 24) {
        *byte ^= noise[i] & noise[2 * length + i];
    }
    let plausible = target.chunks(format.bytes).flat_map(|block| {
        let mut fields = format.parse(block);
        (fields.d, fields.m) = (fields.d % 0x400 + 0x1c00, fields.m % 0x400 + 0x1c00);
        format.write(&fields)
    });
    let plausible = plausible.collect();
    [base, target, plausible]
}

/// Blocks of every dtype, against blocks of the same dtype, against their own weights as floats,
/// and against the `Q8_0` of other weights.
#[test]
fn agrees_on_blocks_of_every_dtype() {
    let eights = &reference::quant::FORMATS[0];
    for (format, kind) in reference::quant::FORMATS.iter().zip(BLOCKS) {
        let [base, target, plausible] = blocks(format, 12);
        let columns = 3 * format.weights as u64;
        let file = |kind, bytes: &[u8]| gguf(&[("w", &[columns, 4], kind, bytes)]);
        agree(&file(kind, &base), &file(kind, &target));
        agree(&file(kind, &target), &file(kind, &plausible));
        let weights = format.weights_of(&plausible);
        for (dtype, number) in [("F32", 17), ("F16", 13), ("BF16", 14)] {
            let floats = reference::cast::cast(&weights, 17, number);
            let floats = model(&[("w", dtype, &[4, columns], &floats)]);
            let sizes = agree(&floats, &file(kind, &plausible));
            assert!(dtype != "F32" || sizes[1].len() < file(kind, &plausible).len(), "{kind}");
            agree(&floats, &file(kind, &target));
        }
        let [_, _, other] = blocks(eights, 12 * format.weights / 32);
        agree(&file(8, &other), &file(kind, &plausible));
    }
}

/// Blocks of more than a chunk.
#[test]
fn agrees_on_many_blocks() {
    let format = &reference::quant::FORMATS[7];
    let [base, target, _] = blocks(format, 4200);
    let file = |bytes: &[u8]| gguf(&[("w", &[256 * 3, 1400], 12, bytes)]);
    agree_once(&file(&base), &file(&target));
}

/// Packed numbers of four bits.
#[test]
fn agrees_on_nibbles() {
    let (base, noise) = (random(8000), random(16_000));
    let move_by = |(i, byte): (usize, &u8)| {
        let by = |n: u8| if n < 30 { n % 3 + 15 } else { 16 };
        byte.wrapping_add(by(noise[i])) & 15 | (byte >> 4).wrapping_add(by(noise[8000 + i])) << 4
    };
    let target: Vec<u8> = base.iter().enumerate().map(move_by).collect();
    for (dtype, width) in [("I32", 4), ("U8", 1), ("U32", 4)] {
        let file = |bytes: &[u8]| model(&[("w", dtype, &[20, 400 / width], bytes)]);
        agree(&file(&base), &file(&target));
    }
}
