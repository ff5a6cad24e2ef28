//! `bitx store --root URL ...`: the commands of a model store, each a thin shell over `bitx-store`,
//! and the asynchronous runtime that they run on.

mod add;
pub mod args;
mod cat;
mod credentials;
mod families;
mod gc;
mod get;
mod init;
mod interrupt;
mod ls;
pub mod open;
mod rm;
mod sources;
mod stats;
mod verify;

use anyhow::Context;
use args::Command;

use crate::args::Global;

/// The number of threads that wait for the storage. Computation has threads of its own.
const WAITING: usize = 2;

pub fn run(args: &args::Store, global: &Global) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WAITING).enable_all().build();
    runtime.context("cannot start the threads")?.block_on(dispatch(args, global))
}

async fn dispatch(args: &args::Store, global: &Global) -> anyhow::Result<()> {
    let root = args.root()?;
    let existing = || open::existing(root, global);
    match &args.command {
        Command::Init => init::run(root, global).await,
        Command::Add(args) => add::run(root, args, global).await,
        Command::Get(args) => get::run(&existing().await?, args, global).await,
        Command::Cat(args) => cat::run(&existing().await?, args).await,
        Command::Ls(args) => ls::run(&existing().await?, args, global).await,
        Command::Rm(args) => rm::run(&existing().await?, args, global).await,
        Command::Gc(args) => gc::run(&existing().await?, args, global).await,
        Command::Verify(args) => verify::run(&existing().await?, args, global).await,
        Command::Stats => stats::run(&existing().await?, global).await,
        Command::Families(args) => families::run(&existing().await?, args, global).await,
    }
}
