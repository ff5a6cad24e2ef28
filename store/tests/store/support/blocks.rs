//! Quantisers of the block formats of GGUF for tests, by the formats' rules.

/// A format: its name, its number in GGUF, and what a block consists of.
#[derive(Clone, Copy)]
pub struct Format {
    pub name: &'static str,
    pub number: u32,
    bytes: usize,
    kind: Kind,
    /// Offset, bits and run of the planes that hold the indices, the lowest bits first.
    planes: &'static [(usize, u32, usize)],
}

#[derive(Clone, Copy)]
enum Kind {
    /// 32 weights with one scale: indices less `zero`.
    Scale { zero: u8 },
    /// 32 weights with a scale and a minimum.
    Minimum,
    /// 256 weights in groups of 16, each with a number of these bits that scales the block's scale,
    /// which is at `scale`, and is stored plus half of its range, packed so.
    Groups { zero: u8, scale: usize, bits: u32, place: fn(&mut [u8], usize, u8) },
    /// 256 weights in groups of this length, each with a scale and a minimum of these bits. The
    /// block's are at `scale`.
    Minima { group: usize, scale: usize, bits: u32, place: fn(&mut [u8], usize, [u8; 2]) },
}

const NIBBLES: (usize, u32, usize) = (2, 4, 16);

/// Ten formats.
pub const FORMATS: [Format; 10] = [
    Format { name: "Q4_0", number: 2, bytes: 18, kind: Kind::Scale { zero: 8 }, planes: &[NIBBLES] },
    Format { name: "Q4_1", number: 3, bytes: 20, kind: Kind::Minimum, planes: &[(4, 4, 16)] },
    Format { name: "Q5_0", number: 6, bytes: 22, kind: Kind::Scale { zero: 16 }, planes: &[(6, 4, 16), (2, 1, 1)] },
    Format { name: "Q5_1", number: 7, bytes: 24, kind: Kind::Minimum, planes: &[(8, 4, 16), (4, 1, 1)] },
    Format { name: "Q8_0", number: 8, bytes: 34, kind: Kind::Scale { zero: 0 }, planes: &[(2, 8, 32)] },
    Format { name: "Q2_K", number: 10, bytes: 84, kind: Q2_K, planes: &[(16, 2, 32)] },
    Format { name: "Q3_K", number: 11, bytes: 110, kind: Q3_K, planes: &[(32, 2, 32), (0, 1, 32)] },
    Format { name: "Q4_K", number: 12, bytes: 144, kind: SIX_BITS, planes: &[(16, 4, 32)] },
    Format { name: "Q5_K", number: 13, bytes: 176, kind: SIX_BITS, planes: &[(48, 4, 32), (16, 1, 32)] },
    Format { name: "Q6_K", number: 14, bytes: 210, kind: Q6_K, planes: &[(0, 4, 64), (128, 2, 32)] },
];

const SIX_BITS: Kind = Kind::Minima {
    group: 32,
    scale: 0,
    bits: 6,
    place: |block, j, numbers| {
        for (number, shift) in numbers.into_iter().zip([0, 4]) {
            let first = 4 + shift;
            if j < 4 {
                block[first + j] |= number;
            } else {
                block[4 + j + 4] |= (number & 15) << shift;
                block[first + j - 4] |= number >> 4 << 6;
            }
        }
    },
};
const Q2_K: Kind =
    Kind::Minima { group: 16, scale: 80, bits: 4, place: |block, j, [scale, minimum]| block[j] = scale | minimum << 4 };
const Q3_K: Kind = Kind::Groups {
    zero: 4,
    scale: 108,
    bits: 6,
    place: |block, j, number| {
        block[96 + j % 8] |= (number & 15) << (j / 8 * 4);
        block[104 + j % 4] |= number >> 4 << (j / 4 * 2);
    },
};
const Q6_K: Kind =
    Kind::Groups { zero: 32, scale: 208, bits: 8, place: |block, j, number| block[192 + j] = number ^ 0x80 };

impl Format {
    fn weights(&self) -> usize {
        if matches!(self.kind, Kind::Scale { .. } | Kind::Minimum) { 32 } else { 256 }
    }

    /// Quantises rows of whole blocks.
    pub fn quantise(&self, weights: &[f32]) -> Vec<u8> {
        weights.chunks_exact(self.weights()).flat_map(|weights| self.block(weights)).collect()
    }

    /// The greatest index.
    fn last(&self) -> f32 {
        ((1u32 << self.planes.iter().map(|plane| plane.1).sum::<u32>()) - 1) as f32
    }

