//! The table of block formats.

use super::packing::{Packing, Plane};
use crate::layout::Dtype;

/// One block format.
#[derive(Debug)]
pub(crate) struct BlockFormat {
    pub(crate) dtype: Dtype,
    /// Bytes of a block.
    pub(crate) bytes: usize,
    /// Weights of a block.
    pub(crate) weights: usize,
    /// Weights that share a sub-scale and a sub-minimum: a divisor of `weights`.
    pub(crate) group: usize,
    pub(crate) levels: Levels,
    /// Offset of the block's scale, an `F16`.
    pub(crate) scale: usize,
    pub(crate) minimum: Minimum,
    /// The sub-scales of the groups.
    pub(crate) sub: Option<Sub>,
    /// The planes of the indices, the lowest bits first.
    pub(crate) planes: &'static [Plane],
    /// Bits of an index that are stored inverted.
    pub(crate) inverted: u8,
}

/// The values of indices, which ascend with them.
#[derive(Debug)]
pub(crate) enum Levels {
    /// Index minus `zero`, up to the index `last`.
    Uniform { last: u8, zero: u8 },
    /// Sixteen values of a code book.
    Book(&'static [f32; 16]),
    /// The floats of 8 bits.
    Float(Float),
}

/// The floats of 8 bits as levels: those with a sign come first. All are taken to be finite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Float {
    /// Bits of the mantissa.
    pub(crate) mantissa: u32,
    /// The magnitude of the greatest finite float.
    pub(crate) last: u8,
}

impl Float {
    /// The exponent of a magnitude, at least 1: that of subnormal floats.
    pub(crate) fn exponent(self, magnitude: u8) -> u32 {
        u32::from(magnitude >> self.mantissa).max(1)
    }

    /// The distance of neighbouring floats of an exponent.
    fn step(self, exponent: u32) -> f32 {
        // The bias of the exponents, and the mantissa's bits.
        f32::from_bits((exponent + 128 - (1 << (6 - self.mantissa)) - self.mantissa) << 23)
    }

    /// The value of a magnitude. It is not inlined where all levels are at hand, for the size of
    /// the restoring wasm.
    #[inline(never)]
    pub(crate) fn value(self, magnitude: u8) -> f32 {
        let exponent = self.exponent(magnitude);
        (f32::from(magnitude) - ((exponent - 1) << self.mantissa) as f32) * self.step(exponent)
    }

    /// The nearest magnitude to a positive number that is at most the greatest finite float, ties to
    /// even, and its distance in steps.
    #[inline(always)]
    pub(crate) fn place(self, number: f32) -> (u8, f32) {
        let exponent = (number.to_bits() >> 23).saturating_sub(128 - (1 << (6 - self.mantissa))).max(1);
        let steps = number / self.step(exponent);
        let (near, integer) = round_small(steps);
        ((integer + ((exponent - 1) << self.mantissa)) as u8, steps - near)
    }
}

/// Rounds to the nearest integer, ties to even, and returns its low 16 bits too, in two's
/// complement. `x` must be below 2^22 in magnitude.
#[inline(always)]
pub(crate) fn round_small(x: f32) -> (f32, u32) {
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x + SHIFT;
    (shifted - SHIFT, shifted.to_bits() & 0xffff)
}

/// The minimum of a block's weights: the number `c` of its groups.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Minimum {
    /// There is none, and `c` is 0.
    None,
    /// An `F16` at that offset: `c` itself.
    Plain(usize),
    /// An `F16` at that offset; `c` is minus the product of it and the group's sub-minimum.
    PerGroup(usize, Sub),
}

/// A small number of each group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sub {
    /// Offset of the list in the block.
    pub(crate) offset: usize,
    pub(crate) packing: Packing,
    /// The least and the greatest value.
    pub(crate) range: (i16, i16),
    /// The number that is subtracted from stored numbers; signed bytes have none.
    pub(crate) bias: i16,
}

impl Levels {
    /// The value of an index.
    #[inline(always)]
    pub(crate) fn value(&self, index: u8) -> f32 {
        match self {
            Self::Uniform { zero, .. } => (i16::from(index) - i16::from(*zero)).into(),
            Self::Book(values) => values[usize::from(index & 15)],
            Self::Float(float) if index < 128 => -float.value(127 - index),
            Self::Float(float) => float.value(index - 128),
        }
    }

    /// The values of many indices. It is not inlined, for the size of the restoring wasm.
    #[inline(never)]
    pub(crate) fn values(&self, indices: &[u8], values: &mut [f32]) {
        let pairs = values.iter_mut().zip(indices);
        match self {
            Self::Uniform { zero, .. } => {
                let zero = i32::from(*zero);
                pairs.for_each(|(value, &index)| *value = (i32::from(index) - zero) as f32);
            }
            Self::Book(_) => pairs.for_each(|(value, &index)| *value = self.value(index)),
            Self::Float(_) => {
                let all: [f32; 256] = std::array::from_fn(|index| self.value(index as u8));
                pairs.for_each(|(value, &index)| *value = all[usize::from(index)]);
            }
        }
    }

