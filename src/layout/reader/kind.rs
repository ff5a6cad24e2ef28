//! Reads the layout of a file whose kind is known. Restoring needs no other reader, and thus none
//! of the parsers of [`Kind::Places`].

use super::FIRST_READ;
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};
use crate::layout::header::HeaderReader;
use crate::layout::{Dtype, Kind, Layout, gguf, safetensors, sniff};

/// An incremental parser of a file of one kind. [`Kind::Bytes`] fits any file but an obvious
/// download mistake.
#[derive(Debug)]
pub(crate) struct KindReader {
    file_length: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing of a file of bytes was read.
    Bytes,
    Header(Kind, HeaderReader),
    Done(Layout),
}

impl KindReader {
    pub(crate) fn new(file_length: u64, kind: Kind) -> Self {
        let state = match kind {
            Kind::Bytes => State::Bytes,
            Kind::Safetensors => State::Header(kind, HeaderReader::new(file_length, safetensors::parser)),
            Kind::Gguf => State::Header(kind, HeaderReader::new(file_length, gguf::parser)),
            // Archives name such regions by offset, so the file itself need not be parsed.
            Kind::Places => State::Done(Layout { kind, file_length, ..Layout::default() }),
        };
        Self { file_length, state }
    }

    /// The kind of the file.
    pub(super) fn kind(&self) -> Kind {
        match &self.state {
            State::Bytes => Kind::Bytes,
            State::Header(kind, _) => *kind,
            State::Done(layout) => layout.kind,
        }
    }

    /// The layout and the bytes of the header, once the reader wants nothing more.
    pub(crate) fn finish(self) -> (Layout, Vec<u8>) {
        match self.state {
            State::Header(_, reader) => reader.finish(),
            State::Done(layout) => (layout, Vec::new()),
            State::Bytes => (Layout::default(), Vec::new()),
        }
    }
}

impl Incremental for KindReader {
    fn wants(&self) -> Option<Wanted> {
        match &self.state {
            State::Bytes => Some(0..self.file_length.min(FIRST_READ)),
            State::Header(_, reader) => reader.wants(),
            State::Done(..) => None,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Header(_, reader) => reader.take(bytes),
            State::Done(..) => Ok(()),
            State::Bytes => {
                if let Some(kind) = sniff::download_mistake(bytes) {
                    return Err(Error::format(format!("not a model: this is {kind}")));
                }
                self.state = State::Done(opaque(self.file_length, None));
                Ok(())
            }
        }
    }

    fn advance(&mut self) -> Result<bool> {
        match &mut self.state {
            State::Header(_, reader) => reader.advance(),
            State::Bytes | State::Done(_) => Ok(false),
        }
    }
}

/// The layout of a file that is kept as bytes, and the rule that it breaks, if any.
pub(super) fn opaque(file_length: u64, fault: Option<Error>) -> Layout {
    Layout { fault, ..Layout::of_tensor(Kind::Bytes, Dtype::U8, &[file_length], file_length) }
}
