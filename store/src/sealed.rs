//! JSON objects that end with the digest of what is before it, so that every changed byte is
//! noticed. Objects without a digest, as earlier writers stored them, are read as well.

use std::borrow::Cow;

use object_store::Error as StorageError;
use serde::Serialize;

use crate::backend;
use crate::digest::Digest;
use crate::error::{Error, Result};

/// The text between the fields of an object and the digest.
const MARK: &str = "\"check\":\"";
/// The length in bytes of the mark, the digest, a quotation mark and a brace.
const TAIL: usize = MARK.len() + 64 + 2;

/// Serializes `value`, a JSON object, for the object `key`, with its digest at the end.
///
/// # Errors
/// `Storage`, if the value cannot be serialized.
pub(crate) fn json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| backend::failed(&key, StorageError::Generic { store: "JSON", source: error.into() }))?;
    bytes.pop();
    if bytes.len() > 1 {
        bytes.push(b',');
    }
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(format!("{MARK}{digest}\"}}").as_bytes());
    Ok(bytes)
}

/// The JSON object without its digest, which is checked.
///
/// # Errors
/// `Damaged`.
pub(crate) fn body<'a>(key: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let Some((fields, tail)) = bytes.len().checked_sub(TAIL).map(|at| bytes.split_at(at)) else {
        return Ok(Cow::Borrowed(bytes));
    };
    let Some(stated) = tail.strip_prefix(MARK.as_bytes()) else { return Ok(Cow::Borrowed(bytes)) };
    if stated != format!("{}\"}}", Digest::of(fields)).as_bytes() {
        return Err(Error::damaged(key, "the object does not match its digest"));
    }
    let fields = fields.strip_suffix(b",").unwrap_or(fields);
    Ok(Cow::Owned([fields, b"}"].concat()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        for value in [BTreeMap::new(), BTreeMap::from([("a".to_owned(), 1u64), ("b".to_owned(), 2)])] {
            let bytes = json("key", &value).unwrap();
            let read = |bytes: &[u8]| -> Option<BTreeMap<String, u64>> {
                serde_json::from_slice(&body("key", bytes).ok()?).ok()
            };
            assert_eq!(read(&bytes), Some(value.clone()));
            assert_eq!(read(&serde_json::to_vec(&value).unwrap()), Some(value));
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1;
                assert_eq!(read(&flipped), None, "byte {at}");
            }
        }
    }
}
