//! Words of MLX, and words of numbers of eight bits, against the weights that they were quantised from
//! and against words of the same format.

use super::*;

/// Numbers of so many bits in a row, the lowest bits first.
pub fn packed_bits(numbers: &[u8], bits: u32) -> Vec<u8> {
    let runs = numbers.chunks(8).map(|run| run.iter().rev().fold(0u64, |run, &number| run << bits | u64::from(number)));
    runs.flat_map(|run| run.to_le_bytes().into_iter().take(bits as usize)).collect()
}

/// MLX: the extreme of the larger magnitude is a level, and so is 0.
pub fn mlx(weights: &[f32], name: &str, bits: u32, group: usize) -> Vec<Tensor> {
    let last = ((1u32 << bits) - 1) as f32;
    let line = |group: &[f32]| {
        let least = group.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = group.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = ((greatest - least) / last).max(1e-7);
        let (edge, step) = if least.abs() > greatest.abs() { (least, step) } else { (greatest, -step) };
        (rounded(edge / (edge / step).round()), rounded(edge))
    };
    let lines: Vec<(f32, f32)> = weights.chunks(group).map(line).collect();
    let of = |(i, weight): (usize, &f32)| {
        let (slope, bias) = lines[i / group];
        ((weight - bias) / slope).round_ties_even().clamp(0.0, last) as u8
    };
    let numbers: Vec<u8> = weights.iter().enumerate().map(of).collect();
    let bytes = packed_bits(&numbers, bits);
    let (slopes, biases): (Vec<f32>, Vec<f32>) = lines.into_iter().unzip();
    let outers = weights.len() / INNER;
    vec![
        tensor(&format!("{name}.biases"), "BF16", [outers, INNER / group], words(&biases)),
        tensor(&format!("{name}.scales"), "BF16", [outers, INNER / group], words(&slopes)),
        tensor(&format!("{name}.weight"), "U32", [outers, bytes.len() / 4 / outers], bytes),
    ]
}

/// GPTQ of eight bits: words of four inputs each, by inputs and outputs; groups of 64 inputs.
fn gptq8(weights: &[f32], name: &str) -> Vec<Tensor> {
    const GROUP: usize = 64;
    let scale =
        |outer: usize, group: usize| rounded(largest(&weights[outer * INNER + group * GROUP..][..GROUP]) / 127.5);
    let number =
        |outer: usize, inner: usize| number(weights[outer * INNER + inner], scale(outer, inner / GROUP), 128.0, 255.0);
    let places =
        (0..INNER / 4).flat_map(|word| (0..OUTER).flat_map(move |outer| (0..4).map(move |i| (outer, word * 4 + i))));
    let numbers = places.map(|(outer, inner)| number(outer, inner)).collect();
    let scales = (0..INNER / GROUP).flat_map(|group| (0..OUTER).map(move |outer| (outer, group)));
    let scales: Vec<f32> = scales.map(|(outer, group)| scale(outer, group)).collect();
    vec![
        tensor(&format!("{name}.qweight"), "I32", [INNER / 4, OUTER], numbers),
        tensor(&format!("{name}.qzeros"), "I32", [INNER / GROUP, OUTER / 4], vec![127; INNER / GROUP * OUTER]),
        tensor(&format!("{name}.scales"), "BF16", [INNER / GROUP, OUTER], words(&scales)),
    ]
}

/// compressed-tensors of eight bits: words of four numbers, and a scale for each row.
fn compressed8(weights: &[f32], name: &str) -> Vec<Tensor> {
    let (numbers, scales) =
        runs(weights, INNER, |run| rounded(largest(run) / 127.5), |weight, scale| number(weight, scale, 128.0, 255.0));
    vec![
        tensor(&format!("{name}.weight_packed"), "I32", [OUTER, INNER / 4], numbers),
        tensor(&format!("{name}.weight_scale"), "BF16", [OUTER, 1], words(&scales)),
    ]
}

