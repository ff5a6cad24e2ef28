//! Work without the interpreter's lock, which an interrupt stops and which reports its progress.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use bitx::io::ReadAt;
use bitx::parallel::Runner;
use pyo3::prelude::*;

/// The time between two looks for an interrupt.
const TICK: Duration = Duration::from_millis(50);

/// The state that a worker shares with the thread that called it.
#[derive(Default)]
pub struct Watch {
    stopped: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Watch {
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// States the number of bytes to do.
    pub fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// States the number of bytes that are done.
    pub fn set_done(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Fails if the work is to stop.
    pub fn check(&self) -> io::Result<()> {
        if self.is_stopped() { Err(io::Error::other("the work was stopped")) } else { Ok(()) }
    }

    fn report(&self, py: Python<'_>, progress: Option<&Py<PyAny>>) -> PyResult<()> {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        match progress {
            Some(progress) if total > 0 => progress.call1(py, (done, total)).map(drop),
            _ => Ok(()),
        }
    }
}

/// Calls `work` on a thread of its own and without the interpreter's lock. Meanwhile, it handles
/// signals and calls `progress` with the bytes done and the bytes to do. If one of the two raises
/// an exception, the work is told to stop, and its result is dropped.
pub fn watched<R: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce(&Watch) -> R + Send,
) -> PyResult<R> {
    let watch = Watch::default();
    let result = py.detach(|| {
        thread::scope(|scope| {
            let (ended, end) = sync_channel::<()>(0);
            let worker = scope.spawn(|| {
                let _ended = ended;
                work(&watch)
            });
            let mut raised = Ok(());
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if raised.is_ok() {
                    raised = Python::attach(|py| py.check_signals().and_then(|()| watch.report(py, progress)));
                    watch.stopped.store(raised.is_err(), Ordering::Relaxed);
                }
            }
            let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            raised.map(|()| result)
        })
    })?;
    watch.report(py, progress)?;
    Ok(result)
}

/// An input, an output or a runner that fails or idles once the work is to stop.
#[derive(Clone, Copy)]
pub struct Stoppable<'a, T: ?Sized> {
    pub inner: &'a T,
    pub watch: &'a Watch,
}

impl ReadAt for Stoppable<'_, dyn ReadAt + '_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.watch.check()?;
        self.inner.read_at(offset, buffer)
    }
}

impl Runner for Stoppable<'_, dyn Runner + '_> {
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.inner.run(count, &|i| {
            if !self.watch.is_stopped() {
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
    pub inner: &'a mut (dyn Write + Send),
    pub watch: &'a Watch,
}

impl Write for StoppableWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
