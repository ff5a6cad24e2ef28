//! Distances and predictions between real models, and over generated tensors.
#![cfg(not(target_arch = "wasm32"))]

mod common;

use bitx::distance::{BitDistance, Predicted, Sketch, predict};
use bitx::drive;
use bitx::layout::Dtype;
use bitx::{Effort, Format};
use common::{PAIRS, compress, inspect, model, restore};
use proptest::prelude::*;

/// A tensor: name, dtype, bytes.
type Tensor = (String, Dtype, Vec<u8>);

/// The tensors of a model file that are more than a few hundred numbers.
fn tensors(file: &[u8]) -> Vec<Tensor> {
    let layout = drive::layout(&file).unwrap();
    let large = layout.regions.iter().filter(|region| region.length > 100_000);
    large.map(|r| (r.name.clone(), r.dtype, file[r.offset as usize..][..r.length as usize].to_vec())).collect()
}

fn predicted(dtype: Dtype, base: &[u8], target: &[u8]) -> Predicted {
    predict(&Sketch::of(dtype, base), &Sketch::of(dtype, target)).unwrap()
}

/// Bell-shaped weights of about the size that models have, in `BF16` or `F32`.
fn random(dtype: Dtype, bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let width = if dtype == Dtype::BF16 { 2 } else { 4 };
    let words = (0..bytes / width).map(|_| (0..6).map(|_| uniform()).sum::<f32>() * 0.06);
    words.flat_map(|word| word.to_le_bytes()[4 - width..].to_vec()).collect()
}

/// The codec's result for a tensor against a base: its share, with contexts but no low-rank
/// prediction.
fn coded(base: Option<&[u8]>, target: &[u8], dtype: Dtype) -> f64 {
    let file = |bytes: &[u8]| model(&[("w", dtype.name(), &[target.len() as u64 / dtype.block().1], bytes)]);
    let base = base.map_or_else(|| model(&[]), file);
    let archive = compress(&base, &file(target), Format::V2 { effort: Effort::Fast }).unwrap();
    let tensor = &inspect(&archive).unwrap().tensors[0];
    tensor.stored_bytes as f64 / tensor.restored_bytes as f64
}

#[test]
fn deltas_within_a_family_are_predicted_to_pay_and_about_how_much() {
    for pair in &PAIRS {
        let (bases, targets) = (tensors(pair.base), tensors(&restore(pair.base, pair.archive).unwrap()));
        assert!(bases.len() > 3);
        for ((name, dtype, base), (_, _, target)) in bases.iter().zip(&targets) {
            let found = predicted(*dtype, base, target);
            assert!(found.delta_pays(), "{} {name}: {found:?}", pair.name);
            let (delta, alone) = (coded(Some(base), target, *dtype), coded(None, target, *dtype));
            println!("{} {name}: {found:.3?}, coded {delta:.3} and {alone:.3}", pair.name);
            assert!((found.delta_ratio - delta).abs() < 0.1, "{} {name}: {found:?}, coded {delta}", pair.name);
            assert!((found.alone_ratio - alone).abs() < 0.05, "{} {name}: {found:?}, coded {alone}", pair.name);
        }
    }
}

#[test]
fn deltas_to_strangers_are_predicted_not_to_pay() {
    for pair in [&PAIRS[0], &PAIRS[4]] {
        let targets = tensors(&restore(pair.base, pair.archive).unwrap());
        for (name, dtype, base) in &tensors(pair.base) {
            // Other tensors of that shape, and one that was never trained.
            let others = targets.iter().filter(|other| other.0 != *name && other.2.len() == base.len());
            let strangers = others.map(|other| other.2.clone()).chain([random(*dtype, base.len(), 1)]);
            for stranger in strangers {
                for found in [predicted(*dtype, base, &stranger), predicted(*dtype, &stranger, base)] {
                    assert!(!found.delta_pays(), "{} {name}: {found:?}", pair.name);
                }
            }
        }
    }
}

