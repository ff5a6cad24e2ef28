//! The weights that a tensor's words stand for.

use crate::cast::{can_cast, singles};
use crate::layout::Dtype;
use crate::quant::{dequantise, format_of};

/// Returns the weights that `bytes` stand for as `f32`: those of whole blocks of a quantised
/// format, floats, or the numbers of integers of one byte. `None` for other dtypes. The bytes
/// behind the last whole unit count for nothing.
pub fn weights(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    if let Some(format) = format_of(dtype) {
        return Some(dequantise(format, bytes));
    }
    match dtype {
        Dtype::I8 => Some(bytes.iter().map(|&byte| f32::from(byte as i8)).collect()),
        Dtype::U8 => Some(bytes.iter().map(|&byte| f32::from(byte)).collect()),
        _ if can_cast(dtype, Dtype::F32) => {
            let width = dtype.words().0;
            Some(singles(dtype, &bytes[..bytes.len() / width * width]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_integers_and_blocks_are_weights_and_others_are_not() {
        assert_eq!(weights(Dtype::BF16, &[0x80, 0x3F, 0, 0xC0, 1]), Some(vec![1.0, -2.0]));
        assert_eq!(weights(Dtype::F32, &1.5f32.to_le_bytes()), Some(vec![1.5]));
        assert_eq!((weights(Dtype::I8, &[0xFF]), weights(Dtype::U8, &[0xFF])), (Some(vec![-1.0]), Some(vec![255.0])));
        let block = [&0x3800u16.to_le_bytes()[..], &[0xFE; 32]].concat();
        assert_eq!(weights(Dtype::Q8_0, &block), Some(vec![-1.0; 32]));
        assert_eq!((weights(Dtype::Q8_0, &block[1..]), weights(Dtype::I32, &block)), (Some(Vec::new()), None));
    }
}
