//! `bitx store --root URL ...`: the commands of a model store, each a thin shell over `bitx-store`,
//! and the asynchronous runtime that they run on.

mod add;
pub mod args;
mod cat;
mod families;
mod gc;
mod get;
mod interrupt;
mod ls;
mod rm;
mod stats;
mod verify;

use anyhow::Context;
use args::Command;
use bitx_store::Store;

use crate::args::Global;

/// The number of threads that wait for the storage. Computation has threads of its own.
const WAITING: usize = 2;

pub fn run(args: &args::Store, global: &Global) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WAITING).enable_all().build();
    runtime.context("cannot start the threads")?.block_on(dispatch(args, global))
}

async fn dispatch(args: &args::Store, global: &Global) -> anyhow::Result<()> {
    let store = Store::open(&args.root, global.threads()).await?;
    match &args.command {
        Command::Add(args) => add::run(&store, args, global).await,
        Command::Get(args) => get::run(&store, args, global).await,
        Command::Cat(args) => cat::run(&store, args).await,
        Command::Ls(args) => ls::run(&store, args, global).await,
        Command::Rm(args) => rm::run(&store, args, global).await,
        Command::Gc(args) => gc::run(&store, args, global).await,
        Command::Verify(args) => verify::run(&store, args, global).await,
        Command::Stats => stats::run(&store, global).await,
        Command::Families(args) => families::run(&store, args, global).await,
    }
}
