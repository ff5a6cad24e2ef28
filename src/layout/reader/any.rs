//! Reads the layout of a file of any known kind, or of an opaque one.

use std::fmt;

use super::kind::opaque;
use super::{FIRST_READ, KindReader};
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};
use crate::layout::{Kind, Layout, floats, ggml, gguf, msgpack, npy, onnx, sniff, tar, tflite, torch, zip};

/// The kinds of file that a reader accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accept {
    /// Only this kind. [`Kind::Bytes`] fits any file but an obvious download mistake.
    Only(Kind),
    /// Every known layout. Any other file, and a file that breaks the rules of its layout, is one
    /// region of bytes.
    Any,
    /// The same for a base file, except that a download mistake is refused: readers of archives
    /// refuse it, too.
    AnyBase,
}

/// An incremental parser that picks the layout by the file's first bytes.
#[derive(Debug)]
pub(crate) struct LayoutReader {
    file_length: u64,
    accept: Accept,
    /// The number of files that this one is in.
    level: u8,
    /// The first bytes may be those of a layout by chance: floats may be in a file without it.
    may_hold_floats: bool,
    /// The rule that a layout of places has and the file breaks.
    fault: Option<Error>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The kind is not known yet.
    Start,
    Known(KindReader),
    Places(Box<dyn PlacesReader>),
    Done(Layout),
}

/// A reader of a file that has a layout of [`Kind::Places`], or else is one of bytes.
trait PlacesReader: Incremental + fmt::Debug + Send + Sync {
    /// The layout, if the file has one.
    fn layout(self: Box<Self>) -> Option<Layout>;
}

impl PlacesReader for floats::Finder {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for ggml::TensorReader {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for onnx::Walker {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for msgpack::Walker {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for torch::stream::StreamReader {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for tar::TarReader {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for tflite::Walker {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl PlacesReader for zip::ArchiveReader {
    fn layout(self: Box<Self>) -> Option<Layout> {
        self.finish()
    }
}

impl LayoutReader {
    pub(crate) fn new(file_length: u64, accept: Accept) -> Self {
        let state = match accept {
            Accept::Only(kind) => State::Known(KindReader::new(file_length, kind)),
            Accept::Any | Accept::AnyBase => State::Start,
        };
        Self { file_length, accept, level: 0, may_hold_floats: false, fault: None, state }
    }

    /// Creates a reader of any file of that length that is in `level` others.
    pub(crate) fn inside(file_length: u64, level: u8) -> Self {
        Self { level, ..Self::new(file_length, Accept::Any) }
    }

    /// The layout and the bytes of the header, once the reader wants nothing more.
    pub(crate) fn finish(self) -> (Layout, Vec<u8>) {
        match self.state {
            State::Known(reader) => reader.finish(),
            State::Done(layout) => (Layout { fault: layout.fault.or(self.fault), ..layout }, Vec::new()),
            State::Start | State::Places(_) => (Layout::default(), Vec::new()),
        }
    }

    /// Picks the reader by the file's first bytes.
    fn start(&mut self, head: &[u8]) -> Result<()> {
        match kind_of(head) {
            // The end of an archive is read first.
            Kind::Places if zip::may_begin(head) => {
                self.may_hold_floats = !zip::begins(head) && floats::may_be_in(head);
                self.state = State::Places(Box::new(zip::ArchiveReader::new(self.file_length, self.level)));
                Ok(())
            }
            Kind::Places => {
                self.may_hold_floats = floats::may_be_in(head);
                self.state = State::Places(if tflite::may_begin(head) {
                    Box::new(tflite::Walker::new(self.file_length))
                } else if torch::stream::may_begin(head) {
                    Box::new(torch::stream::StreamReader::new(self.file_length))
                } else if tar::may_begin(head) {
                    Box::new(tar::TarReader::new(self.file_length, self.level))
                } else if ggml::may_begin(head) {
                    Box::new(ggml::TensorReader::new(self.file_length))
                } else if msgpack::may_begin(head) {
                    Box::new(msgpack::Walker::new(self.file_length))
                } else {
                    Box::new(onnx::Walker::of_model(self.file_length))
                });
                self.read_places(head)
            }
            kind => {
                let mut reader = KindReader::new(self.file_length, kind);
                let read = reader.feed(head);
                self.state = State::Known(reader);
                if kind != Kind::Bytes || read.is_err() {
                    return read;
                }
                if let Some(layout) = npy::layout(head, self.file_length) {
                    self.state = State::Done(layout);
                } else if floats::may_be_in(head) {
                    self.state = State::Places(Box::new(floats::Finder::of_file(self.file_length)));
                }
                Ok(())
            }
        }
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Start => self.start(bytes),
            State::Known(reader) => reader.feed(bytes),
            State::Places(_) => self.read_places(bytes),
            State::Done(..) => Ok(()),
        }
    }

    /// Tells whether a file that breaks a rule is kept as bytes.
    fn keeps(&self) -> bool {
        match (self.accept, &self.state) {
            (Accept::Only(_), _) => false,
            (Accept::Any, _) => true,
            (Accept::AnyBase, State::Known(reader)) => reader.kind() != Kind::Bytes,
            (Accept::AnyBase, _) => true,
        }
    }

    /// Feeds the reader of a possible layout of places; a file without one becomes opaque.
    fn read_places(&mut self, bytes: &[u8]) -> Result<()> {
        let opaque = State::Done(opaque(self.file_length, None));
        let State::Places(mut reader) = std::mem::replace(&mut self.state, opaque) else { return Ok(()) };
        let read = reader.feed(bytes);
        if read.is_ok() && reader.wants().is_some() {
            self.state = State::Places(reader);
        } else if let Some(layout) = reader.layout().filter(|_| read.is_ok()) {
            self.state = State::Done(layout);
        } else if std::mem::take(&mut self.may_hold_floats) {
            self.state = State::Places(Box::new(floats::Finder::of_file(self.file_length)));
        }
        self.fault = self.fault.take().or(read.err());
        Ok(())
    }
}

impl Incremental for LayoutReader {
    fn wants(&self) -> Option<Wanted> {
        match &self.state {
            State::Start => Some(0..self.file_length.min(FIRST_READ)),
            State::Known(reader) => reader.wants(),
            State::Places(reader) => reader.wants(),
            State::Done(..) => None,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let done = self.parse(bytes);
        match done {
            Err(fault) if self.keeps() => {
                self.state = State::Done(opaque(self.file_length, Some(fault)));
                Ok(())
            }
            done => done,
        }
    }
}

/// Tell of each layout of places whether a file may begin so.
const PLACES: [fn(&[u8]) -> bool; 7] = [
    onnx::may_begin,
    zip::may_begin,
    tar::may_begin,
    tflite::may_begin,
    torch::stream::may_begin,
    ggml::may_begin,
    msgpack::may_begin,
];

/// The kind of a file whose first bytes are `head`.
fn kind_of(head: &[u8]) -> Kind {
    // GGUF is tested first: with 123 tensors, byte 8 of its header is `{`, as in safetensors.
    if head.starts_with(gguf::MAGIC) {
        Kind::Gguf
    } else if sniff::looks_like_safetensors(head) {
        Kind::Safetensors
    } else if PLACES.iter().any(|may_begin| may_begin(head)) {
        Kind::Places
    } else {
        Kind::Bytes
    }
}
