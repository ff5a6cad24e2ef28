//! Packed numbers against the weights that they were quantised from, in the orders and with the
//! scales of several quantisers; and forged heads.
#![cfg(not(target_arch = "wasm32"))]

mod bits;
#[path = "../common/mod.rs"]
mod common;
mod floats;
mod fused;
mod nested;
#[path = "../reference/mod.rs"]
mod reference;
mod words;

use bitx::{ErrorKind, Format};
use common::forge::{self, Record, varint};
use common::{EFFORTS, compress, inspect, model, restore, restore_shared};
use reference::levels::NF4;

const OUTER: usize = 96;
const INNER: usize = 256;

fn bf16(number: f32) -> u16 {
    let bits = number.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

fn rounded(number: f32) -> f32 {
    f32::from_bits(u32::from(bf16(number)) << 16)
}

/// Bell-shaped weights that `BF16` holds.
fn weights(seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..OUTER * INNER).map(|_| rounded((0..6).map(|_| uniform()).sum::<f32>() * 0.05)).collect()
}

fn words(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|&weight| bf16(weight).to_le_bytes()).collect()
}

fn packed(numbers: &[u8]) -> Vec<u8> {
    numbers.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect()
}

fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |most, weight| most.max(weight.abs()))
}

fn number(weight: f32, scale: f32, zero: f32, most: f32) -> u8 {
    ((weight / scale).round_ties_even() + zero).clamp(0.0, most) as u8
}

/// The error of both decoders for an archive with this head and one stored chunk; none if both
/// restore `target`.
fn error_of(base: &[u8], head: &[u8], target: &[u8]) -> Option<ErrorKind> {
    let record = Record { sums: [1, forge::xxh3(target)], ..Record::new(0, target) };
    let archive = forge::archive(head, &[record]);
    let (core, slow) = (restore(base, &archive), reference::restore(&[base], &archive));
    assert_eq!(core.is_ok(), slow.is_ok(), "{core:?} {slow:?}");
    core.err().map(|error| error.kind())
}

/// A tensor: name, dtype, shape, bytes.
type Tensor = (String, &'static str, Vec<u64>, Vec<u8>);

fn tensor(name: &str, dtype: &'static str, shape: [usize; 2], bytes: Vec<u8>) -> Tensor {
    (name.to_owned(), dtype, shape.map(|extent| extent as u64).to_vec(), bytes)
}

/// Words of eight inputs each, by inputs and outputs; groups of 64 inputs with a scale.
fn gptq(weights: &[f32], name: &str) -> Vec<Tensor> {
    const GROUP: usize = 64;
    let outers = weights.len() / INNER;
    let scale = |outer: usize, group: usize| rounded(largest(&weights[outer * INNER + group * GROUP..][..GROUP]) / 7.5);
    let of =
        |outer: usize, inner: usize| number(weights[outer * INNER + inner], scale(outer, inner / GROUP), 8.0, 15.0);
    let numbers =
        (0..INNER / 8).flat_map(|eight| (0..outers).flat_map(move |outer| (0..8).map(move |i| (outer, eight * 8 + i))));
    let numbers: Vec<u8> = numbers.map(|(outer, inner)| of(outer, inner)).collect();
    let scales = (0..INNER / GROUP).flat_map(|group| (0..outers).map(move |outer| (outer, group)));
    let scales: Vec<f32> = scales.map(|(outer, group)| scale(outer, group)).collect();
    vec![
        tensor(&format!("{name}.qweight"), "I32", [INNER / 8, outers], packed(&numbers)),
        tensor(&format!("{name}.scales"), "BF16", [INNER / GROUP, outers], words(&scales)),
    ]
}

/// Words of eight interleaved outputs each, by inputs; zero points.
fn awq(weights: &[f32], name: &str) -> Vec<Tensor> {
    const GROUP: usize = 32;
    const COLUMNS: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];
    let outers = weights.len() / INNER;
    let group = |outer: usize, group: usize| {
        let weights = &weights[outer * INNER + group * GROUP..][..GROUP];
        let least = weights.iter().fold(0f32, |least, &weight| least.min(weight));
        let greatest = weights.iter().fold(0f32, |most, &weight| most.max(weight));
        let scale = rounded((greatest - least) / 15.0);
        (scale, (-least / scale).round_ties_even().clamp(0.0, 15.0))
    };
    let places = |rows: usize| (0..rows).flat_map(|row| (0..outers).map(move |i| (row, i / 8 * 8 + COLUMNS[i % 8])));
    let numbers: Vec<u8> = places(INNER)
        .map(|(inner, outer)| {
            let (scale, zero) = group(outer, inner / GROUP);
            number(weights[outer * INNER + inner], scale, zero, 15.0)
        })
        .collect();
    let zeros: Vec<u8> = places(INNER / GROUP).map(|(row, outer)| group(outer, row).1 as u8).collect();
    let scales = (0..INNER / GROUP).flat_map(|row| (0..outers).map(move |outer| (row, outer)));
    let scales: Vec<f32> = scales.map(|(row, outer)| group(outer, row).0).collect();
    vec![
        tensor(&format!("{name}.qweight"), "I32", [INNER, outers / 8], packed(&numbers)),
        tensor(&format!("{name}.qzeros"), "I32", [INNER / GROUP, outers / 8], packed(&zeros)),
        tensor(&format!("{name}.scales"), "BF16", [INNER / GROUP, outers], words(&scales)),
    ]
}

