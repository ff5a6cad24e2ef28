//! Conversion of values between JavaScript and the core. Objects for JavaScript have camelCase
//! keys; numbers from JavaScript are checked.

#[cfg(feature = "compress")]
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

#[cfg(feature = "restore")]
use bitx::Restore;
use bitx::io::{Read, Source};
use bitx::report::{BaseReport, Report, TensorReport};
#[cfg(feature = "compress")]
use bitx::{Compress, Effort, Format, Merge};
use bitx::{Error, ErrorKind};

/// The largest integer up to which a `number` represents every integer exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Converts a `number` to a length in bytes.
pub(super) fn length(bytes: f64) -> Result<u64, JsValue> {
    if (0.0..=MAX_SAFE_INTEGER).contains(&bytes) && bytes.fract() == 0.0 {
        return Ok(bytes as u64);
    }
    Err(misuse("a length in bytes must be a whole number from 0 to 2^53 - 1"))
}

/// Converts `number`s to lengths in bytes.
pub(super) fn lengths(bytes: Vec<f64>) -> Result<Vec<u64>, JsValue> {
    bytes.into_iter().map(length).collect()
}

/// The error of a caller that uses the bindings wrongly.
pub(super) fn misuse(message: &str) -> JsValue {
    thrown(Error::new(ErrorKind::InvalidArgument, message))
}

/// Converts `data` to a plain JavaScript value.
pub(super) fn value(data: &impl Serialize) -> Result<JsValue, JsValue> {
    serde_wasm_bindgen::to_value(data).map_err(|e| misuse(&e.to_string()))
}

#[cfg(feature = "restore")]
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreOptions {
    name: Option<String>,
    max_output: Option<f64>,
}

/// Creates a restore of the whole file with the options `{ maxOutput? }`, or of one tensor with the
/// options `{ name, maxOutput? }`.
#[cfg(feature = "restore")]
pub(super) fn restore(bases: &[u64], archive: u64, tensor: bool, options: JsValue) -> Result<Restore, JsValue> {
    let options: Option<RestoreOptions> = parse(options)?;
    let RestoreOptions { name, max_output } = options.unwrap_or_default();
    let mut restore = Restore::new(bases, archive);
    if let Some(bytes) = max_output {
        restore = restore.max_output(length(bytes)?);
    }
    match (tensor, name) {
        (false, _) => Ok(restore),
        (true, Some(name)) => Ok(restore.tensor(&name)),
        (true, None) => Err(misuse("the name of the tensor is missing")),
    }
}

fn parse<T: serde::de::DeserializeOwned>(options: JsValue) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(options).map_err(|e| misuse(&format!("options: {e}")))
}

/// The options of compressing and of merging.
#[cfg(feature = "compress")]
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompressOptions {
    format: Option<String>,
    effort: Option<String>,
    level: Option<i32>,
    graphs: Option<i32>,
    config: Option<String>,
    file: Option<i32>,
    only_used: Option<bool>,
}

/// Creates a compression with the options `{ format?, effort?, level?, graphs?, config?, onlyUsed? }`.
/// The default format is v2, or v1 if a level is given. The last `graphs` of the files are ONNX graphs,
/// and the others the base. With a `config`, which is an adapter's `adapter_config.json`, the last
/// file of the base is that adapter.
#[cfg(feature = "compress")]
pub(super) fn compress(files: &[u64], target: u64, options: JsValue) -> Result<Compress, JsValue> {
    let options: Option<CompressOptions> = parse(options)?;
    let options = options.unwrap_or_default();
    let (bases, graphs) = files.split_at(files.len().saturating_sub(options.graphs.unwrap_or_default() as usize));
    let mut job = Compress::new(bases, target, format(&options)?).map_err(thrown)?;
    if let Some(config) = &options.config {
        job = job.with_adapter(bases.len().wrapping_sub(1), config.as_bytes()).map_err(thrown)?;
    }
    if options.only_used == Some(true) {
        job = job.only_used_bases();
    }
    if graphs.is_empty() { Ok(job) } else { job.with_graphs(graphs, Vec::new()).map_err(thrown) }
}

/// Creates a merge of an adapter into a base with the options `{ config, file? }`: the adapter's
/// `adapter_config.json`, and the number of the base file that is written.
#[cfg(feature = "compress")]
pub(super) fn merge(bases: &[u64], adapter: u64, options: JsValue) -> Result<Merge, JsValue> {
    let CompressOptions { config, file, .. } = parse(options)?;
    let config = config.unwrap_or_default();
    Merge::new(bases, file.unwrap_or_default() as usize, adapter, config.as_bytes()).map_err(thrown)
}

/// The zstd levels for which the package has code: those of zrip's double-hash strategy. The build
/// removes the code of all other levels, which would trap, so they are refused here.
#[cfg(feature = "compress")]
const LEVELS: RangeInclusive<i32> = 3..=4;

