//! Reads the layout of a file of any known kind, or of an opaque one.

use super::{Dtype, Kind, Layout, gguf, onnx, safetensors, sniff, zip};
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};

/// Bytes of the first read: enough to tell the kind of a file, and usually to hold all of its
/// header.
const FIRST_READ: u64 = 64 * 1024;

/// The kinds of file that a reader accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accept {
    /// Only this kind. [`Kind::Bytes`] fits any file but an obvious download mistake.
    Only(Kind),
    /// Every known layout; any other file is one region of bytes.
    Any,
}

/// An incremental parser that picks the layout by the file's first bytes.
#[derive(Debug)]
pub(crate) struct LayoutReader {
    file_length: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Start(Accept),
    Safetensors(safetensors::HeaderReader),
    Gguf(gguf::HeaderReader),
    Onnx(Box<onnx::Walker>),
    Zip(Box<zip::ArchiveReader>),
    Done(Layout, Vec<u8>),
}

impl LayoutReader {
    pub(crate) fn new(file_length: u64, accept: Accept) -> Self {
        let state = match accept {
            // Archives name such regions by offset, so the file itself need not be parsed.
            Accept::Only(Kind::Places) => {
                State::Done(Layout { kind: Kind::Places, file_length, ..Layout::default() }, Vec::new())
            }
            accept => State::Start(accept),
        };
        Self { file_length, state }
    }

    /// The layout and the bytes of the header, once the reader wants nothing more.
    pub(crate) fn finish(self) -> (Layout, Vec<u8>) {
        match self.state {
            State::Safetensors(reader) => reader.finish(),
            State::Gguf(reader) => reader.finish(),
            State::Done(layout, header) => (layout, header),
            State::Start(_) | State::Onnx(_) | State::Zip(_) => (Layout::default(), Vec::new()),
        }
    }

    fn start(&mut self, accept: Accept, head: &[u8]) -> Result<()> {
        let kind = match accept {
            Accept::Only(kind) => kind,
            Accept::Any => kind_of(head),
        };
        match (kind, accept) {
            (Kind::Gguf, _) => {
                let mut reader = gguf::HeaderReader::new(self.file_length);
                reader.feed(head)?;
                self.state = State::Gguf(reader);
            }
            (Kind::Safetensors, _) => {
                let mut reader = safetensors::HeaderReader::new(self.file_length);
                reader.feed(head)?;
                self.state = State::Safetensors(reader);
            }
            (Kind::Places, Accept::Any) if zip::may_begin(head) => {
                self.state = State::Zip(Box::new(zip::ArchiveReader::new(self.file_length)));
            }
            (Kind::Places, Accept::Any) => {
                self.state = State::Onnx(Box::new(onnx::Walker::of_model(self.file_length)));
                self.walk(head)?;
            }
            (Kind::Bytes | Kind::Places, _) => {
                if let Some(kind) = sniff::download_mistake(head) {
                    return Err(Error::format(format!("not a model: this is {kind}")));
                }
                self.state = self.opaque();
            }
        }
        Ok(())
    }

    /// Feeds the walker of a possible ONNX model; a file that is not one becomes opaque.
    fn walk(&mut self, bytes: &[u8]) -> Result<()> {
        let opaque = self.opaque();
        let State::Onnx(mut walker) = std::mem::replace(&mut self.state, opaque) else { return Ok(()) };
        walker.feed(bytes)?;
        if walker.wants().is_some() {
            self.state = State::Onnx(walker);
        } else if let Some(layout) = walker.finish() {
            self.state = State::Done(layout, Vec::new());
        }
        Ok(())
    }

    /// Feeds the reader of a possible zip archive; a file that is not one becomes opaque.
    fn read_members(&mut self, bytes: &[u8]) -> Result<()> {
        let opaque = self.opaque();
        let State::Zip(mut reader) = std::mem::replace(&mut self.state, opaque) else { return Ok(()) };
        reader.feed(bytes)?;
        if reader.wants().is_some() {
            self.state = State::Zip(reader);
        } else if let Some(layout) = reader.finish() {
            self.state = State::Done(layout, Vec::new());
        }
        Ok(())
    }

    /// The final state for a file of no known kind: one region of bytes.
    fn opaque(&self) -> State {
        State::Done(Layout::of_tensor(Kind::Bytes, Dtype::U8, &[self.file_length], self.file_length), Vec::new())
    }
}

impl Incremental for LayoutReader {
    fn wants(&self) -> Option<Wanted> {
        match &self.state {
            State::Start(_) => Some(0..self.file_length.min(FIRST_READ)),
            State::Safetensors(reader) => reader.wants(),
            State::Gguf(reader) => reader.wants(),
            State::Onnx(walker) => walker.wants(),
            State::Zip(reader) => reader.wants(),
            State::Done(..) => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Start(accept) => {
                let accept = *accept;
                self.start(accept, bytes)
            }
            State::Safetensors(reader) => reader.feed(bytes),
            State::Gguf(reader) => reader.feed(bytes),
            State::Onnx(_) => self.walk(bytes),
            State::Zip(_) => self.read_members(bytes),
            State::Done(..) => Ok(()),
        }
    }
}

/// The kind of a file whose first bytes are `head`.
fn kind_of(head: &[u8]) -> Kind {
    // GGUF is tested first: with 123 tensors, byte 8 of its header is `{`, as in safetensors.
    if head.starts_with(gguf::MAGIC) {
        Kind::Gguf
    } else if sniff::looks_like_safetensors(head) {
        Kind::Safetensors
    } else if onnx::may_begin(head) || zip::may_begin(head) {
        Kind::Places
    } else {
        Kind::Bytes
    }
}
