//! `bitx`: compress fine-tuned models against their base, and restore them bit for bit.

mod args;
mod bases;
mod bench;
mod cat;
mod checks;
mod compress;
mod damage;
mod decompress;
mod distance;
mod fault;
mod files;
mod graphs;
mod inspect;
mod man;
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

use std::process::ExitCode;

/// The allocator. The codec allocates and frees buffers of megabytes; mimalloc keeps their pages,
/// which avoids most page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};

/// The exit code when the reader of the output has closed the pipe: 128 plus the number of
/// `SIGPIPE`, as shells report it.
const CLOSED: u8 = 141;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return fault::usage(&error),
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if stdout::is_closed(&error) => ExitCode::from(CLOSED),
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(error) => fault::usage(error),
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
