//! The bindings of the npm package: one class over the jobs of the core.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)] // wasm-bindgen generates items without documentation

mod convert;
#[cfg(feature = "compress")]
mod folder;
#[cfg(feature = "compress")]
mod layout;

use wasm_bindgen::prelude::*;

use bitx::io::Inputs;
use bitx::parallel::Runner;
use bitx::quoted::Quoted;
#[cfg(feature = "threads")]
pub use wasm_bindgen_rayon::init_thread_pool;

use convert::{Opening, PlanView, ReadView, ReportView, thrown, value};

#[cfg(feature = "threads")]
const RUNNER: &dyn Runner = &bitx::parallel::Rayon;
#[cfg(not(feature = "threads"))]
const RUNNER: &dyn Runner = &bitx::parallel::Sequential;

/// A job of the core, which its host drives: the host reads the ranges that the job asks for, and
/// writes the output of the job.
///
/// Bytes of windows cross no boundary: the host reads files straight into the wasm memory at
/// [`input_at`](Self::input_at), and writes them from [`output_at`](Self::output_at). A place is
/// valid until the next call of any binding.
#[wasm_bindgen]
pub struct Job {
    job: bitx::Job,
    runner: &'static dyn Runner,
    window: usize,
    inputs: Inputs,
    output: Vec<u8>,
}

#[wasm_bindgen]
impl Job {
    fn new(job: bitx::Job) -> Self {
        Self { job, runner: RUNNER, window: 0, inputs: Inputs::default(), output: Vec::new() }
    }

    /// Creates a job from a request: lines of a field's name, a space and its value. The fields
    /// `operation`, `length` and, for each file of the base, `base` tell the operation and the
    /// lengths in bytes. The operations are:
    ///
    /// - `inspect`, `restore`, `share` and `tensor` read an archive of that `length`. `share`
    ///   restores the file as `restore` does, but its windows may run in any order and in any
    ///   number of jobs. All that restore take `maxOutput`. `text` is the name of the tensor.
    /// - `compress` reads a target of that `length`, and takes `format` (`v1` or `v2`), `effort`,
    ///   `level`, `graphs`, `names`, `adapters` and `onlyUsed`. `graphs` is the number of ONNX
    ///   graphs that describe external data; their lengths are the last of the base's. There is a
    ///   line of `names` for each file of the base and for the target. `adapters` is the number of
    ///   adapters, the last files of the base; `text` is the `adapter_config.json` of each, with a
    ///   zero between them.
    /// - `merge` computes the model of a base and an adapter of that `length`, which is the file
    ///   behind the last of the base. `text` is its configuration, and `file` the number of the
    ///   base file to merge into.
    ///
    /// Other fields are ignored. An operation for which a build has no code is refused.
    pub fn open(request: &str, text: Option<String>) -> Result<Job, JsValue> {
        let opening = Opening::parse(request, text)?;
        match opening.operation {
            #[cfg(feature = "restore")]
            "inspect" => Ok(Self::new(opening.inspect().job())),
            #[cfg(feature = "restore")]
            "restore" | "tensor" => {
                let restore = opening.restore()?;
                Ok(Self::new(if cfg!(feature = "threads") { restore } else { restore.one_thread() }.job()))
            }
            #[cfg(feature = "restore")]
            "share" => {
                let job = opening.restore()?.shared().job();
                // All threads run windows of their own.
                Ok(Self { runner: &bitx::parallel::Sequential, ..Self::new(job) })
            }
            #[cfg(feature = "compress")]
            "compress" => Ok(Self::new(opening.compress()?.job())),
            #[cfg(feature = "compress")]
            "merge" => Ok(Self::new(opening.merge()?.job())),
            other => Err(convert::misuse(&format!("this build does not have the operation {}", Quoted(other)))),
        }
    }

    /// The range to read and pass to `feed` next, or `undefined` once the job is open.
    pub fn wants(&self) -> Result<JsValue, JsValue> {
        self.job.wants().map_or(Ok(JsValue::UNDEFINED), |read| value(&ReadView::from(read)))
    }

    /// Takes the bytes of the range that `wants` returned. `advance` goes on with them.
    pub fn take(&mut self, bytes: &js_sys::Uint8Array) -> Result<(), JsValue> {
        self.job.take(&bytes.to_vec()).map_err(thrown)
    }

    /// Goes on with the bytes for a short time. Returns `true` if it must be called again before
    /// anything else is.
    pub fn advance(&mut self) -> Result<bool, JsValue> {
        self.job.advance().map_err(thrown)
    }