type Quantiser = fn(&[f32], &str) -> Vec<Tensor>;

/// The layers of a model whose weights `tune` changes, each by another quantiser.
fn quantised(tune: impl Fn(f32, usize) -> f32) -> Vec<Tensor> {
    let quantisers: [Quantiser; 4] =
        [|weights, name| mlx(weights, name, 4, 64), |weights, name| mlx(weights, name, 8, 64), gptq8, compressed8];
    let layers = LAYERS.iter().zip(quantisers).enumerate();
    let tuned =
        |i: usize| -> Vec<f32> { weights(i as u64).into_iter().enumerate().map(|(at, w)| tune(w, at)).collect() };
    layers.flat_map(|(i, (name, quantiser))| quantiser(&tuned(i), name)).collect()
}

fn is_number(name: &str) -> bool {
    [".weight", ".qweight", ".weight_packed"].iter().any(|end| name.ends_with(end))
}

#[test]
fn words_and_their_companions_follow_from_the_weights() {
    let target = file(&quantised(|weight, _| weight));
    for effort in EFFORTS {
        let base = base("");
        let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
        check(&base, &target, &archive);
        for tensor in inspect(&archive).unwrap().tensors.iter().filter(|tensor| !tensor.name.ends_with("qzeros")) {
            let method = if is_number(&tensor.name) { "grid" } else { "copy-base" };
            assert_eq!(tensor.method.name(), method, "{} {effort:?}", tensor.name);
        }
        assert!(archive.len() * 40 < target.len(), "{} of {}", archive.len(), target.len());
    }
}

/// Runs in the base's order are recognised by their first weights, which biases move.
#[test]
fn renamed_words_are_found_by_content() {
    let target: Vec<Tensor> =
        quantised(|weight, _| weight).into_iter().filter(|(name, ..)| name.starts_with(['a', 'b'])).collect();
    let (base, target) = (base("model.other."), file(&target));
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    assert!(archive.len() * 25 < target.len(), "{} of {}", archive.len(), target.len());
}

/// Groups whose weights are all alike, all 0, or of one sign have lines, too.
#[test]
fn lines_of_any_groups_are_computed_alike() {
    let special = |weight: f32, i: usize| match i / 64 % 7 {
        0 => 0.0,
        1 => 1.5,
        2 => -weight.abs(),
        3 => weight.abs() + 1e-3,
        4 if i % 64 == 5 => f32::INFINITY,
        5 => f32::MAX * (i % 3) as f32 * 0.5,
        _ => weight,
    };
    let all = |i: u64| -> Vec<f32> { weights(i).into_iter().enumerate().map(|(at, w)| special(w, at)).collect() };
    let layer =
        |(i, name): (usize, &&str)| tensor(&format!("{name}.weight"), "BF16", [OUTER, INNER], words(&all(i as u64)));
    let base = file(&LAYERS.iter().enumerate().map(layer).collect::<Vec<_>>());
    let target = file(&quantised(special));
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
}

/// Against words of the same format, the grid tells more than the numbers alone.
#[test]
fn words_are_placed_in_the_grid_of_the_target() {
    let tuned = |weight: f32, i: usize| rounded(weight + ((i * 7919) % 100) as f32 * 2e-5);
    let (base, target) = (file(&quantised(|weight, _| weight)), file(&quantised(tuned)));
    let renamed = |file: &[u8]| {
        let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let header = String::from_utf8(file[8..8 + length].to_vec()).unwrap().replace("scale", "sc_le");
        [&file[..8], header.as_bytes(), &file[8 + length..]].concat()
    };
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    for tensor in inspect(&archive).unwrap().tensors.iter().filter(|tensor| is_number(&tensor.name)) {
        assert_eq!(tensor.method.name(), "grid", "{}", tensor.name);
    }
    let without = compress(&renamed(&base), &renamed(&target), Format::default()).unwrap();
    assert!(archive.len() * 10 < without.len() * 9, "{}, and {} without companions", archive.len(), without.len());
}
