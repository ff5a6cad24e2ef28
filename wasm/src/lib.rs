//! The bindings of the npm package: one class over the jobs of the core.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)] // wasm-bindgen generates items without documentation

mod convert;
#[cfg(feature = "compress")]
mod folder;
#[cfg(feature = "compress")]
mod layout;

use wasm_bindgen::prelude::*;

#[cfg(feature = "restore")]
use bitx::Inspect;
use bitx::io::Inputs;
use bitx::parallel::Runner;
#[cfg(feature = "threads")]
pub use wasm_bindgen_rayon::init_thread_pool;

use convert::{PlanView, ReadView, ReportView, lengths, thrown, value};

#[cfg(feature = "threads")]
const RUNNER: &dyn Runner = &bitx::parallel::Rayon;
#[cfg(not(feature = "threads"))]
const RUNNER: &dyn Runner = &bitx::parallel::Sequential;

/// A job of the core, which its host drives: the host reads the ranges that the job asks for, and
/// writes the output of the job.
#[wasm_bindgen]
pub struct Job {
    job: bitx::Job,
    window: usize,
    inputs: Inputs,
    output: Vec<u8>,
}

#[wasm_bindgen]
impl Job {
    fn new(job: bitx::Job) -> Self {
        Self { job, window: 0, inputs: Inputs::default(), output: Vec::new() }
    }

    /// Creates a job for one of these operations:
    ///
    /// - `inspect`, `restore`, `share` and `tensor` read an archive of `length` bytes. `share`
    ///   restores the file as `restore` does, but its windows may run in any order and in any
    ///   number of jobs.
    /// - `compress` reads a target of `length` bytes.
    /// - `merge` computes the model of a base and an adapter of `length` bytes, which is the file
    ///   behind the last of the base.
    ///
    /// `base_lengths` are the lengths of the base's files in bytes. `options` is `{ name }` for
    /// `tensor`, `{ maxOutput? }` for all that restore, `{ format?: 'v1' | 'v2', effort?, level?,
    /// graphs?, config? }` for `compress`, and `{ config, file? }` for `merge`. `graphs` is the
    /// number of ONNX graphs that describe external data; their lengths are the last of
    /// `base_lengths`. `config` is the text of an adapter's `adapter_config.json`; for `compress`,
    /// that adapter is the last file of the base.
    ///
    /// An operation for which a build has no code is refused.
    pub fn open(operation: &str, base_lengths: Vec<f64>, length: f64, options: JsValue) -> Result<Job, JsValue> {
        let bases = lengths(base_lengths)?;
        let length = convert::length(length)?;
        match operation {
            #[cfg(feature = "restore")]
            "inspect" => Ok(Self::new(Inspect::new(length).job())),
            #[cfg(feature = "restore")]
            "restore" | "tensor" => {
                Ok(Self::new(convert::restore(&bases, length, operation == "tensor", options)?.job()))
            }
            #[cfg(feature = "restore")]
            "share" => Ok(Self::new(convert::restore(&bases, length, false, options)?.shared().job())),
            #[cfg(feature = "compress")]
            "compress" => Ok(Self::new(convert::compress(&bases, length, options)?.job())),
            #[cfg(feature = "compress")]
            "merge" => Ok(Self::new(convert::merge(&bases, length, options)?.job())),
            other => Err(convert::misuse(&format!("this build does not have the operation {other:?}"))),
        }
    }

    /// The range to read and pass to `feed` next, or `undefined` once the job is open.
    pub fn wants(&self) -> Result<JsValue, JsValue> {
        self.job.wants().map_or(Ok(JsValue::UNDEFINED), |read| value(&ReadView::from(read)))
    }

    /// Takes the bytes of the range that `wants` returned.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.job.feed(bytes).map_err(thrown)
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

    /// Makes `window` the current one, and returns the ranges to pass to `supply`.
    pub fn begin(&mut self, window: usize) -> Result<JsValue, JsValue> {
        self.window = window;
        self.inputs.prepare(self.job.reads(window).map_err(thrown)?);
        self.reads(window)
    }

    /// Copies the bytes of the range number `index` of the current window into the job.
    pub fn supply(&mut self, index: usize, bytes: &js_sys::Uint8Array) -> Result<(), JsValue> {
        let buffer = self.inputs.buffer_mut(index).filter(|buffer| buffer.len() == bytes.length() as usize);
        let buffer = buffer.ok_or_else(|| convert::misuse("the bytes do not fit a range of the current window"))?;
        bytes.copy_to(buffer);
        Ok(())
    }

    /// Computes the current window.
    pub fn run(&mut self) -> Result<(), JsValue> {
        self.job.run(self.window, &self.inputs, RUNNER, &mut self.output).map_err(thrown)
    }

    /// Checks the current window of a shared restore, as far as windows cannot check themselves
    /// when they run in any order. This must be called for all windows in order, with the ranges of
    /// the archive supplied.
    pub fn check(&mut self) -> Result<(), JsValue> {
        self.job.check(self.window, &self.inputs).map_err(thrown)
    }

    /// A copy of the bytes that the current window appends to the output.
    pub fn output(&self) -> js_sys::Uint8Array {
        js_sys::Uint8Array::new_from_slice(&self.output)
    }

    /// The report of the archive, with an entry for each tensor.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        value(&ReportView::from(self.job.report().map_err(thrown)?))
    }
}

/// The current size of the wasm memory, in bytes.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    (core::arch::wasm32::memory_size(0) * 65536) as f64
}
