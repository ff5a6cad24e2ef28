//! Packs: pieces that hold several short tensors. Those of one dtype are coded together, as one
//! tensor of a frame, and against the bytes of the base that each of them has as its counterpart.
//!
//! The head of an object lists the segments of the piece. Numbers are LEB128: the number of
//! segments, and of each the number of its dtype, its length in bytes, and 0, or else the number of
//! the dtype of its counterpart plus 1 and the offset of that in the base.

use bitx::Effort;
use bitx::layout::Dtype;
use bytes::Bytes;

use super::lanes::Lanes;
use super::{
    CUT_HEAD, Coded, DIFFERS, Decoding, Failure, LONGEST_HEAD, MOST_RESERVED, PACK, PACK_DELTA, Problem, RAW, archive,
    decode, head,
};
use crate::digest::Digest;
use crate::keys::ObjectId;

/// The size of an object, as a divisor of that of its piece, above which a base may be useless.
pub(super) const LARGE: usize = 2;

/// Consecutive bytes of a pack that are of one dtype and have their counterparts in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) dtype: Dtype,
    /// The length in bytes.
    pub(crate) length: u64,
    /// The dtype of the counterpart, and its offset in the base in bytes. It has as many elements.
    pub(crate) base: Option<(Dtype, u64)>,
}

/// A piece that is a pack, with the digest that it had when it was first read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) bytes: &'a Bytes,
    pub(crate) digest: Digest,
    pub(crate) segments: &'a [Segment],
}

impl Segment {
    /// The dtype as which tensors of `dtype` are coded in packs: bytes, if no word is an element.
    pub(crate) fn word(dtype: Dtype) -> Dtype {
        let is_word = Dtype::from_name(dtype.name()) == Some(dtype) && dtype.block().0 == 1;
        if is_word { dtype } else { Dtype::U8 }
    }

    /// Adds a segment behind these, as a part of the last one if it continues that.
    pub(crate) fn append(self, to: &mut Vec<Self>) {
        match to.last_mut() {
            Some(last) if last.dtype == self.dtype && last.continues() == self.base => last.length += self.length,
            _ => to.push(self),
        }
    }

    /// The counterpart of the bytes behind this segment, if they continue it.
    fn continues(&self) -> Option<(Dtype, u64)> {
        let (dtype, offset) = self.base?;
        Some((dtype, offset + self.base_length()))
    }

    /// The length of the counterpart in bytes.
    pub(super) fn base_length(&self) -> u64 {
        let width = |dtype: Dtype| dtype.block().1;
        self.base.map_or(0, |(dtype, _)| self.length / width(self.dtype) * width(dtype))
    }
}

/// Codes a pack, alone or against a base. Before it returns, it decodes the object and compares the
/// result with the pack, and it checks the digests of pack and base.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn encode(pack: Packed<'_>, base: Option<(ObjectId, Bytes)>, effort: Effort) -> Result<Coded, Failure> {
    if Digest::of(pack.bytes) != pack.digest {
        return Err(Failure::Changed);
    }
    let delta = base.map(|base| against(pack, base, effort)).transpose()?;
    match delta {
        Some(delta) if delta.length() < pack.bytes.len() / LARGE => Ok(delta),
        delta => {
            let alone = alone(pack, effort)?;
            Ok(delta.filter(|delta| delta.length() < alone.length()).unwrap_or(alone))
        }
    }
}

fn against(pack: Packed<'_>, (id, base): (ObjectId, Bytes), effort: Effort) -> Result<Coded, Failure> {
    if Digest::of(&base) != id.digest {
        return Err(Failure::Base(id));
    }
    let lanes = Lanes::of(pack.segments)?;
    let archive = archive(&lanes.frame(pack.bytes)?, Some(&lanes.base_frame(&base)?), effort)?;
    let head = [head(PACK_DELTA, &id), to_bytes(pack.segments)].concat();
    compared(Coded { object: [head.into(), archive], base: Some(id) }, Some(base), pack.bytes)
}

