//! Work without the interpreter's lock, which an interrupt stops and which reports its progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use bitx_cli::Caller;
use bitx_host::Stop;
use pyo3::prelude::*;

/// The time between two looks for an interrupt.
const TICK: Duration = Duration::from_millis(50);

/// The state that a worker shares with the thread that called it.
#[derive(Debug, Default)]
pub struct Watch {
    stopped: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Watch {
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

    fn report(&self, py: Python<'_>, progress: Option<&Py<PyAny>>) -> PyResult<()> {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        match progress {
            Some(progress) if total > 0 => progress.call1(py, (done, total)).map(drop),
            _ => Ok(()),
        }
    }
}

impl Stop for Watch {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Caller for Watch {
    fn set_total(&self, bytes: u64) {
        Self::set_total(self, bytes);
    }

    fn add_done(&self, bytes: u64) {
        Self::add_done(self, bytes);
    }
}

/// Calls `work` on a thread of its own and without the interpreter's lock. Meanwhile, it handles
/// signals and calls `progress` with the bytes done and the bytes to do. If one of the two raises
/// an exception, the work is told to stop, and its result is dropped.
pub fn watched<R: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce(&Arc<Watch>) -> R + Send,
) -> PyResult<R> {
    let watch = Arc::new(Watch::default());
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
