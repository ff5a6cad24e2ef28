//! Conversion of values between JavaScript and the core. Objects for JavaScript have camelCase
//! keys; requests from JavaScript are text.

#[cfg(feature = "compress")]
use std::ops::RangeInclusive;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use bitx::io::{Read, Source};
#[cfg(feature = "compress")]
use bitx::quoted::Quoted;
use bitx::report::{BaseReport, Report, TensorReport};
#[cfg(feature = "compress")]
use bitx::{Compress, Effort, Format, Merge};
use bitx::{Error, ErrorKind};
#[cfg(feature = "restore")]
use bitx::{Inspect, Restore};

/// The largest integer up to which a `number` represents every integer exactly.
#[cfg(feature = "compress")]
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Converts a `number` to a length in bytes.
#[cfg(feature = "compress")]
pub(super) fn length(bytes: f64) -> Result<u64, JsValue> {
    if (0.0..=MAX_SAFE_INTEGER).contains(&bytes) && bytes.fract() == 0.0 {
        return Ok(bytes as u64);
    }
    Err(misuse("a length in bytes must be a whole number from 0 to 2^53 - 1"))
}

/// The error of a caller that uses the bindings wrongly.
pub(super) fn misuse(message: &str) -> JsValue {
    thrown(Error::new(ErrorKind::InvalidArgument, message))
}

/// Converts `data` to a plain JavaScript value.
pub(super) fn value(data: &impl Serialize) -> Result<JsValue, JsValue> {
    serde_wasm_bindgen::to_value(data).map_err(JsValue::from)
}

/// A request to open a job. Each operation takes those of the fields that it knows.
#[derive(Default)]
pub(super) struct Opening<'a> {
    pub(super) operation: &'a str,
    /// The lengths in bytes of the base's files, and behind them of the ONNX graphs.
    bases: Vec<u64>,
    /// The length in bytes of the archive, the target or the adapter.
    length: u64,
    /// The name of the tensor, or the `adapter_config.json` of each adapter, with a zero between
    /// them.
    text: Option<String>,
    #[cfg(feature = "restore")]
    max_output: Option<u64>,
    #[cfg(feature = "compress")]
    format: Option<&'a str>,
    #[cfg(feature = "compress")]
    effort: Option<&'a str>,
    #[cfg(feature = "compress")]
    level: Option<u64>,
    /// The number of ONNX graphs.
    #[cfg(feature = "compress")]
    graphs: u64,
    /// The number of adapters, which are the last files of the base.
    #[cfg(feature = "compress")]
    adapters: u64,
    /// The names of the base's files and of the target, as far as they are known.
    #[cfg(feature = "compress")]
    names: Vec<String>,
    /// The number of the base file to merge into.
    #[cfg(feature = "compress")]
    file: u64,
    #[cfg(feature = "compress")]
    only_used: bool,
}

impl<'a> Opening<'a> {
    /// Reads a request: lines of a field's name, a space and its value.
    pub(super) fn parse(request: &'a str, text: Option<String>) -> Result<Self, JsValue> {
        let mut opening = Self { text, ..Self::default() };
        for line in request.split('\n') {
            let (field, value) = line.split_once(' ').unwrap_or((line, ""));
            let number = || value.parse::<u64>().map_err(|_| misuse(&format!("{field} must be a whole number")));
            match field {
                "operation" => opening.operation = value,
                "base" => opening.bases.push(number()?),
                "length" => opening.length = number()?,
                #[cfg(feature = "restore")]
                "maxOutput" => opening.max_output = Some(number()?),
                #[cfg(feature = "compress")]
                "format" => opening.format = Some(value),
                #[cfg(feature = "compress")]
                "effort" => opening.effort = Some(value),
                #[cfg(feature = "compress")]
                "level" => opening.level = Some(number()?),
                #[cfg(feature = "compress")]
                "graphs" => opening.graphs = number()?,
                #[cfg(feature = "compress")]
                "adapters" => opening.adapters = number()?,
                #[cfg(feature = "compress")]
                "names" => opening.names.push(value.to_owned()),
                #[cfg(feature = "compress")]
                "file" => opening.file = number()?,
                #[cfg(feature = "compress")]
                "onlyUsed" => opening.only_used = value == "true",
                _ => {}
            }
        }
        Ok(opening)
    }
}

