//! The layout of a model whose bytes the caller reads.

use std::ops::Range;

use super::Layout;
use super::reader::{Accept, LayoutReader};
use crate::error::{Error, Result};
use crate::io::{Incremental, Source};

/// An incremental reader of the layout of a file of any kind. It names the ranges that it needs and
/// never reads by itself.
///
/// [`drive::layout`](crate::drive::layout) does the same for a file that can be read synchronously.
#[derive(Debug)]
pub struct ModelReader {
    reader: LayoutReader,
}

impl ModelReader {
    /// Creates a reader for a file of `file_length` bytes.
    pub fn new(file_length: u64) -> Self {
        Self { reader: LayoutReader::new(file_length, Accept::Any) }
    }

    /// The range to [`feed`](Self::feed) next; `None` once the layout is known.
    pub fn wants(&self) -> Option<Range<u64>> {
        self.reader.wants()
    }

    /// Takes exactly the bytes that [`wants`](Self::wants) named.
    ///
    /// # Errors
    /// `InvalidArgument` if `bytes` is longer or shorter than the wanted range.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        match self.wants() {
            Some(range) if range.end - range.start == bytes.len() as u64 => {
                self.reader.feed(bytes).map_err(|error| error.input(Source::Target))
            }
            wanted => {
                let expected = wanted.map_or(0, |range| range.end - range.start);
                Err(Error::invalid_argument("the number of bytes is not the one that was wanted")
                    .figures(expected, bytes.len()))
            }
        }
    }

    /// Returns the layout. A file of no known kind is one region of bytes, and so is a file that
    /// breaks a rule of its kind; the layout then has that [fault](Layout::fault).
    ///
    /// # Errors
    /// `InvalidArgument` while the reader wants more.
    pub fn finish(self) -> Result<Layout> {
        match self.wants() {
            None => {
                let layout = self.reader.finish().0;
                Ok(Layout { fault: layout.fault.map(|fault| fault.input(Source::Target)), ..layout })
            }
            Some(_) => Err(Error::invalid_argument("the layout is not known yet: the reader wants more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::layout::Kind;

    #[test]
    fn the_layout_is_known_once_nothing_more_is_wanted() {
        let mut reader = ModelReader::new(3);
        assert_eq!(reader.wants(), Some(0..3));
        assert_eq!(reader.feed(b"ab").unwrap_err().kind(), ErrorKind::InvalidArgument);
        reader.feed(b"abc").unwrap();
        assert_eq!(reader.feed(b"").unwrap_err().kind(), ErrorKind::InvalidArgument);
        let layout = reader.finish().unwrap();
        assert_eq!((layout.kind, layout.regions.len(), layout.file_length), (Kind::Bytes, 1, 3));
        assert_eq!(ModelReader::new(3).finish().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
