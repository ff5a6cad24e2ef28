//! The names in the paths of URLs. A path is split before it is decoded, so that an encoded slash
//! does not separate names.

use bitx_store::{ModelName, check_path};
use percent_encoding::percent_decode_str;

use crate::errors::{Failure, Result};

/// Splits the part of a path behind `prefix` at its slashes, and decodes the segments.
///
/// # Errors
/// `Invalid`, if a segment is not UTF-8.
pub(crate) fn segments(path: &str, prefix: &str) -> Result<Vec<String>> {
    let rest = path.strip_prefix(prefix).unwrap_or_default();
    let decode = |segment: &str| {
        let decoded = percent_decode_str(segment).decode_utf8();
        decoded.map(|decoded| decoded.into_owned()).map_err(|_| Failure::invalid("the path of the URL is not UTF-8"))
    };
    rest.split('/').map(decode).collect()
}

/// Parses the name of a model from its segments.
///
/// # Errors
/// `Invalid`.
pub(crate) fn model(segments: &[String]) -> Result<ModelName> {
    plain(segments)?;
    Ok(segments.join("/").parse::<ModelName>()?)
}

/// Joins the path of a file from its segments, and checks it.
///
/// # Errors
/// `Invalid`.
pub(crate) fn file(segments: &[String]) -> Result<String> {
    plain(segments)?;
    let path = segments.join("/");
    check_path(&path)?;
    Ok(path)
}

/// Checks that no segment contains a slash, which was encoded.
fn plain(segments: &[String]) -> Result<()> {
    match segments.iter().find(|segment| segment.contains('/')) {
        Some(segment) => Err(Failure::invalid(format!("a name contains an encoded slash: {segment:?}"))),
        None => Ok(()),
    }
}