#[cfg(feature = "compress")]
fn format(CompressOptions { format, effort, level, .. }: &CompressOptions) -> Result<Format, JsValue> {
    let level = *level;
    let effort = match effort.as_deref() {
        Some("fast") => Effort::Fast,
        None | Some("default") => Effort::Default,
        Some("max") => Effort::Max,
        Some(other) => return Err(misuse(&format!("effort must be fast, default or max, not {other:?}"))),
    };
    if let Some(level) = level.filter(|level| !LEVELS.contains(level)) {
        return Err(misuse(&format!(
            "the zstd level must be from {} to {}, not {level}",
            LEVELS.start(),
            LEVELS.end()
        )));
    }
    match (format.as_deref(), level) {
        (Some("v1"), level) => Ok(Format::V1 { level: level.unwrap_or(Format::DEFAULT_ZSTD_LEVEL) }),
        (None, Some(level)) => Ok(Format::V1 { level }),
        (None | Some("v2"), None) => Ok(Format::V2 { effort }),
        (Some("v2"), Some(_)) => Err(misuse("`level` applies to format v1 only; use `effort` with format v2")),
        (Some(other), _) => Err(misuse(&format!("format must be v1 or v2, not {other:?}"))),
    }
}

/// Converts an error of the core to a JavaScript `Error`, with its code and figures as properties.
pub(super) fn thrown(error: Error) -> JsValue {
    let js = js_sys::Error::new(&error.to_string());
    // A view of texts and a number always converts.
    if let Ok(figures) = serde_wasm_bindgen::to_value(&ErrorView::of(&error)) {
        js_sys::Object::assign(&js, figures.unchecked_ref());
    }
    js.into()
}

/// The properties of a thrown error beside its message.
#[derive(Serialize)]
struct ErrorView<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<f64>,
}

impl<'a> ErrorView<'a> {
    fn of(error: &'a Error) -> Self {
        Self {
            code: error.kind().code(),
            file: error.input_at_fault().map(Source::name),
            tensor: error.tensor_name(),
            expected: error.expected(),
            found: error.found(),
            offset: error.offset().map(|offset| offset as f64),
        }
    }
}

/// The facts about an open job.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanView {
    windows: usize,
    output_length: Option<u64>,
    total: u64,
    warnings: Vec<WarningView>,
}

/// The rule that an input breaks, so that it is kept as bytes.
#[derive(Serialize)]
struct WarningView {
    source: Option<&'static str>,
    message: String,
}

impl From<&Error> for WarningView {
    fn from(fault: &Error) -> Self {
        Self { source: fault.input_at_fault().map(Source::name), message: fault.to_string() }
    }
}

impl PlanView {
    pub(super) fn of(job: &bitx::Job) -> bitx::Result<Self> {
        let windows = job.windows()?;
        let warnings = job.warnings().iter().map(WarningView::from).collect();
        Ok(Self { windows, output_length: job.output_length()?, total: job.progress(windows)?, warnings })
    }
}

#[derive(Serialize)]
pub(super) struct ReadView {
    source: &'static str,
    /// The number of the file in the base, or of the graph; 0 for other sources.
    file: usize,
    offset: u64,
    length: u64,
}

impl From<Read> for ReadView {
    fn from(read: Read) -> Self {
        let file = if let Source::Base(file) | Source::Graph(file) = read.source { file } else { 0 };
        Self { source: read.source.name(), file, offset: read.offset, length: read.length }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportView {
    version: u32,
    stored_bytes: u64,
    restored_bytes: u64,
    blake3: Option<String>,
    bases: Vec<BaseView>,
    tensors: Vec<TensorView>,
}

#[derive(Serialize)]
struct BaseView {
    /// The number of the file in the base that was given for compressing.
    #[cfg(feature = "compress")]
    file: usize,
    size: u64,
    blake3: String,
}

fn hex(digest: [u8; 32]) -> String {
    blake3::Hash::from_bytes(digest).to_hex().to_string()
}

impl From<Report> for ReportView {
    fn from(report: Report) -> Self {
        let base = |base: BaseReport| BaseView {
            #[cfg(feature = "compress")]
            file: base.file,
            size: base.length,
            blake3: hex(base.blake3),
        };
        Self {
            version: report.version,
            stored_bytes: report.stored_bytes,
            restored_bytes: report.restored_bytes,
            blake3: report.blake3.map(hex),
            bases: report.bases.into_iter().map(base).collect(),
            tensors: report.tensors.into_iter().map(TensorView::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PredictionView {
    rank: u8,
    saved_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TensorView {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    method: &'static str,
    prediction: Option<PredictionView>,
    stored_bytes: u64,
    restored_bytes: u64,
}

impl From<TensorReport> for TensorView {
    fn from(tensor: TensorReport) -> Self {
        Self {
            name: tensor.name,
            dtype: tensor.dtype.name(),
            shape: tensor.shape,
            method: tensor.method.name(),
            prediction: tensor.prediction.map(|p| PredictionView { rank: p.rank, saved_bytes: p.saved_bytes }),
            stored_bytes: tensor.stored_bytes,
            restored_bytes: tensor.restored_bytes,
        }
    }
}
