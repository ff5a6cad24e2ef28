//! `bitx store add --plan PLAN [--wave N] [--name NAME]`: writes the models of a plan.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bitx_store::{Added, Error, Planned};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{args, lines, open};
use crate::args::Global;
use crate::fault::Fault;
use crate::report::{Pace, print};
use crate::warning::warn;
use crate::{progress, words};

/// The models that were written, and the figures of all of them.
#[derive(Debug, Default)]
struct Written {
    models: u64,
    known: u64,
    failed: u64,
    sum: Added,
}

pub async fn run(root: &str, plan: &Path, args: &args::Add, global: &Global) -> anyhow::Result<()> {
    let models = chosen(plan, args)?;
    let store = open::made(root, global).await?;
    let bytes = models.iter().fold(0u64, |sum, planned| sum.saturating_add(planned.bytes()));
    let (bar, begun, mut written) = (progress::bar(bytes, global), Instant::now(), Written::default());
    for planned in &models {
        let before = bar.position();
        match store.write(planned, args.effort.into(), &|bytes| bar.inc(bytes), &|| false).await {
            // The models whose files are gone or have changed are left for another plan.
            Err(error @ Error::File { .. }) => {
                written.failed += 1;
                warn(global, &format!("{}: {error}", planned.model));
            }
            added => written.count(planned, added?, global),
        }
        bar.set_position(before.saturating_add(planned.bytes()));
    }
    report(&written, &models, &bar, begun, global)
}

/// The models of the plan that the arguments name.
fn chosen(plan: &Path, args: &args::Add) -> anyhow::Result<Vec<Planned>> {
    let paths: [PathBuf; 1] = [plan.to_owned()];
    let mut models = lines::read(&paths, |input, name| Planned::read(input, name))?;
    if let Some(name) = &args.name {
        models.retain(|planned| planned.model == *name);
        let message = || format!("{}: there is no model {name} in the plan", plan.display());
        anyhow::ensure!(!models.is_empty(), Fault::named("not-found", message()));
    }
    models.retain(|planned| args.wave.is_none_or(|wave| planned.wave == wave));
    Ok(models)
}

impl Written {
    fn count(&mut self, planned: &Planned, added: Option<Added>, global: &Global) {
        let Some(added) = added else {
            self.known += 1;
            return;
        };
        self.models += 1;
        self.sum.bytes += added.bytes;
        self.sum.known_bytes += added.known_bytes;
        self.sum.stored_bytes += added.stored_bytes;
        self.sum.delta_bytes += added.delta_bytes;
        added.warnings.iter().for_each(|warning| warn(global, &format!("{}: {warning}", planned.model)));
    }

    fn to_json(&self) -> Value {
        json!({
            "command": "store add",
            "written": self.models,
            "known": self.known,
            "failed": self.failed,
            "bytes": self.sum.bytes,
            "known_bytes": self.sum.known_bytes,
            "stored_bytes": self.sum.stored_bytes,
            "delta_bytes": self.sum.delta_bytes,
        })
    }
}

fn report(
    written: &Written,
    models: &[Planned],
    bar: &ProgressBar,
    begun: Instant,
    global: &Global,
) -> anyhow::Result<()> {
    bar.finish_and_clear();
    let pace = Pace::of(written.sum.bytes, begun);
    let mut object = written.to_json();
    object["models"] = json!(models.len());
    pace.add_to(&mut object, global);
    print(global, || text(written, &pace), object)?;
    let message = || format!("{} of {} models could not be added", written.failed, models.len());
    anyhow::ensure!(written.failed == 0, Fault::named("io", message()));
    Ok(())
}

fn text(Written { models, known, sum, .. }: &Written, pace: &Pace) -> String {
    format!(
        "{models} models added, {known} there already, {} -> {}, ratio {:.4}, {} as deltas, {:.3} s, {:.0} MB/s",
        words::size(sum.bytes),
        words::size(sum.stored_bytes),
        sum.stored_bytes as f64 / sum.bytes.max(1) as f64,
        words::size(sum.delta_bytes),
        pace.seconds,
        pace.mb_per_s,
    )
}
