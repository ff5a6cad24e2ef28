//! Pieces are coded as the smallest of several codings, which always decode to them.

use super::*;

pub(super) fn weights(seed: u16) -> Bytes {
    (0..8192u32).flat_map(|i| (0x3C00 + (i.wrapping_mul(40503) >> 7) as u16 % 512 + seed).to_le_bytes()).collect()
}

#[test]
fn the_smallest_coding_is_chosen() {
    let (base, target) = (weights(0), weights(1));
    let id = ObjectId { digest: Digest::of(&base), epoch: 3 };
    let piece = Typed { dtype: Dtype::BF16, shape: &[64, 128], bytes: &target, digest: Digest::of(&target) };
    let delta = encode(piece, &[Base { id, bytes: base.clone(), form: None }], Effort::Default).unwrap();
    let alone = encode(piece, &[], Effort::Default).unwrap();
    let [of_delta, of_alone] = [&delta, &alone].map(|coded| Bytes::from(coded.object.concat()));
    assert_eq!((delta.base, base_of(&of_delta)), (Some(id), Ok(Some(id))));
    assert_eq!((alone.base, base_of(&of_alone)), (None, Ok(None)));
    assert!(of_delta.len() < of_alone.len() && of_alone.len() < target.len());
    assert_eq!(decode(&of_delta, Some(base.clone())), Ok(target.clone()));
    assert!(decode(&of_delta, None).is_err() && decode(&of_alone, Some(base)).is_err());
    assert!((0..of_delta.len()).all(|end| decode(&of_delta.slice(..end), Some(weights(0))).is_err()));
    // Every flipped bit is an error, even one that would not change the decoded bytes.
    assert!((LONGEST_HEAD as usize..of_delta.len()).all(|at| {
        let mut flipped = of_delta.to_vec();
        flipped[at] ^= 1;
        decode(&flipped.into(), Some(weights(0))).is_err()
    }));
}

#[test]
fn an_object_that_decodes_to_other_bytes_is_refused() {
    let target = weights(1);
    let piece = Typed { dtype: Dtype::BF16, shape: &[64, 128], bytes: &target, digest: Digest::of(&target) };
    let coded = || encode(piece, &[], Effort::Fast).unwrap();
    let other = [weights(2), target.slice(..16_000), [&target[..], b"more"].concat().into()];
    for bytes in &other {
        let Err(Failure::Codec(problem)) = checked(coded(), None, Typed { bytes, ..piece }) else { panic!() };
        assert_eq!(problem, DIFFERS);
    }
    assert!(checked(coded(), None, piece).is_ok());
}

#[test]
fn a_useless_base_is_left_out() {
    let noise: Bytes = (0..8u64).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes()).collect();
    let other: Bytes = noise.iter().rev().map(|byte| byte ^ 0x55).collect();
    let id = ObjectId { digest: Digest::of(&other), epoch: 0 };
    let piece = Typed { dtype: Dtype::U8, shape: &[256], bytes: &noise, digest: Digest::of(&noise) };
    let coded = encode(piece, &[Base { id, bytes: other, form: None }], Effort::Default).unwrap();
    let [head, content] = coded.object;
    assert_eq!((coded.base, &head[..], content), (None, &[RAW][..], noise));
}

#[test]
fn a_changed_piece_or_base_is_not_coded() {
    let (base, target) = (weights(0), weights(1));
    let id = ObjectId { digest: Digest::of(&base), epoch: 0 };
    let piece = Typed { dtype: Dtype::BF16, shape: &[64, 128], bytes: &target, digest: Digest::of(&target) };
    let changed = Typed { digest: id.digest, ..piece };
    for bases in [Vec::new(), vec![Base { id, bytes: base, form: None }]] {
        assert_eq!(encode(changed, &bases, Effort::Fast).unwrap_err(), Failure::Changed);
    }
    let other = Base { id, bytes: weights(2), form: None };
    assert_eq!(encode(piece, &[other], Effort::Fast).unwrap_err(), Failure::Base(id));
}

#[test]
fn a_base_of_another_dtype_or_shape_serves() {
    let base = weights(0);
    let id = ObjectId { digest: Digest::of(&base), epoch: 3 };
    let widened: Bytes = base.chunks_exact(2).flat_map(|word| [0, 0, word[0], word[1]]).collect();
    let resized: Bytes = [&base[..], &weights(5)[..256]].concat().into();
    let form = || Form::Tensor { dtype: Dtype::BF16, shape: vec![64, 128], in_order: true };
    for (dtype, shape, target) in [(Dtype::F32, [64, 128], &widened), (Dtype::BF16, [65, 128], &resized)] {
        let piece = Typed { dtype, shape: &shape, bytes: target, digest: Digest::of(target) };
        let with = |bytes: Bytes| encode(piece, &[Base { id, bytes, form: Some(form()) }], Effort::Default);
        let coded = with(base.clone()).unwrap();
        let object = Bytes::from(coded.object.concat());
        assert_eq!((coded.base, base_of(&object)), (Some(id), Ok(Some(id))));
        assert!(object.len() * 10 < target.len(), "{dtype:?}: {}", object.len());
        assert_eq!(decode(&object, Some(base.clone())), Ok(target.clone()));
        assert_eq!(with(weights(2)).unwrap_err(), Failure::Base(id));
        assert!((0..object.len()).all(|end| decode(&object.slice(..end), Some(base.clone())).is_err()));
        // A changed object decodes to nothing, or to bytes whose digest tells.
        for at in 0..object.len() {
            let mut flipped = object.to_vec();
            flipped[at] ^= 1;
            let _ = decode(&flipped.into(), Some(base.clone()));
        }
    }
}
