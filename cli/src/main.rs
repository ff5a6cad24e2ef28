//! `bitx`: compress fine-tuned models against their base, and restore them bit for bit.

mod args;
mod bench;
mod cat;
mod compress;
mod decompress;
mod distance;
mod files;
mod graphs;
mod inspect;
mod output;
mod progress;
mod restoring;
mod run;
mod serve;
mod stdout;
mod store;
mod summary;
mod verify;

use std::process::ExitCode;

/// Buffers of megabytes come and go: an allocator that keeps their pages saves most of the page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};

/// What shells say of a program that the signal of a closed pipe has ended: 128 and its number.
const CLOSED: u8 = 141;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if stdout::is_closed(&error) => ExitCode::from(CLOSED),
        Err(error) => {
            eprintln!("bitx: {}", explained(&error));
            ExitCode::FAILURE
        }
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
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "bitx", &mut script);
            stdout::print(String::from_utf8(script)?)
        }
    }
}

/// An error and its causes, each said once: some tell their cause themselves.
fn explained(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
