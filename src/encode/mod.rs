//! Compressing: base and target in, an archive out.

mod casts;
mod graphs;
mod survey;
mod v1;
mod v2;

pub use crate::chunk::Effort;
use crate::entropy::zstd;
use crate::error::{Error, Result};
use crate::io::{Incremental, Read, Source};
use crate::job::{Opening, Plan, State, job_by_state};
use crate::layout::reader::{Accept, LayoutReader};
use crate::layout::{Dtype, Kind, Layout};
use crate::plan::BaseSet;
use casts::Casts;
use graphs::Graphs;
use survey::Survey;

/// The format of the archive, with its knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// BITXv001, which the reference command line reads: safetensors against one safetensors base.
    V1 {
        /// zstd level, one of [`zstd::LEVELS`].
        level: i32,
    },
    /// BITXv002.
    V2 {
        /// How hard to try.
        effort: Effort,
    },
}

impl Default for Format {
    fn default() -> Self {
        Self::V2 { effort: Effort::Default }
    }
}

/// A [`Job`](crate::Job) that compresses a target against a base.
#[derive(Debug)]
pub struct Compress {
    state: State<OpenCompress>,
}

impl Compress {
    /// A job over the base's files and a target of these lengths, in bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for a level that does not exist.
    pub fn new(base_lengths: &[u64], target_length: u64, format: Format) -> Result<Self> {
        let accept = match format {
            Format::V1 { level } => {
                zstd::check_level(level)?;
                Accept::Only(Kind::Safetensors)
            }
            Format::V2 { .. } => Accept::ANY,
        };
        let target = LayoutReader::new(target_length, accept);
        let bases = base_lengths.iter().map(|&length| LayoutReader::new(length, accept)).collect();
        let step = Step::Layouts(Box::new(Layouts { target, bases, graphs: Graphs::default() }));
        Ok(Self { state: State::Opening(OpenCompress { format, step }) })
    }

    /// Takes `.onnx` files of these lengths, in bytes, that tell what is in external data: the base's and the target's, or
    /// one that does for both. They are inputs of this job only; archives and whoever restores know nothing of them.
    ///
    /// They describe files that have no layout of their own. A graph's external data may lie in several files; which one a
    /// file is follows from `names`, those of the base's files and, behind them, of the target. Without a name that
    /// the graph knows it is the only one.
    ///
    /// # Errors
    /// `InvalidArgument` for more than two, and for format v1. When the job is fed: `Format` for a graph without external
    /// data, `InvalidArgument` where nothing tells which data a file is, `Corrupt` for tensors that cannot be where the
    /// graph says.
    pub fn with_graphs(mut self, lengths: &[u64], names: Vec<String>) -> Result<Self> {
        match &mut self.state {
            State::Opening(OpenCompress { format: Format::V2 { .. }, step: Step::Layouts(layouts) })
                if lengths.len() <= 2 =>
            {
                layouts.graphs = Graphs::new(lengths, names);
                Ok(self)
            }
            _ => Err(Error::invalid_argument("graphs are one or two, for format v2")),
        }
    }

    /// A job over one tensor, alone or with its counterpart of the same dtype and shape as its base. Both are files that
    /// hold a tensor's bytes and nothing else; for formats that keep tensors apart. Any [`Restore`](crate::Restore)
    /// with such a base gives the target back.
    ///
    /// # Errors
    /// `InvalidArgument` for a shape that is no whole number of bytes, or of more than 2^64.
    pub fn tensor(dtype: Dtype, shape: &[u64], with_base: bool, effort: Effort) -> Result<Self> {
        let length =
            dtype.tensor_bytes(shape).ok_or_else(|| Error::invalid_argument("the shape does not fit the dtype"))?;
        let layout = || Layout::of_tensor(Kind::Places, dtype, shape, length);
        let bases = BaseSet::new(if with_base { vec![layout()] } else { Vec::new() });
        let findings = Survey::new(layout(), bases).finish();
        Ok(Self { state: State::Ready(Box::new(v2::Compress::new(findings, effort)?)) })
    }
}

job_by_state!(Compress);

/// The layouts of all inputs first, then for v2 a survey of what pairs by content.
#[derive(Debug)]
struct OpenCompress {
    format: Format,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Layouts(Box<Layouts>),
    Casts(Box<Casts>),
    Survey(Box<Survey>),
    V1(Box<v1::Compress>),
    Failed,
}

/// What reads the layouts of the inputs.
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
    /// What follows once every layout is known.
    fn after_layouts(&self, Layouts { target, bases, graphs }: Layouts) -> Result<Step> {
        let (mut target, header) = target.finish();
        let mut bases: Vec<Layout> = bases.into_iter().map(|reader| reader.finish().0).collect();
        graphs.describe(&mut bases, &mut target)?;
        let bases = BaseSet::new(bases);
        match self.format {
            Format::V1 { level } => Ok(Step::V1(Box::new(v1::Compress::new(target, header, &bases, level)?))),
            Format::V2 { .. } => Ok(after_casts(Box::new(Casts::new(target, bases)))),
        }
    }
}

/// What follows once it is known which tensors are casts.
fn after_casts(casts: Box<Casts>) -> Step {
    if casts.wants().is_some() {
        return Step::Casts(casts);
    }
    let (target, bases) = casts.finish();
    Step::Survey(Box::new(Survey::new(target, bases)))
}

impl Opening for OpenCompress {
    fn wants(&self) -> Option<Read> {
        match &self.step {
            Step::Layouts(layouts) => layouts.wants(),
            Step::Casts(casts) => casts.wants(),
            Step::Survey(survey) => survey.wants(),
            Step::V1(_) | Step::Failed => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.step = match std::mem::replace(&mut self.step, Step::Failed) {
            Step::Layouts(mut layouts) => {
                layouts.feed(bytes)?;
                if layouts.wants().is_some() { Step::Layouts(layouts) } else { self.after_layouts(*layouts)? }
            }
            Step::Casts(mut casts) => {
                casts.feed(bytes);
                after_casts(casts)
            }
            Step::Survey(mut survey) => {
                survey.feed(bytes);
                Step::Survey(survey)
            }
            other => other,
        };
        Ok(())
    }

    fn plan(self) -> Result<Box<dyn Plan>> {
        match (self.step, self.format) {
            (Step::V1(plan), _) => Ok(plan),
            (Step::Survey(survey), Format::V2 { effort }) => Ok(Box::new(v2::Compress::new(survey.finish(), effort)?)),
            _ => Err(Error::invalid_argument("the job failed before")),
        }
    }
}
