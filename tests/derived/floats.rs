//! Floats that are the weights of packed numbers or of blocks of the base, in the orders and with the
//! arithmetic of several formats; and forged heads.

use super::*;
use common::gguf::gguf;
use reference::levels::{index, level};
use reference::quant;

/// The weights of groups, each made from its weights before they were quantised.
fn of_groups(weights: &[f32], group: usize, back: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
    weights.chunks(group).flat_map(back).collect()
}

/// The weights that whole steps of a scale give, from a least number on.
fn steps(group: &[f32], scale: f32, zero: f32, most: f32) -> Vec<f32> {
    group.iter().map(|&weight| (f32::from(number(weight, scale, zero, most)) - zero) * scale).collect()
}

/// The weights of the layers after they were quantised as [`quantised`] does.
fn dequantised() -> [Vec<f32>; 5] {
    let first = |run: &[f32]| run.iter().fold(0f32, |most, &w| if w.abs() > most.abs() { w } else { most });
    let nearest = |weight: f32, scale: f32| {
        let distance = |level: &&f32| (**level - weight / scale).abs();
        NF4.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap() * scale
    };
    let affine = |group: &[f32]| {
        let least = group.iter().fold(0f32, |least, &weight| least.min(weight));
        let greatest = group.iter().fold(0f32, |most, &weight| most.max(weight));
        let scale = rounded((greatest - least) / 15.0);
        steps(group, scale, (-least / scale).round_ties_even().clamp(0.0, 15.0), 15.0)
    };
    [
        of_groups(&weights(0), 64, |group| steps(group, rounded(largest(group) / 7.5), 8.0, 15.0)),
        of_groups(&weights(1), 32, affine),
        of_groups(&weights(2), 32, |group| steps(group, rounded(largest(group) / 7.0), 7.0, 14.0)),
        of_groups(&weights(3), 32, |group| steps(group, first(group) / -8.0, 8.0, 15.0)),
        of_groups(&weights(4), 64, |group| group.iter().map(|&weight| nearest(weight, largest(group))).collect()),
    ]
}

