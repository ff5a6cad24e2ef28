//! Where everything is: the one place that spells keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// States the version of the layout.
pub(crate) const FORMAT: &str = "format.json";
pub(crate) const MODELS: &str = "models";
pub(crate) const RUNS: &str = "runs";
pub(crate) const GC: &str = "gc";

/// What is stored by the digest of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Pieces of files, coded.
    Pieces,
    /// How files are made of pieces.
    Files,
    /// Sketches of the pieces of a file that are stored whole.
    Sketches,
    /// Archives of files against other files, made on demand.
    Archives,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Pieces, Self::Files, Self::Sketches, Self::Archives];

    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Pieces => "pieces",
            Self::Files => "files",
            Self::Sketches => "sketches",
            Self::Archives => "archives",
        }
    }

    /// The folder of all objects of that content: one per epoch in which it was written.
    pub(crate) fn place(self, digest: &Digest) -> String {
        let hex = digest.to_string();
        format!("{}/{}/{}", self.folder(), &hex[..2], &hex[2..])
    }

    pub(crate) fn key(self, id: &ObjectId) -> String {
        format!("{}/{}", self.place(&id.digest), id.epoch)
    }

    /// The object that a key names, if it names one of this kind.
    pub(crate) fn parse(self, key: &str) -> Option<ObjectId> {
        let mut parts = key.strip_prefix(self.folder())?.strip_prefix('/')?.split('/');
        let (first, rest, epoch) = (parts.next()?, parts.next()?, parts.next()?);
        let id = ObjectId { digest: format!("{first}{rest}").parse().ok()?, epoch: epoch.parse().ok()? };
        (self.key(&id) == key).then_some(id)
    }
}

/// An object: the digest of what it holds, and the epoch in which it was written. A key that a collection has condemned
/// is never written again, since epochs only grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId {
    /// BLAKE3 of the content.
    pub digest: Digest,
    /// Number of collections before it was written.
    pub epoch: u32,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => self.digest.fmt(f),
            epoch => write!(f, "{}.{epoch}", self.digest),
        }
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ObjectId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digest, epoch) = text.split_once('.').unwrap_or((text, "0"));
        let epoch = epoch.parse().map_err(|_| format!("not an epoch: {text}"))?;
        Ok(Self { digest: digest.parse()?, epoch })
    }
}

impl TryFrom<String> for ObjectId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_objects() {
        let id = ObjectId { digest: Digest::of(b"a tensor"), epoch: 7 };
        let key = Kind::Pieces.key(&id);
        assert_eq!(Kind::Pieces.parse(&key), Some(id));
        assert_eq!(Kind::Files.parse(&key), None);
        assert_eq!(Kind::Pieces.parse(&format!("{key}/x")), None);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(ObjectId { epoch: 0, ..id }.to_string(), id.digest.to_string());
    }
}
