//! A computation over inputs that it never reads itself.
//!
//! Restoring, compressing and inspecting are all one [`Job`]. It first opens: it
//! [wants](Job::wants) ranges of its inputs until its plan is made. Then it runs windows, each from
//! the bytes that [`Job::reads`] names to the bytes that it appends to the output. A host decides
//! how ranges are read, where output goes, and, between windows, whether to go on.
//! [`drive`](crate::drive) is the synchronous host.

mod plan;

use crate::error::{Error, Result};
use crate::io::{Inputs, Read};
use crate::parallel::Runner;
use crate::report::Report;
pub(crate) use plan::{Apart, Opening, Plan};

/// A computation over inputs that its host reads; [`Restore`](crate::Restore),
/// [`Compress`](crate::Compress) and [`Inspect`](crate::Inspect) make one.
///
/// Every method but [`wants`](Self::wants) and [`feed`](Self::feed) is for an open job. Before a
/// job is open, and after [`feed`](Self::feed) or [`run`](Self::run) has failed, they return
/// `InvalidArgument`.
pub struct Job {
    state: State,
    /// Maximum number of bytes that a window reads and writes.
    max_window: u64,
    warnings: Vec<Error>,
}

enum State {
    Opening(Box<dyn Opening>),
    Open(Box<dyn Plan>),
    /// An earlier step failed.
    Failed,
}

impl Job {
    /// A job that opens into a plan.
    pub(crate) fn opening(opening: impl Opening + 'static) -> Self {
        Self { state: State::Opening(Box::new(opening)), max_window: u64::MAX, warnings: Vec::new() }
    }

    /// A job that is open already.
    pub(crate) fn open(plan: Box<dyn Plan>) -> Self {
        Self { state: State::Open(plan), max_window: u64::MAX, warnings: Vec::new() }
    }

    /// Limits the bytes that a window reads and writes.
    pub(crate) fn with_max_window(self, bytes: u64) -> Self {
        Self { max_window: bytes, ..self }
    }

    /// The range to [`feed`](Self::feed) next; `None` once the job is open, or has failed, or
    /// while there is more to [`advance`](Self::advance) with.
    pub fn wants(&self) -> Option<Read> {
        match &self.state {
            State::Opening(opening) => opening.wants(),
            State::Open(_) | State::Failed => None,
        }
    }

