//! `bitx store plan [-o FILE] SURVEY...`: makes a plan from surveys.

use bitx_store::{Planned, Store, Survey};
use serde_json::json;

use super::lines::{self, Out};
use super::{args, open};
use crate::args::Global;
use crate::report::print;
use crate::words;

pub async fn run(root: &str, args: &args::Plan, global: &Global) -> anyhow::Result<()> {
    let surveys = lines::read(&args.surveys, |input, name| Survey::read(input, name))?;
    let out = Out::open(&args.output, global)?;
    let plan = make(root, surveys, global, &|| false).await?;
    let bytes = plan.iter().fold(0u64, |sum, planned| sum.saturating_add(planned.bytes()));
    let waves = plan.last().map_or(0, |last| last.wave + 1);
    out.write(&text(&plan)?)?;
    let object = json!({ "command": "store plan", "models": plan.len(), "waves": waves, "bytes": bytes });
    print(global, || format!("{} models, {} in {waves} waves", plan.len(), words::size(bytes)), object)
}

/// Makes a plan. A store that does not exist yet is an empty one.
pub async fn make(
    root: &str,
    surveys: Vec<Survey>,
    global: &Global,
    stop: &(dyn Fn() -> bool + Sync),
) -> anyhow::Result<Vec<Planned>> {
    open::exists(root).await?;
    Ok(Store::open(root, global.threads()).await?.plan(surveys, stop).await?)
}

/// The plan as lines of text.
pub fn text(plan: &[Planned]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for planned in plan {
        lines += &planned.to_line()?;
    }
    Ok(lines)
}
