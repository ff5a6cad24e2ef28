//! Sets: pieces that hold packed numbers and their companions, one tensor behind the other. They
//! are coded as a frame that names these tensors, so that the codec sees what numbers stand for.
//!
//! The head of an object lists the tensors of the base, behind the [run](super::runs) of pieces
//! that they are a part of, if it is one. Numbers are LEB128: the number of tensors, and of each
//! the number of its dtype, the length of its name, the name, the number of its extents, and these.
//! Together, the tensors are as long as the base.

use bitx::Effort;
use bitx::layout::Dtype;
use bytes::{BufMut, Bytes, BytesMut};

use super::packed::{self, Packed, Segment, read, write};
use super::{CUT_HEAD, Coded, DIFFERS, Decoding, Failure, LONGEST_HEAD, MOST_RESERVED, Problem, Run, SET_DELTA};
use super::{archive, decode, frame, head, run_of};
use crate::digest::Digest;
use crate::keys::ObjectId;

/// The maximum number of tensors of a set.
const MOST_MEMBERS: u64 = 8;
/// The maximum length of a name in bytes.
const LONGEST_NAME: u64 = 64;
/// The maximum number of extents of a tensor.
const MOST_EXTENTS: u64 = 8;
/// The maximum length of the header of a frame in bytes.
const LONGEST_HEADER: u64 = 64 << 10;

const UNFIT: &str = "the tensors of the set do not fit its bytes or its base";

/// A tensor of a set, or of the base of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
}

/// A piece that is a set, with the digest that it had when it was first read.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) members: Vec<Member>,
}

/// A base of a set: a piece, or a part of a run of pieces, that consists of these tensors.
#[derive(Debug)]
pub(crate) struct BaseSet {
    /// The id of the piece, or of the first one of the run.
    pub(crate) id: ObjectId,
    /// The run, whose bytes were compared with its digests.
    pub(crate) run: Option<Run>,
    pub(crate) bytes: Bytes,
    pub(crate) members: Vec<Member>,
}

impl Member {
    /// Returns `true` if a set may have the tensor.
    pub(crate) fn fits(&self) -> bool {
        Segment::word(self.dtype) == self.dtype
            && self.name.len() as u64 <= LONGEST_NAME
            && self.shape.len() as u64 <= MOST_EXTENTS
    }

    /// The length in bytes.
    fn length(&self) -> Result<u64, Problem> {
        self.dtype.tensor_bytes(&self.shape).ok_or_else(|| UNFIT.to_owned())
    }
}

/// Codes a set, alone or against one of `bases`, whichever is smallest. Before it returns, it
/// decodes the object and compares the result with the set, and it checks the digests of the set
/// and of the bases.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn encode(set: &Set, bases: Vec<BaseSet>, effort: Effort) -> Result<Coded, Failure> {
    if Digest::of(&set.bytes) != set.digest {
        return Err(Failure::Changed);
    }
    let (framed, digest, bytes) = (framed(&set.members, &set.bytes)?, set.digest, &set.bytes);
    let segment = |member: &Member| Ok(Segment { dtype: member.dtype, length: member.length()?, base: None });
    let segments: Vec<Segment> = set.members.iter().map(segment).collect::<Result<_, Problem>>()?;
    let mut best: Option<Coded> = None;
    for base in bases {
        let delta = against(&framed, bytes, base, effort)?;
        best = Some(best.filter(|best| best.length() <= delta.length()).unwrap_or(delta));
    }
    match best {
        Some(delta) if delta.length() < bytes.len() / packed::LARGE => Ok(delta),
        delta => {
            let alone = packed::encode(Packed { bytes, digest, segments: &segments }, None, effort)?;
            Ok(delta.filter(|delta| delta.length() < alone.length()).unwrap_or(alone))
        }
    }
}

