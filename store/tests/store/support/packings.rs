//! Quantisers that keep numbers, scales and zero points in tensors of their own, for tests.

use super::blocks::{bounds, half, largest};
use super::common;
use super::weights::Weights;

/// A tensor: its name, dtype, shape and bytes.
pub type Tensor = (String, &'static str, Vec<u64>, Vec<u8>);

/// A quantiser of a matrix with so many columns: the tensors that take the place of `stem.weight`.
pub type Packing = fn(&str, &[f32], usize) -> Vec<Tensor>;

/// The packings, each with its name.
pub const PACKINGS: [(&str, Packing); 7] = [
    ("GPTQ", gptq),
    ("AWQ", awq),
    ("MLX", mlx),
    ("compressed-tensors", compressed),
    ("NF4", nf4),
    ("FP8 blocks", fp8),
    ("MatMulNBits", nbits),
];

/// A file of these tensors, as safetensors.
pub fn to_file(tensors: &[Tensor]) -> Vec<u8> {
    let tensors: Vec<_> =
        tensors.iter().map(|(name, dtype, shape, bytes)| (name.as_str(), *dtype, &shape[..], &bytes[..])).collect();
    common::model(&tensors)
}

/// A file of the first matrix of a model in a packing.
pub fn packed(model: &Weights, packing: Packing) -> Vec<u8> {
    let (name, weights, columns) = model.matrix();
    to_file(&packing(name, &weights, columns))
}

/// The numbers of 4 bits, and the scale and the zero point of each run of `group` weights.
struct Affine {
    numbers: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<u8>,
    /// The scales as `F16`.
    halves: Vec<[u8; 2]>,
}

fn affine(weights: &[f32], group: usize) -> Affine {
    let mut all = Affine { numbers: Vec::new(), scales: Vec::new(), zeros: Vec::new(), halves: Vec::new() };
    for run in weights.chunks(group) {
        let ((least, most), mut bytes) = (bounds(run), [0; 2]);
        let scale = half(&mut bytes, 0, (most.max(0.0) - least.min(0.0)) / 15.0);
        let zero = (-least.min(0.0) / scale).round().clamp(0.0, 15.0);
        all.numbers.extend(run.iter().map(|weight| ((weight / scale).round() + zero).clamp(0.0, 15.0) as u8));
        all.scales.push(scale);
        all.zeros.push(zero as u8);
        all.halves.push(bytes);
    }
    all
}

/// Packs numbers of 4 bits, the first one in the lowest bits.
fn nibbles(numbers: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.into_iter().collect();
    numbers.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect()
}

/// A matrix with this number of columns, transposed.
fn transposed<T: Copy>(matrix: &[T], columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

fn tensor(stem: &str, end: &str, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) -> Tensor {
    (format!("{stem}{end}"), dtype, shape.iter().map(|extent| *extent as u64).collect(), bytes)
}

/// GPTQ: words of eight inputs of one output, with the inputs as rows.
fn gptq(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (all, rows, groups) = (affine(weights, 128), weights.len() / columns, columns / 128);
    // Of eight inputs, each output has a word.
    let by_inputs = all.numbers.chunks(8).map(|word| nibbles(word.iter().copied())).collect::<Vec<_>>();
    let words = transposed(&by_inputs.iter().collect::<Vec<_>>(), columns / 8).into_iter().flatten().copied().collect();
    let zeros = transposed(&all.zeros, groups).into_iter().map(|zero| zero.wrapping_sub(1) & 15);
    let group = |input: usize| ((input / 128) as u32).to_le_bytes();
    vec![
        tensor(stem, ".g_idx", "I32", &[columns], (0..columns).flat_map(group).collect()),
        tensor(stem, ".qweight", "I32", &[columns / 8, rows], words),
        tensor(stem, ".qzeros", "I32", &[groups, rows / 8], nibbles(zeros)),
        tensor(stem, ".scales", "F16", &[groups, rows], transposed(&all.halves, groups).concat()),
    ]
}

/// AWQ: words of eight outputs of one input, which are interleaved.
fn awq(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (all, rows, groups) = (affine(weights, 128), weights.len() / columns, columns / 128);
    let interleaved = |numbers: Vec<u8>| -> Vec<u8> {
        numbers.chunks(8).flat_map(|word| nibbles([0, 2, 4, 6, 1, 3, 5, 7].map(|at| word[at]))).collect()
    };
    vec![
        tensor(stem, ".qweight", "I32", &[columns, rows / 8], interleaved(transposed(&all.numbers, columns))),
        tensor(stem, ".qzeros", "I32", &[groups, rows / 8], interleaved(transposed(&all.zeros, groups))),
        tensor(stem, ".scales", "F16", &[groups, rows], transposed(&all.halves, groups).concat()),
    ]
}

/// MLX: numbers times a scale, plus a bias.
fn mlx(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (rows, mut numbers, mut scales, mut biases) = (weights.len() / columns, Vec::new(), Vec::new(), Vec::new());
    for run in weights.chunks(64) {
        // The edge of greater magnitude is a whole number of steps from zero. Weights are quantised
        // by scales that are not rounded yet.
        let ((least, most), mut bytes) = (bounds(run), [0; 4]);
        let is_least = least.abs() > most.abs();
        let (bias, step) = if is_least { (least, 1.0) } else { (most, -1.0) };
        let step = step * (most - least) / 15.0;
        let scale = bias / (bias / step).round();
        half(&mut bytes, 0, scale);
        half(&mut bytes, 2, bias);
        numbers.extend(run.iter().map(|weight| ((weight - bias) / scale).round().clamp(0.0, 15.0) as u8));
        scales.extend_from_slice(&bytes[..2]);
        biases.extend_from_slice(&bytes[2..]);
    }
    vec![
        tensor(stem, ".biases", "F16", &[rows, columns / 64], biases),
        tensor(stem, ".scales", "F16", &[rows, columns / 64], scales),
        tensor(stem, ".weight", "U32", &[rows, columns / 8], nibbles(numbers)),
    ]
}

/// Integers of 4 bits of compressed-tensors, around 8.
fn compressed(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (rows, mut numbers, mut scales) = (weights.len() / columns, Vec::new(), Vec::new());
    for run in weights.chunks(128) {
        let scale = f32::from_bits((largest(run).abs() / 7.5).to_bits() & !0xFFFF);
        numbers.extend(run.iter().map(|weight| ((weight / scale).round() + 8.0).clamp(0.0, 15.0) as u8));
        scales.extend_from_slice(&scale.to_le_bytes()[2..]);
    }
    let shape = [rows as u64, columns as u64].iter().flat_map(|extent| extent.to_le_bytes()).collect();
    vec![
        tensor(stem, ".weight_packed", "I32", &[rows, columns / 8], nibbles(numbers)),
        tensor(stem, ".weight_scale", "BF16", &[rows, columns / 128], scales),
        tensor(stem, ".weight_shape", "I64", &[2], shape),
    ]
}

/// The levels of NF4.
const LEVELS: [f32; 16] = [
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

/// NF4 of bitsandbytes: places of levels, in runs of 64 with their largest magnitude.
fn nf4(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (mut numbers, mut scales) = (Vec::new(), Vec::new());
    for run in weights.chunks(64) {
        let most = largest(run).abs();
        let distance = |weight: f32, level: usize| (weight / most - LEVELS[level]).abs();
        let nearest = |weight: &f32| (0..16).min_by(|a, b| distance(*weight, *a).total_cmp(&distance(*weight, *b)));
        numbers.extend(run.iter().map(|weight| nearest(weight).unwrap() as u8));
        scales.extend(most.to_le_bytes());
    }
    // The first number is in the highest bits.
    let bytes: Vec<u8> = numbers.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let shape = format!("[{}, {columns}]", weights.len() / columns);
    let state = format!("{{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": {shape}}}");
    let map = LEVELS.iter().flat_map(|level| level.to_le_bytes()).collect();
    vec![
        tensor(stem, ".weight", "U8", &[bytes.len(), 1], bytes),
        tensor(stem, ".weight.absmax", "F32", &[scales.len() / 4], scales),
        tensor(stem, ".weight.quant_map", "F32", &[16], map),
        tensor(stem, ".weight.quant_state.bitsandbytes__nf4", "U8", &[state.len()], state.into_bytes()),
    ]
}

/// Floats of 8 bits (E4M3), each tile of 128 rows and columns with a scale.
fn fp8(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (rows, across) = (weights.len() / columns, columns / 128);
    let mut scales = vec![0f32; rows.div_ceil(128) * across];
    let tile = |at: usize| at / columns / 128 * across + at % columns / 128;
    weights.iter().enumerate().for_each(|(at, weight)| scales[tile(at)] = scales[tile(at)].max(weight.abs() / 448.0));
    let numbers = weights.iter().enumerate().map(|(at, weight)| e4m3(weight / scales[tile(at)])).collect();
    let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    vec![
        tensor(stem, ".weight", "F8_E4M3", &[rows, columns], numbers),
        tensor(stem, ".weight_scale_inv", "F32", &[rows.div_ceil(128), across], scales),
    ]
}

/// The nearest number of E4M3.
fn e4m3(number: f32) -> u8 {
    let magnitude = number.abs().min(448.0);
    let exponent = (magnitude.max(2f32.powi(-6)).log2().floor() as i32).clamp(-6, 8);
    let mantissa = (magnitude / 2f32.powi(exponent - 3)).round_ties_even() as i32;
    // A mantissa that was rounded up to 16 makes the exponent greater.
    let bits = (exponent + 6) * 8 + mantissa;
    bits as u8 | if number < 0.0 { 0x80 } else { 0 }
}

/// MatMulNBits of onnxruntime: runs of 32 with zero points of 4 bits.
fn nbits(stem: &str, weights: &[f32], columns: usize) -> Vec<Tensor> {
    let (all, rows) = (affine(weights, 32), weights.len() / columns);
    vec![
        tensor(stem, "_Q4", "U8", &[rows, columns / 2], nibbles(all.numbers)),
        tensor(stem, "_scales", "F16", &[all.halves.len()], all.halves.concat()),
        tensor(stem, "_zero_points", "U8", &[all.zeros.len() / 2], nibbles(all.zeros)),
    ]
}
