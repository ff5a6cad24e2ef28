//! Tests of all methods: what is encoded comes back, small where it can be, and damage is an error.

use super::*;

/// Returns a base and a target of `count` elements of `width` bytes. The target's elements
/// differ by a few steps, and a few elements of both are special values.
fn pair(width: usize, count: usize) -> (Vec<u8>, Vec<u8>) {
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 24
    };
    let mut base: Vec<u8> = (0..width * count).map(|_| next() as u8).collect();
    let mut target = base.clone();
    target
        .chunks_exact_mut(width)
        .for_each(|element| element[0] = element[0].wrapping_add((next() & next() & 15) as u8));
    for special in [&[0u8; 8], &[0xff; 8], &[0x80, 0x7f, 0x80, 0x7f, 0x80, 0x7f, 0xf0, 0x7f]] {
        let at = next() as usize % count * width;
        base[at..at + width].copy_from_slice(&special[..width]);
        let at = next() as usize % count * width;
        target[at..at + width].copy_from_slice(&special[..width]);
    }
    (base, target)
}

const DTYPES: [Dtype; 10] = [
    Dtype::BOOL,
    Dtype::I8,
    Dtype::F8_E4M3,
    Dtype::F8_E5M2,
    Dtype::I16,
    Dtype::F16,
    Dtype::BF16,
    Dtype::F32,
    Dtype::F64,
    Dtype::I64,
];

#[test]
fn every_dtype_round_trips_with_and_without_a_base() {
    let mut scratch = Scratch::default();
    for dtype in DTYPES {
        for (count, columns) in [(1, 1), (3, 3), (1000, 40), (5000, 50), (9001, 9001)] {
            let (base, target) = pair(dtype.words().0, count);
            let matrix = Matrix { columns };
            for effort in [Effort::Fast, Effort::Default, Effort::Max] {
                for base in [Some(base.as_slice()), None] {
                    let (method, payload) =
                        encode(dtype, matrix, Against { base, ..Against::default() }, &target, effort).unwrap();
                    assert!(payload.len() <= target.len());
                    let mut restored = vec![0; target.len()];
                    let given = Given { base, ..Given::default() };
                    decode(method, dtype, matrix, &payload, given, &mut restored, &mut scratch).unwrap();
                    assert!(restored == target, "{dtype:?} {count} {effort:?} {method:?}");
                }
            }
        }
    }
}

#[test]
fn small_moves_make_small_payloads_in_every_dtype() {
    for dtype in DTYPES {
        let (base, target) = pair(dtype.words().0, 20_000);
        let against = Against { base: Some(&base), ..Against::default() };
        let (method, payload) = encode(dtype, Matrix { columns: 100 }, against, &target, Effort::Default).unwrap();
        assert_eq!(method, Method::Delta, "{dtype:?}");
        assert!(payload.len() < 20_000 * 5 / 8, "{dtype:?}: {}", payload.len());
    }
}

#[test]
fn damaged_payloads_never_panic() {
    let mut scratch = Scratch::default();
    let (base, target) = pair(2, 3000);
    let matrix = Matrix { columns: 30 };
    for base in [Some(base.as_slice()), None] {
        let (method, payload) =
            encode(Dtype::BF16, matrix, Against { base, ..Against::default() }, &target, Effort::Max).unwrap();
        let mut restored = vec![0; target.len()];
        let mut try_it = |payload: &[u8]| {
            let given = Given { base, ..Given::default() };
            decode(method, Dtype::BF16, matrix, payload, given, &mut restored, &mut scratch)
        };
        for length in 0..payload.len() {
            try_it(&payload[..length]).expect_err("a truncation");
        }
        for bit in 0..payload.len() * 8 {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = try_it(&flipped);
        }
    }
}

/// A chunk that is coded and restored; returns its method and its payload.
fn round_trip(dtype: Dtype, columns: usize, base: Option<&[u8]>, target: &[u8], effort: Effort) -> (Method, Vec<u8>) {
    let matrix = Matrix { columns };
    let (method, payload) = encode(dtype, matrix, Against { base, ..Against::default() }, target, effort).unwrap();
    let mut restored = vec![0; target.len()];
    let given = Given { base, ..Given::default() };
    decode(method, dtype, matrix, &payload, given, &mut restored, &mut Scratch::default()).unwrap();
    assert!(restored == target, "{dtype:?} {effort:?} {method:?}");
    (method, payload)
}

