//! `bitx store survey [--name NAME] [-o FILE] PATH...`: reads models for a plan.

use std::path::PathBuf;
use std::time::Instant;

use bitx_store::{ModelName, Source, Survey};
use serde_json::json;

use super::lines::Out;
use super::{add, args, sources};
use crate::args::Global;
use crate::progress;
use crate::report::{Pace, print};
use crate::words;

pub fn run(args: &args::Survey, global: &Global) -> anyhow::Result<()> {
    let models = models(args.name.as_ref(), &args.paths, global)?;
    let out = Out::open(&args.output, global)?;
    let mut length = 0;
    for (_, files) in &models {
        length += add::length(files)?;
    }
    let (bar, begun) = (progress::bar(length, global), Instant::now());
    let (mut lines, mut bytes) = (String::new(), 0);
    for (name, files) in &models {
        let survey = Survey::of(name, files, global.threads(), &|bytes| bar.inc(bytes), &|| false)?;
        bytes += survey.bytes();
        lines += &survey.to_line()?;
    }
    bar.finish_and_clear();
    out.write(&lines)?;
    let pace = Pace::of(bytes, begun);
    let mut object = json!({ "command": "store survey", "models": models.len(), "bytes": bytes });
    pace.add_to(&mut object, global);
    let text = || {
        let (bytes, seconds, speed) = (words::size(bytes), pace.seconds, pace.mb_per_s);
        format!("{} models, {bytes} surveyed, {seconds:.3} s, {speed:.0} MB/s", models.len())
    };
    print(global, text, object)
}

/// The models that paths make, each with its files: one model of this name, or one for each path.
fn models(
    name: Option<&ModelName>,
    paths: &[PathBuf],
    global: &Global,
) -> anyhow::Result<Vec<(ModelName, Vec<Source>)>> {
    if let Some(name) = name {
        return Ok(vec![(name.clone(), sources::find(paths, global)?)]);
    }
    let mut models: Vec<(ModelName, Vec<Source>)> = Vec::new();
    for path in paths {
        let name = add::name_of(path)?;
        let is_new = models.iter().all(|(other, _)| *other != name);
        anyhow::ensure!(is_new, "{}: another path gives the name {name} too; survey it with --name", path.display());
        models.push((name, sources::find(std::slice::from_ref(path), global)?));
    }
    Ok(models)
}
