//! `bitx store cat NAME TENSOR [-o OUT]`: restores one tensor of a model.

use std::io::Write;

use anyhow::Context;
use bitx_store::{Model, Store};

use super::args;
use crate::output::OutputFile;

pub async fn run(store: &Store, args: &args::Cat) -> anyhow::Result<()> {
    let model = store.model(&args.name).await?;
    let output = args.output();
    let mut output_file = OutputFile::create(&output, &[])?;
    let tensor = find(store, &model, args).await?;
    output_file.write_all(&tensor).with_context(|| output.path.display().to_string())?;
    output_file.publish()
}

/// The bytes of the tensor, from the file that `args` name or from the first one that has it.
async fn find(store: &Store, model: &Model, args: &args::Cat) -> anyhow::Result<Vec<u8>> {
    let named = args.file.as_deref().map(|path| model.file(path)).transpose()?;
    for file in named.map_or(&model.files[..], std::slice::from_ref) {
        if let Some(tensor) = store.tensor(file, &args.tensor).await? {
            return Ok(tensor);
        }
    }
    let place = args.file.as_ref().map(|path| format!("{path} of ")).unwrap_or_default();
    anyhow::bail!("there is no tensor {:?} in {place}{}", args.tensor, model.name)
}