fn singles(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

/// The layers as floats, with names that begin with `prefix`.
fn floats(prefix: &str, dtype: &'static str) -> Vec<u8> {
    let bytes = |weights: &[f32]| if dtype == "F32" { singles(weights) } else { words(weights) };
    let layers = LAYERS.iter().zip(dequantised());
    let layer = |(name, weights): (&&str, Vec<f32>)| {
        tensor(&format!("{prefix}{name}.weight"), dtype, [OUTER, INNER], bytes(&weights))
    };
    file(&layers.map(layer).collect::<Vec<_>>())
}

/// Checks that all tensors of the target are found in the base, in an archive of at most so many bytes.
fn check_copies(base: &[u8], target: &[u8], most: usize) {
    for effort in EFFORTS {
        let archive = compress(base, target, Format::V2 { effort }).unwrap();
        check(base, target, &archive);
        for tensor in &inspect(&archive).unwrap().tensors {
            assert_eq!(tensor.method.name(), "copy-base", "{} {effort:?}", tensor.name);
        }
        assert!(archive.len() <= most, "{} of {}", archive.len(), target.len());
    }
}

#[test]
fn weights_of_packed_numbers_are_copies() {
    let base = file(&quantised());
    check_copies(&base, &floats("", "BF16"), 1100);
    check_copies(&base, &floats("", "F32"), 1100);
}

/// Runs in the order of the floats are recognised by their first weights.
#[test]
fn weights_of_renamed_numbers_are_found_by_content() {
    let in_order = |name: &str| ["c", "d", "e"].iter().any(|layer| name.starts_with(layer));
    let base = file(&quantised().into_iter().filter(|(name, ..)| in_order(name)).collect::<Vec<_>>());
    let layers = LAYERS.iter().zip(dequantised()).skip(2);
    let layer = |(name, weights): (&&str, Vec<f32>)| {
        tensor(&format!("model.other.{name}.weight"), "BF16", [OUTER, INNER], words(&weights))
    };
    check_copies(&base, &file(&layers.map(layer).collect::<Vec<_>>()), 900);
}

/// Words of several rows are compared in the order of the floats.
#[test]
fn weights_of_words_of_rows_are_found_by_content() {
    let layers = [0, 1].map(|i| {
        let weights = of_groups(&weights(i), 64, |group| steps(group, rounded(largest(group) / 7.5), 8.0, 15.0));
        tensor(["x", "y"][i as usize], "BF16", [OUTER, INNER], words(&weights))
    });
    let base = file(&[gptq(&weights(0), "a"), gptq(&weights(1), "b")].concat());
    check_copies(&base, &file(&layers), 600);
}

/// Two experts, whose matrices are transposed: MXFP4.
#[test]
fn weights_of_stacks_are_transposed() {
    let half = OUTER / 2;
    let numbers: Vec<u8> = weights(3).iter().map(|weight| (weight.to_bits() >> 16) as u8 & 15).collect();
    let scales: Vec<u8> = (0..OUTER * INNER / 32).map(|run| 118 + (run % 5) as u8).collect();
    let shape = |extents: [usize; 4]| extents.map(|extent| extent as u64).to_vec();
    let base = file(&[
        ("w_blocks".to_owned(), "U8", shape([2, half, INNER / 32, 16]), packed(&numbers)),
        ("w_scales".to_owned(), "U8", shape([2, half, INNER / 32, 1])[..3].to_vec(), scales.clone()),
    ]);
    let weight =
        |place: usize| level(6, index(6, numbers[place])) * f32::from_bits(u32::from(scales[place / 32]) << 23);
    let places = (0..2).flat_map(|expert| {
        (0..INNER).flat_map(move |inner| (0..half).map(move |outer| (expert * half + outer) * INNER + inner))
    });
    let target = words(&places.map(weight).collect::<Vec<f32>>());
    check_copies(&base, &file(&[("w".to_owned(), "BF16", shape([2, INNER, half, 1])[..3].to_vec(), target)]), 500);
}

/// Tiles of rows and columns, of which the last ones are smaller.
#[test]
fn weights_of_floats_of_eight_bits_are_copies() {
    for (mantissa, kind) in [(2, 12), (3, 11)] {
        let tensors = tiled(&weights(5), "a", (64, 128), mantissa);
        let scales = tensors[1].3.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()));
        let scales: Vec<f32> = scales.collect();
        let tile = |i: usize| i / INNER / 64 * 2 + i % INNER / 128;
        let weight = |(i, &number): (usize, &u8)| level(kind, index(kind, number)) * scales[tile(i)];
        let weights: Vec<f32> = tensors[0].3.iter().enumerate().map(weight).collect();
        check_copies(&file(&tensors), &file(&[tensor("a.weight", "BF16", [OUTER, INNER], words(&weights))]), 500);
    }
}

/// The group of each row of GPTQ whose rows were sorted first.
fn group_of(row: usize) -> usize {
    row * 7 % INNER / 64
}

/// GPTQ with groups of rows that do not follow each other, and its weights.
fn sorted_rows(groups: impl Fn(usize) -> u32) -> (Vec<u8>, Vec<f32>) {
    let weights = weights(6);
    let scale = |outer: usize, group: usize| rounded(0.01 + (outer * 5 + group * 3) as f32 * 1e-4);
    let of =
        |outer: usize, inner: usize| number(weights[outer * INNER + inner], scale(outer, group_of(inner)), 8.0, 15.0);
    let numbers =
        (0..INNER / 8).flat_map(|eight| (0..OUTER).flat_map(move |outer| (0..8).map(move |i| (outer, eight * 8 + i))));
    let numbers: Vec<u8> = numbers.map(|(outer, inner)| of(outer, inner)).collect();
    let scales: Vec<f32> = (0..INNER / 64)
        .flat_map(|group| (0..OUTER).map(move |outer| (outer, group)))
        .map(|(o, g)| scale(o, g))
        .collect();
    let zeros = vec![0x77; INNER / 64 * OUTER / 2];
    let index: Vec<u8> = (0..INNER).flat_map(|row| groups(row).to_le_bytes()).collect();
    let base = file(&[
        tensor("a.qweight", "I32", [INNER / 8, OUTER], packed(&numbers)),
        tensor("a.scales", "BF16", [INNER / 64, OUTER], words(&scales)),
        tensor("a.qzeros", "I32", [INNER / 64, OUTER / 8], zeros),
        ("a.g_idx".to_owned(), "I32", vec![INNER as u64], index),
    ]);
    let weight = |i: usize| {
        let (outer, inner) = (i / INNER, i % INNER);
        (f32::from(of(outer, inner)) - 8.0) * scale(outer, group_of(inner))
    };
    (base, (0..OUTER * INNER).map(weight).collect())
}