/// Runs of weights in their order, with a scale each.
fn runs(
    weights: &[f32],
    run: usize,
    scale: impl Fn(&[f32]) -> f32,
    number: impl Fn(f32, f32) -> u8,
) -> (Vec<u8>, Vec<f32>) {
    let scales: Vec<f32> = weights.chunks(run).map(&scale).collect();
    let numbers = weights.chunks(run).zip(&scales);
    (
        numbers.flat_map(|(run, &scale)| run.iter().map(|&weight| number(weight, scale)).collect::<Vec<_>>()).collect(),
        scales,
    )
}

fn mlc(weights: &[f32], name: &str) -> Vec<Tensor> {
    let (numbers, scales) =
        runs(weights, 32, |run| rounded(largest(run) / 7.0), |weight, scale| number(weight, scale, 7.0, 14.0));
    vec![
        tensor(&format!("{name}.q_weight"), "U32", [weights.len() / INNER, INNER / 8], packed(&numbers)),
        tensor(&format!("{name}.q_scale"), "BF16", [weights.len() / INNER, INNER / 32], words(&scales)),
    ]
}

/// onnxruntime's quantiser: the weight of the largest magnitude becomes -8.
fn onnx(weights: &[f32], name: &str) -> Vec<Tensor> {
    let first = |run: &[f32]| run.iter().fold(0f32, |most, &w| if w.abs() > most.abs() { w } else { most }) / -8.0;
    let (numbers, scales) = runs(weights, 32, first, |weight, scale| number(weight, scale, 8.0, 15.0));
    let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    vec![
        tensor(&format!("{name}_Q4"), "U8", [weights.len() / INNER, INNER / 2], packed(&numbers)),
        tensor(&format!("{name}_scales"), "F32", [weights.len() / INNER, INNER / 32], scales),
    ]
}

/// bitsandbytes: the first of two numbers is in the high half of a byte.
fn nf4(weights: &[f32], name: &str) -> Vec<Tensor> {
    let nearest = |weight: f32, scale: f32| {
        let distance = |level: usize| (NF4[level] - weight / scale).abs();
        (0..16usize).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap() as u8
    };
    let (numbers, scales) = runs(weights, 64, largest, nearest);
    let bytes = numbers.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    vec![
        tensor(&format!("{name}.weight"), "U8", [weights.len() / 2, 1], bytes),
        tensor(&format!("{name}.weight.absmax"), "F32", [weights.len() / 64, 1], scales),
    ]
}

fn file(tensors: &[Tensor]) -> Vec<u8> {
    let tensors: Vec<_> =
        tensors.iter().map(|(name, dtype, shape, bytes)| (name.as_str(), *dtype, &shape[..], &bytes[..])).collect();
    model(&tensors)
}

