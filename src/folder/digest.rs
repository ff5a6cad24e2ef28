//! Digests as JSON has them: 64 hexadecimal digits in lower case.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&blake3::Hash::from_bytes(*digest).to_hex())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let digest = blake3::Hash::from_hex(&text).ok().filter(|_| lower);
    digest.map(Into::into).ok_or_else(|| D::Error::custom("a digest must have 64 hexadecimal digits in lower case"))
}