#[test]
fn groups_of_rows_may_be_in_any_order() {
    let (base, weights) = sorted_rows(|row| group_of(row) as u32);
    let target = file(&[tensor("a.weight", "F32", [OUTER, INNER], singles(&weights))]);
    check_copies(&base, &target, 500);
    // Groups that there are not, which count as the last one.
    let forged = |row: usize| if row % 9 == 8 { u32::MAX - row as u32 } else { group_of(row) as u32 };
    let (base, _) = sorted_rows(forged);
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
}

/// GPTQ in groups against the floats that it was quantised from, and with groups that there are not.
#[test]
fn numbers_of_sorted_rows_follow_from_the_weights() {
    let base = file(&[tensor("a.weight", "BF16", [OUTER, INNER], words(&weights(6)))]);
    let (target, _) = sorted_rows(|row| group_of(row) as u32);
    for effort in EFFORTS {
        let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
        check(&base, &target, &archive);
        assert!(archive.len() * 8 < target.len(), "{} of {}", archive.len(), target.len());
    }
    let (forged, _) = sorted_rows(|row| (row as u32).wrapping_mul(0x9e37_79b9));
    for base in [&base, &target] {
        let archive = compress(base, &forged, Format::default()).unwrap();
        check(base, &forged, &archive);
    }
}

/// Biases, whose products are rounded before they are added, or not.
#[test]
fn biases_are_added_in_the_arithmetic_of_their_runtime() {
    let numbers: Vec<u8> = weights(7).iter().map(|weight| (weight.to_bits() >> 17) as u8 & 15).collect();
    let runs = OUTER * INNER / 32;
    let line = |run: usize| (rounded(0.003 + (run % 11) as f32 * 1e-4), rounded(-0.02 - (run % 7) as f32 * 1e-3));
    let lines: (Vec<f32>, Vec<f32>) = (0..runs).map(line).unzip();
    let base = file(&[
        tensor("a.weight", "U32", [OUTER, INNER / 8], packed(&numbers)),
        tensor("a.scales", "BF16", [OUTER, INNER / 32], words(&lines.0)),
        tensor("a.biases", "BF16", [OUTER, INNER / 32], words(&lines.1)),
    ]);
    for round in [rounded as fn(f32) -> f32, |product| product] {
        let weight = |(i, &number): (usize, &u8)| round(line(i / 32).0 * f32::from(number)) + line(i / 32).1;
        let weights: Vec<f32> = numbers.iter().enumerate().map(weight).collect();
        check_copies(&base, &file(&[tensor("a.weight", "BF16", [OUTER, INNER], words(&weights))]), 500);
    }
}

#[test]
fn tuned_weights_are_coded_against_those_of_the_numbers() {
    let base = file(&quantised());
    let mut target = floats("", "BF16");
    let start = 8 + u64::from_le_bytes(*target.first_chunk().unwrap()) as usize;
    (start..target.len()).step_by(202).for_each(|place| target[place] ^= 1);
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    assert!(archive.len() * 50 < target.len(), "{} of {}", archive.len(), target.len());
}