const LAYERS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The weights of all layers, with names that begin with `prefix`.
fn base(prefix: &str) -> Vec<u8> {
    let layer = |(i, name): (usize, &&str)| {
        tensor(&format!("{prefix}{name}.weight"), "BF16", [OUTER, INNER], words(&weights(i as u64)))
    };
    file(&LAYERS.iter().enumerate().map(layer).collect::<Vec<_>>())
}

/// The layers, each by another quantiser.
fn quantised() -> Vec<Tensor> {
    let quantisers = [gptq, awq, mlc, onnx, nf4];
    let layers = LAYERS.iter().zip(quantisers).enumerate();
    layers.flat_map(|(i, (name, quantiser))| quantiser(&weights(i as u64), name)).collect()
}

fn check(base: &[u8], target: &[u8], archive: &[u8]) {
    assert!(restore(base, archive).unwrap() == target);
    assert!(restore_shared(base, archive).unwrap() == target);
    assert!(reference::restore(&[base], archive).unwrap() == target);
}

#[test]
fn packed_numbers_and_their_scales_follow_from_the_weights() {
    let (base, target) = (base(""), file(&quantised()));
    for effort in EFFORTS {
        let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
        check(&base, &target, &archive);
        for tensor in inspect(&archive).unwrap().tensors.iter().filter(|tensor| !tensor.name.ends_with("qzeros")) {
            let is_number = ["qweight", "q_weight", "_Q4", "e.weight"].iter().any(|end| tensor.name.ends_with(end));
            let method = if is_number { "grid" } else { "copy-base" };
            assert_eq!(tensor.method.name(), method, "{} {effort:?}", tensor.name);
        }
        assert!(archive.len() * 25 < target.len(), "{} of {}", archive.len(), target.len());
    }
}

/// Runs in the base's order are recognised by their first weights.
#[test]
fn renamed_weights_are_found_by_content() {
    let target: Vec<Tensor> = quantised().into_iter().filter(|(name, ..)| !name.ends_with("qzeros")).collect();
    let in_order = |name: &str| ["c", "d", "e"].iter().any(|layer| name.starts_with(layer));
    let target: Vec<Tensor> = target.into_iter().filter(|(name, ..)| in_order(name)).collect();
    let (base, target) = (base("model.other."), file(&target));
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    assert!(archive.len() * 25 < target.len(), "{} of {}", archive.len(), target.len());
}

/// The float of 8 bits that is nearest to a number, ties to even, with so many bits of mantissa.
fn float8(number: f32, mantissa: i32) -> u8 {
    let least = if mantissa == 3 { -6 } else { -14 };
    let size = number.abs();
    let exponent = if size == 0.0 { least } else { (size.log2().floor() as i32).max(least) };
    let steps = (size / 2f32.powi(exponent - mantissa)).round_ties_even() as i32;
    let word = steps + ((exponent - least) << mantissa);
    word as u8 | if number.is_sign_negative() { 128 } else { 0 }
}

/// Floats of 8 bits with a scale for each tile of rows and columns, as single floats.
fn tiled(weights: &[f32], name: &str, (rows, columns): (usize, usize), mantissa: i32) -> Vec<Tensor> {
    let most = if mantissa == 3 { 448.0 } else { 57_344.0 };
    let outers = weights.len() / INNER;
    let (down, across) = (outers.div_ceil(rows), INNER.div_ceil(columns));
    let mut scales = vec![0f32; down * across];
    let tile = |i: usize| i / INNER / rows * across + i % INNER / columns;
    weights.iter().enumerate().for_each(|(i, weight)| scales[tile(i)] = scales[tile(i)].max(weight.abs()));
    scales.iter_mut().for_each(|scale| *scale /= most);
    let words = weights.iter().enumerate().map(|(i, weight)| float8(weight / scales[tile(i)], mantissa)).collect();
    let dtype = if mantissa == 3 { "F8_E4M3" } else { "F8_E5M2" };
    vec![
        tensor(&format!("{name}.weight"), dtype, [outers, INNER], words),
        tensor(
            &format!("{name}.weight_scale_inv"),
            "F32",
            [down, across],
            scales.iter().flat_map(|scale| scale.to_le_bytes()).collect(),
        ),
    ]
}

