//! Damage of archives, as errors call it.

use bitx::io::ReadAt;
use bitx::{Error, ErrorKind};

/// The magic of an archive without its last digit, which is the version.
const MAGIC: &[u8; 7] = b"BITXv00";

/// The number of bytes of the magic that must be intact for a damaged archive.
const INTACT: usize = 6;

const DAMAGED: &str = "the archive is damaged";

/// The description of a damaged archive, if `error`, which came from reading `archive`, shows that
/// it is one.
pub fn of(archive: &dyn ReadAt, error: &Error) -> Option<String> {
    let mut magic = [0; 8];
    archive.read_at(0, &mut magic[..archive.len().min(8) as usize]).ok()?;
    let beyond = |figure: &str| figure.parse::<u64>().is_ok_and(|length| length > archive.len());
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Truncated => Some(called(error)),
        ErrorKind::Format if !is_intact(&magic) && resembles(&magic) => {
            Some(format!("{DAMAGED}: its first bytes are no longer BITXv001 or BITXv002"))
        }
        ErrorKind::Format if is_intact(&magic) => Some(called(error)),
        // A length that exceeds the archive is no valid length.
        ErrorKind::Limit if error.offset().is_some() && error.found().is_some_and(beyond) => Some(called(error)),
        // Neither the digits of the version nor format v1 have checksums that would tell.
        ErrorKind::Unsupported if magic != *b"BITXv002" => {
            Some(format!("{DAMAGED}, or needs a later release of bitx: {error}"))
        }
        _ => None,
    }
}

/// The text of `error`, which says that the archive is damaged.
fn called(error: &Error) -> String {
    let text = error.to_string();
    if text.starts_with(DAMAGED) { text } else { format!("{DAMAGED}: {text}") }
}

fn is_intact(magic: &[u8; 8]) -> bool {
    magic == b"BITXv001" || magic == b"BITXv002"
}

fn resembles(magic: &[u8; 8]) -> bool {
    magic.iter().zip(MAGIC).filter(|(byte, intact)| byte == intact).count() >= INTACT
}
