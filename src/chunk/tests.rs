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

/// The share that a chunk of 512 columns takes at `default`.
fn share(dtype: Dtype, base: Option<&[u8]>, target: &[u8]) -> f64 {
    round_trip(dtype, 512, base, target, Effort::Default).1.len() as f64 / target.len() as f64
}

#[test]
fn words_of_a_narrower_dtype_cost_what_they_cost_there() {
    let weights = weights(1 << 17);
    for narrow in [Dtype::F8_E4M3, Dtype::F8_E5M2, Dtype::BF16, Dtype::F16, Dtype::F32] {
        let words: Vec<u8> = weights.iter().flat_map(|&(value, _)| bytes_of(narrow, value)).collect();
        let moved = weights.iter().map(|&(value, random)| value + random as f32 * 1e-9);
        let moved: Vec<u8> = moved.flat_map(|value| bytes_of(narrow, value)).collect();
        let alone = round_trip(narrow, 512, None, &words, Effort::Default).1.len();
        let against = round_trip(narrow, 512, Some(&words), &moved, Effort::Default).1.len();
        for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
            if dtype.words().0 <= narrow.words().0 {
                continue;
            }
            let [base, target] = [&words, &moved].map(|words| {
                let mut wide = vec![0; weights.len() * dtype.words().0];
                crate::cast::cast(narrow, dtype, words, &mut wide);
                wide
            });
            let (method, payload) = round_trip(dtype, 512, None, &base, Effort::Default);
            assert!(payload.len() <= alone + 16, "{narrow:?} in {dtype:?}: {method:?} {} {alone}", payload.len());
            let (method, payload) = round_trip(dtype, 512, Some(&base), &target, Effort::Default);
            assert!(payload.len() <= against + 16, "{narrow:?} in {dtype:?}: {method:?} {} {against}", payload.len());
        }
    }
}

#[test]
fn integers_of_fewer_bytes_are_narrow() {
    let weights = weights(1 << 16);
    for (dtype, width, scale) in [(Dtype::I64, 8, 1e3), (Dtype::I32, 4, 1e5), (Dtype::I16, 2, 1e3)] {
        let integer = |&(value, _): &(f32, u32)| ((value * scale) as i64).to_le_bytes()[..width].to_vec();
        let target: Vec<u8> = weights.iter().flat_map(integer).collect();
        let most = if width == 4 { 0.43 } else { 0.85 / width as f64 };
        assert!(round_trip(dtype, 512, None, &target, Effort::Default).1.len() as f64 <= most * target.len() as f64);
    }
    for (dtype, width) in [(Dtype::U64, 8), (Dtype::U32, 4), (Dtype::U16, 2)] {
        let target: Vec<u8> =
            weights.iter().flat_map(|(_, r)| u64::from(r & 255).to_le_bytes()[..width].to_vec()).collect();
        assert!(share(dtype, None, &target) < 1.01 / width as f64);
    }
}

/// Integers times scales, as fake quantisation leaves them; negative ones that round to zero are
/// -0.
fn quantised(dtype: Dtype, most: f32, scale_of: impl Fn(usize, usize) -> f32 + Copy) -> (Vec<u8>, Vec<u8>) {
    let words = |step: f32| {
        let word = move |(i, &(value, random)): (usize, &(f32, u32))| {
            let scale = scale_of(i / 512, i % 512) * 0.09 / most;
            let quant = ((value + random as f32 * step) / scale).round_ties_even().clamp(-most, most);
            bytes_of(dtype, quant * scale)
        };
        weights(1 << 17).iter().enumerate().flat_map(word).collect::<Vec<u8>>()
    };
    (words(0.0), words(1e-8))
}

#[test]
fn multiples_of_scales_cost_what_their_integers_cost() {
    let uneven = |i: usize| 1.0 + (i * i % 97) as f32 * 0.003;
    let tiles: [&dyn Fn(usize, usize) -> f32; 4] =
        [&|_, _| 1.0, &|row, _| uneven(row), &|_, column| uneven(column), &|row, column| {
            uneven(row * 16 + column / 32)
        }];
    for (i, tile) in tiles.into_iter().enumerate() {
        for (dtype, most, bits) in
            [(Dtype::F32, 127.0, 7.5), (Dtype::F32, 7.0, 3.6), (Dtype::F32, 2000.0, 12.5), (Dtype::F16, 127.0, 7.5)]
        {
            if i == 3 && most > 1000.0 {
                continue;
            }
            let (base, target) = quantised(dtype, most, tile);
            let width = dtype.words().0 as f64 * 8.0;
            let scale_bits = if i == 3 { 1.0 } else { 0.1 };
            let found = share(dtype, None, &base);
            assert!(found < (bits + scale_bits) / width, "{i} {dtype:?} {most}: {found}");
            if dtype == Dtype::F32 && most < 1000.0 {
                let found = share(dtype, Some(&base), &target);
                assert!(found < (bits * 0.5 + scale_bits) / width, "{i} {dtype:?} {most}: {found}");
            }
        }
    }
}

