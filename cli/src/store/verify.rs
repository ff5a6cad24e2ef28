//! `bitx store verify`: checks the data of all models.

use bitx_store::{Problem, Store, Verified, VerifyDepth};
use indicatif::ProgressBar;
use serde_json::json;

use super::{args, line};
use crate::args::Global;
use crate::fault::Fault;
use crate::report::print;
use crate::{progress, stdout, words};

pub async fn run(store: &Store, args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    let depth = args.depth();
    let bytes: u64 = store.models().await?.iter().map(|model| model.length()).sum();
    let share = if let VerifyDepth::Sample(share) = depth { share } else { 1.0 };
    let bar =
        if depth == VerifyDepth::Presence { None } else { Some(progress::bar((bytes as f64 * share) as u64, global)) };
    let verified = store.verify(depth, &|bytes| bar.iter().for_each(|bar| bar.inc(bytes))).await?;
    bar.iter().for_each(ProgressBar::finish_and_clear);
    if !global.json {
        let line = |problem: &Problem| format!("{}\n", line(problem));
        stdout::print(verified.problems.iter().map(line).collect::<String>())?;
    }
    let mut object = json!(verified);
    object["command"] = json!("store verify");
    print(global, || text(&verified), object)?;
    let message = || format!("the check found {} problems", verified.problems.len());
    anyhow::ensure!(verified.problems.is_empty(), Fault::named("damaged", message()));
    Ok(())
}

fn text(verified: &Verified) -> String {
    let Verified { models, files, pieces, bytes_read, problems } = verified;
    let found = if problems.is_empty() { "no problems" } else { "damaged" };
    format!("{models} models, {files} files, {pieces} pieces, {} decoded: {found}", words::size(*bytes_read))
}
