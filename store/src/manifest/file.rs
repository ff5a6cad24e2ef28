//! The manifest of a file: its tensors and the bytes between them, as pieces.

use std::ops::Range;

use bitx::layout::Dtype;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::VERSION;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::ObjectId;
use crate::sealed;

/// The manifest of a file, which lists its content in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileManifest {
    pub(crate) version: u32,
    /// The length of the file in bytes.
    pub length: u64,
    /// The tensors and other bytes of the file, in order and without gaps.
    pub items: Vec<Item>,
}

/// A tensor of a file, or a range of bytes outside of all tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The name of the tensor; `None` for other bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The dtype; `U8` for other bytes.
    #[serde(serialize_with = "write_dtype", deserialize_with = "read_dtype")]
    pub dtype: Dtype,
    /// The extents, outermost first.
    pub shape: Vec<u64>,
    /// The pieces that hold its bytes, in order.
    pub pieces: Vec<PieceRef>,
    /// The BLAKE3 digest, if there are several pieces. A single piece has the same digest as its
    /// item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<Digest>,
}

/// A reference to a piece: a part of a file that is stored as one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PieceRef {
    /// The id of the object.
    #[serde(rename = "piece")]
    pub id: ObjectId,
    /// The base, if the piece is stored as a delta. A base is never a delta itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<ObjectId>,
    /// The length in bytes, before coding.
    pub length: u64,
}

impl Item {
    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// The BLAKE3 digest, if it is known.
    pub fn digest(&self) -> Option<Digest> {
        match &self.pieces[..] {
            [] => Some(Digest::of(&[])),
            [piece] => Some(piece.id.digest),
            _ => self.blake3,
        }
    }
}

impl FileManifest {
    pub(crate) fn new(items: Vec<Item>) -> Self {
        Self { version: VERSION, length: items.iter().map(Item::length).sum(), items }
    }

    pub(crate) fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        let file: Self = serde_json::from_slice(&sealed::body(key, bytes)?).map_err(|e| Error::damaged(key, e))?;
        if file.version != VERSION {
            return Err(Error::unsupported(key, file.version));
        }
        let lengths = file.pieces().map(|piece| piece.length);
        let length = lengths.into_iter().try_fold(0u64, u64::checked_add);
        if length != Some(file.length) {
            let problem = format!("the lengths of its pieces do not add up to the stated {} bytes", file.length);
            return Err(Error::damaged(key, problem));
        }
        Ok(file)
    }

    /// All pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &PieceRef> {
        self.items.iter().flat_map(|item| &item.pieces)
    }

    /// The pieces that contain bytes of `range`, in order: the number and the reference of each,
    /// and the range of its bytes that is in `range`.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (usize, PieceRef, Range<usize>)> + '_ {
        let mut end = 0;
        self.pieces().enumerate().filter_map(move |(number, piece)| {
            let start = end;
            end += piece.length;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            (from < to).then(|| (number, *piece, (from - start) as usize..(to - start) as usize))
        })
    }

    /// The tensor called `name` and its offset in the file.
    pub fn tensor(&self, name: &str) -> Option<(&Item, u64)> {
        let mut offset = 0;
        self.items.iter().find_map(|item| {
            let start = offset;
            offset += item.length();
            (item.name.as_deref() == Some(name)).then_some((item, start))
        })
    }
}

fn write_dtype<S: Serializer>(dtype: &Dtype, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(dtype.name())
}

fn read_dtype<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dtype, D::Error> {
    let name = String::deserialize(deserializer)?;
    let all = (0..=u8::MAX).filter_map(Dtype::from_number);
    all.into_iter()
        .find(|dtype| dtype.name() == name)
        .ok_or_else(|| serde::de::Error::custom(format!("there is no dtype {name:?}")))
}
