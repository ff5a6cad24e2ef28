//! Compresses a target against a base into an archive.

mod casts;
mod companions;
mod graphs;
mod single;
mod survey;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::adapter::{Adapter, Config};
pub use crate::chunk::Effort;
use crate::entropy::zstd;
use crate::error::{Error, Result};
use crate::io::{Incremental, Read, Source};
use crate::job::{Job, Opening, Plan};
use crate::layout::reader::{Accept, LayoutReader};
use crate::layout::{Kind, Layout};
use crate::plan::BaseSet;
use crate::window;
use casts::Casts;
pub use companions::PackedSet;
use graphs::Graphs;
use survey::Survey;

/// The format of the archive, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// BITXv001, which the reference command line reads: one safetensors file against one base of
    /// that kind.
    V1 {
        /// The zstd level, one of [`Format::ZSTD_LEVELS`].
        level: i32,
    },
    /// BITXv002: any file, against any number of base files.
    V2 {
        /// The time to spend on a smaller archive.
        effort: Effort,
    },
}

impl Format {
    /// The zstd levels of format v1.
    pub const ZSTD_LEVELS: RangeInclusive<i32> = zstd::LEVELS;

    /// The default level of format v1, which is also the reference command line's.
    pub const DEFAULT_ZSTD_LEVEL: i32 = 3;
}

impl Default for Format {
    fn default() -> Self {
        Self::V2 { effort: Effort::Default }
    }
}

/// The settings of a [`Job`] that compresses a target against a base.
#[derive(Debug)]
pub struct Compress {
    base_lengths: Vec<u64>,
    target_length: u64,
    format: Format,
    graphs: Graphs,
    only_used: bool,
    /// The base files that are adapters, with their configurations.
    adapters: Vec<(usize, Config)>,
    /// The digests of base files that the host knows.
    digests: BTreeMap<usize, [u8; 32]>,
    /// Maximum number of bytes of the target in a window of v2.
    window: u64,
}

impl Compress {
    /// Prepares to compress a target against the base files. All lengths are in bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for a zstd level that does not exist.
    pub fn new(base_lengths: &[u64], target_length: u64, format: Format) -> Result<Self> {
        if let Format::V1 { level } = format {
            zstd::check_level(level)?;
        }
        Ok(Self {
            base_lengths: base_lengths.to_vec(),
            target_length,
            format,
            graphs: Graphs::default(),
            only_used: false,
            adapters: Vec::new(),
            digests: BTreeMap::new(),
            window: window::COMPRESSED,
        })
    }

    /// Leaves out of a v2 archive, and does not digest, the base files that nothing is taken from.
    /// Without a call, an archive names all base files, and each of them is read as a whole. The
    /// report tells which files are [left](crate::report::BaseReport::file).
    #[must_use]
    pub fn only_used_bases(self) -> Self {
        Self { only_used: true, ..self }
    }

    /// Tells the BLAKE3 digest of the base file `file`, which is then not computed. Programs
    /// that compare digests refuse an archive with a wrong one. Format v1 states none.
    #[must_use]
    pub fn with_base_digest(mut self, file: usize, digest: [u8; 32]) -> Self {
        self.digests.insert(file, digest);
        self
    }

    /// Limits the bytes of the target that a window of format v2 codes; the default is room for
    /// four chunks of 2 MiB. A longer chunk has a window of its own. A host with one thread has
    /// nothing to run beside a chunk, and smaller windows leave more of the inputs in its cache.
    #[must_use]
    pub fn max_window(self, bytes: u64) -> Self {
        Self { window: bytes, ..self }
    }

    /// Adds `.onnx` graphs that describe external data: the base's and the target's, or one graph
    /// that describes both. `lengths` are the lengths of these files in bytes. Only this job reads
    /// them: the archive does not contain them, and restoring does not need them.
    ///
    /// A graph describes files that have no layout of their own, and its external data may lie in
    /// several of them. For example, `model.onnx` may say that its weights are in
    /// `model.onnx_data`, at these offsets. `names` are the names of the base files and then of the
    /// target; they match files with the graph's. A file whose name the graph does not contain must
    /// be the only one that the graph describes.
    ///
    /// # Errors
    /// `InvalidArgument` for more than two graphs, and for format v1. Feeding the job fails with
    /// `Format` for a graph without external data, `InvalidArgument` if a graph describes several
    /// files and none of them has a name that it contains, and `Corrupt` for tensors that cannot be
    /// at the place that the graph states.
    pub fn with_graphs(self, lengths: &[u64], names: Vec<String>) -> Result<Self> {
        if lengths.len() > 2 || !matches!(self.format, Format::V2 { .. }) {
            return Err(Error::invalid_argument("at most two graphs are possible, and only for format v2"));
        }
        Ok(Self { graphs: Graphs::new(lengths, names), ..self })
    }

    /// Tells that the base file `file` is a LoRA adapter of PEFT, and gives its configuration, the
    /// content of `adapter_config.json`. A tensor that the adapter was merged into is then coded
    /// against the merged weights. Restoring needs the base and the adapter's file, but not the
    /// configuration.
    ///
    /// # Errors
    /// `InvalidArgument` for a file that does not exist, and for format v1. `Format`, `Corrupt` or
    /// `Unsupported` for a configuration that [cannot be merged](crate::Merge::new). Feeding the
    /// job fails if the factors [cannot be merged](crate::Merge::check).
    pub fn with_adapter(mut self, file: usize, config: &[u8]) -> Result<Self> {
        if file >= self.base_lengths.len() || !matches!(self.format, Format::V2 { .. }) {
            return Err(Error::invalid_argument("an adapter is one of the base files, and only for format v2"));
        }
        self.adapters.push((file, Config::parse(config)?));
        Ok(self)
    }

