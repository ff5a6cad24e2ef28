//! The grammar of `bitx store`.

use std::path::PathBuf;

use bitx_store::{ModelName, Part, VerifyDepth};
use bytesize::ByteSize;
use clap::{Args, CommandFactory, Subcommand};

use crate::args::{EffortName, Output};
use crate::checks::Checks;
use crate::duration;

#[derive(Debug, Args)]
pub struct Store {
    /// The store: a folder, or the URL of a folder (file:) or bucket (s3:, gs:, az:); credentials
    /// for a bucket come from environment variables
    #[arg(long, env = "BITX_STORE", value_name = "URL", global = true)]
    root: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

impl Store {
    /// The root of the store.
    ///
    /// # Errors
    /// Wrong usage, if the line does not name one. The option may stand before and behind the
    /// subcommand, so the grammar cannot require it.
    pub fn root(&self) -> Result<&str, clap::Error> {
        let missing = "no store is named: name one with --root <URL>, or in the environment variable BITX_STORE";
        self.root
            .as_deref()
            .ok_or_else(|| crate::args::Cli::command().error(clap::error::ErrorKind::MissingRequiredArgument, missing))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty store, unless there is one
    Init,
    /// Add a model, replacing the one of the same name, or the models of a plan; makes the store if
    /// there is none
    Add(Add),
    /// Read models, without a store, for a plan: writes a line of JSON for each
    Survey(Survey),
    /// Plan from surveys which models to store first, and which ones after them and against them
    Plan(Plan),
    /// Restore the files of a model
    Get(Get),
    /// Restore a single tensor of a model
    Cat(Cat),
    /// List the models, or the files of one model
    Ls(Ls),
    /// Remove a model; `gc` then frees the data that no other model uses
    Rm(Rm),
    /// Remove data that no model uses; safe while others read and write the store
    Gc(Gc),
    /// Check that no data of a model is missing, and optionally that it restores correctly
    Verify(Verify),
    /// Repair damaged data from other copies: files of the models, or another store
    Repair(Repair),
    /// Make a store of an earlier release find bases without reading all of its sketches, and any
    /// store list its models without reading all of their manifests
    Index,
    /// Show how much space each step saves: equal files, equal tensors, compression
    Stats,
    /// Show which models are fine-tunes of which, judged by the data that they share
    Families(Families),
}

impl Command {
    /// The name of the command, as JSON objects state it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init => "store init",
            Self::Add(_) => "store add",
            Self::Survey(_) => "store survey",
            Self::Plan(_) => "store plan",
            Self::Get(_) => "store get",
            Self::Cat(_) => "store cat",
            Self::Ls(_) => "store ls",
            Self::Rm(_) => "store rm",
            Self::Gc(_) => "store gc",
            Self::Verify(_) => "store verify",
            Self::Repair(_) => "store repair",
            Self::Index => "store index",
            Self::Stats => "store stats",
            Self::Families(_) => "store families",
        }
    }
}

#[derive(Debug, Args)]
pub struct Add {
    /// Name of the model, `model` or `org/model` [default: the name of the folder or file]; with
    /// --plan, the only model to add
    #[arg(long)]
    pub name: Option<ModelName>,
    /// Add the models of this plan (`-`: standard input), in its order, but those that the store
    /// has; other processes may do the same at the same time
    #[arg(long, value_name = "PLAN", conflicts_with = "paths")]
    pub plan: Option<PathBuf>,
    /// Add only the models of this wave of the plan, which may be added in any order
    #[arg(long, value_name = "N", requires = "plan", conflicts_with = "paths")]
    pub wave: Option<u32>,
    /// Compression effort: more effort takes longer and stores fewer bytes
    #[arg(long, value_enum, default_value_t = EffortName::Default)]
    pub effort: EffortName,
    /// Files of the model, or folders that hold them; links are followed, and `.git` and `.cache`
    /// are left out
    #[arg(required_unless_present = "plan", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Survey {
    /// Name of the model that all paths make together [default: each path is a model, with the name
    /// of its folder or file]
    #[arg(long)]
    pub name: Option<ModelName>,
    #[command(flatten)]
    pub output: Lines,
    /// Files and folders of models
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    pub output: Lines,
    /// Surveys, in any order, of which several may hold the same models; `-` is standard input
    #[arg(required = true, value_name = "SURVEY")]
    pub surveys: Vec<PathBuf>,
}

/// The output of a command that writes JSON Lines.
#[derive(Debug, Args)]
pub struct Lines {
    /// File to write, or `-` for standard output [default: standard output]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Get {
    /// Name of the model
    pub name: ModelName,
    /// Folder to restore the files to
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub folder: PathBuf,
    /// Replace files that exist
    #[arg(short, long)]
    pub force: bool,
    /// Fail without output if the files would be larger than this together, such as 20GB
    #[arg(long, value_name = "BYTES")]
    pub max_output: Option<ByteSize>,
}

#[derive(Debug, Args)]
pub struct Cat {
    /// Name of the model
    pub name: ModelName,
    /// Name of the tensor
    pub tensor: String,
    /// File of the model to look in [default: the first one that has the tensor]
    #[arg(long, value_name = "PATH")]
    pub file: Option<String>,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub checks: Checks,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// Name of a model, to list its files
    pub name: Option<ModelName>,
    /// Also list the tensors of each file
    #[arg(long, requires = "name")]
    pub tensors: bool,
    /// List only models whose names follow this one
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub after: Option<ModelName>,
    /// List at most so many models; JSON then names the last one as `after` if there are more
    #[arg(long, value_name = "N", conflicts_with = "name", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Rm {
    /// Name of the model
    pub name: ModelName,
}

#[derive(Debug, Args)]
pub struct Gc {
    /// Time without a sign of life after which a writer counts as dead, such as 90s or 2h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    pub grace: humantime::Duration,
    /// Report what would be removed without removing it
    #[arg(long)]
    pub dry_run: bool,
    /// Collect one of N parts of the store, such as 1/4; all parts together do what a whole run
    /// does, in any order and at the same time
    #[arg(long, value_name = "K/N", default_value = "1/1", hide_default_value = true)]
    pub part: Part,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Restore every file and compare its digest
    #[arg(long, conflicts_with = "sample")]
    read_data: bool,
    /// Decode a random share of the stored data, such as 5%
    #[arg(long, value_name = "P%", value_parser = share)]
    sample: Option<f64>,
    /// Remove or replace what is damaged, as far as the store itself has what is needed; a model
    /// whose manifest is damaged is removed
    #[arg(long, conflicts_with = "part")]
    pub repair: bool,
    /// Check one of N parts of the store, such as 1/4; all parts together find what a whole run
    /// finds
    #[arg(long, value_name = "K/N", default_value = "1/1", hide_default_value = true)]
    pub part: Part,
}

impl Verify {
    /// The depth of the check that the options select.
    pub fn depth(&self) -> VerifyDepth {
        match (self.read_data, self.sample) {
            (true, _) => VerifyDepth::ReadData,
            (false, Some(share)) => VerifyDepth::Sample(share),
            (false, None) => VerifyDepth::Presence,
        }
    }
}

#[derive(Debug, Args)]
pub struct Repair {
    /// A copy of what the store has lost: a file of a model, a folder of such files, or the path or
    /// URL of another store; may be repeated
    #[arg(long, value_name = "PATH|URL", required = true)]
    pub from: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Families {
    /// Print a picture as SVG
    #[arg(long, conflicts_with = "json")]
    pub svg: bool,
}

/// Parses a percentage into a share from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let wrong = || "the share must be a percentage from 0% to 100%".to_owned();
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).parse().map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err(wrong()) }
}
