//! The synchronous host of a [`Job`]: it reads inputs when the job asks for them, and writes the
//! output in order.

use std::io::{self, Write};

use crate::error::Error;
use crate::io::{Incremental, Inputs, Read, ReadAt, Source};
use crate::job::Job;
use crate::layout::Layout;
use crate::layout::graph::GraphReader;
use crate::layout::reader::{Accept, LayoutReader};
use crate::parallel::Runner;

/// The reason why [`drive`] ended early.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The job failed.
    #[error("{0}")]
    Job(#[from] Error),
    /// An input could not be read.
    #[error("{1}")]
    Read(Source, #[source] io::Error),
    /// The output could not be written.
    #[error("{0}")]
    Write(#[source] io::Error),
}

/// The inputs of a job, by their roles. Inputs that the job never asks for may be left out.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The files of the base model.
    pub base: &'a [&'a dyn ReadAt],
    /// The `.onnx` files, in the order in which
    /// [`Compress::with_graphs`](crate::Compress::with_graphs) got their lengths.
    pub graphs: &'a [&'a dyn ReadAt],
    /// A `.bitx` archive.
    pub delta: Option<&'a dyn ReadAt>,
    /// The model to compress.
    pub target: Option<&'a dyn ReadAt>,
}

impl Sources<'_> {
    /// Reads a range into `buffer`, which must have the range's length.
    ///
    /// # Errors
    /// A failed read; `InvalidArgument` for an input that was left out.
    pub fn fill(&self, read: Read, buffer: &mut [u8]) -> Result<(), DriveError> {
        let source = match read.source {
            Source::Base(file) => self.base.get(file).copied(),
            Source::Graph(file) => self.graphs.get(file).copied(),
            Source::Delta => self.delta,
            Source::Target => self.target,
        };
        let source = source
            .ok_or_else(|| Error::invalid_argument("the job needs an input that was left out").input(read.source))?;
        source.read_at(read.offset, buffer).map_err(|e| DriveError::Read(read.source, e))
    }
}

/// Reads the layout of a file of any kind. A file that breaks a rule of its kind is one region of
/// bytes, and the layout has that [fault](Layout::fault).
///
/// # Errors
/// A failed read.
pub fn layout(file: &dyn ReadAt) -> Result<Layout, DriveError> {
    let mut reader = LayoutReader::new(file.len(), Accept::Any);
    parse(&mut reader, file, Source::Target)?;
    Ok(reader.finish().0)
}

/// Tells whether `graph`, an `.onnx` file or the JSON of shards, describes a file of external
/// data with the name `name` and `length` bytes.
///
/// # Errors
/// `Corrupt` if the graph names that file, but places tensors where they cannot be; a failed read.
pub fn describes(graph: &dyn ReadAt, name: &str, length: u64) -> Result<bool, DriveError> {
    let mut reader = GraphReader::new(graph.len());
    parse(&mut reader, graph, Source::Graph(0))?;
    let graph = reader.graph();
    let layout = graph.named(name).map(|location| graph.layout(location, length)).transpose();
    Ok(layout.map_err(|e| e.input(Source::Graph(0)))?.is_some())
}

/// Feeds a parser the ranges of `file` that it wants. A failed read is reported as one of `source`.
fn parse(parser: &mut dyn Incremental, file: &dyn ReadAt, source: Source) -> Result<(), DriveError> {
    let mut buffer = Vec::new();
    while let Some(range) = parser.wants() {
        buffer.resize((range.end - range.start) as usize, 0);
        file.read_at(range.start, &mut buffer).map_err(|e| DriveError::Read(source, e))?;
        parser.feed(&buffer)?;
    }
    Ok(())
}

/// Feeds `job` until it is open.
///
/// # Errors
/// A fault in the header of an input; a failed read.
pub fn open(job: &mut Job, sources: &Sources<'_>) -> Result<(), DriveError> {
    let mut buffer = Vec::new();
    while let Some(read) = job.wants() {
        buffer.resize(read.length as usize, 0);
        sources.fill(read, &mut buffer)?;
        job.feed(&buffer)?;
    }
    Ok(())
}

/// Feeds `job` from inputs in memory until it is open.
///
/// # Errors
/// A fault in the header of an input.
pub fn open_whole(job: &mut Job, inputs: &Inputs) -> Result<(), Error> {
    while let Some(read) = job.wants() {
        job.feed(inputs.slice(read.source, read.offset..read.offset + read.length)?)?;
    }
    Ok(())
}

/// Reads the ranges that `window` needs into `inputs`.
///
/// # Errors
/// A failed read; `InvalidArgument` for a job that is not open, or for an input that was left out.
pub fn fetch(job: &Job, window: usize, sources: &Sources<'_>, inputs: &mut Inputs) -> Result<(), DriveError> {
    inputs.prepare(job.reads(window)?);
    inputs.iter_mut().try_for_each(|(read, buffer)| sources.fill(read, buffer))
}

/// Runs every window of an open `job` and writes the output. After each window, it calls `progress`
/// with the [bytes done](Job::progress).
///
/// # Errors
/// The first failure. `output` then holds a prefix of the output, which the caller must discard.
pub fn drive(
    job: &mut Job,
    sources: &Sources<'_>,
    runner: &dyn Runner,
    output: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DriveError> {
    let (mut inputs, mut bytes) = (Inputs::default(), Vec::new());
    for window in 0..job.windows()? {
        fetch(job, window, sources, &mut inputs)?;
        job.run(window, &inputs, runner, &mut bytes)?;
        output.write_all(&bytes).map_err(DriveError::Write)?;
        progress(job.progress(window + 1)?);
    }
    Ok(())
}

/// Runs every window of an open `job` over inputs in memory, which are not copied, and writes the
/// output. It also checks the archive of a [shared](crate::Restore::shared) restore.
///
/// # Errors
/// The first failure. `output` then holds a prefix of the output, which the caller must discard.
pub fn drive_whole(
    job: &mut Job,
    inputs: &Inputs,
    runner: &dyn Runner,
    output: &mut dyn Write,
) -> Result<(), DriveError> {
    let mut bytes = Vec::new();
    for window in 0..job.windows()? {
        job.run(window, inputs, runner, &mut bytes)?;
        job.check(window, inputs)?;
        output.write_all(&bytes).map_err(DriveError::Write)?;
    }
    Ok(())
}
