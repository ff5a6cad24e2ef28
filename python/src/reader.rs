//! The output of an archive, read tensor by tensor.

use bitx::drive;
use bitx::io::ReadAt;
use bitx_host::{Restored, Shared};
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::files::threads;
use crate::given::Given;
use crate::input::Input;
use crate::memory::Memory;
use crate::report::Content;
use crate::watch::watched;

/// The number of bytes that are read between two looks for an interrupt.
const STEP: usize = 32 << 20;

/// The restored file of an archive. It is never written: a read decodes the windows that it needs.
#[pyclass(frozen, module = "bitx._native")]
pub struct Reader {
    given: Given,
    restored: Restored,
    threads: usize,
}

/// A tensor of a restored file.
#[derive(IntoPyObject)]
struct Region {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    offset: u64,
    length: u64,
}

#[pymethods]
impl Reader {
    /// Opens `archive` over the files of `base`.
    #[new]
    #[pyo3(signature = (base, archive, *, threads))]
    fn new(
        py: Python<'_>,
        base: Vec<PyRef<'_, Input>>,
        archive: &Bound<'_, Input>,
        threads: Option<u16>,
    ) -> PyResult<Self> {
        let base: Vec<Input> = base.iter().map(|input| (**input).clone()).collect();
        let archive = archive.get().clone();
        Ok(watched(py, None, |_| Self::open(Given::restoring(base, archive)?, self::threads(threads)))??)
    }

    /// Opens the same files again, for a process that was forked: a thread that does not live on in
    /// it may have held a lock of this reader.
    fn reopen(&self) -> PyResult<Self> {
        Ok(Self::open(self.given.clone(), self.threads)?)
    }

    /// The length of the restored file in bytes.
    #[getter]
    fn length(&self) -> u64 {
        self.restored.len()
    }

    /// The content of the archive.
    fn report(&self) -> Content {
        self.restored.report().clone().into()
    }

    /// Returns the name of the file's format, the length of its header, and its tensors in the
    /// order of the file.
    fn layout(&self, py: Python<'_>) -> PyResult<(String, u64, Vec<Region>)> {
        let layout = watched(py, None, |_| drive::layout(&self.restored))?;
        let layout = layout.map_err(|error| self.given.explain(inner(error)))?;
        let kind = format!("{:?}", layout.kind).to_lowercase();
        let region = |region: bitx::layout::Region| Region {
            name: region.name,
            dtype: region.dtype.name(),
            shape: region.shape,
            offset: region.offset,
            length: region.length,
        };
        Ok((kind, layout.header_length, layout.regions.into_iter().map(region).collect()))
    }

    /// Fills `array`, of bytes, with those of the restored file from `offset` on.
    fn read(&self, py: Python<'_>, offset: u64, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let memory = Memory::of(array)?;
        let length = memory.len();
        for start in (0..length).step_by(STEP) {
            py.check_signals()?;
            py.detach(|| -> Result<(), Fault> {
                let mut bytes = vec![0; (length - start).min(STEP as u64) as usize];
                self.restored
                    .read(offset.saturating_add(start), &mut bytes)
                    .map_err(|error| self.given.explain(error))?;
                memory.write_at(start, &bytes).map_err(Fault::io)
            })?;
        }
        Ok(())
    }
}

impl Reader {
    fn open(given: Given, threads: usize) -> Result<Self, Fault> {
        let base: Vec<Shared> = given.base.iter().map(|input| input.source.clone() as Shared).collect();
        let Some(archive) = given.delta.as_ref().map(|input| input.source.clone()) else {
            return Err(Fault::new(bitx::ErrorKind::InvalidArgument, "there is no archive"));
        };
        let restored = Restored::open(base, archive, threads).map_err(|error| given.explain(error))?;
        Ok(Self { given, restored, threads })
    }
}

/// The failure of a restore below the failure to read the restored file.
fn inner(error: drive::DriveError) -> drive::DriveError {
    match error {
        drive::DriveError::Read(source, error) => match error.downcast::<drive::DriveError>() {
            Ok(error) => error,
            Err(error) => drive::DriveError::Read(source, error),
        },
        error => error,
    }
}
