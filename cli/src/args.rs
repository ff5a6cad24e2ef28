//! The command line's grammar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitx::{Effort, Format};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::caller::Caller;
use crate::checks::Checks;

/// Store fine-tuned models as lossless deltas against their base
#[derive(Debug, Parser)]
#[command(name = "bitx", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

/// Options shared by all commands.
#[derive(Debug, Args)]
pub struct Global {
    /// Number of threads to use [default: one per core]
    #[arg(short = 'j', long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print the result as one JSON object on standard output, and warnings and errors as JSON
    /// objects on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Show neither progress, warnings nor a summary
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// The program that calls this library in place of a command line
    #[arg(skip)]
    pub caller: Option<Arc<dyn Caller>>,
}

impl Global {
    /// The options of a call that prints nothing.
    pub fn silent(threads: Option<u16>) -> Self {
        Self { threads, json: false, quiet: true, caller: None }
    }

    /// The options of a call that prints nothing, by a caller that watches it.
    pub fn called(threads: Option<u16>, caller: Arc<dyn Caller>) -> Self {
        Self { caller: Some(caller), ..Self::silent(threads) }
    }

    /// The number of threads requested, or one per core.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compress a fine-tuned model to its difference from its base
    Compress(Compress),
    /// Restore a fine-tuned model, byte for byte, from its base and an archive
    Decompress(Decompress),
    /// Restore a single tensor, reading only the bytes that it needs
    Cat(Cat),
    /// List the tensors of an archive with their sizes and coding methods
    Inspect(Inspect),
    /// Decode an archive without writing it, and print the SHA-256 of the restored file
    Verify(Verify),
    /// Compare two models, and estimate the size of one as a delta against the other
    Distance(Distance),
    /// Compute the model of a base and a LoRA adapter of PEFT
    Merge(Merge),
    /// Measure the speed of encoding and decoding in memory, without disk access
    Bench(Bench),
    /// Manage a model store, which keeps each tensor once and fine-tunes as deltas
    Store(crate::store::args::Store),
    /// Serve a store over HTTP: restored files, deltas and uploads
    Serve(crate::serve::Serve),
    /// Make a token for `bitx serve --tokens`, or the digest of one that you have
    Token(crate::token::Args),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write all of them to a folder
    #[command(hide = true)]
    Man(crate::man::Args),
}

impl Command {
    /// The name of the command, as JSON objects state it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Compress(_) => "compress",
            Self::Decompress(_) => "decompress",
            Self::Cat(_) => "cat",
            Self::Inspect(_) => "inspect",
            Self::Verify(_) => "verify",
            Self::Distance(_) => "distance",
            Self::Merge(_) => "merge",
            Self::Bench(_) => "bench",
            Self::Store(store) => store.command.name(),
            Self::Serve(_) => "serve",
            Self::Token(_) => "token",
            Self::Completions { .. } => "completions",
            Self::Man(_) => "man",
        }
    }
}

/// The output file of a command, with its options.
#[derive(Debug, Args)]
pub struct Output {
    /// File or folder to write, or `-` for standard output [default: TARGET.bitx for an archive,
    /// ARCHIVE without .bitx for a model, standard output for a tensor]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Replace the file if it exists, or the folder if it has no other files than the new one
    #[arg(short, long)]
    pub force: bool,
    /// Wait until the file is safely on disk before returning
    #[arg(long)]
    pub sync: bool,
    /// The caller of this library handles interrupts itself
    #[arg(skip)]
    pub called: bool,
}

/// An archive format, by its name on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FormatName {
    /// BITXv001, compatible with the reference tool bitx-codec; no checksums
    V1,
    /// BITXv002, several times smaller and protected by checksums
    V2,
}

/// A compression effort, by its name on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum EffortName {
    /// Compresses about as fast as it decompresses
    Fast,
    /// A good balance: the better of two coding models for each chunk
    Default,
    /// The smallest archives; the slowest
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

