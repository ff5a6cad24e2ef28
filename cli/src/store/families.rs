//! `bitx store families`: shows which models are related.

use bitx_store::{Member, Store, families_svg};
use serde_json::json;

use super::{args, warn};
use crate::args::Global;
use crate::stdout;

pub async fn run(store: &Store, args: &args::Families, global: &Global) -> anyhow::Result<()> {
    warn(&store.listing().await?.problems, global);
    let families = store.families().await?;
    if args.svg {
        return stdout::print(families_svg(&families));
    }
    if global.json {
        return stdout::print(format!("{}\n", json!({ "command": "store families", "families": families })));
    }
    stdout::print(families.iter().map(|family| family.iter().map(line).collect()).collect::<Vec<String>>().join("\n"))
}

fn line(member: &Member) -> String {
    let Some(base) = &member.base else { return format!("{}\n", member.name) };
    let share = |bytes: u64| 100.0 * bytes as f64 / member.bytes.max(1) as f64;
    let (deltas, equal) = (share(base.delta_bytes), share(base.equal_bytes));
    format!("  {}: {deltas:.1}% as deltas against {}, {equal:.1}% equal\n", member.name, base.model)
}
