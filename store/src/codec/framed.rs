//! Framed pieces: a piece and a base of another dtype or shape, each as a safetensors file with one
//! tensor. The core's pairing then casts the base, and aligns rows that were added or removed.

use bitx::layout::Dtype;
use bytes::{BufMut, Bytes, BytesMut};

use super::{CUT_HEAD, LONGEST_HEAD, Problem};

/// The maximum number of extents of a framed piece or base.
const RANK: usize = 8;

/// The dtype and shape of a base that differ from those of its piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
}

impl Form {
    /// Returns `true` if a tensor of this form can be in a frame: it is of plain words and has few
    /// extents.
    pub(crate) fn is_possible(&self) -> bool {
        let plain = [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::I8, Dtype::U8];
        plain.contains(&self.dtype) && (1..=RANK).contains(&self.shape.len())
    }

    /// The end of the head of an object, which states the form of the base.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.dtype.number(), self.shape.len() as u8];
        self.shape.iter().for_each(|extent| bytes.extend_from_slice(&extent.to_le_bytes()));
        bytes
    }

    /// Reads the form of the base from an object. Returns it with the length of the whole head.
    pub(super) fn parse(object: &[u8]) -> Result<(Self, usize), Problem> {
        let rest = object.get(LONGEST_HEAD as usize..).ok_or(CUT_HEAD)?;
        let (&[number, rank], rest) = rest.split_first_chunk().ok_or(CUT_HEAD)?;
        let rank = usize::from(rank);
        let extents = rest.get(..rank * 8).filter(|_| rank <= RANK).ok_or(CUT_HEAD)?;
        let shape = extents.chunks_exact(8).map(|extent| extent.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
        let dtype = Dtype::from_number(number).ok_or("the dtype of the base is unknown")?;
        Ok((Self { dtype, shape: shape.collect() }, LONGEST_HEAD as usize + 2 + rank * 8))
    }

    /// A safetensors file with these bytes as its only tensor.
    ///
    /// # Errors
    /// Another number of bytes than the form has.
    pub(super) fn frame(&self, bytes: &Bytes) -> Result<Bytes, Problem> {
        if self.dtype.tensor_bytes(&self.shape) != Some(bytes.len() as u64) {
            return Err("the form of the base does not fit its bytes".to_owned());
        }
        let (name, shape, length) = (self.dtype.name(), &self.shape, bytes.len());
        let mut header =
            format!("{{\"t\":{{\"dtype\":\"{name}\",\"shape\":{shape:?},\"data_offsets\":[0,{length}]}}}}");
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let mut framed = BytesMut::with_capacity(8 + header.len() + length);
        framed.put_u64_le(header.len() as u64);
        framed.put_slice(header.as_bytes());
        framed.put_slice(bytes);
        Ok(framed.freeze())
    }
}

/// The tensor of a frame.
pub(super) fn unframed(framed: &Bytes) -> Result<Bytes, Problem> {
    let wrong = "the decoded bytes are no frame of a piece";
    let header = framed.first_chunk().map(|length| u64::from_le_bytes(*length)).ok_or(wrong)?;
    let start = usize::try_from(header).ok().and_then(|header| header.checked_add(8));
    let start = start.filter(|start| *start <= framed.len()).ok_or(wrong)?;
    Ok(framed.slice(start..))
}

#[cfg(test)]
mod tests {
    use bitx::Effort;

    use super::super::tests::weights;
    use super::super::{Base, Failure, Typed, base_of, decode, encode};
    use super::*;
    use crate::digest::Digest;
    use crate::keys::ObjectId;

    #[test]
    fn a_base_of_another_dtype_or_shape_serves() {
        let base = weights(0);
        let id = ObjectId { digest: Digest::of(&base), epoch: 3 };
        let widened: Bytes = base.chunks_exact(2).flat_map(|word| [0, 0, word[0], word[1]]).collect();
        let resized: Bytes = [&base[..], &weights(5)[..256]].concat().into();
        let form = || Form { dtype: Dtype::BF16, shape: vec![64, 128] };
        for (dtype, shape, target) in [(Dtype::F32, [64, 128], &widened), (Dtype::BF16, [65, 128], &resized)] {
            let piece = Typed { dtype, shape: &shape, bytes: target, digest: Digest::of(target) };
            let with = |bytes: Bytes| encode(piece, Some(Base { id, bytes, form: Some(form()) }), Effort::Default);
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
}
