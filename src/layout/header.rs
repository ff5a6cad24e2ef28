//! The reader of a header whose length is known only once its beginning is parsed.

use super::Layout;
use super::reader::FIRST_READ;
use crate::error::Result;
use crate::io::{Incremental, Wanted};
use crate::pace::Paced;

/// The result of parsing the first bytes of a file, which come back with it.
pub(super) enum Parsed {
    /// The header is longer: this range is needed as well.
    More(Vec<u8>, Wanted),
    /// The header, and the layout that it describes.
    Whole(Vec<u8>, Layout),
}

/// Begins to parse the first bytes of a file of known length.
pub(super) type Parser = fn(Vec<u8>, u64) -> Paced<Parsed>;

/// Parses the header of a file of known length from ever longer prefixes of the file.
#[derive(Debug)]
pub(crate) struct HeaderReader {
    file_length: u64,
    parser: Parser,
    head: Vec<u8>,
    wants: Option<Wanted>,
    /// The parser of the bytes so far.
    parsing: Option<Paced<Parsed>>,
    layout: Layout,
}

impl HeaderReader {
    pub(super) fn new(file_length: u64, parser: Parser) -> Self {
        let wants = Some(0..file_length.min(FIRST_READ));
        Self { file_length, parser, head: Vec::new(), wants, parsing: None, layout: Layout::default() }
    }

    /// The layout and the bytes of the header, once the reader wants nothing more.
    pub(crate) fn finish(self) -> (Layout, Vec<u8>) {
        (self.layout, self.head)
    }
}

impl Incremental for HeaderReader {
    fn wants(&self) -> Option<Wanted> {
        self.wants.clone()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.wants = None;
        self.head.extend_from_slice(bytes);
        self.parsing = Some((self.parser)(std::mem::take(&mut self.head), self.file_length));
        Ok(())
    }

    fn advance(&mut self) -> Result<bool> {
        let Some(parsing) = &mut self.parsing else { return Ok(false) };
        let Some(parsed) = parsing.advance()? else { return Ok(true) };
        self.parsing = None;
        match parsed {
            Parsed::More(head, wanted) => (self.head, self.wants) = (head, Some(wanted)),
            Parsed::Whole(head, layout) => (self.head, self.layout) = (head, layout),
        }
        Ok(false)
    }
}
