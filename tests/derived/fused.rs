//! Packed numbers of matrices that are fused in one model and split in the other; and forged heads
//! of words that were made from runs of weights.

use super::nested::double_quantised;
use super::words::mlx;
use super::*;

const PARTS: [&str; 3] = ["q", "k", "v"];

type Quantiser = fn(&[f32], &str) -> Vec<Tensor>;

/// The quantisers, and the shares of their sizes, as one in so many, that archives have at most.
/// Zero points are stored.
const QUANTISERS: [(&str, Quantiser, usize); 10] = [
    ("gptq", gptq, 40),
    ("awq", awq, 14),
    ("mlc", mlc, 40),
    ("onnx", onnx, 40),
    ("nf4", nf4, 40),
    ("nested nf4", double_quantised, 20),
    ("mlx", |weights, name| mlx(weights, name, 4, 64), 40),
    ("mlx of 3 bits", |weights, name| mlx(weights, name, 3, 32), 30),
    ("rows", |weights, name| tiled(weights, name, (1, INNER), 3), 60),
    ("tiles", |weights, name| tiled(weights, name, (32, 128), 3), 60),
];

fn floats(name: &str, weights: &[f32]) -> Tensor {
    tensor(&format!("{name}.weight"), "BF16", [weights.len() / INNER, INNER], words(weights))
}

/// The weights of each part, and of all together.
fn parts() -> (Vec<Vec<f32>>, Vec<f32>) {
    let parts: Vec<Vec<f32>> = (0..PARTS.len() as u64).map(|part| weights(part + 20)).collect();
    let all = parts.concat();
    (parts, all)
}

/// The parts and another tensor, which is none of them.
fn split_base(parts: &[Vec<f32>]) -> Vec<u8> {
    let named = parts.iter().zip(PARTS).map(|(weights, name)| floats(name, weights));
    file(&named.chain([floats("other", &weights(30))]).collect::<Vec<_>>())
}

fn is_small(base: &[u8], target: &[u8], (name, share): (&str, usize)) {
    for effort in EFFORTS {
        let archive = compress(base, target, Format::V2 { effort }).unwrap();
        check(base, target, &archive);
        assert!(archive.len() * share < target.len(), "{name} {effort:?}: {} of {}", archive.len(), target.len());
    }
}

#[test]
fn fused_numbers_follow_from_split_weights() {
    let (parts, all) = parts();
    let base = split_base(&parts);
    for (name, quantiser, share) in QUANTISERS {
        is_small(&base, &file(&quantiser(&all, "qkv")), (name, share));
    }
}

#[test]
fn split_numbers_follow_from_fused_weights() {
    let (parts, all) = parts();
    let base = file(&[floats("qkv", &all), floats("other", &weights(30))]);
    for (name, quantiser, share) in QUANTISERS {
        let named = parts.iter().zip(PARTS).flat_map(|(weights, name)| quantiser(weights, name));
        is_small(&base, &file(&named.collect::<Vec<_>>()), (name, share));
    }
}

/// Integers of 8 bits with a scale for each row.
#[test]
fn fused_integers_of_eight_bits_follow_from_split_weights() {
    let (parts, all) = parts();
    let (numbers, scales) =
        runs(&all, INNER, |row| largest(row) / 127.0, |weight, scale| (weight / scale).round_ties_even() as i8 as u8);
    let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    let target = [
        tensor("qkv.weight", "I8", [all.len() / INNER, INNER], numbers),
        tensor("qkv.weight_scale", "F32", [all.len() / INNER, 1], scales),
    ];
    is_small(&split_base(&parts), &file(&target), ("integers", 40));
}

/// Experts whose floats have the rows of the numbers as columns.
#[test]
fn numbers_of_experts_follow_from_transposed_weights() {
    const EXPERTS: usize = 3;
    let (_, all) = parts();
    let (numbers, scales) = runs(&all, INNER, |row| largest(row) / 448.0, |weight, scale| float8(weight / scale, 3));
    let scales: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    let place = |expert: usize, i: usize| expert * OUTER * INNER + i % OUTER * INNER + i / OUTER;
    let turned = (0..EXPERTS).flat_map(|expert| (0..OUTER * INNER).map(move |i| place(expert, i)));
    let turned: Vec<f32> = turned.map(|place| all[place]).collect();
    let shape = |extents: [usize; 3]| extents.map(|extent| extent as u64);
    let base = model(&[("experts.up", "BF16", &shape([EXPERTS, INNER, OUTER]), &words(&turned))]);
    let target = model(&[
        ("experts.up", "F8_E4M3", &shape([EXPERTS, OUTER, INNER]), &numbers),
        ("experts.up_scale", "F32", &shape([EXPERTS, OUTER, 1]), &scales),
    ]);
    is_small(&base, &target, ("experts", 60));
}

