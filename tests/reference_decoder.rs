//! The reference decoder of `tests/reference/`, written from `docs/FORMAT.md`, against the crate.
#![cfg(not(target_arch = "wasm32"))]

mod common;
mod reference;

use bitx::drive::{self, Sources};
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{Compress, Format, Job, Restore};
use common::{EFFORTS, GOLDEN, PAIRS, compress, inspect, model, restore, with_header};

/// Compresses at every effort; both decoders must restore `target`. Returns the archives.
fn agree(base: &[u8], target: &[u8]) -> Vec<Vec<u8>> {
    let archives = EFFORTS.map(|effort| {
        let archive = compress(base, target, Format::V2 { effort }).unwrap();
        assert!(restore(base, &archive).unwrap() == target, "{effort:?}");
        assert!(reference::restore(&[base], &archive).unwrap() == target, "{effort:?}");
        archive
    });
    archives.into()
}

#[test]
fn agrees_on_every_vector() {
    for golden in &GOLDEN {
        assert!(reference::restore(&[golden.base], golden.archive).unwrap() == golden.target, "{}", golden.name);
    }
    for pair in &PAIRS {
        agree(pair.base, &restore(pair.base, pair.archive).unwrap());
    }
    let (bf16, f32) = (&PAIRS[0], &PAIRS[4]);
    agree(&[], bf16.base);
    agree(&[], f32.base);
    agree(bf16.base, f32.base);
}