/// Codes a set, of which `target` is the frame, against a base.
fn against(target: &Bytes, bytes: &Bytes, base: BaseSet, effort: Effort) -> Result<Coded, Failure> {
    let BaseSet { id, run, bytes: of_base, members } = base;
    if run.is_none() && Digest::of(&of_base) != id.digest {
        return Err(Failure::Base(id));
    }
    let archive = archive(target, Some(&framed(&members, &of_base)?), effort)?;
    let head = run.map_or_else(|| head(SET_DELTA, &id), |run| run.to_bytes());
    let head = [head, to_bytes(&members)].concat();
    let coded = Coded { object: [head.into(), archive], base: Some(id) };
    let object = Bytes::from(coded.object.concat());
    if decode(&object, Some(of_base))? == *bytes { Ok(coded) } else { Err(Failure::Codec(DIFFERS.to_owned())) }
}

/// Decodes a set.
pub(super) fn decoded(object: &Bytes, base: Bytes) -> Result<Bytes, Problem> {
    let mut rest = match run_of(object)? {
        Some((_, rest)) => rest,
        None => object.get(LONGEST_HEAD as usize..).ok_or(CUT_HEAD)?,
    };
    let members = parse(&mut rest).ok_or(CUT_HEAD)?;
    let archive = object.slice(object.len() - rest.len()..);
    let of_base = framed(&members, &base)?;
    drop(base);
    let decoding = Decoding::of(&archive, Some(&of_base))?;
    let length = decoding.job.output_length().map_err(|e| e.to_string())?;
    if length.is_none_or(|length| length > MOST_RESERVED + LONGEST_HEADER) {
        return Err("the set is longer than it may be".to_owned());
    }
    let frame = decoding.bytes()?;
    let length = frame.first_chunk().map(|length| u64::from_le_bytes(*length));
    let start = length.filter(|length| *length <= LONGEST_HEADER).map(|length| length as usize + 8);
    match start.filter(|start| *start <= frame.len()) {
        Some(start) => Ok(frame.slice(start..)),
        None => Err("the decoded bytes are no frame of a set".to_owned()),
    }
}

/// The frame of tensors with these bytes, one behind the other.
fn framed(members: &[Member], bytes: &[u8]) -> Result<Bytes, Problem> {
    let lengths: Vec<u64> = members.iter().map(Member::length).collect::<Result<_, _>>()?;
    let total = lengths.iter().try_fold(0u64, |total, length| total.checked_add(*length));
    if total != Some(bytes.len() as u64) {
        return Err(UNFIT.to_owned());
    }
    let tensors = members.iter().zip(&lengths);
    let header = frame::header(tensors.map(|(m, length)| (m.name.clone(), m.dtype, &m.shape[..], *length)));
    let mut frame = BytesMut::with_capacity(header.len() + bytes.len());
    frame.put_slice(&header);
    frame.put_slice(bytes);
    Ok(frame.freeze())
}

fn to_bytes(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(members.len() as u64, &mut bytes);
    for member in members {
        write(member.dtype.number().into(), &mut bytes);
        write(member.name.len() as u64, &mut bytes);
        bytes.extend_from_slice(member.name.as_bytes());
        write(member.shape.len() as u64, &mut bytes);
        member.shape.iter().for_each(|extent| write(*extent, &mut bytes));
    }
    bytes
}

/// Reads tensors, and leaves the bytes behind them. `None` if they are cut, or more than a set has.
fn parse(bytes: &mut &[u8]) -> Option<Vec<Member>> {
    let count = read(bytes).filter(|count| *count <= MOST_MEMBERS)?;
    let mut member = || {
        let dtype = Dtype::from_number(u8::try_from(read(bytes)?).ok()?)?;
        let length = read(bytes).filter(|length| *length <= LONGEST_NAME)?;
        let (name, rest) = bytes.split_at_checked(length as usize)?;
        *bytes = rest;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let rank = read(bytes).filter(|rank| *rank <= MOST_EXTENTS)?;
        let shape = (0..rank).map(|_| read(bytes)).collect::<Option<_>>()?;
        Some(Member { name, dtype, shape }).filter(Member::fits)
    };
    (0..count).map(|_| member()).collect()
}

#[cfg(test)]
mod tests {
    use bitx::{Compress, Format};

    use super::super::{Rectangle, SET_RUN, Typed, base_of, encode as encode_piece};
    use super::*;

