//! The manifest of a file: its tensors and the bytes between them, as pieces.

use std::ops::Range;

use bitx::layout::Dtype;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::places::{Place, Places};
use super::{VERSION, squeezed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::ObjectId;
use crate::sealed;

/// The version of a manifest that has items without pieces. Others are of version 1, which earlier
/// releases read as well.
const WITH_PACKS: u32 = 2;

/// The manifest of a file, which lists its content in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileManifest {
    pub(crate) version: u32,
    /// The length of the file in bytes.
    pub length: u64,
    /// The pieces that hold several short items each. Items without pieces of their own follow one
    /// another in the packs, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<PieceRef>,
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
    /// The pieces that hold its bytes, in order. Empty for an empty item, and for one in a pack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PieceRef>,
    /// The BLAKE3 digest, if there are several pieces. A single piece has the same digest as its
    /// item. An item in a pack has one unless it is very short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<Digest>,
}

/// A reference to a piece: a part of a file that is stored as one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        match &self.pieces[..] {
            [] => self.dtype.tensor_bytes(&self.shape).unwrap_or(0),
            pieces => pieces.iter().map(|piece| piece.length).sum(),
        }
    }

    /// Returns `true` if the item has bytes, and they are in a pack.
    pub fn is_packed(&self) -> bool {
        self.pieces.is_empty() && self.length() > 0
    }

    /// The BLAKE3 digest, if it is known.
    pub fn digest(&self) -> Option<Digest> {
        match &self.pieces[..] {
            [] if self.length() == 0 => Some(Digest::of(&[])),
            [piece] => Some(piece.id.digest),
            _ => self.blake3,
        }
    }
}

impl FileManifest {
    pub(crate) fn new(items: Vec<Item>, packs: Vec<PieceRef>) -> Self {
        let version = if items.iter().all(|item| !item.pieces.is_empty()) { VERSION } else { WITH_PACKS };
        Self { version, length: items.iter().map(Item::length).sum(), packs, items }
    }

    /// The object of the manifest.
    ///
    /// # Errors
    /// `Storage`, if the manifest cannot be serialized.
    pub(crate) fn to_bytes(&self, key: &str) -> Result<Vec<u8>> {
        let bytes = sealed::json(key, self)?;
        // Earlier releases read JSON only.
        Ok(if self.version == VERSION { bytes } else { squeezed::squeeze(bytes) })
    }

    pub(crate) fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        let bytes = squeezed::expand(key, bytes)?;
        let file: Self = serde_json::from_slice(&sealed::body(key, &bytes)?).map_err(|e| Error::damaged(key, e))?;
        if file.version != VERSION && file.version != WITH_PACKS {
            return Err(Error::unsupported(key, file.version));
        }
        let lengths = file.pieces().map(|piece| piece.length);
        let length = lengths.into_iter().try_fold(0u64, u64::checked_add);
        if length != Some(file.length) {
            let problem = format!("the lengths of its pieces do not add up to the stated {} bytes", file.length);
            return Err(Error::damaged(key, problem));
        }
        if !Places::fit(&file) {
            return Err(Error::damaged(key, "its short items do not fill its packs"));
        }
        Ok(file)
    }

    /// All pieces: those of the items in order, and then the packs.
    pub fn pieces(&self) -> impl Iterator<Item = &PieceRef> {
        self.items.iter().flat_map(|item| &item.pieces).chain(&self.packs)
    }

    /// The places of the items in packs, in order.
    pub(crate) fn packed(&self) -> impl Iterator<Item = Place<'_>> {
        Places::of(self)
    }

    /// The piece of each part of the file, in order, and `true` if that is a pack. An item has a part
    /// for each of its pieces, or one in a pack.
    pub(crate) fn parts(&self) -> Vec<(PieceRef, bool)> {
        let mut places = self.packed();
        let mut parts = Vec::with_capacity(self.items.len());
        for item in &self.items {
            parts.extend(item.pieces.iter().map(|piece| (*piece, false)));
            if item.is_packed() {
                parts.extend(places.next().map(|place| (self.packs[place.pack], true)));
            }
        }
        parts
    }

    /// The items in order, each with the pieces that its bytes are in.
    pub fn into_items(self) -> impl Iterator<Item = (Item, Vec<PieceRef>)> {
        let packs: Vec<PieceRef> = self.packed().map(|place| self.packs[place.pack]).collect();
        let mut packs = packs.into_iter();
        self.items.into_iter().map(move |item| {
            let pieces = if item.is_packed() { packs.next().into_iter().collect() } else { item.pieces.clone() };
            (item, pieces)
        })
    }

    /// The bytes of `range` as runs of bytes in pieces, in order: the number of each run in the
    /// file, its piece, and the range of the piece's bytes. Consecutive items in a pack are one run.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (usize, PieceRef, Range<usize>)> + '_ {
        let mut end = 0;
        self.runs().into_iter().enumerate().filter_map(move |(number, (piece, run))| {
            let start = end;
            end += run.end - run.start;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            let at = |offset: u64| (run.start + offset - start) as usize;
            (from < to).then(|| (number, piece, at(from)..at(to)))
        })
    }

    /// The content of the file as runs of bytes in pieces.
    fn runs(&self) -> Vec<(PieceRef, Range<u64>)> {
        let mut places = self.packed();
        let mut runs: Vec<(PieceRef, Range<u64>)> = Vec::new();
        // The number of the pack in which the last run is.
        let mut last = None;
        for item in &self.items {
            if !item.pieces.is_empty() {
                runs.extend(item.pieces.iter().map(|piece| (*piece, 0..piece.length)));
                last = None;
            } else if item.is_packed()
                && let Some(place) = places.next()
            {
                match runs.last_mut() {
                    Some((_, run)) if last == Some(place.pack) => run.end = place.range.end,
                    _ => runs.push((self.packs[place.pack], place.range)),
                }
                last = Some(place.pack);
            }
        }
        runs
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

/// Serializes a dtype as its name.
pub(crate) fn write_dtype<S: Serializer>(dtype: &Dtype, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(dtype.name())
}

/// Deserializes a dtype from its name.
pub(crate) fn read_dtype<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dtype, D::Error> {
    let name = String::deserialize(deserializer)?;
    let all = (0..=u8::MAX).filter_map(Dtype::from_number);
    all.into_iter()
        .find(|dtype| dtype.name() == name)
        .ok_or_else(|| serde::de::Error::custom(format!("there is no dtype {name:?}")))
}
