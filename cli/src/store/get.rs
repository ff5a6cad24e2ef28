//! `bitx store get NAME -o DIR`: restores the files of a model.

use std::time::Instant;

use bitx_store::Store;
use serde_json::json;

use super::{args, interrupt};
use crate::args::Global;
use crate::progress;
use crate::report::{Pace, print};

pub async fn run(store: &Store, args: &args::Get, global: &Global) -> anyhow::Result<()> {
    let model = store.model(&args.name).await?;
    if !args.force {
        let existing = model.files.iter().map(|file| args.folder.join(&file.path)).find(|path| path.exists());
        if let Some(path) = existing {
            anyhow::bail!("{}: the file exists; use --force to replace it", path.display());
        }
    }
    let bar = progress::bar(model.length(), global.quiet || global.json);
    let begun = Instant::now();
    let progress = |bytes| bar.inc(bytes);
    interrupt::or(store.get(&model, &args.folder, &progress)).await?;
    let pace = Pace::of(model.length(), begun);
    bar.finish_and_clear();
    let (files, bytes) = (model.files.len(), model.length());
    let mut object = json!({ "command": "store get", "model": args.name, "files": files, "bytes": bytes });
    pace.add_to(&mut object, global);
    let (seconds, speed) = (pace.seconds, pace.mb_per_s);
    print(global, || format!("{}: {files} files, {bytes} bytes, {seconds:.3} s, {speed:.0} MB/s", args.name), object)
}
