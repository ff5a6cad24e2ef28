//! `bitx store index`: writes the signatures of files that an earlier release has stored, and
//! registers.

use bitx_store::{Indexed, Store};
use serde_json::json;

use crate::args::Global;
use crate::progress;
use crate::report::print;

pub async fn run(store: &Store, global: &Global) -> anyhow::Result<()> {
    let bytes = store.models().await?.iter().map(|model| model.length()).sum();
    let bar = progress::bar(bytes, global);
    let indexed = store.index(&|bytes| bar.inc(bytes)).await?;
    bar.finish_and_clear();
    let mut object = json!(indexed);
    object["command"] = json!("store index");
    print(global, || text(&indexed), object)
}

fn text(Indexed { files, signatures, registers }: &Indexed) -> String {
    let registered =
        if *registers > 0 { format!(", and manifests copied to {registers} registers") } else { String::new() };
    format!("{files} files indexed by {signatures} signatures{registered}")
}
