//! The store for programs that bring the command line. Each call has a runtime of its own, so that
//! a program may fork between two of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bitx::Effort;
use bitx_store::{Addition, ModelName, Planned, Survey, until};
use bytesize::ByteSize;
use serde_json::{Value, json};

use super::{WAITING, add, args, get, ls, open, plan, sources, stats};
use crate::args::Global;
use crate::caller::Caller;
use crate::fault::Failure;
use crate::library::Call;

/// The time that work which was stopped has to end its last requests.
const LONGEST_END: Duration = Duration::from_millis(300);

/// Adds the files and folders `paths` as the model `name`, or as one of the name of the only path.
/// Returns the figures of `bitx store add`.
///
/// # Errors
/// Those of the command; `stopped`.
pub fn store_add(
    root: &str,
    name: Option<&str>,
    paths: &[PathBuf],
    effort: Effort,
    call: &Call,
) -> Result<Value, Failure> {
    on_runtime(call, async |global, caller| {
        let name = model_name(name, paths)?;
        let files = sources::find(paths, global)?;
        caller.set_total(add::length(&files)?);
        let store = until(open::made(root, global), &|| caller.is_stopped()).await?;
        let what = Addition {
            effort,
            progress: &|bytes| caller.add_done(bytes),
            stop: &|| caller.is_stopped(),
            ..Addition::of(&files)
        };
        let mut object = json!(store.add_as(&name, &what).await?);
        object["model"] = json!(name);
        Ok(object)
    })
}

/// Restores the files of the model `name` to `folder`. All files together have at most `most`
/// bytes. Returns the files as `bitx store ls` lists them.
///
/// # Errors
/// Those of `bitx store get`; `stopped`.
pub fn store_get(root: &str, name: &str, folder: &Path, most: Option<u64>, call: &Call) -> Result<Value, Failure> {
    let replace = call.replace;
    reading(call, async |global, caller| {
        let (name, folder, max_output) = (name.parse()?, folder.to_owned(), most.map(ByteSize));
        let args = args::Get { name, folder, force: replace, max_output };
        let store = open::existing(root, global).await?;
        let model = get::find(&store, &args).await?;
        caller.set_total(model.length());
        store.get(&model, &args.folder, &|bytes| caller.add_done(bytes)).await?;
        Ok(model.files.iter().map(|file| ls::to_json(file, &[], false)).collect())
    })
}

/// Surveys a model, as `bitx store survey` does, and returns its line.
///
/// # Errors
/// Those of the command; `stopped`.
pub fn store_survey(name: Option<&str>, paths: &[PathBuf], call: &Call) -> Result<String, Failure> {
    let survey = || {
        let (global, caller) = (call.global(), &call.caller);
        let name = model_name(name, paths)?;
        let files = sources::find(paths, &global)?;
        caller.set_total(add::length(&files)?);
        let progress = |bytes| caller.add_done(bytes);
        Ok(Survey::of(&name, &files, global.threads(), &progress, &|| caller.is_stopped())?.to_line()?)
    };
    survey().map_err(|error: anyhow::Error| Failure::of(&error))
}

/// Makes a plan from the lines of surveys, and returns its lines.
///
/// # Errors
/// Those of `bitx store plan`; `stopped`.
pub fn store_plan(root: &str, surveys: &str, call: &Call) -> Result<String, Failure> {
    on_runtime(call, async |global, caller| {
        let surveys = Survey::read(surveys.as_bytes(), "surveys")?;
        let plan = plan::make(root, surveys, global, &|| caller.is_stopped()).await?;
        plan::text(&plan)
    })
}

/// Writes the models of the lines of a plan, in order. Returns a list with the figures of each, or
/// null for each that the store has already.
///
/// # Errors
/// Those of `bitx store add --plan`; `stopped`.
pub fn store_write(root: &str, plan: &str, effort: Effort, call: &Call) -> Result<Value, Failure> {
    on_runtime(call, async |global, caller| {
        let plan = Planned::read(plan.as_bytes(), "plan")?;
        caller.set_total(plan.iter().fold(0, |sum, planned| sum.saturating_add(planned.bytes())));
        let (progress, stop) = (|bytes| caller.add_done(bytes), || caller.is_stopped());
        let store = until(open::made(root, global), &stop).await?;
        let mut written = Vec::new();
        for planned in &plan {
            let added = store.write(planned, effort, &progress, &stop).await?;
            if added.is_none() {
                progress(planned.bytes());
            }
            written.push(json!(added));
        }
        Ok(written.into())
    })
}

/// The models of a store, as `bitx store ls` lists them.
///
/// # Errors
/// Those of the command; `stopped`.
pub fn store_ls(root: &str, call: &Call) -> Result<Value, Failure> {
    reading(call, async |global, _| {
        let models = open::existing(root, global).await?.models().await?;
        Ok(models.iter().map(ls::model_to_json).collect())
    })
}

/// The files of a model, as `bitx store ls NAME` lists them.
///
/// # Errors
/// Those of the command; `stopped`.
pub fn store_files(root: &str, name: &str, call: &Call) -> Result<Value, Failure> {
    reading(call, async |global, _| {
        let model = open::existing(root, global).await?.model(&name.parse()?).await?;
        Ok(model.files.iter().map(|file| ls::to_json(file, &[], false)).collect())
    })
}

/// The figures of `bitx store stats`.
///
/// # Errors
/// Those of the command; `stopped`.
pub fn store_stats(root: &str, call: &Call) -> Result<Value, Failure> {
    reading(call, async |global, _| Ok(stats::to_json(&open::existing(root, global).await?.stats().await?)))
}

fn model_name(name: Option<&str>, paths: &[PathBuf]) -> anyhow::Result<ModelName> {
    match (name, paths) {
        (Some(name), _) => Ok(name.parse()?),
        (None, [path]) => add::name_of(path),
        (None, _) => anyhow::bail!("several paths together make one model, which needs a name"),
    }
}

/// Runs work that only reads the store, and that may be dropped anywhere.
fn reading<T>(call: &Call, work: impl AsyncFnOnce(&Global, &dyn Caller) -> anyhow::Result<T>) -> Result<T, Failure> {
    on_runtime(call, async |global, caller| until(work(global, caller), &|| caller.is_stopped()).await)
}

/// Runs work that stops by itself.
fn on_runtime<T>(call: &Call, work: impl AsyncFnOnce(&Global, &dyn Caller) -> anyhow::Result<T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WAITING).enable_all().build();
    let done = runtime.context("cannot start the threads").and_then(|runtime| {
        let done = runtime.block_on(work(&call.global(), &*call.caller));
        runtime.shutdown_timeout(LONGEST_END);
        done
    });
    done.map_err(|error| Failure::of(&error))
}
