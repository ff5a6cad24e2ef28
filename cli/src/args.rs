//! The command line's grammar.

use std::path::{Path, PathBuf};

use bitx::{Effort, Format};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Store fine-tuned models as lossless deltas against their base
#[derive(Debug, Parser)]
#[command(name = "bitx", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Threads to use [default: all cores]
    #[arg(short = 'j', long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, no summary
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Global {
    /// Threads asked for, or one per core.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compress a fine-tune against its base
    Compress(Compress),
    /// Restore a fine-tune from its base and an archive
    Decompress(Decompress),
    /// Restore one tensor, reading only its bytes
    Cat(Cat),
    /// List what an archive holds
    Inspect(Inspect),
    /// Decode an archive without writing anything, and print the SHA-256 of what it restores to
    Verify(Verify),
    /// Tell how far two models are apart, and what one would take as a delta to the other
    Distance(Distance),
    /// Time encoding and decoding in memory, compute only
    Bench(Bench),
    /// Keep models in a store: every file and tensor once, fine-tunes as deltas
    Store(crate::store::args::Store),
    /// Serve a store over HTTP: restored files, deltas, uploads
    Serve(crate::serve::Serve),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// How output is written.
#[derive(Debug, Args)]
pub struct Output {
    /// File to write; `-` for standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub path: PathBuf,
    /// Replace the file if it exists
    #[arg(short, long)]
    pub force: bool,
    /// Return only when the file is on the disk
    #[arg(long)]
    pub sync: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FormatName {
    /// BITXv001, which the reference command line reads and writes
    V1,
    /// BITXv002: several times smaller, checked
    V2,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum EffortName {
    /// About as fast as it decodes
    Fast,
    /// The better of two models per chunk
    Default,
    /// Everything that makes archives smaller
    Max,
}

impl From<EffortName> for Effort {
    fn from(name: EffortName) -> Self {
        match name {
            EffortName::Fast => Self::Fast,
            EffortName::Default => Self::Default,
            EffortName::Max => Self::Max,
        }
    }
}

/// The base model: its file, or the first of them.
#[derive(Debug, Args)]
pub struct Base {
    /// The base model: safetensors, or any other file
    #[arg(id = "BASE")]
    first: PathBuf,
    /// Another file of the base, where it is sharded; may be repeated, in the same order as when compressing
    #[arg(short = 'b', long = "base", value_name = "FILE")]
    others: Vec<PathBuf>,
}

impl Base {
    /// Every file of the base.
    pub fn paths(&self) -> Vec<&Path> {
        std::iter::once(&self.first).chain(&self.others).map(PathBuf::as_path).collect()
    }
}

#[derive(Debug, Args)]
pub struct Compress {
    #[command(flatten)]
    pub base: Base,
    /// The fine-tuned model: safetensors, or any other file
    pub target: PathBuf,
    #[command(flatten)]
    pub output: Output,
    /// ONNX graph whose external data the base is [default: for NAME.onnx_data and NAME.onnx.data, the NAME.onnx beside it]
    #[arg(long, value_name = "FILE")]
    pub base_graph: Option<PathBuf>,
    /// ONNX graph whose external data the target is [default: as for the base]; one of the two may do for both
    #[arg(long, value_name = "FILE")]
    pub target_graph: Option<PathBuf>,
    /// Archive format [default: v2, or v1 where a level is given]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// How hard to try, for format v2
    #[arg(long, value_enum, default_value_t = EffortName::Default, conflicts_with = "level")]
    effort: EffortName,
    /// zstd level of format v1, -7 to 4 [default: 3]
    #[arg(long, allow_negative_numbers = true, value_parser = level)]
    level: Option<i32>,
}

impl Compress {
    /// The format with its knobs.
    ///
    /// # Errors
    /// Where a level is given for a format that has none.
    pub fn format(&self) -> anyhow::Result<Format> {
        match (self.format, self.level) {
            (Some(FormatName::V2), Some(_)) => anyhow::bail!("--level is for format v1; v2 has --effort"),
            (Some(FormatName::V1), level) => Ok(Format::V1 { level: level.unwrap_or(Format::DEFAULT_ZSTD_LEVEL) }),
            (None, Some(level)) => Ok(Format::V1 { level }),
            (_, None) => Ok(Format::V2 { effort: self.effort.into() }),
        }
    }
}

#[derive(Debug, Args)]
pub struct Decompress {
    #[command(flatten)]
    pub base: Base,
    /// The archive
    pub archive: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Cat {
    #[command(flatten)]
    pub base: Base,
    /// The archive
    pub archive: PathBuf,
    /// Name of the tensor
    pub tensor: String,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The archive
    pub archive: PathBuf,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub base: Base,
    /// The archive
    pub archive: PathBuf,
}

#[derive(Debug, Args)]
pub struct Distance {
    /// The model that would be the base: safetensors, GGUF or any other file
    pub a: PathBuf,
    /// The model that would be its delta
    pub b: PathBuf,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// The base model
    pub base: PathBuf,
    /// The fine-tuned model: safetensors, or any other file
    pub target: PathBuf,
    /// Measured runs of each; medians are printed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
}

fn level(text: &str) -> Result<i32, String> {
    let level = text.parse().map_err(|_| "not a number".to_owned())?;
    let range = Format::ZSTD_LEVELS;
    if range.contains(&level) { Ok(level) } else { Err(format!("{} to {}", range.start(), range.end())) }
}
