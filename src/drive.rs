//! The synchronous host of a [`Job`]: inputs that can be read at once, output written in order.

use std::io::{self, Write};

use crate::error::Error;
use crate::io::{Incremental, Inputs, Read, ReadAt, Source};
use crate::job::Job;
use crate::layout::Layout;
use crate::layout::onnx::Walker;
use crate::layout::reader::{Accept, LayoutReader};
use crate::parallel::Runner;

/// Why [`drive`] ended early.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The job failed.
    #[error(transparent)]
    Job(#[from] Error),
    /// An input could not be read.
    #[error("{1}")]
    Read(Source, #[source] io::Error),
    /// The output could not be written.
    #[error("{0}")]
    Write(#[source] io::Error),
}

/// The inputs of a job, by what they are to it. Those that it never names may be left out.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The base model's files.
    pub base: &'a [&'a dyn ReadAt],
    /// `.onnx` files, as [`Compress::with_graphs`](crate::Compress::with_graphs) got their lengths.
    pub graphs: &'a [&'a dyn ReadAt],
    /// A `.bitx` archive.
    pub delta: Option<&'a dyn ReadAt>,
    /// The model to compress.
    pub target: Option<&'a dyn ReadAt>,
}

impl Sources<'_> {
    /// Reads a range into `buffer`, which has its length.
    ///
    /// # Errors
    /// A failed read, or a source that is not there.
    pub fn fill(&self, read: Read, buffer: &mut [u8]) -> Result<(), DriveError> {
        let source = match read.source {
            Source::Base(file) => self.base.get(file).copied(),
            Source::Graph(file) => self.graphs.get(file).copied(),
            Source::Delta => self.delta,
            Source::Target => self.target,
        };
        let source = source.ok_or_else(|| Error::invalid_argument("the job needs this input").input(read.source))?;
        source.read_at(read.offset, buffer).map_err(|e| DriveError::Read(read.source, e))
    }
}

/// The layout of a file of any kind.
///
/// # Errors
/// What its header is wrong about, or a failed read.
pub fn layout(file: &dyn ReadAt) -> Result<Layout, DriveError> {
    let mut reader = LayoutReader::new(file.len(), Accept::Any);
    parse(&mut reader, file, Source::Target)?;
    Ok(reader.finish().0)
}

/// Whether `graph`, an `.onnx` file, tells what is in a file of external data with that name and length.
///
/// # Errors
/// `Corrupt` where it names that file, but its tensors cannot be there; a failed read.
pub fn describes(graph: &dyn ReadAt, name: &str, length: u64) -> Result<bool, DriveError> {
    let mut walker = Walker::of_graph(graph.len());
    parse(&mut walker, graph, Source::Graph(0))?;
    let graph = walker.graph();
    let layout = graph.named(name).map(|location| graph.layout(location, length)).transpose();
    Ok(layout.map_err(|e| e.input(Source::Graph(0)))?.is_some())
}

/// Feeds a parser what it wants of a file, which errors call `source`.
fn parse(parser: &mut dyn Incremental, file: &dyn ReadAt, source: Source) -> Result<(), DriveError> {
    let mut buffer = Vec::new();
    while let Some(range) = parser.wants() {
        buffer.resize((range.end - range.start) as usize, 0);
        file.read_at(range.start, &mut buffer).map_err(|e| DriveError::Read(source, e))?;
        parser.feed(&buffer)?;
    }
    Ok(())
}

/// Feeds `job` until its plan is made.
///
/// # Errors
/// What the inputs' headers are wrong about, or a failed read.
pub fn open(job: &mut Job, sources: &Sources<'_>) -> Result<(), DriveError> {
    let mut buffer = Vec::new();
    while let Some(read) = job.wants() {
        buffer.resize(read.length as usize, 0);
        sources.fill(read, &mut buffer)?;
        job.feed(&buffer)?;
    }
    Ok(())
}

/// The same with inputs that hold all of every source.
///
/// # Errors
/// What the inputs' headers are wrong about.
pub fn open_whole(job: &mut Job, inputs: &Inputs) -> Result<(), Error> {
    while let Some(read) = job.wants() {
        job.feed(inputs.slice(read.source, read.offset..read.offset + read.length)?)?;
    }
    Ok(())
}

/// Reads what `window` needs.
///
/// # Errors
/// A failed read.
pub fn fetch(job: &Job, window: usize, sources: &Sources<'_>, inputs: &mut Inputs) -> Result<(), DriveError> {
    inputs.prepare(job.reads(window)?);
    inputs.iter_mut().try_for_each(|(read, buffer)| sources.fill(read, buffer))
}

/// Runs every window of an opened `job` and writes its output; `progress` is told the bytes done.
///
/// # Errors
/// The first failure, after which `output` holds a prefix of the output that the caller must discard.
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

/// The same with inputs that hold all of every source: nothing of them is copied. A [shared](crate::Restore::shared)
/// restore is checked, too.
///
/// # Errors
/// The first failure, after which `output` holds a prefix of the output that the caller must discard.
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
