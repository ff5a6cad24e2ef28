//! The keys of all objects but those of uploads, which are built and parsed only here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::manifest::ModelName;
use crate::uploads::key as uploads;

/// The key of the object that states the version of the layout.
pub(crate) const FORMAT: &str = "format.json";
/// The folder of published models, and of tombstones of dead runs.
pub(crate) const MODELS: &str = "models";
/// The folder of the records of runs.
pub(crate) const RUNS: &str = "runs";
/// The folder of the records of collections.
pub(crate) const GC: &str = "gc";
/// The folder of the signatures of files.
pub(crate) const SIGNATURES: &str = "signatures";
/// The folder of the registers.
pub(crate) const REGISTERS: &str = "registers";
/// The key of the object that says that all files with sketches have signatures.
pub(crate) const COMPLETE: &str = "signatures/complete";

/// The kinds of objects that are stored under the digest of their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Coded pieces of files.
    Pieces,
    /// Manifests of files, which list their pieces.
    Files,
    /// Sketches of the pieces of a file that are not stored as deltas.
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

    /// The folder of the objects with this content. It holds one object for each epoch in which the
    /// content was written.
    pub(crate) fn place(self, digest: &Digest) -> String {
        let hex = digest.to_string();
        format!("{}/{}/{}", self.folder(), &hex[..2], &hex[2..])
    }

    pub(crate) fn key(self, id: &ObjectId) -> String {
        format!("{}/{}", self.place(&id.digest), id.epoch)
    }

    /// The id of the object with this key, or `None` if it is not a key of this kind.
    pub(crate) fn parse(self, key: &str) -> Option<ObjectId> {
        let mut parts = key.strip_prefix(self.folder())?.strip_prefix('/')?.split('/');
        let (first, rest, epoch) = (parts.next()?, parts.next()?, parts.next()?);
        let id = ObjectId { digest: format!("{first}{rest}").parse().ok()?, epoch: epoch.parse().ok()? };
        (self.key(&id) == key).then_some(id)
    }
}

/// Returns `true` if the store itself gives this key to an object.
pub(crate) fn is_own(key: &str) -> bool {
    if is_collectable(key) || key == FORMAT || key == COMPLETE || uploads::is_own(key) || register_of(key).is_some() {
        return true;
    }
    let Some((folder, name)) = key.split_once('/') else { return false };
    match folder {
        MODELS => model_of(key).is_some(),
        RUNS => name.rsplit_once('.').is_some_and(|(id, end)| is_uuid(id) && ["json", "beat"].contains(&end)),
        GC => name == "clock" || name.split_once('.').is_some_and(|(seq, what)| is_record(seq, what)),
        _ => false,
    }
}

/// Returns `true` for the key of an object that collections may remove: one that is stored under
/// the digest of its content, a kept archive, or a signature.
pub(crate) fn is_collectable(key: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.parse(key).is_some()) || archive(key).is_some() || signed(key).is_some()
}

/// The folders of the objects that collections may remove.
pub(crate) fn collectable() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::folder).chain([SIGNATURES])
}

/// The folder of the signatures that begin with the same bits as this one.
pub(crate) fn signature_place(bits: u64) -> String {
    format!("{SIGNATURES}/{:04x}", bits >> 48)
}

/// The key of a signature of a file.
pub(crate) fn signature(bits: u64, file: &ObjectId) -> String {
    format!("{}/{:012x}.{}.{}", signature_place(bits), bits & ((1 << 48) - 1), file.digest, file.epoch)
}

/// The signature and the file of this key.
pub(crate) fn signed(key: &str) -> Option<(u64, ObjectId)> {
    let (first, name) = key.strip_prefix(SIGNATURES)?.strip_prefix('/')?.split_once('/')?;
    let (rest, id) = name.split_once('.')?;
    let (digest, epoch) = id.split_once('.')?;
    let bits = u64::from_str_radix(&format!("{first}{rest}"), 16).ok()?;
    let id = ObjectId { digest: digest.parse().ok()?, epoch: epoch.parse().ok()? };
    (signature(bits, &id) == key).then_some((bits, id))
}

/// The key of the register with this digest.
pub(crate) fn register(digest: &Digest) -> String {
    format!("{REGISTERS}/{digest}")
}

