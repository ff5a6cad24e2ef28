//! `bitx store verify` and `bitx store repair`: check the data of all models, and repair what is
//! damaged.

use std::path::Path;

use bitx_store::{Copies, Mended, Problem, Source, Store, Verified, VerifyDepth};
use indicatif::ProgressBar;
use serde_json::json;

use super::{args, line, open, sources};
use crate::args::Global;
use crate::fault::Fault;
use crate::report::print;
use crate::{progress, stdout, words};

pub async fn run(store: &Store, args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    if args.repair {
        return mend(store, args.depth(), Copies::default(), "store verify", global).await;
    }
    let bar = bar(store, args.depth(), global).await?;
    let verified =
        store.verify_part(args.part, args.depth(), &|bytes| bar.iter().for_each(|bar| bar.inc(bytes))).await?;
    bar.iter().for_each(ProgressBar::finish_and_clear);
    report(&verified, &[], json!(verified), "store verify", global)
}

/// Runs `bitx store repair`.
pub async fn repair(store: &Store, args: &args::Repair, global: &Global) -> anyhow::Result<()> {
    let (mut files, mut other): (Vec<Source>, Option<Store>) = (Vec::new(), None);
    for from in &args.from {
        match open::exists(from).await {
            Ok(true) if other.is_some() => anyhow::bail!("{from}: only one other store can be named"),
            Ok(true) => other = Some(open::existing(from, global).await?),
            Ok(false) if from.contains("://") => return open::existing(from, global).await.map(drop),
            Err(error) if from.contains("://") => return Err(error),
            // A path may be that of a file, which cannot be opened as a store.
            Ok(false) | Err(_) => files.extend(sources::found(Path::new(from), global)?),
        }
    }
    let copies = Copies { files: &files, store: other.as_ref() };
    mend(store, VerifyDepth::ReadData, copies, "store repair", global).await
}

async fn mend(
    store: &Store,
    depth: VerifyDepth,
    copies: Copies<'_>,
    command: &str,
    global: &Global,
) -> anyhow::Result<()> {
    let bar = bar(store, depth, global).await?;
    let repaired = store.repair(depth, copies, &|bytes| bar.iter().for_each(|bar| bar.inc(bytes))).await?;
    bar.iter().for_each(ProgressBar::finish_and_clear);
    report(&repaired.verified, &repaired.repaired, json!(repaired), command, global)
}

/// The progress of a check that reads data.
async fn bar(store: &Store, depth: VerifyDepth, global: &Global) -> anyhow::Result<Option<ProgressBar>> {
    let bytes: u64 = store.models().await?.iter().map(|model| model.length()).sum();
    Ok(match depth {
        VerifyDepth::Presence => None,
        VerifyDepth::Sample(share) => Some(progress::bar((bytes as f64 * share) as u64, global)),
        VerifyDepth::ReadData => Some(progress::bar(bytes, global)),
    })
}

/// Prints what was repaired and the problems that are left, which are an error.
fn report(
    verified: &Verified,
    mended: &[Mended],
    mut object: serde_json::Value,
    command: &str,
    global: &Global,
) -> anyhow::Result<()> {
    if !global.json {
        let mended = mended.iter().map(|mended| {
            let how = if mended.removed { "removed" } else { "repaired" };
            format!("{how}: {}\n", line(&mended.problem))
        });
        let problems = verified.problems.iter().map(|problem: &Problem| format!("{}\n", line(problem)));
        stdout::print(mended.chain(problems).collect::<String>())?;
    }
    object["command"] = json!(command);
    print(global, || text(verified, mended.len()), object)?;
    let message = || format!("the check found {} problems", verified.problems.len());
    anyhow::ensure!(verified.problems.is_empty(), Fault::named("damaged", message()));
    Ok(())
}

fn text(verified: &Verified, mended: usize) -> String {
    let Verified { models, files, pieces, bytes_read, problems } = verified;
    let found = match (problems.is_empty(), mended) {
        (true, 0) => "no problems".to_owned(),
        (true, mended) => format!("{mended} problems repaired"),
        (false, 0) => "damaged".to_owned(),
        (false, mended) => format!("{mended} problems repaired, damaged"),
    };
    format!("{models} models, {files} files, {pieces} pieces, {} decoded: {found}", words::size(*bytes_read))
}