    fn block(&self, weights: &[f32]) -> Vec<u8> {
        let (mut block, last) = (vec![0; self.bytes], self.last());
        let indices: Vec<u8> = match self.kind {
            Kind::Scale { zero: 0 } => {
                let scale = largest(weights).abs() / 127.0;
                half(&mut block, 0, scale);
                weights.iter().map(|weight| ratio(*weight, scale).round() as i8 as u8).collect()
            }
            Kind::Scale { zero } => {
                let scale = half(&mut block, 0, largest(weights) / -f32::from(zero));
                weights.iter().map(|weight| (ratio(*weight, scale) + f32::from(zero)).round().min(last) as u8).collect()
            }
            Kind::Minimum => {
                let (least, most) = bounds(weights);
                let (scale, least) = (half(&mut block, 0, (most - least) / last), half(&mut block, 2, least));
                weights.iter().map(|weight| ratio(weight - least, scale).round().clamp(0.0, last) as u8).collect()
            }
            Kind::Groups { .. } => self.by_groups(weights, &mut block),
            Kind::Minima { .. } => self.by_minima(weights, &mut block),
        };
        indices.into_iter().enumerate().for_each(|(i, index)| self.put(&mut block, i, index));
        block
    }

    /// Writes the scales of groups around zero, and returns the indices.
    fn by_groups(&self, weights: &[f32], block: &mut [u8]) -> Vec<u8> {
        let Kind::Groups { zero, scale, bits, place } = self.kind else { return Vec::new() };
        let units: Vec<f32> = weights.chunks(16).map(|group| largest(group) / -f32::from(zero)).collect();
        let bias = (1u32 << (bits - 1)) as f32;
        let whole = half(block, scale, largest(&units) / -bias);
        let numbers: Vec<f32> = units.iter().map(|unit| ratio(*unit, whole).round().clamp(-bias, bias - 1.0)).collect();
        numbers.iter().enumerate().for_each(|(j, number)| place(block, j, (number + bias) as u8));
        let index = |(i, weight): (usize, &f32)| {
            (ratio(*weight, whole * numbers[i / 16]) + f32::from(zero)).round().clamp(0.0, self.last()) as u8
        };
        weights.iter().enumerate().map(index).collect()
    }

    /// Writes the scales and the minima of groups, and returns the indices.
    fn by_minima(&self, weights: &[f32], block: &mut [u8]) -> Vec<u8> {
        let Kind::Minima { group, scale, bits, place } = self.kind else { return Vec::new() };
        let (most, last) = (((1u32 << bits) - 1) as f32, self.last());
        let pair = |(least, most): (f32, f32)| [(most - least.min(0.0)) / last, -least.min(0.0)];
        let pairs: Vec<[f32; 2]> = weights.chunks(group).map(bounds).map(pair).collect();
        let greatest = |which: usize| pairs.iter().map(|pair| pair[which]).fold(0.0, f32::max) / most;
        let wholes = [half(block, scale, greatest(0)), half(block, scale + 2, greatest(1))];
        let number = |pair: &[f32; 2]| [0, 1].map(|which| ratio(pair[which], wholes[which]).round().min(most));
        let numbers: Vec<[f32; 2]> = pairs.iter().map(number).collect();
        numbers.iter().enumerate().for_each(|(j, pair)| place(block, j, pair.map(|number| number as u8)));
        let index = |(i, weight): (usize, &f32)| {
            let [scale, least] = [0, 1].map(|which| wholes[which] * numbers[i / group][which]);
            ratio(weight + least, scale).round().clamp(0.0, last) as u8
        };
        weights.iter().enumerate().map(index).collect()
    }

    /// Writes the index of weight `i`.
    fn put(&self, block: &mut [u8], i: usize, index: u8) {
        let mut index = u32::from(index);
        for &(offset, bits, run) in self.planes {
            let per_byte = 8 / bits as usize;
            let (number, within) = (i / run, i % run);
            let byte = &mut block[offset + number / per_byte * run + within];
            *byte |= ((index & ((1 << bits) - 1)) << (number % per_byte * bits as usize)) as u8;
            index >>= bits;
        }
    }
}

fn ratio(weight: f32, scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { weight / scale }
}

/// The number of the largest absolute value.
pub fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().copied().fold(0.0, |most: f32, number| if number.abs() > most.abs() { number } else { most })
}

pub fn bounds(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::MAX, f32::MIN), |(least, most), weight| (least.min(*weight), most.max(*weight)))
}

/// Writes a number as `F16`, and returns what was written.
pub fn half(block: &mut [u8], at: usize, number: f32) -> f32 {
    // The step between numbers of 11 bits, or of the subnormal ones.
    let step = 2f32.powi((number.abs().max(2f32.powi(-14)).log2().floor() as i32) - 10);
    let rounded = (number / step).round_ties_even() * step;
    let magnitude = rounded.abs();
    let bits = if magnitude < 2f32.powi(-14) {
        (magnitude * 2f32.powi(24)) as u16
    } else {
        let bits = magnitude.to_bits();
        ((bits >> 23) as u16 - 112) << 10 | (bits >> 13) as u16 & 0x3FF
    };
    let sign = if rounded < 0.0 { 0x8000 } else { 0 };
    block[at..at + 2].copy_from_slice(&(bits | sign).to_le_bytes());
    rounded
}
