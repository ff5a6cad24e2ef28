//! Jobs that compress one tensor, or other bytes, for stores that keep tensors apart.

use std::collections::BTreeMap;

use super::survey::{Findings, Survey};
use super::{Compress, OpenCompress, Step, v2};
use crate::chunk::Effort;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::layout::{Dtype, Kind, Layout};
use crate::plan::BaseSet;
use crate::window;

impl Compress {
    /// Creates an open job that compresses one tensor, alone or against a base of the same dtype
    /// and shape. Both inputs hold the bytes of the tensor and nothing else, for stores that keep
    /// tensors apart. Any [`Restore`](crate::Restore) with the same base returns the target.
    ///
    /// # Errors
    /// `InvalidArgument` for a shape that is not a whole number of bytes, or has 2^64 bytes or
    /// more.
    pub fn tensor(dtype: Dtype, shape: &[u64], with_base: bool, effort: Effort) -> Result<Job> {
        let layout = tensor(dtype, shape)?;
        let bases = BaseSet::new(if with_base { vec![layout.clone()] } else { Vec::new() });
        let findings = Findings::by_name(layout, bases);
        let plan = v2::Compress::new(findings, effort, window::COMPRESSED, false, &BTreeMap::new())?;
        Ok(Job::open(Box::new(plan)))
    }

    /// Creates a job that compresses one tensor against a base of another dtype or shape, as
    /// [`tensor`](Self::tensor) does. The job reads a part of both inputs before it is open, and
    /// takes the base cast, dequantised, transposed, or with rows added, removed or moved. If the
    /// weights of both are known to be `in_order`, it takes them so.
    ///
    /// # Errors
    /// Those of [`tensor`](Self::tensor).
    pub fn tensor_from(target: (Dtype, &[u64]), base: (Dtype, &[u64]), in_order: bool, effort: Effort) -> Result<Job> {
        let (target, mut base) = (tensor(target.0, target.1)?, tensor(base.0, base.1)?);
        // Tensors of one name have their rows in the same order, unless their numbers differ.
        if !in_order {
            base.regions.iter_mut().for_each(|region| "base".clone_into(&mut region.name));
        }
        Ok(surveyed(target, base, effort))
    }

    /// Creates a job that compresses bytes that are no tensor against other bytes, which have parts
    /// in common with them. Lengths are in bytes.
    pub fn bytes_from(length: u64, base_length: u64, effort: Effort) -> Job {
        let layout = |length| Layout::of_tensor(Kind::Bytes, Dtype::U8, &[length], length);
        surveyed(layout(length), layout(base_length), effort)
    }
}

fn tensor(dtype: Dtype, shape: &[u64]) -> Result<Layout> {
    let length = dtype.tensor_bytes(shape).ok_or_else(|| {
        Error::invalid_argument("the shape is not a whole number of bytes of its dtype, or too large")
    })?;
    Ok(Layout::of_tensor(Kind::Places, dtype, shape, length))
}

/// A job that surveys the content of both inputs first.
fn surveyed(target: Layout, base: Layout, effort: Effort) -> Job {
    let step = Step::Survey(Box::new(Survey::new(target, BaseSet::new(vec![base]), Vec::new())));
    let format = super::Format::V2 { effort };
    Job::opening(OpenCompress {
        format,
        step,
        only_used: false,
        adapters: Vec::new(),
        digests: BTreeMap::new(),
        window: window::COMPRESSED,
        warnings: Vec::new(),
    })
}
