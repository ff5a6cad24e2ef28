//! Compressing: base and target in, an archive out.

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
            Format::V2 { .. } => Accept::Any,
        };
        let target = LayoutReader::new(target_length, accept);
        let bases = base_lengths.iter().map(|&length| LayoutReader::new(length, accept)).collect();
        Ok(Self { state: State::Opening(OpenCompress { format, step: Step::Layouts { target, bases } }) })
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
    Layouts { target: LayoutReader, bases: Vec<LayoutReader> },
    Survey(Box<Survey>),
    V1(Box<v1::Compress>),
    Failed,
}

impl OpenCompress {
    /// What follows once every layout is known.
    fn after_layouts(&self, target: LayoutReader, bases: Vec<LayoutReader>) -> Result<Step> {
        let (target, header) = target.finish();
        let bases = BaseSet::new(bases.into_iter().map(|reader| reader.finish().0).collect());
        match self.format {
            Format::V1 { level } => Ok(Step::V1(Box::new(v1::Compress::new(target, header, &bases, level)?))),
            Format::V2 { .. } => Ok(Step::Survey(Box::new(Survey::new(target, bases)))),
        }
    }
}

impl Opening for OpenCompress {
    fn wants(&self) -> Option<Read> {
        match &self.step {
            Step::Layouts { target, bases } => {
                let target = target.wants().map(|range| Read::new(Source::Target, range));
                let mut bases = bases.iter().enumerate();
                target.or_else(|| bases.find_map(|(i, base)| Some(Read::new(Source::Base(i), base.wants()?))))
            }
            Step::Survey(survey) => survey.wants(),
            Step::V1(_) | Step::Failed => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.step = match std::mem::replace(&mut self.step, Step::Failed) {
            Step::Layouts { mut target, mut bases } => {
                if target.wants().is_some() {
                    target.feed(bytes).map_err(|e| e.input(Source::Target))?;
                } else if let Some((i, base)) = bases.iter_mut().enumerate().find(|(_, base)| base.wants().is_some()) {
                    base.feed(bytes).map_err(|e| e.input(Source::Base(i)))?;
                }
                if target.wants().is_some() || bases.iter().any(|base| base.wants().is_some()) {
                    Step::Layouts { target, bases }
                } else {
                    self.after_layouts(target, bases)?
                }
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
