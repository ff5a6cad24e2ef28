//! The command line's grammar.

use std::path::PathBuf;

use bitx_wasm::Format;
use bitx_wasm::entropy::zstd;
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
    /// List what an archive holds
    Inspect(Inspect),
    /// Decode an archive without writing anything, and print the SHA-256 of what it restores to
    Verify(Verify),
    /// Time encoding and decoding in memory, compute only
    Bench(Bench),
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
}

#[derive(Debug, Args)]
pub struct Compress {
    /// The base model (safetensors)
    pub base: PathBuf,
    /// The fine-tuned model (safetensors)
    pub target: PathBuf,
    #[command(flatten)]
    pub output: Output,
    /// Archive format
    #[arg(long, value_enum, default_value_t = FormatName::V1)]
    pub format: FormatName,
    /// zstd level of format v1, -7 to 4
    #[arg(long, default_value_t = zstd::DEFAULT_LEVEL, allow_negative_numbers = true, value_parser = level)]
    pub level: i32,
}

impl Compress {
    /// The format with its knobs.
    pub fn format(&self) -> Format {
        let FormatName::V1 = self.format;
        Format::V1 { level: self.level }
    }
}

#[derive(Debug, Args)]
pub struct Decompress {
    /// The base model (safetensors)
    pub base: PathBuf,
    /// The archive
    pub archive: PathBuf,
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
    /// The base model (safetensors)
    pub base: PathBuf,
    /// The archive
    pub archive: PathBuf,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// The base model (safetensors)
    pub base: PathBuf,
    /// The fine-tuned model (safetensors)
    pub target: PathBuf,
    /// Measured runs of each; medians are printed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
}

fn level(text: &str) -> Result<i32, String> {
    let level = text.parse().map_err(|_| "not a number".to_owned())?;
    let range = zstd::LEVELS;
    if range.contains(&level) { Ok(level) } else { Err(format!("{} to {}", range.start(), range.end())) }
}
