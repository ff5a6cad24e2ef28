//! Numbers of 2 to 8 bits whose shapes do not tell the bits, or that go on in the next word; and forged
//! heads of words that are made together.

use super::words::{mlx, packed_bits};
use super::*;

/// The bits and the groups of MLX.
const MLX: [(u32, usize); 9] = [(2, 32), (2, 128), (3, 64), (3, 128), (4, 128), (5, 32), (6, 64), (8, 32), (8, 128)];

/// GPTQ of two bits: words of sixteen inputs each, by inputs and outputs; groups of 64 inputs.
fn gptq2(weights: &[f32], name: &str) -> Vec<Tensor> {
    const GROUP: usize = 64;
    let scale = |outer: usize, group: usize| rounded(largest(&weights[outer * INNER + group * GROUP..][..GROUP]) / 1.5);
    let of = |outer: usize, inner: usize| number(weights[outer * INNER + inner], scale(outer, inner / GROUP), 2.0, 3.0);
    let words_of = |word: usize| (0..OUTER).flat_map(move |outer| (0..16).map(move |i| (outer, word * 16 + i)));
    let numbers: Vec<u8> = (0..INNER / 16).flat_map(words_of).map(|(outer, inner)| of(outer, inner)).collect();
    let scales = (0..INNER / GROUP).flat_map(|group| (0..OUTER).map(move |outer| (outer, group)));
    let scales: Vec<f32> = scales.map(|(outer, group)| scale(outer, group)).collect();
    vec![
        tensor(&format!("{name}.qweight"), "I32", [INNER / 16, OUTER], packed_bits(&numbers, 2)),
        tensor(&format!("{name}.qzeros"), "I32", [INNER / GROUP, OUTER / 16], vec![0x55; INNER / GROUP * OUTER / 4]),
        tensor(&format!("{name}.scales"), "BF16", [INNER / GROUP, OUTER], words(&scales)),
    ]
}

/// compressed-tensors with zero points: those of eight rows in a word.
fn compressed(weights: &[f32], name: &str) -> Vec<Tensor> {
    const GROUP: usize = 64;
    let line = |run: &[f32]| {
        let least = run.iter().fold(0f32, |least, &weight| least.min(weight));
        let scale = rounded((run.iter().fold(0f32, |most, &weight| most.max(weight)) - least) / 15.0);
        (scale, (-least / scale).round_ties_even().clamp(0.0, 15.0))
    };
    let lines: Vec<(f32, f32)> = weights.chunks(GROUP).map(line).collect();
    let runs = weights.chunks(GROUP).zip(&lines);
    let numbers: Vec<u8> = runs
        .flat_map(|(run, &(scale, zero))| run.iter().map(move |&weight| number(weight, scale, zero, 15.0)))
        .collect();
    let groups = INNER / GROUP;
    let places =
        (0..OUTER / 8).flat_map(|word| (0..groups).flat_map(move |group| (0..8).map(move |i| (word * 8 + i, group))));
    let zeros: Vec<u8> = places.map(|(row, group)| lines[row * groups + group].1 as u8).collect();
    let scales: Vec<f32> = lines.iter().map(|line| line.0).collect();
    vec![
        tensor(&format!("{name}.weight_packed"), "I32", [OUTER, INNER / 8], packed(&numbers)),
        tensor(&format!("{name}.weight_scale"), "BF16", [OUTER, groups], words(&scales)),
        tensor(&format!("{name}.weight_zero_point"), "I32", [OUTER / 8, groups], packed(&zeros)),
    ]
}

/// MatMulNBits without zero points, whose scales have the sign of the largest weight.
fn blocks(weights: &[f32], name: &str, bits: u32) -> Vec<Tensor> {
    let half = (1u32 << (bits - 1)) as f32;
    let first =
        |run: &[f32]| run.iter().fold(0f32, |most, &weight| if weight.abs() > most.abs() { weight } else { most });
    let (numbers, scales) = runs(
        weights,
        32,
        |run| rounded(first(run) / -half),
        |weight, scale| number(weight, scale, half, 2.0 * half - 1.0),
    );
    let bytes = packed_bits(&numbers, bits);
    vec![
        tensor(&format!("{name}_Q{bits}"), "U8", [OUTER, bytes.len() / OUTER], bytes),
        tensor(&format!("{name}_scales"), "BF16", [OUTER, INNER / 32], words(&scales)),
    ]
}

