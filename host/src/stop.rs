//! Work that its caller may stop: inputs, runners and writers that ask before each step.

use std::io::{self, Write};

use bitx::drive::Sources;
use bitx::io::ReadAt;
use bitx::parallel::Runner;

/// A wish to stop, which another thread may have at any time.
pub trait Stop: Sync {
    /// Returns true once the work is to stop.
    fn is_stopped(&self) -> bool;

    /// Fails if the work is to stop.
    ///
    /// # Errors
    /// An error of the kind `Other`.
    fn check(&self) -> io::Result<()> {
        if self.is_stopped() { Err(io::Error::other("the work was stopped")) } else { Ok(()) }
    }
}

/// An input or a runner that fails or idles once the work is to stop.
#[derive(Clone, Copy)]
pub struct Stoppable<'a, T: ?Sized> {
    /// The input or the runner.
    pub inner: &'a T,
    /// The wish to stop.
    pub stop: &'a dyn Stop,
}

impl ReadAt for Stoppable<'_, dyn ReadAt + '_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.stop.check()?;
        self.inner.read_at(offset, buffer)
    }
}

impl Runner for Stoppable<'_, dyn Runner + '_> {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.inner.run(count, &|i| {
            if !self.stop.is_stopped() {
                task(i);
            }
        });
    }

    fn threads(&self) -> usize {
        self.inner.threads()
    }
}

/// A writer that fails once the work is to stop.
pub struct StoppableWriter<'a> {
    /// The writer.
    pub inner: &'a mut (dyn Write + Send),
    /// The wish to stop.
    pub stop: &'a dyn Stop,
}

impl Write for StoppableWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Calls `action` with the files of `sources`, which fail once the work is to stop.
pub fn stoppable<R>(sources: &Sources<'_>, stop: &dyn Stop, action: impl FnOnce(&Sources<'_>) -> R) -> R {
    let file = |inner| Stoppable::<dyn ReadAt> { inner, stop };
    let base: Vec<_> = sources.base.iter().copied().map(file).collect();
    let graphs: Vec<_> = sources.graphs.iter().copied().map(file).collect();
    let (delta, target) = (sources.delta.map(file), sources.target.map(file));
    let base: Vec<&dyn ReadAt> = base.iter().map(|file| file as &dyn ReadAt).collect();
    let graphs: Vec<&dyn ReadAt> = graphs.iter().map(|file| file as &dyn ReadAt).collect();
    action(&Sources {
        base: &base,
        graphs: &graphs,
        delta: delta.as_ref().map(|file| file as &dyn ReadAt),
        target: target.as_ref().map(|file| file as &dyn ReadAt),
    })
}
