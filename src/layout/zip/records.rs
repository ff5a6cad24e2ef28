//! The records of a zip archive that tell where its members lie: the end of the central directory,
//! the directory's entries, and the local headers.
//!
//! Format: <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>.

use std::ops::Range;

/// Length in bytes of the end record without its comment, and the maximum length of a comment.
const END: usize = 22;
const LONGEST_COMMENT: usize = 0xFFFF;

/// Lengths in bytes of the end record of Zip64, of its locator, and of an entry and a local header
/// without their names.
const END64: usize = 56;
const LOCATOR64: usize = 20;
const ENTRY: usize = 46;
const LOCAL: u64 = 30;

/// Maximum length in bytes of the records at the end of an archive: those that locate the central
/// directory, which lies before them.
pub(super) const LONGEST_END: u64 = (LONGEST_COMMENT + END + LOCATOR64 + END64) as u64;

/// The flag of encrypted members.
const ENCRYPTED: u64 = 1;

/// The number of the extra field that holds lengths and offsets of 8 bytes.
const ZIP64: u64 = 1;

/// The place of the central directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) range: Range<u64>,
    /// Bytes before the archive, from which offsets count: 0, unless something was put in front.
    pub(super) shift: u64,
}

/// A member, as the central directory describes it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: String,
    /// Offset of the local header in the file.
    pub(super) offset: u64,
    /// Length of the stored data in bytes.
    pub(super) length: u64,
    /// The data is stored as it is, neither compressed nor encrypted.
    pub(super) is_plain: bool,
}

/// Reads the little-endian number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Locates the central directory from the last bytes of a file, of which there are `tail.len()` and
/// the first is at offset `start`. Returns `None` if the file is not an archive in one piece.
pub(super) fn directory(tail: &[u8], start: u64) -> Option<Directory> {
    let end = (0..=tail.len().checked_sub(END)?).rev().find(|&at| is_end(tail, at))?;
    let (mut at, mut length, mut offset) = (end, number(tail, end + 12, 4)?, number(tail, end + 16, 4)?);
    let mut disks = number(tail, end + 4, 4)?;
    if end.checked_sub(LOCATOR64).is_some_and(|locator| tail[locator..].starts_with(b"PK\x06\x07")) {
        at = end.checked_sub(LOCATOR64 + END64).filter(|&at| tail[at..].starts_with(b"PK\x06\x06"))?;
        (length, offset) = (number(tail, at + 40, 8)?, number(tail, at + 48, 8)?);
        disks = number(tail, at + 16, 8)?;
    }
    let end = start + at as u64;
    let begin = end.checked_sub(length)?;
    let shift = begin.checked_sub(offset)?;
    (disks == 0).then_some(Directory { range: begin..end, shift })
}

/// Tells whether the end record is at `at`: it and its comment are the last bytes of the file.
fn is_end(tail: &[u8], at: usize) -> bool {
    let comment = number(tail, at + 20, 2).unwrap_or_default();
    tail[at..].starts_with(b"PK\x05\x06") && at + END + comment as usize == tail.len()
}

/// The entries of the central directory, at most `most`, up to the first one that is malformed.
pub(super) fn entries(mut bytes: &[u8], shift: u64, most: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < most
        && let Some((entry, length)) = read_entry(bytes, shift)
    {
        entries.push(entry);
        bytes = &bytes[length..];
    }
    entries
}

/// Reads the entry at the start of `bytes`, and returns it and its length in bytes.
fn read_entry(bytes: &[u8], shift: u64) -> Option<(Entry, usize)> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let field = |at, width| number(bytes, at, width);
    let [name, extra, comment] = [field(28, 2)?, field(30, 2)?, field(32, 2)?].map(|length| length as usize);
    let path = bytes.get(ENTRY..ENTRY + name)?;
    let fields = bytes.get(ENTRY + name..ENTRY + name + extra)?;
    bytes.get(..ENTRY + name + extra + comment)?;
    let mut sizes = [field(24, 4)?, field(20, 4)?, field(42, 4)?];
    widen(&mut sizes, fields)?;
    let [length, stored, offset] = sizes;
    let is_plain = field(10, 2)? == 0 && field(8, 2)? & ENCRYPTED == 0 && length == stored;
    let path = String::from_utf8_lossy(path).into_owned();
    Some((Entry { path, offset: offset.checked_add(shift)?, length, is_plain }, ENTRY + name + extra + comment))
}

/// Replaces the numbers that do not fit into 4 bytes by those of the extra fields, where they are
/// in the same order.
fn widen(sizes: &mut [u64; 3], mut fields: &[u8]) -> Option<()> {
    while let (Some(id), Some(length)) = (number(fields, 0, 2), number(fields, 2, 2)) {
        let field = fields.get(4..4 + length as usize)?;
        if id == ZIP64 {
            let wide = sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX));
            for (i, size) in wide.enumerate() {
                *size = number(field, 8 * i, 8)?;
            }
            return Some(());
        }
        fields = &fields[4 + length as usize..];
    }
    Some(())
}

/// The length of the local header at the start of `bytes`, its name and its extra fields included;
/// `None` if there is no header of a stored member.
pub(super) fn local_length(bytes: &[u8]) -> Option<u64> {
    if !bytes.starts_with(b"PK\x03\x04") || number(bytes, 8, 2)? != 0 {
        return None;
    }
    Some(LOCAL + number(bytes, 26, 2)? + number(bytes, 28, 2)?)
}
