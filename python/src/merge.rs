//! Merging a LoRA adapter into a model of one file.

use std::path::PathBuf;

use bitx::Merge;
use bitx::io::ReadAt;
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::files::{Output, threads};
use crate::given::Given;
use crate::input::Input;
use crate::report::Content;
use crate::watch::watched;

/// Merges `adapter`, whose `adapter_config.json` is `config`, into `base`.
#[pyfunction]
#[pyo3(signature = (base, adapter, config, out, *, replace, threads, progress))]
#[allow(clippy::too_many_arguments)] // the options of one function of Python
pub fn merge(
    py: Python<'_>,
    base: &Bound<'_, Input>,
    adapter: &Bound<'_, Input>,
    config: &Bound<'_, Input>,
    out: PathBuf,
    replace: bool,
    threads: Option<u16>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Content> {
    let [base, adapter, config] = [base, adapter, config].map(|input| input.get().clone());
    let output = Output { path: out, replace };
    let (report, file, output) = watched(py, progress.as_ref(), |watch| -> Result<_, Fault> {
        let text = short(&config)?;
        let lengths = [base.source.len(), adapter.source.len()];
        let merge = Merge::new(&lengths[..1], 0, lengths[1], &text).map_err(|error| config.named(error.into()))?;
        let given = Given { base: vec![base, adapter], ..Given::default() };
        let mut file = output.create(&given)?;
        let mut job = merge.job();
        given.drive(&mut job, self::threads(threads), &mut file, watch)?;
        Ok((job.report()?, file, output))
    })??;
    output.publish(file)?;
    Ok(report.into())
}

/// Reads a configuration, up to a length at which the core refuses it.
fn short(config: &Input) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; config.source.len().min(bitx_cli::LONGEST_CONFIG + 1) as usize];
    config.source.read_at(0, &mut bytes).map_err(|error| config.named(Fault::io(error)))?;
    Ok(bytes)
}
