//! Block formats of quantised weights, as data: how the fields of a block are packed, and what
//! weights they stand for.
//!
//! A *block* holds a run of weights of one row: a scale, sometimes an offset, sometimes sub-scales
//! and sub-minima for its *groups*, and an index for each weight. A weight is
//! `a * level[index] + c`, where `a` and `c` belong to its group. The formats are those of
//! [ggml](https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h).

mod blocks;
pub(crate) mod dynamic;
pub(crate) mod formats;
pub(crate) mod groups;
pub(crate) mod packed;
mod packing;

pub(crate) use blocks::{BlockFields, finite, read_indices, write_indices};
pub(crate) use formats::{BlockFormat, Levels, Minimum, round_small};

use crate::layout::Dtype;

/// The block format of a dtype, if it has one.
pub(crate) fn format_of(dtype: Dtype) -> Option<&'static BlockFormat> {
    formats::FORMATS.iter().find(|format| format.dtype == dtype)
}

/// Number of weights in a unit of `dtype`: in a block, or 1.
pub(crate) fn weights_per_unit(dtype: Dtype) -> u64 {
    format_of(dtype).map_or(1, |format| format.weights as u64)
}

/// Returns the weights of whole blocks, each operation rounded to `F32` by itself. Bytes behind the
/// last whole block count for nothing.
pub(crate) fn dequantise(format: &'static BlockFormat, bytes: &[u8]) -> Vec<f32> {
    let fields = BlockFields::parse(format, bytes);
    let mut indices = vec![0; bytes.len() / format.bytes * format.weights];
    read_indices(format, bytes, &mut indices);
    let mut weights = vec![0f32; indices.len()];
    format.levels.values(&indices, &mut weights);
    for (block, weights) in weights.chunks_exact_mut(format.weights).enumerate() {
        for ((a, c), weights) in fields.affines(block).zip(weights.chunks_exact_mut(format.group)) {
            weights.iter_mut().for_each(|weight| *weight = a * *weight + c);
        }
    }
    weights
}

/// Returns the same as little-endian `F32`.
pub(crate) fn weights_of(format: &'static BlockFormat, bytes: &[u8]) -> Vec<u8> {
    dequantise(format, bytes).iter().flat_map(|weight| weight.to_le_bytes()).collect()
}
