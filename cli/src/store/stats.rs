//! `bitx store stats`: shows how much space each step saves.

use bitx_store::{Stats, Store};
use serde_json::{Value, json};

use super::warn;
use crate::args::Global;
use crate::stdout;

pub async fn run(store: &Store, global: &Global) -> anyhow::Result<()> {
    let stats = store.stats().await?;
    warn(&stats.problems, global);
    if !global.json {
        return stdout::print(to_table(&stats));
    }
    let mut object = to_json(&stats);
    object["command"] = json!("store stats");
    stdout::print(format!("{object}\n"))
}

/// All figures of the store.
pub fn to_json(stats: &Stats) -> Value {
    let mut object = json!(stats);
    object["stored_bytes"] = json!(stats.stored_bytes());
    object["saved"] = json!(stats.saved());
    object["metadata_per_tensor"] = json!(stats.metadata_per_tensor());
    object
}

fn to_table(stats: &Stats) -> String {
    let share = |bytes: u64| 100.0 * bytes as f64 / stats.input_bytes.max(1) as f64;
    let row = |step: &str, bytes: u64| format!("{step:<22} {bytes:>15} {:>7.2}%\n", share(bytes));
    let mut table = format!("{} models, {} files, {} tensors\n", stats.models, stats.files, stats.tensors);
    table += &row("input", stats.input_bytes);
    table += &row("after file dedup", stats.after_file_dedup);
    table += &row("after tensor dedup", stats.after_tensor_dedup);
    table += &row("after coding", stats.after_coding);
    table += &row("manifests", stats.manifest_bytes);
    table += &row("sketches", stats.sketch_bytes);
    table += &row("total stored", stats.stored_bytes());
    table += &format!(
        "saved {:.2}%; deltas: {} -> {} bytes; {:.0} bytes of metadata per tensor\n",
        100.0 * stats.saved(),
        stats.delta_input_bytes,
        stats.delta_bytes,
        stats.metadata_per_tensor(),
    );
    if stats.value_input_bytes > 0 {
        let (before, after) = (stats.value_input_bytes, stats.value_bytes);
        table += &format!("of these deltas, against another dtype: {before} -> {after} bytes\n");
    }
    table
}
