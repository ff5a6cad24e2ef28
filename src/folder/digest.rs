//! Digests as JSON has them: 64 hexadecimal digits in lower case.

use serde::Serializer;

use crate::error::Result;
use crate::json::Json;

pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&blake3::Hash::from_bytes(*digest).to_hex())
}

pub(super) fn read(json: &mut Json<'_>) -> Result<[u8; 32]> {
    let text = json.string()?;
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let digest = blake3::Hash::from_hex(&*text).ok().filter(|_| lower);
    digest.map(Into::into).ok_or_else(|| json.fault("a digest of 64 hexadecimal digits in lower case"))
}
