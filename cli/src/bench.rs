//! `bitx bench BASE TARGET [-b BASE]...`: the speed of encoding and decoding, without disk access.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bitx::drive::{self, Sources};
use bitx::io::{Inputs, ReadAt, Source, Whole};
use bitx::parallel::Runner;
use bitx::{Compress, Effort, ErrorKind, Format, Job, Restore};
use bitx_host::pipeline::{self, Supply};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::files::Input;
use crate::{folder, mistakes, run, stdout, words};

/// The formats and efforts to measure, the default first.
const CASES: [(&str, &str, Format); 4] = [
    ("v2", "default", Format::V2 { effort: Effort::Default }),
    ("v2", "fast", Format::V2 { effort: Effort::Fast }),
    ("v2", "max", Format::V2 { effort: Effort::Max }),
    ("v1", "3", Format::V1 { level: 3 }),
];

/// The least time that the counted runs take together, in seconds. A median of a few runs of
/// milliseconds would measure where the system happened to put the threads.
const LEAST_SECONDS: f64 = 0.25;

/// The medians of one format and effort. 1 MB is 10^6 bytes of the model.
struct Measured {
    format: &'static str,
    effort: &'static str,
    ratio: f64,
    encode_mb_s: f64,
    decode_mb_s: f64,
}

pub fn run(args: &args::Bench, global: &Global) -> anyhow::Result<()> {
    let paths = [folder::models(&args.base.paths(), global)?, vec![args.target.clone()]].concat();
    let inputs = Input::all(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), Input::open)?;
    mistakes::warn_of(&inputs, global);
    let mut models = inputs.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let target = models.pop().unwrap_or_default();
    let threads = global.threads();
    let mut results = Vec::new();
    for (format, effort, knobs) in CASES {
        let timed = run::with_threads(threads, |runner| measure(&models, &target, knobs, args.runs, runner))?;
        if timed.as_ref().is_err_and(|error| is_foreign_to(knobs, error)) {
            continue;
        }
        let (ratio, encode_mb_s, decode_mb_s) = timed?;
        results.push(Measured { format, effort, ratio, encode_mb_s, decode_mb_s });
    }
    stdout::print(to_text(&results, threads, global))
}

/// Returns true if the format v1 refused models that it has no place for: it holds safetensors with
/// few dtypes.
fn is_foreign_to(format: Format, error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref().map(bitx::Error::kind));
    matches!(format, Format::V1 { .. }) && matches!(kind, Some(ErrorKind::Format | ErrorKind::Unsupported))
}

/// The bytes of a file.
fn read(input: &Input) -> anyhow::Result<Arc<Vec<u8>>> {
    let mut bytes = vec![0; usize::try_from(input.file.len())?];
    input.file.read_at(0, &mut bytes).with_context(|| words::input(&input.path))?;
    input.check_unchanged()?;
    Ok(Arc::new(bytes))
}

/// Returns the ratio of archive to model, and the median speeds of encoding and decoding in MB/s.
fn measure(
    base: &[Arc<Vec<u8>>],
    target: &[u8],
    format: Format,
    runs: u16,
    runner: &dyn Runner,
) -> anyhow::Result<(f64, f64, f64)> {
    let lengths: Vec<u64> = base.iter().map(|file| file.len() as u64).collect();
    let files: Vec<&[u8]> = base.iter().map(|file| file.as_slice()).collect();
    let bases: Vec<&dyn ReadAt> = files.iter().map(|file| file as &dyn ReadAt).collect();
    let inputs = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    let (mut encodes, mut decodes, mut archive) = (Vec::new(), Vec::new(), Vec::new());
    while wants_more(&encodes, runs) {
        let mut job = Compress::new(&lengths, target.len() as u64, format)?.job();
        encodes.push(encode(&mut job, &inputs, runner, &mut archive)?);
    }
    let archive = Arc::new(archive);
    let held = base.iter().enumerate().map(|(i, file)| (Source::Base(i), file.clone() as Whole));
    let held: Vec<(Source, Whole)> = held.chain([(Source::Delta, archive.clone() as Whole)]).collect();
    let mut restored = Vec::new();
    while wants_more(&decodes, runs) {
        let mut job = Restore::new(&lengths, archive.len() as u64).shared().job();
        decodes.push(decode(&mut job, &held, runner.threads(), &mut restored)?);
    }
    anyhow::ensure!(restored.concat() == target, "the restored model differs");
    let speed = |seconds: &[f64]| target.len() as f64 / 1e6 / median(&seconds[1..]);
    Ok((archive.len() as f64 / target.len() as f64, speed(&encodes), speed(&decodes)))
}

/// Returns true if another run is wanted. The first one warms up and is not counted.
fn wants_more(seconds: &[f64], runs: u16) -> bool {
    seconds.len() <= usize::from(runs) || seconds[1..].iter().sum::<f64>() < LEAST_SECONDS
}

/// Compresses into `archive`, replacing its content, and returns the seconds spent in the codec.
fn encode(job: &mut Job, sources: &Sources<'_>, runner: &dyn Runner, archive: &mut Vec<u8>) -> anyhow::Result<f64> {
    archive.clear();
    drive::open(job, sources)?;
    let (mut inputs, mut bytes, mut seconds) = (Inputs::default(), Vec::new(), 0.0);
    for window in 0..job.windows()? {
        drive::fetch(job, window, sources, &mut inputs)?;
        let start = Instant::now();
        job.run(window, &inputs, runner, &mut bytes)?;
        seconds += start.elapsed().as_secs_f64();
        archive.extend_from_slice(&bytes);
    }
    Ok(seconds)
}

/// Restores into `restored`, one buffer per window, and returns the seconds spent in the codec.
fn decode(job: &mut Job, held: &[(Source, Whole)], threads: usize, restored: &mut Vec<Vec<u8>>) -> anyhow::Result<f64> {
    drive::open_whole(job, &Inputs::whole(held.to_vec()))?;
    restored.resize_with(job.windows()?, Vec::new);
    let start = Instant::now();
    let mut windows = restored.iter_mut();
    pipeline::restore(job, threads, &Supply::Held(held), &mut |bytes| {
        windows.next().map(|window| std::mem::swap(window, bytes)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    })?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn to_text(results: &[Measured], threads: usize, global: &Global) -> String {
    if global.json {
        let row = |m: &Measured| {
            json!({
                "format": m.format,
                "effort": m.effort,
                "ratio": m.ratio,
                "encode_mb_s": m.encode_mb_s,
                "decode_mb_s": m.decode_mb_s,
            })
        };
        let results: Vec<Value> = results.iter().map(row).collect();
        return format!("{}\n", json!({ "command": "bench", "threads": threads, "results": results }));
    }
    let mut table = format!(
        "{:<6} {:>7} {:>8} {:>12} {:>12}   ({threads} threads)\n",
        "format", "effort", "ratio", "encode MB/s", "decode MB/s"
    );
    for m in results {
        let Measured { format, effort, ratio, encode_mb_s, decode_mb_s } = m;
        table += &format!("{format:<6} {effort:>7} {ratio:>8.4} {encode_mb_s:>12.0} {decode_mb_s:>12.0}\n");
    }
    table
}