    /// Packed numbers of MLC with their scales, as a set.
    fn set(seed: u32) -> Set {
        let number = |i: u32| (i.wrapping_mul(0x9E37_79B1) >> 7) ^ if i.is_multiple_of(9) { seed } else { 0 };
        let numbers = (0..4096u32).flat_map(|i| number(i).to_le_bytes());
        let scales = (0..1024u32).flat_map(|i| (0x2000 + (number(i) >> 3) as u16 % 512).to_le_bytes());
        let bytes: Bytes = numbers.chain(scales).collect();
        let member = |name: &str, dtype, shape: [u64; 2]| Member { name: name.into(), dtype, shape: shape.to_vec() };
        let members = vec![member("w.q_weight", Dtype::U32, [64, 64]), member("w.q_scale", Dtype::F16, [64, 16])];
        Set { digest: Digest::of(&bytes), bytes, members }
    }

    fn base(set: &Set) -> BaseSet {
        let id = ObjectId { digest: set.digest, epoch: 7 };
        BaseSet { id, run: None, bytes: set.bytes.clone(), members: set.members.clone() }
    }

    #[test]
    fn sets_are_coded_against_a_base_and_alone() {
        let (other, own) = (set(0), set(5));
        let delta = encode(&own, vec![base(&other)], Effort::Fast).unwrap();
        let object = Bytes::from(delta.object.concat());
        assert_eq!((delta.base, base_of(&object)), (Some(base(&other).id), Ok(Some(base(&other).id))));
        assert!(object[0] == SET_DELTA && object.len() * 3 < own.bytes.len(), "{}", object.len());
        let restored = |object: Bytes, base: &Bytes| decode(&object, Some(base.clone()));
        assert_eq!(restored(object.clone(), &other.bytes), Ok(own.bytes.clone()));
        assert!((0..object.len()).all(|end| restored(object.slice(..end), &other.bytes).is_err()));
        for at in (0..object.len() * 8).filter(|bit| !(8..LONGEST_HEAD as usize * 8).contains(bit)) {
            let mut flipped = object.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_ne!(restored(flipped.into(), &other.bytes), Ok(own.bytes.clone()), "bit {at}");
        }
        let alone = encode(&own, Vec::new(), Effort::Fast).unwrap();
        assert_eq!((alone.base, decode(&Bytes::from(alone.object.concat()), None)), (None, Ok(own.bytes.clone())));
        // A base of other bytes is named, and so is a set that has changed.
        let changed = Set { digest: other.digest, ..own.clone() };
        assert_eq!(encode(&changed, Vec::new(), Effort::Fast).unwrap_err(), Failure::Changed);
        let wrong = BaseSet { bytes: own.bytes.clone(), ..base(&other) };
        assert_eq!(encode(&own, vec![wrong], Effort::Fast).unwrap_err(), Failure::Base(base(&other).id));
    }

    /// A set whose base is a part of the bytes of two pieces.
    #[test]
    fn sets_are_coded_against_a_part_of_a_run() {
        let (other, own) = (set(1), set(2));
        let pieces = [Digest::of(b"0"), Digest::of(b"1")].map(|digest| ObjectId { digest, epoch: 1 });
        let length = other.bytes.len() as u64;
        let part = Rectangle { skip: 100, rows: 2, distance: length, width: length / 2 };
        let run = Some(Run { pieces: pieces.to_vec(), part });
        let base = BaseSet { id: pieces[0], run: run.clone(), ..base(&other) };
        let coded = encode(&own, vec![base], Effort::Fast).unwrap();
        let object = Bytes::from(coded.object.concat());
        assert_eq!((object[0], coded.base, base_of(&object)), (SET_RUN, Some(pieces[0]), Ok(Some(pieces[0]))));
        assert_eq!(run_of(&object).unwrap().map(|(run, _)| run), run);
        // Whoever reads it gathers what the head says.
        let restored = |object: Bytes| {
            let (run, _) = run_of(&object)?.ok_or("no run")?;
            let fits = run.pieces == pieces && run.part == part;
            decode(&object, fits.then(|| other.bytes.clone()))
        };
        assert_eq!(restored(object.clone()), Ok(own.bytes.clone()));
        assert!((0..object.len()).all(|end| restored(object.slice(..end)).is_err()));
        for at in 0..object.len() * 8 {
            let mut flipped = object.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_ne!(restored(flipped.into()), Ok(own.bytes.clone()), "bit {at}");
        }
        assert!(decode(&object, None).is_err() && decode(&object, Some(own.bytes.clone())).as_ref() != Ok(&own.bytes));
    }

