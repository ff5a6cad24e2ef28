//! `bitx store get NAME -o DIR`: restores the files of a model.

use std::time::Instant;

use bitx_store::{Model, Store};
use serde_json::json;

use super::{args, interrupt};
use crate::args::Global;
use crate::report::{Pace, print};
use crate::{progress, run, words};

pub async fn run(store: &Store, args: &args::Get, global: &Global) -> anyhow::Result<()> {
    let model = find(store, args).await?;
    let bar = progress::bar(model.length(), global);
    let begun = Instant::now();
    let progress = |bytes| bar.inc(bytes);
    interrupt::or(store.get(&model, &args.folder, &progress)).await?;
    let pace = Pace::of(model.length(), begun);
    bar.finish_and_clear();
    let (files, bytes) = (model.files.len(), model.length());
    let mut object = json!({ "command": "store get", "model": args.name, "files": files, "bytes": bytes });
    pace.add_to(&mut object, global);
    print(global, || text(args, files, bytes, &pace), object)
}

/// Finds the model, and checks that it may be restored as `args` say.
pub async fn find(store: &Store, args: &args::Get) -> anyhow::Result<Model> {
    let model = store.model(&args.name).await?;
    ensure_fits(store, &model, args).await?;
    if !args.force {
        let existing = model.files.iter().map(|file| args.folder.join(&file.path)).find(|path| path.exists());
        if let Some(path) = existing {
            anyhow::bail!("{}: the file exists; use --force to replace it", path.display());
        }
    }
    Ok(model)
}

fn text(args: &args::Get, files: usize, bytes: u64, pace: &Pace) -> String {
    let bytes = words::size(bytes);
    format!("{}: {files} files, {bytes}, {:.3} s, {:.0} MB/s", args.name, pace.seconds, pace.mb_per_s)
}

/// Refuses a model that is larger than `--max-output` allows, before a byte of it is written. The
/// lengths are those that the files' manifests state, which restoring keeps to.
async fn ensure_fits(store: &Store, model: &Model, args: &args::Get) -> anyhow::Result<()> {
    let Some(most) = args.max_output else { return Ok(()) };
    let mut length = 0u64;
    for file in &model.files {
        length = length.saturating_add(store.file(&file.id).await?.length);
    }
    run::ensure_fits(&args.name.to_string(), length, most.as_u64())
}
