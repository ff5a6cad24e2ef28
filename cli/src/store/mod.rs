//! `bitx store --root URL ...`: the commands of a model store, each a thin shell over `bitx-store`,
//! and the asynchronous runtime that they run on.

mod add;
pub mod args;
mod cat;
mod credentials;
mod families;
mod gc;
mod get;
mod index;
mod init;
mod interrupt;
pub mod library;
mod lines;
mod ls;
pub mod open;
mod plan;
mod rm;
pub mod sources;
mod stats;
mod survey;
mod verify;
mod write;

use anyhow::Context;
use args::Command;
use bitx_store::Problem;

use crate::args::Global;
use crate::{warning, words};

/// The number of threads that wait for the storage. Computation has threads of its own.
const WAITING: usize = 2;

pub fn run(args: &args::Store, global: &Global) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WAITING).enable_all().build();
    runtime.context("cannot start the threads")?.block_on(dispatch(args, global))
}

async fn dispatch(args: &args::Store, global: &Global) -> anyhow::Result<()> {
    // A survey needs no store.
    let root = if let Command::Survey(_) = &args.command { "" } else { args.root()? };
    let existing = || open::existing(root, global);
    match &args.command {
        Command::Init => init::run(root, global).await,
        Command::Add(args) => match &args.plan {
            Some(plan) => write::run(root, plan, args, global).await,
            None => add::run(root, args, global).await,
        },
        Command::Survey(args) => survey::run(args, global),
        Command::Plan(args) => plan::run(root, args, global).await,
        Command::Get(args) => get::run(&existing().await?, args, global).await,
        Command::Cat(args) => cat::run(&existing().await?, args).await,
        Command::Ls(args) => ls::run(&existing().await?, args, global).await,
        Command::Rm(args) => rm::run(&existing().await?, args, global).await,
        Command::Gc(args) => gc::run(&existing().await?, args, global).await,
        Command::Verify(args) => verify::run(&existing().await?, args, global).await,
        Command::Repair(args) => verify::repair(&existing().await?, args, global).await,
        Command::Index => index::run(&existing().await?, global).await,
        Command::Stats => stats::run(&existing().await?, global).await,
        Command::Families(args) => families::run(&existing().await?, args, global).await,
    }
}

/// Reports damage that the command has left out, on standard error.
fn warn(problems: &[Problem], global: &Global) {
    problems.iter().for_each(|problem| warning::warn(global, &line(problem)));
}

/// A problem as a line of text: the model, the path of the file or the key, and the damage.
fn line(problem: &Problem) -> String {
    let place = [problem.model.as_str(), problem.path.as_str()].into_iter().filter(|part| !part.is_empty());
    words::message(&format!("{}: {}", place.collect::<Vec<_>>().join("/"), problem.problem))
}