/// Many strangers, as small as sketches get: chance must not make relatives of them.
#[test]
fn small_sketches_are_not_taken_in() {
    for (dtype, bytes) in [(Dtype::BF16, 40_000), (Dtype::F32, 40_000), (Dtype::F32, 1 << 20)] {
        let pays = |seed| predicted(dtype, &random(dtype, bytes, seed), &random(dtype, bytes, seed + 1)).delta_pays();
        let taken_in = (0..200).filter(|&seed| pays(2 * seed)).count();
        println!("{taken_in} of 200 pairs of {dtype:?}, {bytes} bytes");
        assert!(taken_in <= 4, "{taken_in} of 200 pairs of {dtype:?}, {bytes} bytes");
    }
}

/// A sketch's distance is that of the tensors, as far as its size allows.
#[test]
fn sketches_tell_the_distance() {
    for pair in &PAIRS {
        let (bases, targets) = (tensors(pair.base), tensors(&restore(pair.base, pair.archive).unwrap()));
        let (mut exact, mut sampled) = (BitDistance::default(), BitDistance::default());
        for ((_, dtype, base), (_, _, target)) in bases.iter().zip(&targets) {
            exact.update(*dtype, base, target).unwrap();
            sampled.merge(Sketch::of(*dtype, base).distance(&Sketch::of(*dtype, target)).unwrap());
        }
        let apart = (exact.per_word() - sampled.per_word()).abs();
        assert!(apart < 0.5 + 0.2 * exact.per_word(), "{}: {exact:?}, sampled {sampled:?}", pair.name);
        assert!((exact.unchanged_share() - sampled.unchanged_share()).abs() < 0.25, "{}", pair.name);
    }
}

const DTYPES: [Dtype; 9] =
    [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64, Dtype::F8_E5M2, Dtype::I8, Dtype::U8, Dtype::I64, Dtype::Q8_0];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any bytes at all, infinities and the like among them.
    #[test]
    fn predictions_are_shares(dtype in prop::sample::select(&DTYPES[..]), pairs: Vec<(u64, u64)>, power in 0u32..64) {
        let bytes = |words: Vec<u64>| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let base = bytes(pairs.iter().map(|pair| pair.0).collect());
        for target in [
            bytes(pairs.iter().map(|pair| pair.1).collect()),
            bytes(pairs.iter().map(|pair| pair.0 ^ pair.1 >> power).collect()),
        ] {
            let found = predicted(dtype, &base, &target);
            prop_assert!((0.0..=1.0).contains(&found.delta_ratio), "{:?}", found);
            prop_assert!((0.0..=1.0).contains(&found.alone_ratio), "{:?}", found);
            let (a, b) = (Sketch::of(dtype, &base), Sketch::of(dtype, &target));
            prop_assert_eq!(a.distance(&b).unwrap(), b.distance(&a).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Weights that are all moved by about the same: the less, the smaller the delta.
    #[test]
    fn smaller_changes_make_smaller_deltas(seed: u64, exponent in 2i32..14) {
        let (base, noise) = (random(Dtype::F32, 1 << 22, seed), random(Dtype::F32, 1 << 22, seed ^ 1));
        let by = |change: f32| {
            let words = base.as_chunks::<4>().0.iter().zip(noise.as_chunks::<4>().0);
            let moved = words.map(|(word, noise)| f32::from_le_bytes(*word) + change * f32::from_le_bytes(*noise));
            predicted(Dtype::F32, &base, &moved.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
        };
        let (more, less) = (by(2f32.powi(-exponent)), by(2f32.powi(-exponent - 2)));
        prop_assert!(less.delta_pays());
        // Two bits of 32.
        let saved = more.delta_ratio - less.delta_ratio;
        prop_assert!((saved - 2.0 / 32.0).abs() < 0.015, "{:?} {:?}", more, less);
    }
}
