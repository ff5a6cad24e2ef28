//! Inputs: files by path, arrays in memory, file objects of Python, and tensors as one file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bitx::io::ReadAt;
use bitx_host::InputFile;
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::memory::Memory;

/// An input of the codec, with the name that messages give it.
#[pyclass(frozen, module = "bitx._native")]
#[derive(Clone)]
pub struct Input {
    pub label: String,
    /// The path, if the input has one.
    pub file: Option<String>,
    pub source: Arc<Source>,
}

/// The bytes of an input.
pub enum Source {
    File(InputFile),
    Memory(Memory),
    /// A function of Python that takes an offset and a length and returns bytes.
    Callback {
        read: Py<PyAny>,
        length: u64,
    },
    Tensors(Tensors),
}

#[pymethods]
impl Input {
    /// Opens the file at `path`. A watched file may be read more than once.
    #[staticmethod]
    fn path(py: Python<'_>, path: PathBuf, watched: bool) -> PyResult<Self> {
        let label = path.display().to_string();
        let opened = py.detach(|| InputFile::open(&path));
        let opened = opened.map_err(|error| Fault::io(error).of(&label, Some(&label)))?;
        let source = Source::File(if watched { opened.watched() } else { opened });
        Ok(Self { file: Some(label.clone()), label, source: Arc::new(source) })
    }

    /// Takes an array of bytes.
    #[staticmethod]
    fn memory(array: &Bound<'_, PyAny>, label: String) -> PyResult<Self> {
        Ok(Self { label, file: None, source: Arc::new(Source::Memory(Memory::of(array)?)) })
    }

    /// Takes a function that reads `length` bytes by position.
    #[staticmethod]
    fn callback(read: Py<PyAny>, length: u64, label: String, file: Option<String>) -> Self {
        Self { label, file, source: Arc::new(Source::Callback { read, length }) }
    }

    /// Takes the header of a safetensors file, and arrays with the bytes of its tensors.
    #[staticmethod]
    fn tensors(header: Vec<u8>, arrays: Vec<Bound<'_, PyAny>>, label: String) -> PyResult<Self> {
        let parts = arrays.iter().map(Memory::of).collect::<PyResult<_>>()?;
        Ok(Self { label, file: None, source: Arc::new(Source::Tensors(Tensors::new(header, parts))) })
    }
}

impl Input {
    /// Checks that no other program has changed the file.
    pub fn check_unchanged(&self) -> Result<(), Fault> {
        match self.source.as_ref() {
            Source::File(file) => file.check_unchanged().map_err(|error| self.named(Fault::io(error))),
            _ => Ok(()),
        }
    }

    /// Returns true if the bytes are in memory.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.source.as_ref(), Source::Memory(_) | Source::Tensors(_))
    }

    /// Adds the input to a fault.
    pub fn named(&self, fault: Fault) -> Fault {
        fault.of(&self.label, self.file.as_deref())
    }
}

impl ReadAt for Source {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.len(),
            Self::Memory(memory) => memory.len(),
            Self::Callback { length, .. } => *length,
            Self::Tensors(tensors) => tensors.len(),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_at(offset, buffer),
            Self::Memory(memory) => memory.read_at(offset, buffer),
            Self::Callback { read, .. } => call(read, offset, buffer),
            Self::Tensors(tensors) => tensors.read_at(offset, buffer),
        }
    }
}

fn call(read: &Py<PyAny>, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    Python::attach(|py| {
        let bytes = read.call1(py, (offset, buffer.len()))?;
        let bytes: &[u8] = bytes.extract(py).map_err(PyErr::from)?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(bytes);
        Ok(())
    })
}

/// Tensors in memory as one safetensors file: a header, and the tensors' bytes behind it.
pub struct Tensors {
    header: Vec<u8>,
    parts: Vec<Memory>,
    /// The offset of each part in the file, and behind them the file's length.
    offsets: Vec<u64>,
}

impl Tensors {
    fn new(header: Vec<u8>, parts: Vec<Memory>) -> Self {
        let mut offsets = vec![header.len() as u64];
        parts.iter().for_each(|part| offsets.push(offsets[offsets.len() - 1] + part.len()));
        Self { header, parts, offsets }
    }

    /// The bytes before the tensors.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Returns true if all tensors may be written to.
    pub fn is_writable(&self) -> bool {
        self.parts.iter().all(Memory::is_writable)
    }

    /// Replaces the bytes of tensors at `offset` in the file.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let header = (self.offsets[0].saturating_sub(offset) as usize).min(bytes.len());
        let (from, mut bytes) = (offset + header as u64, &bytes[header..]);
        self.each_part(from, bytes.len(), |part, at, length| {
            let (own, rest) = bytes.split_at(length);
            bytes = rest;
            part.write_at(at, own)
        })
    }

    /// Returns a writer of words.
    pub fn words(&self) -> Words<'_> {
        Words { tensors: self, part: 0 }
    }

    /// Returns the number of the part that holds the byte at `offset`, or of the first part for a
    /// byte of the header.
    fn part_at(&self, offset: u64) -> usize {
        self.offsets.partition_point(|&start| start <= offset).saturating_sub(1)
    }

    /// Calls `action` with each part that holds some of the `length` bytes at `offset`, with the
    /// place in the part and the number of bytes there.
    fn each_part(
        &self,
        mut offset: u64,
        mut length: usize,
        mut action: impl FnMut(&Memory, u64, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut number = self.part_at(offset);
        while length > 0 {
            let part = self.parts.get(number).ok_or(io::ErrorKind::UnexpectedEof)?;
            let at = offset - self.offsets[number];
            let here = length.min((part.len() - at) as usize);
            action(part, at, here)?;
            (offset, length, number) = (offset + here as u64, length - here, number + 1);
        }
        Ok(())
    }
}

/// A writer of words in tensors. It keeps the number of the part that it wrote last, since words
/// that follow each other are mostly in one part.
pub struct Words<'a> {
    tensors: &'a Tensors,
    part: usize,
}

impl Words<'_> {
    /// Replaces the word at `offset` in the file.
    #[inline]
    pub fn write_word<const N: usize>(&mut self, offset: u64, word: [u8; N]) -> io::Result<()> {
        match self.place(offset, N as u64) {
            Some((part, at)) => part.write_at(at, &word),
            None => self.write_at(offset, &word),
        }
    }

    /// Replaces bytes at `offset` in the file, which may be those of several parts.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.part = self.tensors.part_at(offset);
        self.tensors.write_at(offset, bytes)
    }

    /// Returns the part that was written last and the place of `offset` in it, if it holds
    /// `length` bytes from there on.
    fn place(&self, offset: u64, length: u64) -> Option<(&Memory, u64)> {
        let (start, end) = (*self.tensors.offsets.get(self.part)?, *self.tensors.offsets.get(self.part + 1)?);
        let at = offset.checked_sub(start).filter(|at| at + length <= end - start)?;
        Some((&self.tensors.parts[self.part], at))
    }
}

impl ReadAt for Tensors {
    fn len(&self) -> u64 {
        self.offsets[self.offsets.len() - 1]
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let header = self.header.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let (own, mut rest) = buffer.split_at_mut(header.len().min(buffer.len()));
        own.copy_from_slice(&header[..own.len()]);
        let (from, length) = (offset + own.len() as u64, rest.len());
        self.each_part(from, length, |part, at, length| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(length);
            rest = others;
            part.read_at(at, own)
        })
    }
}