/// The digest of the register with this key.
pub(crate) fn register_of(key: &str) -> Option<Digest> {
    let digest = key.strip_prefix(REGISTERS)?.strip_prefix('/')?.parse().ok()?;
    (register(&digest) == key).then_some(digest)
}

/// The file that a hint is about: its sketches, or one of its signatures.
pub(crate) fn hinted(key: &str) -> Option<ObjectId> {
    Kind::Sketches.parse(key).or_else(|| signed(key).map(|(_, file)| file))
}

/// The digests of target and base of the kept archive with this key.
pub(crate) fn archive(key: &str) -> Option<(Digest, Digest)> {
    let name = key.strip_prefix(Kind::Archives.folder())?.strip_prefix('/')?.strip_suffix(".bitx")?;
    let (target, base) = name.split_once('.')?;
    Some((target.parse().ok()?, base.parse().ok()?))
}

/// The name of the model that a run has published under this key.
pub(crate) fn model_of(key: &str) -> Option<ModelName> {
    let (name, run) = key.strip_prefix(MODELS)?.strip_prefix('/')?.rsplit_once('/')?;
    name.parse().ok().filter(|_| run.strip_suffix(".json").is_some_and(is_uuid))
}

/// Returns `true` if the store itself makes this folder.
pub(crate) fn is_folder(key: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = key.split('/').collect();
    match parts[..] {
        [MODELS | RUNS | GC | SIGNATURES | REGISTERS] => true,
        [SIGNATURES, first] => hex(first, 4),
        [MODELS, ..] => key[MODELS.len() + 1..].parse::<ModelName>().is_ok(),
        [kind, ref rest @ ..] if Kind::ALL.iter().any(|own| own.folder() == kind) => match rest {
            [] => true,
            [first] => hex(first, 2),
            [first, second] => hex(first, 2) && hex(second, 62),
            _ => false,
        },
        _ => uploads::is_folder(key),
    }
}

fn is_uuid(text: &str) -> bool {
    Uuid::parse_str(text).is_ok_and(|id| id.to_string() == text)
}

fn is_record(seq: &str, what: &str) -> bool {
    let known = ["condemned.json", "waits.json", "removes.json", "done"].contains(&what);
    known && seq.len() == 10 && seq.parse::<u32>().is_ok()
}

/// The id of an object: the digest of its content, and the epoch in which it was written. Epochs
/// only grow, so a key that a collection has condemned is never written again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId {
    /// The BLAKE3 digest of the content.
    pub digest: Digest,
    /// The number of collections before the object was written.
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
    fn keys_are_built_and_parsed() {
        let id = ObjectId { digest: Digest::of(b"a tensor"), epoch: 7 };
        let key = Kind::Pieces.key(&id);
        assert_eq!(Kind::Pieces.parse(&key), Some(id));
        assert_eq!(Kind::Files.parse(&key), None);
        assert_eq!(Kind::Pieces.parse(&format!("{key}/x")), None);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(ObjectId { epoch: 0, ..id }.to_string(), id.digest.to_string());
    }

    #[test]
    fn keys_of_registers_are_built_and_parsed() {
        let digest = Digest::of(b"a register");
        let key = register(&digest);
        assert_eq!(register_of(&key), Some(digest));
        assert!(is_own(&key) && is_folder(REGISTERS) && !is_collectable(&key));
        for wrong in [format!("{key}/"), key.to_uppercase(), key.replace("s/", "s//"), REGISTERS.to_owned()] {
            assert_eq!(register_of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_of_signatures_are_built_and_parsed() {
        let id = ObjectId { digest: Digest::of(b"a file"), epoch: 7 };
        for bits in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
            let key = signature(bits, &id);
            assert_eq!((signed(&key), hinted(&key)), (Some((bits, id)), Some(id)));
            assert!(is_collectable(&key) && is_own(&key) && is_folder(&signature_place(bits)));
            for wrong in [format!("{key}/"), key.to_uppercase(), key.replace("s/", "s/+"), key.replacen(".", "..", 1)] {
                assert_eq!(signed(&wrong), None, "{wrong}");
            }
        }
        assert!(is_own(COMPLETE) && !is_collectable(COMPLETE) && is_folder(SIGNATURES));
    }
}
