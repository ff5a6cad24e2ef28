//! Words of every dtype: dense, pruned, narrow, few distinct ones, and many.

use bitx::Format;

use super::samples::{agree, random, weights};
use crate::common::{compress, model};
use crate::reference;

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

/// One word in a hundred changes, by a step or by many; the first and the last do.
#[test]
fn agrees_on_few_changes() {
    let count = 40_000;
    for (dtype, width) in DTYPES {
        let (base, noise) = (random(width * count), random(3 * count));
        let mut target = base.clone();
        for (i, word) in target.chunks_exact_mut(width).enumerate() {
            if (noise[3 * i], noise[3 * i + 1] % 3) == (0, 0) || i == 0 || i + 1 == count {
                word[0] = word[0].wrapping_add(noise[3 * i + 2] % 3 | 1);
                word[width - 1] ^= if noise[3 * i + 2] > 250 { 0x21 } else { 0 };
            }
        }
        let file = |words: &[u8]| model(&[("w", dtype, &[count as u64 / 100, 100], words)]);
        let archives = agree(&file(&base), &file(&target));
        assert!(archives[0].len() < count / 100 * 3, "{dtype}: {} bytes", archives[0].len());
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

/// Words that narrower types hold: casts of every kind, multiples of scales, small integers; and
/// few distinct words.
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
    // Bytes that resemble the base's, and yet are smaller as a palette, which takes no base.
    let few = [&[0x8d; 43][..], &[0, 0, 106, 0, 0, 0, 0, 0]].concat();
    agree(&[&[0, 10, 0, 0, 0][..], &[0x8d; 10]].concat(), &few);
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
