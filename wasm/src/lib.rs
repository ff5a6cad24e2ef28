//! Bindings of the npm package: one class over the core's jobs.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)] // wasm-bindgen makes items without documentation

mod convert;

use wasm_bindgen::prelude::*;

use bitx::io::Inputs;
use bitx::parallel::Runner;
#[cfg(feature = "restore")]
use bitx::{Inspect, Restore};
#[cfg(feature = "threads")]
pub use wasm_bindgen_rayon::init_thread_pool;

use convert::{ReadView, ReportView, lengths, thrown, value};

#[cfg(feature = "threads")]
const RUNNER: &dyn Runner = &bitx::parallel::Rayon;
#[cfg(not(feature = "threads"))]
const RUNNER: &dyn Runner = &bitx::parallel::Sequential;

/// An operation of the core, which the host drives: it reads what the job asks for and writes what
/// the job puts out.
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

    /// A job of that operation: `inspect`, `restore`, `share` or `tensor` over an archive of `length` bytes, or
    /// `compress` over a target of so many. `share` restores too, its windows in any order, by any number of jobs. Every build has the same exports; what it has no code for
    /// is refused.
    ///
    /// `options`: for `tensor` `{ name }`, for `compress` `{ format?: 'v1' | 'v2', effort?, level?, graphs? }`, where
    /// `graphs` says how many of `base_lengths`, the last ones, are of files that tell what is in external data.
    pub fn open(operation: &str, base_lengths: Vec<f64>, length: f64, options: JsValue) -> Result<Job, JsValue> {
        let bases = lengths(base_lengths)?;
        let length = convert::length(length)?;
        match operation {
            #[cfg(feature = "restore")]
            "inspect" => Ok(Self::new(Inspect::new(length).job())),
            #[cfg(feature = "restore")]
            "restore" => Ok(Self::new(Restore::new(&bases, length).job())),
            #[cfg(feature = "restore")]
            "share" => Ok(Self::new(Restore::new(&bases, length).shared().job())),
            #[cfg(feature = "restore")]
            "tensor" => Ok(Self::new(Restore::new(&bases, length).tensor(&convert::tensor_name(options)?).job())),
            #[cfg(feature = "compress")]
            "compress" => Ok(Self::new(convert::compress(&bases, length, options)?.job())),
            other => Err(convert::misuse(&format!("this build has no operation {other:?}"))),
        }
    }

    /// The range to read and `feed` next; `undefined` once the plan is made.
    pub fn wants(&self) -> Result<JsValue, JsValue> {
        self.job.wants().map_or(Ok(JsValue::UNDEFINED), |read| value(&ReadView::from(read)))
    }

    /// Takes the bytes of the range that `wants` named.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.job.feed(bytes).map_err(thrown)
    }

    /// Number of windows; they run in order.
    pub fn windows(&self) -> Result<usize, JsValue> {
        self.job.windows().map_err(thrown)
    }

    /// Length of the output in bytes, where it is known beforehand.
    #[wasm_bindgen(js_name = outputLength)]
    pub fn output_length(&self) -> Result<Option<f64>, JsValue> {
        Ok(self.job.output_length().map_err(thrown)?.map(|n| n as f64))
    }

    /// Bytes of the model that are done when all windows are.
    #[wasm_bindgen(js_name = progressTotal)]
    pub fn progress_total(&self) -> Result<f64, JsValue> {
        let total = self.job.windows().and_then(|windows| self.job.progress(windows));
        total.map(|bytes| bytes as f64).map_err(thrown)
    }

    /// Bytes of the model that are done after `window`.
    #[wasm_bindgen(js_name = progressAfter)]
    pub fn progress_after(&self, window: usize) -> Result<f64, JsValue> {
        self.job.progress(window + 1).map(|bytes| bytes as f64).map_err(thrown)
    }

    /// The ranges that `window` needs.
    pub fn reads(&self, window: usize) -> Result<JsValue, JsValue> {
        value(&self.job.reads(window).map_err(thrown)?.into_iter().map(ReadView::from).collect::<Vec<_>>())
    }

    /// Makes `window` current and returns the ranges to `supply`.
    pub fn begin(&mut self, window: usize) -> Result<JsValue, JsValue> {
        self.window = window;
        self.inputs.prepare(self.job.reads(window).map_err(thrown)?);
        self.reads(window)
    }

    /// Copies in the bytes of the `index`-th range of the current window.
    pub fn supply(&mut self, index: usize, bytes: &js_sys::Uint8Array) -> Result<(), JsValue> {
        let buffer = self.inputs.buffer_mut(index).filter(|buffer| buffer.len() == bytes.length() as usize);
        let buffer = buffer.ok_or_else(|| convert::misuse("other bytes than the window asked for"))?;
        bytes.copy_to(buffer);
        Ok(())
    }

    /// Computes the current window.
    pub fn run(&mut self) -> Result<(), JsValue> {
        self.job.run(self.window, &self.inputs, RUNNER, &mut self.output).map_err(thrown)
    }

    /// Checks what the windows of a shared restore cannot tell, one by one in order. Of the current one, the ranges of the
    /// archive must be supplied.
    pub fn check(&mut self) -> Result<(), JsValue> {
        self.job.check(self.window, &self.inputs).map_err(thrown)
    }

    /// A copy of the bytes that the current window appends to the output.
    pub fn output(&self) -> js_sys::Uint8Array {
        js_sys::Uint8Array::new_from_slice(&self.output)
    }

    /// What the archive holds, per tensor.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        value(&ReportView::from(self.job.report().map_err(thrown)?))
    }
}

/// Current size of the wasm memory, in bytes.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    (core::arch::wasm32::memory_size(0) * 65536) as f64
}