    /// The facts about an open job: `{ windows, outputLength?, total, warnings }`. `outputLength`
    /// is the length of the output in bytes, unless it is not known yet; `total` is the number of
    /// bytes of the model that are done after the last window. Each of the `warnings`,
    /// `{ source?, message }`, is of an input that breaks a rule and is kept as bytes.
    pub fn plan(&self) -> Result<JsValue, JsValue> {
        value(&PlanView::of(&self.job).map_err(thrown)?)
    }

    /// The number of bytes of the model that are done after `window`.
    #[wasm_bindgen(js_name = progressAfter)]
    pub fn progress_after(&self, window: usize) -> Result<f64, JsValue> {
        self.job.progress(window + 1).map(|bytes| bytes as f64).map_err(thrown)
    }

    /// The ranges that `window` needs.
    pub fn reads(&self, window: usize) -> Result<JsValue, JsValue> {
        value(&self.job.reads(window).map_err(thrown)?.into_iter().map(ReadView::from).collect::<Vec<_>>())
    }

    /// Makes `window` the current one, and returns the ranges to read to the places of `inputAt`.
    pub fn begin(&mut self, window: usize) -> Result<JsValue, JsValue> {
        self.window = window;
        self.inputs.prepare(self.job.reads(window).map_err(thrown)?);
        self.reads(window)
    }

    /// The address of the buffer for the range number `index` of the current window, which has
    /// `length` bytes.
    #[wasm_bindgen(js_name = inputAt)]
    pub fn input_at(&mut self, index: usize, length: usize) -> Result<usize, JsValue> {
        let buffer = self.inputs.buffer_mut(index).filter(|buffer| buffer.len() == length);
        let buffer = buffer.ok_or_else(|| convert::misuse("the bytes do not fit a range of the current window"))?;
        Ok(buffer.as_mut_ptr() as usize)
    }

    /// Computes the current window.
    pub fn run(&mut self) -> Result<(), JsValue> {
        self.job.run(self.window, &self.inputs, self.runner, &mut self.output).map_err(thrown)
    }

    /// Checks the current window of a shared restore, as far as windows cannot check themselves
    /// when they run in any order. This must be called for all windows in order, with the ranges of
    /// the archive in their places.
    pub fn check(&mut self) -> Result<(), JsValue> {
        self.job.check(self.window, &self.inputs).map_err(thrown)
    }

    /// Begins to code the current window of a compression in format v2 whose windows several jobs
    /// code, each of them opened with the same inputs. `code` follows. Returns what the next window
    /// is coded with; `undefined` if that is the same as for this window.
    #[cfg(feature = "compress")]
    pub fn search(&mut self) -> Result<Option<js_sys::Uint8Array>, JsValue> {
        let found = self.job.search(self.window, &self.inputs, self.runner).map_err(thrown)?;
        Ok(found.as_deref().map(js_sys::Uint8Array::from))
    }

    /// Codes the current window, for one of the jobs to join. `carried` is what a `search`
    /// returned, or empty for the first window.
    #[cfg(feature = "compress")]
    pub fn code(&mut self, carried: &js_sys::Uint8Array) -> Result<(), JsValue> {
        let carried = carried.to_vec();
        self.job.code(self.window, &self.inputs, &carried, self.runner, &mut self.output).map_err(thrown)
    }

    /// Adds the current window, with all ranges in their places, to the digests of all files. The
    /// job that joins the windows does so.
    #[cfg(feature = "compress")]
    pub fn digest(&mut self) -> Result<(), JsValue> {
        self.job.digest(self.window, &self.inputs).map_err(thrown)
    }

    /// Joins a window that a job has coded to those before it. This must be called for all windows
    /// in order, each of which `digest` has had before.
    #[cfg(feature = "compress")]
    pub fn join(&mut self, window: usize, coded: &js_sys::Uint8Array) -> Result<(), JsValue> {
        self.job.join(window, &coded.to_vec(), &mut self.output).map_err(thrown)
    }

    /// The address of the bytes that the current window appends to the output.
    #[wasm_bindgen(js_name = outputAt)]
    pub fn output_at(&self) -> usize {
        self.output.as_ptr() as usize
    }

    /// The number of bytes at `outputAt`.
    #[wasm_bindgen(js_name = outputLength)]
    pub fn output_length(&self) -> usize {
        self.output.len()
    }

    /// The report of the archive, with an entry for each tensor.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        value(&ReportView::from(self.job.report().map_err(thrown)?))
    }
}
