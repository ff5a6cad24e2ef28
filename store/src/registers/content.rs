//! The content of a register: a Zstandard frame of a list of the entries, as JSON, and of the
//! copies behind it. The list's length precedes it, as a little-endian `u32`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys;

/// The version of the layout of a register.
const VERSION: u32 = 1;
/// The length in bytes from which on a register is full.
pub(super) const FULL: usize = 4 << 20;
/// The length in bytes of the longest object that is copied.
pub(super) const LONGEST: usize = 1 << 20;
/// The most bytes that the frame of a register may hold.
const MOST: usize = 4 * FULL;
/// The bytes that an entry takes in the list beside its texts, roughly.
const OVERHEAD: usize = 32;
/// The level of compression.
const LEVEL: i32 = 3;

/// A copy of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The tag that the storage gave to the object.
    pub(super) tag: String,
    pub(super) bytes: Bytes,
}

impl Entry {
    /// The bytes that the entry takes in a register, roughly.
    pub(super) fn cost(&self) -> usize {
        self.key.len() + self.tag.len() + OVERHEAD + self.bytes.len()
    }
}

/// The list of the entries. Each has a key, a tag and the length of its copy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    version: u32,
    entries: Vec<(String, String, u64)>,
}

/// The key and the content of a register with these entries; `None` if it cannot be made.
pub(super) fn write(entries: &[Entry]) -> Option<(String, Vec<u8>)> {
    let listed = entries.iter().map(|entry| (entry.key.clone(), entry.tag.clone(), entry.bytes.len() as u64));
    let list = serde_json::to_vec(&List { version: VERSION, entries: listed.collect() }).ok()?;
    let mut bytes = u32::try_from(list.len()).ok()?.to_le_bytes().to_vec();
    bytes.extend(list);
    entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.bytes));
    let frame = zrip::compress(&bytes, LEVEL).ok()?;
    let key = keys::register(&Digest::of(&frame));
    // A register that readers would refuse must not be written.
    parse(&key, &frame).ok().filter(|read| read == entries).map(|_| (key, frame))
}

/// The entries of the register with this key.
///
/// # Errors
/// `Damaged`, `Unsupported`.
pub(super) fn parse(key: &str, frame: &[u8]) -> Result<Vec<Entry>> {
    if keys::register_of(key) != Some(Digest::of(frame)) {
        return Err(Error::damaged(key, "the object does not match its digest"));
    }
    let bytes = zrip::decompress_with_limit(frame, MOST).map_err(|error| Error::damaged(key, error))?;
    let short = || Error::damaged(key, "the object ends inside its list");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let list: List =
        serde_json::from_slice(rest.get(..length).ok_or_else(short)?).map_err(|e| Error::damaged(key, e))?;
    if list.version != VERSION {
        return Err(Error::unsupported(key, list.version));
    }
    let mut copies = Bytes::from(bytes).slice(4 + length..);
    let mut entries = Vec::with_capacity(list.entries.len());
    for (name, tag, length) in list.entries {
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= copies.len()) else {
            return Err(Error::damaged(key, format!("the copy of {name} ends behind the object")));
        };
        entries.push(Entry { key: name, tag, bytes: copies.split_to(length) });
    }
    if !copies.is_empty() {
        return Err(Error::damaged(key, "the object has bytes behind its copies"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> Entry {
        let bytes = vec![number as u8; number * 37 % 900].into();
        Entry { key: format!("files/{number}"), tag: format!("tag-{number}"), bytes }
    }

    /// A register of these bytes, with the digest that belongs to them.
    fn forged(bytes: &[u8]) -> (String, Vec<u8>) {
        let frame = zrip::compress(bytes, LEVEL).unwrap();
        (keys::register(&Digest::of(&frame)), frame)
    }

    #[test]
    fn entries_come_back() {
        for count in [0, 1, 2, 300] {
            let entries: Vec<Entry> = (0..count).map(entry).collect();
            let (key, frame) = write(&entries).unwrap();
            assert_eq!(parse(&key, &frame).unwrap(), entries);
        }
        assert!(write(&[Entry { bytes: vec![0; MOST].into(), ..entry(1) }]).is_none());
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (key, frame) = write(&(0..20).map(entry).collect::<Vec<_>>()).unwrap();
        for at in 0..frame.len() {
            let mut flipped = frame.clone();
            flipped[at] ^= 1;
            assert!(matches!(parse(&key, &flipped), Err(Error::Damaged { .. })), "byte {at}");
        }
        assert!(parse(&key, &frame[..frame.len() - 1]).is_err() && parse(&key, &[]).is_err());
    }

    #[test]
    fn forged_registers_are_refused() {
        let listed =
            |list: &str, copies: &[u8]| [&(list.len() as u32).to_le_bytes()[..], list.as_bytes(), copies].concat();
        let one = |length: &str| format!(r#"{{"version":1,"entries":[["files/a","t",{length}]]}}"#);
        assert_eq!(
            {
                let (key, frame) = forged(&listed(&one("3"), b"abc"));
                parse(&key, &frame).unwrap().len()
            },
            1
        );
        let bomb = vec![0; MOST + 1];
        for (what, bytes) in [
            ("no list", vec![]),
            ("a list behind the end", u32::MAX.to_le_bytes().to_vec()),
            ("no JSON", listed("{", b"")),
            ("a copy behind the end", listed(&one("4"), b"abc")),
            ("an endless copy", listed(&one("18446744073709551615"), b"abc")),
            ("a negative length", listed(&one("-1"), b"abc")),
            ("bytes that are left", listed(&one("2"), b"abc")),
            ("another version", listed(r#"{"version":2,"entries":[]}"#, b"")),
            ("an unknown field", listed(r#"{"version":1,"entries":[],"x":0}"#, b"")),
            ("a bomb", bomb),
        ] {
            let (key, frame) = forged(&bytes);
            assert!(parse(&key, &frame).is_err_and(|error| error.is_of_object()), "{what}");
        }
    }
}