/// GPTQ of four bits with zero points, which are stored less `less`.
fn gptq_with_zeros(weights: &[f32], name: &str, less: u8) -> Vec<Tensor> {
    const GROUP: usize = 64;
    let group = |outer: usize, group: usize| {
        let weights = &weights[outer * INNER + group * GROUP..][..GROUP];
        let least = weights.iter().fold(0f32, |least, &weight| least.min(weight));
        let greatest = weights.iter().fold(0f32, |most, &weight| most.max(weight));
        let scale = rounded((greatest - least) / 15.0);
        (scale, (-least / scale).round_ties_even().clamp(1.0, 15.0))
    };
    let outers = weights.len() / INNER;
    let places =
        (0..INNER / 8).flat_map(|word| (0..outers).flat_map(move |outer| (0..8).map(move |i| (outer, word * 8 + i))));
    let numbers: Vec<u8> = places
        .map(|(outer, inner)| {
            let (scale, zero) = group(outer, inner / GROUP);
            number(weights[outer * INNER + inner], scale, zero, 15.0)
        })
        .collect();
    let groups = || (0..INNER / GROUP).flat_map(|row| (0..outers).map(move |outer| (outer, row)));
    let zeros: Vec<u8> = groups().map(|(outer, row)| group(outer, row).1 as u8 - less).collect();
    let scales: Vec<f32> = groups().map(|(outer, row)| group(outer, row).0).collect();
    vec![
        tensor(&format!("{name}.qweight"), "I32", [INNER / 8, outers], packed(&numbers)),
        tensor(&format!("{name}.qzeros"), "I32", [INNER / GROUP, outers / 8], packed(&zeros)),
        tensor(&format!("{name}.scales"), "BF16", [INNER / GROUP, outers], words(&scales)),
    ]
}

/// The two formats of GPTQ differ in the zero points that they store.
#[test]
fn zero_points_tell_the_format_of_gptq() {
    let (parts, all) = parts();
    let base = split_base(&parts);
    for less in [0, 1] {
        // The zero points take more than all else.
        is_small(&base, &file(&gptq_with_zeros(&all, "qkv", less)), ("zero points", 20));
        let mut symmetric = gptq(&all, "qkv");
        let zeros = vec![0x88 - 0x11 * less; INNER / 64 * all.len() / INNER / 2];
        symmetric.push(tensor("qkv.qzeros", "I32", [INNER / 64, all.len() / INNER / 8], zeros));
        is_small(&base, &file(&symmetric), ("one zero point", 40));
    }
}

/// A part that the base lacks: the numbers have no weights then, and come back all the same.
#[test]
fn parts_that_are_missing_or_changed_come_back() {
    let (parts, all) = parts();
    let mut random = random(3);
    for (_, quantiser, _) in QUANTISERS {
        let (mut whole, mut target) = (split_base(&parts), file(&quantiser(&all, "qkv")));
        let lacking = split_base(&parts[..2]);
        let archive = compress(&lacking, &target, Format::default()).unwrap();
        check(&lacking, &target, &archive);
        for file in [&mut whole, &mut target] {
            scramble(file, 4, &mut random);
        }
        let archive = compress(&whole, &target, Format::default()).unwrap();
        check(&whole, &target, &archive);
    }
}

/// The error of both decoders for a head with one item of kind 13: `w`, so many `U8`, made from
/// words of `BF16` or `F16` in this way; none if both restore it.
fn of_runs(words: u64, derived: &[u64], rest: &[u8], view: &[u8]) -> Option<ErrorKind> {
    let item = [&[13, 1, b'w', 4, 1][..], &varint(words)].concat();
    let numbers: Vec<u8> = derived.iter().flat_map(|&number| varint(number)).collect();
    let head = [&[0, 1, 0, 1, 1][..], &item, &numbers, rest, view].concat();
    let base = model(&[("w", "BF16", &[64], &[0; 128]), ("x", "F16", &[64], &[0; 128])]);
    let target = vec![0; words as usize];
    error_of(&base, &head, &target)
}

