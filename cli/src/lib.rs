//! `bitx`: compress fine-tuned models against their base, and restore them bit for bit.
//!
//! The command line is a library, since the Python package brings the same command.

mod adapter;
mod args;
mod bases;
mod bench;
mod caller;
mod cat;
mod checks;
mod compress;
mod damage;
mod decompress;
mod distance;
mod duration;
mod fault;
mod files;
mod folder;
mod graphs;
mod inspect;
mod library;
mod man;
mod merge;
mod mistakes;
mod output;
mod progress;
mod report;
mod restoring;
mod run;
mod serve;
mod stdout;
mod store;
mod summary;
mod token;
mod verify;
mod warning;
mod words;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

pub use adapter::LONGEST as LONGEST_CONFIG;
use args::{Cli, Command};
pub use caller::Caller;
pub use fault::Failure;
pub use folder::Folder;
pub use library::{
    Call, adapter_config, compress_folder, distance, inspect_folder, merge_folder, restore_folder, verify_folder,
};
pub use merge::Merged;
pub use store::library::{
    store_add, store_files, store_get, store_ls, store_plan, store_stats, store_survey, store_write,
};

/// The exit code when the reader of the output has closed the pipe: 128 plus the number of
/// `SIGPIPE`, as shells report it.
const CLOSED: u8 = 141;

/// Runs the command line `args`, whose first argument is the name of the program, and returns the
/// exit code. It ends the process itself after help, a version or wrong usage.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return fault::usage(&error, &args),
    };
    match dispatch(&cli) {
        Ok(()) => 0,
        Err(error) if stdout::is_closed(&error) => CLOSED,
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(error) => fault::usage(error, &args),
            None => fault::report(&error, cli.command.name(), cli.global.json),
        },
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Compress(args) => compress::run(args, &cli.global),
        Command::Decompress(args) => decompress::run(args, &cli.global),
        Command::Cat(args) => cat::run(args, &cli.global),
        Command::Inspect(args) => inspect::run(args, &cli.global),
        Command::Verify(args) => verify::run(args, &cli.global),
        Command::Distance(args) => distance::run(args, &cli.global),
        Command::Merge(args) => merge::run(args, &cli.global),
        Command::Bench(args) => bench::run(args, &cli.global),
        Command::Store(args) => store::run(args, &cli.global),
        Command::Serve(args) => serve::run(args, &cli.global),
        Command::Token(args) => token::run(args, &cli.global),
        Command::Man(args) => man::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "bitx", &mut script);
            stdout::print(String::from_utf8(script)?)
        }
    }
}