    /// Takes exactly the bytes that [`wants`](Self::wants) named.
    ///
    /// # Errors
    /// Any fault of the inputs' headers, between the inputs, or in what the format can express.
    /// `InvalidArgument` where the job wants nothing.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.take(bytes)?;
        while self.advance()? {}
        Ok(())
    }

    /// Takes exactly the bytes that [`wants`](Self::wants) named, as [`feed`](Self::feed) does, but
    /// leaves most of the work to calls of [`advance`](Self::advance), between which a host whose
    /// only thread this is can do other things.
    ///
    /// # Errors
    /// Those of [`feed`](Self::feed).
    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Opening(mut opening) => {
                opening.take(bytes)?;
                self.state = State::Opening(opening);
                Ok(())
            }
            State::Open(plan) => {
                self.state = State::Open(plan);
                Err(Error::invalid_argument("the job is open and wants nothing"))
            }
            State::Failed => Err(failed()),
        }
    }

    /// Goes on with the bytes that [`take`](Self::take) took. Restores and inspections handle only
    /// so many tensors in a call as take a few milliseconds. Returns `true` if it must be called
    /// again; `false` once the job is open or [wants](Self::wants) more.
    ///
    /// # Errors
    /// Those of [`feed`](Self::feed).
    pub fn advance(&mut self) -> Result<bool> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Opening(mut opening) => {
                let more = opening.advance()?;
                self.state = match opening.wants() {
                    None if !more => {
                        self.warnings = opening.warnings();
                        State::Open(opening.plan()?)
                    }
                    _ => State::Opening(opening),
                };
                Ok(more)
            }
            open => {
                self.state = open;
                Ok(false)
            }
        }
    }

    /// The rules that inputs of a compression break. Such an input is valid, but it is kept as
    /// bytes: the archive is larger than it would be if the rule held. Each warning names its
    /// [input](Error::input_at_fault). There are none before the job is open.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }

    /// The number of windows. They run in order, unless several jobs
    /// [share](crate::Restore::shared) them.
    ///
    /// # Errors
    /// `InvalidArgument` where the job is not open.
    pub fn windows(&self) -> Result<usize> {
        Ok(self.plan()?.windows())
    }

    /// The length of the output in bytes, where it is known beforehand.
    ///
    /// # Errors
    /// `InvalidArgument` where the job is not open.
    pub fn output_length(&self) -> Result<Option<u64>> {
        Ok(self.plan()?.output_length())
    }

    /// The bytes of the model (restored or compressed) that are done when windows `0..count` are.
    ///
    /// # Errors
    /// `InvalidArgument` where the job is not open.
    pub fn progress(&self, count: usize) -> Result<u64> {
        Ok(self.plan()?.progress(count))
    }

    /// The ranges that `window` needs.
    ///
    /// # Errors
    /// `Limit` for a window above the [limit](crate::Restore::max_window) of a restore.
    /// `InvalidArgument` where the job is not open.
    pub fn reads(&self, window: usize) -> Result<Vec<Read>> {
        let plan = self.plan()?;
        let reads = plan.reads(window);
        let written = plan.progress(window + 1).saturating_sub(plan.progress(window));
        let total = reads.iter().fold(written, |total, read| total.saturating_add(read.length));
        if total > self.max_window {
            return Err(Error::limit("too many bytes have to be held at once to restore a part of the file")
                .figures(format_args!("at most {} bytes", self.max_window), total));
        }
        Ok(reads)
    }

    /// Computes `window`, replacing the content of `output` by the bytes that the window appends to
    /// the output.
    ///
    /// # Errors
    /// Faults that opening could not see, such as a stream that does not decode; the job has then
    /// failed, and no byte of `output` may be used. `InvalidArgument` where the job is not open.
    pub fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        let done = self.plan_mut()?.run(window, inputs, runner, output);
        self.unless_failed(done)
    }

    /// Checks the archive as a whole, which the windows of a [shared](crate::Restore::shared)
    /// restore cannot do. One of the jobs calls it with each window in order, whichever job ran it.
    /// Of `inputs`, the ranges of the archive must be filled. The output of the last window does
    /// not count before this returns.
    ///
    /// # Errors
    /// `Corrupt` at the last window, where the archive has another digest than it states.
    /// `InvalidArgument` where the job is not open.
    pub fn check(&mut self, window: usize, inputs: &Inputs) -> Result<()> {
        let done = self.plan_mut()?.check(window, inputs);
        self.unless_failed(done)
    }

    /// Begins to code `window` of a compression in format v2 whose windows several jobs code, each
    /// of them opened with the same inputs: searches for the predictions of the regions that begin
    /// in the window. The same job then [codes](Self::code) the window, before it does anything
    /// else.
    ///
    /// Returns what the next window is coded with; `None` if that is the same as for this window.
    /// For the first window, it is empty.
    ///
    /// # Errors
    /// Those of [`run`](Self::run). `InvalidArgument` for any other job.
    pub fn search(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner) -> Result<Option<Vec<u8>>> {
        let done = self.apart()?.search(window, inputs, runner);
        self.unless_failed(done)
    }

    /// Codes `window` with what the [search](Self::search) of an earlier one returned, and replaces
    /// the content of `coded` by what one of the jobs [joins](Self::join).
    ///
    /// # Errors
    /// Those of [`search`](Self::search).
    pub fn code(
        &mut self,
        window: usize,
        inputs: &Inputs,
        carried: &[u8],
        runner: &dyn Runner,
        coded: &mut Vec<u8>,
    ) -> Result<()> {
        let done = self.apart()?.code(window, inputs, carried, runner, coded);
        self.unless_failed(done)
    }

    /// Adds the share of `window` to the digests of the target and of the base files. The job that
    /// [joins](Self::join) the windows calls it with each of them in order; all ranges must be
    /// filled.
    ///
    /// # Errors
    /// Those of [`search`](Self::search).
    pub fn digest(&mut self, window: usize, inputs: &Inputs) -> Result<()> {
        let done = self.apart()?.digest(window, inputs);
        self.unless_failed(done)
    }

    /// Replaces the content of `output` by the bytes that `window`, which a job has
    /// [coded](Self::code), appends to the output. One of the jobs calls it with each window in
    /// order, once it has taken the [digests](Self::digest) of the window.
    ///
    /// # Errors
    /// Those of [`search`](Self::search).
    pub fn join(&mut self, window: usize, coded: &[u8], output: &mut Vec<u8>) -> Result<()> {
        let done = self.apart()?.join(window, coded, output);
        self.unless_failed(done)
    }

    fn apart(&mut self) -> Result<&mut dyn Apart> {
        let apart = self.plan_mut()?.apart();
        apart.ok_or_else(|| Error::invalid_argument("the windows of this job are not coded apart"))
    }

    fn unless_failed<T>(&mut self, done: Result<T>) -> Result<T> {
        if done.is_err() {
            self.state = State::Failed;
        }
        done
    }

    /// A further job for the windows of this one, at no cost in time or memory; it does not check
    /// the archive as a whole.
    ///
    /// # Errors
    /// `InvalidArgument` where the job is not open, or not a [shared](crate::Restore::shared)
    /// restore.
    pub fn sibling(&self) -> Result<Self> {
        let sibling = self.plan()?.sibling();
        let sibling = sibling.map(|plan| Self::open(plan).with_max_window(self.max_window));
        sibling.ok_or_else(|| Error::invalid_argument("only a shared restore has siblings"))
    }

    /// The content of the archive, tensor by tensor: known after opening, or for a compression
    /// after the last window.
    ///
    /// # Errors
    /// `InvalidArgument` where the job is not open.
    pub fn report(&self) -> Result<Report> {
        Ok(self.plan()?.report())
    }

    fn plan(&self) -> Result<&dyn Plan> {
        match &self.state {
            State::Opening(_) => Err(not_open()),
            State::Open(plan) => Ok(plan.as_ref()),
            State::Failed => Err(failed()),
        }
    }

    fn plan_mut(&mut self) -> Result<&mut dyn Plan> {
        match &mut self.state {
            State::Opening(_) => Err(not_open()),
            State::Open(plan) => Ok(plan.as_mut()),
            State::Failed => Err(failed()),
        }
    }
}

