//! The fields of a run of blocks, taken apart and put together again: those of blocks and groups
//! into lists of their own, and the indices strip by strip.

use super::formats::{BlockFormat, Minimum, Sub};
use super::packing::Places;
use crate::predict::float::from_f16;

/// The fields of a run of blocks and of its groups. Together with the indices they have every bit of
/// the blocks.
#[derive(Debug, Clone)]
pub(crate) struct BlockFields {
    pub(crate) format: &'static BlockFormat,
    /// The scale of each block, the bits of an `F16`.
    pub(crate) scales: Vec<u16>,
    /// The minimum of each block, the bits of an `F16`; empty for a format without.
    pub(crate) minima: Vec<u16>,
    /// The sub-scale of each group; empty for a format without.
    pub(crate) sub_scales: Vec<i16>,
    /// The sub-minimum of each group; empty for a format without.
    pub(crate) sub_minima: Vec<i16>,
}

impl BlockFields {
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
        }
    }

    /// Takes the fields out of whole blocks.
    pub(crate) fn parse(format: &'static BlockFormat, bytes: &[u8]) -> Self {
        let mut fields = Self::new(format, bytes.len() / format.bytes);
        read_words(format, format.scale, bytes, &mut fields.scales);
        if let Minimum::Plain(at) | Minimum::PerGroup(at, _) = format.minimum {
            read_words(format, at, bytes, &mut fields.minima);
        }
        if let Minimum::PerGroup(_, sub) = format.minimum {
            read_subs(format, sub, bytes, &mut fields.sub_minima);
        }
        if let Some(sub) = format.sub {
            read_subs(format, sub, bytes, &mut fields.sub_scales);
        }
        fields
    }

    /// Writes the fields into as many blocks, which have no indices then.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let format = self.format;
        bytes.fill(0);
        write_words(format, format.scale, &self.scales, bytes);
        if let Minimum::Plain(at) | Minimum::PerGroup(at, _) = format.minimum {
            write_words(format, at, &self.minima, bytes);
        }
        if let Minimum::PerGroup(_, sub) = format.minimum {
            write_subs(format, sub, &self.sub_minima, bytes);
        }
        if let Some(sub) = format.sub {
            write_subs(format, sub, &self.sub_scales, bytes);
        }
    }

    /// The numbers `a` and `c` of each group of a block: a weight is `a` times its level plus `c`.
    /// They are NaN where a field is not finite.
    #[inline(always)]
    pub(crate) fn affines(&self, block: usize) -> impl Iterator<Item = (f32, f32)> {
        let scale = finite(self.scales[block]);
        let minimum = self.minima.get(block).map(|&minimum| finite(minimum));
        let groups = self.format.groups();
        (block * groups..(block + 1) * groups).map(move |group| {
            let a = self.sub_scales.get(group).map_or(scale, |&sub| scale * f32::from(sub));
            let c = match minimum {
                None => 0.0,
                Some(minimum) => self.sub_minima.get(group).map_or(minimum, |&sub| -(minimum * f32::from(sub))),
            };
            (a, c)
        })
    }
}

/// The value of an `F16`, or NaN if it is not finite.
pub(crate) fn finite(bits: u16) -> f32 {
    if bits & 0x7c00 == 0x7c00 { f32::NAN } else { from_f16(bits) }
}

fn read_words(format: &BlockFormat, at: usize, bytes: &[u8], words: &mut [u16]) {
    let blocks = bytes.chunks_exact(format.bytes);
    blocks.zip(words).for_each(|(block, word)| *word = u16::from_le_bytes([block[at], block[at + 1]]));
}

fn write_words(format: &BlockFormat, at: usize, words: &[u16], bytes: &mut [u8]) {
    let blocks = bytes.chunks_exact_mut(format.bytes);
    blocks.zip(words).for_each(|(block, word)| block[at..at + 2].copy_from_slice(&word.to_le_bytes()));
}

fn read_subs(format: &BlockFormat, sub: Sub, bytes: &[u8], numbers: &mut [i16]) {
    let (places, signed) = (Places::of(sub.packing), sub.range.0 == -128);
    for (block, numbers) in bytes.chunks_exact(format.bytes).zip(numbers.chunks_exact_mut(format.groups())) {
        for (number, stored) in numbers.iter_mut().zip(places.get(&block[sub.offset..])) {
            *number = if signed { i16::from(stored as i8) } else { i16::from(stored) - sub.bias };
        }
    }
}

fn write_subs(format: &BlockFormat, sub: Sub, numbers: &[i16], bytes: &mut [u8]) {
    let places = Places::of(sub.packing);
    for (block, numbers) in bytes.chunks_exact_mut(format.bytes).zip(numbers.chunks_exact(format.groups())) {
        let stored = numbers.iter().map(|&number| number.wrapping_add(sub.bias) as u8);
        places.put(&mut block[sub.offset..], stored);
    }
}

/// Reads the index of each weight of whole blocks.
pub(crate) fn read_indices(format: &BlockFormat, bytes: &[u8], indices: &mut [u8]) {
    for (block, indices) in bytes.chunks_exact(format.bytes).zip(indices.chunks_exact_mut(format.weights)) {
        get_indices(format, block, indices);
    }
}

/// Writes the index of each weight into whole blocks that have none so far.
pub(crate) fn write_indices(format: &BlockFormat, indices: &[u8], bytes: &mut [u8]) {
    for (block, indices) in bytes.chunks_exact_mut(format.bytes).zip(indices.chunks_exact(format.weights)) {
        put_indices(format, block, indices);
    }
}

fn get_indices(format: &BlockFormat, block: &[u8], indices: &mut [u8]) {
    let mut shift = 0;
    indices.fill(format.inverted);
    for plane in format.planes {
        let mask = ((1u16 << plane.bits) - 1) as u8;
        for (run, indices) in indices.chunks_mut(plane.run).enumerate() {
            let (first, at) = plane.place(run);
            let bytes = &block[first..first + indices.len()];
            indices.iter_mut().zip(bytes).for_each(|(index, &byte)| *index ^= (byte >> at & mask) << shift);
        }
        shift += plane.bits;
    }
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
            let (lists, indices) = apart(format, &bytes);
            let mut written = vec![0; bytes.len()];
            BlockFields::parse(format, &bytes).write(&mut written);
            write_indices(format, &indices, &mut written);
            assert!(written == bytes, "{:?}", format.dtype);
            for bit in 0..format.bytes * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(apart(format, &flipped) != (lists.clone(), indices.clone()), "bit {bit} of {:?}", format.dtype);
            }
        }
    }

    /// The lists of fields, and the indices.
    fn apart(format: &'static BlockFormat, bytes: &[u8]) -> ([Vec<i32>; 4], Vec<u8>) {
        let mut indices = vec![1; bytes.len() / format.bytes * format.weights];
        read_indices(format, bytes, &mut indices);
        let fields = BlockFields::parse(format, bytes);
        let words = |words: &[u16]| words.iter().map(|&word| word.into()).collect();
        let subs = |subs: &[i16]| subs.iter().map(|&sub| sub.into()).collect();
        let lists = [words(&fields.scales), words(&fields.minima), subs(&fields.sub_scales), subs(&fields.sub_minima)];
        (lists, indices)
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
