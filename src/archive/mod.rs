//! The containers: bytes of an archive, its index and its limits.

mod cursor;
pub mod v1;

use crate::error::{Error, Result};
use crate::layout::sniff;

/// Length of the magic: `BITXv` and three digits.
pub const MAGIC_LENGTH: usize = 8;

/// Reads the version out of an archive's magic.
pub(crate) fn version(magic: &[u8]) -> Result<u32> {
    let digits = magic.get(..MAGIC_LENGTH).and_then(|m| m.strip_prefix(b"BITXv"));
    let version = digits.and_then(|d| std::str::from_utf8(d).ok()?.parse().ok());
    version.ok_or_else(|| Error::format(sniff::not_a(".bitx archive", magic)))
}

/// Refuses versions that this reader does not know.
pub(crate) fn check_version(version: u32) -> Result<()> {
    if version == v1::VERSION {
        return Ok(());
    }
    Err(Error::unsupported("this version of the .bitx format needs a newer reader")
        .figures(format_args!("version {}", v1::VERSION), format_args!("version {version}")))
}
