//! `bitx store cat NAME TENSOR [-o OUT]`: restores one tensor of a model.

use std::path::Path;

use anyhow::Context;
use bitx_store::{Model, Store};

use super::args;
use crate::output::OutputFile;
use crate::run;

pub async fn run(store: &Store, args: &args::Cat) -> anyhow::Result<()> {
    let model = store.model(&args.name).await?;
    let tensor = find(store, &model, args).await?;
    let path = args.output.path.as_deref().unwrap_or(Path::new("-"));
    let mut output = OutputFile::create(path, &args.output, &[])?;
    let source = args.name.to_string();
    args.checks.checking(output.sink(), &source, |sink| {
        sink.writer.write_all(&tensor).with_context(|| sink.name.to_owned())
    })?;
    output.publish()
}

/// The bytes of the tensor, from the file that `args` name or from the first one that has it.
async fn find(store: &Store, model: &Model, args: &args::Cat) -> anyhow::Result<Vec<u8>> {
    let named = args.file.as_deref().map(|path| model.file(path)).transpose()?;
    for file in named.map_or(&model.files[..], std::slice::from_ref) {
        let manifest = store.file(&file.id).await?;
        let found = manifest.items.iter().find(|item| item.name.as_deref() == Some(&args.tensor));
        if let (Some(item), Some(most)) = (found, args.checks.most()) {
            run::ensure_fits(&args.name.to_string(), item.length(), most)?;
        }
        if let Some(tensor) = store.tensor(file, &args.tensor).await? {
            return Ok(tensor);
        }
    }
    let place = args.file.as_ref().map(|path| format!("{path} of ")).unwrap_or_default();
    anyhow::bail!("there is no tensor {:?} in {place}{}", args.tensor, model.name)
}
