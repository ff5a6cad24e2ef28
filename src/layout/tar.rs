//! The layout of tar files, such as NeMo's checkpoints (`.nemo`): each member is a region, and a
//! model in it is looked for.
//!
//! Format: <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>. Archives name
//! regions by offset, so that the decoder parses nothing, and a file that breaks a rule keeps the
//! members before that.

use std::collections::HashSet;

use super::inside::{Inside, MAX_REGIONS};
use super::{Dtype, Kind, Layout, Region};
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use crate::steps;

/// Bytes of a header; the data of a member is padded to a multiple of them.
const BLOCK: u64 = 512;

/// The place of the format's name in a header.
const MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Bytes that are read at a time: the headers of members that are shorter come with them, since each
/// read of a remote file is a request.
const STEP: u64 = 64 * 1024;

/// Minimum length of a region in bytes; shorter members are cheaper as part of the bytes between.
const LEAST: u64 = 256;

/// Tells whether `head` is the start of a tar file.
pub(crate) fn may_begin(head: &[u8]) -> bool {
    head.get(MAGIC.0..).is_some_and(|rest| rest.starts_with(MAGIC.1))
}

/// Reads the members of a file of known length.
#[derive(Debug)]
pub(crate) struct TarReader {
    file_length: u64,
    /// The number of files that this one is in.
    level: u8,
    step: Step,
    names: HashSet<String>,
    regions: Vec<Region>,
}

/// The purpose of the next read.
#[derive(Debug)]
enum Step {
    /// The header at this offset, and those that follow it closely.
    Header(u64),
    Inside(Inside),
}

impl TarReader {
    pub(crate) fn new(file_length: u64, level: u8) -> Self {
        Self { file_length, level, step: Step::Header(0), names: HashSet::new(), regions: Vec::new() }
    }

    /// The layout, if the file has members that are regions.
    pub(crate) fn finish(self) -> Option<Layout> {
        let Step::Inside(inside) = self.step else { return None };
        let (kind, regions) = (Kind::Places, inside.into_regions());
        (!regions.is_empty()).then_some(Layout { kind, file_length: self.file_length, regions, ..Layout::default() })
    }

    /// Reads the headers in `bytes`, of which the first is at `offset`, and returns the next step.
    fn after_headers(&mut self, offset: u64, bytes: &[u8]) -> Step {
        let mut at = offset;
        while let Some(block) = bytes.get((at - offset) as usize..).and_then(|rest| rest.get(..BLOCK as usize)) {
            steps::add(BLOCK as usize);
            let next = self.member(at, block).filter(|_| self.regions.len() < MAX_REGIONS);
            let Some(next) = next.filter(|next| self.file_length.saturating_sub(*next) >= BLOCK) else {
                return self.look_inside();
            };
            at = next;
        }
        // A file that ends within its first header has none.
        if at > offset { Step::Header(at) } else { self.look_inside() }
    }

    /// The step behind the last header.
    fn look_inside(&mut self) -> Step {
        Step::Inside(Inside::new(std::mem::take(&mut self.regions), self.level))
    }

    /// Adds the member whose header is at `offset`, and returns the offset of the next header;
    /// `None` if this is no header, or the data do not end in the file.
    fn member(&mut self, offset: u64, block: &[u8]) -> Option<u64> {
        let length = number(block.get(124..136)?).filter(|_| may_begin(block))?;
        let start = offset + BLOCK;
        let end = start.checked_add(length).filter(|end| *end <= self.file_length)?;
        let is_file = matches!(block[156], 0 | b'0' | b'7');
        if let Some(name) = name(&block[..100]).filter(|_| is_file && length >= LEAST)
            && self.names.insert(name.clone())
        {
            self.regions.push(Region { name, dtype: Dtype::U8, shape: vec![length], offset: start, length });
        }
        end.checked_next_multiple_of(BLOCK)
    }
}

/// The name in a header, without the folder that files were packed from.
fn name(field: &[u8]) -> Option<String> {
    let name = field.split(|&byte| byte == 0).next()?;
    let name = std::str::from_utf8(name.strip_prefix(b"./").unwrap_or(name)).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// A number in a header: octal digits, or binary with the most significant bytes first behind a
/// byte of 128.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, binary)) = field.split_first() {
        let (high, low) = binary.split_last_chunk::<8>()?;
        return high.iter().all(|&byte| byte == 0).then(|| u64::from_be_bytes(*low));
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok()
}

impl Incremental for TarReader {
    fn wants(&self) -> Option<Wanted> {
        match &self.step {
            Step::Header(offset) => Some(*offset..(*offset + STEP).min(self.file_length)),
            Step::Inside(inside) => inside.wants(),
        }
    }

    /// Takes the bytes of the wanted range. It never fails: what is no member is bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.step {
            Step::Header(offset) => {
                let offset = *offset;
                self.step = self.after_headers(offset, bytes);
                Ok(())
            }
            Step::Inside(inside) => inside.take(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
