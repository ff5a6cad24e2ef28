//! Models of many short tensors.

use super::common;
use super::weights::Random;

/// A tensor: its name, dtype, shape and bytes.
pub type Tensor = (String, &'static str, Vec<u64>, Vec<u8>);

/// A model of short tensors, whose weights can be changed.
#[derive(Clone)]
pub struct Short(pub Vec<Tensor>);

impl Short {
    /// `count` tensors of 512 weights of BF16.
    pub fn new(count: usize, random: &mut Random) -> Self {
        let tensor = |number: usize| {
            let bytes = (0..512).flat_map(|_| bf16(0.02 * random.normal())).collect();
            (format!("model.layers.{}.block.{}.weight", number / 100, number % 100), "BF16", vec![512], bytes)
        };
        Self((0..count).map(tensor).collect())
    }

    /// The same tensors, of which each has a little noise added.
    pub fn tuned(&self, random: &mut Random) -> Self {
        let tuned = |(name, dtype, shape, bytes): &Tensor| {
            let bytes = match *dtype {
                "BF16" => {
                    let weights = bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from_le_bytes([0, 0, b[0], b[1]])));
                    weights.flat_map(|weight| bf16(weight + 1e-4 * random.normal())).collect()
                }
                _ => bytes.clone(),
            };
            (name.clone(), *dtype, shape.clone(), bytes)
        };
        Self(self.0.iter().map(tuned).collect())
    }

    /// The same tensors as F32.
    pub fn cast(&self) -> Self {
        let cast = |(name, _, shape, bytes): &Tensor| {
            (name.clone(), "F32", shape.clone(), bytes.chunks_exact(2).flat_map(|b| [0, 0, b[0], b[1]]).collect())
        };
        Self(self.0.iter().map(cast).collect())
    }

    pub fn to_file(&self) -> Vec<u8> {
        let tensors: Vec<_> =
            self.0.iter().map(|(name, dtype, shape, bytes)| (&name[..], *dtype, &shape[..], &bytes[..])).collect();
        common::model(&tensors)
    }
}

pub fn bf16(weight: f32) -> [u8; 2] {
    ((weight.to_bits() + 0x7FFF + (weight.to_bits() >> 16 & 1)) >> 16).to_le_bytes()[..2].try_into().unwrap()
}
