//! `bitx store gc`: removes the data that no model uses.

use bitx_store::{Collected, GcOptions, Store};
use serde_json::json;

use super::{args, warn};
use crate::args::Global;
use crate::report::print;
use crate::words;

pub async fn run(store: &Store, args: &args::Gc, global: &Global) -> anyhow::Result<()> {
    let options = GcOptions { grace: args.grace.into(), dry_run: args.dry_run };
    let collected = store.collect(&options).await?;
    warn(&collected.problems, global);
    let mut object = json!(collected);
    (object["command"], object["dry_run"]) = (json!("store gc"), json!(args.dry_run));
    print(global, || text(&collected, args.dry_run), object)
}

fn text(collected: &Collected, dry_run: bool) -> String {
    let what = if dry_run { "would be removed" } else { "removed" };
    let mut text = format!("{} objects, {} {what}", collected.objects, words::size(collected.bytes));
    if collected.waiting > 0 {
        text += &format!("; {} more objects can be removed once running writers have ended", collected.waiting);
    }
    if collected.expired > 0 {
        text += &format!("; {} dead writers were ended", collected.expired);
    }
    if collected.uploads > 0 {
        text += &format!("; {} expired uploads were removed", collected.uploads);
    }
    text
}