#[test]
fn few_distinct_words_are_a_palette() {
    let weights = weights(1 << 17);
    for (dtype, levels, bits) in
        [(Dtype::BF16, 3, 1.6), (Dtype::F16, 3, 1.6), (Dtype::F64, 16, 4.1), (Dtype::U16, 200, 7.8)]
    {
        let word = |level: u32| match dtype {
            Dtype::U16 => (level * 301).to_le_bytes()[..2].to_vec(),
            _ => bytes_of(dtype, (level as f32 - levels as f32 / 2.0).powi(3) * 0.0173),
        };
        let base: Vec<u8> = weights.iter().flat_map(|(_, random)| word(random % levels)).collect();
        let moved = weights.iter().map(|(value, random)| (random + u32::from(*value > 0.04)) % levels);
        let target: Vec<u8> = moved.flat_map(word).collect();
        let width = dtype.words().0 as f64 * 8.0;
        let (method, payload) = round_trip(dtype, 512, None, &base, Effort::Default);
        assert!((payload.len() as f64) < bits / width * base.len() as f64, "{dtype:?} {method:?}: {}", payload.len());
        let (method, payload) = round_trip(dtype, 512, Some(&base), &target, Effort::Default);
        assert!((payload.len() as f64) < 0.6 / width * base.len() as f64, "{dtype:?} {method:?}: {}", payload.len());
    }
}

#[test]
fn damaged_payloads_of_narrow_chunks_and_palettes_never_panic() {
    let weights = &weights(2000);
    let [bf16, moved] = [0.0, 1e-8].map(|step| {
        let halves =
            weights.iter().flat_map(|&(value, r)| [vec![0; 2], bytes_of(Dtype::BF16, value + r as f32 * step)]);
        halves.flatten().collect::<Vec<u8>>()
    });
    let (int8, tuned) = quantised(Dtype::F32, 127.0, |row, _| 1.0 + row as f32 * 0.01);
    let ternary = |bit: u32| -> Vec<u8> {
        weights.iter().flat_map(|(_, r)| bytes_of(Dtype::F16, ((r >> bit) % 3) as f32 - 1.0)).collect()
    };
    for (dtype, columns, base, target) in [
        (Dtype::F32, 40, &bf16, &moved),
        (Dtype::F32, 512, &int8[..8192].to_vec(), &tuned[..8192].to_vec()),
        (Dtype::F16, 40, &ternary(0), &ternary(1)),
    ] {
        for base in [Some(base.as_slice()), None] {
            let matrix = Matrix { columns };
            let against = Against { base, ..Against::default() };
            let narrow = narrow::encode(dtype, matrix, against, target, Effort::Default).unwrap();
            let palette = palette::encode::<u16>(matrix, base, target, Effort::Default, target.len());
            assert!(narrow.is_some() && palette.is_some() == (dtype == Dtype::F16));
            damage(dtype, columns, base, target, (Method::Narrow, narrow.unwrap()));
            palette.into_iter().for_each(|palette| damage(dtype, columns, base, target, (Method::Palette, palette)));
        }
    }
}

#[test]
fn forged_narrow_chunks_are_refused() {
    let target = [0; 64];
    let narrow = |dtype: Dtype, method: Method, rest: &[u8]| [&[dtype.number(), method as u8], rest].concat();
    for payload in [
        narrow(Dtype::F32, Method::Stored, &[0; 64]),
        narrow(Dtype::F64, Method::Stored, &[0; 128]),
        narrow(Dtype::I32, Method::Stored, &[0; 64]),
        narrow(Dtype::BF16, Method::Narrow, &narrow(Dtype::F8_E4M3, Method::Stored, &[0; 16])),
        narrow(Dtype::BF16, Method::Predicted, &[0; 32]),
        narrow(Dtype::BF16, Method::Factors, &[0; 32]),
        narrow(Dtype::BF16, Method::Delta, &[0; 32]),
        narrow(Dtype::BF16, Method::Copy, &[]),
        narrow(Dtype::BF16, Method::Stored, &[0; 31]),
        vec![200, 0],
        vec![Dtype::BF16.number(), 200],
        vec![],
    ] {
        let mut restored = target.to_vec();
        let given = Given::default();
        decode(
            Method::Narrow,
            Dtype::F32,
            Matrix { columns: 16 },
            &payload,
            given,
            &mut restored,
            &mut Scratch::default(),
        )
        .expect_err("a forged payload");
    }
    let mut restored = target.to_vec();
    let payload = narrow(Dtype::BF16, Method::Stored, &[0; 32]);
    decode(
        Method::Narrow,
        Dtype::F32,
        Matrix { columns: 16 },
        &payload,
        Given::default(),
        &mut restored,
        &mut Scratch::default(),
    )
    .unwrap();
}

/// As a model in BF16 is when it is converted to F16, or one in TF32 when it is stored as F32.
#[test]
fn mantissas_that_end_in_zeros_cost_what_is_left_of_them() {
    let weights = weights(1 << 17);
    let halves: Vec<u8> = weights.iter().flat_map(|&(value, _)| bytes_of(Dtype::BF16, value)).collect();
    let mut f16 = vec![0; halves.len()];
    crate::cast::cast(Dtype::BF16, Dtype::F16, &halves, &mut f16);
    assert!(share(Dtype::F16, None, &f16) < 0.68);
    for (bits, most) in [(13, 0.45), (5, 0.70)] {
        let words =
            weights.iter().flat_map(|&(value, random)| ((value.to_bits() | random >> 2) >> bits << bits).to_le_bytes());
        let found = share(Dtype::F32, None, &words.collect::<Vec<u8>>());
        assert!(found < most, "{bits}: {found}");
    }
}
