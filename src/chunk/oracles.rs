//! Bytes of every kind take no more than libzstd's level 19 does, but for the tables of a patch.

use super::*;

/// Bytes beyond zstd's that tables of symbols may take.
const TABLES: usize = 200;

fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut seed = seed;
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 32
    }
}

/// Texts, tables of numbers and patterns, as files of no known layout hold them.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let mut next = numbers(3);
    let words: Vec<String> = (0..4000).map(|_| format!("{:x}", next() % (1 << (8 + next() % 20)))).collect();
    let vocabulary: String = words.iter().enumerate().map(|(i, word)| format!("    \"{word}\": {i},\n")).collect();
    let mut sorted: Vec<u64> = (0..20_000).map(|_| next() % 10_000_000).collect();
    sorted.sort_unstable();
    let wide = |numbers: &[u64]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_le_bytes()).collect() };
    let sparse = |_| if next().is_multiple_of(20) { next() as u32 } else { 0 };
    let sparse: Vec<u32> = (0..50_000).map(sparse).collect();
    let noise: Vec<u8> = (0..1000).map(|_| next() as u8).collect();
    vec![
        ("a specification", include_bytes!("../../docs/FORMAT.md").to_vec()),
        ("source", include_bytes!("grid/packed/mod.rs").to_vec()),
        ("a vocabulary", vocabulary.into_bytes()),
        ("sorted integers", wide(&sorted)),
        ("sparse words", sparse.iter().flat_map(|word| word.to_le_bytes()).collect()),
        ("a pattern", noise.repeat(300)),
        ("zeros", vec![0; 300_000]),
        ("noise", (0..100_000).map(|_| next() as u8).collect()),
    ]
}

fn length(target: &[u8], base: Option<&[u8]>, effort: Effort) -> usize {
    let against = Against { base, relation: Relation::Bytes, ..Against::default() };
    let matrix = Matrix { columns: target.len() };
    let (method, payload) = encode(Dtype::U8, matrix, against, target, effort).unwrap();
    let mut restored = vec![0; target.len()];
    let given = Given { base, relation: Relation::Bytes, ..Given::default() };
    decode(method, Dtype::U8, matrix, &payload, given, &mut restored, &mut Scratch::default()).unwrap();
    assert!(restored == target);
    payload.len()
}

#[test]
fn bytes_alone_take_no_more_than_the_best_of_zstd() {
    for (kind, bytes) in kinds() {
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
        let zstd = zstd_safe::compress(&mut frame, &bytes, 19).unwrap();
        let [default, max] = [Effort::Default, Effort::Max].map(|effort| length(&bytes, None, effort));
        assert!(default <= zstd * 103 / 100 + TABLES, "{kind}: {default} at default, {zstd} by zstd");
        assert!(max <= zstd * 102 / 100 + TABLES, "{kind}: {max} at max, {zstd} by zstd");
        assert!(max <= default, "{kind}: {max} at max, {default} at default");
    }
}

/// The end of a copy that is long is worth less than the distance that goes on behind it.
#[test]
fn edited_bytes_take_what_is_new() {
    for (kind, base) in kinds() {
        let mut target = base.clone();
        let places = (1..10).map(|i| base.len() / 10 * i);
        places.for_each(|place| target[place..place + 4].copy_from_slice(b"edit"));
        for effort in [Effort::Default, Effort::Max] {
            let length = length(&target, Some(&base), effort);
            assert!(length < 300, "{kind}: {length}");
        }
    }
}
