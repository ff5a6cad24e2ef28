//! The grammar of `bitx store`.

use std::path::PathBuf;
use std::time::Duration;

use bitx_store::{ModelName, VerifyDepth};
use clap::{Args, Subcommand};

use crate::args::{EffortName, Output};

#[derive(Debug, Args)]
pub struct Store {
    /// The store: a folder, or a URL of one (file:) or of a bucket (s3:, gs:, az:), whose credentials the
    /// environment holds
    #[arg(long, env = "BITX_STORE", value_name = "URL")]
    pub root: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a model, in place of what had its name
    Add(Add),
    /// Restore a model
    Get(Get),
    /// Restore one tensor of a model
    Cat(Cat),
    /// List models, or the files of one
    Ls(Ls),
    /// Remove a model; what only it needed stays until a collection
    Rm(Rm),
    /// Collect what no model needs; safe beside everything else
    Gc(Gc),
    /// Check that all that models need is there, and with options that it decodes to what it should
    Verify(Verify),
    /// Sizes after each step: files once, tensors once, coded
    Stats,
    /// Families of models, found by what they share
    Families(Families),
}

#[derive(Debug, Args)]
pub struct Add {
    /// Name of the model: `model` or `org/model` [default: the folder's or file's name]
    #[arg(long)]
    pub name: Option<ModelName>,
    /// How hard to try
    #[arg(long, value_enum, default_value_t = EffortName::Default)]
    pub effort: EffortName,
    /// Files of the model, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Get {
    /// Name of the model
    pub name: ModelName,
    /// Folder for its files
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub folder: PathBuf,
    /// Replace files that exist
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Cat {
    /// Name of the model
    pub name: ModelName,
    /// Name of the tensor
    pub tensor: String,
    /// File of the model that has it [default: the first that does]
    #[arg(long, value_name = "PATH")]
    pub file: Option<String>,
    /// File to write; `-` for standard output
    #[arg(short = 'o', long = "output", value_name = "FILE", default_value = "-")]
    path: PathBuf,
    /// Replace the file if it exists
    #[arg(short, long)]
    force: bool,
}

impl Cat {
    /// Where the tensor goes.
    pub fn output(&self) -> Output {
        Output { path: self.path.clone(), force: self.force, sync: false }
    }
}

#[derive(Debug, Args)]
pub struct Ls {
    /// Name of a model, to list its files
    pub name: Option<ModelName>,
    /// List the tensors in them as well
    #[arg(long, requires = "name")]
    pub tensors: bool,
}

#[derive(Debug, Args)]
pub struct Rm {
    /// Name of the model
    pub name: ModelName,
}

#[derive(Debug, Args)]
pub struct Gc {
    /// Writers that were silent for so long are taken for dead, such as 90s or 2h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// Report what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Restore every file and check its digest
    #[arg(long, conflicts_with = "sample")]
    read_data: bool,
    /// Decode this share of the pieces, chosen anew each time, such as 5%
    #[arg(long, value_name = "P%", value_parser = share)]
    sample: Option<f64>,
}

impl Verify {
    /// How thorough the check is.
    pub fn depth(&self) -> VerifyDepth {
        match (self.read_data, self.sample) {
            (true, _) => VerifyDepth::ReadData,
            (false, Some(share)) => VerifyDepth::Sample(share),
            (false, None) => VerifyDepth::Presence,
        }
    }
}

#[derive(Debug, Args)]
pub struct Families {
    /// Print a picture
    #[arg(long, conflicts_with = "json")]
    pub svg: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).parse().map_err(|_| "not a percentage".to_owned())?;
    if (0.0..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err("0% to 100%".to_owned()) }
}