/// Tiles of rows and columns of which the last ones are smaller, rows, all of a tensor, and columns.
#[test]
fn floats_of_eight_bits_follow_from_the_weights_in_tiles() {
    let tiles = [(64, 128), (1, INNER), (OUTER, INNER), (OUTER, 1), (32, 32)];
    for mantissa in [2, 3] {
        let layers = LAYERS.iter().zip(tiles).enumerate();
        let target = layers.flat_map(|(i, (name, tiles))| tiled(&weights(i as u64), name, tiles, mantissa));
        let (base, target) = (base(""), file(&target.collect::<Vec<_>>()));
        for effort in EFFORTS {
            let archive = compress(&base, &target, Format::V2 { effort }).unwrap();
            check(&base, &target, &archive);
            assert!(archive.len() * 40 < target.len(), "{} of {}", archive.len(), target.len());
        }
    }
}

/// The same floats against those of another model, which have other scales.
#[test]
fn floats_of_eight_bits_are_placed_among_those_of_the_target() {
    let tuned =
        |weights: Vec<f32>| weights.iter().enumerate().map(|(i, w)| w * (1.0 + (i % 7) as f32 * 0.002)).collect();
    for mantissa in [2, 3] {
        let model = |tune: &dyn Fn(Vec<f32>) -> Vec<f32>| file(&tiled(&tune(weights(7)), "a", (32, 64), mantissa));
        let (base, target) = (model(&|weights| weights), model(&tuned));
        let archive = compress(&base, &target, Format::default()).unwrap();
        check(&base, &target, &archive);
        assert!(archive.len() * 6 < target.len(), "{} of {}", archive.len(), target.len());
    }
}

/// Scales that are exponents: MXFP4, whose scales are rounded down or up.
#[test]
fn exponents_follow_from_the_weights() {
    const SIZES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let number = |weight: f32, scale: f32| {
        let distance = |size: f32| (size - weight.abs() / scale).abs();
        let nearest = (0..8usize).min_by(|&a, &b| distance(SIZES[a]).total_cmp(&distance(SIZES[b]))).unwrap();
        nearest as u8 | if weight < 0.0 { 8 } else { 0 }
    };
    let mxfp4 = |weights: &[f32], name: &str, round: fn(f32) -> f32| {
        let (numbers, scales) = runs(weights, 32, |run| round(largest(run).log2()).exp2(), number);
        let scales = scales.iter().map(|scale| (scale.to_bits() >> 23) as u8).collect();
        vec![
            tensor(&format!("{name}.blocks"), "U8", [OUTER, INNER / 2], packed(&numbers)),
            tensor(&format!("{name}.scales"), "U8", [OUTER, INNER / 32], scales),
        ]
    };
    let down: fn(f32) -> f32 = |exponent| exponent.floor() - 2.0;
    let up: fn(f32) -> f32 = |exponent| (exponent - 6f32.log2()).ceil();
    let target = [("a", down), ("b", up)].into_iter().enumerate();
    let target: Vec<Tensor> = target.flat_map(|(i, (name, round))| mxfp4(&weights(i as u64), name, round)).collect();
    let (base, target) = (base(""), file(&target));
    let archive = compress(&base, &target, Format::default()).unwrap();
    check(&base, &target, &archive);
    for tensor in inspect(&archive).unwrap().tensors.iter().filter(|tensor| tensor.name.ends_with("scales")) {
        assert_eq!(tensor.method.name(), "copy-base", "{}", tensor.name);
    }
    assert!(archive.len() * 20 < target.len(), "{} of {}", archive.len(), target.len());
}

/// Bytes that look random, the same for a seed in every run.
fn random(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }
}

/// Replaces about `rare` of 256 bytes behind a file's header, often by those of extreme numbers.
fn scramble(file: &mut [u8], rare: u8, random: &mut impl FnMut() -> u8) {
    let start = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    for byte in &mut file[start..] {
        if random() < rare {
            *byte = [0, 0x7f, 0x80, 0xff, random()][usize::from(random() % 5)];
        }
    }
}