    /// The size of the step around an index, in half octaves above that of the least one.
    #[inline(always)]
    pub(crate) fn half_octaves(&self, index: u8) -> u16 {
        match self {
            Self::Float(float) => 2 * float.exponent(if index < 128 { 127 - index } else { index - 128 }) as u16,
            _ => 0,
        }
    }

    /// The index of the value that is nearest to 0.
    pub(crate) fn zero(&self) -> u8 {
        match self {
            Self::Uniform { zero, .. } => *zero,
            Self::Book(_) => 8,
            Self::Float(_) => 128,
        }
    }
}

impl BlockFormat {
    /// Groups of a block.
    pub(crate) fn groups(&self) -> usize {
        self.weights / self.group
    }
}

const fn plane(offset: usize, bits: u32, run: usize) -> Plane {
    Plane { offset, bits, run }
}

const fn uniform(bits: u32, zero: u8) -> Levels {
    Levels::Uniform { last: ((1u32 << bits) - 1) as u8, zero }
}

const fn sub(offset: usize, packing: Packing, range: (i16, i16), bias: i16) -> Sub {
    Sub { offset, packing, range, bias }
}

/// The non-linear levels of IQ4_NL and IQ4_XS.
static BOOK: [f32; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];

/// The levels of E2M1, whose zeros are two.
pub(super) static E2M1: [f32; 16] =
    [-6.0, -4.0, -3.0, -2.0, -1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// The levels of bitsandbytes' NF4.
pub(super) static NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

const fn simple(dtype: Dtype, bytes: usize, levels: Levels, minimum: Minimum, planes: &'static [Plane]) -> BlockFormat {
    let (weights, scale, sub) = (32, 0, None);
    BlockFormat { dtype, bytes, weights, group: weights, levels, scale, minimum, sub, planes, inverted: 0 }
}

const SIX: Packing = Packing::SixBits { second: false };
const SIX_MINIMA: Packing = Packing::SixBits { second: true };

/// A format of 256 weights with sub-scales.
const fn super_block(
    (dtype, bytes, group): (Dtype, usize, usize),
    levels: Levels,
    (scale, minimum): (usize, Minimum),
    sub: Sub,
    planes: &'static [Plane],
) -> BlockFormat {
    let (weights, sub) = (256, Some(sub));
    BlockFormat { dtype, bytes, weights, group, levels, scale, minimum, sub, planes, inverted: 0 }
}

/// Every block format.
pub(crate) static FORMATS: [BlockFormat; 12] = [
    simple(Dtype::Q4_0, 18, uniform(4, 8), Minimum::None, &[plane(2, 4, 16)]),
    simple(Dtype::Q4_1, 20, uniform(4, 0), Minimum::Plain(2), &[plane(4, 4, 16)]),
    simple(Dtype::Q5_0, 22, uniform(5, 16), Minimum::None, &[plane(6, 4, 16), plane(2, 1, 1)]),
    simple(Dtype::Q5_1, 24, uniform(5, 0), Minimum::Plain(2), &[plane(8, 4, 16), plane(4, 1, 1)]),
    BlockFormat { inverted: 0x80, ..simple(Dtype::Q8_0, 34, uniform(8, 128), Minimum::None, &[plane(2, 8, 32)]) },
    simple(Dtype::IQ4_NL, 18, Levels::Book(&BOOK), Minimum::None, &[plane(2, 4, 16)]),
    super_block(
        (Dtype::Q2_K, 84, 16),
        uniform(2, 0),
        (80, Minimum::PerGroup(82, sub(0, Packing::Nibbles { high: true }, (0, 15), 0))),
        sub(0, Packing::Nibbles { high: false }, (0, 15), 0),
        &[plane(16, 2, 32)],
    ),
    super_block(
        (Dtype::Q3_K, 110, 16),
        uniform(3, 4),
        (108, Minimum::None),
        sub(96, Packing::LowAndHigh, (-32, 31), 32),
        &[plane(32, 2, 32), plane(0, 1, 32)],
    ),
    super_block(
        (Dtype::Q4_K, 144, 32),
        uniform(4, 0),
        (0, Minimum::PerGroup(2, sub(4, SIX_MINIMA, (0, 63), 0))),
        sub(4, SIX, (0, 63), 0),
        &[plane(16, 4, 32)],
    ),
    super_block(
        (Dtype::Q5_K, 176, 32),
        uniform(5, 0),
        (0, Minimum::PerGroup(2, sub(4, SIX_MINIMA, (0, 63), 0))),
        sub(4, SIX, (0, 63), 0),
        &[plane(48, 4, 32), plane(16, 1, 32)],
    ),
    super_block(
        (Dtype::Q6_K, 210, 16),
        uniform(6, 32),
        (208, Minimum::None),
        sub(192, Packing::Bytes, (-128, 127), 0),
        &[plane(0, 4, 64), plane(128, 2, 32)],
    ),
    super_block(
        (Dtype::IQ4_XS, 136, 32),
        Levels::Book(&BOOK),
        (0, Minimum::None),
        sub(2, Packing::HighAndLow, (-32, 31), 32),
        &[plane(8, 4, 16)],
    ),
];