/// The files of the base model.
#[derive(Debug, Args)]
pub struct Base {
    /// File of the base model: safetensors, GGUF, ONNX data or any other file; `-` is standard
    /// input. A folder stands for all files in it
    #[arg(id = "BASE")]
    first: PathBuf,
    /// Another file or folder of a base: a shard, or a LoRA adapter that was merged into the
    /// target; repeat the option for each one
    #[arg(short = 'b', long = "base", value_name = "FILE")]
    others: Vec<PathBuf>,
}

impl Base {
    /// All files of the base, in order.
    pub fn paths(&self) -> Vec<&Path> {
        std::iter::once(&self.first).chain(&self.others).map(PathBuf::as_path).collect()
    }
}

#[derive(Debug, Args)]
pub struct Compress {
    #[command(flatten)]
    pub base: Base,
    /// The fine-tuned model to compress: safetensors, GGUF, ONNX data or any other file. A folder,
    /// or several files, become a folder with an archive for each file
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<PathBuf>,
    #[command(flatten)]
    pub output: Output,
    /// ONNX graph that describes the base, if the base is external data [default: the NAME.onnx in
    /// the same folder, for NAME.onnx_data and NAME.onnx.data]
    #[arg(long, value_name = "FILE")]
    pub base_graph: Option<PathBuf>,
    /// ONNX graph that describes the target, if the target is external data [default: found as for
    /// the base]; one graph is enough if it describes both files
    #[arg(long, value_name = "FILE")]
    pub target_graph: Option<PathBuf>,
    /// Archive format [default: v2, or v1 if --level is given]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Compression effort of format v2: more effort takes longer and makes smaller archives
    #[arg(long, value_enum, default_value_t = EffortName::Default, conflicts_with = "level")]
    effort: EffortName,
    /// zstd level of format v1, from -7 to 4 [default: 3]
    #[arg(long, allow_negative_numbers = true, value_parser = level)]
    level: Option<i32>,
}

impl Compress {
    /// The archive format with its effort or level.
    ///
    /// # Errors
    /// A level together with format v2, which has no levels.
    pub fn format(&self) -> anyhow::Result<Format> {
        match (self.format, self.level) {
            (Some(FormatName::V2), Some(_)) => {
                anyhow::bail!("--level applies to format v1 only; use --effort with format v2")
            }
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
    /// The archive to restore, or a folder of archives
    pub archive: PathBuf,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub checks: Checks,
}

#[derive(Debug, Args)]
pub struct Cat {
    #[command(flatten)]
    pub base: Base,
    /// The archive to read
    pub archive: PathBuf,
    /// Name of the tensor
    pub tensor: String,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub checks: Checks,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The archive to read, or a folder of archives
    pub archive: PathBuf,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub base: Base,
    /// The archive to check, or a folder of archives
    pub archive: PathBuf,
    #[command(flatten)]
    pub checks: Checks,
}

#[derive(Debug, Args)]
pub struct Distance {
    /// The model to use as the base: safetensors, GGUF or any other file, or a folder of shards
    a: PathBuf,
    /// The model that would become a delta against A, as A
    pub b: PathBuf,
    /// Another file or folder of A, if A is split into shards; repeat the option for each one
    #[arg(short = 'b', long = "base", value_name = "FILE")]
    others: Vec<PathBuf>,
}

impl Distance {
    /// All files of A, in order.
    pub fn base(&self) -> Vec<&Path> {
        std::iter::once(&self.a).chain(&self.others).map(PathBuf::as_path).collect()
    }
}

#[derive(Debug, Args)]
pub struct Merge {
    /// The base model: a safetensors file, or a folder of shards
    pub base: PathBuf,
    /// The adapter: its folder, or its file of factors beside adapter_config.json
    pub adapter: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    pub base: Base,
    /// The fine-tuned model
    pub target: PathBuf,
    /// Number of measured runs per format, or more where these take less than a quarter of a second;
    /// their medians are printed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
}

/// Parses the argument of `--level`.
fn level(text: &str) -> Result<i32, String> {
    let level = text.parse().map_err(|_| "the level must be a whole number".to_owned())?;
    let range = Format::ZSTD_LEVELS;
    if range.contains(&level) {
        Ok(level)
    } else {
        Err(format!("the level must be from {} to {}", range.start(), range.end()))
    }
}
