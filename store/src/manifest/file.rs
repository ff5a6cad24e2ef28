//! A file: its tensors and the bytes between them, as pieces.

use bitx::layout::Dtype;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::VERSION;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::ObjectId;

/// How a file is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileManifest {
    pub(crate) version: u32,
    /// Its length in bytes.
    pub length: u64,
    /// Front to back, without gaps.
    pub items: Vec<Item>,
}

/// A tensor, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The tensor's name; none of other bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Element type.
    #[serde(serialize_with = "write_dtype", deserialize_with = "read_dtype")]
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<u64>,
    /// Its bytes, front to back.
    pub pieces: Vec<PieceRef>,
    /// BLAKE3 of a tensor of several pieces; of a single one, the piece's digest tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<Digest>,
}

/// Bytes that are stored as one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRef {
    /// The object.
    #[serde(rename = "piece")]
    pub id: ObjectId,
    /// The piece that it is a delta against, which is stored whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<ObjectId>,
    /// Bytes of the file.
    pub length: u64,
}

impl Item {
    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// BLAKE3 of its bytes, where it is known.
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
        let file: Self = serde_json::from_slice(bytes).map_err(|e| Error::damaged(key, e))?;
        if file.version != VERSION {
            return Err(Error::Unsupported(format!("{key}: a manifest of version {}", file.version)));
        }
        let lengths = file.pieces().map(|piece| piece.length);
        let length = lengths.into_iter().try_fold(0u64, u64::checked_add);
        if length != Some(file.length) {
            return Err(Error::damaged(key, "the lengths of the pieces do not add up to the file's"));
        }
        Ok(file)
    }

    /// All pieces, front to back.
    pub fn pieces(&self) -> impl Iterator<Item = &PieceRef> {
        self.items.iter().flat_map(|item| &item.pieces)
    }

    /// The tensor called `name`, and its offset.
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
    let all = (0..=u8::MAX).map_while(Dtype::from_number);
    all.into_iter()
        .find(|dtype| dtype.name() == name)
        .ok_or_else(|| serde::de::Error::custom(format!("no dtype is called {name:?}")))
}