/// Does not show the state: a derived implementation would link the formatting of every plan into
/// the wasm, 4 % of it.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

fn not_open() -> Error {
    Error::invalid_argument("the job is not open yet: it wants more of its inputs")
}

fn failed() -> Error {
    Error::invalid_argument("the job failed before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::parallel::Sequential;
    use crate::{Inspect, Restore};

    fn refused<T: std::fmt::Debug>(result: Result<T>) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    fn refuses_everything(job: &mut Job) {
        refused(job.windows());
        refused(job.output_length());
        refused(job.progress(0));
        refused(job.reads(0));
        refused(job.run(0, &Inputs::default(), &Sequential, &mut Vec::new()));
        refused(job.check(0, &Inputs::default()));
        refused(job.search(0, &Inputs::default(), &Sequential));
        refused(job.code(0, &Inputs::default(), &[], &Sequential, &mut Vec::new()));
        refused(job.digest(0, &Inputs::default()));
        refused(job.join(0, &[], &mut Vec::new()));
        refused(job.sibling());
        refused(job.report());
    }

    #[test]
    fn a_job_that_is_not_open_refuses_everything() {
        refuses_everything(&mut Restore::new(&[10], 10).job());
        refuses_everything(&mut Inspect::new(10).job());
    }

    #[test]
    fn a_job_that_failed_refuses_everything() {
        let mut job = Inspect::new(10).job();
        while let Some(read) = job.wants() {
            let _ = job.feed(&vec![7; read.length as usize]);
        }
        refused(job.feed(b""));
        refuses_everything(&mut job);
    }
}