fn alone(pack: Packed<'_>, effort: Effort) -> Result<Coded, Failure> {
    let mut segments = Vec::new();
    pack.segments.iter().for_each(|segment| Segment { base: None, ..*segment }.append(&mut segments));
    let archive = archive(&Lanes::of(&segments)?.frame(pack.bytes)?, None, effort)?;
    let head = [vec![PACK], to_bytes(&segments)].concat();
    let coded = compared(Coded { object: [head.into(), archive], base: None }, None, pack.bytes)?;
    let plain = || Coded { object: [Bytes::from_static(&[RAW]), pack.bytes.clone()], base: None };
    Ok(if coded.length() > pack.bytes.len() { plain() } else { coded })
}

/// Decodes an object and compares the result with the piece.
fn compared(coded: Coded, base: Option<Bytes>, bytes: &Bytes) -> Result<Coded, Failure> {
    let object = Bytes::from(coded.object.concat());
    if decode(&object, base)? == *bytes { Ok(coded) } else { Err(Failure::Codec(DIFFERS.to_owned())) }
}

/// Decodes a pack.
pub(super) fn decoded(object: &Bytes, base: Option<&Bytes>) -> Result<Bytes, Problem> {
    let start = if base.is_some() { LONGEST_HEAD as usize } else { 1 };
    let mut rest = object.get(start..).ok_or(CUT_HEAD)?;
    let segments = parse(&mut rest).ok_or(CUT_HEAD)?;
    let (lanes, archive) = (Lanes::of(&segments)?, object.slice(object.len() - rest.len()..));
    let base = base.map(|base| lanes.base_frame(base)).transpose()?;
    lanes.unframed(&Decoding::of(&archive, base.as_ref())?.bytes()?)
}

fn to_bytes(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(segments.len() as u64, &mut bytes);
    for segment in segments {
        write(segment.dtype.number().into(), &mut bytes);
        write(segment.length, &mut bytes);
        match segment.base {
            None => write(0, &mut bytes),
            Some((dtype, offset)) => {
                write(u64::from(dtype.number()) + 1, &mut bytes);
                write(offset, &mut bytes);
            }
        }
    }
    bytes
}

/// Reads segments, and leaves the bytes behind them. `None` if they are cut or too long.
fn parse(bytes: &mut &[u8]) -> Option<Vec<Segment>> {
    let dtype = |number: u64| Dtype::from_number(u8::try_from(number).ok()?).filter(|d| Segment::word(*d) == *d);
    let (mut segments, mut length) = (Vec::new(), 0u64);
    for _ in 0..read(bytes)? {
        let mut segment = Segment { dtype: dtype(read(bytes)?)?, length: read(bytes)?, base: None };
        if let Some(number) = read(bytes)?.checked_sub(1) {
            segment.base = Some((dtype(number)?, read(bytes)?));
        }
        length = length.checked_add(segment.length).filter(|length| *length <= MOST_RESERVED)?;
        segments.push(segment);
    }
    Some(segments)
}

