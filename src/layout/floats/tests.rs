use super::*;
use crate::layout::Dtype;

/// Numbers of a bell curve.
fn weights(count: usize, seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32 - 0.5
    };
    (0..count).map(move |_| 0.02 * (0..12).map(|_| uniform()).sum::<f32>())
}

fn f32s(count: usize, seed: u64) -> Vec<u8> {
    weights(count, seed).flat_map(f32::to_le_bytes).collect()
}

fn bf16s(count: usize, seed: u64) -> Vec<u8> {
    weights(count, seed).flat_map(|weight| ((weight.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

fn f16s(count: usize, seed: u64) -> Vec<u8> {
    let half = |weight: f32| {
        let bits = weight.to_bits();
        let exponent = ((bits >> 23 & 0xFF) as i32 - 127 + 15).max(0) as u32;
        (bits >> 16 & 0x8000 | exponent << 10 | bits >> 13 & 0x3FF) as u16
    };
    weights(count, seed).flat_map(|weight| half(weight).to_le_bytes()).collect()
}

/// A header such as ggml has between tensors: small integers and a name.
fn header(name: &str) -> Vec<u8> {
    let numbers = [2u32, name.len() as u32, 1, 384, 384].map(u32::to_le_bytes);
    [&numbers.concat()[..], name.as_bytes()].concat()
}

fn find(file: &[u8]) -> Vec<(Dtype, Range<u64>)> {
    let mut finder = Finder::of_file(file.len() as u64);
    while let Some(wanted) = finder.wants() {
        finder.take(&file[wanted.start as usize..wanted.end as usize]).unwrap();
    }
    finder.regions.into_iter().map(|region| (region.dtype, region.range())).collect()
}

/// A file of these parts, and the ranges of those that have a dtype.
fn file(parts: &[(Option<Dtype>, Vec<u8>)]) -> (Vec<u8>, Vec<(Dtype, Range<u64>)>) {
    let (mut bytes, mut floats) = (Vec::new(), Vec::new());
    for (dtype, part) in parts {
        let start = bytes.len() as u64;
        bytes.extend_from_slice(part);
        floats.extend(dtype.map(|dtype| (dtype, start..bytes.len() as u64)));
    }
    (bytes, floats)
}

#[test]
fn tensors_between_headers_are_found_to_the_word() {
    let (bytes, floats) = file(&[
        (None, header("encoder.conv1.bias")),
        (Some(Dtype::F16), f16s(40_000, 1)),
        (None, header("encoder.conv1.weight")),
        (Some(Dtype::F16), f16s(1_000_001, 2)),
        (None, header("encoder.positional_embedding")),
        (Some(Dtype::F32), f32s(5_000, 3)),
        (None, header("decoder.weight")),
        (Some(Dtype::BF16), bf16s(70_001, 4)),
        (None, header("decoder.odd")),
        (Some(Dtype::F32), f32s(1_000_000, 5)),
    ]);
    assert_eq!(find(&bytes), floats);
}

#[test]
fn floats_of_another_dtype_begin_where_the_others_end() {
    let (bytes, floats) = file(&[
        (Some(Dtype::F32), f32s(50_000, 1)),
        (Some(Dtype::F16), f16s(50_000, 2)),
        (Some(Dtype::F32), f32s(9_000, 3)),
    ]);
    let found = find(&bytes);
    assert_eq!(found.len(), 3, "{found:?}");
    for ((dtype, range), (expected, of)) in found.iter().zip(&floats) {
        assert_eq!(dtype, expected);
        assert!(range.start.abs_diff(of.start) < PAGE && range.end.abs_diff(of.end) < PAGE, "{range:?} {of:?}");
    }
}

#[test]
fn zeros_and_a_few_other_words_do_not_end_a_tensor() {
    let mut weights = f32s(100_000, 7);
    weights[40_000..80_000].fill(0);
    let (bytes, floats) = file(&[(None, vec![0; 3000]), (Some(Dtype::F32), weights.clone()), (None, vec![0; 7000])]);
    assert_eq!(find(&bytes), floats);
    weights[200_000..200_004].copy_from_slice(&f32::NAN.to_le_bytes());
    let whole = weights.len() as u64;
    assert_eq!(find(&weights), [(Dtype::F32, 0..whole)]);
    weights[200_004..200_012].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(find(&weights), [(Dtype::F32, 0..200_000), (Dtype::F32, 200_012..whole)]);
}

#[test]
fn regions_never_overlap() {
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..40 {
        let mut file = Vec::new();
        for seed in 0..1 + random(9) {
            let count = 1 + random(9000) as usize;
            file.extend(match random(6) {
                0 => f32s(count, seed),
                1 => f16s(count, seed),
                2 => bf16s(count, seed),
                3 => header("some.weight"),
                4 => vec![0; count],
                _ => weights(count, seed).map(|weight| (weight.to_bits() >> 3) as u8).collect(),
            });
        }
        let mut end = 0;
        for (dtype, range) in find(&file) {
            assert!(end <= range.start && range.end <= file.len() as u64, "{range:?} behind {end}");
            assert!((range.end - range.start).is_multiple_of(dtype.words().0 as u64));
            end = range.end;
        }
    }
}

#[test]
fn other_bytes_have_no_floats() {
    let uniform: Vec<u8> = weights(300_000, 1).map(|weight| (weight.to_bits() >> 3) as u8).collect();
    let quants: Vec<u8> = weights(300_000, 2).map(|weight| (weight * 1500.0) as i8 as u8).collect();
    let integers: Vec<u8> = (0..100_000u64).flat_map(u64::to_le_bytes).collect();
    for bytes in [&uniform[..], &quants, &integers, &[0; 100_000], b"", &f32s(200, 1)] {
        assert_eq!(find(bytes), []);
    }
    assert!(!may_be_in(include_bytes!("mod.rs")));
    assert!(may_be_in(&uniform[..2000]));
}

#[test]
fn the_extents_before_a_tensor_are_its_shape() {
    let header = [[2u32, 6, 0, 250, 20].map(u32::to_le_bytes).concat(), b"weight".to_vec()].concat();
    let file = [header, f32s(5000, 1)].concat();
    let mut finder = Finder::of_file(file.len() as u64);
    finder.take(&file).unwrap();
    assert_eq!(finder.regions[0].shape, [20, 250]);
}
