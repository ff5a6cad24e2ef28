//! Frames of packs: safetensors files in which the segments of each dtype are one tensor, a *lane*.
//! Segments with counterparts of another dtype, or with none, have lanes of their own.

use bitx::layout::Dtype;
use bytes::{BufMut, Bytes, BytesMut};

use super::packed::Segment;
use super::{MOST_RESERVED, Problem, frame};

/// A tensor of a frame.
#[derive(Debug)]
struct Lane {
    dtype: Dtype,
    /// The dtype of the counterparts, if there are any.
    base: Option<Dtype>,
    /// The lengths in bytes, in the pack and in the base.
    length: u64,
    base_length: u64,
}

/// The lanes of a pack.
#[derive(Debug)]
pub(super) struct Lanes<'a> {
    lanes: Vec<Lane>,
    /// The segments, each with the number of its lane.
    segments: Vec<(&'a Segment, usize)>,
}

const UNFIT: &str = "the segments of the pack do not fit its bytes or its base";

impl<'a> Lanes<'a> {
    /// Sorts segments into lanes.
    ///
    /// # Errors
    /// Segments that have half an element, or more bytes than any piece.
    pub(super) fn of(list: &'a [Segment]) -> Result<Self, Problem> {
        let (mut lanes, mut segments) = (Vec::<Lane>::new(), Vec::with_capacity(list.len()));
        let mut total = 0u64;
        for segment in list {
            let base = segment.base.map(|(dtype, _)| dtype);
            let known = lanes.iter().position(|lane| lane.dtype == segment.dtype && lane.base == base);
            let number = known.unwrap_or(lanes.len());
            if known.is_none() {
                lanes.push(Lane { dtype: segment.dtype, base, length: 0, base_length: 0 });
            }
            lanes[number].length += segment.length;
            lanes[number].base_length += segment.base_length();
            total = total.saturating_add(segment.length.max(segment.base_length()));
            if total > MOST_RESERVED || !segment.length.is_multiple_of(segment.dtype.block().1) {
                return Err(UNFIT.to_owned());
            }
            segments.push((segment, number));
        }
        Ok(Self { lanes, segments })
    }

    /// The frame of a pack.
    ///
    /// # Errors
    /// Another number of bytes than the segments have.
    pub(super) fn frame(&self, bytes: &[u8]) -> Result<Bytes, Problem> {
        let mut lanes = self.empty(|lane| lane.length);
        let mut rest = bytes;
        for (segment, lane) in &self.segments {
            let (own, behind) = rest.split_at_checked(segment.length as usize).ok_or(UNFIT)?;
            lanes[*lane].extend_from_slice(own);
            rest = behind;
        }
        if rest.is_empty() { Ok(joined(&self.header(), lanes)) } else { Err(UNFIT.to_owned()) }
    }

    /// The frame of the counterparts in a base.
    ///
    /// # Errors
    /// Places that the base does not have.
    pub(super) fn base_frame(&self, base: &[u8]) -> Result<Bytes, Problem> {
        let mut lanes = self.empty(|lane| lane.base_length);
        for (segment, lane) in &self.segments {
            let Some((_, offset)) = segment.base else { continue };
            let start = usize::try_from(offset).map_err(|_| UNFIT)?;
            let end = start.checked_add(segment.base_length() as usize).ok_or(UNFIT)?;
            lanes[*lane].extend_from_slice(base.get(start..end).ok_or(UNFIT)?);
        }
        let header = header(self.lanes.iter().map(|lane| Some((lane.base?, lane.base_length))));
        Ok(joined(&header, lanes))
    }

    /// The pack of a frame.
    ///
    /// # Errors
    /// Bytes that are no frame of these lanes.
    pub(super) fn unframed(&self, framed: &Bytes) -> Result<Bytes, Problem> {
        let header = self.header();
        let wrong = || "the decoded bytes are no frame of a pack".to_owned();
        let mut rest = framed.strip_prefix(&header[..]).ok_or_else(wrong)?;
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            let (own, behind) = rest.split_at_checked(lane.length as usize).ok_or_else(wrong)?;
            lanes.push(own);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(wrong());
        }
        if let [_] = self.lanes[..] {
            return Ok(framed.slice(header.len()..));
        }
        let mut bytes = BytesMut::with_capacity(framed.len() - header.len());
        for (segment, lane) in &self.segments {
            let (own, behind) = lanes[*lane].split_at_checked(segment.length as usize).ok_or_else(wrong)?;
            bytes.put_slice(own);
            lanes[*lane] = behind;
        }
        Ok(bytes.freeze())
    }

    fn header(&self) -> Vec<u8> {
        header(self.lanes.iter().map(|lane| Some((lane.dtype, lane.length))))
    }

    fn empty(&self, length: impl Fn(&Lane) -> u64) -> Vec<BytesMut> {
        self.lanes.iter().map(|lane| BytesMut::with_capacity(length(lane) as usize)).collect()
    }
}

/// The header of a frame whose tensors have these dtypes and lengths, and their numbers as names.
fn header(lanes: impl Iterator<Item = Option<(Dtype, u64)>>) -> Vec<u8> {
    let lanes = lanes.enumerate().filter_map(|(number, lane)| lane.map(|(dtype, length)| (number, dtype, length)));
    let lanes: Vec<_> =
        lanes.map(|(number, dtype, length)| (number, dtype, [length / dtype.block().1], length)).collect();
    frame::header(lanes.iter().map(|(number, dtype, shape, length)| (number.to_string(), *dtype, &shape[..], *length)))
}

fn joined(header: &[u8], lanes: Vec<BytesMut>) -> Bytes {
    let length = lanes.iter().map(BytesMut::len).sum::<usize>();
    let mut frame = BytesMut::with_capacity(header.len() + length);
    frame.put_slice(header);
    lanes.iter().for_each(|lane| frame.put_slice(lane));
    frame.freeze()
}
