//! `bitx man [-o DIR]`: prints the manual page of `bitx`, or writes those of all commands.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Cli;
use crate::stdout;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write a page of each command to [default: the page of `bitx` on standard output]
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let command = Cli::command();
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return stdout::print(String::from_utf8(page)?);
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    clap_mangen::generate_to(command, folder).with_context(|| folder.display().to_string())
}
