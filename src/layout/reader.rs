//! Reads the layout of a file of any kind.

use super::{Dtype, Kind, Layout, gguf, onnx, safetensors, sniff};
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};

/// Bytes that tell the kind of a file, and usually hold all of its header.
const FIRST_READ: u64 = 64 * 1024;

/// Which kinds of file are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accept {
    /// This one and nothing else; any file can be taken for bytes.
    Only(Kind),
    /// Every known layout, and any other file as one region of bytes.
    Any,
}

/// A parser of whichever layout a file has.
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
    Done(Layout, Vec<u8>),
}

impl LayoutReader {
    pub(crate) fn new(file_length: u64, accept: Accept) -> Self {
        let state = match accept {
            // Nothing in it has to be read.
            Accept::Only(Kind::Places) => {
                State::Done(Layout { kind: Kind::Places, file_length, ..Layout::default() }, Vec::new())
            }
            accept => State::Start(accept),
        };
        Self { file_length, state }
    }

    /// The layout and the header's bytes, once nothing more is wanted.
    pub(crate) fn finish(self) -> (Layout, Vec<u8>) {
        match self.state {
            State::Safetensors(reader) => reader.finish(),
            State::Gguf(reader) => reader.finish(),
            State::Done(layout, header) => (layout, header),
            State::Start(_) | State::Onnx(_) => (Layout::default(), Vec::new()),
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

    /// Goes on through what may be an ONNX model.
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

    /// A file of no known kind: one region of bytes.
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
            State::Done(..) => Ok(()),
        }
    }
}

/// The kind of a file that begins so.
fn kind_of(head: &[u8]) -> Kind {
    // GGUF first: a header with as many tensors as `{` is could be taken for safetensors.
    if head.starts_with(gguf::MAGIC) {
        Kind::Gguf
    } else if sniff::looks_like_safetensors(head) {
        Kind::Safetensors
    } else if onnx::may_begin(head) {
        Kind::Places
    } else {
        Kind::Bytes
    }
}
