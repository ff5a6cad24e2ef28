//! Names in addresses. They are taken apart before they are decoded, so that an encoded slash is not one.

use bitx_store::{ModelName, check_path};
use percent_encoding::percent_decode_str;

use crate::errors::{Failure, Result};

/// What is behind a prefix of a path, by its slashes.
///
/// # Errors
/// `Invalid` for what is not UTF-8.
pub(crate) fn segments(path: &str, prefix: &str) -> Result<Vec<String>> {
    let rest = path.strip_prefix(prefix).unwrap_or_default();
    let decode = |segment: &str| {
        let decoded = percent_decode_str(segment).decode_utf8();
        decoded.map(|decoded| decoded.into_owned()).map_err(|_| Failure::invalid("the address is not UTF-8"))
    };
    rest.split('/').map(decode).collect()
}

/// A model's name of these segments.
///
/// # Errors
/// `Invalid`.
pub(crate) fn model(segments: &[String]) -> Result<ModelName> {
    plain(segments)?;
    Ok(segments.join("/").parse::<ModelName>()?)
}

/// A file's path of these segments.
///
/// # Errors
/// `Invalid`.
pub(crate) fn file(segments: &[String]) -> Result<String> {
    plain(segments)?;
    let path = segments.join("/");
    check_path(&path)?;
    Ok(path)
}

fn plain(segments: &[String]) -> Result<()> {
    match segments.iter().find(|segment| segment.contains('/')) {
        Some(segment) => Err(Failure::invalid(format!("an encoded slash in {segment:?}"))),
        None => Ok(()),
    }
}
