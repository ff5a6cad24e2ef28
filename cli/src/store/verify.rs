//! `bitx store verify`: checks the data of all models.

use bitx_store::{Store, Verified, VerifyDepth};
use serde_json::json;

use super::args;
use crate::args::Global;
use crate::report::print;
use crate::{progress, stdout};

pub async fn run(store: &Store, args: &args::Verify, global: &Global) -> anyhow::Result<()> {
    let depth = args.depth();
    let bytes: u64 = store.models().await?.iter().map(|model| model.length()).sum();
    let share = if let VerifyDepth::Sample(share) = depth { share } else { 1.0 };
    let hidden = global.quiet || global.json || depth == VerifyDepth::Presence;
    let bar = progress::bar((bytes as f64 * share) as u64, hidden);
    let verified = store.verify(depth, &|bytes| bar.inc(bytes)).await?;
    bar.finish_and_clear();
    if !global.json {
        let line = |p: &bitx_store::Problem| format!("{}/{}: {}\n", p.model, p.path, p.problem);
        stdout::print(verified.problems.iter().map(line).collect::<String>())?;
    }
    let mut object = json!(verified);
    object["command"] = json!("store verify");
    print(global, || text(&verified), object)?;
    anyhow::ensure!(verified.problems.is_empty(), "the check found {} problems", verified.problems.len());
    Ok(())
}

fn text(verified: &Verified) -> String {
    let Verified { models, files, pieces, bytes_read, problems } = verified;
    let found = if problems.is_empty() { "no problems" } else { "damaged" };
    format!("{models} models, {files} files, {pieces} pieces, {bytes_read} bytes decoded: {found}")
}
