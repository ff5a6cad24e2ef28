//! Tensors that are predicted from the base's.

use super::blocks::BLOCKS;
use super::samples::{agree, random};
use crate::common::gguf::gguf;
use crate::common::{inspect, model};
use crate::reference;

/// Weights that move along a few directions, and the weights moved by so many times a little: the
/// bits of `F32`s.
fn along_few_directions(rows: usize, columns: usize, times: f32) -> (Vec<u32>, Vec<u32>) {
    let noise = random(4 * rows * columns);
    let base: Vec<f32> = noise.chunks(4).map(|b| f32::from(b[0]) * 0.001 - 0.1 + f32::from(b[1]) * 4e-6).collect();
    let moved = base.iter().enumerate().map(|(i, weight)| {
        let (row, column) = ((i / columns) as f32, (i % columns) as f32);
        let little =
            0.004 * (row * 0.7).sin() * (column * 0.3).cos() + 0.001 * (row * 0.2).cos() * (column * 1.1).sin();
        weight + times * little
    });
    (base.iter().map(|x| x.to_bits()).collect(), moved.map(|x| x.to_bits()).collect())
}

/// Predicted tensors of every type that can be, with rows that do not fill vectors, weights that
/// are not finite, and zeros of either sign.
#[test]
fn agrees_on_predictions() {
    let narrow = |bits: &u32| (*bits >> 16) as u16;
    let half = |bits: &u32| {
        let value = f32::from_bits(*bits);
        let scaled = (value.abs() * 16_777_216.0).to_bits();
        // Good enough: truncated, and subnormal below 2^-14.
        let exponent = (scaled >> 23) as i32 - 127 - 24 + 15;
        let normal = (exponent as u32) << 10 | scaled >> 13 & 1023;
        (bits >> 16 & 0x8000) as u16 | if exponent > 0 { normal as u16 } else { (value.abs() * 16_777_216.0) as u16 }
    };
    let double = |bits: &u32| f64::from(f32::from_bits(*bits)).to_le_bytes();
    for (rows, columns) in [(70, 33), (64, 128), (40, 1100)] {
        let (mut from, mut to) = along_few_directions(rows, columns, 1.0);
        for (i, special) in [0x7f80_0000u32, 0xffc0_0001, 0x8000_0000, 0, 0x7f7f_ffff].into_iter().enumerate() {
            (from[37 * i + 5], to[37 * i + 5]) = (special, special);
        }
        for (dtype, bytes) in [
            ("BF16", [&from, &to].map(|w| w.iter().flat_map(|bits| narrow(bits).to_le_bytes()).collect::<Vec<_>>())),
            ("F16", [&from, &to].map(|w| w.iter().flat_map(|bits| half(bits).to_le_bytes()).collect())),
            ("F32", [&from, &to].map(|w| w.iter().flat_map(|bits| bits.to_le_bytes()).collect())),
            ("F32", [&from, &to].map(|w| w.iter().flat_map(|bits| (bits >> 16 << 16).to_le_bytes()).collect())),
            ("F64", [&from, &to].map(|w| w.iter().flat_map(double).collect())),
        ] {
            let shape = [rows as u64, columns as u64];
            let [base, target] = bytes.map(|bytes| model(&[("w", dtype, &shape, &bytes)]));
            let archives = agree(&base, &target);
            let predicted = |archive: &[u8]| inspect(archive).unwrap().tensors[0].prediction.is_some();
            // The noise of so many bits outweighs what a prediction saves.
            assert!(predicted(&archives[2]) || dtype == "F64", "{dtype} {rows} {columns}");
        }
    }
}

/// Blocks of every dtype whose weights move along a few directions. Some of the base's scales are
/// infinite, no numbers or zero.
#[test]
fn agrees_on_blocks_that_are_predicted() {
    let (rows, columns) = (64, 512);
    let (from, to) = along_few_directions(rows, columns, 6.0);
    for (format, kind) in reference::quant::FORMATS.iter().zip(BLOCKS) {
        let [mut base, mut target] = [&from, &to].map(|bits| quantised(format, bits));
        for (i, special) in [[0u8, 0x7c], [1, 0x7e], [0, 0], [1, 0]].iter().enumerate() {
            let at = |block: usize| (block * 7 + 3) * format.bytes + format.scale;
            base[at(i)..at(i) + 2].copy_from_slice(special);
            target[at(i + 5)..at(i + 5) + 2].copy_from_slice(special);
        }
        let file = |blocks: &[u8]| gguf(&[("w", &[columns as u64, rows as u64], kind, blocks)]);
        let archives = agree(&file(&base), &file(&target));
        // Steps of two and three bits are larger than what is predicted.
        let predicted = inspect(&archives[2]).unwrap().tensors[0].prediction.is_some();
        assert!(predicted || format.last() < 15, "{kind}");
    }
}

/// Weights below 0.2, the bits of `F32`s, as blocks of equal fields.
fn quantised(format: &reference::quant::Format, bits: &[u32]) -> Vec<u8> {
    let mut fields = format.parse(&vec![0; format.bytes]);
    let steps = f32::from(format.last()) / 0.4;
    let unit = |list: Option<_>, number: i32| vec![number; if list.is_some() { format.groups() } else { 0 }];
    (fields.s, fields.n) = (unit(format.s, 20), unit(format.n, 20));
    let (per_scale, per_minimum) =
        (if format.s.is_some() { 20.0 } else { 1.0 }, if format.n.is_some() { -20.0 } else { 1.0 });
    let book = if format.zero == 255 { 16.0 } else { 1.0 };
    fields.d = reference::quant::half(1.0 / (steps * per_scale * book));
    fields.m = reference::quant::half(-0.2 / per_minimum);
    let blocks = bits.chunks(format.weights).map(|weights| {
        for (w, bits) in weights.iter().enumerate() {
            let (a, c) = format.affine(&fields, w / format.group);
            let distance = |index: u8| (a * format.level(index) + c - f32::from_bits(*bits)).abs();
            let nearest = (0..=format.last()).min_by(|x, y| distance(*x).total_cmp(&distance(*y)));
            fields.i[w] = nearest.unwrap();
        }
        format.write(&fields)
    });
    blocks.collect::<Vec<_>>().concat()
}