/// Weights that are no numbers, and scales and numbers that no quantiser would choose.
#[test]
fn any_words_come_back() {
    let mut random = random(5);
    for rare in [1, 16, 255] {
        let (mut base, mut target) = (base(""), file(&quantised()));
        for file in [&mut base, &mut target] {
            scramble(file, rare, &mut random);
        }
        let archive = compress(&base, &target, Format::default()).unwrap();
        check(&base, &target, &archive);
    }
}

/// The error of both decoders for a head with one item: `w`, four bytes of `dtype`, made from words of
/// BF16 in this way.
fn refused(dtype: u8, derived: &[u64], rest: &[u8]) -> ErrorKind {
    let item = [&[8, 1, b'w', dtype, 1, 4][..], &[0, 0, 14]].concat();
    let numbers: Vec<u8> = derived.iter().flat_map(|&number| varint(number)).collect();
    let head = [&[0, 1, 0, 1, 1][..], &item, &numbers, rest].concat();
    let base = model(&[("w", "BF16", &[64], &[0; 128])]);
    let archive = forge::archive(&head, &[Record::new(0, &[0; 8][..if dtype <= 5 { 4 } else { 8 }])]);
    assert!(reference::restore(&[&base], &archive).is_err());
    restore(&base, &archive).unwrap_err().kind()
}

#[test]
fn forged_weights_are_refused() {
    const U8: u8 = 4;
    const I8: u8 = 5;
    const F16: u8 = 13;
    // Rows, columns, weights of an element, weights of a word.
    for numbers in [[0, 1, 1, 16], [1, 0, 1, 16], [1, 1, 0, 16], [1, 1, 1, 0], [3, 1, 1, 16], [1, 1, 3, 16]] {
        assert_eq!(refused(U8, &numbers, &[0]), ErrorKind::Corrupt, "{numbers:?}");
    }
    let most = u64::MAX;
    for numbers in [[most, 2, 1, 1], [1, 1, most, 1], [1 << 25, 1, 1, 1], [1, 1, 1, most], [1, 1, 1, 1 << 23]] {
        assert_eq!(refused(U8, &numbers, &[0]), ErrorKind::Limit, "{numbers:?}");
    }
    assert_eq!(refused(F16, &[1, 1, 1, 16], &[0]), ErrorKind::Corrupt);
    assert_eq!(refused(I8, &[1, 1, 1, 16], &[1, 0, 0, 128, 63]), ErrorKind::Corrupt);
    assert_eq!(refused(F16, &[1, 1, 1, 16], &[8, 0, 0, 128, 63]), ErrorKind::Unsupported);
    // Places are bytes.
    assert_eq!(refused(F16, &[1, 1, 1, 16], &[6, 0, 0, 128, 63]), ErrorKind::Corrupt);
    // The base has 64 weights.
    assert_eq!(refused(U8, &[1, 1, 1, 17], &[0]), ErrorKind::BaseMismatch);
}

/// A region of one word may name megabytes of the base, and an archive thousands of such regions.
#[test]
fn all_derived_words_together_have_a_limit() {
    let base = model(&[("w", "BF16", &[64], &[0; 128])]);
    // Each of the regions takes all 64 weights of the base, of 192 bytes or so.
    let archive = |regions: u64| {
        let item = |number: u64| {
            let place = [&[0][..], &varint(2), b"w", &[14]].concat();
            [&[8, 1, b'a' + number as u8, 13, 1, 1][..], &place, &[1, 1, 1, 64, 1, 0, 0, 128, 63]].concat()
        };
        let items: Vec<u8> = (0..regions).flat_map(item).collect();
        let head = [vec![0, 1, 0, 1], varint(regions), items].concat();
        let records: Vec<Record> = (0..regions).map(|_| Record::new(0, &[0; 2])).collect();
        forge::archive(&head, &records)
    };
    let most = 8 * base.len() as u64 / 64;
    assert_eq!(restore(&base, &archive(most + 1)).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(reference::restore(&[&base], &archive(most + 1)).unwrap_err(), "too many weights of derived items");
    assert_ne!(restore(&base, &archive(most)).map_err(|error| error.kind()), Err(ErrorKind::Limit));
}