/// Numbers that look like nothing in particular.
fn random(count: usize) -> Vec<u8> {
    let mut seed = 11u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Words around one size, as weights are, with specials among them; and the same, moved a little.
fn weights(width: usize, count: usize) -> (Vec<u8>, Vec<u8>) {
    let noise = random(4 * count);
    let mut base = random(width * count);
    for (i, word) in base.chunks_exact_mut(width).enumerate() {
        let top = &mut word[width - 1];
        *top = *top & 0x80 | 0x38 | noise[i] & 3;
    }
    let specials = [[0; 8], [0xff; 8], [0, 0, 0, 0, 0, 0, 0, 0x80], [0x80, 0x7f, 0x80, 0x7f, 0x80, 0x7f, 0xf0, 0x7f]];
    let mut target = base.clone();
    let places = target.chunks_exact_mut(width).zip(&noise[count..]).zip(&noise[2 * count..]);
    for (i, ((word, move_by), rare)) in places.enumerate() {
        word[0] = word[0].wrapping_add(move_by & rare & 7);
        if *rare == 0 {
            word.copy_from_slice(&specials[i % 4][8 - width..]);
        }
        if *rare == 1 {
            word.reverse();
        }
    }
    for (i, word) in base.chunks_exact_mut(width).enumerate().filter(|(i, _)| noise[3 * count + i] == 0) {
        word.copy_from_slice(&specials[i % 4][8 - width..]);
    }
    (base, target)
}

const DTYPES: [(&str, usize); 18] = [
    ("BOOL", 1),
    ("I8", 1),
    ("U8", 1),
    ("F8_E4M3", 1),
    ("F8_E5M2", 1),
    ("F8_E8M0", 1),
    ("F8_E4M3FNUZ", 1),
    ("F8_E5M2FNUZ", 1),
    ("I16", 2),
    ("U16", 2),
    ("F16", 2),
    ("BF16", 2),
    ("I32", 4),
    ("F32", 4),
    ("C64", 8),
    ("F64", 8),
    ("I64", 8),
    ("U64", 8),
];

const SHAPES: [&[u64]; 10] =
    [&[], &[1], &[0, 7], &[3, 5], &[1023], &[1025], &[70, 33], &[5, 64, 3, 3], &[1, 4097], &[9, 1100]];

#[test]
fn agrees_on_every_dtype_and_odd_shapes() {
    for (dtype, width) in DTYPES {
        for shape in SHAPES {
            let count = shape.iter().product::<u64>() as usize;
            let (from, to) = weights(width, count);
            let base = model(&[("w", dtype, shape, &from)]);
            agree(&base, &model(&[("w", dtype, shape, &to)]));
            agree(&[], &base);
            agree(&base, &model(&[("w", dtype, shape, &random(width * count))]));
        }
    }
}

/// Words that became 0 or are 0, of every width.
#[test]
fn agrees_on_pruned_words() {
    for (dtype, width) in DTYPES {
        let (from, mut to) = weights(width, 3000);
        let noise = random(3000);
        let pruned = to.chunks_exact_mut(width).zip(noise).filter(|(_, noise)| *noise < 170);
        pruned.for_each(|(word, _)| word.fill(0));
        let [base, target] = [&from, &to].map(|words| model(&[("w", dtype, &[30, 100], words)]));
        agree(&base, &target);
        agree(&[], &target);
    }
}

/// Words that narrower types hold: casts of every kind, multiples of scales, small integers; and few
/// distinct words.
#[test]
fn agrees_on_narrow_words_and_palettes() {
    let shape = [40u64, 64];
    let noise = random(4 * 2560);
    let weight = |i: usize| (f32::from(noise[i]) - 127.5) * (1.0 + f32::from(noise[i + 2560]) / 300.0) * 0.001;
    let moved = |i: usize| weight(i) + f32::from(noise[i + 5120]) * 1e-6;
    let singles = |cut: u32, of: &dyn Fn(usize) -> f32| -> Vec<u8> {
        (0..2560).flat_map(|i| (of(i).to_bits() >> cut << cut).to_le_bytes()).collect()
    };
    let doubles = |cut: u32, of: &dyn Fn(usize) -> f32| -> Vec<u8> {
        let double = |i: usize| f64::from(f32::from_bits(of(i).to_bits() >> cut << cut));
        (0..2560).flat_map(|i| if i % 400 == 0 { f64::NEG_INFINITY } else { double(i) }.to_le_bytes()).collect()
    };
    let scaled = |i: usize| (weight(i) / 0.003).round_ties_even() * (0.003 + (i / 64) as f32 * 1e-5);
    let tuned = |i: usize| (moved(i) / 0.003).round_ties_even() * (0.003 + (i / 64) as f32 * 1e-5);
    let few = |i: usize| f32::from(noise[i] % 3) - 1.0;
    let other = |i: usize| f32::from(noise[i] % 3 * (noise[i + 5000] / 32).min(1)) - 1.0;
    let integers = |width: usize, of: &dyn Fn(usize) -> i64| -> Vec<u8> {
        (0..2560).flat_map(|i| of(i).to_le_bytes()[..width].to_vec()).collect()
    };
    let pairs = [
        ("F32", singles(16, &weight), singles(16, &moved)),
        ("F32", singles(13, &weight), singles(13, &moved)),
        ("F32", singles(21, &weight), singles(21, &moved)),
        ("F64", doubles(0, &weight), doubles(0, &moved)),
        ("F64", doubles(16, &weight), doubles(16, &moved)),
        ("F32", singles(0, &scaled), singles(0, &tuned)),
        ("F64", doubles(0, &few), doubles(0, &other)),
        ("F32", singles(0, &few), singles(0, &other)),
        ("I64", integers(8, &|i| i64::from(noise[i]) - 128), integers(8, &|i| i64::from(noise[i]) - 127)),
        ("U32", integers(4, &|i| i as i64), integers(4, &|i| i as i64 * 3)),
        ("I16", integers(2, &|i| i64::from(noise[i] % 5) - 2), integers(2, &|i| i64::from(noise[i] % 7) - 2)),
        ("I32", integers(4, &|i| (weight(i) * 1e5) as i64), integers(4, &|i| (moved(i) * 1e6) as i64)),
    ];
    for (dtype, from, to) in &pairs {
        let [base, target] = [from, to].map(|words| model(&[("w", *dtype, &shape, words)]));
        agree(&base, &target);
        agree(&[], &target);
        agree(&[], &base);
        // A base of other values, NaNs and infinities among them, is rounded.
        agree(&model(&[("w", *dtype, &shape, &random(from.len()))]), &target);
    }
}

/// Files without a layout: text like the base's, and text that repeats itself.
#[test]
fn agrees_on_patches() {
    let text = |by: usize| -> Vec<u8> {
        let line =
            |i: usize| format!("entry {i} = [{}, {}];\n", i * i * by % 1000, if i.is_multiple_of(7) { by } else { 0 });
        (0..900).flat_map(|i| line(i).into_bytes()).collect()
    };
    let (base, target) = (text(31), text(37));
    agree(&base, &[&target[500..], &base[..3000], &random(100)].concat());
    agree(&[], &target);
    agree(&target, &target[..target.len() - 1].repeat(2));
    let tensors = |text: &[u8]| model(&[("text", "U8", &[16_000], &text[..16_000])]);
    agree(&tensors(&base), &tensors(&target));
    agree(&tensors(&base), &tensors(&base[100..]));
}

#[test]
fn agrees_on_types_of_less_than_a_byte() {
    for (dtype, shape) in [("F4", [41, 200]), ("F6_E2M3", [24, 100]), ("F6_E3M2", [24, 100])] {
        let bytes = (shape[0] * shape[1] * if dtype == "F4" { 4 } else { 6 } / 8) as usize;
        let (from, to) = weights(1, bytes);
        agree(&model(&[("w", dtype, &shape, &from)]), &model(&[("w", dtype, &shape, &to)]));
    }
}

/// Regions of several chunks: whole rows, and rows longer than a chunk.
#[test]
fn agrees_on_large_regions() {
    for shape in [&[700u64, 3000][..], &[1_050_000], &[2, 1_050_000]] {
        let count = shape.iter().product::<u64>() as usize;
        let (from, to) = weights(2, count);
        let (base, target) = (model(&[("w", "BF16", shape, &from)]), model(&[("w", "BF16", shape, &to)]));
        let archive = compress(&base, &target, Format::default()).unwrap();
        assert!(reference::restore(&[&base], &archive).unwrap() == target);
        let archive = compress(&[], &target, Format::default()).unwrap();
        assert!(reference::restore(&[&[]], &archive).unwrap() == target);
    }
}

#[test]
fn agrees_on_files_of_every_kind() {
    let json = r#"{"a\u00e9\ud83d\ude00":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},
        "b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]},"__metadata__":{"k":"v"}}"#;
    let long = random(20_000);
    let (from, to) = weights(2, 3000);
    let files = [
        vec![],
        vec![7],
        long.clone(),
        model(&[]),
        with_header(json, &[9, 7, 8, 5, 4, 9, 0, 1, 2]),
        with_header(json, &[&[9, 7, 8, 5, 4, 9][..], &long].concat()),
        model(&[("w", "BF16", &[30, 100], &from)]),
        model(&[("w", "BF16", &[30, 100], &to), ("tied", "BF16", &[100, 30], &to), ("e", "F32", &[0], &[])]),
        model(&[("renamed", "BF16", &[30, 100], &from)]),
    ];
    for base in &files {
        for target in &files {
            agree(base, target);
        }
    }
}

/// A GGUF file of `(name, innermost extent first, ggml type, bytes)`, aligned to 64 bytes.
fn gguf(tensors: &[(&str, &[u64], u32, &[u8])]) -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    let mut file = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
    file.extend([tensors.len() as u64, 2].map(u64::to_le_bytes).concat());
    text(&mut file, "general.alignment");
    file.extend([4u32, 64].map(u32::to_le_bytes).concat());
    text(&mut file, "nested");
    file.extend(
        [&[9, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], &[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat(),
    );
    text(&mut file, "token");
    let mut data = Vec::new();
    for (name, extents, kind, bytes) in tensors {
        text(&mut file, name);
        file.extend((extents.len() as u32).to_le_bytes());
        extents.iter().for_each(|extent| file.extend(extent.to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(*bytes);
        data.resize(data.len().next_multiple_of(64), 0);
    }
    file.resize(file.len().next_multiple_of(64), 0);
    [file, data].concat()
}

#[test]
fn agrees_on_gguf() {
    let (from, to) = weights(2, 3000);
    let blocks = random(1000);
    let build = |bytes: &[u8], name| {
        gguf(&[
            ("half", &[100, 15], 1, &bytes[..3000]),
            (name, &[1000], 8, &blocks),
            ("b", &[30, 50], 30, &bytes[3000..]),
        ])
    };
    let (base, target) = (build(&from, "blocks"), build(&to, "renamed"));
    agree(&base, &target);
    agree(&[], &target);
    agree(&model(&[("half", "F16", &[15, 100], &from[..3000])]), &target);
    let archive = compress(&base, &target, Format::default()).unwrap();
    assert!(archive.len() < 3000, "tensors did not pair: {}", archive.len());
}

/// Blocks whose scales move, some of them zeros, infinities, NaNs or subnormal.
#[test]
fn agrees_on_q8_0() {
    for extents in [&[32, 1][..], &[64, 40], &[96, 8, 5], &[2048]] {
        let count = extents.iter().product::<u64>() as usize / 32;
        let (scales, quants) = (weights(2, count), weights(1, 32 * count));
        let blocks = |scales: &[u8], quants: &[u8]| -> Vec<u8> {
            scales.chunks(2).zip(quants.chunks(32)).flat_map(|(scale, quants)| [scale, quants].concat()).collect()
        };
        let (mut from, mut to) = (blocks(&scales.0, &quants.0), blocks(&scales.1, &quants.1));
        let specials = [[0u8; 2], [0, 0x7c], [1, 0x7e], [1, 0], [0, 0x80], [0xff, 0x7b]];
        for (i, scale) in specials.iter().enumerate().filter(|_| count > 12) {
            from[34 * i..34 * i + 2].copy_from_slice(scale);
            to[34 * i + 102..34 * i + 104].copy_from_slice(scale);
        }
        let file = |blocks: &[u8]| gguf(&[("w", extents, 8, blocks), ("b", &[4], 0, &[1; 16])]);
        agree(&file(&from), &file(&to));
        agree(&[], &file(&to));
    }
}

/// Weights that move along a few directions, and the weights moved: the bits of `F32`s.
fn along_few_directions(rows: usize, columns: usize) -> (Vec<u32>, Vec<u32>) {
    let noise = random(4 * rows * columns);
    let base: Vec<f32> = noise.chunks(4).map(|b| f32::from(b[0]) * 0.001 - 0.1 + f32::from(b[1]) * 4e-6).collect();
    let moved = base.iter().enumerate().map(|(i, weight)| {
        let (row, column) = ((i / columns) as f32, (i % columns) as f32);
        weight + 0.004 * (row * 0.7).sin() * (column * 0.3).cos() + 0.001 * (row * 0.2).cos() * (column * 1.1).sin()
    });
    (base.iter().map(|x| x.to_bits()).collect(), moved.map(|x| x.to_bits()).collect())
}

/// Predicted tensors of every type that can be, with rows that do not fill vectors, weights that are not finite, and
/// zeros of either sign.
#[test]
fn agrees_on_predictions() {
    let narrow = |bits: &u32| (*bits >> 16) as u16;
    let half = |bits: &u32| {
        let value = f32::from_bits(*bits);
        let scaled = (value.abs() * 16_777_216.0).to_bits();
        // Good enough: truncated, and subnormal below 2^-14.
        let exponent = (scaled >> 23) as i32 - 127 - 24 + 15;
        let normal = (exponent as u32) << 10 | scaled >> 13 & 1023;
        (bits >> 16 & 0x8000) as u16 | if exponent > 0 { normal as u16 } else { (value.abs() * 16_777_216.0) as u16 }
    };
    let double = |bits: &u32| f64::from(f32::from_bits(*bits)).to_le_bytes();
    for (rows, columns) in [(70, 33), (64, 128), (40, 1100)] {
        let (mut from, mut to) = along_few_directions(rows, columns);
        for (i, special) in [0x7f80_0000u32, 0xffc0_0001, 0x8000_0000, 0, 0x7f7f_ffff].into_iter().enumerate() {
            (from[37 * i + 5], to[37 * i + 5]) = (special, special);
        }
        for (dtype, bytes) in [
            ("BF16", [&from, &to].map(|w| w.iter().flat_map(|bits| narrow(bits).to_le_bytes()).collect::<Vec<_>>())),
            ("F16", [&from, &to].map(|w| w.iter().flat_map(|bits| half(bits).to_le_bytes()).collect())),
            ("F32", [&from, &to].map(|w| w.iter().flat_map(|bits| bits.to_le_bytes()).collect())),
            ("F32", [&from, &to].map(|w| w.iter().flat_map(|bits| (bits >> 16 << 16).to_le_bytes()).collect())),
            ("F64", [&from, &to].map(|w| w.iter().flat_map(double).collect())),
        ] {
            let shape = [rows as u64, columns as u64];
            let [base, target] = bytes.map(|bytes| model(&[("w", dtype, &shape, &bytes)]));
            let archives = agree(&base, &target);
            let predicted = |archive: &[u8]| inspect(archive).unwrap().tensors[0].prediction.is_some();
            // The noise of so many bits outweighs what a prediction saves.
            assert!(predicted(&archives[2]) || dtype == "F64", "{dtype} {rows} {columns}");
        }
    }
}

#[test]
fn agrees_on_several_base_files_and_none() {
    let (from, to) = weights(4, 2000);
    let shards =
        [model(&[("a", "F32", &[1000], &from[..4000])]), model(&[("b", "F32", &[1000], &from[4000..])]), random(500)];
    let bases = shards.each_ref().map(Vec::as_slice);
    let target = model(&[("b", "F32", &[1000], &to[4000..]), ("a", "F32", &[1000], &to[..4000])]);
    let archive = compress_against(&bases, &target);
    assert!(restore_against(&bases, &archive) == target);
    assert!(reference::restore(&bases, &archive).unwrap() == target);
    reference::restore(&bases[..2], &archive).unwrap_err();
    let archive = compress_against(&[], &target);
    assert!(restore_against(&[], &archive) == target);
    assert!(reference::restore(&[], &archive).unwrap() == target);
}

fn compress_against(bases: &[&[u8]], target: &[u8]) -> Vec<u8> {
    let lengths: Vec<u64> = bases.iter().map(|base| base.len()).collect();
    let mut job = Compress::new(&lengths, target.len() as u64, Format::default()).unwrap().job();
    let bases: Vec<_> = bases.iter().map(|base| base as &dyn ReadAt).collect();
    run(&mut job, &Sources { base: &bases, target: Some(&target), ..Sources::default() })
}

fn restore_against(bases: &[&[u8]], archive: &[u8]) -> Vec<u8> {
    let lengths: Vec<u64> = bases.iter().map(|base| base.len()).collect();
    let bases: Vec<_> = bases.iter().map(|base| base as &dyn ReadAt).collect();
    let sources = Sources { base: &bases, delta: Some(&archive), ..Sources::default() };
    run(&mut Restore::new(&lengths, archive.len() as u64).job(), &sources)
}

fn run(job: &mut Job, sources: &Sources<'_>) -> Vec<u8> {
    let mut output = Vec::new();
    drive::open(job, sources).unwrap();
    drive::drive(job, sources, &Sequential, &mut output, &mut |_| {}).unwrap();
    output
}

#[test]
fn refuses_what_the_crate_refuses() {
    let (from, to) = weights(2, 600);
    let base = model(&[("w", "BF16", &[6, 100], &from)]);
    let archive = agree(&base, &model(&[("w", "BF16", &[6, 100], &to)])).pop().unwrap();
    for length in 0..archive.len() {
        reference::restore(&[&base], &archive[..length]).unwrap_err();
    }
    for bit in 0..archive.len() * 8 {
        let mut flipped = archive.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        reference::restore(&[&base], &flipped).unwrap_err();
    }
    let mut other = base.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(reference::restore(&[&other], &archive).unwrap_err(), "a wrong base");
}

/// The ggml types of blocks, in the order of the dtypes from 22 on.
const BLOCKS: [u32; 12] = [8, 2, 3, 6, 7, 10, 11, 12, 13, 14, 20, 23];

/// Blocks of random bits, whose scales are infinite, no numbers or zero here and there; the same
/// with a few bits changed; and the same with plausible scales.
fn blocks(format: &reference::quant::Format, count: usize) -> [Vec<u8>; 3] {
    let length = format.bytes * count;
    let base = random(length);
    let noise = random(3 * length);
    let mut target = base.clone();
    for (i, byte) in target.iter_mut().enumerate().filter(|(i, _)| noise[length + *i] < 24) {
        *byte ^= noise[i] & noise[2 * length + i];
    }
    let plausible = target.chunks(format.bytes).flat_map(|block| {
        let mut fields = format.parse(block);
        (fields.d, fields.m) = (fields.d % 0x400 + 0x1c00, fields.m % 0x400 + 0x1c00);
        format.write(&fields)
    });
    let plausible = plausible.collect();
    [base, target, plausible]
}

/// Blocks of every dtype, against blocks of the same dtype, against their own weights as floats,
/// and against the `Q8_0` of other weights.
#[test]
fn agrees_on_blocks_of_every_dtype() {
    let eights = &reference::quant::FORMATS[0];
    for (format, kind) in reference::quant::FORMATS.iter().zip(BLOCKS) {
        let [base, target, plausible] = blocks(format, 12);
        let columns = 3 * format.weights as u64;
        let file = |kind, bytes: &[u8]| gguf(&[("w", &[columns, 4], kind, bytes)]);
        agree(&file(kind, &base), &file(kind, &target));
        agree(&file(kind, &target), &file(kind, &plausible));
        let weights = format.weights_of(&plausible);
        for (dtype, number) in [("F32", 17), ("F16", 13), ("BF16", 14)] {
            let floats = reference::cast::cast(&weights, 17, number);
            let floats = model(&[("w", dtype, &[4, columns], &floats)]);
            let sizes = agree(&floats, &file(kind, &plausible));
            assert!(dtype != "F32" || sizes[1].len() < file(kind, &plausible).len(), "{kind}");
            agree(&floats, &file(kind, &target));
        }
        let [_, _, other] = blocks(eights, 12 * format.weights / 32);
        agree(&file(8, &other), &file(kind, &plausible));
    }
}

/// Blocks of more than a chunk.
#[test]
fn agrees_on_many_blocks() {
    let format = &reference::quant::FORMATS[7];
    let [base, target, _] = blocks(format, 4200);
    let file = |bytes: &[u8]| gguf(&[("w", &[256 * 3, 1400], 12, bytes)]);
    agree_once(&file(&base), &file(&target));
}

/// Packed numbers of four bits.
#[test]
fn agrees_on_nibbles() {
    let (base, noise) = (random(8000), random(16_000));
    let move_by = |(i, byte): (usize, &u8)| {
        let by = |n: u8| if n < 30 { n % 3 + 15 } else { 16 };
        byte.wrapping_add(by(noise[i])) & 15 | (byte >> 4).wrapping_add(by(noise[8000 + i])) << 4
    };
    let target: Vec<u8> = base.iter().enumerate().map(move_by).collect();
    for (dtype, width) in [("I32", 4), ("U8", 1), ("U32", 4)] {
        let file = |bytes: &[u8]| model(&[("w", dtype, &[20, 400 / width], bytes)]);
        agree(&file(&base), &file(&target));
    }
}

/// Compresses at the default effort; both decoders must restore `target`.
fn agree_once(base: &[u8], target: &[u8]) {
    let archive = compress(base, target, Format::default()).unwrap();
    assert!(restore(base, &archive).unwrap() == target);
    assert!(reference::restore(&[base], &archive).unwrap() == target);
}
