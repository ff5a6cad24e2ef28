//! The manifest of a file: its tensors and the bytes between them, as pieces.

use std::fmt;
use std::ops::Range;

use bitx::layout::Dtype;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::excerpts::{Excerpt, MOST_SOURCES};
use super::places::{Place, Places};
use super::{VERSION, squeezed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::ObjectId;
use crate::sealed;

/// The version of a manifest that has items without pieces. Others are of version 1, which earlier
/// releases read as well.
const WITH_PACKS: u32 = 2;
/// The version of a manifest that has excerpts of other files.
const WITH_EXCERPTS: u32 = 3;
/// The version of a manifest that has packs whose bases are runs of pieces.
const WITH_RUNS: u32 = 4;

/// The manifest of a file, which lists its content in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileManifest {
    pub(crate) version: u32,
    /// The length of the file in bytes.
    pub length: u64,
    /// The stored files that items are excerpts of. Their manifests are needed to read this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sources: Vec<ObjectId>,
    /// The pieces that hold several short items each. Items without pieces of their own follow one
    /// another in the packs, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<PieceRef>,
    /// The pieces of the runs that are bases of packs, but for the first one of each, which the
    /// packs name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) further: Vec<ObjectId>,
    /// The tensors and other bytes of the file, in order and without gaps.
    pub items: Vec<Item>,
    /// The pieces that excerpts are in, each once.
    #[serde(skip)]
    pub(super) taken: Vec<PieceRef>,
    /// Those that the sources need as `further` ones.
    #[serde(skip)]
    pub(super) taken_further: Vec<ObjectId>,
    /// The files whose manifests are needed to find these pieces, each once.
    #[serde(skip)]
    pub(crate) needs: Vec<ObjectId>,
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
    /// The pieces that hold its bytes, in order. Empty for an empty item, for one in a pack, and
    /// for one that consists of excerpts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PieceRef>,
    /// The BLAKE3 digest, if there are several pieces. A single piece has the same digest as its
    /// item. An item in a pack has one unless it is very short, and one of excerpts has none if it
    /// was one part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<Digest>,
    /// The runs of bytes of other files that the item consists of, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) excerpts: Vec<Excerpt>,
    /// The excerpts as runs of bytes in pieces.
    #[serde(skip)]
    pub(super) runs: Vec<(PieceRef, Range<u64>)>,
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
    /// An item that has no content yet.
    pub(crate) fn new(name: Option<String>, dtype: Dtype, shape: Vec<u64>) -> Self {
        let (pieces, excerpts, runs) = Default::default();
        Self { name, dtype, shape, pieces, blake3: None, excerpts, runs }
    }

    /// The length in bytes.
    pub fn length(&self) -> u64 {
        match &self.pieces[..] {
            [] if !self.excerpts.is_empty() => Excerpt::total(&self.excerpts),
            [] => self.dtype.tensor_bytes(&self.shape).unwrap_or(0),
            pieces => pieces.iter().map(|piece| piece.length).sum(),
        }
    }

    /// Returns `true` if the item has bytes, and they are in a pack.
    pub fn is_packed(&self) -> bool {
        self.pieces.is_empty() && self.excerpts.is_empty() && self.length() > 0
    }

    /// The runs of bytes in pieces that the item's excerpts consist of.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &(PieceRef, Range<u64>)> {
        self.runs.iter()
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
    pub(crate) fn new(items: Vec<Item>, packs: Vec<PieceRef>, sources: Vec<ObjectId>) -> Self {
        let version = match sources[..] {
            [] if items.iter().all(|item| !item.pieces.is_empty()) => VERSION,
            [] => WITH_PACKS,
            _ => WITH_EXCERPTS,
        };
        let length = items.iter().map(Item::length).sum();
        let (further, taken, taken_further, needs) = Default::default();
        Self { version, length, sources, packs, further, items, taken, taken_further, needs }
    }

    /// The manifest with these further pieces of runs that are bases.
    pub(crate) fn with_further(self, further: Vec<ObjectId>) -> Self {
        let version = if further.is_empty() { self.version } else { WITH_RUNS };
        Self { version, further, ..self }
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

    /// Parses a manifest. Its excerpts are not [resolved](Self::resolve) yet.
    ///
    /// # Errors
    /// `Damaged`, `Unsupported`.
    pub(crate) fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        let bytes = squeezed::expand(key, bytes)?;
        let file: Self = serde_json::from_slice(&sealed::body(key, &bytes)?).map_err(|e| Error::damaged(key, e))?;
        if !(VERSION..=WITH_RUNS).contains(&file.version) {
            return Err(Error::unsupported(key, file.version));
        }
        if file.sources.len() > MOST_SOURCES {
            return Err(Error::damaged(key, format!("it has excerpts of more than {MOST_SOURCES} files")));
        }
        if let Some(item) = file.items.iter().find(|item| !item.pieces.is_empty() && !item.excerpts.is_empty()) {
            return Err(Error::damaged(key, format!("{item} has both pieces and excerpts")));
        }
        let excerpts = file.items.iter().flat_map(|item| item.excerpts.iter().map(|excerpt| excerpt.length));
        let lengths = file.pieces().map(|piece| piece.length).chain(excerpts);
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

    /// All pieces: those of the items in order, the packs, and then those that excerpts are in.
    pub fn pieces(&self) -> impl Iterator<Item = &PieceRef> {
        self.items.iter().flat_map(|item| &item.pieces).chain(&self.packs).chain(&self.taken)
    }

    /// The ids of all pieces, of their bases, and of the further pieces of the runs that are bases.
    pub(crate) fn needed_pieces(&self) -> impl Iterator<Item = ObjectId> {
        self.pieces().flat_map(|piece| [Some(piece.id), piece.base]).flatten().chain(self.all_further())
    }

    /// The further pieces of the runs that are bases, of its packs and of those that excerpts are
    /// in.
    pub(crate) fn all_further(&self) -> impl Iterator<Item = ObjectId> {
        self.further.iter().chain(&self.taken_further).copied()
    }

    /// The pieces that excerpts are in, each once.
    pub(crate) fn taken(&self) -> &[PieceRef] {
        &self.taken
    }

    /// The places of the items in packs, in order.
    pub(crate) fn packed(&self) -> impl Iterator<Item = Place<'_>> {
        Places::of(self)
    }

    /// The piece of each part of the file, in order, and `true` if that is a pack. An item has a
    /// part for each of its pieces, or one in a pack.
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
            let pieces = match item.is_packed() {
                true => packs.next().into_iter().collect(),
                false => item.pieces.iter().chain(item.runs.iter().map(|(piece, _)| piece)).copied().collect(),
            };
            (item, pieces)
        })
    }

    /// The bytes of `range` as runs of bytes in pieces, in order: the number of each run in the
    /// file, its piece, and the range of the piece's bytes. Consecutive items in a pack are one
    /// run.
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
    pub(super) fn runs(&self) -> Vec<(PieceRef, Range<u64>)> {
        let mut places = self.packed();
        let mut runs: Vec<(PieceRef, Range<u64>)> = Vec::new();
        // The number of the pack in which the last run is.
        let mut last = None;
        for item in &self.items {
            if !item.pieces.is_empty() || !item.runs.is_empty() {
                runs.extend(item.pieces.iter().map(|piece| (*piece, 0..piece.length)));
                runs.extend(item.runs.iter().cloned());
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

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the tensor {name:?}"),
            None => f.write_str("an item without a name"),
        }
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
