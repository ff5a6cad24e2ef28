//! The fields of a run of blocks, taken apart and put together again.

use super::formats::{BlockFormat, Minimum, Sub};
use super::packing;
use crate::predict::float::from_f16;

/// The fields of a run of blocks. Together they have every bit of the blocks.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    pub(crate) format: &'static BlockFormat,
    /// The scale of each block, the bits of an `F16`.
    pub(crate) scales: Vec<u16>,
    /// The minimum of each block, the bits of an `F16`; empty for a format without.
    pub(crate) minima: Vec<u16>,
    /// The sub-scale of each group; empty for a format without.
    pub(crate) sub_scales: Vec<i16>,
    /// The sub-minimum of each group; empty for a format without.
    pub(crate) sub_minima: Vec<i16>,
    /// The index of each weight.
    pub(crate) indices: Vec<u8>,
}

impl Blocks {
    /// Creates the fields of `count` blocks, all of them zero.
    pub(crate) fn new(format: &'static BlockFormat, count: usize) -> Self {
        let groups = count * format.groups();
        let minima = !matches!(format.minimum, Minimum::None);
        let sub_minima = matches!(format.minimum, Minimum::PerGroup(..));
        Self {
            format,
            scales: vec![0; count],
            minima: vec![0; if minima { count } else { 0 }],
            sub_scales: vec![0; if format.sub.is_some() { groups } else { 0 }],
            sub_minima: vec![0; if sub_minima { groups } else { 0 }],
            indices: vec![0; count * format.weights],
        }
    }

    /// Takes whole blocks apart.
    pub(crate) fn parse(format: &'static BlockFormat, bytes: &[u8]) -> Self {
        let mut blocks = Self::new(format, bytes.len() / format.bytes);
        for (i, block) in bytes.chunks_exact(format.bytes).enumerate() {
            blocks.scales[i] = word(block, format.scale);
            match format.minimum {
                Minimum::None => {}
                Minimum::Plain(at) => blocks.minima[i] = word(block, at),
                Minimum::PerGroup(at, sub) => {
                    blocks.minima[i] = word(block, at);
                    get_all(block, sub, blocks.sub_minima.chunks_exact_mut(format.groups()).nth(i));
                }
            }
            if let Some(sub) = format.sub {
                get_all(block, sub, blocks.sub_scales.chunks_exact_mut(format.groups()).nth(i));
            }
            let indices = &mut blocks.indices[i * format.weights..(i + 1) * format.weights];
            get_indices(format, block, indices);
        }
        blocks
    }

    /// Puts the blocks together, into as many bytes as they take.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let format = self.format;
        bytes.fill(0);
        for (i, block) in bytes.chunks_exact_mut(format.bytes).enumerate() {
            block[format.scale..format.scale + 2].copy_from_slice(&self.scales[i].to_le_bytes());
            let groups = i * format.groups()..(i + 1) * format.groups();
            match format.minimum {
                Minimum::None => {}
                Minimum::Plain(at) => block[at..at + 2].copy_from_slice(&self.minima[i].to_le_bytes()),
                Minimum::PerGroup(at, sub) => {
                    block[at..at + 2].copy_from_slice(&self.minima[i].to_le_bytes());
                    put_all(block, sub, &self.sub_minima[groups.clone()]);
                }
            }
            if let Some(sub) = format.sub {
                put_all(block, sub, &self.sub_scales[groups]);
            }
            put_indices(format, block, &self.indices[i * format.weights..(i + 1) * format.weights]);
        }
    }

    /// The numbers `a` and `c` of a group: a weight is `a` times its level plus `c`. They are NaN
    /// where a field is not finite.
    pub(crate) fn affine(&self, group: usize) -> (f32, f32) {
        let block = group / self.format.groups();
        let scale = finite(self.scales[block]);
        let a = self.sub_scales.get(group).map_or(scale, |&sub| scale * f32::from(sub));
        let c = match self.minima.get(block).map(|&minimum| finite(minimum)) {
            None => 0.0,
            Some(minimum) => self.sub_minima.get(group).map_or(minimum, |&sub| -(minimum * f32::from(sub))),
        };
        (a, c)
    }
}