/// Numbers, scales and weights that are no numbers, in base and target.
#[test]
fn any_weights_come_back() {
    let mut random = random(11);
    for rare in [1, 16, 255] {
        let (mut base, mut target) = (file(&quantised()), floats("", "BF16"));
        scramble(&mut base, rare, &mut random);
        let archive = compress(&base, &target, Format::default()).unwrap();
        check(&base, &target, &archive);
        scramble(&mut target, rare, &mut random);
        let archive = compress(&base, &target, Format::default()).unwrap();
        check(&base, &target, &archive);
    }
}

/// Blocks of any bytes, whose scales are often no numbers, and their weights in rows of another order.
fn blocks(kind: u32, dtype: u8, order: impl Fn(usize) -> usize) -> (Vec<u8>, Vec<u8>) {
    let format = quant::format(dtype).unwrap();
    let (mut random, rows, columns) = (random(u64::from(dtype)), 64, 512);
    let row = columns / format.weights * format.bytes;
    let blocks: Vec<u8> = (0..rows * row).map(|_| random() & 0xbf).collect();
    let weights: Vec<Vec<u8>> = blocks.chunks(row).map(|row| format.weights_of(row)).collect();
    let target: Vec<u8> = (0..rows).flat_map(|row| weights[order(row)].clone()).collect();
    let target: Vec<f32> = target.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
    let target: Vec<f32> = target.into_iter().map(|weight| if weight.is_nan() { 0.0 } else { weight }).collect();
    let base = gguf(&[("blk.w", &[columns as u64, rows as u64], kind, &blocks)]);
    (base, file(&[tensor("layers.w", "F32", [rows, columns], singles(&target))]))
}

#[test]
fn weights_of_blocks_are_copies() {
    for (kind, dtype) in [(2, 23), (3, 24), (6, 25), (7, 26), (8, 22), (20, 32)] {
        let (base, target) = blocks(kind, dtype, |row| row);
        check_copies(&base, &target, 500);
    }
    for (kind, dtype) in [(10, 27), (11, 28), (12, 29), (13, 30), (14, 31), (23, 33)] {
        let (base, target) = blocks(kind, dtype, |row| row);
        check_copies(&base, &target, 500);
    }
}

/// Halves of the rows of heads are moved, as converters to GGUF do.
#[test]
fn rows_of_blocks_may_be_in_another_order() {
    let (base, target) = blocks(14, 31, |row| row / 16 * 16 + row % 2 * 8 + row % 16 / 2);
    check_copies(&base, &target, 1500);
}

const BF16: u8 = 14;
const F32: u8 = 17;

/// A base with 64 packed numbers, a scale for each 16 of them, and a block.
fn small_base() -> Vec<u8> {
    model(&[("n", "U8", &[32], &[0x31; 32]), ("s", "F32", &[4], &[0; 16]), ("g", "I32", &[4], &[0; 16])])
}

/// An archive of an item of this kind, 64 words of `dtype` that are copies, and this rest.
fn of_item(kind: u8, dtype: u8, rest: &[u8], words: &[u8]) -> Vec<u8> {
    let head = [&[0, 1, 0, 1, 1, kind, 1, b'w', dtype, 1, 64][..], rest].concat();
    forge::archive(&head, &[Record { sums: [forge::xxh3(words); 2], ..Record::new(2, &[]) }])
}

/// The error of both decoders for such an archive.
fn refused_item(kind: u8, dtype: u8, rest: &[u8]) -> ErrorKind {
    let archive = of_item(kind, dtype, rest, &[]);
    let base = small_base();
    assert!(reference::restore(&[&base], &archive).is_err());
    restore(&base, &archive).unwrap_err().kind()
}

/// An unpacking: packing, tiles, matrices and elements, roundings, flags, and the dtypes of the parts.
fn unpacking(packing: u8, extents: [u64; 6], rest: [u8; 3], parts: &[(&str, u8)]) -> Vec<u8> {
    let extents = extents.into_iter().flat_map(varint);
    let origin = |&(name, dtype): &(&str, u8)| [&[0, 2][..], name.as_bytes(), &[dtype]].concat();
    let origins = parts.iter().flat_map(origin);
    std::iter::once(packing).chain(extents).chain(rest).chain(origins).collect()
}