/// A number as an index: one that is too large is that of nothing.
#[cfg(feature = "compress")]
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(feature = "restore")]
impl Opening<'_> {
    /// A listing of an archive's content.
    pub(super) fn inspect(&self) -> Inspect {
        Inspect::new(self.length)
    }

    /// A restore of the whole file, or of the tensor `name`.
    pub(super) fn restore(&self) -> Result<Restore, JsValue> {
        let mut restore = Restore::new(&self.bases, self.length);
        if let Some(bytes) = self.max_output {
            restore = restore.max_output(bytes);
        }
        match (self.operation, &self.text) {
            ("tensor", Some(name)) => Ok(restore.tensor(name)),
            ("tensor", None) => Err(misuse("the name of the tensor is missing")),
            _ => Ok(restore),
        }
    }
}

#[cfg(feature = "compress")]
impl Opening<'_> {
    /// A compression. The default format is v2, or v1 if a level is given.
    pub(super) fn compress(&self) -> Result<Compress, JsValue> {
        let (bases, graphs) = self.bases.split_at(self.bases.len().saturating_sub(index(self.graphs)));
        let mut job = Compress::new(bases, self.length, self.format()?).map_err(thrown)?;
        let first = bases.len().saturating_sub(index(self.adapters));
        let configs = self.text.iter().flat_map(|text| text.split('\0'));
        for (file, config) in (first..bases.len()).zip(configs) {
            job = job.with_adapter(file, config.as_bytes()).map_err(thrown)?;
        }
        if self.only_used {
            job = job.only_used_bases();
        }
        if graphs.is_empty() { Ok(job) } else { job.with_graphs(graphs, self.names.clone()).map_err(thrown) }
    }

    /// A merge of the adapter into a file of the base.
    pub(super) fn merge(&self) -> Result<Merge, JsValue> {
        let config = self.text.as_deref().unwrap_or_default();
        Merge::new(&self.bases, index(self.file), self.length, config.as_bytes()).map_err(thrown)
    }

    fn format(&self) -> Result<Format, JsValue> {
        let effort = match self.effort {
            Some("fast") => Effort::Fast,
            None | Some("default") => Effort::Default,
            Some("max") => Effort::Max,
            Some(other) => return Err(misuse(&format!("effort must be fast, default or max, not {}", Quoted(other)))),
        };
        let level = self.level.map(|level| i32::try_from(level).unwrap_or(i32::MAX));
        if let Some(level) = level.filter(|level| !LEVELS.contains(level)) {
            return Err(misuse(&format!(
                "the zstd level must be from {} to {}, not {level}",
                LEVELS.start(),
                LEVELS.end()
            )));
        }
        match (self.format, level) {
            (Some("v1"), level) => Ok(Format::V1 { level: level.unwrap_or(Format::DEFAULT_ZSTD_LEVEL) }),
            (None, Some(level)) => Ok(Format::V1 { level }),
            (None | Some("v2"), None) => Ok(Format::V2 { effort }),
            (Some("v2"), Some(_)) => Err(misuse("`level` applies to format v1 only; use `effort` with format v2")),
            (Some(other), _) => Err(misuse(&format!("format must be v1 or v2, not {}", Quoted(other)))),
        }
    }
}

/// The zstd levels for which the package has code: those of zrip's double-hash strategy. The build
/// removes the code of all other levels, which would trap, so they are refused here.
#[cfg(feature = "compress")]
const LEVELS: RangeInclusive<i32> = 3..=4;

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