    /// Creates the job.
    pub fn job(self) -> Job {
        let (target, base) = match self.format {
            Format::V1 { .. } => (Accept::Only(Kind::Safetensors), Accept::Only(Kind::Safetensors)),
            Format::V2 { .. } => (Accept::Any, Accept::AnyBase),
        };
        let target = LayoutReader::new(self.target_length, target);
        let bases = self.base_lengths.iter().map(|&length| LayoutReader::new(length, base)).collect();
        let step = Step::Layouts(Box::new(Layouts { target, bases, graphs: self.graphs }));
        let Self { format, only_used, adapters, digests, window, .. } = self;
        Job::opening(OpenCompress { format, step, only_used, adapters, digests, window, warnings: Vec::new() })
    }
}

/// A compressing job that is not open yet. It reads the layouts of all inputs first, and then for
/// v2 looks for casts and surveys the content of regions.
#[derive(Debug)]
struct OpenCompress {
    format: Format,
    step: Step,
    /// Leaves out the base files that nothing is taken from.
    only_used: bool,
    adapters: Vec<(usize, Config)>,
    digests: BTreeMap<usize, [u8; 32]>,
    /// Maximum number of bytes of the target in a window of v2.
    window: u64,
    warnings: Vec<Error>,
}

#[derive(Debug)]
enum Step {
    Layouts(Box<Layouts>),
    Casts(Box<Casts>, Vec<(usize, Adapter)>),
    Survey(Box<Survey>),
    V1(Box<v1::Compress>),
    Failed,
}

/// The readers of the inputs' layouts.
#[derive(Debug)]
struct Layouts {
    target: LayoutReader,
    bases: Vec<LayoutReader>,
    graphs: Graphs,
}

impl Layouts {
    fn wants(&self) -> Option<Read> {
        let target = self.target.wants().map(|range| Read::new(Source::Target, range));
        let mut bases = self.bases.iter().enumerate();
        let base = || bases.find_map(|(i, base)| Some(Read::new(Source::Base(i), base.wants()?)));
        target.or_else(base).or_else(|| self.graphs.wants())
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        match self.wants().map(|read| read.source) {
            Some(Source::Target) => self.target.feed(bytes).map_err(|e| e.input(Source::Target)),
            Some(Source::Base(i)) => self.bases[i].feed(bytes).map_err(|e| e.input(Source::Base(i))),
            _ => self.graphs.feed(bytes),
        }
    }
}

impl OpenCompress {
    /// The step that follows once all layouts are known.
    fn after_layouts(&mut self, Layouts { target, bases, graphs }: Layouts) -> Result<Step> {
        let (mut target, header) = target.finish();
        let mut bases: Vec<Layout> = bases.into_iter().map(|reader| reader.finish().0).collect();
        graphs.describe(&mut bases, &mut target)?;
        self.warnings = faults(&mut target, &mut bases);
        let bases = BaseSet::new(bases);
        match self.format {
            Format::V1 { level } => Ok(Step::V1(Box::new(v1::Compress::new(target, header, &bases, level)?))),
            Format::V2 { .. } => {
                let adapter = |(file, config): &(usize, Config)| {
                    let adapter = Adapter::new(config, &bases.layouts()[*file]);
                    Ok((*file, adapter.map_err(|e| e.input(Source::Base(*file)))?))
                };
                let adapters = self.adapters.iter().map(adapter).collect::<Result<_>>()?;
                Ok(after_casts(Box::new(Casts::new(target, bases)), adapters))
            }
        }
    }
}

/// Takes the faults of the layouts, each with its input.
fn faults(target: &mut Layout, bases: &mut [Layout]) -> Vec<Error> {
    let target = target.fault.take().map(|fault| fault.input(Source::Target));
    let base = |(i, base): (usize, &mut Layout)| base.fault.take().map(|fault| fault.input(Source::Base(i)));
    target.into_iter().chain(bases.iter_mut().enumerate().filter_map(base)).collect()
}

/// The step that follows: more samples of casts, or the survey.
fn after_casts(casts: Box<Casts>, adapters: Vec<(usize, Adapter)>) -> Step {
    if casts.wants().is_some() {
        return Step::Casts(casts, adapters);
    }
    let (target, bases) = casts.finish();
    Step::Survey(Box::new(Survey::new(target, bases, adapters)))
}

impl Opening for OpenCompress {
    fn wants(&self) -> Option<Read> {
        match &self.step {
            Step::Layouts(layouts) => layouts.wants(),
            Step::Casts(casts, _) => casts.wants(),
            Step::Survey(survey) => survey.wants(),
            Step::V1(_) | Step::Failed => None,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.step = match std::mem::replace(&mut self.step, Step::Failed) {
            Step::Layouts(mut layouts) => {
                layouts.feed(bytes)?;
                if layouts.wants().is_some() { Step::Layouts(layouts) } else { self.after_layouts(*layouts)? }
            }
            Step::Casts(mut casts, adapters) => {
                casts.feed(bytes);
                after_casts(casts, adapters)
            }
            Step::Survey(mut survey) => {
                survey.feed(bytes);
                Step::Survey(survey)
            }
            other => other,
        };
        Ok(())
    }

    fn warnings(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.warnings)
    }

    fn plan(self: Box<Self>) -> Result<Box<dyn Plan>> {
        match (self.step, self.format) {
            (Step::V1(plan), _) => Ok(plan),
            (Step::Survey(survey), Format::V2 { effort }) => {
                v2::plan(survey.finish(), effort, self.window, self.only_used, &self.digests)
            }
            _ => Err(Error::invalid_argument("the job failed before")),
        }
    }
}