pub(super) fn write(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(super) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::base_of;
    use super::*;

    /// Tensors of two dtypes in turn, as a pack and its segments.
    fn pack(seed: u32, bases: Option<u64>) -> (Bytes, Vec<Segment>) {
        let (mut bytes, mut segments) = (Vec::new(), Vec::new());
        for tensor in 0..40u32 {
            let word = |i: u32| 0x3C00 + ((tensor * 500 + i).wrapping_mul(40503) >> 7) % 512 + seed;
            let (dtype, tensor): (Dtype, Vec<u8>) = match tensor % 2 {
                0 => (Dtype::BF16, (0..500).flat_map(|i| (word(i) as u16).to_le_bytes()).collect()),
                _ => (Dtype::F32, (0..250).flat_map(|i| (word(i) << 16).to_le_bytes()).collect()),
            };
            let base = bases.map(|skipped| (dtype, skipped + bytes.len() as u64));
            Segment { dtype, length: tensor.len() as u64, base }.append(&mut segments);
            bytes.extend_from_slice(&tensor);
        }
        (bytes.into(), segments)
    }

    #[test]
    fn packs_are_coded_alone_and_against_a_base() {
        let ((base, _), (bytes, segments)) = (pack(0, None), pack(1, Some(6)));
        let base = Bytes::from([b"before", &base[..], b"after"].concat());
        let id = ObjectId { digest: Digest::of(&base), epoch: 3 };
        let packed = Packed { bytes: &bytes, digest: Digest::of(&bytes), segments: &segments };
        let delta = encode(packed, Some((id, base.clone())), Effort::Fast).unwrap();
        let alone = encode(packed, None, Effort::Fast).unwrap();
        let [delta, alone] = [delta, alone].map(|coded| (Bytes::from(coded.object.concat()), coded.base));
        assert_eq!((delta.1, base_of(&delta.0)), (Some(id), Ok(Some(id))));
        assert_eq!((alone.1, base_of(&alone.0)), (None, Ok(None)));
        assert!(delta.0.len() * 2 < alone.0.len() && alone.0.len() < bytes.len(), "{delta:?} {alone:?}");
        for (object, base) in [(delta.0, Some(base)), (alone.0, None)] {
            assert_eq!(decode(&object, base.clone()), Ok(bytes.clone()));
            assert!((0..object.len()).all(|end| decode(&object.slice(..end), base.clone()).is_err()));
            for at in 0..object.len() {
                let mut flipped = object.to_vec();
                flipped[at] ^= 1 << (at % 8);
                // The base that the head names is compared with that in the manifest.
                let is_noticed = decode(&flipped.into(), base.clone()).as_ref() != Ok(&bytes);
                assert!(is_noticed || base.is_some() && (1..LONGEST_HEAD as usize).contains(&at), "byte {at}");
            }
        }
    }

    #[test]
    fn a_useless_base_is_left_out_and_noise_is_not_coded() {
        let noise: Bytes = (0..400u64).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes()).collect();
        let other: Bytes = noise.iter().rev().map(|byte| byte ^ 0x55).collect();
        let id = ObjectId { digest: Digest::of(&other), epoch: 0 };
        let segments = [Segment { dtype: Dtype::U8, length: noise.len() as u64, base: Some((Dtype::U8, 0)) }];
        let packed = Packed { bytes: &noise, digest: Digest::of(&noise), segments: &segments };
        let coded = encode(packed, Some((id, other.clone())), Effort::Fast).unwrap();
        assert_eq!((coded.base, &coded.object[0][..]), (None, &[RAW][..]));
        let changed = Packed { digest: id.digest, ..packed };
        assert_eq!(encode(changed, None, Effort::Fast).unwrap_err(), Failure::Changed);
        let wrong = encode(packed, Some((id, noise.clone())), Effort::Fast).unwrap_err();
        assert_eq!(wrong, Failure::Base(id));
    }

    #[test]
    fn forged_heads_are_refused() {
        let segment = |length, base| Segment { dtype: Dtype::U8, length, base };
        for segments in [
            vec![segment(MOST_RESERVED + 1, None)],
            vec![segment(u64::MAX, None), segment(2, None)],
            vec![segment(1 << 20, Some((Dtype::U64, u64::MAX >> 2)))],
            vec![Segment { dtype: Dtype::F32, length: 3, base: None }],
        ] {
            let object = |kind: Vec<u8>| Bytes::from([kind, to_bytes(&segments), b"BITXv002".to_vec()].concat());
            assert!(decode(&object(vec![PACK]), None).is_err());
            let id = ObjectId { digest: Digest::of(b""), epoch: 0 };
            assert!(decode(&object(head(PACK_DELTA, &id)), Some(Bytes::from(vec![0; 1 << 21]))).is_err());
        }
        assert!(decode(&Bytes::from([&[PACK][..], &[0xFF; 12]].concat()), None).is_err());
    }
}
