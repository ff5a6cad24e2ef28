//! Tests of the choice of the method, and of damage to its payloads.

use super::encode_any;
use crate::chunk::{Against, Effort, Given, Matrix, Method, Scratch, decode, delta, encode};
use crate::layout::Dtype;

const DTYPES: [Dtype; 7] = [Dtype::I8, Dtype::F8_E4M3, Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64, Dtype::I64];

/// Returns a base and a target of `count` random elements, of which about one in `every` differ by
/// a step.
fn few(width: usize, count: usize, every: usize) -> (Vec<u8>, Vec<u8>) {
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 24) as u8
    };
    let base: Vec<u8> = (0..width * count).map(|_| next()).collect();
    let mut target = base.clone();
    let mut place = 0;
    while let Some(element) = target.chunks_exact_mut(width).nth(place) {
        element[0] ^= 1;
        place += 1 + usize::from(base[place * width]) * 2 * every / 255;
    }
    (base, target)
}

/// Takes the method that is fastest where few words change, which takes no more bytes.
#[test]
fn few_changes_are_sparse() {
    let mut scratch = Scratch::default();
    for dtype in DTYPES {
        let (base, target) = few(dtype.words().0, 70_000, 100);
        let (matrix, against) = (Matrix { columns: 100 }, Against { base: Some(&base), ..Against::default() });
        let (method, payload) = encode(dtype, matrix, against, &target, Effort::Fast).unwrap();
        assert_eq!(method, Method::Sparse, "{dtype:?}");
        let delta = delta::encode_any(dtype.words(), matrix, &base, &target, Effort::Fast);
        assert!(payload.len() * 16 < delta.len() * 17, "{dtype:?}: {} and {}", payload.len(), delta.len());
        let mut restored = vec![0; target.len()];
        let given = Given { base: Some(&base), ..Given::default() };
        decode(method, dtype, matrix, &payload, given, &mut restored, &mut scratch).unwrap();
        assert!(restored == target, "{dtype:?}");
    }
}

/// Other methods serve where many words change, where many became 0, and where the exponents tell
/// which words change.
#[test]
fn other_changes_are_not_sparse() {
    let (base, many) = few(2, 70_000, 3);
    let (_, mut zeroed) = few(2, 70_000, 100);
    zeroed.chunks_exact_mut(2).step_by(50).for_each(|word| word.fill(0));
    let small = |word: &&mut [u8]| word[1] & 0x7f < 3;
    let mut told = base.clone();
    told.chunks_exact_mut(2).filter(small).for_each(|word| word[0] ^= 1);
    for target in [many, zeroed, told, base.clone()] {
        assert!(encode_any(Dtype::BF16.words(), &base, &target).is_none());
    }
}

#[test]
fn damaged_sparse_payloads_never_panic() {
    let mut scratch = Scratch::default();
    let (base, target) = few(2, 3000, 20);
    let payload = encode_any(Dtype::I16.words(), &base, &target).unwrap();
    let given = Given { base: Some(&base), ..Given::default() };
    let mut restored = vec![0; target.len()];
    for bit in 0..payload.len() * 8 {
        let (mut flipped, cut) = (payload.clone(), &payload[..bit / 8]);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut decode = |payload| {
            decode(Method::Sparse, Dtype::I16, Matrix { columns: 30 }, payload, given, &mut restored, &mut scratch)
        };
        let _ = decode(&flipped);
        decode(cut).unwrap_err();
    }
}