/// Tries every truncation, which must be an error, and every flipped bit, which must not panic.
fn damage(dtype: Dtype, columns: usize, base: Option<&[u8]>, target: &[u8], (method, payload): (Method, Vec<u8>)) {
    let mut scratch = Scratch::default();
    let mut restored = vec![0; target.len()];
    let mut try_it = |payload: &[u8]| {
        let given = Given { base, ..Given::default() };
        decode(method, dtype, Matrix { columns }, payload, given, &mut restored, &mut scratch)
    };
    for length in 0..payload.len() {
        try_it(&payload[..length]).expect_err("a truncation");
    }
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = try_it(&flipped);
    }
}

/// Weights of about one size, and 16 random bits for each.
fn weights(count: usize) -> Vec<(f32, u32)> {
    let mut seed = 5u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u32
    };
    let normal = |next: &mut dyn FnMut() -> u32| (0..6).map(|_| next() as f32 / 16_777_216.0 - 0.5).sum::<f32>() * 0.03;
    (0..count).map(|_| (normal(&mut next), next() >> 8)).collect()
}

/// The bytes of a weight in `dtype`, cut to its mantissa.
fn bytes_of(dtype: Dtype, value: f32) -> Vec<u8> {
    let mut bytes = vec![0; dtype.words().0];
    crate::cast::cast(Dtype::F32, dtype, &value.to_le_bytes(), &mut bytes);
    bytes
}

const PRUNED: [(Dtype, f64, f64); 4] =
    [(Dtype::BF16, 0.10, 0.42), (Dtype::F16, 0.12, 0.49), (Dtype::F32, 0.10, 0.46), (Dtype::F64, 0.10, 0.48)];

#[test]
fn pruned_weights_cost_little_alone() {
    let weights = weights(1 << 17);
    for (dtype, mostly, half) in PRUNED {
        for (kept, most) in [(6554, mostly), (32768, half)] {
            let pruned = weights.iter().map(|&(value, random)| if random < kept { value } else { 0.0 });
            let target: Vec<u8> = pruned.flat_map(|value| bytes_of(dtype, value)).collect();
            let share = round_trip(dtype, 256, None, &target, Effort::Default).1.len() as f64 / target.len() as f64;
            assert!(share < most, "{dtype:?} {kept}: {share}");
        }
    }
}

#[test]
fn weights_that_are_pruned_now_cost_little_against_their_base() {
    let weights = weights(1 << 17);
    let dtypes = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64, Dtype::F8_E4M3, Dtype::I8];
    for dtype in dtypes {
        let word = |value: f32| match dtype {
            Dtype::I8 => vec![(value * 1000.0) as i8 as u8],
            _ => bytes_of(dtype, value),
        };
        let base: Vec<u8> = weights.iter().flat_map(|&(value, _)| word(value)).collect();
        let pruned = weights.iter().map(|&(value, random)| if random < 32768 { value } else { 0.0 });
        let target: Vec<u8> = pruned.flat_map(word).collect();
        let (method, payload) = round_trip(dtype, 256, Some(&base), &target, Effort::Default);
        // A bit for each word, which no coder saves.
        assert!(payload.len() * 8 < weights.len() * 103 / 100, "{dtype:?} {method:?}: {}", payload.len());
    }
}

#[test]
fn damaged_payloads_with_zeros_never_panic() {
    let weights = weights(3000);
    let base: Vec<u8> = weights.iter().flat_map(|&(value, _)| bytes_of(Dtype::BF16, value)).collect();
    let pruned = weights.iter().map(|&(value, random)| if random < 9999 { value } else { 0.0 });
    let target: Vec<u8> = pruned.flat_map(|value| bytes_of(Dtype::BF16, value)).collect();
    for base in [Some(base.as_slice()), None] {
        let coded = round_trip(Dtype::BF16, 30, base, &target, Effort::Default);
        damage(Dtype::BF16, 30, base, &target, coded);
    }
}