/// The value of an `F16`, or NaN if it is not finite.
pub(crate) fn finite(bits: u16) -> f32 {
    if bits & 0x7c00 == 0x7c00 { f32::NAN } else { from_f16(bits) }
}

fn word(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn get_all(block: &[u8], sub: Sub, numbers: Option<&mut [i16]>) {
    for (j, number) in numbers.into_iter().flatten().enumerate() {
        let stored = packing::get(&block[sub.offset..], sub.packing, j);
        *number = if sub.range.0 == -128 { i16::from(stored as i8) } else { i16::from(stored) - sub.bias };
    }
}

fn put_all(block: &mut [u8], sub: Sub, numbers: &[i16]) {
    for (j, &number) in numbers.iter().enumerate() {
        packing::put(&mut block[sub.offset..], sub.packing, j, number.wrapping_add(sub.bias) as u8);
    }
}

fn get_indices(format: &BlockFormat, block: &[u8], indices: &mut [u8]) {
    let mut shift = 0;
    for plane in format.planes {
        let mask = ((1u16 << plane.bits) - 1) as u8;
        for (run, indices) in indices.chunks_mut(plane.run).enumerate() {
            let (first, at) = plane.place(run);
            let bytes = &block[first..first + indices.len()];
            indices.iter_mut().zip(bytes).for_each(|(index, &byte)| *index |= (byte >> at & mask) << shift);
        }
        shift += plane.bits;
    }
    indices.iter_mut().for_each(|index| *index ^= format.inverted);
}

fn put_indices(format: &BlockFormat, block: &mut [u8], indices: &[u8]) {
    let mut shift = 0;
    for plane in format.planes {
        let mask = ((1u16 << plane.bits) - 1) as u8;
        for (run, indices) in indices.chunks(plane.run).enumerate() {
            let (first, at) = plane.place(run);
            let bytes = &mut block[first..first + indices.len()];
            let bits = |index: u8| ((index ^ format.inverted) >> shift & mask) << at;
            bytes.iter_mut().zip(indices).for_each(|(byte, &index)| *byte |= bits(index));
        }
        shift += plane.bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::formats::FORMATS;

    /// Every bit of a block belongs to exactly one field.
    #[test]
    fn blocks_of_every_format_come_back() {
        let mut seed = 7u64;
        for format in &FORMATS {
            let bytes: Vec<u8> = (0..format.bytes * 5)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 56) as u8
                })
                .collect();
            let blocks = Blocks::parse(format, &bytes);
            let mut written = vec![0; bytes.len()];
            blocks.write(&mut written);
            assert!(written == bytes, "{:?}", format.dtype);
            for bit in 0..format.bytes * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let other = Blocks::parse(format, &flipped);
                let differs = other.scales != blocks.scales
                    || other.minima != blocks.minima
                    || other.sub_scales != blocks.sub_scales
                    || other.sub_minima != blocks.sub_minima
                    || other.indices != blocks.indices;
                assert!(differs, "bit {bit} of {:?}", format.dtype);
            }
        }
    }

    /// The block of `dequantize_row_q4_K`'s formula, written out.
    #[test]
    fn weights_are_those_of_the_formula() {
        let mut block = [0u8; 144];
        block[..2].copy_from_slice(&0x3c00u16.to_le_bytes());
        block[2..4].copy_from_slice(&0x3800u16.to_le_bytes());
        (block[4], block[8], block[12]) = (5, 3, 0x21);
        block[16..].fill(0x72);
        let format = crate::quant::format_of(crate::layout::Dtype::Q4_K).unwrap();
        let weights = crate::quant::dequantise(format, &block);
        assert_eq!((weights[0], weights[32], weights[128]), (5.0 * 2.0 - 0.5 * 3.0, 0.0, 2.0 - 0.5 * 2.0));
    }
}
