//! `bitx store ls [NAME]`: lists models, or the files of one.

use bitx_store::{FileEntry, Item, Model, ModelName, PieceRef, Store};
use serde_json::{Value, json};

use super::{args, warn};
use crate::args::Global;
use crate::{stdout, words};

pub async fn run(store: &Store, args: &args::Ls, global: &Global) -> anyhow::Result<()> {
    let Some(name) = &args.name else {
        let most = args.limit.map_or(usize::MAX, |limit| limit as usize);
        let (listing, last) = store.page(args.after.as_ref(), most).await?;
        warn(&listing.problems, global);
        return models(&listing.models, last, global);
    };
    let model = store.model(name).await?;
    let mut files = Vec::new();
    for file in &model.files {
        let tensors = if args.tensors { tensors(store, file).await? } else { Vec::new() };
        files.push((file, tensors));
    }
    if global.json {
        let files: Vec<Value> = files.iter().map(|(file, tensors)| to_json(file, tensors, args.tensors)).collect();
        return stdout::print(format!("{}\n", json!({ "command": "store ls", "model": name, "files": files })));
    }
    let mut table = String::new();
    for (file, tensors) in files {
        table += &format!("{}  {:>13}  {}\n", file.id.digest, file.length, words::name(&file.path));
        for (item, _) in tensors {
            let name = words::name(item.name.as_deref().unwrap_or_default());
            table += &format!(
                "  {:<11} {:<18} {:>13}  {name}\n",
                item.dtype.name(),
                words::shape(&item.shape),
                item.length()
            );
        }
    }
    stdout::print(table)
}

/// Prints models, and as JSON also the `last` name that was looked at if there may be more.
fn models(models: &[Model], last: Option<ModelName>, global: &Global) -> anyhow::Result<()> {
    if global.json {
        let models: Vec<Value> = models.iter().map(model_to_json).collect();
        let mut object = json!({ "command": "store ls", "models": models });
        if let Some(last) = last {
            object["after"] = json!(last);
        }
        return stdout::print(format!("{object}\n"));
    }
    let line = |m: &Model| format!("{:>13}  {:>4} files  {}\n", m.length(), m.files.len(), m.name);
    stdout::print(models.iter().map(line).collect::<String>())
}

/// A model as an entry of the list.
pub fn model_to_json(model: &Model) -> Value {
    json!({ "name": model.name, "files": model.files.len(), "bytes": model.length() })
}

/// A tensor, and the pieces that its bytes are in.
type Tensor = (Item, Vec<PieceRef>);

async fn tensors(store: &Store, file: &FileEntry) -> anyhow::Result<Vec<Tensor>> {
    let tensors = store.file(&file.id).await?.into_items().filter(|(item, _)| item.name.is_some());
    Ok(tensors.collect())
}

/// A file of a model, and its tensors if they are wanted.
pub fn to_json(file: &FileEntry, tensors: &[Tensor], with_tensors: bool) -> Value {
    let mut object = json!({ "path": file.path, "bytes": file.length, "blake3": file.id.digest });
    if with_tensors {
        let tensor = |(item, pieces): &Tensor| {
            let deltas = pieces.iter().filter(|piece| piece.base.is_some()).count();
            json!({
                "name": item.name,
                "dtype": item.dtype.name(),
                "shape": item.shape,
                "bytes": item.length(),
                "pieces": pieces.len(),
                "deltas": deltas,
            })
        };
        object["tensors"] = tensors.iter().map(tensor).collect();
    }
    object
}