    /// The object of a set with these tensors of the base.
    fn object(members: &[Member], archive: &[u8]) -> Bytes {
        let id = ObjectId { digest: Digest::of(b""), epoch: 0 };
        [head(SET_DELTA, &id), to_bytes(members), archive.to_vec()].concat().into()
    }

    #[test]
    fn forged_heads_are_refused() {
        let own = set(3);
        let archive = archive(&framed(&own.members, &own.bytes).unwrap(), None, Effort::Fast).unwrap();
        let [numbers, scales] = &own.members[..] else { panic!() };
        let member = |name: &str, dtype, shape: &[u64]| Member { name: name.into(), dtype, shape: shape.into() };
        let bytes = own.bytes.len() as u64;
        for members in [
            vec![],
            vec![numbers.clone()],
            vec![numbers.clone(), scales.clone(), scales.clone()],
            vec![numbers.clone(), numbers.clone()],
            vec![member("w", Dtype::U8, &[bytes + 1])],
            vec![member("w", Dtype::U8, &[u64::MAX >> 1, u64::MAX >> 1])],
            vec![member("w", Dtype::U64, &[u64::MAX >> 2]), member("v", Dtype::U8, &[bytes])],
            vec![member("w", Dtype::Q8_0, &[bytes / 34 * 32])],
            vec![member(&"w".repeat(65), Dtype::U8, &[bytes])],
            vec![member("w", Dtype::U8, &[1, 1, 1, 1, 1, 1, 1, 1, bytes])],
            vec![member("w", Dtype::U8, &[bytes / 16]); 16],
        ] {
            assert!(decode(&object(&members, &archive), Some(own.bytes.clone())).is_err(), "{members:?}");
        }
        let mut invalid = object(&own.members, &archive).to_vec();
        let name = invalid.windows(2).position(|bytes| bytes == b"w.").unwrap();
        invalid[name] = 0xFF;
        assert!(decode(&invalid.into(), Some(own.bytes.clone())).is_err());
        let endless = [head(SET_DELTA, &base(&own).id), vec![0xFF; 40]].concat();
        assert!(decode(&endless.into(), Some(own.bytes.clone())).is_err());
        assert!(decode(&object(&own.members, &archive), None).is_err());
    }

    /// Archives of what is no frame of a set decode to an error, or to bytes whose digest tells.
    #[test]
    fn archives_of_other_tensors_are_refused() {
        let own = set(4);
        let framed = framed(&own.members, &own.bytes).unwrap();
        let long = Bytes::from(vec![0; (MOST_RESERVED + LONGEST_HEADER) as usize + 1]);
        let stated = [&(LONGEST_HEADER + 1).to_le_bytes()[..], &[b' '; 100]].concat().into();
        let behind = [&u64::MAX.to_le_bytes()[..], b"{}"].concat().into();
        for target in [Bytes::new(), own.bytes.slice(..7), stated, behind, long] {
            let job = Compress::new(&[framed.len() as u64], target.len() as u64, Format::V2 { effort: Effort::Fast });
            let archive = super::super::run(&mut job.unwrap().job(), &target, Some(&framed)).unwrap();
            let decoded = decode(&object(&own.members, &archive), Some(own.bytes.clone()));
            assert!(decoded.is_err(), "{} bytes", target.len());
        }
        // One of a tensor alone is none of a file.
        let piece = Typed {
            dtype: Dtype::U32,
            shape: &[64, 64],
            bytes: &own.bytes.slice(..16_384),
            digest: Digest::of(&own.bytes[..16_384]),
        };
        let alone = encode_piece(piece, &[], Effort::Fast).unwrap();
        let decoded = decode(&object(&own.members, &alone.object[1]), Some(own.bytes.clone()));
        assert_ne!(decoded, Ok(own.bytes));
    }
}