/// The tensors of a model whose weights `tune` changes, each in other bits.
fn quantised(tune: impl Fn(f32, usize) -> f32) -> Vec<Tensor> {
    let tuned = |i: usize| -> Vec<f32> {
        weights(i as u64).into_iter().enumerate().map(|(at, weight)| tune(weight, at)).collect()
    };
    let affine = |(i, (bits, group)): (usize, (u32, usize))| mlx(&tuned(i), &format!("{i}.mlx"), bits, group);
    let mut all: Vec<Tensor> = MLX.into_iter().enumerate().flat_map(affine).collect();
    all.extend(gptq2(&tuned(10), "a.gptq"));
    all.extend(blocks(&tuned(11), "b.blocks", 2));
    all.extend(blocks(&tuned(12), "c.blocks", 8));
    all.extend(compressed(&tuned(13), "d.compressed"));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn floats() -> Vec<Tensor> {
    let mut names: Vec<String> = (0..MLX.len()).map(|i| format!("{i}.mlx.weight")).collect();
    names.extend(["a.gptq.weight", "b.blocks.weight", "c.blocks.weight", "d.compressed.weight"].map(str::to_owned));
    let seeds = (0..MLX.len() as u64).chain(10..14);
    names.iter().zip(seeds).map(|(name, seed)| tensor(name, "BF16", [OUTER, INNER], words(&weights(seed)))).collect()
}

fn is_number(name: &str) -> bool {
    [".weight", ".qweight", "_packed", "_Q2", "_Q8"].iter().any(|end| name.ends_with(end))
}

#[test]
fn numbers_of_any_bits_follow_from_the_weights() {
    let (base, target) = (file(&floats()), file(&quantised(|weight, _| weight)));
    for effort in EFFORTS {
        let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
        check(&base, &target, &archive);
        for tensor in inspect(&archive).unwrap().tensors.iter().filter(|tensor| is_number(&tensor.name)) {
            assert_eq!(tensor.method.name(), "grid", "{} {effort:?}", tensor.name);
        }
        assert!(archive.len() * 30 < target.len(), "{} of {}", archive.len(), target.len());
    }
}

#[test]
fn numbers_of_any_bits_are_placed_in_the_grid_of_the_target() {
    let tuned = |weight: f32, i: usize| rounded(weight + ((i * 7919) % 100) as f32 * 2e-5);
    let (base, target) = (file(&quantised(|weight, _| weight)), file(&quantised(tuned)));
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    for tensor in inspect(&archive).unwrap().tensors.iter().filter(|tensor| tensor.name.ends_with("mlx.weight")) {
        assert_eq!(tensor.method.name(), "grid", "{}", tensor.name);
    }
}

/// Floats are the weights of numbers of any bits.
#[test]
fn weights_of_any_bits_are_computed() {
    let target: Vec<Tensor> = floats().into_iter().filter(|(name, ..)| name.contains("mlx")).collect();
    let (base, target) = (file(&quantised(|weight, _| weight)), file(&target));
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    assert!(archive.len() * 5 < target.len() * 4, "{} of {}", archive.len(), target.len());
}

#[test]
fn any_numbers_of_any_bits_come_back() {
    let mut random = random(9);
    for rare in [1, 16, 255] {
        let (mut base, mut floats, mut target) =
            (file(&quantised(|weight, _| weight)), file(&floats()), file(&quantised(|weight, _| weight * 1.01)));
        for file in [&mut base, &mut floats, &mut target] {
            scramble(file, rare, &mut random);
        }
        for base in [base, floats] {
            let archive = compress(&base, &target, Format::default()).unwrap();
            check(&base, &target, &archive);
        }
    }
}

/// The error of both decoders for a head with one item of kind 12: `w`, so many `U32`, made from words of
/// BF16 in this way; none if both restore it.
fn in_runs(words: u64, derived: &[u64], rest: &[u8]) -> Option<ErrorKind> {
    let item = [&[12, 1, b'w', 16, 1][..], &varint(words), &[0, 0, 14]].concat();
    let numbers: Vec<u8> = derived.iter().flat_map(|&number| varint(number)).collect();
    let head = [&[0, 1, 0, 1, 1][..], &item, &numbers, rest].concat();
    let base = model(&[("w", "BF16", &[64], &[0; 128])]);
    let target = vec![0; 4 * words as usize];
    error_of(&base, &head, &target)
}

#[test]
fn forged_runs_are_refused() {
    // Rows, columns, weights of an element and of a run, words of a run.
    for numbers in [[1, 1, 1, 32, 0], [1, 1, 1, 32, 1], [1, 1, 1, 32, 9], [1, 1, 1, 32, u64::MAX]] {
        assert_eq!(in_runs(6, &numbers, &[0]), Some(ErrorKind::Corrupt), "{numbers:?}");
    }
    // Words that are no whole runs, weights that are no whole matrices, more weights than the base has.
    assert_eq!(in_runs(7, &[1, 1, 1, 32, 3], &[0]), Some(ErrorKind::Corrupt));
    assert_eq!(in_runs(6, &[3, 1, 1, 32, 3], &[0]), Some(ErrorKind::Corrupt));
    assert_eq!(in_runs(6, &[1, 1, 3, 32, 3], &[0]), Some(ErrorKind::Corrupt));
    assert_eq!(in_runs(9, &[1, 1, 1, 32, 3], &[0]), Some(ErrorKind::BaseMismatch));
    assert_eq!(in_runs(6, &[1, 1, 1, u64::MAX, 3], &[0]), Some(ErrorKind::Limit));
    // Spans are of words.
    assert_eq!(in_runs(6, &[1, 1, 1, 32, 3], &[1, 0, 0, 128, 63]), Some(ErrorKind::Corrupt));
}