#[test]
fn forged_runs_of_weights_are_refused() {
    // 4 words of 16 weights each, of 64 in all: 32 of `w`, 8 of none, and the last 24 of `x`.
    let good = [2, 0, 0, 14, 0, 2, b'x', 13, 3, 32, 1, 0, 8, 0, 24, 2, 80];
    let order = [1, 1, 1, 16, 1];
    // The first checksum is wrong.
    assert_eq!(of_runs(4, &order, &[0], &good), Some(ErrorKind::BaseMismatch));
    // No origin, an origin that is not there, of another dtype, and of no cast.
    assert_eq!(of_runs(4, &order, &[0], &[0, 1, 64, 0]), Some(ErrorKind::Corrupt));
    assert_eq!(of_runs(4, &order, &[0], &[1, 0, 0, 14, 1, 64, 2, 0]), Some(ErrorKind::Corrupt));
    assert_eq!(of_runs(4, &order, &[0], &[1, 0, 0, 17, 1, 32, 1, 0]), Some(ErrorKind::Corrupt));
    assert_eq!(of_runs(4, &order, &[0], &[1, 0, 0, 4, 1, 64, 1, 0]), Some(ErrorKind::Corrupt));
    assert_eq!(of_runs(4, &order, &[0], &[1, 0, 0, 22, 1, 64, 1, 0]), Some(ErrorKind::Corrupt));
    assert_eq!(of_runs(4, &order, &[0], &[1, 0, 0, 17, 1, 64, 1, 0]), Some(ErrorKind::BaseMismatch));
    // Runs that are too short, too long, empty, or outside of the region.
    for runs in [&[1, 63, 1, 0][..], &[1, 65, 1, 0], &[2, 0, 1, 0, 64, 1, 0], &[1, 64, 1, 1], &[0]] {
        assert_eq!(of_runs(4, &order, &[0], &[&[1, 0, 0, 14], runs].concat()), Some(ErrorKind::Corrupt), "{runs:?}");
    }
    assert_eq!(of_runs(4, &order, &[0], &[1, 0, 0, 14, 1, 64, 1, 2]), Some(ErrorKind::BaseMismatch));
    // Words of a run, and weights that are no whole matrices or elements.
    for order in
        [[1, 1, 1, 16, 0], [1, 1, 1, 16, 9], [1, 1, 1, 16, 3], [3, 1, 1, 16, 1], [1, 1, 3, 16, 1], [1, 0, 1, 16, 1]]
    {
        assert!(of_runs(4, &order, &[0], &good).is_some_and(|kind| kind != ErrorKind::BaseMismatch), "{order:?}");
    }
    // More weights than any file has, and elements that are larger.
    let most = u64::MAX;
    for order in [[1, 1, 1, most, 1], [1, 1, 1, most / 4, 1], [1, 1, 1, 1 << 59, 1], [1, most, 1, 16, 1]] {
        assert_eq!(of_runs(4, &order, &[0], &good), Some(ErrorKind::Limit), "{order:?}");
    }
    // A span that is not known.
    assert_eq!(of_runs(4, &order, &[8, 0, 0, 128, 63], &good), Some(ErrorKind::Unsupported));
}

/// Each chunk needs all runs of its matrices.
#[test]
fn chunks_need_few_runs() {
    // One matrix of 2^22 weights, which 32 chunks of 2^20 words need: 8 words of each weight.
    let head = |runs: u64| {
        let words = 1u64 << 25;
        let order: Vec<u8> = [2, 1 << 21, 1, 1, 8].into_iter().flat_map(varint).collect();
        let run = [vec![1, 1], varint(0)].concat().repeat(runs as usize - 1);
        let last = [varint((1 << 22) - runs + 1), vec![0]].concat();
        let view = [vec![1, 0, 2, b'0', 14], varint(runs), run, last].concat();
        [&[0, 1][..], &varint(1 << 23), &[3, 1, 13, 1, b'w', 4, 1], &varint(words), &order, &[0], &view].concat()
    };
    assert!(reference::head::Head::read(&head(1 << 17)).is_ok());
    let error = reference::head::Head::read(&head((1 << 17) + 1)).err().unwrap_or_default();
    assert_eq!(error, "rectangles and runs that chunks need");
    let records: Vec<Record> = (0..32).map(|_| Record::new(2, &[])).collect();
    let base = vec![0; 1 << 23];
    let kind = |runs: u64| restore(&base, &forge::archive(&head(runs), &records)).err().map(|error| error.kind());
    assert_eq!(kind((1 << 17) + 1), Some(ErrorKind::Limit));
}
