//! `bitx store add [--name org/model] PATH...`: adds a model.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bitx_store::{Added, ModelName, Source};
use serde_json::json;

use super::{args, open, sources};
use crate::args::Global;
use crate::report::{Pace, print};
use crate::warning::warn;
use crate::{progress, words};

pub async fn run(root: &str, args: &args::Add, global: &Global) -> anyhow::Result<()> {
    let name = match (&args.name, &args.paths[..]) {
        (Some(name), _) => name.clone(),
        (None, [path]) => name_of(path)?,
        (None, _) => anyhow::bail!("several paths together make one model: name it with --name"),
    };
    let files = sources::find(&args.paths, global)?;
    let store = open::made(root, global).await?;
    let bar = progress::bar(length(&files)?, global);
    let begun = Instant::now();
    let added = store.add(&name, &files, args.effort.into(), &|bytes| bar.inc(bytes)).await?;
    let pace = Pace::of(added.bytes, begun);
    bar.finish_and_clear();
    added.warnings.iter().for_each(|warning| warn(global, warning));
    let mut object = json!(added);
    (object["command"], object["model"]) = (json!("store add"), json!(name));
    pace.add_to(&mut object, global);
    print(global, || text(&name, &added, &pace), object)
}

/// The name of a model that is given without one: that of its folder or file.
pub fn name_of(path: &Path) -> anyhow::Result<ModelName> {
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().with_context(|| format!("{}: choose a name for the model with --name", path.display()))
}

/// The length of all files in bytes.
pub fn length(files: &[Source]) -> anyhow::Result<u64> {
    let length = |source: &Source| std::fs::metadata(&source.file).with_context(|| source.file.display().to_string());
    files.iter().map(|source| Ok(length(source)?.len())).sum()
}

fn text(name: &ModelName, added: &Added, pace: &Pace) -> String {
    let bytes = words::size(added.bytes);
    if added.unchanged {
        return format!("{name}: {} files, {bytes}, unchanged", added.files);
    }
    format!(
        "{name}: {} files, {bytes} -> {}, ratio {:.4}, {} already stored, {} as deltas, {:.3} s, {:.0} MB/s",
        added.files,
        words::size(added.stored_bytes),
        added.stored_bytes as f64 / added.bytes.max(1) as f64,
        words::size(added.known_bytes),
        words::size(added.delta_bytes),
        pace.seconds,
        pace.mb_per_s,
    )
}
