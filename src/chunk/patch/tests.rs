//! Tests of patches: what is encoded comes back, small where it can be, and damage is an error.

use super::*;

fn round_trip(base: &[u8], target: &[u8], effort: Effort) -> Vec<u8> {
    let payload = encode(base, target, effort);
    let mut restored = vec![0; target.len()];
    decode(&payload, base, &mut restored, &mut Scratch::default()).unwrap();
    assert!(restored == target);
    payload
}

const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Default, Effort::Max];

pub(super) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut seed = seed;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn bytes_of_every_kind_round_trip() {
    let long = noise(30_000, 1);
    let texts = [b"a".to_vec(), vec![0; 5000], long[..300].to_vec(), long.clone(), b"abcabcabcabd".repeat(9)];
    for effort in EFFORTS {
        for base in [vec![], vec![0; 9], long.clone(), long[7..].to_vec()] {
            for target in &texts {
                round_trip(&base, target, effort);
                round_trip(&base, &[&target[..], &long[100..900], target].concat(), effort);
            }
        }
    }
}

#[test]
fn moved_and_edited_bytes_cost_what_is_new() {
    let base = noise(200_000, 2);
    let new = noise(100, 3);
    let edited = [&base[5000..90_000], &new, &base[90_010..], &base[..5000]].concat();
    for effort in EFFORTS {
        assert!(round_trip(&base, &base, effort).len() < 70);
        assert!(round_trip(&base, &edited, effort).len() < 300);
    }
}

/// Entries whose numbers all change, as in the header of a model whose tensors have other sizes.
#[test]
fn text_that_changes_everywhere_costs_what_changes() {
    let text = |by: usize| -> Vec<u8> {
        let entry = |i: usize| {
            let (from, to) = (i * 7_340_032 * by, (i + 1) * 7_340_032 * by);
            format!("\"layers.{i}.mlp.weight\":{{\"dtype\":\"BF16\",\"data_offsets\":[{from},{to}]}},")
        };
        (0..500).flat_map(|i| entry(i).into_bytes()).collect()
    };
    for effort in [Effort::Default, Effort::Max] {
        let payload = round_trip(&text(1), &text(3), effort);
        assert!(payload.len() < 500 * 12, "{effort:?}: {}", payload.len());
    }
}

/// Names that count up agree with thousands of earlier ones, one after the other in their tree.
#[test]
fn names_that_count_up_take_few_steps() {
    let entry = |i: usize| format!("\"model.layers.{}.mlp.experts.{}.down_proj.weight\":[512]", i / 100, i % 100);
    let text: Vec<u8> = (0..4000).flat_map(|i| entry(i).into_bytes()).collect();
    let (payload, steps) = crate::steps::count(|| round_trip(&[], &text, Effort::Default));
    assert!(
        payload.len() * 20 < text.len() && steps < 16 * text.len() as u64,
        "{} bytes, {steps} steps",
        payload.len()
    );
}

/// Four bytes of a mask have 16 values, so that every place of the base is in one of few deep
/// trees.
#[test]
fn long_copies_take_few_steps() {
    let base: Vec<u8> = noise(300_000, 8).iter().map(|byte| byte & 1).collect();
    let mut target = base.clone();
    (1..60).for_each(|i| target[i * 4999] ^= 1);
    let (payload, steps) = crate::steps::count(|| round_trip(&base, &target, Effort::Default));
    assert!(payload.len() < 300 && steps < 8 * target.len() as u64, "{} bytes, {steps} steps", payload.len());
}

#[test]
fn large_bases_are_searched_too() {
    let base = noise(6 << 20, 4);
    let target = [&base[3_000_001..3_020_000], &noise(50, 5), &base[100_003..130_000]].concat();
    assert!(round_trip(&base, &target, Effort::Default).len() < 300);
}

#[test]
fn damaged_payloads_never_panic() {
    let base: Vec<u8> = (0..3000u32).flat_map(|i| format!("{} ", i * i % 977).into_bytes()).collect();
    let target: Vec<u8> = (0..900u32).flat_map(|i| format!("{},", i * i % 979).into_bytes()).collect();
    let payload = round_trip(&base, &target, Effort::Default);
    let mut restored = vec![0; target.len()];
    let mut scratch = Scratch::default();
    for length in 0..payload.len() {
        decode(&payload[..length], &base, &mut restored, &mut scratch).expect_err("a truncation");
    }
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = decode(&flipped, &base, &mut restored, &mut scratch);
    }
    let _ = decode(&payload, &base[1..], &mut restored, &mut scratch);
    decode(&payload, &base, &mut restored[1..], &mut scratch).unwrap_err();
    decode(&payload, &[], &mut restored, &mut scratch).unwrap_err();
}

#[test]
fn forged_sequences_are_refused() {
    let base = noise(100, 6);
    let target = noise(40, 7);
    let sequence = |inserted, copied, distance| Sequence { inserted, copied, distance };
    let decoded = |sequences: &[Sequence], length: usize| {
        let mut restored = vec![0; length];
        decode(&write(100, &target, sequences), &base, &mut restored, &mut Scratch::default())
    };
    decoded(&[sequence(4, 10, 104)], 40).unwrap();
    decoded(&[sequence(4, 10, 105)], 40).expect_err("a copy from before the base");
    decoded(&[sequence(4, 36, 1)], 40).unwrap();
    decoded(&[sequence(4, 30, 1)], 30).expect_err("a copy beyond the end");
    decoded(&[sequence(4, 30, 1)], 41).expect_err("an end before the end");
    decoded(&[], 39).expect_err("too many literals");
}