#[test]
fn forged_unpackings_are_refused() {
    const PLAIN: [u8; 3] = [F32, F32, 0];
    const PARTS: [(&str, u8); 2] = [("n", 4), ("s", F32)];
    let error = |packing, extents, rest, parts: &[(&str, u8)]| {
        refused_item(10, BF16, &unpacking(packing, extents, rest, parts))
    };
    let fits = [16, 1, 16, 1, 1, 1];
    // The one that is right: products of a negative level and 0.
    let words = [0, 0x80].repeat(64);
    let archive = of_item(10, BF16, &unpacking(0, fits, PLAIN, &PARTS), &words);
    check(&small_base(), &words, &archive);
    assert_eq!(error(30, fits, PLAIN, &PARTS), ErrorKind::Unsupported);
    assert_eq!(error(0, fits, [F32, F32, 2], &PARTS), ErrorKind::Unsupported);
    assert_eq!(error(0, fits, [F32, 19, 0], &PARTS), ErrorKind::Corrupt);
    let most = u64::MAX;
    let extents = [[0, 1, 16, 1, 1, 1], [16, 0, 16, 1, 1, 1], [16, 1, 0, 1, 1, 1], [48, 1, 16, 1, 1, 1]];
    let matrices = [[16, 1, 16, 0, 1, 1], [16, 1, 16, 3, 1, 1], [16, 1, 16, 1, 1, 0], [16, 1, 16, 1, 128, 1]];
    for extents in extents.into_iter().chain(matrices) {
        assert_eq!(error(0, extents, PLAIN, &PARTS), ErrorKind::Corrupt, "{extents:?}");
    }
    for extents in [[16, 1, 1, 1, 1, 1], [16, 1, 16, most, 2, 1], [16, 1, 16, 1, 1, most], [16, 1, 16, 1 << 26, 2, 1]] {
        assert_eq!(error(0, extents, PLAIN, &PARTS), ErrorKind::Limit, "{extents:?}");
    }
    // Companions of other dtypes, words without a cast, and groups of more than a row.
    assert_eq!(error(0, fits, PLAIN, &[("n", F32), ("s", F32)]), ErrorKind::Corrupt);
    assert_eq!(error(0, fits, PLAIN, &[("n", 4), ("s", 15)]), ErrorKind::Corrupt);
    let grouped = [("n", 4), ("s", F32), ("n", 4), ("g", 15)];
    assert_eq!(error(17, [16, 1, 32, 1, 1, 1], PLAIN, &grouped), ErrorKind::Corrupt);
    assert_eq!(error(17, fits, PLAIN, &[("n", 4), ("s", F32), ("n", 4), ("g", 20)]), ErrorKind::Corrupt);
    assert_eq!(refused_item(10, 4, &unpacking(0, fits, PLAIN, &PARTS)), ErrorKind::Corrupt);
    // Regions that the base does not have, or that are too short.
    assert_eq!(error(0, fits, PLAIN, &[("n", 4), ("x", F32)]), ErrorKind::BaseMismatch);
    assert_eq!(error(0, [8, 1, 8, 1, 1, 1], PLAIN, &PARTS), ErrorKind::BaseMismatch);
    assert_eq!(error(10, fits, PLAIN, &PARTS), ErrorKind::BaseMismatch);
    assert_eq!(error(17, fits, PLAIN, &grouped), ErrorKind::BaseMismatch);
}

#[test]
fn forged_weights_of_blocks_are_refused() {
    let view = |dtype: u8| [&[1, 0, 2, b'n', dtype, 1, 64, 1, 0][..]].concat();
    const Q8_0: u8 = 22;
    // Blocks as words of integers, floats of blocks in a view of words, and a base without blocks.
    assert_eq!(refused_item(9, 11, &view(Q8_0)), ErrorKind::Corrupt);
    assert_eq!(refused_item(4, BF16, &view(Q8_0)), ErrorKind::Corrupt);
    assert_eq!(refused_item(9, BF16, &view(4)), ErrorKind::Corrupt);
    assert_eq!(refused_item(9, BF16, &view(Q8_0)), ErrorKind::BaseMismatch);
}
